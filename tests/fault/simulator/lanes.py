"""The journal's lanes on virtual time: one piece of work after another, each after a seeded moment."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from store.journal.lanes import Written, write_and_answer
from store.journal.writing import GroupWrite

T = TypeVar("T")
Work = Callable[[], None]


@dataclass(slots=True)
class Pace:
    """How long a piece of disk work takes, at most; raised for a disk that is slow now."""

    most_s: float = 0.0005


class SlowLanes:
    """See store.journal.lanes.Lanes. After `cut` nothing that was given is done any more: the power is gone."""

    def __init__(self, chance: random.Random, pace: Pace) -> None:
        self._loop = asyncio.get_running_loop()
        self._chance = chance
        self._pace = pace
        self._free_at_s = {"commit": 0.0, "background": 0.0, "read": 0.0}
        self._is_cut = False

    def cut(self) -> None:
        self._is_cut = True

    def commit(self, work: Work) -> None:
        self._later("commit", work)

    def write(self, group: GroupWrite, done: Written) -> None:
        self.commit(partial(write_and_answer, self, group, done))

    def background(self, work: Work) -> None:
        self._later("background", work)

    async def run(self, work: Callable[[], T]) -> T:
        done: asyncio.Future[T] = self._loop.create_future()

        def run() -> None:
            if done.done():
                return
            try:
                done.set_result(work())
            except Exception as error:
                done.set_exception(error)

        self._later("read", run)
        return await done

    def answer(self, callback: Callable[[], object]) -> None:
        self._loop.call_soon(callback)

    async def stop(self) -> None:
        for lane in ("commit", "background", "read"):
            turn: asyncio.Future[None] = self._loop.create_future()
            self._later(lane, _setter(turn))
            await turn

    def _later(self, lane: str, work: Work) -> None:
        due_s = max(self._free_at_s[lane], self._loop.time()) + self._chance.uniform(0.0, self._pace.most_s)
        self._free_at_s[lane] = due_s
        self._loop.call_at(due_s, self._do, work)

    def _do(self, work: Work) -> None:
        if not self._is_cut:
            work()


def _setter(future: asyncio.Future[None]) -> Work:
    return lambda: None if future.done() else future.set_result(None)
