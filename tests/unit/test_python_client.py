"""What a session remembers, what the channel is told, and what refusals become; no network."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from execution_strategy.v1 import adaptation_pb2, enums_pb2, status_pb2
from google.rpc import code_pb2
from hypothesis import given
from hypothesis import strategies as st

from clients.python import (
    AsyncClient,
    ChannelSettings,
    Checkpoint,
    Client,
    InvalidRequest,
    Outcome,
    Retries,
    Tls,
    Unavailable,
    messages,
    new_order,
)
from clients.python.adapt_state import MOST_ERRORS, SessionState
from clients.python.channel import Backoff, channel_options, service_config
from clients.python.errors import DETAILS_KEY, Exhausted, PreconditionFailed, ServiceError, error_of
from engine.decision import Fault
from service.errors import exhausted, invalid, precondition

Answer = adaptation_pb2.StrategyAdaptation


def answer(order_id: str, acknowledged: int, *, epoch: int = 1, **progress: float) -> Answer:
    return Answer(order_id=order_id, acknowledged_sequence=acknowledged, epoch=epoch, progress=progress)


def kinds(sent: list[Any]) -> list[tuple[str, int]]:
    return [(message.WhichOneof("update"), message.sequence) for message in sent]


def test_updates_are_numbered_and_kept_until_they_are_acknowledged() -> None:
    state = SessionState()
    first = [state.update("a", messages.fill(f"e{n}", 100.0, 10.0 + n)) for n in range(3)]
    state.update("b", messages.pause())
    assert [message.sequence for message in first] == [1, 2, 3]
    assert state.pending == 4
    # Nothing was answered: there is nothing to resume, and everything is sent again.
    assert kinds(list(state.resumption())) == [("fill", 1), ("fill", 2), ("fill", 3), ("pause", 1)]
    state.came(answer("a", 2, epoch=4, filled_quantity=200.0, working_quantity=50.0, cancelled_quantity=7.0))
    assert (state.pending, state.acknowledged("a")) == (2, 2)
    assert state.checkpoint("a") == Checkpoint(2, 4, 200.0, 10.5, 50.0, 7.0)
    sent = list(state.resumption())
    assert kinds(sent) == [("resume", 0), ("fill", 3), ("pause", 1)]
    resume = sent[0].resume
    assert (resume.acknowledged_sequence, resume.epoch, resume.filled_quantity) == (2, 4, 200.0)
    assert (resume.average_price, resume.working_quantity, resume.cancelled_quantity) == (10.5, 50.0, 7.0)
    # An older answer changes nothing.
    state.came(answer("a", 1, epoch=4, filled_quantity=100.0))
    assert state.checkpoint("a").filled_quantity == 200.0


def test_a_checkpoint_goes_on_with_the_next_number_and_the_request() -> None:
    state = SessionState()
    order = new_order("a", "AIG", "BUY", 1_000)
    saved = Checkpoint(7, 3, 400.0, 12.0, 100.0, 0.0)
    state.follow("a", order, saved)
    state.follow("a", None, Checkpoint(1, 1))
    assert state.update("a", messages.fill("x", 100.0, 20.0)).sequence == 8
    resume, fill = state.resumption()
    assert resume.resume.request == order
    assert (resume.resume.epoch, fill.sequence) == (3, 8)
    state.came(answer("a", 8, epoch=4, filled_quantity=500.0))
    assert state.checkpoint("a") == Checkpoint(8, 4, 500.0, (400 * 12.0 + 100 * 20.0) / 500, 0.0, 0.0)
    state.forget("a")
    assert list(state.resumption()) == []


def test_after_a_fence_a_session_resumes_with_what_the_other_one_had_filled() -> None:
    state = SessionState()
    state.update("a", messages.fill("e1", 100.0, 10.0))
    state.came(answer("a", 1, filled_quantity=100.0))
    state.update("a", messages.fill("e2", 7.0, 10.0))
    fenced = answer("a", 3, epoch=2, filled_quantity=150.0, working_quantity=20.0)
    fenced.refusals.add(sequence=2, error="elsewhere", number=enums_pb2.REFUSED_NUMBER_FENCED)
    state.came(fenced)
    (resume,) = state.resumption()
    assert (resume.resume.acknowledged_sequence, resume.resume.epoch) == (3, 2)
    assert (resume.resume.filled_quantity, resume.resume.working_quantity) == (150.0, 20.0)
    assert state.update("a", messages.fill("e2", 7.0, 10.0)).sequence == 4


def test_an_execution_that_is_sent_twice_counts_once_in_the_mean_price() -> None:
    state = SessionState()
    for price in (10.0, 30.0):
        state.update("a", messages.fill("same", 100.0, price))
    state.came(answer("a", 2, filled_quantity=100.0))
    assert state.checkpoint("a").average_price == 10.0


def test_the_newest_advice_of_an_order_and_every_refusal_are_kept() -> None:
    state = SessionState()
    for number in (1, 3, 2):
        state.came(Answer(order_id="a", advice_number=number))
    state.came(Answer(order_id="b", advice_number=1))
    state.came(Answer(order_id="b", acknowledged_sequence=1))
    state.came(Answer(order_id="c", error="no"))
    assert [(one.order_id, one.advice_number, one.error) for one in state.take()] == [
        ("c", 0, "no"), ("a", 3, ""), ("b", 1, ""),
    ]  # fmt: skip
    assert not state.has_answers
    for _ in range(MOST_ERRORS + 5):
        state.came(Answer(order_id="c", error="no"))
    assert (len(state.take()), state.errors_dropped) == (MOST_ERRORS, 5)


@given(st.lists(st.one_of(st.just("send"), st.just("cut"), st.integers(0, 12)), max_size=60))
def test_whatever_is_cut_nothing_is_lost_or_numbered_twice(steps: list[str | int]) -> None:
    """A service that takes numbers without gaps; a cut loses what was sent and not taken, or only the answer."""
    state, taken, sent = SessionState(), 0, list[int]()

    def arrive() -> None:
        nonlocal taken
        for number in sent:
            taken = max(taken, number if number == taken + 1 else taken)

    for step in steps:
        if step == "send":
            sent.append(state.update("a", messages.pause()).sequence)
        elif step == "cut":
            sent = [message.sequence for message in state.resumption() if message.sequence]
        else:
            sent, lost = sent[: int(step)], sent[int(step) :]
            arrive()
            state.came(answer("a", taken))
            sent = lost
            # What was on its way when the connection went is gone; the next one sends it again.
            sent = [message.sequence for message in state.resumption() if message.sequence]
    sent = [message.sequence for message in state.resumption() if message.sequence]
    arrive()
    assert taken == steps.count("send")
    state.came(answer("a", taken))
    assert state.pending == 0


class Status:
    """grpc's error, as far as it is read."""

    def __init__(self, code: grpc.StatusCode, text: str, details: bytes = b"") -> None:
        self._code, self._text, self._details = code, text, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._text

    def trailing_metadata(self) -> list[tuple[str, bytes]]:
        return [(DETAILS_KEY, self._details)] if self._details else []


