"""How fast the drainer takes decisions from the journal to PostgreSQL, against a raw COPY of the very same rows.

The rows are real: a service decides a few dozen orders, and its records are multiplied under fresh ids. The drainer is
the shipped one, from segments on disk to committed batches. What it is compared with is the best that PostgreSQL does:
the rows that a drain left behind, exported in binary, copied into the same partitioned tables with the same indexes,
`orders` and outbox included, in one transaction and from memory. Both in turns, each into a fresh database.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from benchmarks.durability.common import Figures, Section, at_least, database_server, say
from engine.records import Event, RecordKind, SelectionRecord
from store.drainer import Drainer
from store.journal.files import OsFiles
from store.journal.journal import Journal, open_journal
from store.journal.port import Entry, Head, JournalMetrics
from store.journal.settings import JournalSettings
from store.migrate import migrate
from store.payload import decode, encode
from store.pool import PoolSettings, make_pool
from store.postgres_sink import PostgresSink
from store.rows.reading import read_events, read_records
from store.rows.tables import TABLES
from tests.fault.killing.host import killable_host, url_of
from tests.fault.killing.server import ServerProcess
from tests.helpers.live_service import Gateway, order, seed_reference

FULL_ROWS, SHORT_ROWS = 20_000, 2_000
FULL_TURNS, SHORT_TURNS = 3, 1
TEMPLATE = "ess_bench_template"
COPIED = ("strategy_selections", "orders", "outbox")
RATIO_WANTED = 0.4
SAMPLES = 48
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Turn:
    """Seconds of one drain and one copy of the same rows."""

    drain_s: float
    copy_s: float


class Kept:
    """A journal that is read from the start again and again: what is drained stays. A JournalPort."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @property
    def journal_id(self) -> str:
        return self._journal.journal_id

    @property
    def head(self) -> Head:
        return self._journal.head

    @property
    def metrics(self) -> JournalMetrics:
        return replace(self._journal.metrics, drained_sequence=0)

    def append(
        self, kind: RecordKind, payload: bytes, in_haste: bool = True
    ) -> tuple[int, asyncio.Future[Head]]:
        return self._journal.append(kind, payload)

    async def read(self, after: int, most: int, most_bytes: int) -> Sequence[Entry]:
        return await self._journal.read(after, most, most_bytes)

    async def wait_beyond(self, sequence: int) -> Head:
        return await self._journal.wait_beyond(sequence)

    def drained(self, sequence: int) -> None:
        """Nothing goes."""

    async def close(self) -> None:
        await self._journal.close()


def real_records(server: ServerProcess, folder: Path) -> list[SelectionRecord]:
    """Decisions as the service makes and stores them, with their events."""
    instruments = sorted(seed_reference()[0])
    with killable_host(folder, url_of(server.conninfo)) as host, Gateway(host.target) as gateway:
        for number in range(SAMPLES):
            request = order(
                instrument_id=instruments[number % len(instruments)], quantity=100 * (number + 10),
                urgency=("LOW", "NORMAL", "HIGH", "URGENT")[number % 4], acknowledgement="COMMITTED",
            )  # fmt: skip
            gateway.recommend(request)
    with psycopg.connect(server.conninfo) as connection:
        (journal_id,) = connection.execute("SELECT journal_id FROM journals").fetchone() or ("",)
        events = {event.sequence: event.event for event in read_events(connection, journal_id)}
        table = TABLES[RecordKind.SELECTION]
        found = [
            decode(RecordKind.SELECTION, entry.with_event(events.get(entry.sequence)))
            for entry in read_records(connection, table, journal_id)
        ]
    return [record for record in found if isinstance(record, SelectionRecord)]


def multiplied(samples: Sequence[SelectionRecord], rows: int) -> Iterator[SelectionRecord]:
    """The same decisions of other orders, a few microseconds apart."""
    begun_ns = time.time_ns()
    for number in range(rows):
        sample = samples[number % len(samples)]
        selection_id, order_id = str(uuid.uuid4()), f"drain-{next(_numbers)}"
        payload = sample.event.payload if sample.event is not None else "{}"
        event = Event(str(uuid.uuid4()), "execution_strategy_selected", "order", order_id, payload)
        yield msgspec.structs.replace(
            sample, selection_id=selection_id, order_id=order_id, created_at_ns=begun_ns + number * 5_000, event=event
        )


