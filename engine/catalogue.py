"""The algorithms, their parameter ranges, their FIX mapping, and the candidates that come from them.

A candidate is an algorithm with fixed parameters. Its shape (what the surfaces know) is the algorithm with those
parameters that change its flows; its horizon comes from a duration, a rate or the close. Operators may disable an
algorithm or narrow its ranges; they cannot widen them beyond what the surfaces were built for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from engine.algorithms.adaptive import AdaptiveTwap, AdaptiveVwap
from engine.algorithms.boundary import AggressiveSweep, TargetClose
from engine.algorithms.flow import STEPS, Algorithm, Array
from engine.algorithms.patient import Iceberg, LiquiditySeeking, Opportunistic, PassivePeg
from engine.algorithms.scheduled import (
    ImplementationShortfall,
    Pov,
    Twap,
    Vwap,
    ramp_weights,
    shortfall_weights,
)
from engine.records import JsonObject


class HorizonRule(IntEnum):
    """Where a candidate's horizon comes from."""

    DURATION = 0
    RATE = 1
    CLOSE = 2


class Pace(IntEnum):
    """What the schedule runs along."""

    CLOCK = 0
    VOLUME = 1


@dataclass(frozen=True, slots=True)
class ParameterRange:
    """The values a parameter may take, in its unit. `fix_type` is FIX tag 959."""

    values: tuple[float, ...]
    unit: str
    fix_type: int
    meaning: str


@dataclass(frozen=True, slots=True)
class AlgorithmSpec:
    """One row of the catalogue.

    `fix_target_strategy` is FIX 847: 1 VWAP, 2 Participate, 3 Minimise impact; 1000 and above are this service's.
    `shape_parameter` names the parameter that makes another shape, empty where there is one shape only.
    `rests` marks algorithms that can work a limit away from the market, `rests_whole` those that have no schedule: all
    that is left rests from start to end (engine/simulator/policies.py, REST), and what is left then is crossed.
    """

    name: str
    strategy_name: str
    strategy_type: str
    fix_target_strategy: int
    rule: HorizonRule
    pace: Pace
    ranges: Mapping[str, ParameterRange]
    shape_parameter: str = ""
    volatility_adjustment: bool = False
    rests: bool = False
    rests_whole: bool = False
    description: str = ""


def durations(*minutes: float) -> ParameterRange:
    return ParameterRange(minutes, "minutes", 6, "trading minutes from start to end")


def waits(*minutes: float) -> ParameterRange:
    return ParameterRange(minutes, "minutes", 6, "trading minutes that the order rests; what is left then is crossed")


def dark_ratios(*ratios: float) -> ParameterRange:
    return ParameterRange(ratios, "fraction", 11, "share of the order meant for dark venues")


LONG = (5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 150.0, 180.0, 240.0, 300.0, 390.0)
# Where it is often the best and its cost bends: a step of a third is too coarse to stay within the judge's tolerance.
DENSE = (
    5.0, 7.0, 10.0, 15.0, 20.0, 25.0, 30.0, 37.0, 45.0, 60.0, 75.0, 90.0, 105.0, 120.0, 150.0, 180.0, 210.0, 240.0,
    300.0, 390.0,
)
MEDIUM = (10.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 240.0, 390.0)
FRONT_LOADED = (5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 240.0, 390.0)
RESTING = (10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 75.0, 90.0, 120.0, 150.0, 180.0, 240.0, 300.0, 390.0)

