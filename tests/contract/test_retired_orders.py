"""An order that is repeated after `ess retention` took the week of its decision away: told so, and where it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from google.rpc import error_details_pb2, status_pb2

from engine.values import MarketState
from service.adapt import AdaptSettings
from service.errors import RETIRED, RpcError
from store.claims import Verdict
from store.decisions import KeeperSettings
from store.drainer import DrainerSettings
from store.errors import DecisionRetired
from store.journal.settings import JournalSettings
from store.keeper import Keeper
from store.open_keeper import JournalPlace, open_keeper
from store.partitions import week_of, week_start
from store.pool import PoolSettings
from store.retention import RetentionPlan, retire
from store.submission import Acknowledgement
from tests.conftest import MakeRecord
from tests.helpers.adapt_host import START_NS, Host
from tests.helpers.chains import MOMENT_NS

MONDAY = week_start(week_of(MOMENT_NS))


@asynccontextmanager
async def keeper_on(database: str, folder: Path) -> AsyncIterator[Keeper]:
    """Of a host without what another one's journal has, as any is a few weeks later."""
    place = JournalPlace(folder, JournalSettings(segment_bytes=1 << 20))
    async with open_keeper(
        PoolSettings(database, role="ess_service"), {"AAPL": MarketState(as_of_ns=0)}, place, host_id=folder.name,
        drainer_settings=DrainerSettings(batch_wait_s=0.002), settings=KeeperSettings(load_wait_s=5.0),
    ) as keeper:
        yield keeper


def retire_week(database: str, moment_ns: int, archive: Path | None = None) -> None:
    later = datetime.fromtimestamp(moment_ns // 10**9, tz=UTC) + timedelta(weeks=3)
    report = retire(database, RetentionPlan(keep_weeks=1, archive_dir=archive, drop=True), now=lambda: later)
    assert len(report.retired) == 1


@pytest.mark.parametrize("acknowledgement", Acknowledgement)
async def test_a_repetition_is_told_where_its_decision_is(
    database: str, short_tmp: Path, tmp_path: Path, make_record: MakeRecord, acknowledgement: Acknowledgement
) -> None:
    first = make_record("o", request_hash="h", created_at_ns=MOMENT_NS)
    async with keeper_on(database, short_tmp / "a") as keeper:
        await keeper.submit(first, Acknowledgement.COMMITTED)
    retire_week(database, MOMENT_NS, tmp_path)
    async with keeper_on(database, short_tmp / "b") as keeper:
        with pytest.raises(DecisionRetired) as told:
            await keeper.submit(make_record("o", request_hash="h"), acknowledgement)
        file = exported(tmp_path)
        for named in (first.selection_id, f"{MONDAY:%Y-%m-%d}", file, "another order_id"):
            assert named in str(told.value)
        other = await keeper.submit(make_record("o", request_hash="x"), acknowledgement)
        assert other.verdict is Verdict.CONFLICT
        assert (await keeper.submit(make_record("new"), acknowledgement)).verdict is Verdict.ACCEPTED


async def test_a_week_that_was_not_exported_and_one_that_went_twice(
    database: str, short_tmp: Path, tmp_path: Path, make_record: MakeRecord
) -> None:
    async with keeper_on(database, short_tmp / "a") as keeper:
        await keeper.submit(make_record("o", request_hash="h", created_at_ns=MOMENT_NS), Acknowledgement.COMMITTED)
    retire_week(database, MOMENT_NS)
    async with keeper_on(database, short_tmp / "b") as keeper:
        with pytest.raises(DecisionRetired, match="was not exported"):
            await keeper.submit(make_record("o", request_hash="h"), Acknowledgement.JOURNALED)
        # A host that was away makes the week again.
        await keeper.submit(make_record("late", created_at_ns=MOMENT_NS), Acknowledgement.COMMITTED)
    retire_week(database, MOMENT_NS, tmp_path)
    async with keeper_on(database, short_tmp / "c") as keeper:
        # What was kept of the week is exported with what came later, each to a file of its own.
        one = r"strategy_selections_p\w+\.\w+\.csv\.gz"
        with pytest.raises(DecisionRetired, match=f"is in {one}, {one} of that archive"):
            await keeper.submit(make_record("o", request_hash="h"), Acknowledgement.JOURNALED)


async def test_a_gateway_gets_a_status_that_it_does_not_repeat(database: str, short_tmp: Path, tmp_path: Path) -> None:
    async with keeper_on(database, short_tmp / "a") as keeper:
        answer = await Host(keeper, AdaptSettings(), [START_NS]).recommend()
        again = await Host(keeper, AdaptSettings(), [START_NS + 1]).recommend()
        assert again.selection_id == answer.selection_id
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM strategy_selections").fetchone() == (1,)
    retire_week(database, START_NS, tmp_path)
    async with keeper_on(database, short_tmp / "b") as keeper:
        with pytest.raises(RpcError) as told:
            await Host(keeper, AdaptSettings(), [START_NS]).recommend()
    assert told.value.code is grpc.StatusCode.FAILED_PRECONDITION
    failure, info = error_details_pb2.PreconditionFailure(), error_details_pb2.ErrorInfo()
    first, second = details(told.value)
    assert first.Unpack(failure)
    assert second.Unpack(info)
    (violation,) = failure.violations
    assert (violation.type, violation.subject, info.reason) == (RETIRED, "order_id", RETIRED)
    file = exported(tmp_path)
    for named in (answer.selection_id, file, "A new order needs another order_id"):
        assert named in violation.description


def exported(archive: Path) -> str:
    """The file of the decisions."""
    (file,) = (path.name for path in archive.glob("strategy_selections_*"))
    return file


def details(error: RpcError) -> tuple[Any, ...]:
    return tuple(status_pb2.Status.FromString(error.details).details)
