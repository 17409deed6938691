"""What was learned, as one value that the snapshot holds: trees, the surfaces' refit, calibrations, and where the
training orders lay. Made by `ess train`, stored as arrays, checked here whole."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from engine.catalogue import ALGORITHM_NAMES, shape_keys
from engine.learning.effects import EFFECTS
from engine.pricing import OUTPUTS
from engine.scoring.features import DESCRIBING_HEADS, FEATURE_NAMES, RANKING_HEADS, schema_sha256
from engine.scoring.lanes import LaneArrays, lane_arrays, lane_faults
from engine.scoring.trees import Float32s, Int32s, Int64s, TreeTable, Walk, arrays_of, table_from_arrays
from engine.values import CONDITIONS

Array = NDArray[np.float64]
# The walk of the describing heads, and the map that calibrates their word on completion.
Describing: TypeAlias = tuple[Int64s, Int32s, Int32s, Float32s, Array]

# What the confidence model sees of a decision; `engine/confidence.py` fills them.
CONFIDENCE_FEATURES: tuple[str, ...] = (
    "gap_next", "gap_algorithm", "gap_third", "near_candidates", "near_algorithms", "tolerance_bps", "utility_bps",
    "cost_bps", "deviation_share", "correction_share", "structural_loss", "log_size_days", "log_participation",
    "log_horizon_minutes", "start_fraction", "log_available_minutes", "risk_aversion", "time_price", "alpha_share",
    "log_sigma", "log_spread_over_sigma", "log_spread_ticks", "dark_share", "auction_share", "log_limit",
    "condition_certainty", "condition", "algorithm", "unfilled", "passive", "dark",
)
# Figures of an order that are compared with those of the training orders, for thin and foreign contexts.
DOMAIN_NAMES: tuple[str, ...] = (
    "log_size_days", "log_available_minutes", "log_spread_ticks", "log_limit", "log_sigma_bps", "log_spread_over_sigma",
    "dark_share", "auction_share",
)
# Least and greatest that they decide of each, beyond what they learned from: past its last threshold a tree says what
# it says there, and judged orders showed that to be right far more often than the surfaces are (docs/adr/0051). Where
# nothing stands here, and farther out, no order was judged. Under a participation limit below 2.5 % they overrate what
# rests: to them it may still trade at a twentieth of the volume.
NOT_TRIED = (math.inf, -math.inf)
DECIDES_WITHIN: Mapping[str, tuple[float, float]] = {
    "log_size_days": (-math.inf, -math.inf),
    "log_available_minutes": (-math.inf, math.log(1_440.0) + 1e-9),
    "log_spread_ticks": (math.inf, math.inf),
    "log_limit": (math.log(0.025) - 1e-9, -math.inf),
    "log_sigma_bps": (math.log(0.5), math.log(10_000.0)),
    "log_spread_over_sigma": (-math.inf, math.log(12.0)),
    "dark_share": (math.inf, 0.35),
    "auction_share": (math.inf, 0.35),
}
# Ratios to the instrument's own long-run figures; 0 where it has none.
RATIO_NAMES: tuple[str, ...] = ("log_volatility_ratio", "log_spread_ratio", "log_volume_ratio")


@dataclass(frozen=True)
class Models:
    """factors: (conditions, shapes, outputs) what the surfaces are multiplied with. interval_scale: (conditions, 2)
    stretch of the lower and upper half of the cost interval. completion_map, confidence_map: (2, knots) raw figure and
    probability, both rising. domain: (names, 2) least and greatest of the training orders. ratio_sd: (3,) spread of
    RATIO_NAMES there; thin_from: squared distance that 5 % of them exceed; thin_slope: log confidence lost a unit;
    keep: how many candidates are scored (engine/kernel.py, decide)."""

    ranking: TreeTable
    describing: TreeTable
    confidence: TreeTable
    factors: Array
    interval_scale: Array
    completion_map: Array
    confidence_map: Array
    domain: Array
    ratio_sd: Array
    thin_from: float
    thin_slope: float
    keep: NDArray[np.int64]
    sha256: str = ""
    # (EFFECTS,) corrections of engine/learning that a refit on outcomes left in the artifact; None without.
    effects: Array | None = None

    def __reduce__(self) -> tuple[type[Models], tuple[Any, ...]]:
        """Without what was worked out from the rest; see TreeTable for why."""
        return Models, tuple(getattr(self, one.name) for one in fields(self))

    @cached_property
    def ranking_lanes(self) -> LaneArrays:
        return lane_arrays(self.ranking)

    @cached_property
    def describing_walk(self) -> Describing:
        return (*self.describing.walk, self.completion_map)

    @cached_property
    def confidence_walk(self) -> Walk:
        return self.confidence.walk

    @cached_property
    def _learned(self) -> tuple[tuple[str, float, float], ...]:
        """(name, least, greatest) of what they learned from, a tenth of its width more on either side."""
        found = []
        for name, (low, high) in zip(DOMAIN_NAMES, self.domain.tolist(), strict=True):
            margin = 0.1 * (high - low) + 1e-9
            found.append((name, low - margin, high + margin))
        return tuple(found)

    @cached_property
    def _bounds(self) -> tuple[tuple[str, float, float], ...]:
        """(name, least, greatest) of the orders that they decide: DECIDES_WITHIN where that goes farther."""
        found = []
        for name, least, most in self._learned:
            low, high = DECIDES_WITHIN.get(name, NOT_TRIED)
            found.append((name, min(least, low), max(most, high)))
        return tuple(found)

    def foreign(self, figures: Mapping[str, float]) -> tuple[str, ...]:
        """Which of DOMAIN_NAMES lie so far outside what the models learned from that the surfaces decide."""
        return tuple([name for name, least, most in self._bounds if not least <= figures[name] <= most])

    def beyond(self, figures: Mapping[str, float]) -> bool:
        """Whether one of DOMAIN_NAMES lies outside what they learned from, though they decide."""
        return any(not least <= figures[name] <= most for name, least, most in self._learned)

    def knows(self, name: str, figure: float) -> bool:
        """Whether the models would decide where one of DOMAIN_NAMES is this."""
        least, most = self._bound_of[name]
        return least <= figure <= most

    @cached_property
    def _bound_of(self) -> dict[str, tuple[float, float]]:
        return {name: (least, most) for name, least, most in self._bounds}

    def thinness(self, ratios: tuple[float, float, float]) -> float:
        """Factor in (0, 1] for orders whose market is far from its instrument's usual one."""
        squares = sum([(value / sd) ** 2 for value, sd in zip(ratios, self.ratio_sd.tolist(), strict=True)])
        return math.exp(-self.thin_slope * max(0.0, squares - self.thin_from))


