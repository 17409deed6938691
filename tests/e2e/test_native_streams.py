"""Streams of the gateways in C++ and Java against the real service: cuts, fences, ends, silence, another process."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from execution_strategy.v1 import adaptation_pb2, status_pb2

from clients.python import Checkpoint, Client, messages
from tests.fault.proxy import Faults, ThreadedProxy
from tests.helpers import native_clients as native
from tests.helpers.live_service import Gateway, LiveService
from tests.helpers.native_orders import fates, progress, sent
from tests.helpers.running_host import eventually
from tests.helpers.scripted_adapt import Script, scripted_service

# So long a stream tries after it was lost, by the programs' own clocks: a quiet time beyond it has to pass.
GIVE_UP_S = 2
LANGUAGES = pytest.mark.parametrize("program", [native.CPP, native.JAVA], ids=["cpp", "java"])
Through: TypeAlias = tuple[ThreadedProxy, native.Conversation]
# The first test may have to compile everything.
pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("native_built")]


@contextmanager
def through_proxy(live: LiveService, program: Sequence[str], order_path: Path) -> Iterator[Through]:
    """A gateway whose connections can be cut, and the proxy that cuts them."""
    with (
        proxy_of(live) as proxy,
        native.Conversation(program, f"127.0.0.1:{proxy.proxy.port}", order_path) as talk,
    ):
        yield proxy, talk


def proxy_of(live: LiveService) -> ThreadedProxy:
    host, port = live.target.split(":")
    return ThreadedProxy((host, int(port)))


@LANGUAGES
def test_after_a_cut_the_order_goes_on_from_the_last_sequence(
    live: LiveService, gateway: Gateway, program: Sequence[str], order_path: Path
) -> None:
    """Cut twice: between two updates, and with one on its way that the service never saw."""
    order_id = json.loads(order_path.read_text())["order_id"]
    with through_proxy(live, program, order_path) as (proxy, talk):
        talk.say(working={"quantity": 5_000})
        talk.say(fill={"execution_id": "a", "quantity": 2_000, "price": 78})
        assert talk.until("adaptation", acknowledged_sequence="2")["adaptation"]["epoch"] == "1"
        assert proxy.cut() > 0
        talk.until("resumed")
        assert talk.until("adaptation", acknowledged_sequence="2")["adaptation"]["epoch"] == "2"
        proxy.set(Faults(stalls=True))
        talk.say(fill={"execution_id": "b", "quantity": 1_000, "price": 79})
        proxy.cut()
        proxy.set(Faults())
        talk.until("resumed")
        talk.until("adaptation", acknowledged_sequence="3")
        talk.say(terminal={"state": "EXECUTION_STATE_COMPLETED"})
        talk.until("adaptation", acknowledged_sequence="4")
        assert talk.end() == 0
    reply = gateway.call("Status", status_pb2.StatusRequest(order_id=order_id))
    status = status_pb2.StrategyExecutionStatus.FromString(reply.data)
    assert status.progress.filled_quantity == 3_000
    assert status.acknowledged_sequence == 4
    assert status.cost_so_far.average_price == pytest.approx((2_000 * 78 + 1_000 * 79) / 3_000)


@LANGUAGES
def test_the_gateway_s_own_count_is_the_service_s(
    live: LiveService, program: Sequence[str], order_path: Path
) -> None:
    """At the same number the gateway is right: a resume with other quantities would change the order's progress."""
    updates: list[dict[str, Any]] = [
        {"working": {"quantity": 5_000}}, {"fill": {"execution_id": "a", "quantity": 2_000, "price": 78}},
        {"fill": {"execution_id": "a", "quantity": 2_000, "price": 78}},  # counted once
        {"cancel": {"quantity": 1_000}}, {"cancel": {"quantity": 500, "final": True}},
        {"market_context": {"mid_price": 78.1}}, {"fill": {"execution_id": "b", "quantity": 2_500, "price": 78.2}},
        {"amend": {"quantity": 6_000}}, {"working": {"quantity": 400}}, {"pause": {"reason": "lunch"}},
    ]  # fmt: skip
    with through_proxy(live, program, order_path) as (proxy, talk):
        for number, update in enumerate(updates, start=1):
            talk.say(**update)
            before = talk.until("adaptation", acknowledged_sequence=str(number))["adaptation"]
            proxy.cut()
            talk.until("resumed")
            after = talk.until("adaptation", acknowledged_sequence=str(number), epoch=str(number + 1))["adaptation"]
            assert after["progress"] == before["progress"], update
        assert talk.end() == 0


