"""`Adapt`, `AdaptOnce`, `Status` and `ReportOutcome` over a keeper and its journal, without a network: what a gateway
is told, when, and that a restart changes nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from execution_strategy.v1 import enums_pb2, status_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from engine.order_life.watch import seen
from engine.records import AdaptationRecord, RecordKind, SelectionRecord
from service.adapt import AdaptSettings
from service.errors import RpcError
from service.mapping.adaptation import begun_of
from service.mapping.advice_inputs import decode_inputs
from service.mapping.replays import ReplayVerdict
from service.reference import sources_of
from service.replay import ReplayImpossible
from store.archive import Archive
from store.order_port import OrderBasis
from store.payload import decode
from store.record_reader import RecordedAdaptation
from tests.helpers import world
from tests.helpers.adapt_host import (
    CALL,
    JOURNALED,
    MICS,
    SNAPSHOT,
    TREND,
    Answer,
    Gateway,
    Host,
    fill,
    host,
    order_message,
    stream,
)
from tests.helpers.memory_journal import MemoryJournal
from tests.helpers.replay_world import Host as Replays
from tests.helpers.replay_world import Records
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


async def test_a_turn_of_the_market_brings_an_advice_that_replays() -> None:
    journal = MemoryJournal()
    async with host(journal) as service:
        decided = await service.recommend()
        service.now_ns[0] += MINUTE_NS
        async with stream(service) as gateway:
            gateway.send(1, market_context=TREND)
            answer = await gateway.until(1)
        (kept,) = [
            record for entry in journal.entries if entry.kind is RecordKind.ADAPTATION
            if isinstance(record := decode(entry.kind, entry.payload), AdaptationRecord)
        ]  # fmt: skip
        order = await service.keeper.order("o")
    assert answer.advice_number == 1
    assert answer.action in (enums_pb2.ADAPTATION_ACTION_SWITCH, enums_pb2.ADAPTATION_ACTION_RETUNE)
    assert answer.expected_gain_bps > 0
    assert kept.response == answer.SerializeToString(deterministic=True)
    assert kept.event is not None
    assert kept.event.kind == "execution_strategy_adapted"
    assert order is not None
    begun = begun_of(order.basis, world.usual())
    assert begun is not None
    inputs = decode_inputs(kept.inputs, begun.request)
    again = seen(inputs.before, inputs.state, inputs.change, world.usual(), inputs.now_ns, inputs.forced)
    assert again.watch == inputs.after
    assert again.advice is not None
    assert again.advice.rationale == kept.rationale
    assert decided.selection_id == kept.selection_id


async def advised(service: Host) -> None:
    """A life with advices of many kinds: switches, schedules made anew, plans that are kept, a part that fits, asked
    for, after a resume, by time alone, and with bars of the gateway's own."""
    decided = await service.recommend()
    mid = decided.resolved_inputs.mid_price

    async def after(minutes: float, **update: Any) -> None:
        service.now_ns[0] += round(minutes * MINUTE_NS)
        await service.once(**update)

    await after(1, **fill("a", 300))
    await after(1, market_context=TREND)
    await after(2, market_context={"spread_bps": 40.0})
    await after(1, amend={"quantity": 2 * world.lots_of(world.US, 0.01)})
    await after(1, amend={"constraints": {"price_limit": mid * 0.99}})
    await after(1, amend={"constraints": {"time_limit_minutes": 20}})
    await after(1, force=True, working={"quantity": 100})
    last = await service.status()
    view = {"acknowledged_sequence": last.acknowledged_sequence, "epoch": 1, "filled_quantity": 300,
            "average_price": 240.0, "working_quantity": 50}  # fmt: skip
    await after(1, sequence=0, force=True, resume=view)
    await after(0, pause={})
    await after(3, unpause={})
    bars = [{"end_time": at(service.now_ns[0] - (30 - n) * MINUTE_NS), "mid_price": mid * (1 + 0.002 * n),
             "volume": 40_000.0, "spread_bps": 3.0} for n in range(31)]  # fmt: skip
    await after(0, market_context={"recent_bars": bars, "mid_price": mid * 1.06})
    service.now_ns[0] += 5 * MINUTE_NS
    await service.desk.look("o", 2, JOURNALED)


