"""How long an order is told to take, against the simulated market: orders that wait for a price or in a queue."""

from __future__ import annotations

import numpy as np

from benchmarks.judge.service import decided, load_service
from engine.simulator.execute import END_MINUTE
from engine.simulator.world import DEFAULT_WORLD
from training.contexts import Purpose, draw_case, scene_of
from training.grid_runs import grid_inline, run_pairs

WAITING = frozenset({"OPPORTUNISTIC", "PASSIVE_PEG", "ICEBERG"})
FIRST, ORDERS, PAIRS = 700_000, 70, 48


def test_the_last_fill_of_what_waits_comes_about_when_it_is_told_to() -> None:
    """Told minutes over simulated ones, of the choices that wait among 70 orders that nothing else looks at."""
    service = load_service()
    told, planned = [], []
    for index in range(FIRST, FIRST + ORDERS):
        case = draw_case(Purpose.JUDGE, index)
        found, scene = decided(case, service), scene_of(case, service.served)
        if found is None or scene is None or found.decision.chosen.algorithm not in WAITING:
            continue
        runs = run_pairs(scene, DEFAULT_WORLD, np.array([found.chosen]), case.seed(9), PAIRS)
        run = runs.inline if grid_inline()[found.chosen] else runs.plain
        outcomes = found.decision.chosen.outcomes
        if found.decision.chosen.algorithm != "OPPORTUNISTIC":
            assert f"min ({outcomes.time_minutes} expected) to " in found.decision.rationale
        ends = float(run.values[0, :, END_MINUTE].mean())
        told.append(outcomes.time_minutes / ends)
        planned.append(found.decision.schedule.horizon_minutes / ends)
    assert len(told) >= 10
    assert 0.8 <= float(np.median(told)) <= 1.25
    assert float(np.median(planned)) > 1.4, "the end of the plan would say the same"
