"""The messages between workers and the keeper, and their encoding (msgpack, as arrays).

Both ends are one release on one host, behind a socket that only their user can open. Records are encoded (and checked)
where they are made: the keeper appends the bytes as they come, and reads of a decision only what stands beside them.
"""

from __future__ import annotations

from typing import Any, TypeAlias, cast

import msgspec

from engine.records import MarketUpdate, RecordKind
from engine.values import MarketState
from store import errors
from store.errors import StoreError, StoreUnavailable
from store.market import MarketVerdict
from store.selection_rows import RowStatus
from store.submission import Acknowledgement, Condition, StoredSelection, Submission

PROTOCOL_VERSION = 2


class Hello(msgspec.Struct, array_like=True, frozen=True, tag=0):
    """The keeper's first frame."""

    version: int


class SubmitCall(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """`selection` are the first nine fields of a StoredSelection, `payload` the whole record."""

    call: int
    acknowledgement: Acknowledgement
    selection: tuple[str, str, str, str, int, str, str, str, bytes]
    payload: bytes


class FindCall(msgspec.Struct, array_like=True, frozen=True, tag=2):
    call: int
    order_id: str


class MarketCall(msgspec.Struct, array_like=True, frozen=True, tag=3):
    call: int
    update: MarketUpdate


class SubmitReply(msgspec.Struct, array_like=True, frozen=True, tag=4):
    call: int
    answer: Submission


class FindReply(msgspec.Struct, array_like=True, frozen=True, tag=5):
    call: int
    answer: tuple[StoredSelection, ...]


class MarketReply(msgspec.Struct, array_like=True, frozen=True, tag=6):
    call: int
    answer: MarketVerdict


class Failure(msgspec.Struct, array_like=True, frozen=True, tag=7):
    """An error of the store's tree, by the name of its class."""

    call: int
    kind: str
    message: str


class MarketPush(msgspec.Struct, array_like=True, frozen=True, tag=8):
    """Not asked for: the newest state of an instrument."""

    instrument_id: str
    state: MarketState


class StatePush(msgspec.Struct, array_like=True, frozen=True, tag=9):
    """Not asked for: whether records are taken."""

    condition: Condition
    reason: str


class RecordCall(msgspec.Struct, array_like=True, frozen=True, tag=10):
    call: int
    acknowledgement: Acknowledgement
    kind: RecordKind
    payload: bytes


class RecordReply(msgspec.Struct, array_like=True, frozen=True, tag=11):
    call: int
    answer: None = None


class MarketRestore(msgspec.Struct, array_like=True, frozen=True, tag=12):
    """Not answered: a state that this worker heard from an earlier keeper, and is newer than what this one told."""

    instrument_id: str
    state: MarketState


Call: TypeAlias = SubmitCall | RecordCall | FindCall | MarketCall
Reply: TypeAlias = SubmitReply | RecordReply | FindReply | MarketReply | Failure
ToKeeper: TypeAlias = Call | MarketRestore
FromKeeper: TypeAlias = Hello | Reply | MarketPush | StatePush

_encoder = msgspec.msgpack.Encoder()
_to_keeper: msgspec.msgpack.Decoder[ToKeeper] = msgspec.msgpack.Decoder(cast(Any, ToKeeper))
_from_keeper: msgspec.msgpack.Decoder[FromKeeper] = msgspec.msgpack.Decoder(cast(Any, FromKeeper))


def encode(message: ToKeeper | FromKeeper) -> bytes:
    """Raises TypeError, ValueError or OverflowError for a record that holds what msgpack cannot."""
    return _encoder.encode(message)


def decode_to_keeper(frame: memoryview) -> ToKeeper:
    """Raises msgspec.DecodeError."""
    return _to_keeper.decode(frame)


def decode_from_keeper(frame: memoryview) -> FromKeeper:
    """Raises msgspec.DecodeError."""
    return _from_keeper.decode(frame)


def submit_call(
    call: int, acknowledgement: Acknowledgement, selection: StoredSelection, payload: bytes
) -> SubmitCall:
    fields = (
        selection.selection_id, selection.order_id, selection.request_hash, selection.instrument_id,
        selection.created_at_ns, selection.strategy_name, selection.algorithm, selection.selection_rationale,
        selection.response,
    )  # fmt: skip
    return SubmitCall(call, acknowledgement, fields, payload)


def selection_in(call: SubmitCall) -> StoredSelection:
    return StoredSelection(*call.selection, committed=False, status=RowStatus.RECORDED)


def failure_of(call: int, error: BaseException) -> Failure:
    """An error that is not of the store's tree is a fault of the keeper, and no reason to doubt the record."""
    kind = type(error).__name__ if isinstance(error, StoreError) else StoreUnavailable.__name__
    return Failure(call, kind, str(error) if isinstance(error, StoreError) else repr(error))


def error_of(failure: Failure) -> StoreError:
    kind = getattr(errors, failure.kind, None)
    if isinstance(kind, type) and issubclass(kind, StoreError) and kind.__init__ is Exception.__init__:
        return kind(failure.message)
    return StoreUnavailable(f"{failure.kind}: {failure.message}")