CATALOGUE: tuple[AlgorithmSpec, ...] = (
    AlgorithmSpec(
        "TWAP", "TWAP", "SCHEDULED", 1001, HorizonRule.DURATION, Pace.CLOCK, {"duration_minutes": durations(*LONG)},
        description="equal quantities in equal time",
    ),
    AlgorithmSpec(
        "VWAP", "VWAP", "SCHEDULED", 1, HorizonRule.DURATION, Pace.VOLUME, {"duration_minutes": durations(*LONG)},
        description="quantities along the forecast volume curve",
    ),
    AlgorithmSpec(
        "POV", "Percentage of Volume", "SCHEDULED", 2, HorizonRule.RATE, Pace.VOLUME,
        {
            "participation_rate": ParameterRange(
                (
                    0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.0625, 0.075, 0.0875, 0.1, 0.1125, 0.125, 0.1375, 0.15,
                    0.175, 0.2, 0.225, 0.25, 0.275, 0.3,
                ), "fraction", 11,
                "our volume over market volume",
            )
        },
        description="a constant share of the volume as it comes",
    ),
    AlgorithmSpec(
        "IMPLEMENTATION_SHORTFALL", "Implementation Shortfall", "SCHEDULED", 1002, HorizonRule.DURATION, Pace.VOLUME,
        {
            "duration_minutes": durations(*FRONT_LOADED),
            "risk_aversion": ParameterRange((1.0, 2.0, 3.5), "kappa x horizon", 6, "how front-loaded the schedule is"),
        },
        shape_parameter="risk_aversion",
        description="front-loaded against risk after Almgren and Chriss",
    ),
    AlgorithmSpec(
        "ADAPTIVE_TWAP", "Adaptive TWAP", "ADAPTIVE", 1003, HorizonRule.DURATION, Pace.CLOCK,
        {"duration_minutes": durations(*LONG), "dark_pool_ratio": dark_ratios(0.0, 0.3, 0.5)},
        shape_parameter="dark_pool_ratio", volatility_adjustment=True,
        description="TWAP that leans on quiet moments",
    ),
    AlgorithmSpec(
        "ADAPTIVE_VWAP", "Adaptive VWAP", "ADAPTIVE", 1004, HorizonRule.DURATION, Pace.VOLUME,
        {"duration_minutes": durations(*DENSE), "dark_pool_ratio": dark_ratios(0.0, 0.3, 0.5)},
        shape_parameter="dark_pool_ratio", volatility_adjustment=True,
        description="VWAP along a curve that is forecast anew while it trades",
    ),
    AlgorithmSpec(
        "LIQUIDITY_SEEKING", "Liquidity Seeking", "DARK", 1005, HorizonRule.DURATION, Pace.VOLUME,
        {"duration_minutes": durations(*MEDIUM), "dark_pool_ratio": dark_ratios(0.4, 0.6, 0.8)},
        shape_parameter="dark_pool_ratio",
        description="rests in dark venues, works the rest lit and late",
    ),
    AlgorithmSpec(
        "OPPORTUNISTIC", "Opportunistic", "PASSIVE", 1006, HorizonRule.DURATION, Pace.VOLUME,
        {
            "duration_minutes": durations(*MEDIUM),
            "speed": ParameterRange(
                (1.5, 2.5, 3.5), "x even pace", 6, "pace while the price is at or better than arrival"
            ),
        },
        shape_parameter="speed", rests=True,
        description="price-inline: trades while the price is on the good side of arrival",
    ),
    AlgorithmSpec(
        "TARGET_CLOSE", "Target Close", "AUCTION", 1007, HorizonRule.CLOSE, Pace.VOLUME,
        {
            "auction_ratio": ParameterRange(
                (0.1, 0.25, 0.5, 0.75, 1.0), "fraction", 11, "share of the order for the auction"
            )
        },
        shape_parameter="auction_ratio",
        description="ramps up to the close and its auction",
    ),
    AlgorithmSpec(
        "PASSIVE_PEG", "Passive Peg", "PASSIVE", 1008, HorizonRule.DURATION, Pace.VOLUME,
        {"duration_minutes": waits(*RESTING)}, rests=True, rests_whole=True,
        description="the whole order rests at the near touch, re-priced as it moves",
    ),
    AlgorithmSpec(
        "ICEBERG", "Iceberg", "PASSIVE", 1009, HorizonRule.DURATION, Pace.VOLUME,
        {
            "duration_minutes": waits(*MEDIUM),
            "display_ratio": ParameterRange(
                (0.1, 0.3), "fraction", 11, "share of what rests that is shown; each refill joins the end of the queue"
            ),
        },
        shape_parameter="display_ratio", rests=True, rests_whole=True,
        description="the whole order rests at a limit and shows little",
    ),
    AlgorithmSpec(
        "AGGRESSIVE_SWEEP", "Aggressive Sweep", "LIQUIDITY_TAKING", 1010, HorizonRule.DURATION, Pace.CLOCK,
        {"duration_minutes": durations(1.0, 2.0)},
        description="takes the displayed book at once",
    ),
)

ALGORITHM_NAMES: tuple[str, ...] = tuple(spec.name for spec in CATALOGUE)
RESTING_WHOLE: frozenset[str] = frozenset(spec.name for spec in CATALOGUE if spec.rests_whole)


def shape_of(name: str, value: float) -> Algorithm:
    """The formula of one shape. Raises KeyError for a name that is not in the catalogue."""
    makers: dict[str, Algorithm] = {
        "TWAP": Twap(),
        "VWAP": Vwap(),
        "POV": Pov(),
        "PASSIVE_PEG": PassivePeg(),
        "AGGRESSIVE_SWEEP": AggressiveSweep(),
        "IMPLEMENTATION_SHORTFALL": ImplementationShortfall(value or 1.0),
        "ADAPTIVE_TWAP": AdaptiveTwap(value),
        "ADAPTIVE_VWAP": AdaptiveVwap(value),
        "LIQUIDITY_SEEKING": LiquiditySeeking(value),
        "OPPORTUNISTIC": Opportunistic(value),
        "TARGET_CLOSE": TargetClose(value),
        "ICEBERG": Iceberg(value),
    }
    return makers[name]


