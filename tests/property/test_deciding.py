"""Decisions by the thread beside the loop are those of the loop, to the bit, whatever becomes of it or of callers."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import threading
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
import pytest

from engine.decide import decide
from engine.decision import Decision, Refusal
from engine.priced import Prepared, prepare
from engine.request import OrderRequest
from engine.snapshot import Snapshot
from service.deciding import SLOTS, Deciding, has_room_for_thread
from service.engine_thread import Basis, EngineThread, Slot
from service.warmup import toy_learned
from tests.helpers import world
from tests.helpers.order_programs import answer, program
from tests.helpers.replay_world import Artifacts, artifacts_in, snapshot_of, with_bars


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    return artifacts_in(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="module")
def learned(artifacts: Artifacts) -> Snapshot:
    return snapshot_of(artifacts)


@contextlib.asynccontextmanager
async def with_thread(snapshot: Snapshot) -> AsyncIterator[Deciding]:
    deciding = Deciding(by_thread=True)
    deciding.begin(snapshot)
    assert await deciding.has_thread()
    yield deciding
    deciding.close()


def orders_of(snapshot: Snapshot, count: int) -> list[OrderRequest]:
    """Plain orders that the models decide."""
    order = world.order()
    return [replace(order, order_id=f"o-{number}", seed=number) for number in range(count)]


def basis_of(snapshot: Snapshot) -> Basis:
    assert snapshot.models is not None
    return Basis(snapshot.surfaces, snapshot.catalogue, snapshot.models)


def prepared_of(order: OrderRequest, snapshot: Snapshot) -> Prepared:
    prepared = prepare(order, snapshot)
    assert isinstance(prepared, Prepared)
    return prepared


@pytest.mark.parametrize("corrected", [False, True])
async def test_the_thread_decides_as_the_loop(artifacts: Artifacts, corrected: bool) -> None:
    rng = np.random.default_rng(12)
    snapshot = snapshot_of(artifacts)
    for name in list(snapshot.views)[:2]:
        snapshot = with_bars(snapshot, name, rng, world.at(name, 30.0), 60)
    if corrected:
        snapshot = replace(snapshot, learned=toy_learned())
    orders, seen = program(rng, snapshot), Counter[str]()
    async with with_thread(snapshot) as deciding:
        for begin in range(0, len(orders), SLOTS):
            part = orders[begin : begin + SLOTS]
            found = await asyncio.gather(*(deciding.decide(order, snapshot, is_alone=False) for order in part))
            for order, one in zip(part, found, strict=True):
                assert answer(one, snapshot) == answer(decide(order, snapshot), snapshot)
                if isinstance(one, Decision):
                    seen["decided"] += 1
                    seen["structural"] += one.structural_only
                    seen["carried over"] += any("carried over" in text for text in one.warnings)
                    seen["explored"] += one.learning.explored
    assert deciding.handed_over > 300
    assert seen["decided"] > 300
    assert seen["structural"] > 5
    assert seen["carried over"] > 5
    assert (seen["explored"] > 0) == corrected


async def test_more_orders_than_it_has_room_for_are_decided_too(learned: Snapshot) -> None:
    orders = orders_of(learned, 5 * SLOTS)
    async with with_thread(learned) as deciding:
        found = await asyncio.gather(*(deciding.decide(order, learned, is_alone=False) for order in orders))
        assert SLOTS <= deciding.handed_over < len(orders)
    assert [answer(one, learned) for one in found] == [answer(decide(order, learned), learned) for order in orders]


async def test_who_is_alone_is_decided_on_the_loop(learned: Snapshot) -> None:
    order = world.order()
    async with with_thread(learned) as deciding:
        deciding_alone = deciding.decide(order, learned, is_alone=True)
        with pytest.raises(StopIteration) as ended:
            deciding_alone.send(None)  # it would give back to the loop where it had to wait
        assert answer(ended.value.value, learned) == answer(decide(order, learned), learned)
        assert deciding.handed_over == 0


async def test_those_who_give_up_leave_their_slots(learned: Snapshot) -> None:
    async with with_thread(learned) as deciding:
        for turn in range(3):
            asked = [
                asyncio.ensure_future(deciding.decide(order, learned, is_alone=False))
                for order in orders_of(learned, SLOTS)
            ]
            await asyncio.sleep(0)
            assert deciding.handed_over == SLOTS * (turn + 1), "a slot was lost"
            for one in asked[:-1]:
                one.cancel()
            *gone, last = await asyncio.gather(*asked, return_exceptions=True)
            assert all(isinstance(one, asyncio.CancelledError) for one in gone)
            assert isinstance(last, Decision)
        thread = EngineThread(basis_of(learned), 2)
        assert await thread.came_up
        first, second = (thread.ask(prepared_of(order, learned), tells=True) for order in orders_of(learned, 2))
        assert first is not None
        assert second is not None
        assert thread.ask(prepared_of(world.order(), learned), tells=True) is None, "it has two slots"
        first.give_back()
        assert await second.answered
        assert thread.ask(prepared_of(world.order(), learned), tells=True) is first
        thread.end()


async def test_other_models_have_a_thread_of_their_own(learned: Snapshot) -> None:
    assert learned.models is not None
    other = replace(learned, models=replace(learned.models, keep=learned.models.keep.copy(), sha256="other"))
    order = world.order()
    async with with_thread(learned) as deciding:
        under_way = asyncio.ensure_future(deciding.decide(order, learned, is_alone=False))
        await asyncio.sleep(0)
        assert deciding.handed_over == 1
        # The new thread is not there at once; nobody waits for it.
        swapped = await deciding.decide(order, other, is_alone=False)
        assert answer(swapped, other) == answer(decide(order, other), other)
        assert answer(await under_way, learned) == answer(decide(order, learned), learned)
        assert await deciding.has_thread()
        again = await deciding.decide(order, other, is_alone=False)
        assert deciding.handed_over == 2
        assert answer(again, other) == answer(decide(order, other), other)


async def test_a_thread_ends_after_what_it_was_asked(learned: Snapshot) -> None:
    thread = EngineThread(basis_of(learned), 4)
    assert await thread.came_up
    slots = [thread.ask(prepared_of(order, learned), tells=True) for order in orders_of(learned, 4)]
    thread.end()
    thread.end()
    assert thread.ask(prepared_of(world.order(), learned), tells=True) is None
    for slot in slots:
        assert slot is not None
        assert await slot.answered
        slot.give_back()
    await asyncio.to_thread(thread.join)
    assert not thread.thread.is_alive()


class BreaksOff(EngineThread):
    """Says that it is there, takes no order, and fails when told to."""

    def _run(self) -> None:
        self.fails = threading.Event()
        os.eventfd_write(self._to_loop, 1)
        self.fails.wait(10.0)
        self._tell_loop(self._has_ended, errno.EIO)


async def test_orders_of_a_thread_that_failed_are_decided_on_the_loop(learned: Snapshot) -> None:
    thread = BreaksOff(basis_of(learned), 4)
    assert await thread.came_up
    slot = thread.ask(prepared_of(world.order(), learned), tells=True)
    gone = thread.ask(prepared_of(world.order(), learned), tells=True)
    assert isinstance(slot, Slot)
    assert isinstance(gone, Slot)
    gone.give_back()
    thread.fails.set()
    assert await slot.answered is False
    slot.give_back()
    assert not thread.is_up
    assert thread.ask(prepared_of(world.order(), learned), tells=True) is None


async def test_an_order_that_cannot_be_handed_over_is_decided_on_the_loop(learned: Snapshot) -> None:
    thread = EngineThread(basis_of(learned), 4)
    assert await thread.came_up
    way, thread._to_thread = thread._to_thread, -1
    slot = thread.ask(prepared_of(world.order(), learned), tells=True)
    thread._to_thread = way
    assert slot is not None
    assert await slot.answered is False
    slot.give_back()
    assert thread.ask(prepared_of(world.order(), learned), tells=True) is None
    thread.end()
    await asyncio.to_thread(thread.join)
    assert not thread.thread.is_alive()


async def test_a_failed_thread_is_not_tried_again(learned: Snapshot) -> None:
    async with with_thread(learned) as deciding:
        thread = deciding.thread
        assert thread is not None
        thread.end()
        found = await deciding.decide(world.order(), learned, is_alone=False)
        assert not isinstance(found, Refusal)
        assert deciding.thread is thread


def test_by_itself_only_where_a_processor_is_free() -> None:
    processors = len(os.sched_getaffinity(0))
    assert has_room_for_thread("auto", processors - 1)
    assert not has_room_for_thread("auto", processors)
    assert has_room_for_thread("on", processors)
    assert not has_room_for_thread("off", 0)
