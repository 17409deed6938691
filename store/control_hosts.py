"""This host's row in `control_hosts`: which version of halts and limits it holds to, and until when unheard.

A row has the name that the operator gave the host. Two services that were given the same one would confirm for each
other what only one of them has. So the row also says whose it is, by the id of the service's journal, which is its own
whatever it is called; a second service takes a row under a longer name, and both are waited for. Both tell it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from store.errors import StoreUnavailable
from store.pool import Connection

CHANNEL: Final = "ess_controls"
# Rows of hosts that were not heard of for so long are taken away.
FORGET_HOSTS_AFTER: Final = "7 days"
# Without a lease a row says nothing of how long its service goes on; not renewed for so long, it has gone.
SILENT_AFTER_S: Final = 15.0

_log = logging.getLogger(__name__)

_CONFIRM: Final = b"""
INSERT INTO control_hosts AS held (host_id, confirmed_version, renewed_at, lease_expires_at, journal_id)
VALUES (%(name)s, %(version)s, now(), CASE WHEN %(lease)s > 0 THEN now() + make_interval(secs => %(lease)s) END,
  %(journal)s)
ON CONFLICT (host_id) DO UPDATE SET confirmed_version = excluded.confirmed_version, renewed_at = excluded.renewed_at,
  lease_expires_at = excluded.lease_expires_at, journal_id = excluded.journal_id
WHERE held.journal_id IN ('', excluded.journal_id)
  OR coalesce(held.lease_expires_at < now(), held.renewed_at < now() - make_interval(secs => %(silent)s))
"""
_HOSTS: Final = b"""
SELECT host_id, confirmed_version, coalesce((extract(epoch FROM lease_expires_at) * 1000000000)::bigint, 0),
  coalesce(lease_expires_at > now(), true), journal_id, renewed_at
FROM control_hosts ORDER BY host_id
"""
_FORGET: Final = f"DELETE FROM control_hosts WHERE renewed_at < now() - interval '{FORGET_HOSTS_AFTER}'".encode()
_LEAVE: Final = b"DELETE FROM control_hosts WHERE host_id = ANY(%s) AND journal_id = %s"
_NOTIFY: Final = f"NOTIFY {CHANNEL}".encode()


@dataclass(frozen=True, slots=True)
class Host:
    """A row. `is_live`: it may answer orders unheard, until `lease_expires_at_ns` (Unix ns; 0: for ever)."""

    name: str
    confirmed_version: int
    lease_expires_at_ns: int
    is_live: bool
    journal_id: str
    renewed_at: datetime


class OwnRow:
    """Belongs to one event loop."""

    def __init__(self, host_id: str, journal_id: str, lease_s: float, *,
                 clock_s: Callable[[], float] = time.monotonic) -> None:
        self._host_id = host_id
        self._journal_id = journal_id
        self._lease_s = lease_s
        self._clock_s = clock_s
        self._confirmed = -1
        self._renewals: dict[str, datetime] = {}
        self._twin_seen_s = float("-inf")
        self._has_told = False
        self.name = host_id

    @property
    def has_twin(self) -> bool:
        """Another service of the same name was at work a moment ago."""
        return self._clock_s() - self._twin_seen_s < SILENT_AFTER_S

    async def confirm(self, connection: Connection, version: int) -> tuple[Host, ...]:
        """Says that this host holds to the version, and renews its lease; every host's row."""
        if await self._put(connection, self._host_id, version):
            if self.name != self._host_id:
                await connection.execute(_LEAVE, ([self.name], self._journal_id))
            self.name = self._host_id
        else:
            self.name = second_name(self._host_id, self._journal_id)
            if not await self._put(connection, self.name, version):
                raise StoreUnavailable(f"services on other journals have the rows {self._host_id} and {self.name}")
        if version != self._confirmed:
            await connection.execute(_NOTIFY)
            await connection.execute(_FORGET)
            self._confirmed = version
        hosts = tuple(Host(*row) for row in await (await connection.execute(_HOSTS)).fetchall())
        self._look_for_twin(hosts)
        return hosts

    async def leave(self, connection: Connection) -> None:
        """This host answers nothing any more. What another service wrote under its name stays."""
        names = [self._host_id, second_name(self._host_id, self._journal_id)]
        await connection.execute(_LEAVE, (names, self._journal_id))
        await connection.execute(_NOTIFY)

    async def _put(self, connection: Connection, name: str, version: int) -> bool:
        """Whether the row is this service's."""
        done = await connection.execute(_CONFIRM, {
            "name": name, "version": version, "lease": self._lease_s, "journal": self._journal_id,
            "silent": SILENT_AFTER_S,
        })  # fmt: skip
        return done.rowcount == 1

    def _look_for_twin(self, hosts: Sequence[Host]) -> None:
        """A row of this host's id that somebody else keeps renewing. One that only stands there is what a service left
        that was killed."""
        rows = [host for host in hosts if host.name != self.name and self._is_named_so(host)]
        if any(self._renewals.get(row.name, row.renewed_at) != row.renewed_at for row in rows):
            self._twin_seen_s = self._clock_s()
        self._renewals = {row.name: row.renewed_at for row in rows}
        if self.has_twin != self._has_told:
            self._has_told = self.has_twin
            if self._has_told:
                _log.error("another service on this database is called %s too: give each an ESS_HOST_ID of its own. "
                           "Halts and artifacts wait for both; telemetry takes them for one", self._host_id)
            else:
                _log.info("no other service is called %s any more", self._host_id)

    def _is_named_so(self, host: Host) -> bool:
        return host.name in (self._host_id, second_name(self._host_id, host.journal_id))


def second_name(host_id: str, journal_id: str) -> str:
    """Of a service on that journal where another one has the host's name."""
    return f"{host_id}#{journal_id[-8:]}"