def test_refusals_become_exceptions_with_every_violation() -> None:
    faults = [Fault(f"f{n}", f"wrong {n}") for n in range(5)]
    for made, kind in ((invalid(faults), InvalidRequest), (precondition(faults), PreconditionFailed)):
        error = error_of(Status(made.code, made.text, made.details))
        assert type(error) is kind
        assert [(one.field, one.description) for one in error.violations] == [(f.field, f.description) for f in faults]
        assert "f4: wrong 4" in str(error)
    busy = exhausted("busy", 250)
    error = error_of(Status(busy.code, busy.text, busy.details))
    assert (type(error), error.retry_after_s, error.violations) == (Exhausted, 0.25, ())
    assert type(error_of(Status(grpc.StatusCode.UNAVAILABLE, "gone"))) is Unavailable
    other = error_of(Status(grpc.StatusCode.INTERNAL, "bug"))
    assert (type(other), other.code.value[0]) == (ServiceError, code_pb2.INTERNAL)


def test_what_may_be_retried_is_retried_and_nothing_else() -> None:
    (method,) = json.loads(service_config(Retries(attempts=3, first_s=0.1)))["methodConfig"]
    assert {name["method"] for name in method["name"]} == {
        "Recommend", "Status", "ReportOutcome", "Performance", "Replay", "Echo", "ListOrders", "GetOrderHistory",
        "ListInstruments", "DescribeService",
    }  # fmt: skip
    assert method["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE", "CANCELLED"]
    assert (method["retryPolicy"]["maxAttempts"], method["retryPolicy"]["initialBackoff"]) == (3, "0.1s")
    assert "retryPolicy" not in json.loads(service_config(Retries(attempts=1)))["methodConfig"][0]


