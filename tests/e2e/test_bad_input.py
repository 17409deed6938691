"""What a gateway may send by mistake: answered with the exact code and every violation; the server stays up."""

from __future__ import annotations

import math
import struct
import time
from typing import Any

import grpc
import pytest
from execution_strategy.v1 import status_pb2
from google.rpc import error_details_pb2

from tests.helpers.live_service import (
    ADMIN,
    SERVICE,
    TRAILERS_LIMIT_BYTES,
    Gateway,
    LiveService,
    Reply,
    Request,
    bars,
    closed_time,
    order,
    seed_reference,
)
from tests.helpers.running_host import health

MINUTE_NS = 60_000_000_000
NOON_NS = 1_767_700_800_000_000_000


def changed(field: str, value: Any) -> Request:
    """A sound order with one field, by path, set to what JSON cannot say."""
    message = order(constraints={"dark_pool_preference": False}, market_context={"time_of_day": "MORNING"})
    *path, name = field.split(".")
    target: Any = message
    for part in path:
        target = getattr(target, part)
    setattr(target, name, value)
    return message


def assert_refused(reply: Reply, *fields: str) -> None:
    assert reply.code == "INVALID_ARGUMENT", reply
    assert set(reply.fields) == set(fields)
    assert reply.trailers_bytes < TRAILERS_LIMIT_BYTES
    assert all(reply.descriptions.values())


NUMBERS = (
    "quantity", "constraints.max_participation_rate", "constraints.price_limit",
    "constraints.min_completion_probability", "market_context.liquidity_score", "market_context.news_impact_score",
    "market_context.mid_price", "market_context.spread_bps", "market_context.daily_volatility",
    "market_context.average_daily_volume", "market_context.short_term_alpha_bps_per_day",
)  # fmt: skip


@pytest.mark.parametrize("field", NUMBERS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1e300, 1e300, -math.nan])
def test_numbers_that_are_none(gateway: Gateway, field: str, value: float) -> None:
    assert_refused(gateway.recommend(changed(field, value)), field)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("quantity", 0.0), ("quantity", -0.0), ("quantity", -100.0), ("quantity", 0.5), ("quantity", 1e12 + 1),
        ("quantity", 5e-324), ("quantity", 100.001),
        ("instrument_id", "NOPE"), ("instrument_id", ""), ("instrument_id", "AIG "), ("instrument_id", "aig"),
        ("instrument_id", "A" * 65), ("instrument_id", "A\0"), ("instrument_id", "Ä"),
        ("order_id", ""), ("order_id", "a b"), ("order_id", "a\n"), ("order_id", "\0"), ("order_id", "\x7f"),
        ("order_id", "x" * 101), ("order_id", "ö"), ("order_id", "x" * 1_000_000),
        ("side", 0), ("side", 4), ("side", -1), ("side", 2**31 - 1), ("side", -(2**31)),
        ("objective", 0), ("objective", 6), ("objective", -1), ("urgency", 0), ("urgency", 5), ("urgency", 99),
        ("acknowledgement", 4), ("acknowledgement", -7), ("market_context.current_conditions", 7),
        ("market_context.current_conditions", -1),
        ("constraints.max_participation_rate", 0.0), ("constraints.max_participation_rate", 1.0001),
        ("constraints.time_limit_minutes", 0), ("constraints.time_limit_minutes", -1),
        ("constraints.time_limit_minutes", 1441), ("constraints.price_limit", 0.0),
        ("constraints.min_completion_probability", 1.0001), ("constraints.min_completion_probability", -0.1),
        ("market_context.liquidity_score", 1.01), ("market_context.news_impact_score", -0.01),
        ("market_context.mid_price", 0.0), ("market_context.spread_bps", -1e-9), ("market_context.spread_bps", 5001.0),
        ("market_context.daily_volatility", 0.0), ("market_context.daily_volatility", 2.1),
        ("market_context.average_daily_volume", 0.0), ("market_context.short_term_alpha_bps_per_day", 10_001.0),
        ("market_context.volatility_regime", "WILD"), ("market_context.volatility_regime", "normal\n"),
        ("market_context.volatility_regime", "x" * 100_000),
        ("market_context.time_of_day", "25:00"), ("market_context.time_of_day", "9:30"),
        ("market_context.time_of_day", "10:60"), ("market_context.time_of_day", "10:00:60"),
        ("market_context.time_of_day", "open\n"), ("market_context.time_of_day", "noon"),
        ("market_context.time_of_day", "١٠:٠٠"),
    ],
)  # fmt: skip
def test_values_outside_their_range(gateway: Gateway, field: str, value: Any) -> None:
    assert_refused(gateway.recommend(changed(field, value)), field)


