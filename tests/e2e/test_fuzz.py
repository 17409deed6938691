"""20,000 messages that no gateway would send, at a running service: only documented answers, and it goes on."""

from __future__ import annotations

import asyncio
import math
import random
import struct
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from execution_strategy.v1 import market_data_pb2, status_pb2

from tests.helpers.live_service import (
    DOCUMENTED,
    SERVICE,
    Gateway,
    LiveService,
    Request,
    bars,
    live_service,
    new_order_id,
    order,
)
from tests.helpers.running_host import health

SEED = 20_250_621
MESSAGES = 20_000
CHANNELS = 4
# Stays below the service's own bound on calls under way.
IN_FLIGHT = 24
LIMIT_S = 90.0
NOON_NS = 1_767_700_800_000_000_000
DOUBLES = (
    0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324, 1e-300, 1e-12, 1e-3, 0.5, 1.0, 1.0 - 2**-53, 2.0, 100.0,
    4999.0, 1e6, 1e12, 1e15, 1e300, 1.7976931348623157e308, -1.0, -1e15,
)  # fmt: skip
# Values that the rules allow, and that a decision may choke on.
EXTREMES: dict[str, tuple[float, ...]] = {
    "mid_price": (5e-324, 1e-300, 1e-9, 0.01, 1e6, 1e12),
    "spread_bps": (0.0, 5e-324, 1e-9, 1.0, 5000.0),
    "daily_volatility": (5e-324, 1e-300, 1e-9, 0.01, 2.0),
    "average_daily_volume": (5e-324, 1e-300, 1.0, 1e3, 1e6, 1e15),
    "short_term_alpha_bps_per_day": (-1e4, -5e-324, 0.0, 30.0, 1e4),
    "liquidity_score": (0.0, 5e-324, 0.3, 1.0),
    "news_impact_score": (0.0, 5e-324, 0.5, 1.0),
}
TEXTS = (
    "",
    "AIG",
    "600519.SH",
    "open",
    "12:30",
    "NORMAL",
    "\0",
    "ß" * 65,
    "x" * 5_000,
    "%s%n",
    "../..",
    "[/red]",
    "\U0001f600",
)


def whole_order(pick: random.Random) -> Request:
    """A sound order that uses most of the contract."""
    return order(
        # No turned bit makes the id of another test's order of it: "t-5b16f2-12736" and "t-5b16f2-32736" differ by one.
        order_id=new_order_id("odd"),
        instrument_id=pick.choice(("AIG", "AAPL", "600519.SH", "PETR4", "RLH")),
        quantity=pick.choice((100, 1_000, 5_000)),
        side=pick.choice(("BUY", "SELL", "SELL_SHORT")),
        constraints={
            "max_participation_rate": pick.choice((0.05, 0.3, 1.0)), "time_limit_minutes": pick.choice((5, 60, 1440)),
            "venue_restrictions": ["XNYS"], "min_completion_probability": pick.choice((0.0, 0.5)),
        },
        market_context={
            "time_of_day": pick.choice(("OPEN", "10:30", "CLOSE")), "spread_bps": 3.0, "news_impact_score": 0.3,
            "recent_bars": bars(NOON_NS, [10.0 + 0.01 * n for n in range(pick.choice((0, 1, 2, 30)))], 1e4, 3.0),
        },
        tags={"desk": "fuzz"},
        dry_run=pick.random() < 0.5,
    )  # fmt: skip


def random_bytes(pick: random.Random) -> bytes:
    return pick.randbytes(pick.choice((0, 1, 2, 5, 20, 100, 1_000)))


def flipped(pick: random.Random) -> bytes:
    """A few bits of a sound message turned."""
    data = bytearray(whole_order(pick).SerializeToString())
    for _ in range(pick.choice((1, 1, 2, 4, 16))):
        data[pick.randrange(len(data))] ^= 1 << pick.randrange(8)
    return bytes(data)


def spliced(pick: random.Random) -> bytes:
    """Cut, repeated, joined with another, or with noise in the middle."""
    data, other = whole_order(pick).SerializeToString(), whole_order(pick).SerializeToString()
    at = pick.randrange(len(data))
    return pick.choice(
        (data[:at], data[at:], data[:at] + other, data + other, data[:at] + random_bytes(pick) + data[at:])
    )


