"""Requests as the engine sees them: what is content, and which faults are found beyond the contract's own rules."""

from __future__ import annotations

import math
from typing import Any

import pytest
from execution_strategy.v1 import enums_pb2, market_data_pb2, request_pb2, response_pb2

from engine.decision import Fault
from engine.records import MarketUpdate
from engine.values import MarketCondition, Objective, Side, Urgency
from service.errors import MAX_DETAIL_BYTES, invalid, precondition
from service.mapping.requests import MappedRequest, content_hash, map_market_update, map_request
from service.mapping.responses import scheduled_fraction
from service.mapping.validation import MAX_FAULTS, bounded, rule_faults
from service.warmup import toy_snapshot

NOW_NS = 1_767_625_200_000_000_000
NOT_CONTENT = {"dry_run", "acknowledgement", "tags"}
Request = request_pb2.ExecutionStrategyRequest


def sound() -> Request:
    return Request(
        order_id="o-1", instrument_id="TOY", side=enums_pb2.ORDER_SIDE_SELL, quantity=500.0,
        objective=enums_pb2.EXECUTION_OBJECTIVE_MINIMIZE_RISK, urgency=enums_pb2.EXECUTION_URGENCY_HIGH,
    )  # fmt: skip


def set_anything(message: Any, field: Any) -> None:
    """Some value that differs from what a message that was never touched has."""
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        getattr(message, field.name)["k"] = "v"
    elif field.message_type is not None and field.is_repeated:
        getattr(message, field.name).add()
    elif field.message_type is not None:
        getattr(message, field.name).SetInParent()
    elif field.is_repeated:
        getattr(message, field.name).append("XNYS")
    elif field.cpp_type == field.CPPTYPE_STRING:
        setattr(message, field.name, getattr(message, field.name) + "x")
    elif field.cpp_type == field.CPPTYPE_DOUBLE:
        setattr(message, field.name, getattr(message, field.name) + 0.5)
    else:
        setattr(message, field.name, int(getattr(message, field.name)) + 1)


FIELDS = [
    *((name, field) for name, field in (("", field) for field in Request.DESCRIPTOR.fields)),
    *(("constraints", field) for field in request_pb2.ExecutionConstraints.DESCRIPTOR.fields),
    *(("market_context", field) for field in request_pb2.MarketContext.DESCRIPTOR.fields),
]


@pytest.mark.parametrize(
    ("holder", "field"), FIELDS, ids=[f"{holder}.{field.name}" for holder, field in FIELDS]
)
def test_every_field_is_content_but_class_dry_run_and_tags(holder: str, field: Any) -> None:
    before, message = sound(), sound()
    for one in (before, message):
        one.constraints.SetInParent()
        one.market_context.SetInParent()
    target = getattr(message, holder) if holder else message
    if field.name in {"constraints", "market_context"}:
        before.ClearField(field.name)
    else:
        set_anything(target, field)
    same = content_hash(before)[1] == content_hash(message)[1]
    assert same == (not holder and field.name in NOT_CONTENT)


def test_a_zero_that_is_said_is_not_nothing() -> None:
    said = sound()
    said.market_context.spread_bps = 0.0
    unsaid = sound()
    unsaid.market_context.SetInParent()
    assert content_hash(said)[1] != content_hash(unsaid)[1]


def test_the_hash_is_of_the_canonical_bytes_and_leaves_the_message_alone() -> None:
    message = sound()
    message.tags["b"], message.tags["a"] = "1", "2"
    before = message.SerializeToString(deterministic=True)
    canonical, digest = content_hash(message)
    assert message.SerializeToString(deterministic=True) == before
    assert Request.FromString(canonical) == sound()
    assert len(digest) == 64


def mapped(message: Request) -> MappedRequest:
    found = map_request(message, toy_snapshot(), NOW_NS)
    assert isinstance(found, MappedRequest), found
    return found


def fault_fields(message: Request) -> list[str]:
    found = map_request(message, toy_snapshot(), NOW_NS)
    assert isinstance(found, list)
    return [fault.field for fault in found]


def test_a_request_in_the_engines_terms() -> None:
    message = sound()
    message.market_context.current_conditions = enums_pb2.MARKET_CONDITION_TRENDING
    message.market_context.spread_bps = 0.0
    message.constraints.time_limit_minutes = 30
    found = mapped(message)
    order = found.order
    assert (order.order_id, order.instrument_id, order.quantity_shares) == ("o-1", "TOY", 500.0)
    assert (order.side, order.objective, order.urgency) == (Side.SELL, Objective.MINIMIZE_RISK, Urgency.HIGH)
    assert order.start_ns == NOW_NS
    assert order.context.condition is MarketCondition.TRENDING
    assert order.context.spread_bps == 0.0
    assert order.context.mid_price is None
    assert order.constraints.time_limit_minutes == 30
    assert order.constraints.max_participation_rate is None
    assert order.seed == int(found.request_hash[:16], 16)