@pytest.mark.parametrize("word", ["open", "Close", "cloſe", "09:31:59", "00:00", "23:59"])
def test_times_of_day_that_are_sound(gateway: Gateway, word: str) -> None:
    assert gateway.recommend(changed("market_context.time_of_day", word)).code == "OK"


def test_lots(gateway: Gateway) -> None:
    for quantity in (150, 99, 100.5):
        assert_refused(gateway.recommend(order(instrument_id="600519.SH", quantity=quantity)), "quantity")
    assert gateway.recommend(order(instrument_id="600519.SH", quantity=100)).code == "OK"


def test_venues(gateway: Gateway) -> None:
    reply = gateway.recommend(
        order(
            constraints={
                "venue_restrictions": ["XNYS", "MOON", "XPAR"],
                "allowed_venues": ["nasdaq", "Ω" * 64, "B S"],
            }
        )
    )
    assert reply.code == "INVALID_ARGUMENT"
    assert {
        "constraints.venue_restrictions[1]", "constraints.venue_restrictions[2]", "constraints.allowed_venues[1]",
        "constraints.allowed_venues[2]", "constraints.allowed_venues[1, 2]",
    } == set(reply.fields)  # fmt: skip
    assert_refused(
        gateway.recommend(order(constraints={"venue_restrictions": [""]})),
        "constraints.venue_restrictions[0]",
    )
    twice = gateway.recommend(order(constraints={"venue_restrictions": ["XNYS", "XNYS"]}))
    assert_refused(twice, "constraints.venue_restrictions")


def test_ten_thousand_venues(gateway: Gateway) -> None:
    reply = gateway.recommend(
        order(constraints={"venue_restrictions": [f"V{n}" for n in range(10_000)]}, side=None, quantity=-1)
    )
    assert reply.code == "INVALID_ARGUMENT"
    assert {"constraints.venue_restrictions", "side", "quantity"} <= set(reply.fields)
    assert reply.trailers_bytes < TRAILERS_LIMIT_BYTES
    assert "10000" in str(reply.descriptions)


@pytest.mark.parametrize(
    ("field", "stamp"),
    [
        ("effective_time", (0, 0)), ("effective_time", (-(2**62), 0)), ("effective_time", (2**62, 0)),
        ("effective_time", (253_402_300_800, 0)), ("effective_time", (closed_time(), -1)),
        ("effective_time", (closed_time(), 1_000_000_000)), ("effective_time", (closed_time(), 2**31 - 1)),
        ("effective_time", (int(time.time()) + 31 * 86_400, 0)), ("effective_time", (7_258_118_400, 0)),
    ],
)  # fmt: skip
def test_bad_times(gateway: Gateway, field: str, stamp: tuple[int, int]) -> None:
    message = order()
    message.effective_time.seconds, message.effective_time.nanos = stamp
    assert_refused(gateway.recommend(message), field)


