"""Takes operations on halts and limits: journal, workers, this host's file, other hosts, in the order that is safe."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from engine.records import OperationRecord, RecordKind
from store.controls import HALTED, KINDS, LIMITS_CHANGED, RESUMED, ControlSet
from store.controls_board import ControlBoard
from store.controls_port import ControlAnswer, HostState
from store.errors import RecordInvalid, StoreUnavailable
from store.payload import decode

# How long a start waits for PostgreSQL to say what is in force.
FIRST_ROUND_S = 0.25


class Sharing(Protocol):
    """The other hosts; see store.controls_sync."""

    @property
    def has_twin(self) -> bool: ...

    @property
    def clock_ahead_s(self) -> float: ...

    def start(self) -> None: ...

    async def first_round(self, limit_s: float) -> None: ...

    async def shared(self, limit_s: float) -> tuple[tuple[HostState, ...], bool]: ...

    def others(self) -> tuple[HostState, ...]: ...

    async def stop(self) -> None: ...


class ControlDesk:
    """Belongs to the keeper's event loop."""

    def __init__(self, board: ControlBoard, sharing: Sharing | None = None, host_id: str = "") -> None:
        self.board = board
        self._sharing = sharing
        self._host_id = host_id

    @property
    def hosts(self) -> tuple[HostState, ...]:
        """Which hosts hold to what is in force, this one first; of the others as PostgreSQL said last."""
        others = self._sharing.others() if self._sharing is not None else ()
        return (HostState(self._host_id, self.board.view.is_known), *others)

    @property
    def has_twin(self) -> bool:
        """Another service on the database has this one's host id."""
        return self._sharing is not None and self._sharing.has_twin

    @property
    def clock_ahead_s(self) -> float:
        """How far this host's clock is ahead of PostgreSQL's, in seconds; negative: behind."""
        return self._sharing.clock_ahead_s if self._sharing is not None else 0.0

    async def start(self) -> None:
        """What other hosts did meanwhile is known before the first order, where PostgreSQL answers."""
        if self._sharing is not None:
            self._sharing.start()
            await self._sharing.first_round(FIRST_ROUND_S)

    async def stop(self) -> None:
        if self._sharing is not None:
            await self._sharing.stop()

    def scanned(self, payload: bytes) -> None:
        """One operation that the journal has. The board applies what it does not know."""
        record = decode(RecordKind.OPERATION, payload)
        assert isinstance(record, OperationRecord)
        if record.kind not in KINDS:
            return
        try:
            self.board.apply(record)
        except ValueError as error:
            self.board.doubt(str(error))

    async def operate(
        self, record: OperationRecord, journal: Callable[[], Awaitable[None]], wait_s: float
    ) -> ControlAnswer:
        """`journal` returns when the record is on the disk. Raises RecordInvalid for the end of no open halt."""
        if record.kind not in KINDS:
            raise RecordInvalid(f"{record.kind} is no operation on halts or limits")
        check_readable(record)
        if record.kind == RESUMED and self._has_ended(record):
            return await self._answer(wait_s, is_new=False)
        if record.kind == LIMITS_CHANGED and record.created_at_ns <= self.board.view.limits_version:
            raise StoreUnavailable("other limits were set meanwhile; ask again")
        is_new = True
        if record.kind == HALTED:
            is_new = self.board.apply(record)
        try:
            if is_new:
                await journal()
            if record.kind != HALTED:
                is_new = self.board.apply(record)
        finally:
            await self.board.told()
            await self.board.saved()
        return await self._answer(wait_s, is_new)

    def _has_ended(self, record: OperationRecord) -> bool:
        halt = self.board.known.halt(str(record.detail.get("halt_id", "")))
        if halt is None:
            raise RecordInvalid("there is no such halt")
        return halt.resumed_at_ns != 0

    async def _answer(self, wait_s: float, is_new: bool) -> ControlAnswer:
        hosts, is_shared = await self._shared(wait_s)
        own = HostState(self._host_id, True)
        return ControlAnswer((own, *hosts), self.board.view.limits_version, is_new, is_shared)

    async def _shared(self, wait_s: float) -> tuple[tuple[HostState, ...], bool]:
        if self._sharing is None:
            return (), True
        return await self._sharing.shared(wait_s)


def check_readable(record: OperationRecord) -> None:
    """Raises RecordInvalid for an operation that the next start could not read."""
    try:
        ControlSet().apply(record)
    except ValueError as error:
        raise RecordInvalid(str(error)) from error
