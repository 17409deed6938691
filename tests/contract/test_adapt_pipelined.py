"""Updates that follow each other before the one in front is on the disk, and what is told of each: its own words, the
market as it was said before it, and no advice twice."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from engine.records import AdaptationRecord, RecordKind
from service.handlers import Stages
from store.payload import decode
from store.submission import Acknowledgement
from tests.helpers import world
from tests.helpers.adapt_host import CALL, TREND, Answer, Gateway, Host, fill, host, order_message, stream
from tests.helpers.memory_journal import MemoryJournal
from tests.helpers.world import MINUTE_NS

DOUBLE = 2 * world.lots_of(world.US, 0.01)
AMENDED = "quantity or constraints were amended"


def amend(shares: float) -> dict[str, Any]:
    return {"amend": {"quantity": shares}}


def snapshot_says(service: Host, mid_price: float, as_of_ns: int) -> None:
    market = service.world.snapshot.views[world.US].market
    service.world.market_changed(world.US, replace(market, mid_price=mid_price, as_of_ns=as_of_ns))
    service.world.swap()


async def advised(service: Host, gateway: Gateway) -> Answer:
    """The order with a fill and one advice, told."""
    await service.recommend()
    gateway.send(1, **fill("a", 100))
    gateway.send(2, market_context=TREND)
    return await gateway.advice()


async def ordered(service: Host) -> tuple[float, float]:
    """(mid, shares) of an order that is decided."""
    decided = await service.recommend()
    return decided.resolved_inputs.mid_price, world.lots_of(world.US, 0.01)


def records(journal: MemoryJournal) -> list[AdaptationRecord]:
    found = [decode(entry.kind, entry.payload) for entry in journal.entries if entry.kind is RecordKind.ADAPTATION]
    return [record for record in found if isinstance(record, AdaptationRecord)]


async def test_an_update_behind_an_advice_on_its_way_is_not_told_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An amendment's advice is slow to be recorded; a fill and another amendment come behind it."""
    journal, may_record = MemoryJournal(), asyncio.Event()
    may_record.set()
    async with host(journal) as service:
        advise = service.keeper.advise

        async def slowly(record: AdaptationRecord, acknowledgement: Acknowledgement) -> bool:
            is_first = await advise(record, acknowledgement)
            await may_record.wait()
            return is_first

        monkeypatch.setattr(service.keeper, "advise", slowly)
        async with stream(service) as gateway:
            await advised(service, gateway)
            gateway.answers.clear()
            may_record.clear()
            gateway.send(3, **amend(DOUBLE))
            gateway.send(4, **fill("b", 100))
            gateway.send(5, **amend(DOUBLE + 100))
            await gateway.until(4)
            may_record.set()
            await gateway.until(5)
            await gateway.advice()
        told = [answer.advice_number for answer in gateway.answers if answer.advice_number]
    assert told == [2, 3]
    first, second, third = records(journal)
    assert first.rationale not in second.rationale + third.rationale
    assert third.rationale.count(AMENDED) == 1


async def test_an_advice_beside_one_that_is_told_again_has_words_of_its_own() -> None:
    """AdaptOnce brings an advice, and the stream's next update another."""
    journal = MemoryJournal()
    async with host(journal) as service, stream(service) as gateway:
        await service.recommend()
        gateway.send(1, **fill("a", 100))
        await gateway.until(1)
        await service.once(**amend(DOUBLE))
        gateway.send(3, **amend(DOUBLE + 100))
        answer = await gateway.until(3)
        status = await service.status()
    assert answer.advice_number == 2
    assert answer.rationale.count(AMENDED) == 1
    assert [line.rationale.count(AMENDED) for line in status.selections] == [0, 1, 1]
    assert [record.rationale for record in records(journal)] == [line.rationale for line in status.selections[1:]]


@pytest.mark.parametrize("behind", [True, False])
async def test_a_fill_right_behind_market_data_is_measured_against_it(behind: bool) -> None:
    """However soon after it the fill comes."""
    async with host() as service:
        mid, quantity = await ordered(service)
        async with stream(service) as gateway:
            gateway.send(1, market_context={"mid_price": mid})
            await gateway.until(1)
            gateway.send(2, market_context={"mid_price": mid * 1.002})
            if not behind:
                await gateway.until(2)
            gateway.send(3, **fill("a", quantity / 5, mid * 1.002))
            await gateway.until(3)
        cost = (await service.status()).cost_so_far
    assert cost.spread_bps == pytest.approx(0.0, abs=1e-9)
    assert cost.opportunity_bps == pytest.approx(16.0)


