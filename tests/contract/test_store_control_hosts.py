"""Which row of `control_hosts` is a service's, on a real PostgreSQL: restarts, and services that were named alike."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from store.control_hosts import SILENT_AFTER_S, OwnRow
from store.pool import Connection
from tests.contract.test_store_controls import Eventually, halt, host

ONE, OTHER = "00000000-0000-4000-8000-0000000000a1", "00000000-0000-4000-8000-0000000000b2"
SECOND = "ess#000000b2"


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@asynccontextmanager
async def connected(database: str) -> AsyncIterator[Connection]:
    connection = await psycopg.AsyncConnection.connect(database, autocommit=True)
    async with connection:
        await connection.execute("SET ROLE ess_service")
        yield connection


async def rows(connection: Connection) -> dict[str, int]:
    found = await connection.execute("SELECT host_id, confirmed_version FROM control_hosts")
    return dict(await found.fetchall())


async def test_two_services_of_one_name_confirm_each_for_itself_and_both_tell(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    one, other = (OwnRow("ess", journal, 300.0, clock_s=clock) for journal in (ONE, OTHER))
    async with connected(database) as connection:
        for version in (1, 2):
            await one.confirm(connection, version)
            hosts = await other.confirm(connection, 0)
            assert {host.name: host.confirmed_version for host in hosts} == {"ess": version, SECOND: 0}
        assert other.has_twin
        await one.confirm(connection, 2)
        assert one.has_twin
        assert [r.levelno for r in caplog.records if "is called ess too" in r.message] == [logging.ERROR] * 2
        await other.leave(connection)
        assert await rows(connection) == {"ess": 2}, "nobody takes the other's row away"
        clock.now_s += SILENT_AFTER_S
        await one.confirm(connection, 3)
        assert not one.has_twin


async def test_a_restart_has_its_row_again_at_once_and_takes_nobody_for_a_second(database: str) -> None:
    async with connected(database) as connection:
        await OwnRow("ess", ONE, 300.0).confirm(connection, 1)  # and was killed
        again = OwnRow("ess", ONE, 300.0)
        for version in (2, 3, 4):
            await again.confirm(connection, version)
            assert await rows(connection) == {"ess": version}
        assert not again.has_twin


@pytest.mark.parametrize("lease_s", [300.0, 0.0])
async def test_a_service_on_a_new_folder_waits_for_the_lease_of_the_one_that_was_killed(
    database: str, lease_s: float
) -> None:
    """It serves meanwhile, under its second name; whoever halts must wait for the one that may live on unheard."""
    async with connected(database) as connection:
        await OwnRow("ess", ONE, lease_s).confirm(connection, 1)
        fresh = OwnRow("ess", OTHER, lease_s)
        for _ in range(3):
            await fresh.confirm(connection, 2)
        assert await rows(connection) == {"ess": 1, SECOND: 2}
        assert not fresh.has_twin, "nobody is at work there"
        late = "renewed_at = now() - interval '16 s'"
        await connection.execute("RESET ROLE")
        await connection.execute(
            f"UPDATE control_hosts SET {late}, lease_expires_at = lease_expires_at - interval '301 s'"
            " WHERE host_id = 'ess'".encode()
        )
        await fresh.confirm(connection, 3)
        assert await rows(connection) == {"ess": 3}
        assert fresh.name == "ess"


async def test_a_row_of_a_version_that_did_not_say_whose_it_is_is_taken_over(database: str) -> None:
    async with connected(database) as connection:
        await connection.execute(
            "INSERT INTO control_hosts (host_id, confirmed_version, renewed_at, lease_expires_at)"
            " VALUES ('ess', 1, now(), now() + interval '300 s')"
        )
        await OwnRow("ess", ONE, 300.0).confirm(connection, 2)
        assert await rows(connection) == {"ess": 2}


async def test_a_halt_waits_for_both_services_of_one_name(
    short_tmp: Path, database: str, eventually: Eventually
) -> None:
    """One of them does not hear: the other does not confirm for it."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO control_hosts VALUES ('a', 0, now(), now() + interval '300 s', %s)", (OTHER,)
        )
    async with host(short_tmp, database, "a") as one, host(short_tmp, database, "b") as halting:
        answer = await halting.operate(halt(), 1.0)
        confirmed = {state.host_id: state.confirmed for state in answer.hosts}
        (second,) = [name for name in confirmed if name.startswith("a#")]
        assert confirmed == {"a": False, second: True, "b": True}
        assert not one.metrics.has_twin
        with psycopg.connect(database, autocommit=True) as connection:
            renew = "UPDATE control_hosts SET renewed_at = now() WHERE journal_id = %s"
            connection.execute(renew, (OTHER,))
            await eventually(lambda: one.metrics.has_twin)