@LANGUAGES
def test_what_could_not_be_recorded_keeps_its_number_and_is_sent_again(
    live: LiveService, program: Sequence[str], order_path: Path
) -> None:
    """It may have been recorded all the same: another update under its number would be taken for a repetition. A
    faulty one gives its number to the next, which is waited for as any other."""
    script = Script(unrecorded={"working 2"}, faulty={"working 4"}, delay_s=0.1)
    given = "\n".join(json.dumps({"working": {"quantity": number}}) for number in (1, 2, 3, 4, 5, 6))
    with scripted_service(live.target, script) as target:
        printed = native.run(program, "--target", target, "--json", "adapt", str(order_path), "-", given=given)
    assert script.came == [
        (1, "working 1"), (2, "working 2"), (0, "resume"), (2, "working 2"), (3, "working 3"), (4, "working 4"),
        (4, "working 5"), (5, "working 6"),
    ]  # fmt: skip
    assert script.early == []
    assert printed.code == 1, printed.errors  # one was refused


@pytest.fixture
def slow_target(live: LiveService) -> Iterator[str]:
    """An answer takes so long that the updates behind a refused one are on their way before it comes."""
    with proxy_of(live) as proxy:
        proxy.set(Faults(delay_down_s=0.3))
        yield f"127.0.0.1:{proxy.proxy.port}"


@pytest.mark.parametrize("language", ["cpp", "java"])
def test_of_many_updates_in_flight_the_malformed_are_told_refused_and_no_other(
    slow_target: str, gateway: Gateway, many: dict[str, Sequence[str]], language: str, order_path: Path
) -> None:
    lines = [
        "working 5000", "fill x -1", "fill a 1000", "cancel -5", "cancel 500", "fill b 700", "wait",
        "fill y -1", "wait", "fill c 100", "fill z -1", "fill d 10", "wait",
    ]  # fmt: skip
    assert fates(many[language], slow_target, order_path, lines) == [
        "1 ACKNOWLEDGED", "2 REFUSED", "3 ACKNOWLEDGED", "4 REFUSED", "5 ACKNOWLEDGED", "6 ACKNOWLEDGED",
        "7 REFUSED",  # nothing was behind it: the next update has its number
        "7 ACKNOWLEDGED", "8 REFUSED", "9 ACKNOWLEDGED",
    ]  # fmt: skip
    found = progress(gateway, order_path)
    assert (found.filled_quantity, found.working_quantity) == (1_810, 2_690)


@pytest.mark.parametrize("language", ["cpp", "java"])
def test_more_updates_behind_a_malformed_one_than_the_service_holds(
    slow_target: str, gateway: Gateway, many: dict[str, Sequence[str]], language: str, order_path: Path
) -> None:
    count = 600
    lines = ["fill x -1", *(f"fill e{number} 10" for number in range(count)), "wait"]
    expected = ["1 REFUSED", *(f"{number} ACKNOWLEDGED" for number in range(2, count + 2))]
    assert fates(many[language], slow_target, order_path, lines) == expected
    assert progress(gateway, order_path).filled_quantity == count * 10

# ---- what a gateway goes through


@LANGUAGES
def test_a_stream_that_was_quiet_for_long_comes_back(
    live: LiveService, program: Sequence[str], order_path: Path
) -> None:
    """It tries for `--give-up-s` after it was cut, however long ago the last answer came."""
    patient = (*program, "--give-up-s", str(GIVE_UP_S))
    with through_proxy(live, patient, order_path) as (proxy, talk):
        talk.say(working={"quantity": 5_000})
        talk.until("adaptation", acknowledged_sequence="1")
        time.sleep(1.25 * GIVE_UP_S)
        proxy.cut()
        talk.until("resumed")
        talk.say(fill={"execution_id": "a", "quantity": 2_000, "price": 78})
        talk.until("adaptation", acknowledged_sequence="2")
        assert talk.end() == 0