def shape_keys() -> tuple[tuple[str, float], ...]:
    """(algorithm, value of its shape parameter) of every shape, in the order of the surfaces."""
    keys: list[tuple[str, float]] = []
    for spec in CATALOGUE:
        values = spec.ranges[spec.shape_parameter].values if spec.shape_parameter else (0.0,)
        keys += [(spec.name, value) for value in values]
    return tuple(keys)


def all_shapes() -> tuple[Algorithm, ...]:
    """The formulas in the order of the surfaces."""
    return tuple(shape_of(name, value) for name, value in shape_keys())


@dataclass(frozen=True, slots=True)
class CatalogueChoice:
    """What an operator allows of one algorithm: None keeps the built-in values of a parameter."""

    name: str
    enabled: bool = True
    limits: Mapping[str, tuple[float, float]] | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """An algorithm with fixed parameters."""

    spec: AlgorithmSpec
    shape: int
    parameters: Mapping[str, float]
    dark_pool_ratio: float = field(init=False)
    # For people; the specification's "Adaptive TWAP with Dark Pool".
    strategy_name: str = field(init=False)

    def __post_init__(self) -> None:
        ratio = float(self.parameters.get("dark_pool_ratio", 0.0))
        dark = ratio > 0.0 and self.spec.strategy_type != "DARK"
        name = f"{self.spec.strategy_name} with Dark Pool" if dark else self.spec.strategy_name
        object.__setattr__(self, "dark_pool_ratio", ratio)
        object.__setattr__(self, "strategy_name", name)


@dataclass(frozen=True, slots=True)
class CandidateSet:
    """Candidates as the arrays that the kernel reads, all of length n (columns of `numbers` by name below)."""

    candidates: tuple[Candidate, ...]
    algorithm: NDArray[np.int64]
    shape: NDArray[np.int64]
    rule: NDArray[np.int64]
    pace: NDArray[np.int64]
    rests: NDArray[np.int64]
    numbers: NDArray[np.float64]


# Columns of CandidateSet.numbers.
MINUTES, PREVIOUS_MINUTES, RATE, DARK_RATIO, AUCTION_RATIO, PEAK_WEIGHT, PARAMETER = range(7)
NUMBERS = 7


def within(values: Iterable[float], limits: tuple[float, float] | None) -> tuple[float, ...]:
    if limits is None:
        return tuple(values)
    return tuple(value for value in values if limits[0] <= value <= limits[1])


def candidates_of(spec: AlgorithmSpec, choice: CatalogueChoice) -> list[Candidate]:
    """Every combination of the parameter values that the choice leaves."""
    limits = choice.limits or {}
    names = list(spec.ranges)
    values = [within(spec.ranges[name].values, limits.get(name)) for name in names]
    keys = shape_keys()
    found = []
    for combination in product(*values):
        parameters = dict(zip(names, combination, strict=True))
        shape = keys.index((spec.name, parameters.get(spec.shape_parameter, 0.0)))
        found.append(Candidate(spec, shape, parameters))
    return found


def candidate_set(choices: Iterable[CatalogueChoice] = ()) -> CandidateSet:
    """All candidates that the choices leave, in catalogue order. Raises ValueError if none is left or a choice names
    an unknown algorithm or parameter (all faults at once)."""
    by_name = {choice.name: choice for choice in choices}
    faults = [f"unknown algorithm {name}" for name in by_name if name not in ALGORITHM_NAMES]
    for spec in CATALOGUE:
        for parameter in (by_name[spec.name].limits or {}) if spec.name in by_name else {}:
            if parameter not in spec.ranges:
                faults.append(f"{spec.name} has no parameter {parameter}")
    if faults:
        raise ValueError("; ".join(faults))
    found: list[Candidate] = []
    for spec in CATALOGUE:
        choice = by_name.get(spec.name, CatalogueChoice(spec.name))
        if choice.enabled:
            found += candidates_of(spec, choice)
    if not found:
        raise ValueError("the catalogue leaves no candidate")
    return arrays_of(tuple(found))


