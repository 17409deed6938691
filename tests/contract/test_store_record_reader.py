"""What a replay reads, out of a real PostgreSQL that a real keeper filled."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from engine.records import ReferenceRecord, SelectionRecord
from engine.values import MarketState
from service.engine_build import this_build
from service.reference import sources_of
from service.reference_keeper import Active, ReferenceKeeper
from store.archive import Archive, pack, unpack
from store.artifacts import write_artifact
from store.errors import StoreUnavailable
from store.journal.settings import JournalSettings
from store.keeper import Keeper
from store.open_keeper import JournalPlace, open_keeper
from store.pool import PoolSettings, make_pool
from store.record_reader import PostgresRecords, RecordedSelection
from store.submission import Acknowledgement
from tests.helpers import world

Make = Callable[..., SelectionRecord]
COMMITTED = Acknowledgement.COMMITTED


@asynccontextmanager
async def keeper_and_records(database: str, folder: Path) -> AsyncIterator[tuple[Keeper, PostgresRecords]]:
    """Both as the service's role, which may only append."""
    settings = PoolSettings(database, acquire_timeout_s=2.0, role="ess_service")
    place = JournalPlace(folder, JournalSettings(segment_bytes=1 << 20))
    pool = make_pool(settings)
    await pool.open(wait=False)
    async with open_keeper(settings, {"AAPL": MarketState(0)}, place, host_id="host-a") as keeper:
        yield keeper, PostgresRecords(pool)
    await pool.close(timeout=2.0)


async def test_a_recorded_selection_comes_back_byte_for_byte(database: str, short_tmp: Path, make_record: Make) -> None:
    every_byte = bytes(range(256))
    record = make_record(
        created_at_ns=time.time_ns(), inputs=every_byte, request=every_byte[::-1], response=every_byte * 2
    )
    bare = make_record(created_at_ns=time.time_ns())
    async with keeper_and_records(database, short_tmp) as (keeper, records):
        for each in (record, bare):
            await keeper.submit(each, COMMITTED)
        found = await records.selection(record.selection_id.upper())
        assert found == RecordedSelection(
            record.selection_id, record.order_id, record.request_hash, record.created_at_ns, record.request,
            record.response, record.inputs,
        )
        without = await records.selection(bare.selection_id)
        assert without is not None
        assert without.inputs == b""
        assert await records.selection(str(uuid.uuid4())) is None


async def test_reference_data_come_back_by_their_hash(database: str, short_tmp: Path) -> None:
    packed = pack("sessions", b"all of a year " * 500)
    record = ReferenceRecord(str(uuid.uuid4()), time.time_ns(), packed.kind, packed.sha256, packed.content)
    async with keeper_and_records(database, short_tmp) as (keeper, records):
        await keeper.record(record, COMMITTED)
        content = await records.reference(packed.sha256)
        assert content is not None
        assert unpack(packed.sha256, content) == b"all of a year " * 500
        assert await records.reference("0" * 64) is None


async def test_what_a_start_records_can_be_read_without_its_archive(database: str, short_tmp: Path) -> None:
    write_artifact(short_tmp / "models", "models", {"a.bin": b"x"}, {})
    active = Active(sources_of(world.usual(), this_build()), (short_tmp / "models",))
    async with keeper_and_records(database, short_tmp / "journal") as (keeper, records):
        await ReferenceKeeper(Archive(short_tmp / "archive"), keeper, active).start()
        # What is journaled after them is committed after them.
        last = ReferenceRecord(str(uuid.uuid4()), time.time_ns(), "sessions", "f" * 64, b"")
        await keeper.record(last, COMMITTED)
        for packed in active.sources.packed:
            assert await records.reference(packed.sha256) == packed.content


async def test_a_database_that_is_away_is_unavailable(short_tmp: Path) -> None:
    pool = make_pool(PoolSettings(f"host={short_tmp} dbname=nobody", acquire_timeout_s=0.2, connect_timeout_s=1))
    await pool.open(wait=False)
    records = PostgresRecords(pool)
    with pytest.raises(StoreUnavailable):
        await records.selection(str(uuid.uuid4()))
    with pytest.raises(StoreUnavailable):
        await records.reference("0" * 64)
    await pool.close(timeout=1.0)