class _Databases:
    """Fresh ones from a migrated template whose partitions are made."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server

    async def make_template(self) -> None:
        self._create(TEMPLATE, "template1")
        conninfo = make_conninfo(self._server.conninfo, dbname=TEMPLATE)
        migrate(conninfo)
        async with make_pool(PoolSettings(conninfo, role="ess_service")) as pool:
            await PostgresSink(pool, "bench").position("template")

    def fresh(self) -> str:
        name = f"bench_{uuid.uuid4().hex[:10]}"
        self._create(name, TEMPLATE)
        with psycopg.connect(self._server.conninfo, autocommit=True) as connection:
            connection.execute("CHECKPOINT")
        return make_conninfo(self._server.conninfo, dbname=name)

    def drop(self, conninfo: str) -> None:
        name = psycopg.conninfo.conninfo_to_dict(conninfo)["dbname"]
        self._run(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(str(name))))

    def _create(self, name: str, template: str) -> None:
        made = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY wal_log")
        self._run(made.format(sql.Identifier(name), sql.Identifier(template)))

    def _run(self, statement: sql.Composed) -> None:
        with psycopg.connect(self._server.conninfo, autocommit=True) as connection:
            connection.execute(statement)


async def drain(journal: Journal, conninfo: str) -> float:
    """Seconds from the drainer's start until PostgreSQL has everything."""
    async with make_pool(PoolSettings(conninfo, role="ess_service")) as pool:
        await pool.wait()
        drainer = Drainer(Kept(journal), PostgresSink(pool, "bench"))
        begun_s = time.perf_counter()
        drainer.start()
        await drainer.committed(journal.head.sequence, "")
        took_s = time.perf_counter() - begun_s
        await drainer.stop(1.0)
    return took_s


def export(conninfo: str) -> dict[str, bytes]:
    """The rows as COPY's binary format has them."""
    found = {}
    with psycopg.connect(conninfo) as connection, connection.cursor() as cursor:
        for table in COPIED:
            query = sql.SQL("COPY (SELECT * FROM {}) TO STDOUT (FORMAT BINARY)").format(sql.Identifier(table))
            with cursor.copy(query) as copy:
                found[table] = b"".join(bytes(part) for part in copy)
    return found


def copy_raw(rows: dict[str, bytes], conninfo: str) -> float:
    """Seconds of copying them in, in one transaction."""
    with psycopg.connect(conninfo) as connection, connection.cursor() as cursor:
        begun_s = time.perf_counter()
        for table, data in rows.items():
            query = sql.SQL("COPY {} FROM STDIN (FORMAT BINARY)").format(sql.Identifier(table))
            with cursor.copy(query) as copy:
                view = memoryview(data)
                for start in range(0, len(view), 1 << 17):
                    copy.write(view[start : start + (1 << 17)])
        connection.commit()
        return time.perf_counter() - begun_s


def counts(conninfo: str) -> tuple[int, ...]:
    with psycopg.connect(conninfo) as connection:
        found = [connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(t))) for t in COPIED]
        return tuple(int((cursor.fetchone() or (0,))[0]) for cursor in found)


async def measure(server: ServerProcess, folder: Path, rows: int, turns: int) -> Figures:
    samples = real_records(server, folder)
    databases = _Databases(server)
    await databases.make_template()
    journal, _ = await open_journal(OsFiles(), str(folder / "bench-journal"), JournalSettings(limit_bytes=1 << 32))
    payload_bytes, durable = 0, []
    for record in multiplied(samples, rows):
        payload = encode(record)
        payload_bytes += len(payload)
        durable.append(journal.append(RecordKind.SELECTION, payload)[1])
    await asyncio.gather(*durable)
    taken = [await _turn(databases, journal, rows) for _ in range(turns)]
    await journal.close()
    drain_s, copy_s = statistics.median(t.drain_s for t in taken), statistics.median(t.copy_s for t in taken)
    return {
        "drain_ratio": round(copy_s / drain_s, 3), "drain_ratios": [round(t.copy_s / t.drain_s, 3) for t in taken],
        "drain_rows_per_s": round(rows / drain_s), "copy_rows_per_s": round(rows / copy_s), "rows": rows,
        "payload_bytes_mean": round(payload_bytes / rows), "samples": len(samples),
    }  # fmt: skip


async def _turn(databases: _Databases, journal: Journal, rows: int) -> Turn:
    drained = databases.fresh()
    drain_s = await drain(journal, drained)
    exported = export(drained)
    expected = (rows, rows, rows)
    if counts(drained) != expected:
        raise RuntimeError(f"the drain left {counts(drained)} rows, not {expected}")
    databases.drop(drained)
    copied = databases.fresh()
    copy_s = copy_raw(exported, copied)
    if counts(copied) != expected:
        raise RuntimeError(f"the copy left {counts(copied)} rows, not {expected}")
    databases.drop(copied)
    return Turn(drain_s, copy_s)


def run(short: bool) -> Figures:
    say("drain: journal to PostgreSQL against a raw COPY")
    with database_server() as (folder, server):
        rows, turns = (SHORT_ROWS, SHORT_TURNS) if short else (FULL_ROWS, FULL_TURNS)
        return asyncio.run(measure(server, folder, rows, turns))


def section(short: bool) -> Section:
    return Section("drain", run, {} if short else at_least("drain_ratio", RATIO_WANTED))
