"""Many orders in one pass are decided as each alone: to the bit, with and without models, corrections and trials."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.decide import decide
from engine.decide_many import Sharing, decide_all
from engine.decision import Decision
from engine.priced import Prepared
from service.warmup import toy_learned
from tests.helpers import world
from tests.helpers.order_programs import answer, program
from tests.helpers.replay_world import artifacts_in, snapshot_of, with_bars


@pytest.mark.parametrize(("learned", "corrected"), [(True, False), (True, True), (False, False)])
def test_an_order_among_others_is_decided_as_alone(tmp_path: Path, learned: bool, corrected: bool) -> None:
    rng = np.random.default_rng(11)
    snapshot = snapshot_of(artifacts_in(tmp_path), learned)
    for name in list(snapshot.views)[:2]:
        snapshot = with_bars(snapshot, name, rng, world.at(name, 30.0), 60)
    if corrected:
        snapshot = replace(snapshot, learned=toy_learned())
    orders = program(rng, snapshot)
    orders = [orders[place] for place in rng.permutation(len(orders))]
    seen: Counter[str] = Counter()
    for begin in range(0, len(orders), 90):
        part = orders[begin : begin + 90]
        for order, found in zip(part, decide_all(part, snapshot), strict=True):
            assert answer(found, snapshot) == answer(decide(order, snapshot), snapshot)
            seen["decided" if isinstance(found, Decision) else "refused"] += 1
            if isinstance(found, Decision):
                seen["structural"] += found.structural_only
                seen["carried over"] += any("carried over" in text for text in found.warnings)
                seen["explored"] += found.learning.explored
    assert seen["decided"] > 300
    assert seen["refused"] > 100
    assert seen["carried over"] > 5
    assert seen["structural"] == seen["decided"] if not learned else seen["structural"] > 5
    assert (seen["explored"] > 0) == corrected


def test_orders_alike_share_what_was_worked_out() -> None:
    snapshot = world.usual()
    order, sharing = world.order(), Sharing(snapshot)
    first, second = sharing.prepare(order), sharing.prepare(replace(order, order_id="another", quantity_shares=100.0))
    assert isinstance(first, Prepared)
    assert isinstance(second, Prepared)
    assert first.resolved.inputs is second.resolved.inputs
    assert second.resolved.request.order_id == "another"
    assert first.context is not second.context, "pricing completes it"
    third = sharing.prepare(replace(order, start_ns=order.start_ns + 1))
    assert isinstance(third, Prepared)
    assert third.resolved.inputs is not first.resolved.inputs
