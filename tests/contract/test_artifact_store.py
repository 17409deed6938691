"""What workers report and coordinators write of artifacts, in a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest

from service.activating import NotActivated, refuse_unprepared
from store.artifact_store import REPORTS_CHANNEL, UNHEARD_S, ArtifactStore, WorkerReport
from store.learning_rows import CHANNEL
from store.outbox_bell import OutboxBell
from store.pool import PoolSettings, make_pool
from store.server_checks import SERVICE_ROLE


@asynccontextmanager
async def store_on(conninfo: str, journal_id: str = "") -> AsyncIterator[ArtifactStore]:
    """As the service connects: with its role's rights alone."""
    async with make_pool(PoolSettings(conninfo, min_size=0, max_size=3, role=SERVICE_ROLE)) as pool:
        yield ArtifactStore(pool, journal_id)


ONE, OTHER = "00000000-0000-4000-8000-0000000000a1", "00000000-0000-4000-8000-0000000000b2"
SECOND = "ess#000000b2"


def confirm(database: str, *hosts: tuple[str, str, str]) -> None:
    """Rows of `control_hosts`: (name, journal, how long its lease is)."""
    query = "INSERT INTO control_hosts VALUES (%s, 0, now(), now() + %s::interval, %s)"
    with psycopg.connect(database, autocommit=True) as connection:
        for name, journal, lease in hosts:
            connection.execute(query, (name, lease, journal))


async def told(store: ArtifactStore) -> dict[tuple[str, int], tuple[str, bool]]:
    """What each worker decides from, and whether it is waited for."""
    return {(one.host_id, one.worker_index): (one.models_sha256, one.is_live) for one in await store.workers()}


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


async def test_workers_of_two_services_of_one_name_report_each_for_itself(database: str) -> None:
    """Under the name that their service has in `control_hosts`, and are waited for by that row."""
    async with store_on(database, ONE) as one, store_on(database, OTHER) as other:
        await one.report(WorkerReport("ess", 0, "m1"))  # before their keepers could say anything
        await other.report(WorkerReport("ess", 0, "m2"))
        await other.report(WorkerReport("ess", 1, "m2"))
        assert await told(one) == {("ess", 0): ("m1", False), ("ess", 1): ("m2", False), (SECOND, 0): ("m2", False)}
        confirm(database, ("ess", ONE, "300 s"), (SECOND, OTHER, "-1 s"))
        for worker in (0, 1):
            await one.report(WorkerReport("ess", worker, "m1"))
    expected = {("ess", 0): ("m1", True), (SECOND, 0): ("m2", False), (SECOND, 1): ("m2", False)}
    async with store_on(database, ONE) as one, store_on(database, OTHER) as other, store_on(database, OTHER) as third:
        for _ in range(2):
            await one.report(WorkerReport("ess", 0, "m1"))
            await other.report(WorkerReport("ess", 0, "m2"))
            await third.report(WorkerReport("ess", 1, "m2"))
        await one.forget_above("ess", 1)
        assert await told(one) == expected
        await other.forget_above("ess", 2)
        assert await told(one) == expected, "nobody takes the other's rows away"
        await other.leave("ess", 0)
        await other.leave("ess", 1)
        assert set(await told(one)) == {("ess", 0)}


async def test_a_model_that_only_one_of_two_services_checked_is_not_prepared(database: str) -> None:
    confirm(database, ("ess", ONE, "300 s"), (SECOND, OTHER, "300 s"))
    async with store_on(database, ONE) as one, store_on(database, OTHER) as other:
        await one.report(WorkerReport("ess", 0, "m1"))
        await other.report(WorkerReport("ess", 0, "m1"))
        await one.report(WorkerReport("ess", 0, "m1", 7, "PREPARED"))
        with pytest.raises(NotActivated, match=f"not ready in time: {SECOND}/0"):
            refuse_unprepared(await one.workers(), 7)
        await other.report(WorkerReport("ess", 0, "m1", 7, "PREPARED"))
        refuse_unprepared(await one.workers(), 7)


# As migration 0006 has it, and the version of then writes it: migration 0008 says that it goes on working.
BEFORE = """
INSERT INTO artifact_workers AS held
  (host_id, worker_index, models_sha256, proposal, proposal_state, failed_number, reason)
VALUES ('ess', 0, %s, 0, '', 0, '')
ON CONFLICT (host_id, worker_index) DO UPDATE SET models_sha256 = excluded.models_sha256, seen_at = now(),
  proposal = excluded.proposal, proposal_state = excluded.proposal_state, failed_number = excluded.failed_number,
  reason = excluded.reason
"""


async def test_a_restart_has_its_rows_again_and_so_has_an_upgrade_and_the_way_back(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SET ROLE ess_service")
        for _ in range(2):
            connection.execute(BEFORE, ("before",))
            held = "before"
            for models in ("m1", "m2"):
                async with store_on(database, ONE) as store:
                    assert await told(store) == {("ess", 0): (held, False)}
                    await store.report(WorkerReport("ess", 0, models))
                    held = models
                    assert await told(store) == {("ess", 0): (held, False)}


async def test_a_service_on_a_new_folder_has_the_rows_when_the_one_before_is_over(database: str) -> None:
    confirm(database, ("ess", ONE, "300 s"))
    async with store_on(database, ONE) as killed:
        await killed.report(WorkerReport("ess", 0, "m1"))
    async with store_on(database, OTHER) as fresh:
        await fresh.report(WorkerReport("ess", 0, "m2"))
        assert set(await told(fresh)) == {("ess", 0), (SECOND, 0)}
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("UPDATE control_hosts SET lease_expires_at = now()")
            await fresh.report(WorkerReport("ess", 0, "m2"))
            assert set(await told(fresh)) == {("ess", 0), (SECOND, 0)}, "a moment without a lease is no end"
            connection.execute(f"UPDATE artifact_workers SET seen_at = now() - interval '{UNHEARD_S + 1:g} s'".encode())
        await fresh.report(WorkerReport("ess", 0, "m2"))
        assert await told(fresh) == {("ess", 0): ("m2", False)}


async def test_rows_of_second_services_of_long_ago_go_with_a_start(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO artifact_workers (host_id, worker_index, models_sha256, journal_id, seen_at) VALUES"
            " ('ess#1', 0, 'm', '1', now() - interval '8 days'), ('ess#2', 0, 'm', '2', now() - interval '6 days'),"
            " ('essential', 0, 'm', '3', now() - interval '8 days')"
        )
    async with store_on(database, ONE) as store:
        await store.forget_above("ess", 1)
        assert {name for name, _ in await told(store)} == {"ess#2", "essential"}


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
