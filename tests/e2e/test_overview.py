"""Lists of orders, histories, instruments and the service's own description, over gRPC, with one worker and two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from execution_strategy.v1 import enums_pb2, overview_pb2, replay_pb2, status_pb2

from store.artifacts import load_artifact
from tests.helpers.adapt_stream import AdaptStream
from tests.helpers.live_service import Gateway, LiveService, live_service, new_order_id, order, seed_reference
from tests.helpers.running_host import eventually

SHIPPED = Path(__file__).resolve().parents[2] / "store" / "shipped"


@pytest.fixture(params=["live", "live_two"])
def service(request: pytest.FixtureRequest) -> LiveService:
    found: LiveService = request.getfixturevalue(request.param)
    return found


def listed(gateway: Gateway, **asked: Any) -> overview_pb2.ListOrdersResponse:
    reply = gateway.call("ListOrders", overview_pb2.ListOrdersRequest(**asked))
    assert reply.code == "OK", reply
    return overview_pb2.ListOrdersResponse.FromString(reply.data)


def history_of(gateway: Gateway, order_id: str) -> overview_pb2.OrderHistory:
    reply = gateway.call("GetOrderHistory", overview_pb2.OrderHistoryRequest(order_id=order_id))
    assert reply.code == "OK", reply
    return overview_pb2.OrderHistory.FromString(reply.data)


def names(found: overview_pb2.ListOrdersResponse) -> list[str]:
    return [one.order_id for one in found.orders]


def test_pages_and_what_changed_since(service: LiveService) -> None:
    with Gateway(service.target) as gateway:
        begin = listed(gateway, page_size=1).revision
        made = [gateway.recommend(order(), 30.0).response for _ in range(5)]
        ids = [one.order_id for one in made]
        first = listed(gateway, page_size=2, changed_after=begin)
        assert names(first) == ids[:2:-1]
        second = listed(gateway, page_size=2, changed_after=begin, page_token=first.next_page_token)
        third = listed(gateway, page_size=2, changed_after=begin, page_token=second.next_page_token)
        assert names(second) + names(third) == ids[2::-1]
        assert third.next_page_token == ""
        assert first.revision == first.orders[0].revision
        with AdaptStream(gateway) as stream:
            fill = {"execution_id": "a", "quantity": 10_000, "price": made[0].resolved_inputs.mid_price}
            stream.send(ids[0], 1, fill=fill)
            stream.acknowledged(ids[0], 1)
            (line,) = listed(gateway, changed_after=first.revision, journal_id=first.journal_id).orders
            assert (line.order_id, line.state) == (ids[0], enums_pb2.EXECUTION_STATE_WORKING)
            assert (line.progress.filled_quantity, line.filled_fraction) == (10_000, 0.25)
            assert line.expected_cost_bps == made[0].cost_breakdown.expected_cost_bps
            assert line.HasField("cost_so_far_bps")
            stream.send(ids[0], 2, terminal={"state": "EXECUTION_STATE_CANCELLED"})
            stream.acknowledged(ids[0], 2)
        assert ids[0] not in names(listed(gateway, open_only=True))
        assert ids[0] in names(listed(gateway))
        other = listed(gateway, changed_after=2**62, journal_id="another-journal", page_size=100)
        assert set(ids) <= set(names(other)), "a revision of another journal says nothing of this one"


def test_what_cannot_be_asked(service: LiveService) -> None:
    with Gateway(service.target) as gateway:
        for asked in ({"page_size": 0}, {"page_size": 101}, {"page_token": "x"}, {"changed_after": 2**63}):
            assert gateway.call("ListOrders", overview_pb2.ListOrdersRequest(**asked)).code == "INVALID_ARGUMENT", asked
        unknown = overview_pb2.OrderHistoryRequest(order_id=new_order_id("nobody"))
        assert gateway.call("GetOrderHistory", unknown).code == "NOT_FOUND"
        for method in ("ListOrders", "GetOrderHistory"):
            assert gateway.call(method, b"\xff\xff").code == "INVALID_ARGUMENT"


def test_a_history(service: LiveService) -> None:
    with Gateway(service.target) as gateway:
        decided = gateway.recommend(order(), 30.0).response
        name = decided.order_id
        with AdaptStream(gateway) as stream:
            fill = {"execution_id": "a", "quantity": 1_000, "price": 78.5, "venue": "XNYS"}
            stream.send(name, 1, fill=fill)
            stream.send(name, 2, pause={"reason": "lunch"})
            stream.send(name, 3, unpause={})
            trend = {"current_conditions": "MARKET_CONDITION_TRENDING", "short_term_alpha_bps_per_day": 400.0}
            stream.send(name, 4, market_context=trend)
            stream.wait(lambda answer: answer.advice_number >= 1)
            stream.acknowledged(name, 4)
        report = status_pb2.ReportOutcomeRequest(order_id=name)
        report.actual_outcomes.cost, report.actual_outcomes.time_minutes = 0.001, 30
        report.actual_outcomes.filled_quantity, report.actual_outcomes.average_price = 1_000, 78.5
        assert gateway.call("ReportOutcome", report).code == "OK"
        # Updates are told when PostgreSQL has them.
        eventually(lambda: len(history_of(gateway, name).events) >= 5, within_s=15, what="all updates")
        found = history_of(gateway, name)
        told = [(one.kind, one.sequence) for one in found.events if one.kind != "ADVICE"]
        assert told == [("FILL", 1), ("PAUSE", 2), ("UNPAUSE", 3), ("MARKET", 4)]
        filled, paused = found.events[0], next(one for one in found.events if one.kind == "PAUSE")
        assert (filled.quantity, filled.price, filled.venue) == (1_000, 78.5, "XNYS")
        assert paused.detail == "lunch"
        advice = next(one for one in found.events if one.kind == "ADVICE")
        assert advice.trigger
        assert advice.action
        assert advice.detail
        assert found.first == decided
        assert (found.request.instrument_id, found.request.quantity) == ("AIG", 40_000)
        assert (found.outcome.cost, 0.0 <= found.performance_score <= 1.0) == (0.001, True)


def test_instruments(service: LiveService) -> None:
    instruments, market = seed_reference()
    with Gateway(service.target) as gateway:
        reply = gateway.call("ListInstruments", overview_pb2.ListInstrumentsRequest())
    found = overview_pb2.ListInstrumentsResponse.FromString(reply.data).instruments
    assert [one.instrument_id for one in found] == sorted(instruments)
    line = next(one for one in found if one.instrument_id == "AIG")
    assert (line.currency, line.lot_size) == (instruments["AIG"].currency, instruments["AIG"].lot_size_shares)
    assert line.average_daily_volume == market["AIG"].average_daily_volume_shares


def test_the_service_about_itself(service: LiveService) -> None:
    with Gateway(service.target) as gateway:
        decided = gateway.recommend(order(acknowledgement="COMMITTED"), 30.0).response
        reply = gateway.call("DescribeService", overview_pb2.DescribeServiceRequest())
        replayed = gateway.call("Replay", replay_pb2.ReplayRequest(selection_id=decided.selection_id), 30.0)
    found = overview_pb2.ServiceDescription.FromString(reply.data)
    assert found.keeper_condition == "READY"
    assert found.workers == len(service.about["workers"])
    assert found.versions.models_sha256 == decided.versions.models_sha256
    assert {one.kind: one.manifest_sha256 for one in found.artifacts} == {
        kind: load_artifact(SHIPPED / kind).sha256 for kind in ("surfaces", "models")
    }
    card = next(one.card for one in found.artifacts if one.kind == "models")
    assert card == (SHIPPED / "models" / "card.md").read_text()
    assert len(found.catalogue) == 12
    figures = {one.name: one for one in found.figures}
    assert len(figures) == len(found.figures), "no figure twice"
    assert figures["ess.journal.entries"].value > 0
    assert figures["ess.journal.limit"].unit == "By"
    assert replayed.code == "OK"


def test_the_list_is_there_again_after_a_restart(tmp_path: Path) -> None:
    """From the journal: a reader goes on where it was."""
    with live_service(ESS_MODELS="off") as first, Gateway(first.target) as gateway:
        data_dir = first.data_dir
        before = [gateway.recommend(order(), 30.0).response.order_id for _ in range(3)]
        with AdaptStream(gateway) as stream:
            stream.send(before[0], 1, working={"quantity": 5_000})
            stream.acknowledged(before[0], 1)
        was = listed(gateway, page_size=100)
        assert first.terminate() == 0
        with LiveServiceAgain(data_dir) as again, Gateway(again.target) as gateway_again:
            found = listed(gateway_again, page_size=100)
            assert (found.journal_id, names(found)) == (was.journal_id, names(was))
            assert [one.revision for one in found.orders] == [one.revision for one in was.orders]
            assert found.orders[0].state == enums_pb2.EXECUTION_STATE_WORKING
            new = gateway_again.recommend(order(), 30.0).response.order_id
            since = listed(gateway_again, changed_after=was.revision, journal_id=was.journal_id)
            assert names(since) == [new]


class LiveServiceAgain(LiveService):
    """The same data, another run."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir, ESS_MODELS="off")

    def __enter__(self) -> LiveServiceAgain:
        self.wait_ready(60.0)
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
