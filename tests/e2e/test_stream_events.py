"""StreamEvents of the real service. Rows are written as the drainer writes them, into journals of these tests alone."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from execution_strategy.v1 import events_pb2, response_pb2

from service.mapping.events import event_of
from tests.helpers.live_service import SERVICE, Gateway, LiveService, live_service, order
from tests.helpers.nats_server import nats_server, received
from tests.helpers.outbox import Written, event, write
from tests.helpers.running_host import eventually

# Events are served whatever decides.
WITHOUT_MODELS = {"ESS_MODELS": "off"}


@pytest.fixture(scope="module")
def live() -> Iterator[LiveService]:
    """A service of its own: these tests fill its streams."""
    with live_service(None, **WITHOUT_MODELS) as service:
        yield service


@pytest.fixture
def outbox(live: LiveService) -> str:
    return live.conninfo


def journal() -> str:
    return f"test-{uuid.uuid4()}"


class Stream:
    """A StreamEvents call with a connection of its own; what it got of one journal, or of all, in the background."""

    def __init__(self, target: str, journal_id: str | None, *, is_read: bool = True, **fields: Any) -> None:
        self._journal_id = journal_id
        self._channel = grpc.insecure_channel(target, options=(("grpc.use_local_subchannel_pool", 1),))
        request = events_pb2.StreamEventsRequest(**fields)
        ask: Any = self._channel.unary_stream(f"/{SERVICE}/StreamEvents")
        self.call = ask(request.SerializeToString(), timeout=60.0)
        self.events: list[events_pb2.ExecutionStrategyEvent] = []
        self.heartbeats = 0
        self.error: Any = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        if is_read:
            self._thread.start()

    def _run(self) -> None:
        try:
            for data in self.call:
                message = events_pb2.ExecutionStrategyEvent.FromString(data)
                if message.WhichOneof("payload") == "heartbeat":
                    self.heartbeats += 1
                elif self._journal_id in (None, message.cursor.journal_id):
                    self.events.append(message)
        except grpc.RpcError as error:
            self.error = error

    @property
    def ids(self) -> list[str]:
        return [event.event_id for event in self.events]

    def wait(self, count: int, within_s: float = 10.0) -> None:
        eventually(lambda: len(self.events) >= count, within_s=within_s, what=f"{count} events")

    def wait_stands(self) -> None:
        eventually(lambda: self.heartbeats > 0, within_s=10.0, what="the first heartbeat")

    def wait_error(self, within_s: float) -> grpc.StatusCode:
        eventually(lambda: self.error is not None, within_s=within_s, what="the end of the stream")
        code: grpc.StatusCode = self.error.code()
        return code

    def close(self) -> None:
        self.call.cancel()
        if self._thread.is_alive():
            self._thread.join(10.0)
        self._channel.close()


@contextlib.contextmanager
def streaming(target: str, journal_id: str | None, **options: Any) -> Iterator[Stream]:
    stream = Stream(target, journal_id, **options)
    try:
        yield stream
    finally:
        stream.close()


def ids(events: list[Written]) -> list[str]:
    return [written.event_id for written in events]


def test_events_come_within_moments_and_a_resumed_stream_goes_on_where_it_was(live: LiveService, outbox: str) -> None:
    name, events = journal(), [event(f"o{i}", i) for i in range(1, 201)]
    with streaming(live.target, name, from_now=True) as stream:
        stream.wait_stands()
        begun_s = time.monotonic()
        write(outbox, name, events[:1])
        stream.wait(1)
        assert time.monotonic() - begun_s < 1.0
        write(outbox, name, events[1:120])
        stream.wait(120)
        cursor = stream.events[-1].cursor
        first = stream.events[0]
    write(outbox, name, events[120:])
    with streaming(live.target, name, resume_after=[cursor]) as again:
        again.wait(80)
    assert stream.ids + again.ids == ids(events)
    assert first.execution_outcome_reported.order_id == "o1"


def test_heartbeats_come_in_the_rhythm_that_was_asked_for(live: LiveService, outbox: str) -> None:
    with streaming(live.target, journal(), from_now=True, heartbeat_seconds=1) as stream:
        stream.wait_stands()
        begun_s = time.monotonic()
        eventually(lambda: stream.heartbeats >= 3, within_s=10.0, what="heartbeats")
        assert 1.5 < time.monotonic() - begun_s < 5.0


def test_cut_connections_to_postgresql_skip_and_repeat_nothing(live: LiveService, outbox: str) -> None:
    name, events = journal(), [event("o", i) for i in range(1, 101)]
    with streaming(live.target, name, from_now=True) as stream:
        stream.wait_stands()
        for begin in range(0, 100, 25):
            write(outbox, name, events[begin : begin + 25])
            with psycopg.connect(outbox, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'ess-events%'"
                )
        stream.wait(100)
        assert stream.ids == ids(events)


def test_a_reader_that_takes_nothing_holds_up_neither_decisions_nor_other_streams(
    live: LiveService, outbox: str
) -> None:
    name, events = journal(), [event(f"o{i}", i) for i in range(1, 5_001)]
    with streaming(live.target, name, is_read=False, from_now=True) as idle:
        eventually(lambda: len(idle.call.initial_metadata()) >= 0, within_s=5.0, what="the stream stands")
        write(outbox, name, events)
        with streaming(live.target, name) as stream, Gateway(live.target) as gateway:
            stream.wait(5_000, within_s=30.0)
            assert stream.ids == ids(events)
            assert gateway.recommend(order()).code == "OK"


def test_bad_requests_and_too_many_streams_are_refused(live: LiveService, outbox: str) -> None:
    with streaming(live.target, "", heartbeat_seconds=301) as stream:
        assert stream.wait_error(5.0) is grpc.StatusCode.INVALID_ARGUMENT
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(streaming(live.target, "", from_now=True)) for _ in range(32)]
        for stream in streams:
            stream.wait_stands()
        with streaming(live.target, "") as refused:
            assert refused.wait_error(5.0) is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_stop_ends_streams_in_time_and_they_resume_at_the_next_start(short_tmp: Path) -> None:
    name, events = journal(), [event("o", i) for i in range(1, 101)]
    with live_service(short_tmp / "var", **WITHOUT_MODELS) as service:
        write(service.conninfo, name, events[:50])
        with (
            streaming(service.target, name, from_now=False) as stream,
            streaming(service.target, name, is_read=False),
        ):
            stream.wait(50)
            begun_s = time.monotonic()
            service.process.terminate()
            assert stream.wait_error(5.0) is grpc.StatusCode.UNAVAILABLE
            assert time.monotonic() - begun_s < 2.0
            assert service.process.wait(20.0) == 0
            cursor = stream.events[-1].cursor
    with live_service(short_tmp / "var", **WITHOUT_MODELS) as service:
        write(service.conninfo, name, events[50:])
        with streaming(service.target, name, resume_after=[cursor]) as again:
            again.wait(50)
        assert stream.ids + again.ids == ids(events)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_each_decision_is_told_once_on_the_stream_and_on_nats(short_tmp: Path, workers: str) -> None:
    with (
        nats_server(short_tmp / "nats") as nats,
        live_service(None, ESS_NATS_URL=nats.url, ESS_WORKERS=workers, **WITHOUT_MODELS) as service,
        streaming(service.target, None, from_now=True) as stream,
        Gateway(service.target) as gateway,
    ):
        stream.wait_stands()
        orders = [order() for _ in range(20)]
        answers = {o.order_id: gateway.recommend(o).response for o in orders}
        assert gateway.recommend(orders[0]).code == "OK"  # a retry tells nothing
        stream.wait(20)
        messages = asyncio.run(received(nats.url, "EXECUTION_STRATEGY", 20))
        assert {e.execution_strategy_selected.order_id for e in stream.events} == answers.keys()
        for told in stream.events:
            check_told(told, answers[told.execution_strategy_selected.order_id])
        assert sorted(m.event_id for m in messages) == sorted(stream.ids)
        by_id = {m.event_id: m for m in messages}
        for told in stream.events:
            message = by_id[told.event_id]
            assert event_of(message.data).execution_strategy_selected == told.execution_strategy_selected
            assert message.subject.endswith(f".{told.execution_strategy_selected.order_id}")
            assert message.headers["Ess-Sequence"] == str(told.cursor.sequence)


def check_told(told: events_pb2.ExecutionStrategyEvent, answer: response_pb2.ExecutionStrategyResponse) -> None:
    """The event says what the gateway was answered."""
    data = told.execution_strategy_selected
    assert data.strategy_rationale == answer.strategy_rationale
    assert data.confidence == answer.confidence
    assert data.recommended_strategy.algorithm == answer.recommended_strategy.algorithm
    assert data.recommended_strategy.venue_allocation == answer.recommended_strategy.venue_allocation
    assert data.expected_outcomes.estimated_cost == answer.expected_outcomes.estimated_cost
    assert told.timestamp.ToMilliseconds() == answer.created_at.ToMilliseconds()
