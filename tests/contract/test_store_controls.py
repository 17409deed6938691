"""Halts and limits over real keepers and a real PostgreSQL: to every worker, to every host, through every restart."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from engine.limits import FIRM, Controls, HardLimits, Scope
from engine.records import OperationRecord, SelectionRecord
from store.controls import HALTED, LIMITS_CHANGED, RESUMED, limits_json
from store.controls_port import ControlView, CountCall
from store.embedded import EmbeddedPostgres
from store.errors import JournalFull, RecordInvalid
from store.journal.settings import JournalSettings
from store.keeper import Keeper
from store.keeper_client import RemoteKeeper
from store.keeper_ipc import serve_keeper
from store.migrate import migrate
from store.open_keeper import ControlPlace, JournalPlace, open_keeper
from store.pool import PoolSettings
from store.submission import Acknowledgement, Condition

NOWHERE = "postgresql://nobody@127.0.0.1:1/none"
SMALL = JournalSettings(1 << 20, segment_bytes=1 << 18, most_payload_bytes=1 << 19)
Eventually = Callable[..., Awaitable[None]]


@asynccontextmanager
async def host(
    folder: Path, url: str, name: str = "a", lease_s: float = 300.0, clock_ns: Callable[[], int] = time.time_ns
) -> AsyncIterator[Keeper]:
    own = folder / name
    own.mkdir(exist_ok=True)
    place = JournalPlace(own / "journal", SMALL)
    controls = ControlPlace(own / "controls.msgpack", lease_s, clock_ns)
    pool = PoolSettings(url, role="ess_service")
    stop_s = 0.2 if url == NOWHERE else 10.0
    async with open_keeper(pool, {}, place, host_id=name, stop_deadline_s=stop_s, controls=controls) as keeper:
        yield keeper


def halt(scope: Scope = Scope.FIRM, subject: str = "") -> OperationRecord:
    return OperationRecord(str(uuid.uuid4()), time.time_ns(), HALTED, str(scope), subject, "anna", "why", {})


def resume(halted: OperationRecord) -> OperationRecord:
    detail = {"halt_id": halted.operation_id}
    now_ns = time.time_ns()
    return OperationRecord(str(uuid.uuid4()), now_ns, RESUMED, halted.scope, halted.subject, "anna", "ok", detail)


def change(*limits: HardLimits) -> OperationRecord:
    detail = {"limits": [limits_json(one) for one in limits]}
    return OperationRecord(str(uuid.uuid4()), time.time_ns(), LIMITS_CHANGED, "FIRM", "", "anna", "why", detail)


def keys(controls: Controls) -> list[tuple[Scope, str]]:
    return [halt.key for halt in controls.halts]


async def test_a_halt_survives_a_restart_without_postgresql(short_tmp: Path) -> None:
    stop = halt(Scope.INSTRUMENT, "AIG")
    async with host(short_tmp, NOWHERE) as keeper:
        answer = await keeper.operate(stop, 0.05)
        assert [state.confirmed for state in keeper.metrics.hosts] == [True], "of others nobody knows"
        assert answer.is_new
        assert not answer.is_shared, "PostgreSQL is away, and the answer says so"
    (short_tmp / "a" / "controls.msgpack").unlink()
    async with host(short_tmp, NOWHERE) as keeper:
        assert keys(keeper.controls.view.controls) == [(Scope.INSTRUMENT, "AIG")], "from the journal alone"
        await keeper.operate(resume(stop), 0.05)
    async with host(short_tmp, NOWHERE) as keeper:
        assert keys(keeper.controls.view.controls) == []


async def test_a_halt_is_on_record_where_the_journal_is_full(
    short_tmp: Path, make_record: Callable[..., SelectionRecord]
) -> None:
    """It has room of its own: whoever halts while PostgreSQL is away for too long is not told to halt again."""
    stop = halt(Scope.INSTRUMENT, "AIG")
    async with host(short_tmp, NOWHERE) as keeper:
        with suppress(JournalFull):
            for number in range(1_000):
                await keeper.submit(make_record(f"o{number}", request=bytes(50_000)), Acknowledgement.JOURNALED)
        assert (await keeper.operate(stop, 0.05)).is_new
        with pytest.raises(JournalFull):
            await keeper.submit(make_record("one-more", request=bytes(50_000)), Acknowledgement.JOURNALED)
    (short_tmp / "a" / "controls.msgpack").unlink()
    async with host(short_tmp, NOWHERE) as keeper:
        assert keys(keeper.controls.view.controls) == [(Scope.INSTRUMENT, "AIG")], "from the journal alone"
        assert (await keeper.operate(resume(stop), 0.05)).is_new


async def test_a_file_that_cannot_be_read_leaves_nothing_allowed_until_postgresql_answers(
    short_tmp: Path, database: str, eventually: Eventually
) -> None:
    async with host(short_tmp, NOWHERE):
        pass
    (short_tmp / "a" / "controls.msgpack").write_bytes(b"\xc1 no such thing")
    async with host(short_tmp, NOWHERE) as keeper:
        assert not keeper.controls.view.is_known
        assert keeper.metrics.lease_used == 1.0
    async with host(short_tmp, database) as keeper:
        await eventually(lambda: keeper.controls.view.is_known)
        assert keeper.metrics.lease_used < 0.1


async def test_another_host_confirms_before_the_halt_is_answered(
    short_tmp: Path, database: str, eventually: Eventually
) -> None:
    async with host(short_tmp, database, "a") as first, host(short_tmp, database, "b") as second:
        stop = halt()
        begun_s = time.monotonic()
        answer = await first.operate(stop, 5.0)
        print(f"two hosts halted in {(time.monotonic() - begun_s) * 1e3:.0f} ms")
        both = {("a", True), ("b", True)}
        assert {(state.host_id, state.confirmed) for state in answer.hosts} == both
        for one in (first, second):
            await eventually(lambda one=one: {(s.host_id, s.confirmed) for s in one.metrics.hosts} == both)
        assert keys(second.controls.view.controls) == [FIRM]
        await second.operate(resume(stop), 5.0)
        assert keys(first.controls.view.controls) == []
        limits = HardLimits(Scope.DESK, "d", max_quantity_shares=5.0)
        answer = await second.operate(change(limits), 5.0)
        assert first.controls.view.controls.limits == (limits,)
        assert first.controls.view.limits_version == answer.limits_version


async def test_a_host_that_is_gone_is_pending_until_its_lease_runs_out(short_tmp: Path, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO control_hosts VALUES ('gone', 0, now(), now() + interval '1 second')"
        )
    async with host(short_tmp, database) as keeper:
        begun_s = time.monotonic()
        answer = await keeper.operate(halt(), 0.2)
        assert time.monotonic() - begun_s < 0.9
        (gone,) = [state for state in answer.hosts if state.host_id == "gone"]
        assert not gone.confirmed
        assert abs(gone.lease_expires_at_ns - time.time_ns()) < 2_000_000_000
        assert gone in keeper.metrics.hosts, "whoever asks what is in force is told the same"
        answer = await keeper.operate(halt(Scope.INSTRUMENT, "AIG"), 5.0)
        assert time.monotonic() - begun_s < 4.0, "not waited for beyond its lease"


async def test_a_host_without_postgresql_stops_when_its_lease_runs_out(short_tmp: Path) -> None:
    async with host(short_tmp, NOWHERE, lease_s=0.5) as keeper:
        until_ns = keeper.controls.view.lease_until_ns
        assert 0 < until_ns - time.monotonic_ns() <= 500_000_000
        assert 0.0 < keeper.metrics.lease_used < 1.0
        await asyncio.sleep(0.5)
        assert keeper.metrics.lease_used == 1.0
    async with host(short_tmp, NOWHERE, "without", lease_s=0.0) as keeper:
        assert keeper.metrics.lease_used == 0.0


async def test_a_lease_is_renewed_and_outlives_a_restart(
    short_tmp: Path, database: str, eventually: Eventually
) -> None:
    async with host(short_tmp, database, lease_s=1.0) as keeper:
        first_ns = keeper.controls.view.lease_until_ns
        await eventually(lambda: keeper.controls.view.lease_until_ns != first_ns)
    await asyncio.sleep(1.1)
    async with host(short_tmp, NOWHERE, lease_s=1.0) as keeper:
        assert keeper.controls.view.lease_until_ns <= time.monotonic_ns(), "it ran out while the host was down"


async def test_what_a_promoted_standby_never_heard_of_is_told_again(
    short_tmp: Path, eventually: Eventually
) -> None:
    """A halt, limits and the end of another halt; the server comes back as it was before all three, and by then
    somebody else has brought it to the same version."""
    with EmbeddedPostgres(short_tmp / "own") as conninfo:
        migrate(conninfo)
        async with host(short_tmp, conninfo, "a") as keeper:
            ended = halt(Scope.INSTRUMENT, "AIG")
            await keeper.operate(ended, 5.0)
    copying = await asyncio.create_subprocess_exec("cp", "-a", short_tmp / "own", short_tmp / "standby")
    assert await copying.wait() == 0
    servers = [EmbeddedPostgres(short_tmp / "own"), EmbeddedPostgres(short_tmp / "own")]
    with servers[0]:
        async with host(short_tmp, conninfo, "a") as first:
            await first.operate(resume(ended), 5.0)
            await first.operate(halt(Scope.INSTRUMENT, "MSFT"), 5.0)
            await first.operate(change(HardLimits(Scope.DESK, "d", max_quantity_shares=5.0)), 5.0)
            ((version,),) = rows(conninfo, "SELECT version FROM control_state")
            servers[0].stop()
            shutil.rmtree(short_tmp / "own")
            (short_tmp / "standby").rename(short_tmp / "own")
            with servers[1]:
                rows(conninfo, f"UPDATE control_state SET version = {version} RETURNING 1")
                assert rows(conninfo, "SELECT subject FROM halts WHERE resumed_at_ns = 0") == [("AIG",)]
                async with host(short_tmp, conninfo, "b") as second:
                    await eventually(lambda: keys(second.controls.view.controls) == [(Scope.INSTRUMENT, "MSFT")])
                    await eventually(lambda: len(second.controls.view.controls.limits) == 1)
                assert keys(first.controls.view.controls) == [(Scope.INSTRUMENT, "MSFT")]


def rows(conninfo: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


async def test_a_clock_that_is_not_postgresqls_is_told(
    short_tmp: Path, database: str, eventually: Eventually
) -> None:
    behind_ns = 0
    async with host(short_tmp, database, clock_ns=lambda: time.time_ns() - behind_ns) as keeper:
        await eventually(lambda: keeper.metrics.lease_used < 0.1)
        assert abs(keeper.metrics.clock_ahead_s) < 0.5
        behind_ns = 600 * 10**9
        await eventually(lambda: -601.0 < keeper.metrics.clock_ahead_s < -599.0)


async def test_every_worker_has_a_halt_before_it_is_answered(short_tmp: Path, database: str) -> None:
    async with host(short_tmp, database) as keeper:
        server = await serve_keeper(keeper, short_tmp / "k.sock")
        workers = [RemoteKeeper(short_tmp / "k.sock") for _ in range(3)]
        views: list[list[ControlView]] = [[] for _ in workers]
        for worker, seen in zip(workers, views, strict=True):
            worker.watch_controls(seen.append)
            assert not seen[-1].is_known, "nothing is allowed before the keeper has said what is"
            await worker.start()
        begun_s = time.monotonic()
        await workers[0].operate(halt(Scope.GATEWAY, "g"), 1.0)
        took_s = time.monotonic() - begun_s
        assert all(keys(seen[-1].controls) == [(Scope.GATEWAY, "g")] for seen in views)
        print(f"three workers halted in {took_s * 1e3:.0f} ms")
        for worker in workers:
            await worker.close()
        await server.close()


async def test_a_worker_that_does_not_take_a_halt_is_cut_off(
    short_tmp: Path, database: str, eventually: Eventually
) -> None:
    async with host(short_tmp, database) as keeper:
        server = await serve_keeper(keeper, short_tmp / "k.sock")
        deaf = RemoteKeeper(short_tmp / "k.sock")

        def fails(view: ControlView) -> None:
            if view.controls.halts:
                raise RuntimeError("no room")

        deaf.watch_controls(fails)
        conditions: list[Condition] = []
        deaf.watch_state(lambda state: conditions.append(state.condition))
        await deaf.start()
        await eventually(lambda: conditions[-1] is Condition.READY)
        conditions.clear()
        await keeper.operate(halt(), 0.0)
        await eventually(lambda: Condition.AWAY in conditions)
        await deaf.close()
        await server.close()


async def test_a_subject_that_repeats_itself_is_counted_over_all_workers(short_tmp: Path, database: str) -> None:
    async with host(short_tmp, database) as keeper:
        await keeper.operate(change(HardLimits(Scope.FIRM, "", max_repeats_per_minute=1)), 0.0)
        like = ("AIG", 1.0, 100.0)
        assert not (await keeper.count(CountCall((FIRM,), "o1", like, time.time_ns()))).breaches
        counted = await keeper.count(CountCall((FIRM,), "o2", like, time.time_ns()))
        assert counted.tripped[0][0] == FIRM
        stop = halt()
        await keeper.operate(stop, 0.0)
        await keeper.operate(resume(stop), 0.0)
        assert not (await keeper.count(CountCall((FIRM,), "o3", like, time.time_ns()))).breaches, "a person said so"


async def test_what_nobody_halted_cannot_be_resumed(short_tmp: Path, database: str) -> None:
    async with host(short_tmp, database) as keeper:
        with pytest.raises(RecordInvalid):
            await keeper.operate(resume(halt()), 0.0)


async def test_who_did_what_stands_in_the_append_only_table(short_tmp: Path, database: str) -> None:
    async with host(short_tmp, database) as keeper:
        stop = halt(Scope.INSTRUMENT, "AIG")
        await keeper.operate(stop, 1.0)
        await keeper.operate(resume(stop), 1.0)
        await keeper.operate(change(HardLimits(Scope.FIRM, "", 5.0)), 1.0)
    with psycopg.connect(database) as connection:
        query = "SELECT kind, scope, subject, actor FROM operations ORDER BY created_at_ns"
        rows = connection.execute(query).fetchall()
    assert rows == [
        ("HALTED", "INSTRUMENT", "AIG", "anna"), ("RESUMED", "INSTRUMENT", "AIG", "anna"),
        ("LIMITS_CHANGED", "FIRM", "", "anna"),
    ]  # fmt: skip


async def test_an_operation_that_cannot_be_read_is_refused_and_one_in_the_journal_allows_nothing(
    short_tmp: Path,
) -> None:
    unreadable = OperationRecord(str(uuid.uuid4()), time.time_ns(), LIMITS_CHANGED, "FIRM", "", "anna", "why", {})
    async with host(short_tmp, NOWHERE) as keeper:
        with pytest.raises(RecordInvalid):
            await keeper.operate(unreadable, 0.0)
        with pytest.raises(RecordInvalid):
            await keeper.operate(dataclasses.replace(halt(), scope="MOON"), 0.0)
        await keeper.record(unreadable, Acknowledgement.JOURNALED)
    async with host(short_tmp, NOWHERE) as keeper:
        assert not keeper.controls.view.is_known
