"""`Adapt`, `AdaptOnce`, `Status` and `ReportOutcome` over a keeper and its journal, without a network: what a gateway
is told, when, and that a restart changes nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import grpc
import pytest
from execution_strategy.v1 import enums_pb2

from engine.records import RecordKind
from service.adapt import AdaptSettings
from service.errors import RpcError
from service.mapping.adaptation import begun_of
from store.journal.port import Head
from store.order_port import OrderBasis
from tests.helpers import world
from tests.helpers.adapt_host import (
    JOURNALED,
    MICS,
    TREND,
    Gateway,
    fill,
    host,
    order_message,
    stream,
)
from tests.helpers.memory_journal import MemoryJournal
from tests.helpers.world import MINUTE_NS


async def test_an_update_is_acknowledged_only_when_it_is_on_disk() -> None:
    journal = MemoryJournal()
    async with host(journal) as service:
        await service.recommend()
        async with stream(service) as gateway:
            journal.is_held = True
            gateway.send(1, **fill("a", 100))
            for _ in range(50):
                await asyncio.sleep(0)
            assert gateway.answers == []
            journal.is_held = False
            journal.sync()
            answer = await gateway.until(1)
    assert answer.acknowledgement == JOURNALED
    assert answer.progress.filled_quantity == 100


async def test_mistakes_are_told_and_the_stream_goes_on() -> None:
    async with host() as service:
        await service.recommend()
        async with stream(service) as gateway:
            gateway.sent.put_nowait(b"\xff\xff")
            gateway.send(1, "unknown", pause={})
            gateway.send(0, pause={})
            gateway.send(1, fill={"execution_id": "a", "quantity": float("nan"), "price": 1})
            gateway.send(1, fill={"execution_id": "a", "quantity": 1e-9, "price": 1})
            gateway.send(1, terminal={"state": enums_pb2.EXECUTION_STATE_CANCELLED})
            await gateway.until(1)
            gateway.send(2, amend={"quantity": 5})
            ended = await gateway.until(2)
    assert "ended" in ended.error
    told = " ".join(answer.error for answer in gateway.answers)
    for words in ("not a ", "no decision for order unknown", "0 only with resume", "fill.quantity", "millionth"):
        assert words in told


async def test_a_slow_reader_gets_the_newest_advice_and_the_gap() -> None:
    async with host() as service:
        await service.recommend()
        async with stream(service) as gateway:
            gateway.is_reading.clear()
            for sequence in range(1, 61):
                gateway.send(sequence, amend={"quantity": 400_000 + 1_000 * sequence})
            for _ in range(3_000):
                await asyncio.sleep(0)
            assert service.desk.metrics.updates == 60
            gateway.is_reading.set()
            await gateway.until(60)
    assert len(gateway.answers) <= 3
    last = gateway.answers[-1]
    assert last.advice_number == last.advices_skipped + 1 + sum(a.advice_number > 0 for a in gateway.answers[:-1])
    assert last.advices_skipped > 30


async def test_thousands_of_orders_share_a_stream() -> None:
    async with host() as service:
        for number in range(100):
            await service.recommend(f"o{number}", 0.0005)
        async with stream(service) as gateway:
            for sequence in range(1, 6):
                for number in range(100):
                    gateway.send(sequence, f"o{number}", **fill(f"f{sequence}", 10))
            for number in range(100):
                assert (await gateway.until(5, f"o{number}")).progress.filled_quantity == 50


async def take_over(old: Gateway, new: Gateway) -> None:
    """The order is one stream's, and then the other one's."""
    old.send(1, **fill("a", 100))
    assert (await old.until(1)).epoch == 1
    new.send(0, resume={"acknowledged_sequence": 1, "epoch": 1, "filled_quantity": 100, "average_price": 1})


async def test_a_newer_stream_fences_the_older_one() -> None:
    async with host() as service:
        await service.recommend()
        async with stream(service) as old, stream(service) as new:
            await take_over(old, new)
            new.send(2, **fill("b", 100))
            assert (await new.until(2)).epoch == 2
            old.send(3, **fill("z", 100))
            assert "resumed elsewhere" in await old.error()
        assert (await service.status()).progress.filled_quantity == 200


async def test_a_stream_that_was_fenced_stays_so_after_the_order_s_end() -> None:
    """Its late fill would take the number of the owner's next one."""
    async with host() as service:
        await service.recommend()
        async with stream(service) as old, stream(service) as new:
            await take_over(old, new)
            new.send(2, terminal={"state": "EXECUTION_STATE_CANCELLED"})
            assert (await new.until(2)).epoch == 2
            for number, name in ((2, "y"), (3, "z")):
                old.send(number, **fill(name, 50))
                assert "resumed elsewhere" in await old.error()
            new.send(3, **fill("b", 100))
            assert (await new.until(3)).epoch == 2
        assert (await service.status()).progress.filled_quantity == 200


