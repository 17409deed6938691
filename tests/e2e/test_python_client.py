"""The Python client against a real service, through a proxy that cuts its connections."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from execution_strategy.v1 import enums_pb2

from clients.python import (
    AlreadyExists,
    AsyncClient,
    Backoff,
    ChannelSettings,
    Client,
    InvalidRequest,
    NotFound,
    Outcome,
    UpdateRefused,
    messages,
    new_order,
)
from tests.contract.test_readme import example
from tests.fault.proxy import Faults, ThreadedProxy
from tests.helpers.live_service import LiveService, closed_time, new_order_id, order
from tests.helpers.running_host import REPOSITORY, environment, eventually

FILLS = 60
SETTINGS = ChannelSettings(timeout_s=20.0, backoff=Backoff(first_s=0.02, last_s=0.2))


@pytest.fixture
def proxy(live: LiveService) -> Iterator[ThreadedProxy]:
    host, _, port = live.target.rpartition(":")
    with ThreadedProxy((host, int(port))) as between:
        yield between


def address(proxy: ThreadedProxy) -> str:
    return f"127.0.0.1:{proxy.proxy.port}"


@pytest.fixture
def client(proxy: ThreadedProxy) -> Iterator[Client]:
    with Client(address(proxy), SETTINGS) as found:
        yield found


def test_an_order_from_its_decision_to_its_outcome(client: Client) -> None:
    asked = order()
    decided = client.recommend(asked)
    assert decided.order_id == asked.order_id
    assert client.recommend(asked).selection_id == decided.selection_id
    found = client.status(asked.order_id)
    assert found.current.selection_id == decided.selection_id
    outcome = Outcome(decided.expected_outcomes.estimated_cost, 30.0, 40_000.0, 78.0, market_impact=0.0002)
    receipt = client.report_outcome(asked.order_id, outcome)
    assert (receipt.selection_id, receipt.performance_score) == (decided.selection_id, pytest.approx(0.5))
    assert client.report_outcome(asked.order_id, outcome) == receipt
    with pytest.raises(AlreadyExists):
        client.report_outcome(asked.order_id, Outcome(0.5, 30.0, 40_000.0, 78.0))
    today = datetime.now(tz=UTC).date()

    def reported() -> bool:
        report = client.performance(today - timedelta(days=1), today + timedelta(days=1))
        return sum(line.orders_executed for line in report.by_strategy) >= 1

    eventually(reported, within_s=15.0, what="the outcome in the report")


def test_refusals_carry_every_violation(client: Client) -> None:
    with pytest.raises(InvalidRequest) as caught:
        client.recommend(order(instrument_id="NO_SUCH", quantity=-3, order_id=""))
    assert {"order_id", "quantity"} <= {violation.field for violation in caught.value.violations}
    with pytest.raises(NotFound):
        client.status("nobody-knows-it")
    asked = order()
    client.recommend(asked)
    with pytest.raises(AlreadyExists):
        client.recommend(order(order_id=asked.order_id, quantity=50_000))


def test_a_basket_names_each_refusal_in_its_place(client: Client) -> None:
    sound = [order(), order()]
    basket = client.recommend_batch([sound[0], order(quantity=-3), sound[1]], "program-1")
    assert (basket.summary.decided, basket.summary.refused) == (2, 1)
    assert [basket.outcomes[0], basket.outcomes[2]] == [client.recommend(one) for one in sound]
    (refusal,) = basket.refusals.values()
    assert isinstance(refusal, InvalidRequest)
    assert {"quantity"} <= {violation.field for violation in refusal.violations}
    with pytest.raises(InvalidRequest):
        client.recommend_batch([])


def test_a_session_goes_on_after_every_cut(client: Client, proxy: ThreadedProxy) -> None:
    """Connections are reset while updates are under way; each fill is counted once, in its place."""
    names = [client.recommend(order()).order_id for _ in range(3)]
    with client.adapt() as session:
        for number in range(FILLS):
            for name in names:
                session.send(name, messages.fill(f"e{number}", 100.0, 78.0 + number * 0.01))
            if number % 12 == 5:
                proxy.cut(reset=True)
            if number == 20:
                session.wait_acknowledged(names[0], 10)
        for name in names:
            session.wait_acknowledged(name, FILLS, timeout_s=30.0)
        assert session.connections >= 2
        for name in names:
            saved = session.checkpoint(name)
            assert (saved.acknowledged_sequence, saved.filled_quantity) == (FILLS, FILLS * 100.0)
            assert saved.average_price == pytest.approx(78.0 + 0.01 * (FILLS - 1) / 2)
        # Nothing was refused: neither a number twice nor one that was missing.
        assert [answer.error for answer in session.answers() if answer.error] == []
    for name in names:
        found = client.status(name)
        assert (found.acknowledged_sequence, found.progress.filled_quantity) == (FILLS, FILLS * 100.0)
        assert found.cost_so_far.average_price == pytest.approx(78.0 + 0.01 * (FILLS - 1) / 2)


def test_another_process_goes_on_from_a_checkpoint(client: Client) -> None:
    asked = order()
    name = client.recommend(asked).order_id
    with client.adapt() as session:
        session.send(name, messages.working(4_000.0))
        session.wait_acknowledged(name, session.send(name, messages.fill("a", 1_000.0, 78.0)))
        saved = session.checkpoint(name)
    assert (saved.filled_quantity, saved.working_quantity, saved.epoch) == (1_000.0, 3_000.0, 1)
    with client.adapt() as session:
        session.follow(name, asked, saved)
        trend = messages.market(
            current_conditions=enums_pb2.MARKET_CONDITION_TRENDING, short_term_alpha_bps_per_day=400.0
        )
        number = session.send(name, trend)
        session.wait_acknowledged(name, number)
        advice = session.wait_answer(20.0)[-1]
        assert (advice.order_id, advice.error) == (name, "")
        assert math.isclose(
            math.fsum(part.quantity for part in advice.response.recommended_strategy.time_allocation.slices), 39_000.0
        )
        assert (number, session.checkpoint(name).epoch) == (3, 2)


def test_a_refused_update_is_an_answer_and_does_not_end_the_session(client: Client) -> None:
    name = client.recommend(order()).order_id
    with client.adapt() as session:
        session.wait_acknowledged(name, session.send(name, messages.terminal("CANCELLED")))
        session.send(name, messages.amend(quantity=50_000.0))
        (refused,) = session.wait_answer()
        assert "ended" in refused.error
        other = client.recommend(order()).order_id
        session.wait_acknowledged(other, session.send(other, messages.pause("lunch")))
    with pytest.raises(RuntimeError, match="closed"):
        session.wait_acknowledged(name, 99)


def test_an_order_goes_on_behind_a_faulty_update(client: Client, proxy: ThreadedProxy) -> None:
    """All are sent at once; the connection is cut in between, and what was refused is told to who waits for it."""
    name = client.recommend(order()).order_id
    with client.adapt() as session:
        bad = []
        for number in range(FILLS):
            session.send(name, messages.fill(f"e{number}", 100.0, 78.0))
            if number % 7 == 3:
                bad.append(session.send(name, messages.fill(f"bad{number}", 0.00000001, 78.0)))
            if number == FILLS // 2:
                proxy.cut(reset=True)
        last = session.send(name, messages.working(500.0))
        session.wait_acknowledged(name, last, timeout_s=30.0)
        with pytest.raises(UpdateRefused, match="finer than a millionth") as refused:
            session.wait_acknowledged(name, bad[0])
        assert (refused.value.order_id, refused.value.sequence) == (name, bad[0])
        assert [one.update.sequence for one in session.refused(name)] == bad
        saved = session.checkpoint(name)
    assert (saved.acknowledged_sequence, saved.filled_quantity, saved.working_quantity) == (last, FILLS * 100.0, 500.0)
    assert client.status(name).progress.filled_quantity == FILLS * 100.0


def test_a_session_waits_for_a_service_that_is_away(client: Client, proxy: ThreadedProxy) -> None:
    name = client.recommend(order()).order_id
    proxy.set(Faults(refuses=True))
    proxy.cut()
    with client.adapt() as session:
        number = session.send(name, messages.fill("a", 500.0, 78.0))
        with pytest.raises(TimeoutError):
            session.wait_acknowledged(name, number, timeout_s=0.3)
        proxy.set(Faults())
        session.wait_acknowledged(name, number, timeout_s=30.0)
    assert client.status(name).progress.filled_quantity == 500.0


def test_events_are_resumed_after_a_cut(client: Client, proxy: ThreadedProxy) -> None:
    wanted = [client.recommend(order()).order_id for _ in range(4)]
    cursors: dict[str, int] = {}
    seen: list[str] = []
    deadline_s = time.monotonic() + 60.0
    for event in client.stream_events(cursors, heartbeat_s=1, with_heartbeats=True):
        assert time.monotonic() < deadline_s, seen
        data = event.execution_strategy_selected
        if data.order_id in wanted:
            seen.append(data.order_id)
            if len(seen) == 2:
                proxy.cut(reset=True)
        if set(seen) == set(wanted):
            break
    # First arrivals keep no order between orders; what is repeated has the same id.
    assert set(seen) == set(wanted)
    assert cursors
    later = client.recommend(order()).order_id
    for event in client.stream_events(cursors, heartbeat_s=1, with_heartbeats=True):
        assert time.monotonic() < deadline_s
        assert event.execution_strategy_selected.order_id not in wanted[:-1]
        if event.execution_strategy_selected.order_id == later:
            break


async def test_the_same_on_an_event_loop(proxy: ThreadedProxy) -> None:
    async with AsyncClient(address(proxy), SETTINGS) as client:
        asked = order()
        decided = await client.recommend(asked)
        name = asked.order_id
        async with client.adapt() as session:
            for number in range(FILLS):
                await session.send(name, messages.fill(f"e{number}", 100.0, 78.0))
                if number % 20 == 5:
                    proxy.cut(reset=True)
                if number == 30:
                    await session.wait_acknowledged(name, 10)
            await session.wait_acknowledged(name, FILLS, timeout_s=30.0)
            assert session.connections >= 2
            assert session.checkpoint(name).filled_quantity == FILLS * 100.0
            assert [answer.error for answer in session.answers() if answer.error] == []
            bad = await session.send(name, messages.fill("bad", 0.00000001, 78.0))
            good = await session.send(name, messages.working(300.0))
            with pytest.raises(UpdateRefused):
                await session.wait_acknowledged(name, bad)
            await session.wait_acknowledged(name, good)
            assert [one.update.sequence for one in session.refused(name)] == [bad]
        assert (await client.status(name)).progress.filled_quantity == FILLS * 100.0
        with pytest.raises(InvalidRequest):
            await client.recommend(order(quantity=-1))
        assert (await client.recommend_batch([asked])).outcomes == (decided,)
        receipt = await client.report_outcome(name, Outcome(0.001, 30.0, 6_000.0, 78.0))
        assert receipt.selection_id == decided.selection_id
        today = datetime.now(tz=UTC).date()
        assert (await client.performance(today, today)).start_date == today.isoformat()
        async for event in client.stream_events(heartbeat_s=1):
            if event.execution_outcome_reported.order_id == name:
                break


def test_the_example_runs(live: LiveService) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "clients.python.example", live.target],
        env=environment(live.data_dir), cwd=REPOSITORY, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    expected = ("bps", "refused: quantity", "advice 1", "filled 2,000 of 40,000", "score", "execution_outcome_reported")
    assert [words for words in expected if words not in done.stdout] == [], done.stdout


@pytest.mark.parametrize(
    ("name", "urgency"), [("client", 'urgency="LOW"'), ("python", "urgency=enums_pb2.EXECUTION_URGENCY_HIGH")]
)
def test_the_readme_s_examples_run(live: LiveService, name: str, urgency: str) -> None:
    """As they stand, but for the address, a deadline for a busy machine, and a moment at which no market is about to
    close."""
    text = example(name)
    for old, new in (
        ("127.0.0.1:50051", live.target), (urgency, f"{urgency}, effective_time=moment"),
        *([("timeout=0.2", "timeout=20")] if name == "python" else []),
    ):  # fmt: skip
        assert old in text, old
        text = text.replace(old, new)
    text = text.replace('"readme-', '"timed-readme-')  # the native clients' tests run the same example as it stands
    moment = f"import datetime\nmoment = datetime.datetime.fromtimestamp({closed_time()}, datetime.UTC)\n"
    done = subprocess.run(
        [sys.executable, "-c", moment + text],
        env=environment(live.data_dir), cwd=live.data_dir.parent, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert " bps" in done.stdout


def test_an_order_id_of_its_own(live: LiveService) -> None:
    """Plain arguments, no helper of the tests."""
    tomorrow = (datetime.now(tz=UTC) + timedelta(days=1)).replace(hour=8, minute=0, second=0, microsecond=0)
    asked = new_order(new_order_id(), "AIG", "SELL", 10_000, market_context={"time_of_day": "MORNING"},
                      effective_time=tomorrow, dry_run=True)  # fmt: skip
    with Client(live.target, SETTINGS) as client:
        assert client.recommend(asked).recommended_strategy.algorithm
