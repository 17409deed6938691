"""What a hundred thousand open orders take in memory, by holding them: the keeper's registry and a worker's desk, each
through its own interface in a process of its own. Decided orders would take the service most of an hour on two cores;
here one decision is made, and its record stands for all of them under other ids.

    python -m benchmarks.adapt.load_registry worker|keeper ORDERS

The last line printed is one JSON object.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

from engine.order_life.state import Opening
from engine.order_life.updates import UNITS_PER_SHARE, Fill, Update
from engine.records import RecordKind, SelectionRecord
from engine.snapshot import Snapshot
from service.engine_build import this_build
from service.mapping.adaptation import MappedUpdate
from service.mapping.inputs import InputsEncoder
from service.order_desk import OrderDesk
from service.world import World
from store.controls_port import ControlCallback, ControlView, Unsubscribe
from store.journal.port import Entry
from store.order_port import KeptOrder, OrderBasis, UpdateAnswer, UpdateVerdict
from store.orders import OpenOrders
from store.submission import Acknowledgement, KeeperPort, UpdateCall
from tests.helpers import world
from tests.helpers.memory_orders import MemoryOrders
from tests.helpers.replay_world import decided, message_of

FILLS: Final = 3
WARM: Final = 500


class Nothing:
    """PostgreSQL without a row, and a journal whose disk is at once."""

    def __init__(self) -> None:
        self.entries: list[tuple[RecordKind, bytes]] = []

    def append(self, kind: RecordKind, payload: bytes, _name: str, _in_haste: bool) -> tuple[int, asyncio.Future[Any]]:
        self.entries.append((kind, payload))
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return len(self.entries), done

    def registry(self, capacity: int) -> OpenOrders:
        nothing = MemoryOrders()
        return OpenOrders(self.append, lambda _: True, nothing.basis_of, nothing, capacity)


class Keeper:
    """What a desk asks of the keeper: every order has the same decision, and an update is on disk at once."""

    def __init__(self, basis: OrderBasis, orders: OpenOrders) -> None:
        self._basis = basis
        self._orders = orders

    def watch_controls(self, callback: ControlCallback) -> Unsubscribe:
        """Nothing is halted, and nothing ever will be."""
        callback(ControlView())
        return lambda: None

    async def order(self, order_id: str) -> KeptOrder:
        # Bytes of its own, as from the journal.
        copied = replace(self._basis, order_id=order_id, response=bytes(bytearray(self._basis.response)))
        return KeptOrder(copied)

    async def update(self, call: UpdateCall, _: Acknowledgement) -> UpdateAnswer:
        state = (await told(self._orders, call.order_id, call.opening, call.update)).state
        return UpdateAnswer(UpdateVerdict.APPLIED, state, 0)


async def told(orders: OpenOrders, order_id: str, opening: Opening, update: Update) -> UpdateAnswer:
    return (await orders.update(order_id, update, opening, "0" * 32, 1, ""))[0]


def fill(order_id: str, number: int) -> Update:
    return Update(number, 10**18 + number, Fill(f"{order_id}/{number}", 100 * UNITS_PER_SHARE, 50.0), 0, 50.0, 2.0)


def rss_bytes() -> int:
    gc.collect()
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmRSS")


async def keeper_bytes(count: int, opening: Opening) -> tuple[float, float]:
    """(bytes an order after some fills, seconds of CPU to read all of them back from records)."""
    nothing = Nothing()
    orders = nothing.registry(2 * count)

    async def open_orders(first: int, last: int) -> None:
        for n in range(first, last):
            name = f"order-{n:09d}"
            for number in range(1, FILLS + 1):
                await told(orders, name, replace_id(opening, name), fill(name, number))
            nothing.entries.clear()

    await open_orders(0, WARM)
    before = rss_bytes()
    await open_orders(WARM, WARM + count)
    each = (rss_bytes() - before) / count
    journal = Nothing()
    again = journal.registry(2 * count)
    for n in range(min(count, 10_000)):
        name = f"order-{n:09d}"
        for number in range(1, FILLS + 1):
            await told(again, name, replace_id(opening, name), fill(name, number))
    begun_s = time.process_time()
    read = journal.registry(2 * count)
    read.begin_scan(0)
    for sequence, (kind, payload) in enumerate(journal.entries, start=1):
        read.scanned(Entry(sequence, kind, payload, b""))
    return each, (time.process_time() - begun_s) / len(journal.entries) * FILLS * count


def replace_id(opening: Opening, order_id: str) -> Opening:
    return Opening(
        order_id, opening.instrument_id, opening.side_sign, opening.parent_units, opening.decision_mid_price,
        opening.decided_ns,
    )  # fmt: skip


async def worker_bytes(count: int, basis: OrderBasis) -> float:
    """Of a desk that follows the orders, each with one update."""
    snapshot = _snapshot()
    nothing = Nothing()
    held = nothing.registry(2 * count)
    keeper = Keeper(basis, held)
    desk = OrderDesk(
        World(snapshot), cast(KeeperPort, keeper), _no_recommend, InputsEncoder(this_build().build_id, snapshot),
        clock_ns=lambda: basis.created_at_ns, capacity=2 * count,
    )  # fmt: skip

    async def follow(first: int, last: int) -> None:
        for n in range(first, last):
            name = f"order-{n:09d}"
            mapped = MappedUpdate(name, fill(name, 1), False)
            await desk.take(mapped, Acknowledgement.JOURNALED, 2, "")
            held.begin_scan(0)  # the keeper's own part is measured by itself
            nothing.entries.clear()

    await follow(0, WARM)
    before = rss_bytes()
    await follow(WARM, WARM + count)
    return (rss_bytes() - before) / count


async def _no_recommend(_: bytes) -> bytes:
    raise RuntimeError("no order is new here")


def _snapshot() -> Snapshot:
    """The tests' small world; inputs of a decision hold hashes, so its surfaces need one that looks like one."""
    return replace(world.usual(), surfaces_sha256="5e" * 32)


def one_decision() -> SelectionRecord:
    snapshot, order = _snapshot(), world.order(share=0.01)
    encoder = InputsEncoder(this_build().build_id, snapshot)
    record = decided(message_of(order), snapshot, encoder, order.start_ns)
    if record is None:
        raise RuntimeError("the order was refused")
    return record


async def run(part: str, count: int) -> dict[str, Any]:
    record = one_decision()
    if part == "worker":
        basis = OrderBasis(
            record.selection_id, record.order_id, record.instrument_id, record.created_at_ns, record.strategy_name,
            record.algorithm, record.selection_rationale, record.request, record.response,
        )  # fmt: skip
        return {"worker_bytes_an_order": round(await worker_bytes(count, basis))}
    opening = Opening("o", record.instrument_id, 1, 10**6 * UNITS_PER_SHARE, 50.0, 5)
    keeper, read_s = await keeper_bytes(count, opening)
    return {"keeper_bytes_an_order": round(keeper), "registry_read_cpu_s": round(read_s, 2), "fills_an_order": FILLS}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(sys.argv[1], int(sys.argv[2])))))
