"""What an order has cost so far, and its outcome: `Status` and `ReportOutcome` over a keeper and its journal."""

from __future__ import annotations

import grpc
import pytest
from execution_strategy.v1 import status_pb2

from service.errors import RpcError
from tests.helpers import world
from tests.helpers.adapt_host import (
    CALL,
    TREND,
    host,
    stream,
)
from tests.helpers.world import MINUTE_NS


async def test_the_cost_so_far_sums_to_its_parts() -> None:
    async with host() as service:
        decided = await service.recommend()
        mid, quantity = decided.resolved_inputs.mid_price, world.lots_of(world.US, 0.01)
        async with stream(service) as gateway:
            gateway.send(1, market_context={"mid_price": mid * 1.001})
            gateway.send(2, fill={"execution_id": "a", "quantity": quantity / 5, "price": mid * 1.0015, "fee": 2.0})
            gateway.send(3, market_context={"mid_price": mid * 1.002})
            await gateway.until(3)
        cost = (await service.status()).cost_so_far
    assert cost.delay_bps == pytest.approx(2.0)
    assert cost.spread_bps == pytest.approx(1.0)
    assert cost.opportunity_bps == pytest.approx(16.0)
    assert cost.fees_bps == pytest.approx(2.0 / quantity / mid * 1e4)
    parts = (cost.delay_bps, cost.impact_bps, cost.timing_bps, cost.spread_bps, cost.opportunity_bps, cost.fees_bps)
    assert sum(parts) == pytest.approx(cost.total_bps)
    assert cost.impact_bps == pytest.approx(decided.expected_outcomes.market_impact * 1e4 / 5)


async def test_an_outcome_is_written_once() -> None:
    async with host() as service:
        decided = await service.recommend()

        async def report(cost: float, order_id: str = "o") -> status_pb2.ReportOutcomeResponse:
            outcome = {"cost": cost, "time_minutes": 30, "filled_quantity": 10, "average_price": 240.0}
            message = status_pb2.ReportOutcomeRequest(order_id=order_id, actual_outcomes=outcome)
            data = await service.outcomes.report(message.SerializeToString(), CALL)
            return status_pb2.ReportOutcomeResponse.FromString(data)

        expected = decided.expected_outcomes
        first = await report(expected.estimated_cost - expected.cost_standard_deviation)
        assert first.performance_score == pytest.approx(0.841345, abs=1e-5)
        assert await report(expected.estimated_cost - expected.cost_standard_deviation) == first
        with pytest.raises(RpcError) as other:
            await report(0.2)
        assert other.value.code is grpc.StatusCode.ALREADY_EXISTS
        with pytest.raises(RpcError) as unknown:
            await report(0.2, "nobody")
        assert unknown.value.code is grpc.StatusCode.NOT_FOUND


async def test_an_outcome_is_of_the_whole_order() -> None:
    """Named by its decision, in capitals too; an advice, which Status lists as a selection, is refused in words."""
    async with host() as service:
        decided = await service.recommend()
        service.now_ns[0] += MINUTE_NS
        await service.once(market_context=TREND)
        first, advice = (await service.status()).selections
        assert first.selection_id == decided.selection_id

        async def report(selection_id: str) -> status_pb2.ReportOutcomeResponse:
            outcome = {"cost": 0.001, "time_minutes": 30, "filled_quantity": 10, "average_price": 240.0}
            message = status_pb2.ReportOutcomeRequest(
                order_id="o", selection_id=selection_id, actual_outcomes=outcome
            )
            data = await service.outcomes.report(message.SerializeToString(), CALL)
            return status_pb2.ReportOutcomeResponse.FromString(data)

        for name in (advice.selection_id, advice.selection_id.upper()):
            with pytest.raises(RpcError, match=rf"is an advice; .* decision {decided.selection_id}") as refused:
                await report(name)
            assert refused.value.code is grpc.StatusCode.NOT_FOUND
        with pytest.raises(RpcError, match="has no selection"):
            await report("5f3c1f5e-0000-4000-8000-000000000000")
        found = await report(decided.selection_id.upper())
        assert found.selection_id == decided.selection_id
        assert await report("") == await report(decided.selection_id) == found