def test_the_channel_is_told_keepalive_size_and_name() -> None:
    settings = ChannelSettings(keepalive_s=20.0, most_message_bytes=1_000_000, tls=Tls(b"pem", server_name="ess.firm"))
    options = dict(channel_options(settings))
    assert options["grpc.keepalive_time_ms"] == 20_000
    assert options["grpc.max_receive_message_length"] == 1_000_000
    assert options["grpc.ssl_target_name_override"] == "ess.firm"
    assert "grpc.ssl_target_name_override" not in dict(channel_options(ChannelSettings()))


def test_backoff_grows_to_its_ceiling() -> None:
    backoff = Backoff(first_s=0.1, last_s=1.0)
    assert [backoff.delay_s(failures, 1.0) for failures in (1, 2, 3, 9, 10_000)] == [0.1, 0.2, 0.4, 1.0, 1.0]
    assert backoff.delay_s(5, 0.0) == 0.0


def test_messages_from_plain_arguments() -> None:
    at = datetime(2025, 6, 16, 14, 0, tzinfo=UTC)
    order = new_order("a", "AIG", "SELL_SHORT", 5.0, urgency="URGENT", constraints={"price_limit": 3.0},
                      effective_time=at, tags={"desk": "x"})  # fmt: skip
    assert (order.side, order.urgency) == (enums_pb2.ORDER_SIDE_SELL_SHORT, enums_pb2.EXECUTION_URGENCY_URGENT)
    assert order.effective_time.ToDatetime(UTC) == at
    assert (order.constraints.price_limit, order.tags["desk"]) == (3.0, "x")
    assert not order.HasField("market_context")
    with pytest.raises(ValueError, match="zone"):
        new_order("a", "AIG", "BUY", 1.0, effective_time=at.replace(tzinfo=None))
    with pytest.raises(ValueError):
        new_order("a", "AIG", "HOLD", 1.0)  # type: ignore[arg-type]  # what a program without types may do
    amended = messages.amend(quantity=3.0, urgency="HIGH")["amend"]
    assert (amended.quantity, amended.HasField("constraints")) == (3.0, False)
    assert messages.terminal("EXPIRED")["terminal"].state == enums_pb2.EXECUTION_STATE_EXPIRED


def test_every_figure_of_an_outcome_can_be_told_and_what_is_not_known_is_absent() -> None:
    fields = status_pb2.ActualOutcomes.DESCRIPTOR.fields
    told = {field.name: 1.0 + field.number / 8.0 for field in fields}
    assert {field.name for field in dataclasses.fields(Outcome)} == set(told)
    request = messages.outcome_request("o-1", Outcome(**told))
    assert {field.name: value for field, value in request.actual_outcomes.ListFields()} == told
    bare = messages.outcome_request("o-1", Outcome(0.001, 30.0, 100.0, 50.0, final_mid_price=50.5)).actual_outcomes
    known = {field.name for field, _ in bare.ListFields()}
    assert known == {"cost", "time_minutes", "filled_quantity", "average_price", "final_mid_price"}


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), 2e12])
def test_an_update_that_would_block_those_after_it_is_not_made(value: float) -> None:
    makers: list[Callable[[], Any]] = [
        lambda: messages.fill("x", value, 1.0), lambda: messages.fill("x", 1.0, value),
        lambda: messages.cancel(value, final=True), lambda: messages.amend(quantity=value),
    ]  # fmt: skip
    for make in makers:
        with pytest.raises(ValueError, match="above 0"):
            make()
    with pytest.raises(ValueError, match="characters"):
        messages.fill("", 1.0, 1.0)
    assert messages.working(0.0)["working"].quantity == 0.0


