"""Parameters of the simulated market at which it measures like the real one.

A parameter is not what it looks like in data: conditions add to volatility, volatility adds to volume. So
parameters are not read off but found: the simulated days go through the same measures as the real ones, and
the parameters move until both say the same (indirect inference; Gourieroux, Monfort and Renault 1993). One
measure for each parameter.

Two are read off instead (`direct`): the slope of volume on volatility, and how long volatility remembers. The
conditions bring some of both along, and matching would drive either to its bound to undo what they do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from engine.simulator.world import WorldParameters
from training.calibration import follow, returns, stays, volumes
from training.calibration.gathered import Measures, known
from training.calibration.simulated import SimulatedMarket, simulate_days, simulated_condition_counts
from training.calibration.stats import mean, ratio, root_ratio
from training.measures import Array

ROUNDS = 6
DAYS = 240
LEAST_STAY = 5.0
STAY_FACTORS = (0.25, 0.5, 1.0, 2.0)
# Of a mean of markets; Brazil's tape is thinned and its weeks were a turmoil, so it is told and not matched.
MATCHED_MARKETS = ("US", "CN")


@dataclass(frozen=True, slots=True)
class Match:
    """A parameter, the real measure that it answers to (which point of a curve), and its bounds.

    `direction` is +1 where the measure rises with the parameter.
    """

    field: str
    measure: str
    point: int
    low: float
    high: float
    direction: int = 1


MATCHES: tuple[Match, ...] = (
    Match("volatility_day_log_sd", "volatility_day_log_sd", 0, 0.02, 0.6),
    Match("volatility_log_sd", "volatility_log_sd", 0, 0.05, 0.6),
    Match("shock_degrees", "kurtosis_of_a_day", 0, 3.5, 40.0, -1),
    Match("volume_day_log_sd", "volume_day_log_sd", 0, 0.05, 0.8),
    Match("volume_log_sd", "volume_noise_log_sd", 0, 0.1, 1.5),
    Match("volume_persistence_minutes", "volume_noise_log_sd", 2, 0.3, 30.0),
    Match("volume_on_shock", "volume_on_move", 0, 0.0, 0.8),
)


def simulated_measures(market: SimulatedMarket) -> dict[str, Array]:
    """The measures of MATCHES, and the curves of the report, of simulated days."""
    days = market.days
    curves = np.stack([returns.day_variance_curve(d) for d in days])
    curve = mean(curves)
    rows = [returns.standardised(d, curve) for d in days]
    kurtosis = np.stack([returns.kurtosis_terms(row) for row in rows])
    pairs = follow.bar_pairs(days)
    left = {w: volumes.residual_logs(days, w) for w in volumes.WINDOWS_MINUTES}
    level = [("SIM", 20_000_101, float(np.exp(0.5 * returns.day_log_variance(d)))) for d in days]
    lags = [(0, *VOLATILITY_LAGS)] * len(pairs)
    halves = np.array(
        [[follow.variance_terms(p, lag) for lag in wanted] for p, wanted in zip(pairs, lags, strict=True)]
    )
    noise = [volumes.square_terms(np.concatenate(left[w])) for w in volumes.WINDOWS_MINUTES]
    found = {
        "variance_curve": curve,
        "volume_curve": mean(np.stack([volumes.day_volume_curve(d) for d in days])),
        "volatility_day_log_sd": root_ratio(np.array(volumes.within_symbol_terms(level))),
        "volatility_log_sd": root_ratio(halves[:, 0]),
        "volatility_memory": _memory(halves),
        "kurtosis_of_a_day": returns.median_kurtosis(kurtosis),
        "kurtosis_pooled": returns.pooled_kurtosis(kurtosis),
        "volatility_clustering": returns.clustering(
            np.stack([returns.clustering_terms(row) for row in rows])
        ),
        "volume_day_log_sd": root_ratio(
            np.array(volumes.within_symbol_terms([("SIM", 20_000_101, d.total_shares) for d in days]))
        ),
        "volume_noise_log_sd": np.sqrt([squares / count for squares, count in noise]),
        "volume_memory": volumes.memory(np.stack([volumes.memory_terms(row) for row in left[1]])),
        "volume_on_volatility": ratio(np.array(known(follow.slope_terms(p, "log_volume") for p in pairs))),
        "volume_on_move": ratio(
            np.array(
                [
                    follow.move_terms(row, own, volumes.EDGE_MINUTES)
                    for row, own in zip(rows, left[1], strict=True)
                ]
            )
        ),
    }
    return {name: np.ravel(np.asarray(value, dtype=np.float64)) for name, value in found.items()}


VOLATILITY_LAGS = (1, 2, 4)


def _memory(halves: Array) -> Array:
    total = halves.sum(axis=0)
    found: Array = (total[1:, 0] / total[1:, 1]) / (total[0, 0] / total[0, 1])
    return found


def target(
    measures: Measures, name: str, point: int, markets: tuple[str, ...] = MATCHED_MARKETS
) -> float | None:
    """Geometric mean of the markets' figures, None where a folder has none of them."""
    groups = measures.get(name, {})
    values = [np.ravel(groups[m].value)[point] for m in markets if m in groups]
    values = [v for v in values if np.isfinite(v) and v > 0]
    return float(np.exp(np.mean(np.log(values)))) if values else None