def at(instant_ns: int) -> Timestamp:
    found = Timestamp()
    found.FromNanoseconds(instant_ns)
    return found


def on_record(journal: MemoryJournal, records: Records) -> list[RecordedAdaptation]:
    """What PostgreSQL would have of it; the advices."""
    for entry in journal.entries:
        record = decode(entry.kind, entry.payload)
        if isinstance(record, SelectionRecord):
            records.add(record)
        elif isinstance(record, AdaptationRecord):
            records.adaptations[record.adaptation_id] = RecordedAdaptation(
                record.adaptation_id, record.order_id, record.selection_id, record.advice_number,
                record.created_at_ns, record.response, record.inputs,
            )  # fmt: skip
    return list(records.adaptations.values())


async def test_every_advice_replays_from_its_record(tmp_path: Path) -> None:
    """Another process, that lives with the world of today: all that it has is the record."""
    journal = MemoryJournal()
    async with host(journal) as service:
        await advised(service)
    records = Records()
    found = on_record(journal, records)
    assert len(found) >= 9
    today = replace(SNAPSHOT, limits=replace(SNAPSHOT.limits, max_participation_rate=0.01))
    replays = Replays(Archive(tmp_path), records, today)
    for packed in sources_of(SNAPSHOT, replays.build).packed:
        replays.archive.keep_reference(packed)
    replayer = replays.replayer()
    for record in found:
        verdict = await replayer.replay(record.adaptation_id)
        assert (verdict.verdict, verdict.differences) == (ReplayVerdict.IDENTICAL, ()), record.advice_number
        assert verdict.replayed == record.response
    kinds = {Answer.FromString(record.response).action for record in found}
    assert len(kinds) >= 3
    replayer.close()


async def test_an_advice_whose_record_was_changed_is_told(tmp_path: Path) -> None:
    journal = MemoryJournal()
    async with host(journal) as service:
        await service.recommend()
        service.now_ns[0] += MINUTE_NS
        await service.once(market_context=TREND)
    records = Records()
    (record,) = on_record(journal, records)
    replays = Replays(Archive(tmp_path), records, SNAPSHOT)
    replayer = replays.replayer()
    with pytest.raises(ReplayImpossible, match="neither in the archive"):
        await replayer.replay(record.adaptation_id)
    for packed in sources_of(SNAPSHOT, replays.build).packed:
        replays.archive.keep_reference(packed)
    changed = Answer.FromString(record.response)
    changed.expected_gain_bps += 0.5
    records.adaptations[record.adaptation_id] = replace(record, response=changed.SerializeToString(deterministic=True))
    verdict = await replayer.replay(record.adaptation_id)
    assert verdict.verdict is ReplayVerdict.DIFFERENT
    assert [difference.field for difference in verdict.differences] == ["expected_gain_bps"]
    for inputs, words in ((b"", "without its inputs"), (b"junk", "damaged")):
        records.adaptations[record.adaptation_id] = replace(record, inputs=inputs)
        with pytest.raises(ReplayImpossible, match=words):
            await replayer.replay(record.adaptation_id)
    records.adaptations[record.adaptation_id] = replace(record, selection_id="")
    with pytest.raises(ReplayImpossible, match="began with"):
        await replayer.replay(record.adaptation_id)
    replayer.close()


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


async def test_a_newer_stream_fences_the_older_one() -> None:
    async with host() as service:
        await service.recommend()
        async with stream(service) as old, stream(service) as new:
            old.send(1, **fill("a", 100))
            assert (await old.until(1)).epoch == 1
            new.send(0, resume={"acknowledged_sequence": 1, "epoch": 1, "filled_quantity": 100, "average_price": 1})
            new.send(2, **fill("b", 100))
            assert (await new.until(2)).epoch == 2
            old.send(3, **fill("z", 100))
            assert "resumed elsewhere" in await old.error()
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


