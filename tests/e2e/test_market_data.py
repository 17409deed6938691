"""Market data in, other decisions out: on every worker, soon, and still after a restart."""

from __future__ import annotations

import json
import math
import random
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from execution_strategy.v1 import enums_pb2

from engine.sessions import Sessions
from store.calendars import load_sessions
from tests.helpers.live_service import (
    Gateway,
    LiveService,
    Response,
    bars,
    live_service,
    market_update,
    order,
    seed_reference,
)
from tests.helpers.running_host import eventually

MINUTE_NS = 60_000_000_000
AROUND = 0.1


@pytest.fixture(scope="module")
def market() -> Iterator[LiveService]:
    """A service of its own: its figures are changed."""
    with live_service() as service:
        yield service


def last_session_ns(service: LiveService) -> int:
    """Two hours into the newest New York session that has come so far."""
    sessions = Sessions(*load_sessions(service.data_dir / "sessions", "XNYS"))
    moments = [int(opened) + 120 * MINUTE_NS for opened in sessions.open_ns]
    return max(moment for moment in moments if moment < time.time_ns())


def rehearsed(gateway: Gateway, at_ns: int, **changes: Any) -> Response:
    """A dry run at a moment that may have passed."""
    message = order(dry_run=True, **({"market_context": None} | changes))
    message.effective_time.FromNanoseconds(at_ns)
    return gateway.recommend(message).response


def path(volatility: float, count: int, start: float, seed: int = 7) -> list[float]:
    """A random walk of one-minute mids."""
    pick, found = random.Random(seed), [start]
    for _ in range(count - 1):
        found.append(found[-1] * math.exp(pick.gauss(0.0, volatility)))
    return found


def test_updates_are_counted(market: LiveService) -> None:
    now_ns = time.time_ns()
    with Gateway(market.target) as gateway:
        counts = gateway.update_market(
            market_update("IBM", now_ns - 10**9, mid_price=112.0),
            market_update("IBM", now_ns, mid_price=113.0),
            market_update("IBM", now_ns, mid_price=114.0),
            market_update("IBM", now_ns - 1, mid_price=1.0),
            market_update("NOPE", now_ns, mid_price=1.0),
            market_update("IBM", now_ns + 60 * 10**9, mid_price=1.0),
            market_update("IBM", now_ns, mid_price=-1.0),
            market_update("IBM", now_ns, bars=bars(now_ns + 600 * 10**9, [114.0, 114.1], 1e4, 2.0)),
            b"\xff",
        )
        assert (counts.accepted, counts.stale, counts.rejected) == (3, 1, 5)
        for text, words in zip(
            counts.rejections,
            (
                ("update 5", "NOPE"),
                ("update 6", "as_of"),
                ("update 7", "mid_price"),
                ("update 8", "bars"),
                ("update 9",),
            ),
            strict=True,
        ):
            assert all(word in text for word in words), text
        assert gateway.update_market().accepted == 0
        eventually(
            lambda: rehearsed(gateway, now_ns, instrument_id="IBM").resolved_inputs.mid_price == 114.0,
            within_s=1,
            what="the newest mid",
        )


def test_an_update_changes_the_next_decision(market: LiveService) -> None:
    with Gateway(market.target) as gateway:
        before = gateway.recommend(order(instrument_id="KO")).response
        figures = {
            "mid_price": 60.0, "spread_bps": 25.0, "daily_volatility": 0.05, "average_daily_volume": 2e6,
            "short_term_alpha_bps_per_day": 40.0,
        }  # fmt: skip
        now_ns = time.time_ns()
        assert gateway.update_market(market_update("KO", now_ns, **figures)).accepted == 1
        eventually(
            lambda: gateway.recommend(order(instrument_id="KO")).response.resolved_inputs.mid_price == 60.0,
            within_s=1, what="the new mid",
        )  # fmt: skip
        after = gateway.recommend(order(instrument_id="KO")).response
        inputs = after.resolved_inputs
        assert inputs.daily_volatility == pytest.approx(0.05)
        assert inputs.average_daily_volume == pytest.approx(2e6)
        assert inputs.short_term_alpha_bps_per_day == 40.0
        assert inputs.snapshot_as_of.ToNanoseconds() == now_ns
        assert inputs.spread_bps == pytest.approx(25.0, rel=AROUND)
        assert after.expected_outcomes.estimated_cost > 2 * before.expected_outcomes.estimated_cost
        # What the request says counts more.
        said = gateway.recommend(
            order(instrument_id="KO", market_context={"mid_price": 61.0, "spread_bps": 1.0})
        ).response
        assert (said.resolved_inputs.mid_price, said.resolved_inputs.spread_bps) == (61.0, 1.0)
        assert set(said.resolved_inputs.from_snapshot) == {
            "daily_volatility", "average_daily_volume", "short_term_alpha_bps_per_day",
        }  # fmt: skip


