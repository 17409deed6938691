"""`Adapt` where nobody waits for the disk: answered at once, and otherwise as where somebody does."""

from __future__ import annotations

import asyncio

from execution_strategy.v1 import enums_pb2

from engine.records import RecordKind
from service.adapt import Adaptations, AdaptSettings
from store.submission import Acknowledgement
from tests.helpers.adapt_host import TREND, Host, fill, host, stream
from tests.helpers.memory_journal import MemoryJournal

BUFFERED = enums_pb2.ACKNOWLEDGEMENT_CLASS_BUFFERED


def buffered(service: Host) -> Host:
    service.calls = Adaptations(service.desk, Acknowledgement.BUFFERED, BUFFERED, service.clock_ns, AdaptSettings())
    return service


async def test_an_update_is_answered_while_the_disk_is_busy_and_is_in_its_line() -> None:
    journal = MemoryJournal()
    async with host(journal) as service:
        await service.recommend()
        async with stream(buffered(service)) as gateway:
            gateway.send(1, **fill("a", 100))  # is read first: nobody followed the order here
            await gateway.until(1)
            journal.is_held = True
            gateway.send(2, **fill("b", 50))
            gateway.send(2, **fill("b", 50))
            gateway.send(4, **fill("d", 1))  # ahead: waits for 3
            gateway.send(3, **fill("c", 25))
            last = await gateway.until(4)
            assert last.acknowledgement == BUFFERED
            assert last.progress.filled_quantity == 176
            journal.is_held = False
            journal.sync()
    assert sum(entry.kind is RecordKind.UPDATE for entry in journal.entries) == 4


async def test_a_slow_reader_gets_the_newest_and_an_advice_is_on_the_disk_before_it_is_told() -> None:
    journal = MemoryJournal()
    async with host(journal) as service:
        await service.recommend()
        async with stream(buffered(service)) as gateway:
            gateway.send(1, working={"quantity": 10})
            await gateway.until(1)
            gateway.is_reading.clear()
            for number in range(2, 40):
                gateway.send(number, working={"quantity": number})
            gateway.send(40, market_context=TREND)
            for _ in range(300):
                await asyncio.sleep(0)
            gateway.is_reading.set()
            advice = await gateway.advice()
            assert len(gateway.answers) <= 4
            assert advice.advice_number == 1
            assert advice.acknowledged_sequence == 40
    assert any(entry.kind is RecordKind.ADAPTATION for entry in journal.entries)


async def test_what_cannot_be_taken_is_told_and_the_stream_goes_on() -> None:
    async with host() as service:
        await service.recommend()
        async with stream(buffered(service)) as gateway:
            gateway.send(1, order_id="nobody", working={"quantity": 1})
            assert "nobody" in await gateway.error()
            gateway.send(1, working={"quantity": 1})
            assert (await gateway.until(1)).error == ""
            gateway.send(2, terminal={"state": enums_pb2.EXECUTION_STATE_CANCELLED})
            await gateway.until(2)
            gateway.send(3, working={"quantity": 1})
            refused = await gateway.until(3)
            assert "ended" in refused.error
