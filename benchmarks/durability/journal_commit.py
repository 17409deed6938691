"""One record made durable by the journal, against a raw loop that appends the same bytes and calls fsync.

Both on the same disk, in turns of a few hundred, so that whatever else the disk does meets both. One record is in
flight at a time: the journal writes and syncs the data, then the head, so it syncs twice where the loop syncs once.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.durability.common import (
    SEED,
    Figures,
    Section,
    at_most,
    quantile_of,
    quantile_ratio,
    say,
    scratch,
)
from engine.records import RecordKind
from store.journal.files import OsFiles
from store.journal.journal import Journal, open_journal
from store.journal.settings import JournalSettings

# As a decision is (request, response, inputs), in bytes.
LEAST_BYTES, MOST_BYTES = 5_000, 9_000
BLOCK = 200
FULL_BLOCKS, SHORT_BLOCKS = 60, 8
GROUPED = 16
P99_RATIO_LIMIT = 3.0


class RawFile:
    """Append and fsync, and nothing else."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def append(self, data: bytes) -> None:
        os.write(self._descriptor, data)
        os.fsync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


def raw_block(file: RawFile, records: list[bytes]) -> NDArray[np.float64]:
    """Milliseconds of each."""
    taken = []
    for data in records:
        begun_ns = time.perf_counter_ns()
        file.append(data)
        taken.append((time.perf_counter_ns() - begun_ns) / 1e6)
    return np.array(taken)


async def journal_block(journal: Journal, records: list[bytes]) -> NDArray[np.float64]:
    taken = []
    for data in records:
        begun_ns = time.perf_counter_ns()
        _, durable = journal.append(RecordKind.SELECTION, data)
        await durable
        taken.append((time.perf_counter_ns() - begun_ns) / 1e6)
    journal.drained(journal.head.sequence)
    return np.array(taken)


async def grouped_block(journal: Journal, records: list[bytes]) -> tuple[NDArray[np.float64], float]:
    """With several in flight: milliseconds of each, and records a second."""
    gate = asyncio.Semaphore(GROUPED)

    async def one(data: bytes) -> float:
        async with gate:
            begun_ns = time.perf_counter_ns()
            _, durable = journal.append(RecordKind.SELECTION, data)
            await durable
            return (time.perf_counter_ns() - begun_ns) / 1e6

    begun_s = time.perf_counter()
    taken = await asyncio.gather(*map(one, records))
    rate = len(records) / (time.perf_counter() - begun_s)
    journal.drained(journal.head.sequence)
    return np.array(taken), rate


async def measure(folder: Path, blocks: int) -> Figures:
    chance = random.Random(SEED)
    journal, _ = await open_journal(OsFiles(), str(folder / "journal"), JournalSettings())
    file = RawFile(folder / "raw")
    raw, single, grouped, rates = [], [], [], []
    for number in range(blocks + 1):
        records = [chance.randbytes(chance.randint(LEAST_BYTES, MOST_BYTES)) for _ in range(BLOCK)]
        alone = raw_block(file, records)
        one = await journal_block(journal, records)
        several, rate = await grouped_block(journal, records)
        if number:  # the first of each warms up
            raw.append(alone)
            single.append(one)
            grouped.append(several)
            rates.append(rate)
    await journal.close()
    file.close()
    ratio, interval = quantile_ratio(single, raw, 0.99)
    return {
        "journal_p99_vs_fsync": round(ratio, 3), "journal_p99_vs_fsync_interval": interval,
        "journal_p50_ms": round(quantile_of(single, 0.5), 4), "journal_p99_ms": round(quantile_of(single, 0.99), 4),
        "fsync_p50_ms": round(quantile_of(raw, 0.5), 4), "fsync_p99_ms": round(quantile_of(raw, 0.99), 4),
        f"journal_p50_ms_{GROUPED}_in_flight": round(quantile_of(grouped, 0.5), 4),
        f"journal_p99_ms_{GROUPED}_in_flight": round(quantile_of(grouped, 0.99), 4),
        f"journal_records_per_s_{GROUPED}_in_flight": round(float(np.median(rates))),
        "records": blocks * BLOCK,
    }  # fmt: skip


def run(short: bool) -> Figures:
    say("journal: commits against append and fsync")
    with scratch() as folder:
        return asyncio.run(measure(folder, SHORT_BLOCKS if short else FULL_BLOCKS))


def section(short: bool) -> Section:
    return Section("journal", run, {} if short else at_most("journal_p99_vs_fsync", P99_RATIO_LIMIT))