def test_bars(gateway: Gateway) -> None:
    sound = bars(NOON_NS, [47.7 + 0.01 * (n % 3) for n in range(30)], 9_000, 2.1)
    assert gateway.recommend(order(market_context={"recent_bars": sound, "time_of_day": "OPEN"})).code == "OK"
    swapped = [*sound[:10], sound[11], sound[10], *sound[12:]]
    reply = gateway.recommend(order(market_context={"recent_bars": swapped}))
    assert_refused(reply, "market_context.recent_bars[11].end_time")
    backwards = gateway.recommend(order(market_context={"recent_bars": sound[::-1]}))
    assert backwards.code == "INVALID_ARGUMENT"
    assert len(backwards.fields) == 6
    assert "24 more" in backwards.descriptions["market_context.recent_bars"]
    message = order(market_context={"recent_bars": sound})
    message.market_context.recent_bars[3].mid_price = math.nan
    message.market_context.recent_bars[4].volume = -1
    message.market_context.recent_bars[5].end_time.nanos = -1
    message.market_context.recent_bars[6].ClearField("end_time")
    fields = gateway.recommend(message).fields
    assert {
        "market_context.recent_bars.mid_price[3]", "market_context.recent_bars.volume[4]",
        "market_context.recent_bars[5].end_time", "market_context.recent_bars.end_time[6]",
    } <= set(fields)  # fmt: skip
    too_many = order(market_context={"recent_bars": bars(NOON_NS, [47.7] * 391, 9_000, 2.1)})
    assert_refused(gateway.recommend(too_many), "market_context.recent_bars")


def test_all_faults_are_named_at_once(gateway: Gateway) -> None:
    message = order(
        order_id="", instrument_id="NOPE", side=None, quantity=-1, objective=None, urgency=None,
        constraints={"max_participation_rate": 2, "time_limit_minutes": 0, "venue_restrictions": ["MOON"]},
        market_context={"mid_price": -1, "time_of_day": "25:00", "volatility_regime": "WILD"},
        tags={"": "x"},
    )  # fmt: skip
    message.effective_time.nanos = -1
    unknown: Any = 99  # a number that the contract does not know
    message.acknowledgement = unknown
    reply = gateway.recommend(message)
    assert_refused(
        reply, "order_id", "instrument_id", "side", "quantity", "objective", "urgency", "acknowledgement",
        "constraints.max_participation_rate", "constraints.time_limit_minutes", "constraints.venue_restrictions[0]",
        "market_context.mid_price", "market_context.time_of_day", "market_context.volatility_regime", "tags",
        "effective_time",
    )  # fmt: skip
    assert reply.text.startswith("16 violations")  # order_id breaks two rules


def test_an_empty_message_is_told_what_is_required(gateway: Gateway) -> None:
    assert_refused(
        gateway.recommend(b""), "order_id", "instrument_id", "side", "quantity", "objective", "urgency"
    )


def test_tags(gateway: Gateway) -> None:
    many = order(tags={str(n): "" for n in range(17)})
    assert_refused(gateway.recommend(many), "tags")
    long = gateway.recommend(order(tags={"k" * 100_000 + str(n): "v" * 257 for n in range(5)}))
    assert long.code == "INVALID_ARGUMENT"
    assert long.trailers_bytes < TRAILERS_LIMIT_BYTES
    assert_refused(gateway.recommend(order(tags={"nul": "a\0b"})), "tags")
    assert_refused(gateway.recommend(order(tags={"n\0l": "b"})), "tags")
    odd = order(tags={"line": "a\nb", "emoji": "😀", "delete": "\x7f\x01"}, acknowledgement="COMMITTED")
    assert gateway.recommend(odd).code == "OK"


@pytest.mark.parametrize(
    "data", [b"\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x05ab", b"\x0a\x02\xff\xfe", b"\x07" * 50]
)
def test_malformed_bytes(gateway: Gateway, data: bytes) -> None:
    reply = gateway.recommend(data)
    assert reply.code == "INVALID_ARGUMENT"
    assert "not a execution_strategy.v1.ExecutionStrategyRequest" in reply.text


@pytest.mark.parametrize(
    ("method", "service"),
    [
        *((name, SERVICE) for name in (
            "Recommend", "Status", "Replay", "AdaptOnce", "ReportOutcome", "Performance", "ListOrders",
            "GetOrderHistory",
        )),
        *((name, ADMIN) for name in (
            "Halt", "Resume", "SetLimits", "ListControls", "ListArtifacts", "ActivateArtifact",
        )),
    ],
)  # fmt: skip
def test_malformed_bytes_are_a_violation_in_every_call(gateway: Gateway, method: str, service: str) -> None:
    reply = gateway.call(method, b"\xff", service=service)
    assert_refused(reply, "")
    assert "not a execution_strategy.v1." in reply.descriptions[""]


