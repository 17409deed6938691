"""The simulated side of the report: one dictionary, made from a world the way `measured` is made from
data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.simulator.policies import PART_BEHIND_QUEUE
from engine.simulator.world import WorldParameters
from training.calibration import stays
from training.calibration.matching import simulated_measures, stay_sensitivity
from training.calibration.simulated import (
    DAYS,
    Alike,
    impact_curve,
    simulate_days,
    simulated_condition_counts,
    simulated_fills,
    spread_noise,
)
from training.measures import round_figure

FILL_DAYS = 150
# A spread of a dozen ticks, as AMZN's in 2012, where it moves freely.
WIDE = Alike(sigma_bps=135.0, spread_bps=5.4, spread_ticks=12.8)
DAY_MINUTES, HOUR_MINUTES = 390, 60


def simulate_report(
    world: WorldParameters, instruments: Mapping[str, Alike], days: int = DAYS
) -> dict[str, Any]:
    """All that the report holds against real figures. `instruments`: what each instrument with real fills is
    like."""
    market = simulate_days(world, days)
    tables = np.stack(simulated_condition_counts(market, min(days, DAYS)))
    wide = spread_noise(simulate_days(world, max(days // 5, 3), WIDE))
    curves = {
        "fixed_participation": impact_curve(world, pairs=days),
        "over_a_day": impact_curve(world, days, DAY_MINUTES),
        "over_an_hour": impact_curve(world, days, HOUR_MINUTES),
    }
    found: dict[str, Any] = {name: _json(value) for name, value in simulated_measures(market).items()}
    return found | {
        "world": world.sha256(),
        "days": days,
        "condition_overall_stay": round_figure(stays.overall_stay(tables), 4),
        "condition_stays": _json(stays.mean_stays(tables)),
        "condition_time_shares": _json(stays.time_shares(tables)),
        "stay_sensitivity": {
            f"{k:g}": round_figure(v, 4) for k, v in stay_sensitivity(world, max(days // 3, 3)).items()
        },
        "spread_log_sd": round_figure(wide.log_sd, 4),
        "spread_memory": _json(wide.memory),
        "spread_distribution": _json(wide.shares),
        "impact": {
            name: {"sizes": _json(c.sizes), "cost": _json(c.cost), "exponent": round_figure(c.exponent, 4)}
            for name, c in curves.items()
        },
        "fills": {name: fills_json(world, alike, max(days // 2, 3)) for name, alike in instruments.items()},
    }


def fills_json(world: WorldParameters, alike: Alike, days: int) -> dict[str, Any]:
    """Fills of an instrument: the whole flow reaching the order, and the part that the resting policies
    reckon with."""
    market = simulate_days(world, days, alike)
    whole, part = simulated_fills(market), simulated_fills(market, behind=PART_BEHIND_QUEUE)
    return {
        "rates": _json(whole.rates),
        "rates_of_policies": _json(part.rates),
        "moved_against": round_figure(whole.moved_half_spreads, 4),
        "moved_against_of_policies": round_figure(part.moved_half_spreads, 4),
        "queue_share": round_figure(alike.queue_share, 4),
        "spread_ticks": round_figure(alike.spread_ticks, 4),
    }


def _json(values: Any) -> Any:
    rounded = [round_figure(float(v), 4) if np.isfinite(v) else None for v in np.ravel(values)]
    return rounded[0] if len(rounded) == 1 else rounded
