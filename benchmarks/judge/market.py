"""Figures of the simulated market itself: its impact law, its speed, and whether round trips pay."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.judge.figures import rounded
from benchmarks.judge.service import load_service
from engine.catalogue import candidate_set
from engine.simulator.execute import END_MINUTE, SIGMA_PART, execute
from engine.simulator.market import simulate_market
from engine.simulator.orders import SimulatedOrder
from engine.simulator.policies import policies_of, template_of
from engine.simulator.world import DEFAULT_WORLD
from training.contexts import Purpose, draw_case, scene_of
from training.simulator import round_trips
from training.simulator.estimates import looks_at_mid

Array = NDArray[np.float64]

IMPACT_FILE = Path(__file__).resolve().parents[2] / "store" / "seed" / "impact.json"
SIZES = np.geomspace(0.001, 0.20, 9)
PARTICIPATION = 0.10
SESSION_MINUTES = 390
IMPACT_PAIRS = 400
BOOTSTRAPS = 500
SPEED_CASES, SPEED_PAIRS = 24, 64


def even_order(size_days: float, minutes: int, turnover_factor: float) -> SimulatedOrder:
    """An order over even volume in ordinary conditions; longer than a day it meets another like it."""
    plain = round_trips.flat_order(minutes)
    return replace(
        plain, size_days=size_days, weights=np.eye(6)[0], turnover_factor=turnover_factor, max_participation=1.0
    )


def usual_turnover_factor() -> float:
    """Median over drawn orders."""
    base = load_service().served
    scenes = [scene_of(draw_case(Purpose.JUDGE, index), base) for index in range(120)]
    return float(np.median([scene.order.turnover_factor for scene in scenes if scene is not None]))


@dataclass(frozen=True, slots=True)
class Law:
    """Cost over volatility by size: (sizes, paths) without permanent impact, and (sizes,) permanent impact."""

    own: Array
    permanent: Array

    def exponents(self, with_permanent: bool) -> tuple[float, float, float]:
        """(exponent, lower, upper): a straight line through the logarithms, paths resampled."""
        added = self.permanent if with_permanent else 0.0 * self.permanent
        slope = slope_of(self.own.mean(axis=1) + added)
        rng = np.random.default_rng(1)
        paths = self.own.shape[1]
        drawn = [
            slope_of(self.own[:, rng.integers(0, paths, paths)].mean(axis=1) + added) for _ in range(BOOTSTRAPS)
        ]
        lower, upper = np.quantile(drawn, (0.025, 0.975))
        return slope, float(lower), float(upper)


def slope_of(costs: Array) -> float:
    return float(np.polyfit(np.log(SIZES), np.log(costs), 1)[0])


def served_index(name: str, parameter: str, value: float) -> int:
    """The candidate of an algorithm whose parameter is this, the longest or fastest one at least."""
    own = [
        (abs(c.parameters[parameter] - value), n)
        for n, c in enumerate(candidate_set().candidates) if c.spec.name == name
    ]
    return min(own)[1]


def law(name: str, turnover_factor: float, pairs: int) -> Law:
    """`fixed participation`: a POV at 10 %, with time to finish; `fixed horizon`: a TWAP over a whole session."""
    template = template_of(candidate_set())
    pov = served_index("POV", "participation_rate", PARTICIPATION)
    twap = served_index("TWAP", "duration_minutes", float(SESSION_MINUTES))
    costs, permanent = [], []
    for size in SIZES:
        minutes = SESSION_MINUTES
        if name == "fixed participation":
            # Three times the expected time: nothing is left to be swept.
            minutes = max(30, round(3.0 * size / PARTICIPATION * SESSION_MINUTES))
        order = even_order(float(size), minutes, turnover_factor)
        paths = simulate_market(order, DEFAULT_WORLD, (20261122, 9), pairs)
        chosen = np.array([pov if name == "fixed participation" else twap])
        run = execute(order, DEFAULT_WORLD, paths, policies_of(template, order, chosen))
        costs.append(run.values[0, :, SIGMA_PART].astype(np.float64))
        permanent.append(order.permanent_per_sigma)
    return Law(np.array(costs), np.array(permanent))


def impact_figures(short: bool) -> dict[str, Any]:
    """The exponents, beside the one fitted to the real orders of 2007."""
    turnover = usual_turnover_factor()
    measured = json.loads(IMPACT_FILE.read_text())["impact_2007"]["arrival_to_close"]
    found: dict[str, Any] = {
        "impact_exponent_2007": measured["exponent"], "impact_exponent_2007_interval": measured["exponent_interval95"],
        "impact_turnover_factor": rounded(turnover, 3),
    }
    for name, key in (("fixed participation", "impact_exponent"), ("fixed horizon", "impact_exponent_fixed_horizon")):
        own = law(name, turnover, IMPACT_PAIRS // (4 if short else 1))
        for with_permanent, suffix in ((True, ""), (False, "_without_permanent")):
            slope, lower, upper = own.exponents(with_permanent)
            found[f"{key}{suffix}"] = rounded(slope)
            found[f"{key}{suffix}_interval"] = [rounded(lower), rounded(upper)]
        total = own.own.mean(axis=1) + own.permanent
        found[f"{key}_curve"] = [
            [rounded(float(size), 5), rounded(float(cost), 5)] for size, cost in zip(SIZES, total, strict=True)
        ]
    return found


def speed_figures() -> dict[str, Any]:
    """Path-steps a second on one core: every served candidate on common paths, the market's own drawing beside it."""
    template, base = template_of(candidate_set()), load_service().served
    every = np.flatnonzero(~looks_at_mid(candidate_set()))
    steps, running, drawing = 0.0, 0.0, 0.0
    for index in range(SPEED_CASES + 1):
        scene = scene_of(draw_case(Purpose.TRAIN, index), base)
        if scene is None:
            continue
        begun = time.perf_counter()
        paths = simulate_market(scene.order, DEFAULT_WORLD, index, SPEED_PAIRS)
        drawn = time.perf_counter()
        run = execute(scene.order, DEFAULT_WORLD, paths, policies_of(template, scene.order, every))
        if index > 0:  # the first one may compile
            drawing += drawn - begun
            running += time.perf_counter() - drawn
            steps += float(run.values[:, :, END_MINUTE].sum())
    return {
        "simulator_steps_per_second": round(steps / running),
        "simulator_steps_per_second_with_drawing": round(steps / (running + drawing)),
    }


def trip_figures(short: bool) -> dict[str, Any]:
    """The best round trips that an optimiser finds, in shares of both legs' own cost."""
    found: dict[str, Any] = {"round_trips": {}}
    for version in round_trips.VERSIONS:
        trips = round_trips.search(
            DEFAULT_WORLD, version, seeds=2 if short else 8, generations=40 if short else 200,
            noisy_paths=50 if short else 300,
        )
        found["round_trips"][version] = {
            "best": rounded(trips.best[0]), "upper": rounded(trips.upper), "noisy_upper": rounded(trips.noisy_upper),
        }
    found["round_trip_profit_upper"] = max(
        max(one["upper"], one["noisy_upper"]) for one in found["round_trips"].values()
    )
    return found


def market_figures(short: bool) -> dict[str, Any]:
    return impact_figures(short) | speed_figures() | trip_figures(short)