class Flaky(grpc.GenericRpcHandler):
    """UNAVAILABLE so many times, then an answer."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls = 0
        self.metadata: list[tuple[str, str]] = []

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        return grpc.unary_unary_rpc_method_handler(self.answer)

    def answer(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.calls += 1
        self.metadata = [(key, str(value)) for key, value in context.invocation_metadata()]
        if self.calls <= self.failures:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        return messages.OrderStatus(order_id="a").SerializeToString()


@contextlib.contextmanager
def serving(handler: Flaky, credentials: grpc.ServerCredentials | None = None) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(2), handlers=[handler])
    address = "127.0.0.1:0"
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0.0).wait(5.0)


RETRIES = Retries(attempts=3, first_s=0.01, last_s=0.05)


def test_an_unavailable_service_is_called_again_within_the_deadline() -> None:
    handler = Flaky(2)
    settings = ChannelSettings(timeout_s=10.0, retries=RETRIES, metadata=(("authorization", "Bearer x"),))
    with serving(handler) as address, Client(address, settings) as client:
        assert client.status("a").order_id == "a"
    assert handler.calls == 3
    assert ("authorization", "Bearer x") in handler.metadata


def test_after_its_attempts_the_error_is_the_caller_s() -> None:
    handler = Flaky(99)
    settings = ChannelSettings(timeout_s=10.0, retries=RETRIES)
    with serving(handler) as address, Client(address, settings) as client, pytest.raises(Unavailable, match="not now"):
        client.status("a")
    assert handler.calls == 3


async def test_the_same_on_an_event_loop() -> None:
    handler = Flaky(2)
    settings = ChannelSettings(timeout_s=10.0, retries=RETRIES)
    with serving(handler) as address:
        async with AsyncClient(address, settings) as client:
            assert (await client.status("a")).order_id == "a"
            handler.calls, handler.failures = 0, 99
            with pytest.raises(Unavailable):
                await client.status("a")


@pytest.mark.parametrize("begins", ["before", "after"])
def test_a_session_of_a_closed_client_takes_nothing_more(begins: str) -> None:
    """Whether a call was under way then, or the next one is made later."""
    client = Client("127.0.0.1:1")
    session = client.adapt() if begins == "before" else None
    client.close()
    session = session or client.adapt()
    with pytest.raises(ServiceError, match="CANCELLED"):
        session.wait_acknowledged("a", 1)
    with pytest.raises(ServiceError, match="CANCELLED"):
        session.send("a", messages.pause())
    session.close()


@pytest.mark.parametrize("begins", ["before", "after"])
async def test_nor_does_one_on_an_event_loop(begins: str) -> None:
    client = AsyncClient("127.0.0.1:1")
    session = client.adapt()
    if begins == "before":
        session.start()
        await asyncio.sleep(0)  # its first call is made
    await client.close()
    session.start()
    with pytest.raises(ServiceError, match="CANCELLED"):
        await session.wait_acknowledged("a", 1)
    with pytest.raises(ServiceError, match="CANCELLED"):
        await session.send("a", messages.pause())
    await session.close()


async def test_a_closed_session_takes_nothing_and_lets_nobody_wait() -> None:
    with Client("127.0.0.1:1") as client:
        with client.adapt() as session:
            number = session.send("a", messages.pause())
        with pytest.raises(RuntimeError, match="closed"):
            session.send("a", messages.unpause())
        with pytest.raises(RuntimeError, match="closed"):
            session.wait_acknowledged("a", number)
    async with AsyncClient("127.0.0.1:1") as other, other.adapt() as on_loop:
        number = await on_loop.send("a", messages.pause())
        waiting = asyncio.ensure_future(on_loop.wait_acknowledged("a", number, timeout_s=30.0))
        await asyncio.sleep(0)
        await on_loop.close()
        with pytest.raises(RuntimeError, match="closed"):
            await waiting
        with pytest.raises(RuntimeError, match="closed"):
            await on_loop.send("a", messages.unpause())


def test_tls_with_a_name_that_is_not_the_address(tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=ess.firm", "-addext",
         "subjectAltName=DNS:ess.firm", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
    tls = Tls(root_certificates=certificate.read_bytes(), server_name="ess.firm")
    with serving(Flaky(0), credentials) as address:
        with Client(address, ChannelSettings(timeout_s=10.0, tls=tls)) as client:
            assert client.status("a").order_id == "a"
        stranger = ChannelSettings(timeout_s=1.0, tls=Tls(server_name="ess.firm"), wait_for_ready=False)
        with Client(address, stranger) as client, pytest.raises(ServiceError):
            client.status("a")
