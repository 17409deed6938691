"""What workers report and coordinators write of artifacts, in a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest

from store.artifact_store import REPORTS_CHANNEL, ArtifactStore, WorkerReport
from store.learning_rows import CHANNEL
from store.outbox_bell import OutboxBell
from store.pool import PoolSettings, make_pool
from store.server_checks import SERVICE_ROLE


@asynccontextmanager
async def store_on(conninfo: str) -> AsyncIterator[ArtifactStore]:
    """As the service connects: with its role's rights alone."""
    async with make_pool(PoolSettings(conninfo, min_size=0, max_size=3, role=SERVICE_ROLE)) as pool:
        yield ArtifactStore(pool)


async def test_reports_replace_each_other_and_tell_whose_lease_ran_out(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("INSERT INTO control_hosts VALUES ('a', 0, now(), NULL), ('b', 0, now(), now())")
    async with store_on(database) as store:
        for host in ("a", "b", "never-confirmed"):
            await store.report(WorkerReport(host, 0, "m1"))
        await store.report(WorkerReport("a", 0, "m2", 7, "FAILED", 3, "why"))
        await store.report(WorkerReport("a", 5, "m2"))
        found = {(one.host_id, one.worker_index): one for one in await store.workers()}
        assert found[("a", 0)] == WorkerReport("a", 0, "m2", 7, "FAILED", 3, "why")
        # No lease at all is for ever; one that ran out, and a host that never had one, are waited for no more.
        live = {key[0]: one.is_live for key, one in found.items()}
        assert live == {"a": True, "b": False, "never-confirmed": False}
        await store.forget_above("a", 1)
        await store.leave("b", 0)
        assert {(one.host_id, one.worker_index) for one in await store.workers()} == {("a", 0), ("never-confirmed", 0)}


async def test_the_last_row_is_in_force_and_none_can_be_changed(database: str) -> None:
    async with store_on(database) as store:
        assert (await store.in_force(), await store.proposed(), await store.shadow()) == (None, None, "")
        await store.put_in_force("m2", "m1", "PROMOTED", "rita", "better")
        number = await store.put_in_force("m1", "m2", "ROLLED_BACK", "service", "worse")
        force = await store.in_force()
        assert force is not None
        assert (force.number, force.models_sha256, force.previous_sha256) == (number, "m1", "m2")
        assert force.actor == "service"
        asked = await store.propose("m3", True, "rita", "a look")
        proposal = await store.proposed()
        assert proposal is not None
        assert (proposal.number, proposal.models_sha256, proposal.is_shadow) == (asked, "m3", True)
        await store.put_shadow("m3", "rita", "a look")
        assert await store.shadow() == "m3"
    with psycopg.connect(database, autocommit=True) as connection:
        for table in ("artifact_proposals", "artifact_shadows", "model_promotions"):
            with pytest.raises(psycopg.Error, match="append-only"):
                connection.execute(f"UPDATE {table} SET reason = 'other'".encode())


async def test_one_activation_at_a_time(database: str) -> None:
    async with store_on(database) as first, store_on(database) as second:
        async with first.alone() as held, second.alone() as too:
            assert (held, too) == (True, False)
        async with second.alone() as held:
            assert held


async def test_workers_hear_of_proposals_and_the_catalogue_and_coordinators_of_reports(database: str) -> None:
    settings = PoolSettings(database)
    workers, coordinators = OutboxBell(settings, channel=CHANNEL), OutboxBell(settings, channel=REPORTS_CHANNEL)
    for bell in (workers, coordinators):
        bell.start()
    try:
        for bell in (workers, coordinators):
            await asyncio.wait_for(bell.wait(0, 5.0), 6.0)  # it listens now
        async with store_on(database) as store:
            heard = workers.rings, coordinators.rings
            await store.propose("m3", False, "rita", "better")
            await workers.wait(heard[0], 5.0)
            assert (workers.rings > heard[0], coordinators.rings) == (True, heard[1])
            heard = workers.rings, coordinators.rings
            await store.report(WorkerReport("a", 0, "m1"))
            await coordinators.wait(heard[1], 5.0)
            assert (workers.rings, coordinators.rings > heard[1]) == (heard[0], True)
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("UPDATE execution_strategies SET enabled = enabled")
        await workers.wait(heard[0], 5.0)
        assert workers.rings > heard[0]
    finally:
        for bell in (workers, coordinators):
            await bell.stop()