def named_candidates(named: Iterable[tuple[str, Iterable[tuple[str, float]]]]) -> CandidateSet:
    """The candidates that were named before, as (algorithm, its parameters in their order). Raises ValueError for an
    algorithm or a shape that this build does not have."""
    specs = {spec.name: spec for spec in CATALOGUE}
    keys = shape_keys()
    found = []
    for name, pairs in named:
        parameters = dict(pairs)
        if name not in specs or set(parameters) != set(specs[name].ranges):
            raise ValueError(f"no algorithm {name} with the parameters {', '.join(parameters)}")
        key = (name, parameters.get(specs[name].shape_parameter, 0.0))
        if key not in keys:
            raise ValueError(f"no shape {key[0]} {key[1]:g}")
        found.append(Candidate(specs[name], keys.index(key), parameters))
    return arrays_of(tuple(found))


def arrays_of(found: tuple[Candidate, ...]) -> CandidateSet:
    numbers = np.zeros((len(found), NUMBERS))
    for row, candidate in zip(numbers, found, strict=True):
        row[MINUTES] = candidate.parameters.get("duration_minutes", 0.0)
        row[PREVIOUS_MINUTES] = previous_duration(candidate, found)
        row[RATE] = candidate.parameters.get("participation_rate", 0.0)
        row[DARK_RATIO] = candidate.dark_pool_ratio
        row[AUCTION_RATIO] = candidate.parameters.get("auction_ratio", 0.0)
        row[PEAK_WEIGHT] = peak_weight(candidate)
        row[PARAMETER] = candidate.parameters.get(candidate.spec.shape_parameter, row[RATE])
    return CandidateSet(
        candidates=found,
        algorithm=np.array([ALGORITHM_NAMES.index(c.spec.name) for c in found], dtype=np.int64),
        shape=np.array([c.shape for c in found], dtype=np.int64),
        rule=np.array([int(c.spec.rule) for c in found], dtype=np.int64),
        pace=np.array([int(c.spec.pace) for c in found], dtype=np.int64),
        rests=np.array([int(c.spec.rests) for c in found], dtype=np.int64),
        numbers=numbers,
    )


def previous_duration(candidate: Candidate, found: tuple[Candidate, ...]) -> float:
    """The next shorter duration of the same shape: where even that does not fit, this one adds nothing."""
    own = candidate.parameters.get("duration_minutes", 0.0)
    shorter = [
        other.parameters["duration_minutes"]
        for other in found
        if other.shape == candidate.shape and other.parameters.get("duration_minutes", own) < own
    ]
    return max(shorter, default=0.0)


# Slope of the planned pace over the horizon, as the formulas in engine/algorithms price it; 0 is even.
PACE_SLOPES: dict[str, float] = {
    "ADAPTIVE_TWAP": 0.25, "ADAPTIVE_VWAP": 0.1, "TARGET_CLOSE": 1.8, "OPPORTUNISTIC": -0.5, "PASSIVE_PEG": -0.3,
    "ICEBERG": -0.3,
}


@cache
def planned_profile(name: str, shape_value: float) -> Array:
    """(STEPS,) planned pace of a shape over its horizon, of mean 1: what slices and participation limits are held to.
    What rests whole has no slices; of it this is the pace that is priced."""
    if name == "IMPLEMENTATION_SHORTFALL":
        profile = shortfall_weights(shape_value)
    elif name == "LIQUIDITY_SEEKING":
        profile = ramp_weights(0.9 * shape_value)
    else:
        slope = PACE_SLOPES.get(name, 0.0)
        profile = ramp_weights(slope) if slope else np.ones(STEPS)
    profile.flags.writeable = False
    return profile


def profile_of(candidate: Candidate) -> Array:
    """The planned profile of a candidate."""
    return planned_profile(candidate.spec.name, candidate.parameters.get(candidate.spec.shape_parameter, 0.0))


def peak_weight(candidate: Candidate) -> float:
    """Highest planned pace over the mean one, which participation limits are about."""
    peak = float(profile_of(candidate).max())
    return max(peak, candidate.parameters.get("speed", 0.0))


def parameter_ranges_json(spec: AlgorithmSpec) -> JsonObject:
    """As it stands in execution_strategies.parameter_ranges."""
    return {
        name: {
            "min": min(r.values), "max": max(r.values), "values": list(r.values), "unit": r.unit, "meaning": r.meaning,
        }
        for name, r in spec.ranges.items()
    }


def algorithm_mapping_json(spec: AlgorithmSpec) -> JsonObject:
    """As it stands in execution_strategies.algorithm_mapping: the FIX fields that carry the strategy."""
    return {
        "algorithm": spec.name,
        "description": spec.description,
        "fix": {
            "847": spec.fix_target_strategy,
            "958": list(spec.ranges) + ["dark_pool_ratio", "volatility_adjustment"],
            "959": {name: r.fix_type for name, r in spec.ranges.items()},
        },
    }