@LANGUAGES
def test_a_fill_on_its_way_after_the_last_word_brings_nothing_back_to_work(
    live: LiveService, gateway: Gateway, program: Sequence[str], order_path: Path
) -> None:
    with through_proxy(live, program, order_path) as (proxy, talk):
        talk.say(working={"quantity": 5_000})
        talk.say(terminal={"state": "CANCELLED"})
        ended = talk.until("adaptation", acknowledged_sequence="2")["adaptation"]["progress"]
        proxy.set(Faults(stalls=True))
        passed = proxy.counts.bytes_up
        talk.say(fill={"execution_id": "late", "quantity": 100, "price": 78})
        eventually(lambda: proxy.counts.bytes_up > passed, within_s=10.0, what="the fill on its way")
        proxy.cut()
        proxy.set(Faults())
        resumed = talk.until("adaptation", epoch="2")["adaptation"]
        assert (resumed["acknowledged_sequence"], resumed["progress"]) == ("2", ended)
        assert not resumed.get("rationale")  # nobody disagrees about an end that was acknowledged
        talk.until("adaptation", acknowledged_sequence="3")
        assert talk.end() == 0
    found = progress(gateway, order_path)
    assert (found.filled_quantity, found.working_quantity, found.cancelled_quantity) == (100, 0, 39_900)


@LANGUAGES
def test_a_resume_leaves_the_arrival_as_the_service_knows_it(
    live: LiveService, gateway: Gateway, program: Sequence[str], order_path: Path
) -> None:
    """The first mid that this stream tells is not the first that the service knew."""
    order_id = json.loads(order_path.read_text())["order_id"]
    decided = gateway.recommend(sent(order_path)).response
    mid = decided.resolved_inputs.mid_price
    arrived = {"order_id": order_id, "market_context": {"mid_price": mid * 1.001}}
    assert gateway.call("AdaptOnce", adaptation_pb2.StrategyAdaptationRequest(**arrived)).code == "OK"

    def delay_bps() -> float:
        reply = gateway.call("Status", status_pb2.StatusRequest(order_id=order_id))
        return status_pb2.StrategyExecutionStatus.FromString(reply.data).cost_so_far.delay_bps

    with through_proxy(live, program, order_path) as (proxy, talk):
        talk.say(market_context={"mid_price": mid * 1.01})
        talk.say(fill={"execution_id": "a", "quantity": 10_000, "price": mid})
        talk.until("adaptation", acknowledged_sequence="2")
        assert delay_bps() == pytest.approx(2.5, abs=0.01)
        proxy.cut()
        talk.until("adaptation", epoch="2")
        assert delay_bps() == pytest.approx(2.5, abs=0.01)
        assert talk.end() == 0


@LANGUAGES
def test_a_gateway_that_was_fenced_does_not_take_the_other_one_s_fills_away(
    live: LiveService, gateway: Gateway, program: Sequence[str], order_path: Path
) -> None:
    order_id = json.loads(order_path.read_text())["order_id"]
    with (
        through_proxy(live, program, order_path) as (proxy, talk),
        Client(live.target) as client,
        client.adapt() as other,
    ):
        talk.say(fill={"execution_id": "a", "quantity": 1_000, "price": 78})
        talk.until("adaptation", acknowledged_sequence="1")
        other.follow(order_id, checkpoint=Checkpoint(1, 1, 1_000.0, 78.0))
        other.wait_acknowledged(order_id, other.send(order_id, messages.fill("b", 500.0, 78.0)))
        talk.say(fill={"execution_id": "c", "quantity": 7, "price": 78})
        assert "elsewhere" in talk.until("adaptation", acknowledged_sequence="2")["adaptation"]["error"]
        proxy.cut()
        talk.until("adaptation", acknowledged_sequence="2", epoch="3")
        talk.say(fill={"execution_id": "c", "quantity": 7, "price": 78})
        talk.until("adaptation", acknowledged_sequence="3")
        assert talk.end() == 1  # one was refused
    assert progress(gateway, order_path).filled_quantity == 1_507


