"""`AdaptationRecord.inputs`: what an advice was made from, and how the order is watched after it.

Canonical msgpack: [version, now_ns, forced, state, kind of change, change, watch before, watch after, market, decision,
message]. `decision` is what a decision of that moment is made from (`service.mapping.inputs`: hashes of artifacts,
reference data and build, limits, and the market); `message` is the acknowledgement that the advice was put into. With
the order's request (its selection has it), `engine.order_life.watch.seen` gives the same advice again; and a worker
that takes over goes on from the watch after. Version 1 had `market` and neither of the last two: such an advice does
not replay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec

from engine.order_life.plan import Figures, Plan
from engine.order_life.state import OrderState
from engine.order_life.triggers import Look
from engine.order_life.updates import Change
from engine.order_life.watch import Amended, Watch
from engine.request import OrderRequest
from engine.values import MarketState
from store.order_codec import KINDS, kind_name

VERSION: Final = 2


class _Watch(msgspec.Struct, array_like=True, frozen=True):
    started_ns: int
    plan: Plan
    look: Look
    advice_number: int
    switched_ns: int
    first: Figures | None = None
    amended: int = 0


class _Inputs(msgspec.Struct, array_like=True, frozen=True):
    version: int
    now_ns: int
    forced: str
    state: OrderState
    kind: str
    change: msgspec.Raw
    before: _Watch
    after: _Watch
    market: MarketState | None = None
    decision: bytes = b""
    message: bytes = b""


@dataclass(frozen=True, slots=True)
class AdviceInputs:
    now_ns: int
    forced: str
    state: OrderState
    change: Change | None
    before: Watch
    after: Watch
    decision: bytes
    message: bytes


_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_decode = msgspec.msgpack.Decoder(_Inputs).decode
_NOTHING: Final = msgspec.Raw(_encode(None))


def encode_inputs(inputs: AdviceInputs) -> bytes:
    kind, change = "", _NOTHING
    if inputs.change is not None:
        kind, change = kind_name(inputs.change), msgspec.Raw(_encode(inputs.change))
    return _encode(
        _Inputs(
            VERSION, inputs.now_ns, inputs.forced, inputs.state, kind, change, _plain(inputs.before),
            _plain(inputs.after), None, inputs.decision, inputs.message,
        )
    )  # fmt: skip


def decode_inputs(data: bytes, request: OrderRequest) -> AdviceInputs:
    """Raises msgspec.DecodeError for bytes that no version of this module wrote."""
    found = _decode(data)
    change = None
    if found.kind:
        change = cast(Change, msgspec.msgpack.decode(found.change, type=cast(Any, KINDS[found.kind])))
    return AdviceInputs(
        found.now_ns, found.forced, found.state, change, _watch(found.before, request), _watch(found.after, request),
        found.decision, found.message,
    )


def decision_inputs_in(data: bytes) -> bytes:
    """Of the moment of the advice; empty in version 1. Raises msgspec.DecodeError."""
    return _decode(data).decision


def watch_bytes(watch: Watch) -> bytes:
    """How an order is watched, for comparison."""
    return _encode(_plain(watch))


def _plain(watch: Watch) -> _Watch:
    return _Watch(
        watch.started_ns, watch.plan, watch.look, watch.advice_number, watch.switched_ns, watch.first, watch.amended
    )


def _watch(found: _Watch, request: OrderRequest) -> Watch:
    first = found.plan.figures if found.first is None else found.first  # older records do not have it
    return Watch(
        request, found.started_ns, found.plan, found.look, first, found.advice_number, found.switched_ns,
        Amended(found.amended),
    )
