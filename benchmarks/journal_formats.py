"""Which bytes should hold the journal: our segments, or SQLite? Commit times and what damage goes unseen, on this disk.

    python -m benchmarks.journal_formats [--short] [--folder FOLDER]

Times: one record and 32 records a commit, the formats in turn within each round, so that the disk's moods hit all
alike. "raw" is the least that could be done: append the bytes to a file, fsync. The journal's own time runs from
`append` to the future that is done, with its thread; "on one thread" is the same code without it. SQLite runs as it
would ship: WAL, synchronous=FULL, chained rows, and the same head file, synced after the commit.

Damage: a bit flipped, a file cut short, two frames or pages swapped, always in what was acknowledged. Each format is
then opened and read. "missed": something reads differently or is gone, and nothing says so. "harmless": every record
still reads as it was written (a bit in an unused part of a page). "intact read": of what was damaged and told, how
much of the journal could still be read from its beginning, on average; the place of the damage is drawn evenly, so half
is what losing nothing before it gives. SQLite without chain and head shows what those two are for. The last line
printed is one JSON object, also written to build/bench/journal_formats.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from rich.console import Console
from rich.table import Table

from engine.records import RecordKind
from store.journal.codec import BLOCK_BYTES, HeadSlot, first_hash, frame_bytes, next_hash
from store.journal.files import File, OsFiles
from store.journal.head import HEAD_NAME, create_head, read_head, write_head
from store.journal.journal import Journal, open_journal
from store.journal.lanes import LoopLanes, ThreadLanes
from store.journal.recovery import salvage, verify

OUT = Path("build/bench/journal_formats.json")
SEED = 20261125
RECORD_BYTES = 6_000
GROUP = 32
SINGLES, GROUPS, ROUNDS = 25, 5, 60
MOST_TIMING_S = 20.0  # a busy disk gets fewer rounds, not a longer run
FAULTS, SHORT_FAULTS = 510, 60
DAMAGE_RECORDS, DAMAGE_BYTES = 80, 1_500
ID = "journal-1"
KIND = RecordKind.SELECTION


class Format(Protocol):
    """A way to make records durable."""

    async def commit(self, payloads: Sequence[bytes]) -> None: ...

    async def close(self) -> None: ...


class Raw:
    """Append and fsync, nothing else."""

    def __init__(self, folder: Path) -> None:
        self._descriptor = os.open(folder / "raw", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)

    async def commit(self, payloads: Sequence[bytes]) -> None:
        os.write(self._descriptor, b"".join(payloads))
        os.fsync(self._descriptor)

    async def close(self) -> None:
        os.close(self._descriptor)


class HeadOnly:
    """What the separately kept head costs by itself."""

    def __init__(self, folder: Path) -> None:
        self._head = Head(folder)

    async def commit(self, payloads: Sequence[bytes]) -> None:
        self._head.write(1, bytes(32))

    async def close(self) -> None:
        self._head.close()


class Segments:
    """The journal that ships."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def commit(self, payloads: Sequence[bytes]) -> None:
        await asyncio.gather(*[self._journal.append(KIND, payload)[1] for payload in payloads])

    async def close(self) -> None:
        await self._journal.close()


class Head:
    """The journal's head file beside another format."""

    def __init__(self, folder: Path) -> None:
        files = OsFiles()
        self._slot = HeadSlot(2, ID, 0, first_hash(ID), 0, 1, 1)
        create_head(files, str(folder), self._slot)
        self._file: File = files.open(str(folder / HEAD_NAME), write=True)

    def write(self, sequence: int, chain_hash: bytes) -> None:
        self._slot = HeadSlot(self._slot.generation + 1, ID, sequence, chain_hash, 0, 1, 1)
        write_head(self._file, self._slot)

    def close(self) -> None:
        self._file.close()


