"""A thread that makes the compiled call of a decision, so that the event loop can do another call's work meanwhile.

The thread runs one compiled function and never takes the interpreter's lock: it waits in the kernel for orders (an
eventfd), decides what it finds laid down in shared arrays, and says so by another eventfd that the loop watches. On a
processor of its own it also keeps trees and surfaces in that processor's caches, which the loop's other work would
displace (docs/adr/0043). Figures are those of the call on the loop, to the bit.

A thread belongs to one set of surfaces, catalogue and models; for another one another is started.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from engine import kernel as k
from engine.assemble import MAX_ALTERNATIVES, interval_scales
from engine.catalogue import ALGORITHM_NAMES, CandidateSet
from engine.priced import Prepared, Priced, kernel_models
from engine.scoring.features import FEATURES
from engine.scoring.models import Models
from engine.snapshot import Snapshot
from engine.surfaces import Surfaces
from engine.telling import POINT, TOLD
from engine.told import Telling, Told
from engine.values import CONDITIONS
from service import engine_thread_compiled as compiled

# Minutes of the longest session there is: a day.
MOST_MINUTES: Final = 24 * 60
MOST_SIZES: Final = 2

log = structlog.get_logger(__name__)


class Basis(msgspec.Struct, frozen=True):
    """What a thread decides by."""

    surfaces: Surfaces
    catalogue: CandidateSet
    models: Models

    def is_of(self, snapshot: Snapshot) -> bool:
        return (
            snapshot.surfaces is self.surfaces and snapshot.models is self.models
            and snapshot.catalogue is self.catalogue
        )  # fmt: skip


class Slot:
    """Where one order lies. Whoever takes one gives it back, whatever happens; its arrays are another's then."""

    __slots__ = ("_thread", "_views", "answered", "number")
    answered: asyncio.Future[bool]  # of the order that lies here, since `ask`

    def __init__(self, number: int, thread: EngineThread, views: _Views) -> None:
        self.number = number
        self._thread = thread
        self._views = views

    def give_back(self) -> None:
        self._thread.give_back(self)

    def priced(self, prepared: Prepared) -> Priced:
        """What was found; after `answered`. Of the arrays only what is told outlives `give_back`."""
        views, catalogue = self._views, self._thread.basis.catalogue
        best, count, structural, rows, points, bits = views.found.tolist()
        telling = None
        if rows:
            told = Told(catalogue, views.told[:rows].copy(), views.points[:points].copy())
            telling = Telling(told, [], bits, views.sure.item())
        return Priced(
            views.metrics, views.mask, views.best_of_algorithm, views.hull[:count], views.flips,
            views.sizes[:len(prepared.multiples)], views.features, views.context, best, structural, prepared.models,
            catalogue.algorithm, telling=telling,
        )  # fmt: skip


class _Views(msgspec.Struct, frozen=True):
    """What was found for the order in one slot. Made once: seven views an order would cost some microseconds."""

    metrics: NDArray[np.float64]
    mask: NDArray[np.int64]
    best_of_algorithm: NDArray[np.int64]
    hull: NDArray[np.int64]
    flips: NDArray[np.float64]
    features: NDArray[np.float32]
    sizes: NDArray[np.float64]
    context: NDArray[np.float64]
    told: NDArray[np.float64]
    points: NDArray[np.float64]
    found: NDArray[np.int64]
    sure: NDArray[np.float64]


class _Arrays:
    """Those that loop and thread share, a row a slot."""

    def __init__(self, slots: int, candidates: int) -> None:
        self.desk = (
            np.zeros(slots + 1, np.int64), np.zeros((slots, compiled.LENGTHS), np.int64),
            np.zeros((slots, len(CONDITIONS))), np.zeros((slots, MOST_MINUTES + 1)),
            np.zeros((slots, k.CONTEXT_LENGTH)), np.ones((slots, 2)), np.zeros((slots, MOST_SIZES, 2)),
        )
        self.results = (
            np.zeros((slots, candidates, k.METRICS)), np.zeros((slots, candidates), np.int64),
            np.zeros((slots, len(ALGORITHM_NAMES)), np.int64), np.zeros((slots, candidates), np.int64),
            np.zeros((slots, 3, 4)), np.zeros((slots, candidates, FEATURES), np.float32),
        )
        self.told = np.zeros((slots, 1 + MAX_ALTERNATIVES, TOLD))
        self.points = np.zeros((slots, candidates + 1, POINT))
        self.found = np.zeros((slots, compiled.FOUND), np.int64)
        self.sure = np.zeros(slots)

    def views(self, slot: int) -> _Views:
        metrics, mask, best_of_algorithm, hull, flips, features = self.results
        *_, contexts, _, sizes = self.desk
        return _Views(
            metrics[slot], mask[slot], best_of_algorithm[slot], hull[slot], flips[slot], features[slot], sizes[slot],
            contexts[slot], self.told[slot], self.points[slot], self.found[slot], self.sure[slot : slot + 1],
        )


