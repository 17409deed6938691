"""The messages between workers and the keeper, and their encoding (msgpack, as arrays).

Both ends are one release on one host, behind a socket that only their user can open. Records are encoded (and checked)
where they are made: the keeper appends the bytes as they come, and reads of a decision only what stands beside them.
"""

from __future__ import annotations

from typing import Any, TypeAlias, cast

import msgspec

from engine.order_life.state import Opening
from engine.records import MarketUpdate, RecordKind
from engine.throttle import Counted
from engine.values import MarketState
from store import errors
from store.controls_port import ControlAnswer, ControlView, CountCall
from store.errors import StoreError, StoreUnavailable
from store.keeper_metrics import KeeperMetrics
from store.market import MarketVerdict
from store.order_codec import pack_update, unpack_update
from store.order_list import OrderPage, OrderQuery
from store.order_port import KeptOrder, OrderRecords, OutcomeAnswer, UpdateAnswer
from store.selection_rows import RowStatus
from store.submission import Acknowledgement, Condition, StoredSelection, Submission, UpdateCall

PROTOCOL_VERSION = 5


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


class OrderCall(msgspec.Struct, array_like=True, frozen=True, tag=13):
    call: int
    order_id: str


class OrderReply(msgspec.Struct, array_like=True, frozen=True, tag=14):
    call: int
    answer: KeptOrder | None


class OrderUpdate(msgspec.Struct, array_like=True, frozen=True, tag=15):
    """`update` as `store.order_codec` packs it, without its opening."""

    call: int
    acknowledgement: Acknowledgement
    order_id: str
    update: bytes
    opening: Opening
    record_id: str
    now_ns: int
    gateway: str


class OrderUpdateReply(msgspec.Struct, array_like=True, frozen=True, tag=16):
    call: int
    answer: UpdateAnswer


class AdviseCall(msgspec.Struct, array_like=True, frozen=True, tag=17):
    """`payload` is an AdaptationRecord."""

    call: int
    acknowledgement: Acknowledgement
    payload: bytes


class AdviseReply(msgspec.Struct, array_like=True, frozen=True, tag=18):
    call: int
    answer: bool


class ReportCall(msgspec.Struct, array_like=True, frozen=True, tag=19):
    """`payload` is an OutcomeRecord."""

    call: int
    acknowledgement: Acknowledgement
    payload: bytes


class ReportReply(msgspec.Struct, array_like=True, frozen=True, tag=20):
    call: int
    answer: OutcomeAnswer


class OrdersCall(msgspec.Struct, array_like=True, frozen=True, tag=21):
    call: int
    query: OrderQuery


class OrdersReply(msgspec.Struct, array_like=True, frozen=True, tag=22):
    call: int
    answer: OrderPage


class OrderRecordsCall(msgspec.Struct, array_like=True, frozen=True, tag=23):
    call: int
    order_id: str


class OrderRecordsReply(msgspec.Struct, array_like=True, frozen=True, tag=24):
    call: int
    answer: OrderRecords | None


class FiguresCall(msgspec.Struct, array_like=True, frozen=True, tag=25):
    call: int


class FiguresReply(msgspec.Struct, array_like=True, frozen=True, tag=26):
    call: int
    answer: KeeperMetrics


class OperateCall(msgspec.Struct, array_like=True, frozen=True, tag=27):
    """`payload` is an OperationRecord."""

    call: int
    payload: bytes
    wait_s: float


class OperateReply(msgspec.Struct, array_like=True, frozen=True, tag=28):
    call: int
    answer: ControlAnswer


class CountRequest(msgspec.Struct, array_like=True, frozen=True, tag=29):
    call: int
    message: CountCall


class CountReply(msgspec.Struct, array_like=True, frozen=True, tag=30):
    call: int
    answer: Counted


class ControlPush(msgspec.Struct, array_like=True, frozen=True, tag=31):
    """Not asked for: the halts and limits in force."""

    view: ControlView


class LeasePush(msgspec.Struct, array_like=True, frozen=True, tag=32):
    """Not asked for: the halts and limits last told hold for longer."""

    lease_until_ns: int


class ControlTaken(msgspec.Struct, array_like=True, frozen=True, tag=33):
    """Not answered: everything that this worker submits after it knows the view of that number."""

    number: int


Look: TypeAlias = OrdersCall | OrderRecordsCall | FiguresCall
Control: TypeAlias = OperateCall | CountRequest
Call: TypeAlias = (
    SubmitCall | RecordCall | FindCall | MarketCall | OrderCall | OrderUpdate | AdviseCall | ReportCall | Look | Control
)
Reply: TypeAlias = (
    SubmitReply | RecordReply | FindReply | MarketReply | OrderReply | OrderUpdateReply | AdviseReply
    | ReportReply | OrdersReply | OrderRecordsReply | FiguresReply | OperateReply | CountReply | Failure
)  # fmt: skip
ToKeeper: TypeAlias = Call | MarketRestore | ControlTaken
FromKeeper: TypeAlias = Hello | Reply | MarketPush | StatePush | ControlPush | LeasePush

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


def order_update(number: int, acknowledgement: Acknowledgement, call: UpdateCall) -> OrderUpdate:
    """Raises RecordInvalid for what cannot be sent."""
    return OrderUpdate(
        number, acknowledgement, call.order_id, pack_update(call.update, None), call.opening, call.record_id,
        call.now_ns, call.gateway,
    )  # fmt: skip


def update_in(call: OrderUpdate) -> UpdateCall:
    update, _ = unpack_update(call.update)
    return UpdateCall(call.order_id, update, call.opening, call.record_id, call.now_ns, call.gateway)


def failure_of(call: int, error: BaseException) -> Failure:
    """An error that is not of the store's tree is a fault of the keeper, and no reason to doubt the record."""
    kind = type(error).__name__ if isinstance(error, StoreError) else StoreUnavailable.__name__
    return Failure(call, kind, str(error) if isinstance(error, StoreError) else repr(error))


def error_of(failure: Failure) -> StoreError:
    kind = getattr(errors, failure.kind, None)
    if isinstance(kind, type) and issubclass(kind, StoreError) and kind.__init__ is Exception.__init__:
        return kind(failure.message)
    return StoreUnavailable(f"{failure.kind}: {failure.message}")
