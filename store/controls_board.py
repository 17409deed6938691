"""The halts and limits of a host: applied at once, told to every worker, kept in a file, shared with other hosts.

A change counts as told when every worker has said that it has it. A worker's word comes on the connection on which it
submits decisions, after whatever it had submitted before, so nothing that it decided without the change comes later.
One that does not say so in time is cut off, and submits nothing any more.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from engine.limits import ControlBook, Scope
from engine.records import OperationRecord
from engine.throttle import Counted, Throttles
from store.controls import RESUMED, ControlRows, ControlSet, decode_rows, encode_rows, with_renewal
from store.controls_port import ControlCallback, ControlView, CountCall, Unsubscribe

_log = logging.getLogger(__name__)
_NS: Final = 1_000_000_000
# A worker that has not taken a change by then is cut off.
TOLD_WITHIN_S: Final = 1.0


class ControlFile:
    """What this host knew last, for a start without PostgreSQL."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> ControlRows | None:
        """None where there is none. Raises ValueError for one that cannot be read."""
        try:
            return decode_rows(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise ValueError(f"{self._path}: {error}") from error

    def save(self, data: bytes) -> None:
        """The old file or the new one, whole, on the disk."""
        partial = self._path.with_suffix(".partial")
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class Watcher:
    """Somebody who is told. With `late` he says himself what he has taken, and is cut off by it where he does not."""

    def __init__(self, callback: ControlCallback, late: Callable[[], None] | None) -> None:
        self.callback = callback
        self.late = late
        self.taken = 0

    def took(self, number: int) -> None:
        self.taken = max(self.taken, number)


class ControlBoard:
    """Belongs to one event loop. `lease_s` 0 turns the rule off that a host must hear from PostgreSQL now and then."""

    def __init__(
        self, file: ControlFile | None = None, lease_s: float = 0.0, *,
        monotonic_ns: Callable[[], int] = time.monotonic_ns, unix_ns: Callable[[], int] = time.time_ns,
    ) -> None:  # fmt: skip
        self.known = ControlSet()
        self.changed = asyncio.Event()  # for whoever shares it with other hosts
        self._file = file
        self._lease_ns = int(lease_s * _NS)
        self._monotonic_ns = monotonic_ns
        self._unix_ns = unix_ns
        self._renewed_at_ns = 0
        self._saved_renewal_ns = 0
        self._throttles = Throttles()
        self._book = ControlBook(self.known.controls)
        self._watchers: dict[int, Watcher] = {}
        self._next_watcher = 0
        self._took = asyncio.Event()
        self._saving = asyncio.Lock()
        lease_until_ns = monotonic_ns() + self._lease_ns if self._lease_ns else 0
        self._view = ControlView(lease_until_ns=lease_until_ns)

    @property
    def view(self) -> ControlView:
        return self._view

    @property
    def book(self) -> ControlBook:
        return self._book

    def load(self) -> None:
        """What the host's file says. One that cannot be read leaves it unknown what is in force, until PostgreSQL says:
        then no order is answered."""
        if self._file is None:
            return
        try:
            rows = self._file.load()
        except ValueError as error:
            self.doubt(str(error))
            return
        if rows is None:
            return
        self.known.merge(rows, is_shared=False)
        if self._lease_ns and rows.renewed_at_ns:
            left_ns = rows.renewed_at_ns + self._lease_ns - self._unix_ns()
            self._renewed_at_ns = self._saved_renewal_ns = rows.renewed_at_ns
            self._set(lease_until_ns=self._monotonic_ns() + min(self._lease_ns, max(left_ns, 1 - self._lease_ns)))
        self._refresh()

    def apply(self, record: OperationRecord) -> bool:
        """Takes an operation of the journal; whether it said anything new."""
        if not self.known.apply(record):
            return False
        if record.kind == RESUMED:
            halt = self.known.halt(str(record.detail["halt_id"]))
            if halt is not None and halt.scope:
                self._throttles.release((Scope(halt.scope), halt.subject))
        self._refresh()
        return True

    def doubt(self, reason: str) -> None:
        """Something is or was in force that cannot be read: nothing is allowed until PostgreSQL says what holds."""
        _log.critical("what is halted or limited is not known until PostgreSQL answers, so no order is: %s", reason)
        self._set(is_known=False)

    def merge(self, rows: ControlRows) -> bool:
        """What PostgreSQL says; from then on it is known what is in force."""
        ended = {row.halt_id: row for row in rows.halts if row.resumed_at_ns}
        was_open = set(self.known.open_halt_ids)
        is_new = self.known.merge(rows, is_shared=True)
        for halt_id in was_open & ended.keys():
            halt = self.known.halt(halt_id)
            if halt is not None:
                self._throttles.release((Scope(halt.scope), halt.subject))
        if is_new or not self._view.is_known:
            self._refresh(is_known=True)
        return is_new

    def renewed(self, begun_monotonic_ns: int) -> None:
        """PostgreSQL answered a question that was asked then: the lease runs from that moment."""
        self._renewed_at_ns = self._unix_ns() - (self._monotonic_ns() - begun_monotonic_ns)
        if self._lease_ns:
            self._set(lease_until_ns=begun_monotonic_ns + self._lease_ns)

    @property
    def lease_used(self) -> float:
        """Which part of its lease this host has gone without PostgreSQL, from 0 to 1. At 1 no new order is answered,
        and it is 1 while it is not known what is in force; 0 where there is no lease. May be read by another thread."""
        view = self._view
        if not view.is_known:
            return 1.0
        if not self._lease_ns:
            return 0.0
        return min(1.0, max(0.0, 1.0 - (view.lease_until_ns - self._monotonic_ns()) / self._lease_ns))

    @property
    def is_renewal_worth_saving(self) -> bool:
        return self._renewed_at_ns - self._saved_renewal_ns > self._lease_ns / 10

    def count(self, call: CountCall) -> Counted:
        """Counts one message against the throttles of everything it belongs to."""
        limits = self._book.limits_of(call.keys)
        return self._throttles.count(limits, call.order_id, call.likeness, call.now_ns)

    def watch(self, callback: ControlCallback) -> Unsubscribe:
        """Calls back with what is in force now, and with every change; a call that returns has taken it."""
        return self.watch_acknowledged(callback, None)[1]

    def watch_acknowledged(
        self, callback: ControlCallback, late: Callable[[], None] | None
    ) -> tuple[Watcher, Unsubscribe]:
        """As `watch`, for somebody who says later that he took it; `late` is called where he does not in time."""
        number = self._next_watcher
        self._next_watcher += 1
        watcher = Watcher(callback, late)
        self._watchers[number] = watcher
        _tell(watcher, self._view)

        def unsubscribe() -> None:
            self._watchers.pop(number, None)
            self._took.set()

        return watcher, unsubscribe

    def took(self, watcher: Watcher, number: int) -> None:
        watcher.took(number)
        self._took.set()

    async def told(self) -> None:
        """Until every worker has what is in force now, or is cut off."""
        number = self._view.number
        with suppress(TimeoutError):
            async with asyncio.timeout(TOLD_WITHIN_S):
                while self._behind(number):
                    self._took.clear()
                    await self._took.wait()
        for watcher in self._behind(number):
            _log.error("a worker did not take a change of halts or limits in time, and was cut off")
            if watcher.late is not None:
                watcher.late()

    async def saved(self) -> None:
        """Puts what is known into the host's file. A disk that refuses is told in the log: the journal has it too."""
        if self._file is None:
            return
        async with self._saving:
            renewed_at_ns = self._renewed_at_ns
            data = encode_rows(with_renewal(self.known.rows, renewed_at_ns))
            try:
                await asyncio.to_thread(self._file.save, data)
            except OSError as error:
                _log.error("halts and limits could not be put into this host's file: %s", error)
            else:
                self._saved_renewal_ns = renewed_at_ns

    def _behind(self, number: int) -> list[Watcher]:
        return [one for one in self._watchers.values() if one.late is not None and one.taken < number]

    def _refresh(self, is_known: bool | None = None) -> None:
        controls = self.known.controls
        self._book = ControlBook(controls)
        view = self._view
        self._view = ControlView(
            controls, view.number + 1, view.lease_until_ns, view.is_known if is_known is None else is_known,
            self.known.limits_version,
        )
        self.changed.set()
        self._tell_all()

    def _set(self, *, lease_until_ns: int | None = None, is_known: bool | None = None) -> None:
        view = self._view
        self._view = ControlView(
            view.controls, view.number + (is_known is not None),
            view.lease_until_ns if lease_until_ns is None else lease_until_ns,
            view.is_known if is_known is None else is_known, view.limits_version,
        )
        self._tell_all()

    def _tell_all(self) -> None:
        for watcher in tuple(self._watchers.values()):
            _tell(watcher, self._view)


def _tell(watcher: Watcher, view: ControlView) -> None:
    try:
        watcher.callback(view)
    except Exception:
        _log.exception("somebody who watches halts and limits failed")
