"""The life of an order through the real service: stream, advice, kill and restart, status, outcome."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from execution_strategy.v1 import adaptation_pb2, enums_pb2, response_pb2, status_pb2

from tests.helpers.adapt_stream import AdaptStream
from tests.helpers.live_service import Gateway, LiveService, Response, live_service, order
from tests.helpers.running_host import eventually

TREND = {"current_conditions": "MARKET_CONDITION_TRENDING", "short_term_alpha_bps_per_day": 400.0}


def recommended(gateway: Gateway, **changes: Any) -> Response:
    return gateway.recommend(order(**changes)).response


def status_of(gateway: Gateway, order_id: str) -> status_pb2.StrategyExecutionStatus:
    reply = gateway.call("Status", status_pb2.StatusRequest(order_id=order_id))
    return status_pb2.StrategyExecutionStatus.FromString(reply.data)


def fill(name: str, quantity: float, price: float = 78.0) -> dict[str, Any]:
    return {"fill": {"execution_id": name, "quantity": quantity, "price": price}}


def test_updates_are_acknowledged_and_a_turn_of_the_market_brings_advice(gateway: Gateway) -> None:
    decided = recommended(gateway)
    with AdaptStream(gateway) as stream:
        stream.send(decided.order_id, 1, working={"quantity": 5_000})
        stream.send(decided.order_id, 2, **fill("a", 2_000))
        answer = stream.acknowledged(decided.order_id, 2)
        assert (answer.epoch, answer.error) == (1, "")
        assert answer.acknowledgement == enums_pb2.ACKNOWLEDGEMENT_CLASS_JOURNALED
        progress = answer.progress
        assert (progress.filled_quantity, progress.working_quantity) == (2_000, 3_000)
        assert progress.unscheduled_quantity == 35_000
        stream.send(decided.order_id, 3, market_context=TREND)
        advice = stream.wait(lambda a: a.advice_number == 1)
    assert advice.action in (enums_pb2.ADAPTATION_ACTION_SWITCH, enums_pb2.ADAPTATION_ACTION_RETUNE)
    assert advice.trigger == enums_pb2.ADAPTATION_TRIGGER_CONDITION_CHANGED
    assert "TRENDING" in advice.rationale
    assert advice.expected_gain_bps > 0
    slices = advice.response.recommended_strategy.time_allocation.slices
    assert math.fsum(part.quantity for part in slices) == 38_000


def test_mistakes_are_answered_and_the_stream_goes_on(gateway: Gateway) -> None:
    decided = recommended(gateway)
    with AdaptStream(gateway) as stream:
        stream.send_bytes(b"\xff\xff\xff")
        stream.send("nobody-knows-it", 1, pause={})
        stream.send(decided.order_id, 0, pause={})
        stream.send(decided.order_id, 1, fill={"execution_id": "a", "quantity": -1, "price": 1})
        stream.send(decided.order_id, 1, terminal={"state": "EXECUTION_STATE_CANCELLED"})
        stream.acknowledged(decided.order_id, 1)
        stream.send(decided.order_id, 2, amend={"quantity": 50_000})
        refused = stream.wait(lambda a: a.acknowledged_sequence == 2)
        assert "ended" in refused.error
        stream.finish()
    errors = " ".join(answer.error for answer in stream.answers)
    for words in ("not a execution_strategy", "no decision for order", "counts the order's updates", "fill.quantity"):
        assert words in errors
    assert stream.error is None


def test_duplicates_gaps_and_overfills(gateway: Gateway) -> None:
    decided = recommended(gateway)
    name = decided.order_id
    with AdaptStream(gateway) as stream:
        stream.send(name, 1, **fill("a", 1_000))
        stream.send(name, 3, **fill("c", 1_000))
        stream.send(name, 1, **fill("a", 1_000))
        assert stream.acknowledged(name, 1).progress.filled_quantity == 1_000
        stream.send(name, 2, **fill("a", 1_000))
        assert stream.acknowledged(name, 3).progress.filled_quantity == 2_000
        stream.send(name, 4, **fill("d", 40_000))
        over = stream.acknowledged(name, 4)
    assert over.progress.overfill_quantity == 2_000
    assert over.progress.filled_quantity == 42_000
    assert "beyond the order" in over.rationale
    assert status_of(gateway, name).state == enums_pb2.EXECUTION_STATE_COMPLETED


def test_adapt_once_answers_with_the_decision_in_force(gateway: Gateway) -> None:
    decided = recommended(gateway)

    def once(**update: Any) -> Any:
        message = adaptation_pb2.StrategyAdaptationRequest(order_id=decided.order_id, **update)
        return gateway.call("AdaptOnce", message)

    first = once(**fill("a", 4_000))
    assert first.code == "OK"
    kept = response_pb2.ExecutionStrategyResponse.FromString(first.data)
    assert kept.recommended_strategy == decided.recommended_strategy
    amended = response_pb2.ExecutionStrategyResponse.FromString(once(amend={"quantity": 60_000}).data)
    slices = amended.recommended_strategy.time_allocation.slices
    assert math.fsum(part.quantity for part in slices) == 56_000
    gap = once(sequence=9, pause={})
    assert gap.code == "FAILED_PRECONDITION"
    assert "3 comes next" in gap.text
    once(terminal={"state": "EXECUTION_STATE_COMPLETED"})
    assert once(pause={}).code == "FAILED_PRECONDITION"
    unknown = adaptation_pb2.StrategyAdaptationRequest(order_id="no-such-order", pause={})
    assert gateway.call("AdaptOnce", unknown).code == "NOT_FOUND"


def test_a_newer_stream_fences_the_older_one(gateway: Gateway) -> None:
    decided = recommended(gateway)
    name = decided.order_id
    with AdaptStream(gateway) as old, AdaptStream(gateway) as new:
        old.send(name, 1, **fill("a", 1_000))
        epoch = old.acknowledged(name, 1).epoch
        view = {"acknowledged_sequence": 1, "epoch": epoch, "filled_quantity": 1_000, "average_price": 78.0}
        new.send(name, 0, resume=view)
        assert new.acknowledged(name, 1).epoch == epoch + 1
        new.send(name, 2, **fill("b", 1_000))
        assert new.acknowledged(name, 2).progress.filled_quantity == 2_000
        old.send(name, 3, **fill("z", 1_000))
        assert "resumed elsewhere" in old.wait(lambda a: bool(a.error)).error
    assert status_of(gateway, name).progress.filled_quantity == 2_000


def test_a_service_that_never_saw_the_order_goes_on_from_the_gateways_view(gateway: Gateway) -> None:
    request = order()
    with AdaptStream(gateway) as stream:
        view = {
            "acknowledged_sequence": 7, "epoch": 3, "filled_quantity": 10_000, "average_price": 78.1,
            "working_quantity": 500, "cancelled_quantity": 0, "arrival_mid_price": 78.0, "request": request,
        }  # fmt: skip
        stream.send(request.order_id, 0, resume=view)
        answer = stream.acknowledged(request.order_id, 7)
        assert answer.epoch == 4
        assert answer.progress.filled_quantity == 10_000
        assert answer.progress.unscheduled_quantity == 29_500
        stream.send(request.order_id, 8, **fill("n", 500))
        assert stream.acknowledged(request.order_id, 8).progress.filled_quantity == 10_500


def test_status_splits_the_cost_and_lists_every_advice(gateway: Gateway) -> None:
    decided = recommended(gateway)
    name, mid = decided.order_id, decided.resolved_inputs.mid_price
    with AdaptStream(gateway) as stream:
        stream.send(name, 1, market_context={"mid_price": mid * 1.001})
        stream.send(name, 2, **fill("a", 10_000, mid * 1.0015))
        stream.send(name, 3, market_context={"mid_price": mid * 1.002, **TREND})
        stream.wait(lambda a: a.advice_number > 0)
    found = status_of(gateway, name)
    assert found.state == enums_pb2.EXECUTION_STATE_WORKING
    assert (found.filled_fraction, found.acknowledged_sequence) == (0.25, 3)
    cost = found.cost_so_far
    assert cost.delay_bps == pytest.approx(2.5, abs=0.01)
    assert cost.spread_bps == pytest.approx(1.25, abs=0.01)
    assert cost.opportunity_bps == pytest.approx(15.0, abs=0.01)
    assert cost.average_price == pytest.approx(mid * 1.0015)
    parts = (cost.delay_bps, cost.impact_bps, cost.timing_bps, cost.spread_bps, cost.opportunity_bps, cost.fees_bps)
    assert math.fsum(parts) == pytest.approx(cost.total_bps)
    assert len(found.selections) >= 2
    assert found.selections[-1].trigger == enums_pb2.ADAPTATION_TRIGGER_CONDITION_CHANGED
    assert found.current.recommended_strategy != decided.recommended_strategy
    assert 0 <= found.update_age_seconds < 60


def test_an_outcome_is_written_once(live: LiveService, gateway: Gateway) -> None:
    decided = recommended(gateway)
    expected = decided.expected_outcomes

    def report(cost: float, **more: Any) -> Any:
        outcome = {"cost": cost, "time_minutes": 30, "filled_quantity": 40_000, "average_price": 78.0, **more}
        return gateway.call(
            "ReportOutcome", status_pb2.ReportOutcomeRequest(order_id=decided.order_id, actual_outcomes=outcome)
        )

    first = status_pb2.ReportOutcomeResponse.FromString(report(expected.estimated_cost).data)
    assert first.performance_score == pytest.approx(0.5)
    assert first.selection_id == decided.selection_id
    assert report(expected.estimated_cost).data == first.SerializeToString()
    assert report(0.5).code == "ALREADY_EXISTS"
    assert report(0.5, interval_vwap=float("nan")).code == "INVALID_ARGUMENT"
    query = "SELECT 1 FROM strategy_selections WHERE order_id = %s AND performance_score IS NOT NULL"
    eventually(lambda: bool(live.rows(query, decided.order_id)), within_s=10.0, what="the outcome in PostgreSQL")
    assert report(0.5).code == "ALREADY_EXISTS"


@pytest.fixture(params=["1", "2"])
def own(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LiveService]:
    with live_service(tmp_path / "data", ESS_WORKERS=request.param) as service:
        yield service


def test_killed_mid_life_and_restarted_the_order_is_as_it_was(own: LiveService, tmp_path: Path) -> None:
    """Every process of the service is killed between two updates; the stream goes on from the last sequence."""
    with Gateway(own.target) as gateway:
        decided = recommended(gateway)
        name = decided.order_id
        stream = AdaptStream(gateway)
        stream.send(name, 1, **fill("a", 3_000))
        stream.send(name, 2, market_context=TREND)
        advice = stream.wait(lambda a: a.advice_number == 1)
        stream.send(name, 3, amend={"quantity": 50_000})
        stream.send(name, 4, **fill("b", 2_500))
        last = stream.acknowledged(name, 4)
        before = status_of(gateway, name)
    own.signal_group(signal.SIGKILL)
    stream.finish(1.0)
    own.end()
    (tmp_path / "data" / "service.json").unlink(missing_ok=True)  # it tells of the killed one
    with live_service(tmp_path / "data") as again, Gateway(again.target) as gateway:
        after = status_of(gateway, name)
        for message in (before, after):
            message.ClearField("update_age_seconds")
            message.ClearField("market_data_age_seconds")
            message.ClearField("scheduled_fraction")
        assert after == before
        with AdaptStream(gateway) as resumed:
            view = {
                "acknowledged_sequence": 4, "epoch": last.epoch, "filled_quantity": 5_500, "average_price": 78.0,
                "cancelled_quantity": 0, "working_quantity": 0,
            }  # fmt: skip
            resumed.send(name, 0, resume=view)
            answer = resumed.acknowledged(name, 4)
            assert answer.epoch == last.epoch + 1
            assert answer.progress == last.progress
            assert answer.advice_number >= advice.advice_number
            resumed.send(name, 5, **fill("a", 3_000))  # the same execution, counted before the kill
            resumed.send(name, 6, **fill("c", 500))
            assert resumed.acknowledged(name, 6).progress.filled_quantity == 6_000