@LANGUAGES
def test_an_order_that_another_session_brought_farther_goes_on_behind_it(
    live: LiveService, gateway: Gateway, program: Sequence[str], order_path: Path
) -> None:
    """Numbers that are taken would be acknowledged as repetitions, and change nothing."""
    order_id = json.loads(order_path.read_text())["order_id"]
    with (
        through_proxy(live, program, order_path) as (proxy, talk),
        Client(live.target) as client,
        client.adapt() as other,
    ):
        talk.say(working={"quantity": 5_000})
        talk.until("adaptation", acknowledged_sequence="1")
        other.follow(order_id, checkpoint=Checkpoint(1, 1, working_quantity=5_000.0))
        for number in range(3):
            other.wait_acknowledged(order_id, other.send(order_id, messages.fill(f"o{number}", 100.0, 78.0)))
        proxy.cut()
        talk.until("adaptation", acknowledged_sequence="4", epoch="3")
        talk.say(cancel={"quantity": 1_000, "final": True})
        talk.until("adaptation", acknowledged_sequence="5")
        assert talk.end() == 0
    found = progress(gateway, order_path)
    assert (found.filled_quantity, found.cancelled_quantity) == (300, 1_000)


@pytest.mark.parametrize("language", ["cpp", "java"])
def test_another_process_goes_on_from_what_was_kept(
    live: LiveService, gateway: Gateway, many: dict[str, Sequence[str]], language: str, order_path: Path
) -> None:
    kept = order_path.with_suffix(".kept")
    first = fates(many[language], live.target, order_path, ["working 5000", "fill a 1000", "wait", f"keep {kept}"])
    assert first == ["1 ACKNOWLEDGED", "2 ACKNOWLEDGED"]
    program = many[language]
    again = native.run(
        program, live.target, str(order_path.with_suffix(".bin")), str(kept), given="fill b 500\nfill a 1000\nwait\n"
    )
    assert again.text.splitlines() == ["3 ACKNOWLEDGED", "4 ACKNOWLEDGED"], again
    found = progress(gateway, order_path)
    assert (found.filled_quantity, found.working_quantity) == (1_500, 3_500)


@pytest.mark.parametrize("language", ["cpp", "java"])
def test_a_host_that_takes_connections_and_says_nothing_holds_nobody_up(
    live: LiveService, many: dict[str, Sequence[str]], language: str, order_path: Path
) -> None:
    """Updates are kept, and waits end at their limit, while a connection cannot be made."""
    order_path.with_suffix(".bin").write_bytes(sent(order_path))
    with proxy_of(live) as proxy:
        target = f"127.0.0.1:{proxy.proxy.port}"
        with subprocess.Popen(
            [*many[language], target, str(order_path.with_suffix(".bin"))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as running:  # fmt: skip
            given, printed = running.stdin, running.stdout
            assert given is not None
            assert printed is not None

            def tell(*lines: str) -> None:
                given.write("\n".join(lines) + "\n")
                given.flush()

            tell("working 5000", "wait")
            assert printed.readline() == "1 ACKNOWLEDGED\n"
            proxy.set(Faults(half_open=True))
            made = proxy.counts.connections
            proxy.cut()
            eventually(lambda: proxy.counts.connections > made, within_s=10.0, what="a connection to who says nothing")
            begun_s = time.monotonic()
            tell("fill a 1", "wait 100", "fill b 1", "wait 100", "fill c 1", "wait 100")
            assert [printed.readline() for _ in range(3)] == [f"{number} TIMED_OUT\n" for number in (2, 3, 4)]
            took_s = time.monotonic() - begun_s
            running.kill()
    assert took_s < 0.9
