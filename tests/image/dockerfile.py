"""Reads a Dockerfile and the .dockerignore beside it: only what this repository's use, and an error for the rest."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Instruction:
    stage: str
    name: str
    text: str


def instructions(text: str) -> list[Instruction]:
    """With continued lines joined and comments left out; the stage '' is before the first FROM."""
    found: list[Instruction] = []
    stage, pending = "", ""
    for line in text.splitlines():
        if line.lstrip().startswith("#") or not line.strip():
            continue
        pending += line.rstrip()
        if pending.endswith("\\"):
            pending = pending[:-1]
            continue
        name, _, rest = pending.strip().partition(" ")
        rest = re.sub(r"\s+", " ", rest).strip()
        if name.upper() == "FROM":
            named = re.search(r" AS (\S+)$", rest, re.IGNORECASE)
            stage = named.group(1) if named else rest
        found.append(Instruction(stage, name.upper(), rest))
        pending = ""
    if pending:
        raise ValueError(f"the last line goes on after its end: {pending!r}")
    return found


def pairs_of(text: str) -> dict[str, str]:
    """NAME=value or NAME="value" of ENV, ARG and LABEL."""
    return {name: value.strip('"') for name, value in re.findall(r'([\w.-]+)=("[^"]*"|\S*)', text)}


def filled_in(text: str, variables: Mapping[str, str]) -> str:
    """`${NAME}` by its value; one that is not declared is a mistake here, where Docker would take nothing for it."""

    def value(found: re.Match[str]) -> str:
        name = found.group(1) or found.group(2)
        if name not in variables:
            raise ValueError(f"${name} is not declared before {text!r}")
        return variables[name]

    return re.sub(r"\$\{(\w+)\}|\$(\w+)", value, text)


def ignored(path: str, ignore_file: Path = ROOT / ".dockerignore") -> bool:
    """What .dockerignore says: the last pattern that matches the path or a folder above it decides."""
    parts = path.split("/")
    candidates = ["/".join(parts[: n + 1]) for n in range(len(parts))]
    verdict = False
    for line in ignore_file.read_text().splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        bare = pattern.lstrip("!").removeprefix("**/")
        if any(fnmatch.fnmatch(name, bare) for name in candidates):
            verdict = not pattern.startswith("!")
    return verdict


def context_files(source: str, context: Path = ROOT) -> Iterator[Path]:
    """The files of one COPY source that Docker would be sent, relative to the context."""
    root = context / source
    for path in [root] if root.is_file() else sorted(root.rglob("*")):
        relative = path.relative_to(context)
        if not path.is_dir() and not ignored(relative.as_posix(), context / ".dockerignore"):
            yield relative