def test_truncated_bytes(gateway: Gateway) -> None:
    """Cut anywhere, a message is refused or is a shorter sound one; never a fault of the server."""
    whole = order(constraints={"venue_restrictions": ["XNYS"]}, tags={"a": "b"}).SerializeToString()
    codes = {gateway.recommend(whole[:length]).code for length in range(len(whole))}
    assert codes <= {"INVALID_ARGUMENT", "OK", "ALREADY_EXISTS"}
    assert "INVALID_ARGUMENT" in codes


def test_fields_of_a_later_contract_are_content(gateway: Gateway) -> None:
    message = order()
    raw = message.SerializeToString()
    later = raw + struct.pack("<BB", 0xF8, 0x7D) + b"\x01"  # field 2015, varint 1
    first = gateway.recommend(later)
    assert first.code == "OK"
    assert gateway.recommend(later).data == first.data
    assert gateway.recommend(raw).code == "ALREADY_EXISTS"


@pytest.mark.parametrize("megabytes", [5, 10])
def test_messages_beyond_the_limit(live: LiveService, megabytes: int) -> None:
    with Gateway(live.target) as client:
        reply = client.recommend(order(tags={"x": "y" * (megabytes << 20)}))
        assert reply.code == "RESOURCE_EXHAUSTED"
        assert client.call("Status", b"\x0a" + b"x" * (megabytes << 20)).code == "RESOURCE_EXHAUSTED"
        assert client.recommend(order()).code == "OK"


def test_messages_just_below_the_limit_do_not_hold_the_loop(live: LiveService, gateway: Gateway) -> None:
    """Two bytes an entry: millions of bars, venues or tags in one message."""
    message = Request()
    message.market_context.MergeFromString(b"\x5a\x00" * 1_900_000)
    heavy = {
        "bars": message.SerializeToString(),
        "venues": b"\x3a\x80\x92\xf4\x01" + b"\x22\x00" * 2_000_000,
        "tags": b"\x62\x00" * 1_900_000,
    }
    for name, data in heavy.items():
        begun_s = time.monotonic()
        reply = gateway.recommend(data, timeout_s=30)
        took_s = time.monotonic() - begun_s
        print(f"{name}: {took_s:.2f} s {reply.text[:60]}")
        assert reply.code == "INVALID_ARGUMENT", name
        assert reply.trailers_bytes < TRAILERS_LIMIT_BYTES
        assert took_s < 2.0, name
    assert health(gateway.channel) == "SERVING"


def test_market_data_faults_do_not_end_the_stream(gateway: Gateway) -> None:
    many = [b"\xff", b"\x0a\x03AIG"] * 80
    counts = gateway.update_market(*many)
    assert (counts.accepted, counts.stale, counts.rejected) == (0, 0, 160)
    assert len(counts.rejections) == 100
    assert counts.rejections[0].startswith("update 1:")
    assert "as_of" in counts.rejections[1]


def test_details_reach_a_client_with_the_usual_metadata_limit(live: LiveService) -> None:
    channel = grpc.insecure_channel(
        live.target,
        options=(
            ("grpc.max_metadata_size", 8192),
            ("grpc.absolute_max_metadata_size", 8192),
            ("grpc.use_local_subchannel_pool", 1),
        ),
    )
    worst = order(
        order_id="%" * 101, instrument_id="語" * 64, side=None, quantity=-1, objective=None, urgency=None,
        constraints={
            "venue_restrictions": ["語" * 64 + str(n) for n in range(100)],
            "allowed_venues": ["ß" * 90 + str(n) for n in range(100)],
        },
        market_context={"recent_bars": [{"mid_price": -1}] * 390, "volatility_regime": "語" * 1000},
        tags={"語" * 100 + str(n): "x" * 300 for n in range(16)},
    )  # fmt: skip
    ask: Any = channel.unary_unary(f"/{SERVICE}/Recommend")
    with channel, pytest.raises(grpc.RpcError) as caught:
        ask(worst.SerializeToString(), timeout=10)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT, caught.value.details()
    with Gateway(live.target) as client:
        reply = client.recommend(worst)
        assert reply.trailers_bytes < TRAILERS_LIMIT_BYTES
        assert len(reply.detail(error_details_pb2.BadRequest).field_violations) >= 10