async def test_a_restart_in_the_middle_changes_nothing() -> None:
    journal = MemoryJournal()
    async with host(journal) as service:
        await service.recommend()
        async with stream(service) as gateway:
            gateway.send(1, **fill("a", 3_000))
            gateway.send(2, market_context=TREND)
            gateway.send(3, amend={"quantity": 500_000})
            gateway.send(4, **fill("b", 2_500))
            last = await gateway.until(4)
        before = await service.status()
    async with host(journal.reopened()) as service:
        assert await service.status() == before
        async with stream(service) as gateway:
            view = {"acknowledged_sequence": 4, "epoch": last.epoch, "filled_quantity": 5_500, "average_price": 240.0}
            gateway.send(0, resume=view)
            answer = await gateway.until(4)
            assert answer.epoch == last.epoch + 1
            assert answer.progress == last.progress
            assert answer.advice_number == len(before.selections) - 1
            gateway.send(5, **fill("a", 3_000))
            gateway.send(6, **fill("c", 500))
            assert (await gateway.until(6)).progress.filled_quantity == 6_000


async def test_a_service_that_never_saw_the_order_goes_on_from_the_gateways_view() -> None:
    async with host() as service, stream(service) as gateway:
        view = {
            "acknowledged_sequence": 7, "epoch": 3, "filled_quantity": 10_000, "average_price": 240.0,
            "working_quantity": 500, "arrival_mid_price": 240.0, "request": order_message("o", 0.01),
        }  # fmt: skip
        gateway.send(0, resume=view)
        answer = await gateway.until(7)
        assert (answer.epoch, answer.progress.filled_quantity) == (4, 10_000)
        gateway.send(8, **fill("n", 500))
        assert (await gateway.until(8)).progress.filled_quantity == 10_500


async def test_time_alone_brings_advice() -> None:
    """Nothing is filled: the sweep says so without an update."""
    async with host(settings=AdaptSettings(sweep_s=0.01)) as service:
        await service.recommend()
        async with stream(service) as gateway:
            gateway.send(1, working={"quantity": 100})
            await gateway.until(1)
            service.now_ns[0] += 30 * MINUTE_NS
            advice = await gateway.advice()
    assert advice.trigger == enums_pb2.ADAPTATION_TRIGGER_SCHEDULE_SHORTFALL


class FaultyOnce(MemoryJournal):
    """Fails at the first advice as nobody foresaw."""

    has_failed = False

    def append(self, kind: RecordKind, payload: bytes, in_haste: bool = True) -> tuple[int, asyncio.Future[Head]]:
        if kind is RecordKind.ADAPTATION and not self.has_failed:
            self.has_failed = True
            raise RuntimeError("nobody foresaw this")
        return super().append(kind, payload, in_haste)


async def test_what_fails_at_one_order_keeps_no_other_from_being_looked_at() -> None:
    journal = FaultyOnce()
    async with host(journal, AdaptSettings(sweep_s=0.01)) as service:
        for order_id in ("o", "p"):
            await service.recommend(order_id)
        async with stream(service) as gateway:
            for order_id in ("o", "p"):
                gateway.send(1, order_id, working={"quantity": 100})
                await gateway.until(1, order_id)
            service.now_ns[0] += 30 * MINUTE_NS
            advice = await gateway.advice()
    assert journal.has_failed
    assert advice.trigger == enums_pb2.ADAPTATION_TRIGGER_SCHEDULE_SHORTFALL


async def test_streams_are_bounded_and_idle_ones_end() -> None:
    async with host(settings=AdaptSettings(max_streams=1, idle_s=0.05)) as service:
        gateway = Gateway()
        call = asyncio.ensure_future(service.calls.adapt(gateway.messages(), gateway.write))
        await asyncio.sleep(0)
        with pytest.raises(RpcError) as refused:
            await service.calls.adapt(gateway.messages(), gateway.write)
        assert refused.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        with pytest.raises(RpcError) as ended:
            await call
        assert ended.value.code is grpc.StatusCode.UNAVAILABLE
        assert "nothing came" in ended.value.text
        assert service.calls.streams == 0


@pytest.mark.parametrize("turns", range(12))
async def test_nothing_passes_an_update_whose_order_is_being_read(turns: int) -> None:
    """However close to the end of the reading from a slow disk a resume comes: the fill before it is taken first."""
    journal = MemoryJournal()
    async with host(journal) as service:
        await service.recommend()
        journal.may_read.clear()
        journal.is_read.clear()
        async with stream(service) as gateway:
            gateway.send(1, **fill("a", 100))
            await journal.is_read.wait()
            journal.may_read.set()
            for _ in range(turns):
                await asyncio.sleep(0)
            view = {"acknowledged_sequence": 1, "epoch": 1, "filled_quantity": 100, "average_price": 240.0}
            gateway.send(0, resume=view)
            gateway.send(2, **fill("b", 50))
            last = await gateway.until(2)
        assert (last.epoch, last.progress.filled_quantity) == (2, 150)
        assert [a.rationale for a in gateway.answers if a.rationale] == []
        assert [a.error for a in gateway.answers if a.error] == []