def doubles_overwritten(pick: random.Random) -> bytes:
    """Eight bytes somewhere become an extreme double."""
    data = bytearray(whole_order(pick).SerializeToString())
    at = pick.randrange(max(1, len(data) - 8))
    data[at : at + 8] = struct.pack("<d", pick.choice(DOUBLES))
    return bytes(data)


def random_fields(pick: random.Random) -> bytes:
    """A sound message in which some fields, at any depth, become anything that their type holds."""
    message = whole_order(pick)
    for _ in range(pick.choice((1, 1, 2, 3, 8))):
        scramble(message, pick)
    return message.SerializeToString()


def scramble(message: Any, pick: random.Random) -> None:
    field = pick.choice(message.DESCRIPTOR.fields)
    repeated = field.is_repeated
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        message.tags[pick.choice(TEXTS)] = pick.choice(TEXTS)
    elif field.message_type is not None:
        inner = getattr(message, field.name).add() if repeated else getattr(message, field.name)
        if not repeated:
            inner.SetInParent()
        scramble(inner, pick)
    elif repeated:
        getattr(message, field.name).append(pick.choice(TEXTS))
    else:
        setattr(message, field.name, anything(field, pick))


def anything(field: Any, pick: random.Random) -> Any:
    if field.cpp_type == field.CPPTYPE_DOUBLE:
        return pick.choice((*DOUBLES, struct.unpack("<d", pick.randbytes(8))[0]))
    if field.cpp_type == field.CPPTYPE_STRING:
        return pick.choice(TEXTS)
    if field.cpp_type == field.CPPTYPE_BOOL:
        return pick.random() < 0.5
    largest = 2**63 - 1 if field.cpp_type == field.CPPTYPE_INT64 else 2**31 - 1
    return pick.choice((0, 1, 3, -1, 7, 100, largest, -largest - 1, pick.randint(-largest, largest)))


def extreme_but_allowed(pick: random.Random) -> bytes:
    """Every rule is kept; the numbers are those that arithmetic dislikes."""
    message = whole_order(pick)
    for name in pick.sample(sorted(EXTREMES), pick.randint(1, len(EXTREMES))):
        setattr(message.market_context, name, pick.choice(EXTREMES[name]))
    message.quantity = pick.choice((100.0, 1e4, 1e8, 1e12))
    if pick.random() < 0.3:
        message.constraints.price_limit = pick.choice((5e-324, 1e-9, 47.0, 1e12))
    if pick.random() < 0.2:
        message.constraints.max_participation_rate = pick.choice((5e-324, 1e-9, 1.0))
    if pick.random() < 0.2:
        message.constraints.min_completion_probability = pick.choice((5e-324, 1.0))
    if pick.random() < 0.3:
        del message.market_context.recent_bars[:]
        end_ns = NOON_NS
        for _ in range(pick.choice((1, 2, 30, 60))):
            end_ns += pick.choice((1, 60_000_000_000, 86_400_000_000_000))
            bar = message.market_context.recent_bars.add(
                mid_price=pick.choice(EXTREMES["mid_price"]), volume=pick.choice((0.0, 5e-324, 1e4, 1e15)),
                spread_bps=pick.choice(EXTREMES["spread_bps"]),
            )  # fmt: skip
            bar.end_time.FromNanoseconds(end_ns)
    if pick.random() < 0.2:
        message.effective_time.seconds = pick.choice((946_684_800, 1_700_000_000, 7_258_118_399))
    return message.SerializeToString()


KINDS: tuple[Callable[[random.Random], bytes], ...] = (
    random_bytes, flipped, flipped, spliced, doubles_overwritten, random_fields, random_fields, extreme_but_allowed,
    extreme_but_allowed,
)  # fmt: skip


def messages(seed: int, count: int) -> list[tuple[str, bytes]]:
    """(method, message); the same for the same seed but for the orders' ids and day."""
    pick = random.Random(seed)
    found = []
    for _ in range(count):
        data = pick.choice(KINDS)(pick)
        found.append((pick.choices(("Recommend", "Status", "Echo"), (18, 1, 1))[0], data))
    return found


