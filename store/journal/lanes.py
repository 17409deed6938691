"""Where the journal's blocking work runs: threads, or the loop itself where a run must be repeatable."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Protocol, TypeVar

from store.journal.writing import GroupWrite, write_group

_log = logging.getLogger(__name__)

T = TypeVar("T")
V = TypeVar("V")
Work = Callable[[], None]
Written = Callable[[Exception | None], None]


class Lanes(Protocol):
    """Work of one lane runs one after another, in the order in which it was given."""

    def commit(self, work: Work) -> None:
        """The committer: writing and syncing. Callable from anywhere."""
        ...

    def write(self, group: GroupWrite, done: Written) -> None:
        """Work of the committer too: `write_group`, then `done` on the loop, with what it raised."""
        ...

    def background(self, work: Work) -> None:
        """Making and removing files. Callable from anywhere."""
        ...

    async def run(self, work: Callable[[], T]) -> T:
        """Reading; answers on the loop."""
        ...

    def answer(self, callback: Callable[[], object]) -> None:
        """Calls back on the loop; for the lanes' work."""
        ...

    async def stop(self) -> None:
        """Ends the lanes when what they were given is done."""
        ...


class ThreadLanes:
    """One thread a lane, started when it is first needed. Made and used on one event loop."""

    def __init__(self, name: str = "journal") -> None:
        self._loop = asyncio.get_running_loop()
        self._commit = _Lane(f"{name}-commit")
        self._background = _Lane(f"{name}-background")
        self._read = _Lane(f"{name}-read")

    def commit(self, work: Work) -> None:
        self._commit.give(work)

    def write(self, group: GroupWrite, done: Written) -> None:
        self.commit(partial(write_and_answer, self, group, done))

    def background(self, work: Work) -> None:
        self._background.give(work)

    async def run(self, work: Callable[[], T]) -> T:
        done: asyncio.Future[T] = self._loop.create_future()

        def run() -> None:
            try:
                result = work()
            except Exception as error:
                self.answer(partial(_settle, done, done.set_exception, error))
            else:
                self.answer(partial(_settle, done, done.set_result, result))

        self._read.give(run)
        return await done

    def answer(self, callback: Callable[[], object]) -> None:
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:
            if not self._loop.is_closed():
                raise
            # Whoever would hear it is gone with the loop.

    async def stop(self) -> None:
        # The committer may give work to the background, so it ends first.
        for lane in (self._commit, self._background, self._read):
            ended = asyncio.Event()
            if lane.end(partial(self.answer, ended.set)):
                await ended.wait()
                lane.join()


class LoopLanes:
    """Everything on the loop, one piece of work a turn, no thread: what a deterministic simulator needs. A subclass
    may put time between (override `_later`)."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def commit(self, work: Work) -> None:
        self._later(work)

    def write(self, group: GroupWrite, done: Written) -> None:
        self.commit(partial(write_and_answer, self, group, done))

    def background(self, work: Work) -> None:
        self._later(work)

    async def run(self, work: Callable[[], T]) -> T:
        return work()

    def answer(self, callback: Callable[[], object]) -> None:
        callback()

    async def stop(self) -> None:
        """What was given before runs before this returns."""
        for _ in range(2):
            turn: asyncio.Future[None] = self._loop.create_future()
            self._later(partial(turn.set_result, None))
            await turn

    def _later(self, work: Work) -> None:
        self._loop.call_soon(work)


def write_and_answer(lanes: Lanes, group: GroupWrite, done: Written) -> None:
    """`Lanes.write` as one piece of the committer's work."""
    error: Exception | None = None
    try:
        write_group(group)
    except Exception as raised:  # whatever it was, the journal must hear of it
        error = raised
    lanes.answer(partial(done, error))


def _settle(future: asyncio.Future[T], settle: Callable[[V], None], value: V) -> None:
    """Unless whoever waited gave up."""
    if not future.done():
        settle(value)


class _Lane:
    """A thread and what it has to do."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._mutex = threading.Lock()

    def give(self, work: Work) -> None:
        if self._thread is None:
            with self._mutex:
                if self._thread is None:
                    # A daemon: a journal that nobody closed must not keep the process from ending.
                    self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                    self._thread.start()
        self._queue.put(work)

    def end(self, ended: Work) -> bool:
        """Whether there is a thread to wait for; it calls `ended` as its last work."""
        if self._thread is None:
            return False
        self._queue.put(ended)
        self._queue.put(None)
        return True

    def join(self) -> None:
        """After `ended` was called: the thread has nothing to do but to end."""
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            try:
                work()
            except Exception:  # a bug; the lane must go on, or closing would wait for ever
                _log.exception("work of %s failed", self._name)
