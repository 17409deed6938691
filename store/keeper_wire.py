"""The messages between workers and the keeper, and their encoding (msgpack, as arrays).

Both ends are one release on one host, behind a socket that only their user can open; so a record travels as its
fields in order, and is not checked again.
"""

from __future__ import annotations

import dataclasses
from operator import attrgetter
from typing import Any, TypeAlias, cast

import msgspec

from engine.records import MarketUpdate, SelectionRecord
from engine.values import MarketState
from store import errors
from store.errors import StoreError, StoreUnavailable
from store.market import MarketVerdict
from store.submission import StoredSelection, Submission

PROTOCOL_VERSION = 1


class Hello(msgspec.Struct, array_like=True, frozen=True, tag=0):
    """The keeper's first frame."""

    version: int


class SubmitCall(msgspec.Struct, array_like=True, frozen=True, tag=1):
    call: int
    wait_commit: bool
    record: tuple[Any, ...]


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


Call: TypeAlias = SubmitCall | FindCall | MarketCall
Reply: TypeAlias = SubmitReply | FindReply | MarketReply | Failure
FromKeeper: TypeAlias = Hello | Reply | MarketPush

_encoder = msgspec.msgpack.Encoder()
_calls: msgspec.msgpack.Decoder[Call] = msgspec.msgpack.Decoder(cast(Any, Call))
_from_keeper: msgspec.msgpack.Decoder[FromKeeper] = msgspec.msgpack.Decoder(cast(Any, FromKeeper))
_record_fields = attrgetter(*(field.name for field in dataclasses.fields(SelectionRecord)))


def encode(message: Call | FromKeeper) -> bytes:
    """Raises TypeError, ValueError or OverflowError for a record that holds what msgpack cannot."""
    return _encoder.encode(message)


def decode_call(frame: memoryview) -> Call:
    """Raises msgspec.DecodeError."""
    return _calls.decode(frame)


def decode_from_keeper(frame: memoryview) -> FromKeeper:
    """Raises msgspec.DecodeError."""
    return _from_keeper.decode(frame)


def record_to_wire(record: SelectionRecord) -> tuple[Any, ...]:
    return _record_fields(record)


def record_from_wire(fields: tuple[Any, ...]) -> SelectionRecord:
    """Raises TypeError where the number of fields is another one."""
    return SelectionRecord(*fields)


def failure_of(call: int, error: BaseException) -> Failure:
    """An error that is not of the store's tree is a fault of the keeper, and no reason to doubt the record."""
    kind = type(error).__name__ if isinstance(error, StoreError) else StoreUnavailable.__name__
    return Failure(call, kind, str(error) if isinstance(error, StoreError) else repr(error))


def error_of(failure: Failure) -> StoreError:
    kind = getattr(errors, failure.kind, None)
    if isinstance(kind, type) and issubclass(kind, StoreError) and kind.__init__ is Exception.__init__:
        return kind(failure.message)
    return StoreUnavailable(f"{failure.kind}: {failure.message}")
