"""Where a decision's compiled call is made: on the event loop, or by a thread beside it.

On the loop a call that is alone is answered soonest: nobody has to wake up for it. Where others are under way the
thread decides while the loop reads, answers and records them. Both give the same bits, so that which of them decided
is nothing that a record would have to tell.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Final

from engine.decide import conclude, decide
from engine.decision import Decision, Refusal
from engine.priced import prepare, priced_of
from engine.request import OrderRequest
from engine.snapshot import Snapshot
from service.engine_thread import Basis, EngineThread

# Orders with the thread at a time. More than it can have behind while the loop prepares one and answers another.
SLOTS: Final = 8
BEGINS_AFTER_S: Final = 1.0


def has_room_for_thread(setting: str, workers: int) -> bool:
    """Of ESS_ENGINE_THREAD. By itself (`auto`) where there are more processors than workers: on one that a worker needs
    a thread would only take turns with it."""
    return setting == "on" or (setting == "auto" and len(os.sched_getaffinity(0)) > workers)


class Deciding:
    """Of one event loop. `thread`: that of now; `handed_over`: orders that threads were given."""

    def __init__(self, by_thread: bool = False) -> None:
        self._by_thread = by_thread
        self._is_begun = False
        self._later: asyncio.TimerHandle | None = None
        self.thread: EngineThread | None = None
        self.handed_over = 0

    def begin(self, snapshot: Snapshot) -> None:
        """Starts the thread, which is asked as soon as it is there. Before, all decisions are made on the loop."""
        self._is_begun = self._by_thread
        if self._is_begun and snapshot.models is not None:
            self._thread_of(snapshot)

    def begin_later(self, snapshot: Callable[[], Snapshot], after_s: float = BEGINS_AFTER_S) -> None:
        """The same once the service is up: reading the thread's code in would only keep the first decision waiting."""
        self._later = asyncio.get_running_loop().call_later(after_s, lambda: self.begin(snapshot()))

    async def has_thread(self) -> bool:
        """Waits for the thread; whether there is one."""
        return self.thread is not None and await asyncio.shield(self.thread.came_up)

    async def decide(self, order: OrderRequest, snapshot: Snapshot, is_alone: bool) -> Decision | Refusal:
        """As `engine.decide.decide`. `is_alone`: no other call is under way."""
        if is_alone or not self._is_begun or snapshot.models is None:
            return decide(order, snapshot)
        thread = self._thread_of(snapshot)
        if not thread.is_up:
            return decide(order, snapshot)
        prepared = prepare(order, snapshot)
        if isinstance(prepared, Refusal):
            return prepared
        slot = thread.ask(prepared, tells=snapshot.learned is None and snapshot.models.effects is None)
        if slot is None:
            return conclude(prepared, priced_of(prepared, snapshot), snapshot)
        self.handed_over += 1
        try:
            if await slot.answered:
                return conclude(prepared, slot.priced(prepared), snapshot)
        finally:
            slot.give_back()
        return decide(order, snapshot)

    def close(self) -> None:
        self._is_begun = False
        if self._later is not None:
            self._later.cancel()
        if self.thread is not None:
            self.thread.end()

    def _thread_of(self, snapshot: Snapshot) -> EngineThread:
        """That of the snapshot's surfaces, catalogue and models; one that decided by others ends."""
        thread, models = self.thread, snapshot.models
        assert models is not None
        if thread is None or not thread.basis.is_of(snapshot):
            if thread is not None:
                thread.end()
            thread = EngineThread(Basis(snapshot.surfaces, snapshot.catalogue, models), SLOTS)
            self.thread = thread
        return thread
