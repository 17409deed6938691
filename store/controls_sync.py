"""Shares halts and limits with the other hosts over PostgreSQL, and renews this host's lease.

One round, at every ring of `LISTEN ess_controls`, every change of this host, and every `interval_s`: tell what is new
here, read what is new there, see that every worker has it, then say so in `control_hosts`. PostgreSQL away: this host
goes on with what it knows until its lease runs out, and tells what it has to tell when PostgreSQL is back.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgspec
import psycopg
from psycopg.types.json import Jsonb
from psycopg_pool import PoolTimeout, TooManyRequests

from store.backoff import Backoff
from store.clock_watch import ClockWatch
from store.control_hosts import CHANNEL, Host, OwnRow
from store.controls import ControlRows, HaltRow, LimitRow, limits_json, limits_of
from store.controls_board import ControlBoard
from store.controls_port import HostState
from store.ending import end
from store.errors import StoreUnavailable
from store.outbox_bell import Bell
from store.own_connection import within
from store.pool import Connection, Pool

_log = logging.getLogger(__name__)

_PUT_HALT: Final = b"""
INSERT INTO halts AS held
  (halt_id, scope, subject, reason, actor, created_at_ns, resumed_at_ns, resumed_by, resume_reason)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (halt_id) DO UPDATE SET resumed_at_ns = excluded.resumed_at_ns, resumed_by = excluded.resumed_by,
  resume_reason = excluded.resume_reason
WHERE held.resumed_at_ns = 0 AND excluded.resumed_at_ns <> 0
"""
_END_HALT: Final = b"""
UPDATE halts SET resumed_at_ns = %s, resumed_by = %s, resume_reason = %s WHERE halt_id = %s AND resumed_at_ns = 0
"""
_PUT_LIMITS: Final = b"""
INSERT INTO hard_limits AS held (scope, subject, limits, changed_at_ns, operation_id) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (scope, subject) DO UPDATE SET limits = excluded.limits, changed_at_ns = excluded.changed_at_ns,
  operation_id = excluded.operation_id
