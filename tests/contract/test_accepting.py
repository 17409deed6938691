"""Lines of a real server and a real client: what is used of grpcio's inside is there, and does what is relied upon."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from google.rpc import error_details_pb2, status_pb2

from service.accepting import AT_HAND, LINES, MOST_LINES, READ_WITHIN_S, WIDE_FOR_S, Lines
from service.core_calls import Core
from service.errors import DETAILS_KEY
from service.turns import Turns

SERVICE, METHOD = "test.Lines", "Decide"
PATH = f"/{SERVICE}/{METHOD}"
MOST_WAITING = 8
BURST = 64
DEADLINE_S = 20.0
REFUSED = b"to be refused"


def compute(for_s: float) -> None:
    """Holds the loop with work, as a decision does."""
    until_s = time.perf_counter() + for_s
    while time.perf_counter() < until_s:
        pass


class Trial:
    """A server whose method answers its own bytes, when the gate is open."""

    def __init__(self) -> None:
        self.gate, self.some_read, self.cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.holds_s = 0.0
        self.turns = Turns(1_000)
        self.turned_away = 0
        self.read: list[bytes] = []
        self.port = 0
        self.server = grpc.aio.server()
        core = Core.of(self.server)
        assert core is not None, "this grpcio has another inside: service/core_calls.py must follow it"
        handler: Any = grpc.unary_unary_rpc_method_handler(self.decide)
        self.server.add_registered_method_handlers(SERVICE, {METHOD: handler})
        self.lines = Lines(core, PATH, self.decide, self.turns, MOST_WAITING, self._count)

    def _count(self) -> None:
        self.turned_away += 1

    def another_channel(self) -> Any:
        return grpc.aio.insecure_channel(f"127.0.0.1:{self.port}")

    async def decide(self, data: bytes, context: Any) -> bytes:
        self.read.append(data)
        if len(self.read) == AT_HAND:
            self.some_read.set()
        if data == REFUSED:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "refused before its turn")
        await self.turns.take()
        compute(self.holds_s)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return data


@asynccontextmanager
async def trial() -> AsyncIterator[tuple[Trial, Callable[[bytes], Awaitable[Any]]]]:
    made = Trial()
    port = made.port = made.server.add_insecure_port("127.0.0.1:0")
    await made.server.start()
    made.lines.open()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            ask: Any = channel.unary_unary(PATH)
            yield made, lambda data: ask(data, timeout=DEADLINE_S)
    finally:
        await made.server.stop(2.0)  # else it stops when it is collected, and waits for itself


async def test_calls_are_answered_each_with_its_own() -> None:
    async with trial() as (made, ask):
        made.gate.set()
        for _ in range(3):
            sent = [b"%d" % number for number in range(2 * AT_HAND)]
            assert await asyncio.gather(*(ask(data) for data in sent)) == sent
        assert made.turned_away == 0


async def test_a_burst_is_answered_or_refused_soon_and_those_refused_are_never_read() -> None:
    async with trial() as (made, ask):
        made.gate.set()
        made.holds_s = 0.002
        calls = [asyncio.ensure_future(ask(b"%d" % number)) for number in range(BURST)]
        found = await asyncio.gather(*calls, return_exceptions=True)
        refused = [error for error in found if isinstance(error, grpc.aio.AioRpcError)]
        answered = [answer for answer in found if isinstance(answer, bytes)]
        assert len(refused) + len(answered) == BURST
        assert answered
        assert refused
        assert {error.code() for error in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert len(refused) == made.turned_away
        assert sorted(made.read) == sorted(answered)
        details = dict(refused[0].trailing_metadata() or ())[DETAILS_KEY]
        packed = status_pb2.Status.FromString(bytes(details)).details[0]
        told = error_details_pb2.RetryInfo()
        assert packed.Unpack(told)
        assert told.retry_delay.ToMilliseconds() > 0
        assert made.lines.waiting == made.lines.reading == 0
        # Afterwards everything goes on as before.
        assert await ask(b"after") == b"after"


async def test_calls_that_never_take_a_turn_keep_nobody_waiting() -> None:
    async with trial() as (made, ask):
        made.gate.set()
        calls = [ask(REFUSED) for _ in range(AT_HAND + MOST_WAITING)]
        found = await asyncio.gather(*calls, return_exceptions=True)
        codes = {error.code() for error in found if isinstance(error, grpc.aio.AioRpcError)}
        assert len(found) == AT_HAND + MOST_WAITING
        assert codes == {grpc.StatusCode.INVALID_ARGUMENT}
        assert await ask(b"after") == b"after"


async def test_calls_whose_message_does_not_come_keep_nobody_waiting() -> None:
    """A call is handed over with its headers; a client that stalls then must not stall the others."""
    async with trial() as (made, ask), made.another_channel() as channel:
        made.gate.set()
        begun = [channel.stream_unary(PATH)(timeout=DEADLINE_S) for _ in range(AT_HAND + 2)]
        async with asyncio.timeout(DEADLINE_S):
            for number in range(2 * AT_HAND):
                assert await ask(b"%d" % number) == b"%d" % number
        for call in begun:
            await call.write(b"late")
            await call.done_writing()
        assert await asyncio.gather(*begun) == [b"late"] * len(begun)
        assert made.lines.waiting == made.lines.reading == 0


async def test_callers_that_give_up_leave_nothing_behind() -> None:
    async with trial() as (made, ask):
        calls = [asyncio.ensure_future(ask(b"%d" % number)) for number in range(4 * AT_HAND)]
        async with asyncio.timeout(DEADLINE_S):
            await made.some_read.wait()
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        made.gate.set()
        assert await ask(b"after") == b"after"
        await asyncio.sleep(2 * READ_WITHIN_S)  # whose caller is gone need not have ended, but holds no place any more
        assert made.lines.waiting == made.lines.reading == 0


async def test_a_handler_ends_when_its_caller_gives_up() -> None:
    """One that waits for the disk must not wait on for nobody."""
    async with trial() as (made, ask):
        calls = [asyncio.ensure_future(ask(b"%d" % number)) for number in range(AT_HAND)]
        async with asyncio.timeout(DEADLINE_S):
            await made.some_read.wait()
            for call in calls:
                call.cancel()
            await made.cancelled.wait()
            made.gate.set()
            assert await ask(b"after") == b"after"


async def test_the_lines_end_with_their_server() -> None:
    before = asyncio.all_tasks()
    async with trial() as (made, ask):
        made.gate.set()
        await ask(b"1")
        assert made.lines.standing == LINES
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(*(asyncio.all_tasks() - before), return_exceptions=True)
        for _ in range(10):  # turns of the loop in which the lines hear of it
            await asyncio.sleep(0)
    assert made.lines.standing == 0


async def test_there_are_more_lines_while_calls_are_turned_away() -> None:
    async with trial() as (made, ask):
        made.gate.set()
        made.holds_s = 0.002
        await asyncio.gather(*(ask(b"%d" % number) for number in range(BURST)), return_exceptions=True)
        assert made.turned_away
        assert made.lines.standing == MOST_LINES
        made.holds_s = 0.0
        await asyncio.sleep(WIDE_FOR_S)
        # What stands with the core goes only by being handed a call.
        for number in range(MOST_LINES):
            await ask(b"%d" % number)
        assert made.lines.standing == LINES