def test_a_moment_that_has_passed_means_now_but_for_a_dry_run() -> None:
    message = sound()
    message.effective_time.FromNanoseconds(NOW_NS - 10**12)
    assert mapped(message).order.start_ns == NOW_NS
    message.dry_run = True
    assert mapped(message).order.start_ns == NOW_NS - 10**12
    message.effective_time.FromNanoseconds(NOW_NS + 10**12)
    assert mapped(message).order.start_ns == NOW_NS + 10**12


@pytest.mark.parametrize(("days", "sound_"), [(30, True), (30.001, False), (-9_000, True)])
def test_how_far_ahead_an_order_may_be(days: float, sound_: bool) -> None:
    message = sound()
    message.effective_time.FromNanoseconds(NOW_NS + int(days * 86_400e9))
    assert isinstance(map_request(message, toy_snapshot(), NOW_NS), MappedRequest) is sound_


def test_faults_of_every_kind_are_named_together() -> None:
    message = Request(order_id="", instrument_id="NOPE", quantity=math.nan)
    message.effective_time.nanos = -1
    message.market_context.recent_bars.add(mid_price=1.0)
    message.constraints.venue_restrictions.append("MOON")
    message.tags["a\0"] = "b"
    assert {
        "order_id", "instrument_id", "quantity", "side", "objective", "urgency", "effective_time", "tags",
        "market_context.recent_bars.end_time[0]", "market_context.recent_bars[0].end_time",
        "constraints.venue_restrictions[0]",
    } == set(fault_fields(message))  # fmt: skip


def test_long_lists_of_faults_leave_room_for_others() -> None:
    message = sound()
    message.quantity = 0.5
    message.constraints.venue_restrictions.extend(f"V{index}" for index in range(90))
    message.constraints.allowed_venues.extend(f"W{index}" for index in range(5_000))
    found = map_request(message, toy_snapshot(), NOW_NS)
    assert isinstance(found, list)
    assert len(found) <= 15
    told = {fault.field: fault.description for fault in found}
    assert "quantity" in told
    assert told["constraints.venue_restrictions"] == "85 more of its entries are wrong"
    assert next(f.description for f in found if f.field == "constraints.allowed_venues") == (
        "must have at most 100 entries, not 5000"
    )


def test_lists_are_cut_before_the_rules_look_at_them() -> None:
    message = sound()
    for _ in range(50_000):
        message.market_context.recent_bars.add()
    found = rule_faults(message)
    assert len(message.market_context.recent_bars) == 390
    assert found[0] == Fault("market_context.recent_bars", "must have at most 390 entries, not 50000")


def test_refusals_are_bounded() -> None:
    faults = [Fault("語" * 5_000, "語" * 5_000) for _ in range(300)]
    for error in (invalid(faults), precondition(faults)):
        assert len(error.details) <= MAX_DETAIL_BYTES
        assert len(error.text) <= 1_100
    assert len(bounded(faults)) == MAX_FAULTS


def test_market_updates() -> None:
    message = market_data_pb2.UpdateMarketDataRequest(instrument_id="TOY", spread_bps=0.0)
    message.as_of.FromNanoseconds(NOW_NS)
    bar = message.bars.add(mid_price=1.0, volume=2.0, spread_bps=3.0)
    bar.end_time.FromNanoseconds(NOW_NS)
    found = map_market_update(message, NOW_NS)
    assert isinstance(found, MarketUpdate)
    assert (found.as_of_ns, found.spread_bps, found.mid_price) == (NOW_NS, 0.0, None)
    assert [b.end_ns for b in found.bars] == [NOW_NS]
    bar.end_time.FromNanoseconds(NOW_NS + 61 * 10**9)
    refused = map_market_update(message, NOW_NS)
    assert isinstance(refused, list)
    assert [fault.field for fault in refused] == ["bars"]
    message.as_of.FromNanoseconds(NOW_NS + 6 * 10**9)
    late = map_market_update(message, NOW_NS)
    assert isinstance(late, list)
    assert [fault.field for fault in late] == ["as_of"]
    message.ClearField("as_of")
    missing = map_market_update(message, NOW_NS)
    assert isinstance(missing, list)
    assert [fault.field for fault in missing] == ["as_of"]


@pytest.mark.parametrize(("algorithm", "halfway"), [("TWAP", 0.5), ("PASSIVE_PEG", 0.0), ("ICEBERG", 0.0)])
def test_what_rests_whole_is_due_at_its_end_and_nothing_before(algorithm: str, halfway: float) -> None:
    strategy = response_pb2.ExecutionStrategy(algorithm=algorithm)
    one = strategy.time_allocation.slices.add(duration_seconds=3600.0, quantity=500.0)
    one.start_time.FromSeconds(10_000)
    found = [scheduled_fraction(strategy, seconds * 10**9) for seconds in (9_000, 10_000, 11_800, 13_600, 20_000)]
    assert found == [0.0, 0.0, halfway, 1.0, 1.0]
