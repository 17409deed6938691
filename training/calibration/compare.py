"""Simulated against real, one line each, with a bound that was written down before it was looked at.

A figure of several markets is met when the simulated one lies between the lowest and the highest of them,
give or take the factor named; a curve when its mean distance from the nearest market is within the bound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.priced import QUEUE_OVER_SPREAD_MOVE

MARKETS = ("US", "CN", "BR")
FACTOR = 1.25
CURVE_DISTANCE = 0.15
CLUSTERING_DISTANCE = 0.05
FILL_DISTANCE = 0.15
QUEUE_FACTOR = 1.5
EXPONENT_BOUND = (0.40, 0.65)  # of the square-root law at 10 % participation, 0.1 % to 20 % of daily volume


@dataclass(frozen=True, slots=True)
class Comparison:
    """One line. `within` is None where there is nothing real to hold it against."""

    what: str
    real: str
    simulated: str
    bound: str
    within: bool | None


def comparisons(calibration: Mapping[str, Any], simulated: Mapping[str, Any]) -> list[Comparison]:
    """Every comparison that the data allow."""
    measures = calibration["measures"]
    found = [
        _between(measures, simulated, "kurtosis_of_a_day", "kurtosis of one-minute returns, median day"),
        _curve(
            measures,
            simulated,
            "volatility_clustering",
            "clustering: autocorrelation of |return|, 1 to 60 minutes",
            CLUSTERING_DISTANCE,
        ),
        _between(measures, simulated, "volatility_log_sd", "log-sd of volatility within a day"),
        _between(measures, simulated, "volatility_day_log_sd", "log-sd of volatility from day to day"),
        _curve(measures, simulated, "variance_curve", "variance over the session", CURVE_DISTANCE),
        _curve(measures, simulated, "volume_curve", "volume over the session", CURVE_DISTANCE),
        _between(
            measures, simulated, "volume_noise_log_sd", "log-sd of a minute's volume around its curve", 0
        ),
        _between(measures, simulated, "volume_noise_log_sd", "log-sd of a quarter-hour's volume", 2),
        _between(measures, simulated, "volume_day_log_sd", "log-sd of volume from day to day"),
        _between(measures, simulated, "volume_on_volatility", "slope of log volume on log volatility"),
        _between(measures, simulated, "volume_on_move", "slope of log volume on the minute's own move"),
        _between(
            measures,
            simulated,
            "spread_log_sd",
            "log-sd of a minute's spread (wider than a tick)",
            None,
            "free",
        ),
        _between(
            measures,
            simulated,
            "spread_memory",
            "memory of the spread after a minute (wider than a tick)",
            0,
            "free",
        ),
        _exponent(calibration, simulated),
        *_fills(measures, simulated),
        _lost(calibration, simulated),
        _queue_rule(measures),
        _between(
            measures, simulated, "condition_overall_stay", "minutes between changes that the classifier sees"
        ),
    ]
    return [c for c in found if c is not None]


def _values(measures: Mapping[str, Any], name: str, point: int | None, word: str = "") -> dict[str, float]:
    groups = measures.get(name, {})
    found = {}
    for group, figure in groups.items():
        if (word and word not in group) or (not word and group not in MARKETS and len(groups) > 3):
            continue
        value = figure["value"] if point is None else figure["value"][point]
        if value is not None:
            found[group] = float(value)
    return found


def _between(
    measures: Mapping[str, Any],
    simulated: Mapping[str, Any],
    name: str,
    what: str,
    point: int | None = None,
    word: str = "",
) -> Comparison | None:
    real = _values(measures, name, point, word)
    if not real or simulated.get(name) is None:
        return None
    value = float(simulated[name] if point is None else simulated[name][point])
    low, high = min(real.values()) / FACTOR, max(real.values()) * FACTOR
    text = ", ".join(f"{group} {v:.3g}" for group, v in real.items())
    return Comparison(
        what,
        text,
        f"{value:.3g}",
        f"{low:.3g} to {high:.3g} (the markets, factor {FACTOR:g})",
        low <= value <= high,
    )


def _curve(
    measures: Mapping[str, Any], simulated: Mapping[str, Any], name: str, what: str, bound: float
) -> Comparison | None:
    groups = {g: f["value"] for g, f in measures.get(name, {}).items()}
    if not groups or name not in simulated:
        return None
    own = np.array(simulated[name], dtype=np.float64)
    distances = {g: float(np.mean(np.abs(np.array(v, dtype=np.float64) - own))) for g, v in groups.items()}
    nearest = min(distances, key=lambda g: distances[g])
    text = ", ".join(f"{g} off by {d:.2g}" for g, d in distances.items())
    return Comparison(
        what,
        text,
        f"nearest {nearest}",
        f"mean distance from the nearest market at most {bound:g}",
        distances[nearest] <= bound,
    )


def _exponent(calibration: Mapping[str, Any], simulated: Mapping[str, Any]) -> Comparison:
    fit = calibration["impact_2007"]["realised"]
    low, high = fit["exponent_interval95"]
    own = simulated["impact"]["fixed_participation"]["exponent"]
    return Comparison(
        "exponent of impact, 10 % participation, 0.1 % to 20 % of daily volume",
        f"2007: {fit['exponent']:.3g} [{low:.3g}, {high:.3g}]",
        f"{own:.3g}",
        f"{EXPONENT_BOUND[0]:g} to {EXPONENT_BOUND[1]:g}",
        EXPONENT_BOUND[0] <= own <= EXPONENT_BOUND[1],
    )


def _fills(measures: Mapping[str, Any], simulated: Mapping[str, Any]) -> list[Comparison]:
    found = []
    for group, figure in measures.get("fill_rate_pegged", {}).items():
        own = simulated["fills"].get(group)
        if own is None:
            continue
        distance = float(np.max(np.abs(np.array(own["rates"]) - np.array(figure["value"]))))
        found.append(
            Comparison(
                f"small orders at the touch filled in 1, 5, 10 minutes, as {group.split()[0]}",
                _list(figure["value"]),
                f"{_list(own['rates'])} (resting policies reckon with {_list(own['rates_of_policies'])})",
                f"each within {FILL_DISTANCE:g}",
                distance <= FILL_DISTANCE,
            )
        )
    return found


def _queue_rule(measures: Mapping[str, Any]) -> Comparison | None:
    """The rule of the usual queue (engine.priced.touch_of) against the depths of every stock-day with quotes."""
    groups = measures.get("depth_over_spread_move", {})
    values = [float(f["value"]) for f in groups.values() if f["value"]]
    if not values:
        return None
    middle = float(np.exp(np.mean(np.log(values))))
    low, high = middle / QUEUE_FACTOR, middle * QUEUE_FACTOR
    return Comparison(
        "usual depth at the touch over daily volume, in units of (spread / daily volatility) squared",
        f"{len(values)} stock-days: {min(values):.2g} to {max(values):.2g}, geometric mean {middle:.2g}",
        f"{QUEUE_OVER_SPREAD_MOVE:g}",
        f"{low:.2g} to {high:.2g} (the mean, factor {QUEUE_FACTOR:g})",
        low <= QUEUE_OVER_SPREAD_MOVE <= high,
    )


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{v:.2f}" for v in values)


def _lost(calibration: Mapping[str, Any], simulated: Mapping[str, Any]) -> Comparison:
    figure = calibration["rule605"]["passive_adverse_selection_of_spread"]["at_the_quote"]["all"]
    low, high = figure["interval95"]
    own = float(np.mean([f["moved_against"] for f in simulated["fills"].values()]))
    policies = float(np.mean([f["moved_against_of_policies"] for f in simulated["fills"].values()]))
    return Comparison(
        "half-spreads that a fill at the touch loses",
        f"Rule 605: {figure['value']:.3g} [{low:.3g}, {high:.3g}]",
        f"{own:.3g} (resting policies {policies:.3g})",
        f"{low:.3g} to {high:.3g}",
        low <= own <= high,
    )
