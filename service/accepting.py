"""More lines at which gRPC's asyncio server hands over the calls of one method, and a cheap way to turn calls away.

grpc.aio asks its core for one call at a time and takes several turns of the event loop for each; a turn may hold a
decision, so calls wait in the core, where nobody counts them, and each costs as much to refuse as an `Echo` to answer.
Here `LINES` requests stand with the core at all times, each looked after by one task; what it is handed goes to the
`Admission` at once, and what that turns away is answered unread. What it begins is a `service.core_calls.ServedCall`.
While calls are turned away there are more lines: a line that did so rests, and the others must take in all that comes.

Where grpcio's inside is another than `Core.of` expects, calls come the usual way, and the log says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from service.admission import Admission
from service.core_calls import Batch, Call, Core, Handle, ServedCall, nothing_more
from service.errors import exhausted
from service.overdue import Overdue
from service.turns import Turns

# Calls that may be handed over within one turn of the loop. Not many more: each line has a task, a future and a frame,
# which are used in turn, and what is used seldom is cold.
LINES: Final = 16
# While calls are turned away, and for so long after: what rests for REST_S takes in 6,400 calls a second.
MOST_LINES: Final = 128
WIDE_FOR_S: Final = 1.0
# Calls that are read, or wait for their turn, while others wait unread: enough that a turn never finds none.
AT_HAND: Final = 4
RETRY_MS: Final = 20
# A line that turned somebody away takes nothing for so long. Meanwhile calls wait in gRPC's core, and then go through
# all lines at once: one by one, each between two decisions, they cost nearly twice as much.
REST_S: Final = 0.02
# A call is handed over when its headers are there. One whose message is not there so much later holds nobody up: its
# place ahead of the others goes to the next one, and it takes its turn when it can be read.
READ_WITHIN_S: Final = 0.02
# When it is begun to be noticed that a caller goes. Most calls are over before; until then a call that waits for its
# turn would be decided for nobody.
WATCHED_AFTER_S: Final = 0.1

log = structlog.get_logger(__name__)


class Lines:
    """The lines of one unary method of a server. `on_turned_away` is told of each call that was."""

    def __init__(self, core: Core, path: str, handle: Handle, turns: Turns, most_waiting: int,
                 on_turned_away: Callable[[], None]) -> None:
        self._core = core
        self._path = path
        self._handle = handle
        self._turns = turns
        self._on_turned_away = on_turned_away
        self._admission: Admission[Call] = Admission(self._begin, self._has_room, self._refuse, most_waiting)
        self._refusal = exhausted("too many recommendations wait for this worker", RETRY_MS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._served: set[ServedCall] = set()
        self._unread = Overdue[ServedCall](
            READ_WITHIN_S, lambda served: served.is_read, ServedCall.read, self._admission.go_on
        )
        self._long = Overdue[ServedCall](WATCHED_AFTER_S, lambda served: served.is_over, ServedCall.watch)
        self._rest: asyncio.Future[None] | None = None
        self._wide_until_s = float("-inf")
        # Begun, and not read yet.
        self.reading = 0
        turns.on_given.append(self._admission.go_on)

    @property
    def waiting(self) -> int:
        return self._admission.waiting

    def open(self) -> None:
        """After the server's start. The lines end when it stops, by themselves: the core has their requests, and must
        give them back first."""
        self._open_to(LINES)

    @property
    def standing(self) -> int:
        return len(self._tasks)

    def _open_to(self, count: int) -> None:
        for _ in range(count - len(self._tasks)):
            # The loop alone would hold the task weakly.
            task = asyncio.get_running_loop().create_task(self._stand())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _widen(self) -> None:
        self._wide_until_s = asyncio.get_running_loop().time() + WIDE_FOR_S
        self._open_to(MOST_LINES)

    def _is_needed(self) -> bool:
        """Asked by a line between two calls: what stands with the core cannot be taken back."""
        return len(self._tasks) <= LINES or asyncio.get_running_loop().time() < self._wide_until_s

    async def _stand(self) -> None:
        server, path = self._core.server, self._path.encode()
        while server.is_running() and self._is_needed():
            try:
                call = await server._request_registered_call(path)
            except self._core.request_failed:
                await asyncio.sleep(0)
                continue
            turned_away = self._admission.arrived(call)
            if turned_away is not None:
                self._widen()
                # Not before the refusal is sent: lines that come back sooner would find fewer calls at a time.
                await self._refuse_now(turned_away)
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
        loop = asyncio.get_running_loop()
        served = ServedCall(self._core, call, self._handle, loop, self._read, self._ended)
        self.reading += 1
        self._served.add(served)
        self._unread.add(served, loop)
        self._long.add(served, loop)
        served.begin()

    def _read(self) -> None:
        self.reading -= 1

    def _ended(self, served: ServedCall) -> None:
        """Not every call takes a turn: some are refused before, or their caller is gone."""
        self._served.discard(served)
        self._admission.go_on()

    def _refuse(self, call: Call) -> None:
        """Waits for nothing."""
        self._on_turned_away()
        operations = self._core.refusal(self._refusal)
        Batch(self._core, call, operations, asyncio.get_running_loop(), nothing_more)

    async def _refuse_now(self, call: Call) -> None:
        self._on_turned_away()
        try:
            await self._core.execute(call, self._core.refusal(self._refusal), asyncio.get_running_loop())
        except Exception as error:  # of the core, where the caller is gone already
            log.debug("a call could not be refused", reason=repr(error))
