"""Whether the journal takes records: ready; full, until some is drained; failed, until it is opened anew, or for good.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from store.backoff import Backoff
from store.ending import end
from store.errors import JournalCorrupt, JournalError, JournalFull
from store.state_board import StateBoard
from store.submission import Condition, KeeperState, StateCallback, Unsubscribe

_log = logging.getLogger(__name__)
_RECHECK_S = 0.1  # how often a full journal is looked at again


class Reopening(Protocol):
    """Whoever can leave a failed journal and open it anew."""

    async def leave_journal(self) -> None:
        """Closes what failed."""

    async def enter_journal(self) -> int:
        """Opens it and goes on with it; how many records did not get to the disk. Raises JournalError, OSError."""


class JournalHealth:
    """Belongs to one event loop. Without `reopening` a failure is for good: `broken` is done then, as it is where the
    journal is damaged, and whoever owns the process ends it."""

    def __init__(
        self, is_full: Callable[[], bool], reopening: Reopening | None, backoff: Backoff,
        uniform: Callable[[], float], sleep: Callable[[float], Awaitable[None]],
    ) -> None:  # fmt: skip
        self._is_full = is_full
        self._reopening = reopening
        self._backoff = backoff
        self._uniform = uniform
        self._sleep = sleep
        self._states = StateBoard(KeeperState(Condition.READY))
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = False
        self.broken: asyncio.Future[JournalError] = asyncio.get_running_loop().create_future()

    @property
    def state(self) -> KeeperState:
        return self._states.state

    @property
    def has_failed(self) -> bool:
        return self._states.state.condition is Condition.FAILED

    def watch(self, callback: StateCallback) -> Unsubscribe:
        return self._states.watch(callback)

    def stopping(self) -> None:
        """From here on nothing is opened anew."""
        self._is_stopping = True

    async def stop(self) -> None:
        await end(self._task)

    def full(self, error: JournalFull) -> None:
        """Records are refused until there is room."""
        if self._states.set(Condition.FULL, str(error)):
            _log.error("the journal is full, records are refused until some of it is drained: %s", error)
            asyncio.get_running_loop().call_later(_RECHECK_S, self._recheck)

    def _recheck(self) -> None:
        if self._states.state.condition is not Condition.FULL:
            return
        if self._is_full():
            asyncio.get_running_loop().call_later(_RECHECK_S, self._recheck)
        else:
            self._states.set(Condition.READY)
            _log.info("the journal has room again")

    def failed(self, error: JournalError) -> None:
        """Nothing is taken from here on; what was not acknowledged may or may not be on disk."""
        if not self._states.set(Condition.FAILED, str(error)):
            return
        _log.critical("the journal failed: %s", error)
        if self._is_stopping:
            return
        if self._reopening is None or isinstance(error, JournalCorrupt):
            self._break(error)
        else:
            reopened = self._reopened(self._reopening)
            self._task = asyncio.get_running_loop().create_task(reopened, name="reopen-journal")

    def _break(self, error: JournalError) -> None:
        if not self.broken.done():
            self.broken.set_result(error)

    async def _reopened(self, reopening: Reopening) -> None:
        """As often as it takes, unless it is damaged."""
        await reopening.leave_journal()
        failures = 0
        while True:
            try:
                freed = await reopening.enter_journal()
            except JournalCorrupt as error:
                _log.critical("the journal is damaged: %s", error)
                self._break(error)
                return
            except Exception as error:  # whatever it is, a host that stays closed for ever is worse
                failures += 1
                expected = isinstance(error, JournalError | OSError)
                _log.error(
                    "the journal cannot be opened (%d in a row): %s", failures, error, exc_info=not expected
                )
                await self._sleep(self._backoff.delay_s(failures, self._uniform()))
            else:
                self._states.set(Condition.READY)
                _log.warning(
                    "the journal was opened anew; %d records did not get to the disk, their orders are free", freed
                )
                return