async def send_all(target: str, work: list[tuple[str, bytes]]) -> tuple[Counter[str], list[str]]:
    """How the calls ended, and what must not have happened; several in flight on each of several connections."""
    codes: Counter[str] = Counter()
    wrong: list[str] = []
    queue = iter(work)
    options = (("grpc.use_local_subchannel_pool", 1),)
    channels = [grpc.aio.insecure_channel(target, options=options) for _ in range(CHANNELS)]

    async def lane(channel: Any) -> None:
        for method, data in queue:
            try:
                await channel.unary_unary(f"/{SERVICE}/{method}")(data, timeout=20.0)
                code = "OK"
            except grpc.aio.AioRpcError as error:
                code = error.code().name
                if code not in DOCUMENTED:
                    wrong.append(f"{code} {error.details()} for {method} {data.hex()}")
            codes[code] += 1

    try:
        await asyncio.gather(*(lane(channels[index % CHANNELS]) for index in range(IN_FLIGHT)))
    finally:
        for channel in channels:
            await channel.close()
    return codes, wrong


@pytest.mark.timeout(150)
async def test_twenty_thousand_odd_messages(live: LiveService) -> None:
    work = messages(SEED, MESSAGES)
    pids = live.about["workers"]
    begun_s = time.monotonic()
    codes, wrong = await send_all(live.target, work)
    took_s = time.monotonic() - begun_s
    print(f"{took_s:.1f} s {dict(codes)}")
    assert not wrong, f"{len(wrong)}, the first: {wrong[0][:2000]}"
    assert sum(codes.values()) == MESSAGES
    # Both doors were tried often: the rules and the engine behind them.
    assert min(codes["OK"], codes["INVALID_ARGUMENT"]) > 2_000
    assert codes["FAILED_PRECONDITION"] > 500
    assert took_s < LIMIT_S
    assert live.about["workers"] == pids, "a worker was replaced"
    assert "a call failed" not in live.output
    with Gateway(live.target) as client:
        assert health(client.channel, SERVICE) == "SERVING"
        request = order(acknowledgement="COMMITTED")
        assert client.recommend(request).code == "OK"
        assert client.call("Status", status_pb2.StatusRequest(order_id=request.order_id)).code == "OK"


def test_odd_market_data_never_stops_the_stream_or_the_decisions() -> None:
    """Figures that the rules allow, however mad: counted, and other instruments go on."""
    pick = random.Random(SEED)
    with live_service() as service, Gateway(service.target) as client:
        now_ns = time.time_ns()
        for name in ("AIG", "AAPL", "PETR4"):
            updates: list[bytes] = []
            for number in range(300):
                message = market_data_pb2.UpdateMarketDataRequest(instrument_id=name)
                message.as_of.FromNanoseconds(now_ns)
                for field in pick.sample(sorted(set(EXTREMES) - {"liquidity_score", "news_impact_score"}), 3):
                    setattr(message, field, pick.choice(EXTREMES[field]))
                for index in range(pick.choice((0, 0, 1, 30))):
                    bar = message.bars.add(
                        mid_price=pick.choice(EXTREMES["mid_price"]), volume=pick.choice((0.0, 5e-324, 1e15)),
                        spread_bps=pick.choice(EXTREMES["spread_bps"]),
                    )  # fmt: skip
                    bar.end_time.FromNanoseconds(now_ns - (40 - index) * 60_000_000_000)
                data = message.SerializeToString()
                if number >= 200 and pick.random() < 0.5:
                    at = pick.randrange(len(data))
                    data = data[:at] + bytes([data[at] ^ (1 << pick.randrange(8))]) + data[at + 1 :]
                updates.append(data)
            counts = client.update_market(*updates)
            assert counts.accepted + counts.stale + counts.rejected == 300
            assert counts.accepted > 150
            for _ in range(20):
                assert client.recommend(order(instrument_id=name, quantity=100)).code in {
                    "OK",
                    "FAILED_PRECONDITION",
                }
        sane = market_data_pb2.UpdateMarketDataRequest(
            instrument_id="MSFT", mid_price=52.0, spread_bps=2.0, daily_volatility=0.013, average_daily_volume=3e7,
            short_term_alpha_bps_per_day=0.0,
        )  # fmt: skip
        sane.as_of.FromNanoseconds(time.time_ns())
        assert client.update_market(sane.SerializeToString()).accepted == 1
        answer = client.recommend(order(instrument_id="MSFT", acknowledgement="COMMITTED")).response
        assert answer.resolved_inputs.mid_price in {52.0, 51.105}
        assert "a call failed" not in service.output
        assert "could not be taken into the snapshot" not in service.output
        assert service.terminate() == 0