def direct(measures: Measures, markets: tuple[str, ...] = MATCHED_MARKETS) -> dict[str, float]:
    """The parameters that are read off the data as they are."""
    found: dict[str, float] = {}
    slope = target(measures, "volume_on_volatility", 0, markets)
    if slope is not None:
        found["volume_on_log_volatility"] = slope
    memory = target(measures, "volatility_memory", 0, markets)
    if memory is not None and memory < 1.0:
        found["volatility_persistence_minutes"] = (
            -follow.BAR_WINDOW_MINUTES * VOLATILITY_LAGS[0] / float(np.log(memory))
        )
    return found


def match(
    world: WorldParameters, targets: Mapping[str, float], days: int = DAYS, rounds: int = ROUNDS
) -> WorldParameters:
    """The world whose parameters of `targets` (by field) reproduce their measures as nearly as their bounds
    allow.

    Each round simulates once and moves every parameter by what its measure is off; parameters hardly disturb
    each other's measures, so a few rounds do.
    """
    by_field = {m.field: m for m in MATCHES}
    for _ in range(rounds):
        found = simulated_measures(simulate_days(world, days))
        changes: dict[str, float] = {}
        for field, wanted in targets.items():
            how = by_field[field]
            changes[field] = moved(
                how, float(getattr(world, field)), float(found[how.measure][how.point]), wanted
            )
        world = replace(world, **changes)  # type: ignore[arg-type]
    return world


def moved(how: Match, now: float, measured: float, wanted: float) -> float:
    """A parameter after one round: by the ratio of what is wanted to what is measured, and by no more than a
    factor."""
    if measured <= 0.0:
        return float(min(max(1.5 * now, how.low), how.high))
    ratio_wanted = wanted / measured
    step = min(max(ratio_wanted, 0.5), 2.0)
    if how.field == "shock_degrees":
        # Kurtosis above 3 is about 6 / (degrees - 4).
        excess = max((measured - 3.0) / max(wanted - 3.0, 0.1), 0.3)
        return float(min(max(4.0 + (max(now, 4.2) - 4.0) * min(max(excess, 0.6), 1.8), how.low), how.high))
    base = max(now, how.low, 0.02)
    return float(min(max(base * step**1.3, how.low), how.high))


def stay_sensitivity(world: WorldParameters, days: int = DAYS) -> dict[float, float]:
    """Minutes between changes that the classifier sees when all mean stays are multiplied by STAY_FACTORS.

    Where that hardly moves with the factor, real days cannot tell how long conditions last.
    """
    found = {}
    for factor in STAY_FACTORS:
        lasting = tuple(max(s * factor, LEAST_STAY) for s in world.mean_stay_minutes)
        market = simulate_days(replace(world, mean_stay_minutes=lasting), days)
        found[factor] = stays.overall_stay(np.stack(simulated_condition_counts(market, days)))
    return found
