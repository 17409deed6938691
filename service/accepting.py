"""More lines at which gRPC's asyncio server hands over the calls of one method, and a cheap way to turn calls away.

grpc.aio asks its core for one call at a time and takes several turns of the event loop for each; a turn may hold a
decision, so calls wait in the core, where nobody counts them, and each costs as much to refuse as an `Echo` to answer.
Here `LINES` requests stand with the core at all times, and none of them is a task; what one is handed goes to the
`Admission` at once, and what that turns away is answered unread. What it begins is a `service.core_calls.ServedCall`.
While calls are turned away there are more lines: a line that did so rests, and the others must take in all that comes.

Where grpcio's inside is another than `Core.of` expects, calls come the usual way, and the log says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import structlog

from service.admission import Admission
from service.core_calls import Batch, Call, Core, Handle, ServedCall, nothing_more
from service.errors import exhausted
from service.overdue import Overdue
from service.turns import Turns

# Calls that may be handed over within one turn of the loop. Not many more: what each line is made of is used in turn,
# and what is used seldom is cold.
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


class _Line:
    """A request that stands with the core, made anew when it was handed a call: grpcio's coroutine for it, stepped by
    hand as a `Batch` is."""

    __slots__ = ("_lines", "_work")

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def stand(self) -> None:
        lines = self._lines
        if lines.ends():
            return
        self._work = lines.request()
        self._step(None)

    def _step(self, _: asyncio.Future[Call] | None) -> None:
        lines = self._lines
        try:
            waited_for = self._work.send(None)
        except StopIteration as handed_over:
            lines.take(self, handed_over.value)
        except lines.core.request_failed:  # the server stops, or the call was gone before it was there
            lines.loop.call_soon(self.stand)
        else:
            waited_for.add_done_callback(self._step)


class Lines:
    """The lines of one unary method of a server. `on_turned_away` is told of each call that was."""

    def __init__(self, core: Core, path: str, handle: Handle, turns: Turns, most_waiting: int,
                 on_turned_away: Callable[[], None]) -> None:
        self.core = core
        self._path = path.encode()
        self._handle = handle
        self._turns = turns
        self._on_turned_away = on_turned_away
        self._admission: Admission[Call] = Admission(self._begin, self._has_room, self._refuse, most_waiting)
        self._refusal = exhausted("too many recommendations wait for this worker", RETRY_MS)
        self.loop = asyncio.get_running_loop()
        self.standing = 0
        self._served: set[ServedCall] = set()
        self._unread = Overdue[ServedCall](
            READ_WITHIN_S, lambda served: served.is_read, ServedCall.read, self._admission.go_on
        )
        self._long = Overdue[ServedCall](WATCHED_AFTER_S, lambda served: served.is_over, ServedCall.watch)
        self._resting: list[_Line] = []
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

    def _open_to(self, count: int) -> None:
        for _ in range(count - self.standing):
            self.standing += 1
            _Line(self).stand()

    def ends(self) -> bool:
        """Whether a line is one too many. Asked by it between two calls: what stands with the core cannot be taken
        back."""
        is_needed = self.standing <= LINES or self.loop.time() < self._wide_until_s
        if self.core.server.is_running() and is_needed:
            return False
        self.standing -= 1
        return True

    def take(self, line: _Line, call: Call) -> None:
        """What a line was handed."""
        turned_away = self._admission.arrived(call)
        if turned_away is None:
            line.stand()
            return
        self._refuse(turned_away)
        self._wide_until_s = self.loop.time() + WIDE_FOR_S
        self._open_to(MOST_LINES)
        if not self._resting:
            self.loop.call_later(REST_S, self._rested)
        self._resting.append(line)

    def _rested(self) -> None:
        resting, self._resting = self._resting, []
        for line in resting:
            line.stand()

    def _has_room(self) -> bool:
        return self.reading + self._turns.waiting < AT_HAND

    def request(self) -> Any:
        """The coroutine that ends with the next call."""
        return self.core.server._request_registered_call(self._path)

    def _begin(self, call: Call) -> None:
        loop = self.loop
        served = ServedCall(self.core, call, self._handle, loop, self._read, self._ended)
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
        Batch(self.core, call, self.core.refusal(self._refusal), self.loop, nothing_more)