async def test_adapt_once() -> None:
    async with host() as service:
        decided = await service.recommend()
        kept = await service.once(**fill("a", 100))
        assert kept == decided
        amended = await service.once(amend={"quantity": 2 * world.lots_of(world.US, 0.01)})
        slices = amended.recommended_strategy.time_allocation.slices
        assert sum(part.quantity for part in slices) == 2 * world.lots_of(world.US, 0.01) - 100
        forced = await service.once(force=True, working={"quantity": 0})
        assert forced.recommended_strategy == amended.recommended_strategy
        assert [line.trigger for line in (await service.status()).selections][-1] == (
            enums_pb2.ADAPTATION_TRIGGER_REQUESTED
        )
        with pytest.raises(RpcError) as gap:
            await service.once(9, pause={})
        assert (gap.value.code, "4 comes next" in gap.value.text) == (grpc.StatusCode.FAILED_PRECONDITION, True)


async def test_a_streams_own_update_counts_beside_one_that_came_without_a_number() -> None:
    """A trader amends by AdaptOnce; the gateway's next fill has the number that the amendment was given."""
    async with host() as service:
        await service.recommend()
        async with stream(service) as gateway:
            gateway.send(1, **fill("a", 100))
            await gateway.until(1)
            await service.once(amend={"quantity": 2 * world.lots_of(world.US, 0.01)})
            gateway.answers.clear()
            gateway.send(2, **fill("b", 200))
            answer = await gateway.until(2)
            assert answer.error == ""
            gateway.send(3, **fill("c", 300))
            last = await gateway.until(3)
        assert last.progress.filled_quantity == 600
        assert (await service.status()).progress.filled_quantity == 600


async def test_the_stream_is_told_of_an_advice_that_adapt_once_brought() -> None:
    async with host() as service:
        await service.recommend()
        async with stream(service) as gateway:
            gateway.send(1, **fill("a", 100))
            await gateway.until(1)
            brought = await service.once(amend={"quantity": 2 * world.lots_of(world.US, 0.01)})
            gateway.answers.clear()
            gateway.send(2, **fill("b", 100))
            told = await gateway.until(2)
            gateway.answers.clear()
            gateway.send(3, **fill("c", 100))
            after = await gateway.until(3)
    assert told.advice_number == 1
    assert told.trigger == enums_pb2.ADAPTATION_TRIGGER_AMENDED
    assert told.response == brought
    assert after.advice_number == 0


async def test_an_advice_of_adapt_once_reaches_a_quiet_stream_by_time_alone() -> None:
    async with host(settings=AdaptSettings(sweep_s=0.05)) as service:
        await service.recommend()
        async with stream(service) as gateway:
            gateway.send(1, **fill("a", 100))
            await gateway.until(1)
            await service.once(amend={"quantity": 2 * world.lots_of(world.US, 0.01)})
            told = await gateway.advice()
    assert (told.advice_number, told.trigger) == (1, enums_pb2.ADAPTATION_TRIGGER_AMENDED)


async def test_limits_that_no_plan_keeps_hold_the_order_back() -> None:
    """The plan in force would trade on venues that are no longer allowed."""
    async with host() as service:
        await service.recommend()
        mics = sorted(MICS)
        async with stream(service) as gateway:
            gateway.send(1, **fill("a", 100))
            await gateway.until(1)
            gateway.send(2, amend={"constraints": {"venue_restrictions": mics}})
            held = await gateway.advice()
            asked = await service.once(force=True, working={"quantity": 0})
            gateway.answers.clear()
            gateway.send(3, amend={"constraints": {"venue_restrictions": mics[:1]}})
            again = await gateway.until(3)
    assert held.action == enums_pb2.ADAPTATION_ACTION_PAUSE
    assert held.cannot_complete
    assert "send nothing" in held.rationale
    assert any("PAUSE, do not follow this plan" in warning for warning in asked.warnings)
    assert again.action in (enums_pb2.ADAPTATION_ACTION_RETUNE, enums_pb2.ADAPTATION_ACTION_SWITCH)


async def test_limits_that_came_while_nothing_was_left_bound_what_another_amendment_adds() -> None:
    async with host() as service:
        decided = await service.recommend()
        quantity = world.lots_of(world.US, 0.01)
        async with stream(service) as gateway:
            gateway.send(1, **fill("all", quantity))
            gateway.send(2, amend={"constraints": {"time_limit_minutes": 5}})
            await gateway.until(2)
            gateway.send(3, amend={"quantity": quantity + 100})
            answer = await gateway.until(3)
    start = decided.recommended_strategy.time_allocation.start_time.ToNanoseconds()
    end = answer.response.recommended_strategy.time_allocation.end_time.ToNanoseconds()
    assert end <= start + 5 * MINUTE_NS


def test_basis_and_opening_agree() -> None:
    basis = OrderBasis("s", "o", "no such instrument", 1, "", "", "", b"", b"")
    assert begun_of(basis, replace(world.usual())) is None