TABLES = ("ranking", "describing", "confidence")
SHAPES_OF_ARRAYS: dict[str, tuple[int | None, ...]] = {
    "factors": (len(CONDITIONS), len(shape_keys()), len(OUTPUTS)),
    "interval_scale": (len(CONDITIONS), 2),
    "completion_map": (2, None),
    "confidence_map": (2, None),
    "domain": (len(DOMAIN_NAMES), 2),
    "ratio_sd": (len(RATIO_NAMES),),
    "thin": (2,),
    "keep": (2 + len(ALGORITHM_NAMES),),
}


def models_from_arrays(arrays: Mapping[str, NDArray[Any]], sha256: str) -> Models:
    """From stored arrays: tables under `<table>.<array>`. Raises ValueError that names every fault."""
    faults: list[str] = []
    tables: dict[str, TreeTable] = {}
    for name in TABLES:
        arrays_of_table = {key.split(".", 1)[1]: value for key, value in arrays.items() if key.startswith(f"{name}.")}
        try:
            tables[name] = table_from_arrays(arrays_of_table)
        except ValueError as error:
            faults.append(f"{name}: {error}")
    for name, shape in SHAPES_OF_ARRAYS.items():
        faults += array_faults(name, arrays.get(name), shape)
    expected = {
        "ranking": (ALGORITHM_NAMES, RANKING_HEADS, FEATURE_NAMES),
        "describing": (ALGORITHM_NAMES, DESCRIBING_HEADS, FEATURE_NAMES),
        "confidence": (("ALL",), ("within",), CONFIDENCE_FEATURES),
    }
    for name, table in tables.items():
        if (table.groups, table.heads, table.features) != expected[name]:
            faults.append(f"{name}: made for other groups, heads or features than this build has")
    if "ranking" in tables:
        faults += [f"ranking: {fault}" for fault in lane_faults(tables["ranking"])]
    for name in ("ranking", "describing"):
        if name in tables and tables[name].schema_sha256 != schema_sha256():
            own = tables[name].schema_sha256[:12]
            faults.append(f"{name}: schema {own} is not this build's {schema_sha256()[:12]}")
    if "effects" in arrays:
        faults += array_faults("effects", arrays["effects"], (EFFECTS,))
    if not faults:
        faults += rising_faults(arrays)
    if faults:
        raise ValueError("models: " + "; ".join(faults))
    numbers = {name: np.array(arrays[name], dtype=np.float64) for name in SHAPES_OF_ARRAYS if name != "keep"}
    thin_from, thin_slope = numbers.pop("thin").tolist()
    return Models(
        ranking=tables["ranking"], describing=tables["describing"], confidence=tables["confidence"],
        factors=numbers["factors"], interval_scale=numbers["interval_scale"],
        completion_map=numbers["completion_map"], confidence_map=numbers["confidence_map"],
        domain=numbers["domain"], ratio_sd=numbers["ratio_sd"], thin_from=thin_from, thin_slope=thin_slope,
        keep=np.array(arrays["keep"], dtype=np.int64), sha256=sha256,
        effects=np.array(arrays["effects"], dtype=np.float64) if "effects" in arrays else None,
    )