WHERE (held.changed_at_ns, held.operation_id) < (excluded.changed_at_ns, excluded.operation_id)
"""
_HALTS: Final = b"""
SELECT halt_id::text, scope, subject, reason, actor, created_at_ns, resumed_at_ns, resumed_by, resume_reason
FROM halts WHERE resumed_at_ns = 0 OR halt_id = ANY(%s::uuid[])
"""
# Which server it is, too: one that was promoted, or restored, may have come to the same number another way.
_VERSION: Final = b"""
SELECT version, pg_postmaster_start_time(), (extract(epoch FROM clock_timestamp()) * 1000000)::bigint FROM control_state
"""
_LIMITS: Final = b"SELECT limits, changed_at_ns, operation_id::text FROM hard_limits"


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """journal_id: of the service's journal. interval_s: between two rounds without a ring. answer_within_s: a round
    that takes longer is given up."""

    host_id: str
    journal_id: str
    lease_s: float = 300.0
    interval_s: float = 1.0
    answer_within_s: float = 3.0
    backoff: Backoff = field(default_factory=lambda: Backoff(first_s=0.1, last_s=2.0))

    @property
    def pause_s(self) -> float:
        return min(self.interval_s, self.lease_s / 4) if self.lease_s else self.interval_s


class ControlSync:
    """One host's end. Belongs to the board's event loop."""

    def __init__(
        self, pool: Pool, bell: Bell, board: ControlBoard, settings: SyncSettings, *,
        uniform: Callable[[], float] = random.random, clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:  # fmt: skip
        self._clock_ns = clock_ns
        self._pool = pool
        self._bell = bell
        self._board = board
        self._settings = settings
        self._uniform = uniform
        self._clock = ClockWatch()
        self._row = OwnRow(settings.host_id, settings.journal_id, settings.lease_s)
        self._version = -1
        self._server: datetime | None = None
        self._hosts: tuple[Host, ...] = ()
        self._rounds = asyncio.Condition()
        self._finished = self._begun = 0
        self._task: asyncio.Task[None] | None = None
        self.failures_in_a_row = 0

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="controls-sync")

    async def stop(self) -> None:
        """Takes this host off the list: it answers nothing any more."""
        if self._task is None:
            return
        await end(self._task)
        self._task = None
        if self.failures_in_a_row == 0:
            with suppress(StoreUnavailable, PoolTimeout, TooManyRequests):
                await within(1.0, self._leave())

    async def first_round(self, limit_s: float) -> None:
        """Until PostgreSQL has answered once, at most so long."""
        await self._round_after(0, limit_s)

    async def shared(self, limit_s: float) -> tuple[tuple[HostState, ...], bool]:
        """Until every live host has taken what this one tells, at most so long: every known host's state, and whether
        PostgreSQL has it."""
        end_s = asyncio.get_running_loop().time() + limit_s
        self._board.changed.set()
        is_shared = await self._round_after(self._begun, limit_s)
        wanted = self._version if is_shared else None
        while is_shared and any(self._is_pending(host, wanted) and host.is_live for host in self._hosts):
            left_s = end_s - asyncio.get_running_loop().time()
            if left_s <= 0.0 or not await self._round_after(self._begun, left_s):
                break
        return tuple(self._state(host, wanted) for host in self._others()), is_shared

    def others(self) -> tuple[HostState, ...]:
        """The other hosts, as the last round found them. Where PostgreSQL is away, or does not have everything yet,
        nobody knows of them."""
        known = self._board.known
        is_told = not self.failures_in_a_row and not known.unshared_halts and not known.unshared_limits
        wanted = self._version if is_told else None
        return tuple(self._state(host, wanted) for host in self._others())

    @property
    def has_twin(self) -> bool:
        """Another service on this database has this one's host id."""
        return self._row.has_twin

    @property
    def clock_ahead_s(self) -> float:
        """How far this host's clock is ahead of PostgreSQL's, in seconds."""
        return self._clock.ahead_s

    def _others(self) -> list[Host]:
        return [host for host in self._hosts if host.name != self._row.name]

    def _is_pending(self, host: Host, wanted: int | None) -> bool:
        return host.name != self._row.name and (wanted is None or host.confirmed_version < wanted)

    def _state(self, host: Host, wanted: int | None) -> HostState:
        return HostState(host.name, not self._is_pending(host, wanted), host.lease_expires_at_ns)

    async def _round_after(self, begun: int, limit_s: float) -> bool:
        """Until a round that began after that one has ended well."""
        try:
            async with asyncio.timeout(limit_s), self._rounds:
                await self._rounds.wait_for(lambda: self._finished > begun)
                return True
        except TimeoutError:
            return False

    async def _run(self) -> None:
        while True:
            rings = self._bell.rings
            self._board.changed.clear()
            self._begun += 1
            number = self._begun
            try:
                await self._round()
            except (psycopg.Error, StoreUnavailable, PoolTimeout, TooManyRequests, TimeoutError) as error:
                self.failures_in_a_row += 1
                if self.failures_in_a_row == 1:
                    _log.warning("halts and limits cannot be shared with other hosts now: %s", error)
                await asyncio.sleep(self._settings.backoff.delay_s(self.failures_in_a_row, self._uniform()))
                continue
            except Exception:
                _log.exception("halts and limits could not be shared")
                await asyncio.sleep(self._settings.backoff.delay_s(3, self._uniform()))
                continue
            self.failures_in_a_row = 0
            async with self._rounds:
                self._finished = number
                self._rounds.notify_all()
            await self._await_reason(rings)

    async def _await_reason(self, rings: int) -> None:
        changed = asyncio.ensure_future(self._board.changed.wait())
        rung = asyncio.ensure_future(self._bell.wait(rings, self._settings.pause_s))
        try:
            reasons: set[asyncio.Future[Any]] = {changed, rung}
            await asyncio.wait(reasons, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
            rung.cancel()

    async def _round(self) -> None:
        begun_ns = time.monotonic_ns()
        version, rows = await within(self._settings.answer_within_s, self._exchange())
        if rows is not None:
            self._board.merge(rows)
            self._look_for_lost(rows)
        await self._board.told()
        self._version = version
        self._hosts = await within(self._settings.answer_within_s, self._confirm(version))
        self._board.renewed(begun_ns)
        if rows is not None or self._board.is_renewal_worth_saving:
            await self._board.saved()

    async def _exchange(self) -> tuple[int, ControlRows | None]:
        """Tells and reads in one transaction. Rows only where they are of another version than was read last."""
        known = self._board.known
        halts = [known.halt(halt_id) for halt_id in known.unshared_halts]
        limits = [known.limits_row(key) for key in known.unshared_limits]
        async with self._pool.connection() as connection, connection.transaction():
            changed = 0
            for halt in halts:
                changed += await self._put_halt(connection, halt)
            for row in limits:
                values = (*row.limits.key, Jsonb(limits_json(row.limits)), row.changed_at_ns, row.operation_id)
                changed += (await connection.execute(_PUT_LIMITS, values)).rowcount
            if changed:
                await connection.execute(b"UPDATE control_state SET version = version + 1")
                await connection.execute(f"NOTIFY {CHANNEL}".encode())
            version, server = await self._look(connection)
            is_current = version == self._version and server == self._server and self._board.view.is_known
            rows = None if is_current else await self._read(connection)
        known.shared(halts, limits)
        self._server = server
        return version, rows

    async def _look(self, connection: Connection) -> tuple[int, datetime | None]:
        """Of which version PostgreSQL is, and which server that is."""
        before_ns = self._clock_ns()
        row = await (await connection.execute(_VERSION)).fetchone()
        if row is None:
            return 0, None
        version, server, now_us = row
        self._clock.compared(before_ns, now_us, self._clock_ns())
        return version, server

    def _look_for_lost(self, rows: ControlRows) -> None:
        if self._board.known.told_again(rows):
            _log.error("PostgreSQL lost halts or limits (another server, or a backup?): they are told again")
            self._board.changed.set()

    async def _put_halt(self, connection: Connection, row: HaltRow | None) -> int:
        if row is None:
            return 0
        if not row.scope:
            values: tuple[object, ...] = (row.resumed_at_ns, row.resumed_by, row.resume_reason, row.halt_id)
            return (await connection.execute(_END_HALT, values)).rowcount
        return (await connection.execute(_PUT_HALT, msgspec.structs.astuple(row))).rowcount

    async def _read(self, connection: Connection) -> ControlRows:
        found = await (await connection.execute(_HALTS, (self._board.known.open_halt_ids,))).fetchall()
        halts = tuple(HaltRow(*row) for row in found)
        kept = await (await connection.execute(_LIMITS)).fetchall()
        return ControlRows(halts, tuple(LimitRow(limits_of(plain), at_ns, name) for plain, at_ns, name in kept))

    async def _confirm(self, version: int) -> tuple[Host, ...]:
        async with self._pool.connection() as connection:
            return await self._row.confirm(connection, version)

    async def _leave(self) -> None:
        async with self._pool.connection() as connection:
            await self._row.leave(connection)
