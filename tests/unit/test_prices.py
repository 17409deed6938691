"""Orders that wait are priced together in a thread, each as alone, and none waits for one that never comes."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest

from engine.decide import decide
from engine.decide_many import Prepared, conclude, prepare
from engine.request import OrderRequest
from engine.snapshot import Snapshot
from engine.values import Objective, Side, Urgency
from service.prices import MOST_LOOKS, MOST_TOGETHER, Prices
from service.warmup import toy_snapshot

OPEN_NS = 1_767_623_400_000_000_000
SNAPSHOT = toy_snapshot()


def order(number: int, quantity_shares: float = 1_000.0) -> OrderRequest:
    return OrderRequest(
        f"order-{number}", "TOY", Side.BUY, quantity_shares, Objective.BALANCED_EXECUTION, Urgency.NORMAL,
        OPEN_NS + 1_800_000_000_000, number,
    )


def prepared(number: int, snapshot: Snapshot = SNAPSHOT) -> Prepared:
    found = prepare(order(number, 1_000.0 + 10 * number), snapshot)
    assert isinstance(found, Prepared)
    return found


def prices_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "prices"]


async def test_each_is_priced_as_it_would_be_alone() -> None:
    prices = Prices(lambda: False)
    other = replace(SNAPSHOT, engine_version="other")
    try:
        asked = [(number, SNAPSHOT if number % 3 else other) for number in range(3 * MOST_TOGETHER)]
        found = await asyncio.gather(*(prices.of(prepared(number, snapshot), snapshot) for number, snapshot in asked))
        for (number, snapshot), priced in zip(asked, found, strict=True):
            decision = conclude(prepared(number, snapshot), priced, snapshot)
            assert decision == decide(order(number, 1_000.0 + 10 * number), snapshot)
        assert prices.waiting == 0
        assert not prices.is_at_work
    finally:
        prices.close()
    assert not prices_threads()


async def test_where_more_come_they_go_together_and_one_that_never_comes_is_not_waited_for() -> None:
    prices, taken = Prices(lambda: True), list[int]()
    prices.on_taken.append(lambda: taken.append(1))
    try:
        together = [asyncio.ensure_future(prices.of(prepared(number), SNAPSHOT)) for number in range(MOST_TOGETHER)]
        await asyncio.gather(*together)
        assert len(taken) == 1
        waits = asyncio.ensure_future(prices.of(prepared(1), SNAPSHOT))
        await asyncio.sleep(0)
        assert prices.waiting == 1  # it waits for others
        for _ in range(MOST_LOOKS + 1):
            await asyncio.sleep(0)
        assert len(taken) == 2  # but not for ever
        await waits
    finally:
        prices.close()


async def test_a_fault_belongs_to_the_calls_and_the_next_ones_are_priced() -> None:
    prices = Prices(lambda: False)
    broken = replace(prepared(1), context=prepared(1).context[:3])
    try:
        with pytest.raises(ValueError, match="inhomogeneous"):
            await asyncio.gather(prices.of(prepared(0), SNAPSHOT), *(prices.of(broken, SNAPSHOT) for _ in range(1)),
                                 prices.of(prepared(2), SNAPSHOT))
        assert (await prices.of(prepared(3), SNAPSHOT)).best >= 0
    finally:
        prices.close()


async def test_callers_that_are_gone_are_passed_over() -> None:
    prices = Prices(lambda: True)
    try:
        gone = [asyncio.ensure_future(prices.of(prepared(number), SNAPSHOT)) for number in range(3)]
        await asyncio.sleep(0)
        for one in gone:
            one.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        assert (await prices.of(prepared(5), SNAPSHOT)).best >= 0
    finally:
        prices.close()


def test_what_never_began_closes() -> None:
    Prices(lambda: False).close()
