"""The system calls of a real process on a real disk: data and head are synced before the answer is written.

A killed process proves nothing about fsync, since the page cache survives it; the kernel's record of the calls does.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, os, sys
from engine.records import RecordKind
from store.journal.files import OsFiles
from store.journal.journal import open_journal
from store.journal.lanes import ThreadLanes

async def main():
    lanes = ThreadLanes
    if sys.argv[3] == "pen":
        from store.journal.pen import PenLanes as lanes
    journal, _ = await open_journal(OsFiles(), sys.argv[1], lanes=lanes())
    os.write(1, b"opened")
    for number in range(5):
        _, future = journal.append(RecordKind.SELECTION, b"MARK%d" % number)
        if sys.argv[2] == "waits":
            await future
        os.write(1, b"acked%d" % number)
        await future
    await journal.close()

asyncio.run(main())
"""
_CALL = re.compile(r"^(?P<pid>\d+) +(?P<begin>[\d.]+) (?P<name>\w+)\((?P<rest>.*)$")
_RESUMED = re.compile(r"^(?P<pid>\d+) +(?P<end>[\d.]+) <\.\.\. (?P<name>\w+) resumed>(?P<rest>.*)$")
_DONE = re.compile(r"\) += (-?\d+)")


@dataclass(frozen=True)
class Call:
    """A finished system call: the lines of the trace at which it began and ended."""

    name: str
    arguments: str
    result: int
    begin: int
    end: int


def calls_of(trace: str) -> list[Call]:
    """The finished calls, in the order of their ends; those that strace splits over two lines are joined."""
    open_calls: dict[str, tuple[str, str, int]] = {}
    found: list[Call] = []
    for number, line in enumerate(trace.splitlines()):
        if resumed := _RESUMED.match(line):
            name, arguments, begin = open_calls.pop(resumed["pid"])
            rest = resumed["rest"]
        elif begun := _CALL.match(line):
            name, arguments, begin, rest = begun["name"], begun["rest"], number, begun["rest"]
            if "<unfinished ...>" in rest:
                open_calls[begun["pid"]] = (name, arguments, begin)
                continue
        else:
            continue
        if done := _DONE.search(rest):
            found.append(Call(name, arguments, int(done[1]), begin, number))
    return found


def broken_promises(calls: Sequence[Call], answers: int) -> list[str]:
    """Every answer for which it does not hold that its data was written and synced, then the head written and
    synced, each call ended well before the next began, and the last before the answer began."""
    faults = []
    for number in range(answers):
        answer = next(call for call in calls if call.name == "write" and f'"acked{number}"' in call.arguments)
        begin = -1
        for step, (name, path, holds) in enumerate(
            (
                ("pwrite64", ".segment", f"MARK{number}"),
                ("fdatasync", ".segment", ""),
                ("pwrite64", "/head>", ""),
                ("fdatasync", "/head>", ""),
            )
        ):
            following = [
                call
                for call in calls
                if call.name == name and path in call.arguments and holds in call.arguments
                and call.result >= 0 and call.begin > begin and call.end < answer.begin
            ]
            if not following:
                faults.append(f"answer {number}: step {step} ({name} of {path}) was not done before it")
                break
            begin = following[0].end
    return faults


def trace_of(tmp_path: Path, mode: str, lanes: str = "threads") -> list[Call]:
    strace = shutil.which("strace")
    if strace is None:  # CI installs it, and lets nothing be skipped
        pytest.skip("no strace (Debian: strace)")
    out = tmp_path / "trace"
    command = [
        strace, "-f", "-y", "-ttt", "-s", "200000", "-o", str(out), "-e", "trace=pwrite64,fdatasync,fsync,write",
        sys.executable, "-c", PROGRAM, str(tmp_path / "journal"), mode, lanes,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=Path.cwd(), check=False)
    assert done.returncode == 0, done.stderr
    return calls_of(out.read_text(errors="replace"))


@pytest.mark.parametrize("lanes", ["threads", "pen"])
def test_data_and_head_are_synced_before_the_answer(tmp_path: Path, lanes: str) -> None:
    calls = trace_of(tmp_path, "waits", lanes)
    assert broken_promises(calls, 5) == []


@pytest.mark.parametrize("lanes", ["threads", "pen"])
def test_the_trace_shows_an_answer_that_came_too_early(tmp_path: Path, lanes: str) -> None:
    """The same program, answering without waiting: what this looks for can be absent."""
    calls = trace_of(tmp_path, "hurries", lanes)
    assert len(broken_promises(calls, 5)) == 5


def test_new_files_are_synced_with_their_folder_before_the_journal_is_open(tmp_path: Path) -> None:
    calls = trace_of(tmp_path, "waits")
    opened = next(call for call in calls if call.name == "write" and '"opened"' in call.arguments)
    folder = f"<{tmp_path / 'journal'}>"
    assert sum(call.name == "fsync" and folder in call.arguments and call.end < opened.begin for call in calls) >= 2
    assert not [call for call in calls if call.name in ("fsync", "fdatasync") and call.result != 0]