async def test_an_older_snapshot_does_not_take_the_place_of_market_data_on_its_way() -> None:
    """The snapshot is newer than what is recorded of the gateway's word, and older than what it has just said."""
    async with host() as service:
        mid, quantity = await ordered(service)
        async with stream(service) as gateway:
            gateway.send(1, market_context={"mid_price": mid})
            await gateway.until(1)
            snapshot_says(service, mid * 1.01, service.now_ns[0] + 1)
            service.now_ns[0] += 2
            gateway.send(2, market_context={"mid_price": mid * 1.002})
            gateway.send(3, **fill("a", quantity / 5, mid * 1.002))
            await gateway.until(3)
            service.now_ns[0] += 3_600_000_000_000  # the snapshot has become old
        cost = (await service.status()).cost_so_far
    assert cost.spread_bps == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(("age_ns", "opportunity_bps"), [(1, 80.0), (-1, 16.0)])
async def test_the_newest_mid_is_whosever_is_newer(age_ns: int, opportunity_bps: float) -> None:
    """A snapshot of some seconds ago does not take the place of what the gateway has said since."""
    async with host() as service:
        mid, quantity = await ordered(service)
        async with stream(service) as gateway:
            gateway.send(1, market_context={"mid_price": mid})
            gateway.send(2, **fill("a", quantity / 5, mid))
            service.now_ns[0] += MINUTE_NS
            gateway.send(3, market_context={"mid_price": mid * 1.002})
            await gateway.until(3)
            snapshot_says(service, mid * 1.01, service.now_ns[0] + age_ns)
            service.now_ns[0] += 1
            cost = (await service.status()).cost_so_far
    assert cost.opportunity_bps == pytest.approx(opportunity_bps)


async def test_a_spread_alone_does_not_make_the_mid_before_it_a_newer_one() -> None:
    async with host() as service:
        mid, quantity = await ordered(service)
        async with stream(service) as gateway:
            gateway.send(1, market_context={"mid_price": mid})
            await gateway.until(1)
            snapshot_says(service, mid * 1.01, service.now_ns[0] + 1)
            service.now_ns[0] += MINUTE_NS
            gateway.send(2, market_context={"spread_bps": 2.0})
            await gateway.until(2)
            gateway.send(3, **fill("a", quantity / 5, mid * 1.01))
            await gateway.until(3)
            cost = (await service.status()).cost_so_far
    assert cost.spread_bps == pytest.approx(0.0, abs=1e-9)
    assert cost.opportunity_bps == pytest.approx(80.0)


async def test_a_snapshot_from_before_the_request_does_not_take_the_place_of_its_mid() -> None:
    async with host() as service:
        request, mid = order_message("o", 0.01), 240.0
        request.market_context.mid_price = mid
        snapshot_says(service, mid * 1.01, service.now_ns[0] - MINUTE_NS)
        await service.handlers.recommend(request.SerializeToString(), CALL, Stages())
        async with stream(service) as gateway:
            gateway.send(1, **fill("a", request.quantity / 5, mid))
            await gateway.until(1)
        cost = (await service.status()).cost_so_far
    assert (cost.delay_bps, cost.spread_bps, cost.opportunity_bps) == pytest.approx((0.0, 0.0, 0.0))


async def test_what_differs_is_told_beside_the_advice_that_a_resume_gets_again() -> None:
    async with host() as service, stream(service) as gateway:
        advice = await advised(service, gateway)
        gateway.answers.clear()
        view = {"acknowledged_sequence": 2, "epoch": 1, "filled_quantity": 300, "average_price": 240.0}
        gateway.send(0, resume=view)
        again = await gateway.until(2)
    assert again.advice_number == advice.advice_number
    assert "its figures were taken over" in again.rationale
    assert advice.rationale in again.rationale
    assert again.progress.filled_quantity == 300
