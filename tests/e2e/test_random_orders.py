"""Two thousand sound orders over the wire: whatever is answered keeps every promise of the contract."""

from __future__ import annotations

import asyncio
import math
import random
from typing import Any

import grpc
from execution_strategy.v1 import enums_pb2

from engine.catalogue import ALGORITHM_NAMES
from engine.values import Instrument, VenueKind
from tests.helpers.live_service import SERVICE, LiveService, Request, Response, order, refusal, seed_reference

SEED = 1
ORDERS = 2_000
IN_FLIGHT = 16
OPEN_RATIO = 1.0 + 1e-9
CONTINUOUS = enums_pb2.SLICE_PHASE_CONTINUOUS
AUCTION = enums_pb2.SLICE_PHASE_CLOSING_AUCTION
CARRY_OVER = enums_pb2.SLICE_PHASE_CARRY_OVER


def random_order(pick: random.Random) -> Request:
    """Of any instrument, 0.01 % to 40 % of daily volume, with limits that mostly can be met."""
    instruments, market = seed_reference_once()
    name = pick.choice(sorted(instruments))
    instrument, state = instruments[name], market[name]
    size = math.exp(pick.uniform(math.log(1e-4), math.log(0.4))) * (state.average_daily_volume_shares or 0.0)
    lot = instrument.lot_size_shares
    side = pick.choice(("BUY", "SELL", "SELL_SHORT"))
    constraints: dict[str, Any] = {}
    if pick.random() < 0.3:
        constraints["max_participation_rate"] = pick.uniform(0.02, 1.0)
    if pick.random() < 0.3:
        constraints["time_limit_minutes"] = pick.choice((5, 15, 30, 60, 120, 390, 1440))
    if pick.random() < 0.2:
        sign = 1 if side == "BUY" else -1
        constraints["price_limit"] = (state.mid_price or 1.0) * (1 + sign * pick.uniform(0.0, 0.05))
    if pick.random() < 0.3:
        mics = [venue.mic for venue in instrument.venues]
        constraints["venue_restrictions"] = pick.sample(mics, pick.randint(0, min(4, len(mics) - 1)))
    if pick.random() < 0.1:
        constraints["min_completion_probability"] = pick.uniform(0.0, 0.95)
    if pick.random() < 0.1:
        constraints["dark_pool_preference"] = True
    context: dict[str, Any] = {
        "time_of_day": pick.choice(("OPEN", "MORNING", "MIDDAY", "AFTERNOON", "CLOSE", "11:07"))
    }
    if pick.random() < 0.3:
        context["current_conditions"] = pick.choice(list(enums_pb2.MarketCondition.keys())[1:])
    if pick.random() < 0.2:
        context["volatility_regime"] = pick.choice(("LOW", "high", "Extreme"))
    if pick.random() < 0.2:
        context["liquidity_score"] = pick.random()
    if pick.random() < 0.2:
        context["news_impact_score"] = pick.random()
    if pick.random() < 0.2:
        context["short_term_alpha_bps_per_day"] = pick.uniform(-200, 200)
    return order(
        instrument_id=name, side=side, quantity=max(1, math.floor(size / lot)) * lot,
        objective=pick.choice(list(enums_pb2.ExecutionObjective.keys())[1:]),
        urgency=pick.choice(list(enums_pb2.ExecutionUrgency.keys())[1:]),
        constraints=constraints, market_context=context,
    )  # fmt: skip


_reference: list[Any] = []


def seed_reference_once() -> Any:
    if not _reference:
        _reference.append(seed_reference())
    return _reference[0]


async def answers(target: str, work: list[Request]) -> list[tuple[Request, Response | str]]:
    """Every order with its decision or the code of its refusal."""
    found: list[tuple[Request, Response | str]] = []
    queue = iter(work)

    async def lane(ask: Any) -> None:
        for message in queue:
            try:
                found.append(
                    (message, Response.FromString(await ask(message.SerializeToString(), timeout=20.0)))
                )
            except grpc.aio.AioRpcError as error:
                found.append((message, refusal(error).code))

    async with grpc.aio.insecure_channel(target) as channel:
        ask: Any = channel.unary_unary(f"/{SERVICE}/Recommend")
        await asyncio.gather(*(lane(ask) for _ in range(IN_FLIGHT)))
    return found


async def test_two_thousand_random_orders(live: LiveService) -> None:
    pick = random.Random(SEED)
    found = await answers(live.target, [random_order(pick) for _ in range(ORDERS)])
    refused = [answer for _, answer in found if isinstance(answer, str)]
    assert set(refused) <= {"FAILED_PRECONDITION"}
    assert len(refused) < 0.4 * ORDERS
    print(f"{ORDERS - len(refused)} decided, {len(refused)} refused")
    instruments, _ = seed_reference_once()
    algorithms = set()
    for message, answer in found:
        if not isinstance(answer, str):
            assert_sound(message, answer, instruments[message.instrument_id])
            algorithms.add(answer.recommended_strategy.algorithm)
    assert len(algorithms) >= 5, algorithms


def assert_sound(message: Request, answer: Response, instrument: Instrument) -> None:
    assert answer.order_id == message.order_id
    assert_strategy(message, answer, instrument)
    assert_schedule(message, answer, instrument.lot_size_shares)
    assert_outcomes(answer)
    assert_limits(message, answer, instrument)
    assert_times(answer)