def array_faults(name: str, array: NDArray[Any] | None, shape: tuple[int | None, ...]) -> list[str]:
    """What is wrong with one array's form."""
    if array is None:
        return [f"{name} is missing"]
    same = len(array.shape) == len(shape)
    fits = same and all(want in (None, have) for want, have in zip(shape, array.shape, strict=True))
    if not fits or array.size == 0:
        return [f"{name} has shape {array.shape}, not {shape}"]
    if array.dtype.kind not in "fi" or not np.all(np.isfinite(array)):
        return [f"{name} holds what is no finite number"]
    return []


def rising_faults(arrays: Mapping[str, NDArray[Any]]) -> list[str]:
    """Maps that do not rise, bounds the wrong way round, factors and scales that are not positive."""
    faults = []
    for name in ("completion_map", "confidence_map"):
        knots = arrays[name]
        if np.any(np.diff(knots[0]) <= 0.0) or np.any(np.diff(knots[1]) < 0.0):
            faults.append(f"{name} does not rise")
        if np.any(knots[1] < 0.0) or np.any(knots[1] > 1.0):
            faults.append(f"{name} gives no probabilities")
    if np.any(arrays["domain"][:, 0] > arrays["domain"][:, 1]):
        faults.append("domain has bounds the wrong way round")
    for name in ("factors", "interval_scale", "ratio_sd"):
        if np.any(arrays[name] <= 0.0):
            faults.append(f"{name} is not positive")
    if np.any(arrays["keep"] < 0):
        faults.append("keep is negative")
    return faults


def arrays_of_models(models: Models) -> dict[str, NDArray[Any]]:
    """What is stored."""
    stored: dict[str, NDArray[Any]] = {}
    for name in TABLES:
        stored.update({f"{name}.{key}": value for key, value in arrays_of(getattr(models, name)).items()})
    for name in SHAPES_OF_ARRAYS:
        if name != "thin":
            stored[name] = getattr(models, name)
    if models.effects is not None:
        stored["effects"] = models.effects
    stored["thin"] = np.array([models.thin_from, models.thin_slope])
    return stored