def test_bars_that_arrive_are_judged(market: LiveService) -> None:
    at_ns = last_session_ns(market)
    wild = bars(at_ns, path(0.006, 60, 36.0), 40_000, 9.0)
    with Gateway(market.target) as gateway:
        assert gateway.update_market(market_update("GE", at_ns, bars=wild)).accepted == 1
        eventually(
            lambda: rehearsed(gateway, at_ns, instrument_id="GE").condition.evidence != "no recent bars",
            within_s=1, what="bars judged",
        )  # fmt: skip
        found = rehearsed(gateway, at_ns, instrument_id="GE")
        assert found.condition.condition in {
            enums_pb2.MARKET_CONDITION_HIGH_VOLATILITY, enums_pb2.MARKET_CONDITION_NEWS_DRIVEN,
        }  # fmt: skip
        assert found.condition.detected
        assert found.condition.probability > 0.5
        assert found.condition.evidence in found.strategy_rationale
        contradicted = rehearsed(
            gateway, at_ns, instrument_id="GE", market_context={"current_conditions": "MEAN_REVERTING"}
        )
        assert contradicted.condition.condition == enums_pb2.MARKET_CONDITION_MEAN_REVERTING
        assert not contradicted.condition.detected
        assert contradicted.condition.data_condition == found.condition.condition
        assert any("the request says MEAN_REVERTING, the data say" in text for text in contradicted.warnings)
        assert "the request says MEAN_REVERTING, the data say" in contradicted.strategy_rationale
        # An hour and a minute later they say nothing any more.
        later = rehearsed(gateway, at_ns + 61 * MINUTE_NS, instrument_id="GE")
        assert later.condition.evidence == "no recent bars"


def test_bars_of_the_request_are_judged(market: LiveService) -> None:
    at_ns = last_session_ns(market)
    with Gateway(market.target) as gateway:
        for volatility, expected in (
            (0.008, {"HIGH_VOLATILITY", "NEWS_DRIVEN"}),
            (0.0006, {"NORMAL", "MEAN_REVERTING"}),
        ):
            recent = bars(at_ns, path(volatility, 60, 78.0), 20_000, 2.1)
            answer = rehearsed(gateway, at_ns, instrument_id="FCX", market_context={"recent_bars": recent})
            name = enums_pb2.MarketCondition.Name(answer.condition.condition).removeprefix(
                "MARKET_CONDITION_"
            )
            assert name in expected, answer.condition
            assert answer.condition.detected
            assert answer.condition.evidence


def test_every_worker_sees_an_update_within_100_ms(live_two: LiveService) -> None:
    """It is seen in answers: what a round of them takes where nothing has changed, just before, is not counted."""
    took_s, usual_s = [], []
    gateways = [Gateway(live_two.target) for _ in range(16)]
    message = order(instrument_id="WMT", dry_run=True).SerializeToString()
    try:
        for client in gateways:
            assert client.recommend(message).code == "OK"
        for round_number in range(7):
            mid = 50.0 + round_number
            begun_s = time.monotonic()
            for call in [client.start("Recommend", message) for client in gateways]:
                call.result()
            usual_s.append(time.monotonic() - begun_s)
            counts = gateways[round_number].update_market(market_update("WMT", time.time_ns(), mid_price=mid))
            begun_s = time.monotonic()
            assert counts.accepted == 1
            waiting = list(gateways)
            while waiting:
                calls = [(client, client.start("Recommend", message)) for client in waiting]
                waiting = [
                    client
                    for client, call in calls
                    if Response.FromString(call.result()).resolved_inputs.mid_price != mid
                ]
                assert time.monotonic() - begun_s < 5.0
            took_s.append(time.monotonic() - begun_s)
    finally:
        for client in gateways:
            client.__exit__()
    later_s = [took - usual for took, usual in zip(took_s, usual_s, strict=True)]
    print(f"seen by all after {took_s} s, a round of answers later {later_s} s")
    assert statistics.median(later_s) < 0.1


def test_figures_survive_a_restart_and_unknown_ones_are_named(short_tmp: Path) -> None:
    now_ns = time.time_ns()
    with live_service(short_tmp / "var") as service, Gateway(service.target) as gateway:
        assert (
            gateway.update_market(market_update("PG", now_ns, mid_price=99.0, spread_bps=7.0)).accepted == 1
        )
        ((reference,),) = service.rows("SELECT reference FROM instruments WHERE instrument_id = 'AIG'")
        service.rows(
            "INSERT INTO instruments (instrument_id, reference) VALUES ('NEWCO', %s::jsonb) RETURNING 1",
            json.dumps(reference),
        )
        assert service.terminate() == 0
    with live_service(short_tmp / "var", ESS_WORKERS="2") as again, Gateway(again.target) as gateway:
        inputs = gateway.recommend(order(instrument_id="PG")).response.resolved_inputs
        assert (inputs.mid_price, inputs.snapshot_as_of.ToNanoseconds()) == (99.0, now_ns)
        known = seed_reference()[1]["PG"]
        assert inputs.daily_volatility == pytest.approx(known.daily_volatility_fraction)

        names = ("mid_price", "spread_bps", "daily_volatility", "average_daily_volume")
        unknown = gateway.recommend(order(instrument_id="NEWCO"))
        assert unknown.code == "FAILED_PRECONDITION"
        assert unknown.fields == [f"market_context.{name}" for name in names]
        figures = {
            "mid_price": 10.0,
            "spread_bps": 5.0,
            "daily_volatility": 0.02,
            "average_daily_volume": 3e6,
        }
        told = gateway.recommend(order(instrument_id="NEWCO", market_context=figures)).response
        assert list(told.resolved_inputs.from_snapshot) == []
        assert not told.resolved_inputs.HasField("snapshot_as_of")
        assert (
            gateway.update_market(
                market_update("NEWCO", time.time_ns(), mid_price=10.0, spread_bps=5.0)
            ).accepted
            == 1
        )
        left = [f"market_context.{name}" for name in names[2:]]
        eventually(
            lambda: gateway.recommend(order(instrument_id="NEWCO")).fields == left,
            within_s=2,
            what="two are known",
        )