# ---- sound requests that cannot be met


def daily_volume(instrument_id: str) -> float:
    return seed_reference()[1][instrument_id].average_daily_volume_shares or 0.0


def mid_price(instrument_id: str) -> float:
    return seed_reference()[1][instrument_id].mid_price or 0.0


LIT = ["XNYS", "XNAS", "ARCX", "BATS", "BATY", "EDGX", "EDGA", "XBOS", "XPSX"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            {"quantity": round(0.15 * daily_volume("AIG")), "constraints": {"min_completion_probability": 1}},
            {"constraints.min_completion_probability"},
        ),
        # Without it, what fits into the day would be planned and the rest carried over.
        (
            {"quantity": round(0.4 * daily_volume("AIG")), "constraints": {"min_completion_probability": 1}},
            {"constraints.min_completion_probability"},
        ),
        ({"constraints": {"price_limit": 0.5 * mid_price("AIG")}}, {"constraints.price_limit"}),
        ({"side": "SELL", "constraints": {"price_limit": 1.5 * mid_price("AIG")}}, {"constraints.price_limit"}),
        ({"constraints": {"venue_restrictions": LIT}}, {"constraints.venue_restrictions"}),
        ({"constraints": {"allowed_venues": ["DARK_POOL_1"]}}, {"constraints.venue_restrictions"}),
        (
            {"constraints": {"dark_pool_preference": True, "venue_restrictions": ["UBSA", "LEVL", "BIDS"]}},
            {"constraints.dark_pool_preference"},
        ),
        (
            {"quantity": round(0.05 * daily_volume("AIG")), "constraints": {"max_participation_rate": 0.01}},
            {"constraints.max_participation_rate"},
        ),
        (
            {"quantity": round(0.1 * daily_volume("AIG")), "constraints": {"time_limit_minutes": 1}},
            {"constraints.time_limit_minutes"},
        ),
        ({"quantity": 1e12}, {"quantity"}),
    ],
)  # fmt: skip
def test_constraints_that_clash_are_named(gateway: Gateway, change: dict[str, Any], named: set[str]) -> None:
    reply = gateway.recommend(order(**change))
    assert reply.code == "FAILED_PRECONDITION", reply
    assert named <= set(reply.fields), reply.descriptions
    assert all(reply.descriptions.values())
    assert all(f.startswith("constraints.") or f == "quantity" for f in reply.fields)
    assert reply.trailers_bytes < TRAILERS_LIMIT_BYTES


def test_clashing_constraints_are_all_named(gateway: Gateway) -> None:
    constraints = {"dark_pool_preference": True, "venue_restrictions": [*LIT, "UBSA", "LEVL", "BIDS"]}
    reply = gateway.recommend(order(constraints=constraints))
    assert reply.code == "FAILED_PRECONDITION"
    assert set(reply.fields) == {"constraints.venue_restrictions", "constraints.dark_pool_preference"}


def test_a_preference_for_dark_venues_says_where_there_are_none(gateway: Gateway) -> None:
    constraints = {"dark_pool_preference": True}
    answer = gateway.recommend(
        order(instrument_id="600519.SH", quantity=1000, constraints=constraints)
    ).response
    assert any("dark_pool_preference has no effect" in text for text in answer.warnings)
    assert set(answer.recommended_strategy.venue_allocation) == {"XSHG"}


def test_a_refused_order_is_not_recorded(gateway: Gateway) -> None:
    refused = order(constraints={"price_limit": 1.0})
    assert gateway.recommend(refused).code == "FAILED_PRECONDITION"
    assert gateway.call("Status", status_pb2.StatusRequest(order_id=refused.order_id)).code == "NOT_FOUND"
    assert gateway.recommend(order(order_id=refused.order_id)).code == "OK"
