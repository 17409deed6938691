"""Halts and limits as they are kept: merged from whatever tells of them, in any order, to the same end.

A halt that was resumed stays resumed; of two settings of one subject's limits the later one holds. So the journal, this
host's file and PostgreSQL may be read in any order, and twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from engine.limits import Controls, Halt, HardLimits, Key, Scope
from engine.records import JsonObject, OperationRecord

HALTED: Final = "HALTED"
RESUMED: Final = "RESUMED"
LIMITS_CHANGED: Final = "LIMITS_CHANGED"
KINDS: Final = frozenset({HALTED, RESUMED, LIMITS_CHANGED})
# Ended halts that are remembered, so that an old word of one does not bring it back.
MOST_ENDED: Final = 10_000


class HaltRow(msgspec.Struct, frozen=True):
    """A halt, open while `resumed_at_ns` is 0. One that only its end is known of has no scope."""

    halt_id: str
    scope: str
    subject: str
    reason: str
    actor: str
    created_at_ns: int
    resumed_at_ns: int = 0
    resumed_by: str = ""
    resume_reason: str = ""


class LimitRow(msgspec.Struct, frozen=True):
    """The limits of one subject, and the operation that set them."""

    limits: HardLimits
    changed_at_ns: int
    operation_id: str

    @property
    def order(self) -> tuple[int, str]:
        return (self.changed_at_ns, self.operation_id)


class ControlRows(msgspec.Struct, frozen=True):
    """All that a host knows, as its file has it."""

    halts: tuple[HaltRow, ...] = ()
    limits: tuple[LimitRow, ...] = ()
    renewed_at_ns: int = 0


class ControlSet:
    """What is known, by what it is about. `unshared_*` is what other hosts were not told of yet."""

    def __init__(self) -> None:
        self._halts: dict[str, HaltRow] = {}
        self._limits: dict[Key, LimitRow] = {}
        self.unshared_halts: set[str] = set()
        self.unshared_limits: set[Key] = set()

    @property
    def rows(self) -> ControlRows:
        return ControlRows(tuple(self._halts.values()), tuple(self._limits.values()))

    @property
    def controls(self) -> Controls:
        """What is in force, oldest halt first."""
        open_halts = sorted((row for row in self._halts.values() if is_open(row)), key=lambda row: row.created_at_ns)
        halts = tuple(
            Halt(row.halt_id, Scope(row.scope), row.subject, row.reason, row.actor, row.created_at_ns)
            for row in open_halts
        )
        limits = (row.limits for row in self._limits.values() if not row.limits.is_empty)
        return Controls(halts, tuple(sorted(limits, key=lambda one: one.key)))

    @property
    def limits_version(self) -> int:
        """When the newest limits were set, Unix ns; 0 where none ever were."""
        return max((row.changed_at_ns for row in self._limits.values()), default=0)

    def halt(self, halt_id: str) -> HaltRow | None:
        return self._halts.get(halt_id)

    def limits_row(self, key: Key) -> LimitRow:
        return self._limits[key]

    @property
    def open_halt_ids(self) -> list[str]:
        return [row.halt_id for row in self._halts.values() if is_open(row)]

    def shared(self, halts: Iterable[HaltRow | None], limits: Iterable[LimitRow]) -> None:
        """Other hosts can read these; what has changed since still waits."""
        for halt in halts:
            if halt is not None and self._halts.get(halt.halt_id) == halt:
                self.unshared_halts.discard(halt.halt_id)
        for row in limits:
            if self._limits.get(row.limits.key) == row:
                self.unshared_limits.discard(row.limits.key)

    def merge_halt(self, row: HaltRow, *, is_shared: bool = False) -> bool:
        """Whether it said anything new."""
        held = self._halts.get(row.halt_id)
        merged = row if held is None else merged_halts(held, row)
        if merged == held:
            return False
        self._halts[row.halt_id] = merged
        if not is_shared:
            self.unshared_halts.add(row.halt_id)
        self._forget_ended()
        return True

    def merge_limits(self, row: LimitRow, *, is_shared: bool = False) -> bool:
        held = self._limits.get(row.limits.key)
        if held is not None and held.order >= row.order:
            return False
        self._limits[row.limits.key] = row
        if not is_shared:
            self.unshared_limits.add(row.limits.key)
        return True

    def told_again(self, rows: ControlRows) -> bool:
        """Compares with all that other hosts can read. What they were told once and cannot read any more (a standby
        was promoted that had not heard of it, or a backup was restored) is to be told again; whether there is any."""
        halts = {row.halt_id: row for row in rows.halts}
        limits = {row.limits.key: row for row in rows.limits}
        lost_halts = {row.halt_id for row in self._halts.values() if _is_lost(row, halts.get(row.halt_id))}
        lost_limits = {
            key for key, row in self._limits.items() if key not in limits or limits[key].order < row.order
        }  # fmt: skip
        is_any = bool(lost_halts - self.unshared_halts or lost_limits - self.unshared_limits)
        self.unshared_halts |= lost_halts
        self.unshared_limits |= lost_limits
        return is_any

    def apply(self, record: OperationRecord) -> bool:
        """What an operation of the journal says; False for one that is of no concern here, or known. Raises ValueError
        for one that does not say what it must."""
        try:
            return self._apply(record)
        except (KeyError, TypeError, msgspec.ValidationError) as error:
            raise ValueError(f"the operation {record.operation_id} cannot be read: {error!r}") from error

    def _apply(self, record: OperationRecord) -> bool:
        if record.kind == HALTED:
            Scope(record.scope)
            return self.merge_halt(
                HaltRow(record.operation_id, record.scope, record.subject, record.reason, record.actor,
                        record.created_at_ns)
            )  # fmt: skip
        if record.kind == RESUMED:
            return self.merge_halt(
                HaltRow(str(record.detail["halt_id"]), "", "", "", "", 0, record.created_at_ns, record.actor,
                        record.reason)
            )  # fmt: skip
        if record.kind == LIMITS_CHANGED:
            rows = (limits_of(one) for one in record.detail["limits"])
            merged = [self.merge_limits(LimitRow(row, record.created_at_ns, record.operation_id)) for row in rows]
            return any(merged)
        return False

    def merge(self, rows: ControlRows, *, is_shared: bool) -> bool:
        halts = [self.merge_halt(row, is_shared=is_shared) for row in rows.halts]
        limits = [self.merge_limits(row, is_shared=is_shared) for row in rows.limits]
        return any(halts) or any(limits)

    def _forget_ended(self) -> None:
        if len(self._halts) <= 2 * MOST_ENDED:
            return
        ended = [row for row in self._halts.values() if not is_open(row) and row.halt_id not in self.unshared_halts]
        for row in sorted(ended, key=lambda one: one.resumed_at_ns)[: max(0, len(ended) - MOST_ENDED)]:
            del self._halts[row.halt_id]


def is_open(row: HaltRow) -> bool:
    return row.resumed_at_ns == 0 and row.scope != ""


def _is_lost(row: HaltRow, theirs: HaltRow | None) -> bool:
    """Whether whoever reads `theirs` (None: nothing) would not know what holds. Ended halts are read only where they
    are open there, so of one that is not read nothing has to be told."""
    if theirs is None:
        return is_open(row)
    return row.resumed_at_ns != 0 and theirs.resumed_at_ns == 0


def merged_halts(held: HaltRow, other: HaltRow) -> HaltRow:
    """Two words of one halt: its begin from whoever knows it, its end from whoever knows that."""
    begun = held if held.scope else other
    ended = held if held.resumed_at_ns else other
    return HaltRow(
        begun.halt_id, begun.scope, begun.subject, begun.reason, begun.actor, begun.created_at_ns,
        ended.resumed_at_ns, ended.resumed_by, ended.resume_reason,
    )  # fmt: skip


def limits_json(limits: HardLimits) -> JsonObject:
    """For the record of a change; sets as sorted lists, what is not limited left out."""
    plain: dict[str, Any] = {
        name: getattr(limits, name)
        for name in ("max_quantity_shares", "max_notional", "max_participation_rate", "price_collar_bps",
                     "max_messages_per_second", "max_repeats_per_minute")
        if getattr(limits, name) is not None
    }  # fmt: skip
    for name in ("allowed_instruments", "allowed_venues"):
        if getattr(limits, name):
            plain[name] = sorted(getattr(limits, name))
    return {"scope": str(limits.scope), "subject": limits.subject, **plain}


def limits_of(plain: JsonObject) -> HardLimits:
    """Raises msgspec.ValidationError for what `limits_json` never wrote."""
    return msgspec.convert(plain, HardLimits)


def encode_rows(rows: ControlRows) -> bytes:
    return msgspec.msgpack.encode(rows)


def decode_rows(data: bytes) -> ControlRows:
    """Raises msgspec.DecodeError (ValidationError is one)."""
    return msgspec.msgpack.decode(data, type=ControlRows)


def with_renewal(rows: ControlRows, renewed_at_ns: int) -> ControlRows:
    return msgspec.structs.replace(rows, renewed_at_ns=renewed_at_ns)
