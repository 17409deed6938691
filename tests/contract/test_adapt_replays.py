"""Advices of `Adapt` replay from their records, and a record that was changed is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from execution_strategy.v1 import enums_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from engine.order_life.watch import seen
from engine.records import AdaptationRecord, RecordKind, SelectionRecord
from service.mapping.adaptation import begun_of
from service.mapping.advice_inputs import decode_inputs
from service.mapping.replays import ReplayVerdict
from service.reference import sources_of
from service.replay import ReplayImpossible
from store.archive import Archive
from store.payload import decode
from store.record_reader import RecordedAdaptation
from tests.helpers import world
from tests.helpers.adapt_host import (
    JOURNALED,
    SNAPSHOT,
    TREND,
    Answer,
    Host,
    fill,
    host,
    stream,
)
from tests.helpers.memory_journal import MemoryJournal
from tests.helpers.replay_world import Host as Replays
from tests.helpers.replay_world import Records
from tests.helpers.world import MINUTE_NS


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