def assert_strategy(message: Request, answer: Response, instrument: Instrument) -> None:
    strategy, constraints = answer.recommended_strategy, message.constraints
    assert strategy.algorithm in ALGORITHM_NAMES
    shares = strategy.venue_allocation
    kinds = {venue.mic: venue.kind for venue in instrument.venues}
    assert abs(math.fsum(shares.values()) - 1.0) <= 1e-9
    assert all(0.0 < share <= 1.0 for share in shares.values())
    assert set(shares) <= set(kinds) - set(constraints.venue_restrictions)
    dark = sum(share for mic, share in shares.items() if kinds[mic] is VenueKind.DARK)
    assert abs(dark - strategy.parameters["dark_pool_ratio"].number_value) < 1e-5
    if constraints.dark_pool_preference:
        assert dark > 0.0 or VenueKind.DARK not in kinds.values()
    assert set(answer.fix.ex_destinations) == set(shares)
    for parameter in strategy.parameters.values():
        assert parameter.WhichOneof("kind") in {"number_value", "bool_value", "string_value"}
        assert math.isfinite(parameter.number_value)


def assert_schedule(message: Request, answer: Response, lot: float) -> None:
    plan = answer.recommended_strategy.time_allocation
    assert plan.slices
    assert sum(round(part.quantity / lot) for part in plan.slices) == round(message.quantity / lot)
    assert math.fsum(part.quantity for part in plan.slices) == message.quantity
    before_ns = plan.start_time.ToNanoseconds()
    for part in plan.slices:
        assert part.quantity > 0
        assert abs(part.quantity / lot - round(part.quantity / lot)) < 1e-9
        assert part.phase in {CONTINUOUS, AUCTION, CARRY_OVER}
        assert part.start_time.ToNanoseconds() >= before_ns
        before_ns = part.start_time.ToNanoseconds() + round(part.duration_seconds * 1e9)
        assert before_ns <= plan.end_time.ToNanoseconds() + 1_000
    if any(part.phase == CARRY_OVER for part in plan.slices):
        assert "carried over" in " ".join(answer.warnings)


def assert_outcomes(answer: Response) -> None:
    outcomes, costs = answer.expected_outcomes, answer.cost_breakdown
    assert abs(outcomes.estimated_cost - costs.expected_cost_bps / 1e4) <= 1e-12 * max(
        1.0, abs(costs.expected_cost_bps)
    )
    assert abs(outcomes.estimated_cost) < 1.0, "a fraction of notional"
    causes = (
        costs.spread_bps,
        costs.impact_bps,
        costs.fees_bps,
        costs.dark_saving_bps,
        costs.learned_correction_bps,
    )
    assert abs(math.fsum(causes) - costs.expected_cost_bps) <= 1e-9 * max(1.0, *map(abs, causes))
    assert costs.dark_saving_bps <= 0.0
    whole = (costs.expected_cost_bps, costs.timing_risk_bps, costs.alpha_bps, costs.time_bps)
    assert abs(math.fsum(whole) - costs.utility_bps) <= 1e-9 * max(1.0, *map(abs, whole))
    assert outcomes.estimated_time_minutes >= 1
    for fraction in (
        outcomes.completion_probability,
        outcomes.risk_score,
        answer.confidence,
        answer.condition.probability,
    ):
        assert 0.0 <= fraction <= 1.0
    assert outcomes.cost_quantile_10 <= outcomes.estimated_cost <= outcomes.cost_quantile_90
    assert outcomes.market_impact >= 0.0
    assert all(other.utility_difference_bps >= 0.0 for other in answer.alternative_strategies)
    assert [point.chosen for point in answer.efficient_frontier].count(True) == 1
    assert answer.condition.condition in enums_pb2.MarketCondition.values()[1:]
    for field, value in outcomes.ListFields():
        assert math.isfinite(value), field.name


def lit_part_left(message: Request, instrument: Instrument) -> float:
    """Of the volume on the instrument's lit venues, the part on those that the request leaves."""
    lit = {venue.mic: venue.volume_share_fraction for venue in instrument.venues if venue.kind is VenueKind.LIT}
    left = [share for mic, share in lit.items() if mic not in message.constraints.venue_restrictions]
    return math.fsum(left) / math.fsum(lit.values())


def assert_limits(message: Request, answer: Response, instrument: Instrument) -> None:
    strategy, constraints, inputs = answer.recommended_strategy, message.constraints, answer.resolved_inputs
    own = min(
        0.3, constraints.max_participation_rate if constraints.HasField("max_participation_rate") else 1.0
    )
    limit = inputs.max_participation_rate
    assert limit <= own
    assert math.isclose(limit, own * lit_part_left(message, instrument), rel_tol=1e-9)
    assert strategy.parameters["participation_rate"].number_value <= limit * OPEN_RATIO
    assert strategy.risk_controls.max_participation_rate <= limit
    assert strategy.time_allocation.horizon_minutes <= inputs.available_minutes + 1e-6
    if constraints.HasField("time_limit_minutes"):
        assert strategy.time_allocation.horizon_minutes <= constraints.time_limit_minutes + 1e-6
    if constraints.HasField("price_limit"):
        sign = 1 if message.side == enums_pb2.ORDER_SIDE_BUY else -1
        assert (
            sign * (strategy.risk_controls.price_limit - constraints.price_limit)
            <= 1e-9 * constraints.price_limit
        )
    assert answer.expected_outcomes.completion_probability >= constraints.min_completion_probability
    if message.market_context.current_conditions:
        assert answer.condition.condition == message.market_context.current_conditions
        assert not answer.condition.detected


def assert_times(answer: Response) -> None:
    plan = answer.recommended_strategy.time_allocation
    created_ns = answer.created_at.ToNanoseconds()
    assert created_ns < plan.start_time.ToNanoseconds() < plan.end_time.ToNanoseconds() + 1
    week_ns = 12 * 86_400 * 10**9
    assert plan.end_time.ToNanoseconds() < created_ns + week_ns
    assert answer.resolved_inputs.snapshot_as_of.ToNanoseconds() <= created_ns