class Sqlite:
    """Chained rows in a WAL, the head beside it."""

    def __init__(self, folder: Path) -> None:
        self._database = sqlite3.connect(folder / "journal.db", isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.execute(
            "CREATE TABLE entries (sequence INTEGER PRIMARY KEY, kind INTEGER, payload BLOB, chain_hash BLOB)"
        )
        self._head = Head(folder)
        self._sequence, self._chain_hash = 0, first_hash(ID)

    async def commit(self, payloads: Sequence[bytes]) -> None:
        rows = []
        for payload in payloads:
            self._sequence += 1
            self._chain_hash = next_hash(self._chain_hash, self._sequence, int(KIND), payload)
            rows.append((self._sequence, int(KIND), payload, self._chain_hash))
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executemany("INSERT INTO entries VALUES (?, ?, ?, ?)", rows)
        self._database.execute("COMMIT")
        self._head.write(self._sequence, self._chain_hash)

    def checkpoint(self) -> None:
        """Moves what is in the WAL into the database's pages."""
        self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    async def close(self) -> None:
        self._head.close()
        self._database.close()


# ---- times


async def measure_times(folder: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds a commit, by format."""
    formats = await _formats(folder)
    payload = random.Random(SEED).randbytes(RECORD_BYTES)
    samples: dict[str, dict[int, list[float]]] = {name: {1: [], GROUP: []} for name in formats}
    end_s = time.monotonic() + MOST_TIMING_S
    for number in range(rounds):
        if number and time.monotonic() > end_s:
            break
        for name, one in formats.items():
            for size, count in ((1, SINGLES), (GROUP, GROUPS)):
                samples[name][size].extend(await _time(one, [payload] * size, count))
    for one in formats.values():
        await one.close()
    return {name: _figures(taken) for name, taken in samples.items()}


async def _formats(folder: Path) -> dict[str, Format]:
    paths = {name: folder / name for name in ("raw", "head", "segments", "single", "sqlite")}
    for path in paths.values():
        path.mkdir()
    threaded, _ = await open_journal(OsFiles(), str(paths["segments"]), lanes=ThreadLanes())
    single, _ = await open_journal(OsFiles(), str(paths["single"]), lanes=LoopLanes())
    return {
        "raw append + fsync": Raw(paths["raw"]),
        "segments (journal)": Segments(threaded),
        "segments, on one thread": Segments(single),
        "SQLite chained + head": Sqlite(paths["sqlite"]),
        "the head alone": HeadOnly(paths["head"]),
    }


async def _time(one: Format, payloads: Sequence[bytes], count: int) -> list[float]:
    taken = []
    for _ in range(count):
        begin = time.perf_counter()
        await one.commit(payloads)
        taken.append((time.perf_counter() - begin) * 1e3)
    return taken


def _figures(samples: dict[int, list[float]]) -> dict[str, float]:
    figures: dict[str, float] = {}
    for size, name in ((1, "single"), (GROUP, "group")):
        p50, p99 = np.percentile(samples[size], (50, 99))
        figures[f"{name}_p50_ms"], figures[f"{name}_p99_ms"] = round(float(p50), 3), round(float(p99), 3)
    return figures


# ---- damage


@dataclass(frozen=True, slots=True)
class Finding:
    """What reading a damaged journal gave: whether anything was said, and the records that were read, in order."""

    is_told: bool
    payloads: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Subject:
    """A sound journal of one format in a folder, how it is read, and how it is damaged."""

    folder: Path
    read: Callable[[Path], Finding]
    damage: Callable[[Path, str, random.Random], None]


async def measure_damage(folder: Path, count: int) -> dict[str, dict[str, float]]:
    """How often damage was told, harmless, missed, and what it took with it, by format."""
    payloads = [random.Random(number).randbytes(DAMAGE_BYTES) for number in range(DAMAGE_RECORDS)]
    subjects = await _subjects(folder, payloads)
    result: dict[str, dict[str, float]] = {}
    for name, subject in subjects.items():
        rng = random.Random(SEED)
        outcomes: Counter[str] = Counter({"told": 0, "harmless": 0, "missed": 0})
        intact = 0
        sound = subject.read(_copy(subject.folder, folder))
        if sound != Finding(False, tuple(payloads)):
            raise RuntimeError(f"{name}: the sound journal does not read as it was written")
        for number in range(count):
            copy = _copy(subject.folder, folder)
            subject.damage(copy, ("flip", "truncation", "swap")[number % 3], rng)
            finding = subject.read(copy)
            outcome = _outcome(finding, payloads)
            outcomes[outcome] += 1
            if outcome == "told":
                intact += _intact(finding, payloads)
        share = intact / max(1, outcomes["told"]) / len(payloads)
        result[name] = {"faults": count, **outcomes, "intact_read": round(share, 3)}
    return result


def _outcome(finding: Finding, payloads: Sequence[bytes]) -> str:
    if finding.is_told:
        return "told"
    return "harmless" if finding.payloads == tuple(payloads) else "missed"


def _intact(finding: Finding, payloads: Sequence[bytes]) -> int:
    """How many records from the beginning on are as they were written."""
    pairs = enumerate(zip(finding.payloads, payloads, strict=False))
    return next((place for place, (read, written) in pairs if read != written), len(finding.payloads))


async def _subjects(folder: Path, payloads: Sequence[bytes]) -> dict[str, Subject]:
    paths = {name: folder / f"sound-{name}" for name in ("segments", "wal", "pages")}
    for path in paths.values():
        path.mkdir()
    journal, _ = await open_journal(OsFiles(), str(paths["segments"]), new_id=lambda: ID)
    formats: dict[str, Format] = {
        "segments": Segments(journal), "wal": Sqlite(paths["wal"]), "pages": Sqlite(paths["pages"]),
    }  # fmt: skip
    for start in range(0, len(payloads), 4):
        for one in formats.values():
            await one.commit(payloads[start : start + 4])
    pages = formats["pages"]
    if isinstance(pages, Sqlite):
        pages.checkpoint()
    for name in ("wal", "pages"):  # as a killed process leaves it: a clean close would empty the WAL
        shutil.copytree(paths[name], folder / f"killed-{name}")
        await formats[name].close()
    await formats["segments"].close()
    return {
        "segments": Subject(paths["segments"], _read_segments, _damage_segments),
        "SQLite chained + head, in the WAL": Subject(folder / "killed-wal", _read_chained, _damage_wal),
        "SQLite chained + head, in pages": Subject(folder / "killed-pages", _read_chained, _damage_pages),
        "SQLite plain, in the WAL": Subject(folder / "killed-wal", _read_plain, _damage_wal),
        "SQLite plain, in pages": Subject(folder / "killed-pages", _read_plain, _damage_pages),
    }


def _copy(source: Path, folder: Path) -> Path:
    target = folder / "damaged"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*-shm", "spare*"))
    return target


def _read_segments(folder: Path) -> Finding:
    files, name = OsFiles(), str(folder)
    payloads = tuple(entry.payload for entry in salvage(files, name))
    return Finding(verify(files, name).damage is not None, payloads)


def _read_plain(folder: Path) -> Finding:
    """As one reads SQLite: an error is an error, and what comes without one is believed."""
    rows, is_told = _rows(folder)
    return Finding(is_told, tuple(payload for _, _, payload, _ in rows))


def _read_chained(folder: Path) -> Finding:
    """Rows up to the first that does not continue the chain, against the head."""
    rows, is_told = _rows(folder)
    chain_hash, payloads = first_hash(ID), []
    for place, (sequence, kind, payload, row_hash) in enumerate(rows):
        if sequence != place + 1 or not isinstance(payload, bytes):
            break
        expected = next_hash(chain_hash, sequence, kind, payload)
        if row_hash != expected:
            break
        chain_hash = expected
        payloads.append(payload)
    file = OsFiles().open(str(folder / HEAD_NAME))
    slot = read_head(file).slot
    file.close()
    is_head = slot is not None and (slot.sequence, slot.chain_hash) == (len(payloads), chain_hash)
    return Finding(is_told or not is_head, tuple(payloads))


def _rows(folder: Path) -> tuple[list[Any], bool]:
    rows: list[Any] = []
    database = sqlite3.connect(folder / "journal.db")
    try:
        database.execute("PRAGMA synchronous=OFF")  # the copy is thrown away
        for row in database.execute("SELECT sequence, kind, payload, chain_hash FROM entries ORDER BY sequence"):
            rows.append(row)
    except (sqlite3.Error, OverflowError, UnicodeDecodeError):
        return rows, True
    finally:
        database.close()
    return rows, False


def _damage_segments(folder: Path, fault: str, rng: random.Random) -> None:
    path = next(folder.glob("*.segment"))
    size = frame_bytes(DAMAGE_BYTES)
    group = -(-4 * size // BLOCK_BYTES) * BLOCK_BYTES
    end = BLOCK_BYTES + (DAMAGE_RECORDS // 4 - 1) * group + 4 * size
    frames = [BLOCK_BYTES + number // 4 * group + number % 4 * size for number in range(DAMAGE_RECORDS)]
    _damage(path, fault, rng, end, frames, size)


def _damage_wal(folder: Path, fault: str, rng: random.Random) -> None:
    path = folder / "journal.db-wal"
    size, page = path.stat().st_size, BLOCK_BYTES + 24
    _damage(path, fault, rng, size, range(32, size, page), page)


def _damage_pages(folder: Path, fault: str, rng: random.Random) -> None:
    path = folder / "journal.db"
    size = path.stat().st_size
    _damage(path, fault, rng, size, range(0, size, BLOCK_BYTES), BLOCK_BYTES)


def _damage(
    path: Path, fault: str, rng: random.Random, end: int, units: Sequence[int], unit_bytes: int
) -> None:
    """A flip or a cut before `end`, or two of the units swapped."""
    data = bytearray(path.read_bytes())
    if fault == "flip":
        data[rng.randrange(end)] ^= 1 << rng.randrange(8)
    elif fault == "truncation":
        del data[rng.randrange(end) :]
    else:
        first, second = sorted(rng.sample(list(units), 2))
        a, b = slice(first, first + unit_bytes), slice(second, second + unit_bytes)
        data[a], data[b] = data[b], data[a]
    path.write_bytes(data)


# ---- report


def _print(times: dict[str, dict[str, float]], damage: dict[str, dict[str, float]]) -> None:
    console = Console(width=120)
    table = Table(title=f"Commit of {RECORD_BYTES} bytes a record, ms")
    for column in ("format", "1: p50", "1: p99", f"{GROUP}: p50", f"{GROUP}: p99"):
        table.add_column(column, justify="left" if column == "format" else "right")
    for name, figures in times.items():
        table.add_row(name, *(f"{value:.3f}" for value in figures.values()))
    console.print(table)
    table = Table(title="Injected damage below the head")
    for column in ("format", "faults", "told", "harmless", "missed", "intact read"):
        table.add_column(column, justify="left" if column == "format" else "right")
    for name, counts in damage.items():
        table.add_row(name, *(str(value) for value in counts.values()))
    console.print(table)


def main() -> None:
    """See the module's head."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--short", action="store_true", help="seconds, to see that it runs")
    parser.add_argument("--folder", type=Path, help="a folder on the disk to measure (default: temporary files)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="journal-formats-") as made:
        times = asyncio.run(measure_times(Path(made), 4 if arguments.short else ROUNDS))
        damage = asyncio.run(measure_damage(Path(made), SHORT_FAULTS if arguments.short else FAULTS))
    _print(times, damage)
    result = {"record_bytes": RECORD_BYTES, "group": GROUP, "times": times, "damage": damage}
    line = json.dumps(result)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(line + "\n")
    print(line)


if __name__ == "__main__":
    main()
