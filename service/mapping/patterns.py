"""Patterns of the contract's rules (RE2) as JSON Schema wants them (ECMA-262), which has no `(?i)` inside."""

from __future__ import annotations

IGNORE_CASE = "(?i)"


class PatternError(ValueError):
    """A pattern that cannot be written without `(?i)`."""


def ecma_pattern(pattern: str) -> str:
    """The same language without `(?i)`: letters in its reach become classes of both cases."""
    found: list[str] = []
    ignoring = [False]
    in_class = False
    position = 0
    while position < len(pattern):
        sign = pattern[position]
        if pattern.startswith(IGNORE_CASE, position):
            ignoring[-1] = True
            position += len(IGNORE_CASE)
            continue
        step = 2 if sign == "\\" else 1
        text = pattern[position : position + step]
        if sign == "[" and not in_class:
            in_class = True
        elif sign == "]":
            in_class = False
        elif sign == "(" and not in_class:
            ignoring.append(ignoring[-1])
        elif sign == ")" and not in_class:
            ignoring.pop()
        elif step == 1 and sign.isalpha() and ignoring[-1]:
            if in_class:
                raise PatternError(f"{pattern!r}: letters in a class under {IGNORE_CASE}")
            text = f"[{sign.upper()}{sign.lower()}]"
        found.append(text)
        position += step
    return "".join(found)
