"""More lines at which gRPC's asyncio server hands over the calls of one method, and a cheap way to turn calls away.

grpc.aio asks its core for one call at a time and takes several turns of the event loop for each; a turn may hold a
decision, so calls wait in the core, where nobody counts them, and each costs as much to refuse as an `Echo` to answer.
Here `LINES` requests stand with the core at all times, each looked after by one task; what it is handed goes to the
`Admission` at once, and what that turns away is answered in the same task, unread.

This stands on parts of grpcio that are not its public interface (`_cython.cygrpc`); grpcio is pinned, and what is used
of it is held by tests/contract/test_accepting.py. Where they are not there calls come the usual way, and the log says
so.
"""

from __future__ import annotations

import asyncio
import importlib
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import grpc
import structlog

from service.admission import Admission
from service.errors import DETAILS_KEY, exhausted
from service.turns import Turns

# Calls that may be handed over within one turn of the loop.
LINES: Final = 64
# Calls that are read, or wait for their turn, while others wait unread: enough that a turn never finds none.
AT_HAND: Final = 4
RETRY_MS: Final = 20
# A line that turned somebody away takes nothing for so long. Meanwhile calls wait in gRPC's core, and then go through
# all lines at once: one by one, each between two decisions, they cost nearly twice as much.
REST_S: Final = 0.01
# A call is handed over when its headers are there. One whose message is not there so much later holds nobody up: its
# place ahead of the others goes to the next one, and it takes its turn when it can be read.
READ_WITHIN_S: Final = 0.02

Call = Any  # cygrpc.RPCState
Context = Any
Handle = Callable[[bytes, Context], Awaitable[bytes | None]]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Core:
    """What is used of grpcio's inside."""

    server: Any  # cygrpc.AioServer
    context: Callable[..., Context]
    handle_unary: Callable[..., Awaitable[None]]
    schedule: Callable[..., Awaitable[None]]
    request_failed: type[Exception]

    @staticmethod
    def of(server: Any) -> Core | None:
        """Of a grpc.aio.Server; None where this grpcio is another one."""
        try:
            inside: Any = importlib.import_module("grpc._cython.cygrpc")
            core = Core(server._server, inside._ServicerContext, inside._handle_unary_unary_rpc,
                        inside._schedule_rpc_coro, inside._RequestCallError)  # fmt: skip
            _ = (core.server._request_registered_call, core.server.is_running)
        except (ImportError, AttributeError) as error:
            log.warning("this grpcio has another inside; calls are taken the usual way", reason=str(error))
            return None
        return core


class _Begun:
    """A call that was begun: a method handler as gRPC's own, for this call alone."""

    __slots__ = ("_handle", "_lines", "is_read")
    request_deserializer = None
    response_serializer = None

    def __init__(self, lines: Lines, handle: Handle) -> None:
        self._lines = lines
        self._handle = handle
        self.is_read = False

    async def unary_unary(self, data: bytes, context: Context) -> bytes | None:
        self.read()
        return await self._handle(data, context)

    def read(self) -> None:
        """It is read, or is not waited for any more."""
        if not self.is_read:
            self.is_read = True
            self._lines.reading -= 1


class Lines:
    """The lines of one unary method of a server. `on_turned_away` is told of each call that was."""

    def __init__(self, core: Core, path: str, handle: Handle, turns: Turns, most_waiting: int,
                 on_turned_away: Callable[[], None]) -> None:
        self._core = core
        self._path = path
        self._handle = handle
        self._turns = turns
        self._on_turned_away = on_turned_away
        self._admission: Admission[Call] = Admission(
            self._begin, self._has_room, lambda call: self._keep(self._refuse(call)), most_waiting
        )
        self._refusal = exhausted("too many recommendations wait for this worker", RETRY_MS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._begun: deque[tuple[float, _Begun]] = deque()  # since when, oldest first; read or not
        self._is_watched = False
        self._rest: asyncio.Future[None] | None = None
        # Begun, and not read yet.
        self.reading = 0
        turns.on_given.append(self._admission.go_on)

    @property
    def waiting(self) -> int:
        return self._admission.waiting

    def open(self) -> None:
        """After the server's start. The lines end when it stops, by themselves: the core has their requests, and must
        give them back first."""
        for _ in range(LINES):
            self._keep(self._stand())

    async def _stand(self) -> None:
        server, path = self._core.server, self._path.encode()
        while server.is_running():
            try:
                call = await server._request_registered_call(path)
            except self._core.request_failed:
                await asyncio.sleep(0)
                continue
            turned_away = self._admission.arrived(call)
            if turned_away is not None:
                await self._refuse(turned_away)
                await self._rested()

    def _rested(self) -> asyncio.Future[None]:
        """Shared by all lines that turned somebody away lately."""
        if self._rest is None or self._rest.done():
            loop = asyncio.get_running_loop()
            self._rest = loop.create_future()
            loop.call_later(REST_S, self._rest.set_result, None)
        return self._rest

    def _has_room(self) -> bool:
        return self.reading + self._turns.waiting < AT_HAND

    def _begin(self, call: Call) -> None:
        loop, begun = asyncio.get_running_loop(), _Begun(self, self._handle)
        self.reading += 1
        self._begun.append((loop.time(), begun))
        self._watch(loop)
        handling = self._core.handle_unary(begun, call, loop)
        self._keep(self._core.schedule(handling, call, loop, self._path), lambda _: self._ended(begun))

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """One timer for all: for the oldest that is not read."""
        while self._begun and self._begun[0][1].is_read:
            self._begun.popleft()
        if self._begun and not self._is_watched:
            self._is_watched = True
            loop.call_at(self._begun[0][0] + READ_WITHIN_S, self._overdue)

    def _overdue(self) -> None:
        self._is_watched = False
        loop = asyncio.get_running_loop()
        while self._begun and (self._begun[0][1].is_read or self._begun[0][0] + READ_WITHIN_S <= loop.time()):
            self._begun.popleft()[1].read()
        self._watch(loop)
        self._admission.go_on()

    def _ended(self, begun: _Begun) -> None:
        """Not every call takes a turn: some are refused before, or their caller is gone."""
        begun.read()
        self._admission.go_on()

    async def _refuse(self, call: Call) -> None:
        self._on_turned_away()
        why = self._refusal
        context = self._core.context(call, None, None, asyncio.get_running_loop())
        try:
            await context.abort(why.code, why.text, ((DETAILS_KEY, why.details),))
        except grpc.aio.AbortError:
            pass  # so it always ends
        except Exception as error:  # of the core, where the caller is gone already
            log.debug("a call could not be refused", reason=repr(error))

    def _keep(self, work: Any, ended: Callable[[asyncio.Task[None]], None] | None = None) -> None:
        """The loop alone would hold the task weakly."""
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if ended is not None:
            task.add_done_callback(ended)