class EngineThread:
    """Of one event loop. `is_up` once it waits for orders, and until it ends; `came_up` says once whether it did."""

    def __init__(self, basis: Basis, slots: int) -> None:
        self.basis = basis
        self.is_up = False
        self._arrays = _Arrays(slots, len(basis.catalogue.candidates))
        self._loop = asyncio.get_running_loop()
        self._free = [Slot(number, self, self._arrays.views(number)) for number in range(slots)]
        self.came_up: asyncio.Future[bool] = self._loop.create_future()
        self._asked: deque[Slot] = deque()
        self._at = 0
        self._place: NDArray[np.uint64] = np.zeros(1, np.uint64)
        self._to_thread = os.eventfd(0, os.EFD_CLOEXEC)
        self._to_loop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._is_given_up = self._is_ending = self._is_closed = False
        self._loop.add_reader(self._to_loop, self._was_answered)
        # A daemon: it holds nothing that a process which ends would have to wait for.
        self.thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self.thread.start()

    def ask(self, prepared: Prepared, tells: bool) -> Slot | None:
        """Lays an order down to be decided; None where there is no room, or the thread is not there. `tells`: nothing
        that was learned may change its choice."""
        resolved, models = prepared.resolved, prepared.models
        if not self.is_up or not self._free or models is not self.basis.models:
            return None
        if len(resolved.cumulative) > MOST_MINUTES + 1 or len(prepared.multiples) > MOST_SIZES:
            return None
        slot, at = self._free.pop(), self._at
        slot.answered = self._loop.create_future()
        self._asked.append(slot)
        self._at = (at + 1) % len(self._arrays.desk[0])
        self._signal(slot.number, at, prepared, tells)
        return slot

    def _signal(self, number: int, at: int, prepared: Prepared, tells: bool) -> None:
        resolved = prepared.resolved
        error = compiled.lay_down(
            self._arrays.desk, number, at, resolved.weights, resolved.cumulative, prepared.context, prepared.multiples,
            *interval_scales(prepared.models, resolved.weights), tells, self._to_thread, self._place,
        )
        if error:
            self._at = at  # nobody will look there
            self._give_up(error)

    def give_back(self, slot: Slot) -> None:
        """Free again, at once or as soon as the thread is through with it."""
        if slot.answered.done() and not slot.answered.cancelled():
            self._free.append(slot)
        else:
            slot.answered.cancel()

    def end(self) -> None:
        """After the orders that were laid down before. Does not wait."""
        if not (self._is_ending or self._is_closed):
            self._is_ending, self.is_up = True, False
            self._arrays.desk[0][self._at] = compiled.END
            os.eventfd_write(self._to_thread, 1)

    def join(self) -> None:
        """Waits for its end; not on the loop."""
        self.thread.join()

    def _run(self) -> None:
        basis, arrays = self.basis, self._arrays
        surfaces, catalogue, models = basis.surfaces, basis.catalogue, basis.models
        trees, describing, keep = kernel_models(models)
        try:
            code = int(compiled.serve(
                self._to_thread, self._to_loop, np.zeros(1, np.uint64), arrays.desk,
                (surfaces.values, surfaces.log_participation, surfaces.log_horizon_days, surfaces.log_pool_share),
                (catalogue.algorithm, catalogue.shape, catalogue.rule, catalogue.pace, catalogue.rests,
                 catalogue.numbers),
                trees, describing, keep, models.confidence_walk, models.confidence_map, arrays.results, arrays.told,
                arrays.points, arrays.found, arrays.sure,
            ))  # fmt: skip
        except Exception:
            log.exception("the engine's thread failed; decisions are made on the loop")
            code = -1
        self._tell_loop(self._has_ended, code)

    def _tell_loop(self, told: Callable[[int], None], code: int) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process ends
            self._loop.call_soon_threadsafe(told, code)

    def _was_answered(self) -> None:
        try:
            count = os.eventfd_read(self._to_loop)
        except BlockingIOError:
            return
        if not self.came_up.done():
            self.came_up.set_result(True)
            count -= 1
            self.is_up = not self._is_ending
            log.info("the engine's thread is there")
        for _ in range(count):
            self._through_with(self._asked.popleft(), is_decided=True)

    def _through_with(self, slot: Slot, is_decided: bool) -> None:
        if slot.answered.cancelled():  # whoever asked is gone
            self._free.append(slot)
        else:
            slot.answered.set_result(is_decided)

    def _has_ended(self, code: int) -> None:
        """Of the thread alone: what it may still read or write must not be closed before."""
        self._give_up(code)
        self._is_closed = True
        os.close(self._to_thread)
        os.close(self._to_loop)

    def _give_up(self, code: int) -> None:
        """It is asked nothing more, and what it was asked is decided on the loop."""
        if self._is_given_up:
            return
        self._was_answered()
        self._is_given_up, self.is_up = True, False
        if code:
            log.error("the engine's thread ended; decisions are made on the loop", code=code)
        if not self.came_up.done():
            self.came_up.set_result(False)
        while self._asked:
            self._through_with(self._asked.popleft(), is_decided=False)
        self._loop.remove_reader(self._to_loop)
