"""Looking again and again at what others write, beside the decisions and without ever ending them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from store.ending import end
from store.outbox_bell import Bell

log = structlog.get_logger(__name__)


class Looks:
    """One task. `look` is awaited at every ring of the bell and every `every_s`, the first time at once, or with
    `waits_first` after that. Errors of the `expected` kinds are told in a line, others with their traceback; the
    looking goes on after both. Belongs to one event loop."""

    def __init__(self, name: str, look: Callable[[], Awaitable[None]], bell: Bell, every_s: float,
                 expected: tuple[type[Exception], ...], *, waits_first: bool = False) -> None:
        self._name = name
        self._look = look
        self._bell = bell
        self._every_s = every_s
        self._expected = expected
        self._waits_first = waits_first
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        await end(self._task)

    async def _run(self) -> None:
        if self._waits_first:
            await self._bell.wait(self._bell.rings, self._every_s)
        while True:
            seen = self._bell.rings
            try:
                await self._look()
            except self._expected as error:
                log.info("looked in vain; looked again later", what=self._name, reason=str(error))
            except Exception:
                log.exception("looking failed; looked again later", what=self._name)
            await self._bell.wait(seen, self._every_s)