async def test_the_cost_so_far_sums_to_its_parts() -> None:
    async with host() as service:
        decided = await service.recommend()
        mid, quantity = decided.resolved_inputs.mid_price, world.lots_of(world.US, 0.01)
        async with stream(service) as gateway:
            gateway.send(1, market_context={"mid_price": mid * 1.001})
            gateway.send(2, fill={"execution_id": "a", "quantity": quantity / 5, "price": mid * 1.0015, "fee": 2.0})
            gateway.send(3, market_context={"mid_price": mid * 1.002})
            await gateway.until(3)
        cost = (await service.status()).cost_so_far
    assert cost.delay_bps == pytest.approx(2.0)
    assert cost.spread_bps == pytest.approx(1.0)
    assert cost.opportunity_bps == pytest.approx(16.0)
    assert cost.fees_bps == pytest.approx(2.0 / quantity / mid * 1e4)
    parts = (cost.delay_bps, cost.impact_bps, cost.timing_bps, cost.spread_bps, cost.opportunity_bps, cost.fees_bps)
    assert sum(parts) == pytest.approx(cost.total_bps)
    assert cost.impact_bps == pytest.approx(decided.expected_outcomes.market_impact * 1e4 / 5)


async def test_an_outcome_is_written_once() -> None:
    async with host() as service:
        decided = await service.recommend()

        async def report(cost: float, order_id: str = "o") -> status_pb2.ReportOutcomeResponse:
            outcome = {"cost": cost, "time_minutes": 30, "filled_quantity": 10, "average_price": 240.0}
            message = status_pb2.ReportOutcomeRequest(order_id=order_id, actual_outcomes=outcome)
            data = await service.outcomes.report(message.SerializeToString(), CALL)
            return status_pb2.ReportOutcomeResponse.FromString(data)

        expected = decided.expected_outcomes
        first = await report(expected.estimated_cost - expected.cost_standard_deviation)
        assert first.performance_score == pytest.approx(0.841345, abs=1e-5)
        assert await report(expected.estimated_cost - expected.cost_standard_deviation) == first
        with pytest.raises(RpcError) as other:
            await report(0.2)
        assert other.value.code is grpc.StatusCode.ALREADY_EXISTS
        with pytest.raises(RpcError) as unknown:
            await report(0.2, "nobody")
        assert unknown.value.code is grpc.StatusCode.NOT_FOUND


async def test_an_outcome_is_of_the_whole_order() -> None:
    """Named by its decision, in capitals too; an advice, which Status lists as a selection, is refused in words."""
    async with host() as service:
        decided = await service.recommend()
        service.now_ns[0] += MINUTE_NS
        await service.once(market_context=TREND)
        first, advice = (await service.status()).selections
        assert first.selection_id == decided.selection_id

        async def report(selection_id: str) -> status_pb2.ReportOutcomeResponse:
            outcome = {"cost": 0.001, "time_minutes": 30, "filled_quantity": 10, "average_price": 240.0}
            message = status_pb2.ReportOutcomeRequest(
                order_id="o", selection_id=selection_id, actual_outcomes=outcome
            )
            data = await service.outcomes.report(message.SerializeToString(), CALL)
            return status_pb2.ReportOutcomeResponse.FromString(data)

        for name in (advice.selection_id, advice.selection_id.upper()):
            with pytest.raises(RpcError, match=rf"is an advice; .* decision {decided.selection_id}") as refused:
                await report(name)
            assert refused.value.code is grpc.StatusCode.NOT_FOUND
        with pytest.raises(RpcError, match="has no selection"):
            await report("5f3c1f5e-0000-4000-8000-000000000000")
        found = await report(decided.selection_id.upper())
        assert found.selection_id == decided.selection_id
        assert await report("") == await report(decided.selection_id) == found


def test_basis_and_opening_agree() -> None:
    basis = OrderBasis("s", "o", "no such instrument", 1, "", "", "", b"", b"")
    assert begun_of(basis, replace(world.usual())) is None
