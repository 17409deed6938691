"""The relay's way to NATS through a proxy that misbehaves: late, cut, silent. Nothing is lost, orders stay in order."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import Eventually
from tests.contract.test_relay_nats import STREAM, check_all_and_in_order, orders, published, relaying
from tests.fault.proxy import PASS, FaultProxy, Faults
from tests.helpers.nats_server import nats_server, received
from tests.helpers.outbox import write

EACH, BATCH = 30, 300


@pytest.mark.parametrize("faults", [
    pytest.param(Faults(delay_up_s=0.05, delay_down_s=0.05), id="late"),
    pytest.param(Faults(refuses=True), id="refused"),
    pytest.param(Faults(half_open=True), id="half-open"),
    pytest.param(Faults(stalls=True), id="stalled"),
])  # fmt: skip
async def test_a_broken_way_to_nats_loses_nothing(
    database: str, short_tmp: Path, eventually: Eventually, faults: Faults
) -> None:
    events = orders(count=2 * BATCH // EACH, each=EACH)
    with nats_server(short_tmp / "nats") as server:
        address = urlsplit(server.url)
        async with FaultProxy((str(address.hostname), int(address.port or 0))) as proxy:
            url = f"nats://127.0.0.1:{proxy.port}"
            async with relaying(database, url, acknowledge_within_s=0.5) as relay:
                write(database, "journal-1", events[:BATCH])
                await eventually(published(relay, BATCH // 2))
                proxy.set(faults)
                if faults.refuses or faults.half_open:
                    proxy.cut()  # what is connected already would go on
                write(database, "journal-1", events[BATCH:])
                await asyncio.sleep(0.3)  # the fault lasts so long, whatever it stops
                proxy.set(PASS)
                if faults.half_open:
                    proxy.cut()  # a peer that met it stays dead until somebody notices
                await eventually(published(relay, len(events)), 30.0)
        check_all_and_in_order(events, await received(server.url, STREAM, len(events)))
