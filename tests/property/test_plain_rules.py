"""What is taken for plainly valid breaks no rule of the contract; and the orders that gateways send are plain."""

from __future__ import annotations

import math
from typing import Any, cast

import protovalidate
import pytest
from execution_strategy.v1 import adaptation_pb2, events_pb2, market_data_pb2, request_pb2, status_pb2
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.stages.world import Orders
from service.mapping.plain_rules import is_plain
from service.mapping.requests import map_request
from tests.helpers import world

KINDS: tuple[Any, ...] = (
    request_pb2.ExecutionStrategyRequest, request_pb2.RecommendBatchRequest,
    adaptation_pb2.StrategyAdaptationRequest, market_data_pb2.UpdateMarketDataRequest,
    status_pb2.ReportOutcomeRequest, status_pb2.StatusRequest, events_pb2.StreamEventsRequest,
)  # fmt: skip
BOUNDS = (0.0, 1.0, 2.0, 100.0, 5e3, 1e4, 1e12, 1e15)
NUMBERS = st.one_of(
    st.sampled_from(
        [sign * near for bound in BOUNDS for sign in (1.0, -1.0)
         for near in (bound, math.nextafter(bound, 0.0), math.nextafter(bound, math.inf))]
    ),
    st.sampled_from((math.nan, math.inf, -math.inf, 0.5, 5e-324)), st.floats(),
)  # fmt: skip
# Letters that other alphabets fold to ASCII, line ends, and what the patterns of the contract are about.
TEXTS = st.one_of(
    st.sampled_from(
        ("", "a", "AIG", "o-1", "a\n", "\n", " ", "a b", "\u017f", "\u212a", "low", "LOW", "loW", "lo\u212a", "open",
         "clo\u017fe", "OPEN", "OPENlow", "midday", "09:30", "24:00", "23:59:59", "9:30", "09:30\n", "x" * 64, "x" * 65,
         "x" * 100, "x" * 101, "\u00e9" * 64, "5a1c6d5e-3f0b-4a86-9d0c-6c4f4e2b7a10", "a\0b", "\x7f", "~")
    ),
    st.text(max_size=6),
)  # fmt: skip
WHOLE = st.sampled_from((0, 1, -1, 2, 389, 390, 391, 1_440, 10_000, 2**31 - 1, -(2**31)))


@st.composite
def filled(draw: st.DrawFn, message: Any) -> Any:
    """The message with any of its fields set to anything."""
    for field in message.DESCRIPTOR.fields:
        if not draw(st.booleans()):
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            if field.message_type.fields_by_name["value"].message_type is None:
                getattr(message, field.name).update(draw(st.dictionaries(TEXTS, TEXTS, max_size=3)))
        elif field.is_repeated:
            entries = getattr(message, field.name)
            for _ in range(draw(st.integers(0, 3))):
                if field.message_type is None:
                    entries.append(draw(one_of(field)))
                else:
                    draw(filled(entries.add()))
        elif field.message_type is not None:
            target = getattr(message, field.name)
            target.SetInParent()
            draw(filled(target))
        else:
            setattr(message, field.name, draw(one_of(field)))
    return message


def one_of(field: Any) -> st.SearchStrategy[Any]:
    if field.enum_type is not None:
        return st.integers(-1, 9)
    if field.type in (field.TYPE_DOUBLE, field.TYPE_FLOAT):
        return NUMBERS
    if field.type == field.TYPE_STRING:
        return TEXTS
    if field.type == field.TYPE_BYTES:
        return st.binary(max_size=3)
    if field.type == field.TYPE_BOOL:
        return st.booleans()
    if field.type in (field.TYPE_UINT32, field.TYPE_UINT64):
        return WHOLE.map(abs)
    return WHOLE


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.DESCRIPTOR.name)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_what_is_plain_breaks_no_rule(kind: Any, data: st.DataObject) -> None:
    message = data.draw(filled(kind()))
    if is_plain(message):
        assert violations(message) == []


def order() -> request_pb2.ExecutionStrategyRequest:
    return request_pb2.ExecutionStrategyRequest(
        order_id="o-1", instrument_id="AIG", side="ORDER_SIDE_BUY", quantity=100.0,
        objective="EXECUTION_OBJECTIVE_MINIMIZE_COST", urgency="EXECUTION_URGENCY_LOW",
    )  # fmt: skip


# One field of a valid order at a time: none of these drowns in another's fault.
@settings(max_examples=2_000, deadline=None)
@given(data=st.data())
def test_an_order_is_plain_only_where_each_field_is(data: st.DataObject) -> None:
    message: Any = order()
    part = message if (name := data.draw(st.sampled_from(("", "constraints", "market_context")))) == "" else getattr(
        message, name
    )
    part.SetInParent()
    field = data.draw(st.sampled_from([one for one in part.DESCRIPTOR.fields if one.message_type is None]))
    value = data.draw(one_of(field))
    if field.is_repeated:
        getattr(part, field.name).extend([value] * data.draw(st.integers(1, 2)))
    else:
        setattr(part, field.name, value)
    # What it says of an order is not only sound: it is what the rules say, but for texts that are not ASCII.
    unusual = isinstance(value, str) and not value.isascii()
    assert is_plain(message) is (violations(message) == []) or (unusual and not is_plain(message))


def violations(message: Message) -> list[Any]:
    return cast(list[Any], protovalidate.collect_violations(message))


def test_lists_are_plain_up_to_their_bounds() -> None:
    for count, plain in ((100, True), (101, False)):
        message = order()
        message.constraints.venue_restrictions.extend(f"V{number}" for number in range(count))
        assert is_plain(message) is plain
        assert (violations(message) == []) is plain
    assert not is_plain(request_pb2.RecommendBatchRequest())
    assert is_plain(request_pb2.RecommendBatchRequest(requests=[order()]))
    assert not is_plain(request_pb2.RecommendBatchRequest(requests=[order(), request_pb2.ExecutionStrategyRequest()]))


def test_the_orders_of_gateways_are_plain() -> None:
    orders = Orders(world.usual(), "2026-11-30T08:00:00Z")
    for number in range(300):
        message = request_pb2.ExecutionStrategyRequest.FromString(orders.any() if number % 2 else orders.plain())
        assert is_plain(message)
        map_request(message, world.usual(), 1_795_766_400_000_000_000)
