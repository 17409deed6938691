"""The grid of candidates that decisions are judged against: a superset of what is served, several times finer.

Its hash, with that of the utility table and of the rules of judging, stands in benchmarks/judging.json, committed
before the first training; changing any of them is a new benchmark and gets a new name.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from engine.catalogue import (
    CATALOGUE,
    AlgorithmSpec,
    Candidate,
    CandidateSet,
    arrays_of,
    candidate_set,
    shape_keys,
)

# Minutes, the served ones and those between them.
DURATIONS = (
    5.0, 7.0, 10.0, 12.0, 15.0, 17.0, 20.0, 25.0, 30.0, 37.0, 45.0, 52.0, 60.0, 75.0, 90.0, 105.0, 120.0, 135.0,
    150.0, 165.0, 180.0, 210.0, 240.0, 270.0, 300.0, 345.0, 390.0,
)
FINER: dict[str, dict[str, tuple[float, ...]]] = {
    "POV": {
        "participation_rate": (
            0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05, 0.0625, 0.075, 0.0875, 0.1, 0.1125, 0.125, 0.1375, 0.15, 0.175,
            0.2, 0.225, 0.25, 0.275, 0.3,
        ),
    },
    "IMPLEMENTATION_SHORTFALL": {"risk_aversion": (0.5, 1.0, 1.4, 2.0, 2.7, 3.5, 5.0)},
    "ADAPTIVE_TWAP": {"dark_pool_ratio": (0.0, 0.15, 0.3, 0.4, 0.5, 0.65)},
    "ADAPTIVE_VWAP": {"dark_pool_ratio": (0.0, 0.15, 0.3, 0.4, 0.5, 0.65)},
    "LIQUIDITY_SEEKING": {"dark_pool_ratio": (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)},
    "OPPORTUNISTIC": {"speed": (1.25, 1.5, 2.0, 2.5, 3.5)},
    "TARGET_CLOSE": {"auction_ratio": (0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 1.0)},
    "ICEBERG": {"display_ratio": (0.1, 0.2, 0.3, 0.5)},
    "AGGRESSIVE_SWEEP": {"duration_minutes": (1.0, 2.0)},
}


def values_of(spec: AlgorithmSpec, name: str) -> tuple[float, ...]:
    """Values of one parameter in the grid; durations are those of DURATIONS where nothing else is said."""
    finer = FINER.get(spec.name, {})
    if name in finer:
        return finer[name]
    return DURATIONS if name == "duration_minutes" else spec.ranges[name].values


def nearest_shape(spec: AlgorithmSpec, value: float) -> int:
    """The served shape that stands for a parameter between the served ones, for masks only."""
    keys = shape_keys()
    own = [(abs(key[1] - value), index) for index, key in enumerate(keys) if key[0] == spec.name]
    return min(own)[1]


@cache
def judging_grid() -> CandidateSet:
    """All candidates of the grid, in catalogue order."""
    found: list[Candidate] = []
    for spec in CATALOGUE:
        names = list(spec.ranges)
        for combination in product(*(values_of(spec, name) for name in names)):
            parameters = dict(zip(names, combination, strict=True))
            shape = nearest_shape(spec, parameters.get(spec.shape_parameter, 0.0))
            found.append(Candidate(spec, shape, parameters))
    return arrays_of(tuple(found))


def key_of(candidate: Candidate) -> tuple[str, tuple[tuple[str, float], ...]]:
    """What makes a candidate the same in two sets."""
    return candidate.spec.name, tuple(sorted(candidate.parameters.items()))


@cache
def served_in_grid() -> NDArray[np.int64]:
    """(served,) index in the grid of every candidate that is served."""
    index = {key_of(candidate): n for n, candidate in enumerate(judging_grid().candidates)}
    return np.array([index[key_of(c)] for c in candidate_set().candidates], dtype=np.int64)


def grid_sha256() -> str:
    """Hash of the grid, hex."""
    rows = [[name, dict(parameters)] for name, parameters in map(key_of, judging_grid().candidates)]
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()


