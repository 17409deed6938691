"""Numbers that the service gave: to updates that came without one (`AdaptOnce`).

The gateway's own stream counts on without knowing of them, so its update under such a number is another one, not a
repetition. What was given and not yet used by the gateway is kept as ranges (first, last), rising and apart.
"""

from __future__ import annotations

from typing import Final, TypeAlias

Ranges: TypeAlias = tuple[tuple[int, int], ...]

# Ranges of one order that are kept. A gateway uses the numbers from the lowest on, so there are rarely two.
MOST_RANGES: Final = 16


def with_number(ranges: Ranges, number: int) -> Ranges:
    """With a number above all of them; the lowest range goes where there are too many."""
    if ranges and ranges[-1][1] == number - 1:
        return (*ranges[:-1], (ranges[-1][0], number))
    return (*ranges, (number, number))[-MOST_RANGES:]


def has_number(ranges: Ranges, number: int) -> bool:
    return any(first <= number <= last for first, last in ranges)


def without_number(ranges: Ranges, number: int) -> Ranges:
    found: list[tuple[int, int]] = []
    for first, last in ranges:
        if not first <= number <= last:
            found.append((first, last))
            continue
        if first < number:
            found.append((first, number - 1))
        if number < last:
            found.append((number + 1, last))
    return tuple(found)
