"""What an update leaves behind in memory: the digest of an execution id and nothing else, however many come."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Callable

import pytest

from benchmarks.adapt.load_registry import Nothing, fill, told
from engine.order_life.state import Opening
from engine.order_life.updates import UNITS_PER_SHARE, Market, Update, Working
from engine.records import AdaptationRecord
from engine.request import Context
from store.orders import MOST_ADVICES

ORDERS = 60
WARM = 8
ROUNDS = 60
# Of a digest, with what the run that holds it costs.
DIGEST_BYTES = 16
MOST_BYTES_A_FILL = 2 * DIGEST_BYTES
# Numbers that grow take a few bytes more; an object kept by update would take fifty at least.
MOST_BYTES_OTHERWISE = 6.0


def market(_: str, number: int) -> Update:
    context = Context(mid_price=50.0 + 1e-3 * number, spread_bps=2.0 + 1e-3 * number)
    return Update(number, 10**18 + number, Market(context), 0, 50.0, 2.0)


def working(_: str, number: int) -> Update:
    return Update(number, 10**18 + number, Working((1 + number % 7) * 100 * UNITS_PER_SHARE), 0, 50.0, 2.0)


async def bytes_an_update(update: Callable[[str, int], Update]) -> float:
    """Of the keeper's registry, from the WARM-th update of each order on; the journal's own bytes are let go."""
    nothing = Nothing()
    orders = nothing.registry(2 * ORDERS)

    async def rounds(first: int, last: int) -> None:
        for number in range(first, last):
            for n in range(ORDERS):
                name = f"order-{n}"
                opening = Opening(name, "US0378331005", 1, 10**6 * UNITS_PER_SHARE, 50.0, 5)
                await told(orders, name, opening, update(name, number))
            nothing.entries.clear()

    await rounds(1, WARM)
    gc.collect()
    tracemalloc.start()
    try:
        await rounds(WARM, 2 * WARM)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        await rounds(2 * WARM, 2 * WARM + ROUNDS)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return (after - before) / (ORDERS * ROUNDS)


def test_a_fill_leaves_its_digest() -> None:
    found = asyncio.run(bytes_an_update(fill))
    assert DIGEST_BYTES * 0.9 <= found <= MOST_BYTES_A_FILL


@pytest.mark.parametrize("update", [market, working])
def test_other_updates_leave_nothing(update: Callable[[str, int], Update]) -> None:
    assert asyncio.run(bytes_an_update(update)) <= MOST_BYTES_OTHERWISE


async def bytes_of_advices(many: int) -> int:
    """What so many more advices of one order leave, beyond the MOST_ADVICES that are kept at hand."""
    nothing = Nothing()
    orders = nothing.registry(2)
    opening = Opening("order", "US0378331005", 1, 10**6 * UNITS_PER_SHARE, 50.0, 5)
    await told(orders, "order", opening, fill("order", 1))

    def advise(first: int, last: int) -> None:
        for number in range(first, last):
            record = AdaptationRecord(
                f"advice-{number:06d}", "order", "selection", number, number, "SWITCH", "LIQUIDITY",
                f"because of {number:06d}", 1.0, bytes(bytearray(10_000)), bytes(bytearray(10_000)),
            )  # fmt: skip
            assert orders.advise(record, b"") is not None
        nothing.entries.clear()

    advise(1, 2 * MOST_ADVICES)
    gc.collect()
    tracemalloc.start()
    try:
        advise(2 * MOST_ADVICES, 4 * MOST_ADVICES)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        advise(4 * MOST_ADVICES, 4 * MOST_ADVICES + many)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def test_advices_of_an_order_are_bounded() -> None:
    """One response is ten thousand bytes: not even one of the two hundred may stay beyond those at hand."""
    assert asyncio.run(bytes_of_advices(200)) < 10_000
