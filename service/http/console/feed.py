"""The newest line of every order that changed, and what is halted or limited, for any number of readers.

One feed asks the service for all readers with the same credentials. A reader holds a place and no queue: however slow
it is, it gets the newest line of each order and never what was replaced meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import grpc.aio
import structlog

from service.http import problems
from service.http.gateway import Calls
from service.mapping.controls_feed import LIST_CONTROLS, controls_json, controls_request
from service.mapping.order_feed import LIST_ORDERS, Line, Listed, listed, orders_request
from store.ending import end

log = structlog.get_logger(__name__)

# Fills make no event, so the service is asked; a question without news costs it no reading.
ASK_EVERY_S: Final = 0.5
ASK_TIMEOUT_S: Final = 3.0
MOST_LINES: Final = 500
BATCH_LINES: Final = 50
# Who may see orders and no halts goes without; so does who reads from a worker that has none.
NOT_FOR_THEM: Final = (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED)
UNREADABLE: Final = "the service gave an answer that cannot be read"
Metadata = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Place:
    """Up to where a reader has read."""

    journal_id: str = ""
    revision: int = 0

    @classmethod
    def parse(cls, text: str) -> Place:
        """Of an event's id; the beginning for anything else."""
        journal_id, _, revision = text.rpartition(":")
        if not journal_id or len(journal_id) > 100 or not revision.isascii() or not revision.isdecimal():
            return cls()
        return cls(journal_id, min(int(revision), 2**63 - 1))

    def __str__(self) -> str:
        return f"{self.journal_id}:{self.revision}"


class OrderFeed:
    """Belongs to one event loop; asks while somebody reads."""

    def __init__(self, workers: Calls, metadata: Metadata, ask_every_s: float = ASK_EVERY_S) -> None:
        self._workers = workers
        self._metadata = metadata
        self._ask_every_s = ask_every_s
        self._lines: OrderedDict[str, Line] = OrderedDict()  # rising revisions
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.journal_id = ""
        self.revision = 0
        self.away = ""
        self.controls = b""  # JSON of ListControls; empty until it is known
        self.asked = False
        self.is_refused = False  # the service no longer knows these credentials
        self.readers = 0

    def enter(self) -> None:
        self.readers += 1
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._ask_for_ever(), name="order-feed")

    async def leave(self) -> None:
        self.readers -= 1
        if self.readers == 0 and self._task is not None:
            task, self._task = self._task, None
            await end(task)

    def after(self, place: Place) -> tuple[list[Line], Place]:
        """The next lines for a reader, oldest change first, and its place after them. One who reads another journal,
        or nothing yet, begins with all that is held."""
        revision = place.revision if place.journal_id == self.journal_id else 0
        found = [line for line in self._lines.values() if line.revision > revision][:BATCH_LINES]
        return found, Place(self.journal_id, found[-1].revision if found else revision)

    async def news(self, timeout_s: float) -> None:
        """Returns when something changed, or the time is over."""
        waiting = self._news
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await waiting.wait()

    async def _ask_for_ever(self) -> None:
        while True:
            try:
                await self._ask()
                await self._ask_controls()
                self._tell(self.away != "" or not self.asked)
                self.away, self.asked, self.is_refused = "", True, False
            except grpc.aio.AioRpcError as error:
                reason = problems.of_rpc_error(error).detail
                changed, self.away, self.asked = self.away != reason, reason, True
                self.is_refused = error.code() is grpc.StatusCode.UNAUTHENTICATED
                self._tell(changed)
            except Exception:  # an answer that cannot be read; the readers are to know that nothing comes
                changed, self.away, self.asked = self.away != UNREADABLE, UNREADABLE, True
                if changed:
                    log.exception("the console's orders could not be read")
                self._tell(changed)
            await asyncio.sleep(self._ask_every_s)

    def _tell(self, changed: bool = True) -> None:
        if changed:
            self._news.set()
            self._news = asyncio.Event()

    async def _ask(self) -> None:
        first = await self._page("")
        page, lines = first, list(first.lines)
        while page.next_page_token and len(lines) < MOST_LINES:
            page = await self._page(page.next_page_token)
            lines += page.lines
        if first.journal_id != self.journal_id:
            self._lines.clear()
        self.journal_id, self.revision = first.journal_id, first.revision
        for line in sorted(lines, key=lambda line: line.revision):
            self._lines[line.order_id] = line
            self._lines.move_to_end(line.order_id)
        while len(self._lines) > MOST_LINES:
            self._lines.popitem(last=False)
        self._tell(bool(lines))

    async def _ask_controls(self) -> None:
        try:
            answer = await self._workers.call(LIST_CONTROLS, controls_request(), ASK_TIMEOUT_S, self._metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() in NOT_FOR_THEM:
                return
            raise
        found = controls_json(answer)
        changed, self.controls = found != self.controls, found
        self._tell(changed)

    async def _page(self, token: str) -> Listed:
        request = orders_request(self.journal_id, self.revision, token)
        return listed(await self._workers.call(LIST_ORDERS, request, ASK_TIMEOUT_S, self._metadata))
