"""Orders of all kinds, and what a gateway would be told of each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from engine.decision import Decision, Refusal
from engine.request import OrderRequest
from engine.snapshot import Snapshot
from engine.values import Objective, Side
from service.mapping.requests import map_request
from service.mapping.responses import Naming, response_of
from tests.helpers.replay_world import random_messages

ORDERS = 250


def program(rng: np.random.Generator, snapshot: Snapshot, orders: int = ORDERS) -> list[OrderRequest]:
    """Orders of all kinds, and to each some that share what can be shared with it."""
    found: list[OrderRequest] = []
    for message, _, now_ns in random_messages(rng, snapshot, orders):
        mapped = map_request(message, snapshot, now_ns)
        if isinstance(mapped, list):
            continue
        order = mapped.order
        lot = snapshot.views[order.instrument_id].instrument.lot_size_shares
        found += [
            order, replace(order, order_id=f"{order.order_id}-half", quantity_shares=lot * int(rng.integers(1, 900))),
            replace(order, order_id=f"{order.order_id}-other", side=Side.SELL, objective=Objective.MINIMIZE_RISK),
            replace(order, order_id=f"{order.order_id}-odd", quantity_shares=lot * 1.5),
        ]  # fmt: skip
    return found


def answer(found: Decision | Refusal, snapshot: Snapshot) -> bytes | str:
    """All that a gateway would be told, to the bit."""
    if isinstance(found, Refusal):
        return repr(found)
    message = response_of(found, Naming(snapshot.directory, snapshot.venue_names), "", 1, 1)
    return message.SerializeToString(deterministic=True)
