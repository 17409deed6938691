"""What the engine answers: a decision, or a refusal that names every reason.

Values of which a decision makes dozens are msgspec structs: as frozen as dataclasses, and made twenty times as fast
(docs/adr/0016).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.values import MarketCondition

ParameterValue: TypeAlias = float | bool | str


class SlicePhase(Enum):
    """CARRY_OVER is what no schedule can trade before the close: not to be sent."""

    CONTINUOUS = 1
    CLOSING_AUCTION = 2
    CARRY_OVER = 3


class Slice(msgspec.Struct, frozen=True):
    start_ns: int
    duration_seconds: float
    quantity_shares: float
    phase: SlicePhase


# Columns of a schedule's table, nanoseconds and whole lots.
SLICE_BEGINS, SLICE_LASTS, SLICE_LOTS, SLICE_PHASE = range(4)
SLICE_COLUMNS = 4
PHASES = {phase.value: phase for phase in SlicePhase}


class Schedule:
    """Quantities are whole lots and sum to the order's quantity. Never changed.

    table (slices, 4) int64: columns above, in time order. An answer's writer reads it; `slices` are values of the same,
    made when somebody looks. largest_shares: of what is sent, so without what is carried over.
    """

    __slots__ = (
        "_slices", "end_ns", "horizon_minutes", "largest_shares", "lot_size_shares", "planned_shares", "start_ns",
        "table",
    )  # fmt: skip

    def __init__(
        self, start_ns: int, end_ns: int, horizon_minutes: float, lot_size_shares: float, table: NDArray[np.int64],
        planned_lots: int, largest_lots: int,
    ) -> None:  # fmt: skip
        self.start_ns = start_ns
        self.end_ns = end_ns
        self.horizon_minutes = horizon_minutes
        self.lot_size_shares = lot_size_shares
        self.table = table
        self.planned_shares = planned_lots * lot_size_shares
        self.largest_shares = largest_lots * lot_size_shares
        self._slices: tuple[Slice, ...] | None = None

    @property
    def slices(self) -> tuple[Slice, ...]:
        if self._slices is None:
            lot = self.lot_size_shares
            self._slices = tuple(
                Slice(begins, lasts / 1e9, lots * lot, PHASES[phase])
                for begins, lasts, lots, phase in self.table.tolist()
            )
        return self._slices

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Schedule):
            return NotImplemented
        own, others = (
            (one.start_ns, one.end_ns, one.horizon_minutes, one.slices) for one in (self, other)
        )  # fmt: skip
        return own == others

    def __hash__(self) -> int:
        return hash((self.start_ns, self.end_ns, self.horizon_minutes))

    def __repr__(self) -> str:
        return f"Schedule({self.start_ns}, {self.end_ns}, {self.horizon_minutes}, {self.slices})"


class RiskControls(msgspec.Struct, frozen=True):
    max_participation_rate: float
    max_slice_shares: float
    price_limit: float
    price_collar_bps: float
    max_spread_bps: float
    volatility_trigger_ratio: float
    schedule_shortfall_trigger_fraction: float


class CostBreakdown(msgspec.Struct, frozen=True):
    """bps of notional at the arrival mid; the first five sum to `expected_cost_bps`."""

    spread_bps: float
    impact_bps: float
    fees_bps: float
    dark_saving_bps: float
    learned_correction_bps: float
    expected_cost_bps: float
    timing_risk_bps: float
    alpha_bps: float
    time_bps: float
    utility_bps: float
    standard_deviation_bps: float


class Outcomes(msgspec.Struct, frozen=True):
    """Forecasts; `_fraction` of notional."""

    cost_fraction: float
    time_minutes: int
    market_impact_fraction: float
    completion_probability: float
    risk_score: float
    standard_deviation_fraction: float
    quantile_10_fraction: float
    quantile_90_fraction: float
    mean_execution_minutes: float
    utility_bps: float


class Choice(msgspec.Struct, frozen=True):
    """One priced candidate, chosen or not."""

    strategy_name: str
    algorithm: str
    parameters: dict[str, ParameterValue]
    outcomes: Outcomes


class Alternative(msgspec.Struct, frozen=True):
    choice: Choice
    utility_difference_bps: float
    cost_difference_bps: float
    reason: str


class FrontierPoint(msgspec.Struct, frozen=True):
    strategy_name: str
    algorithm: str
    expected_cost_bps: float
    standard_deviation_bps: float
    horizon_minutes: float
    chosen: bool


class Flip(msgspec.Struct, frozen=True):
    """Beyond `flip_value` of `input_name` another algorithm would be chosen."""

    input_name: str
    current_value: float
    flip_value: float
    algorithm: str
    strategy_name: str


class Assessment(msgspec.Struct, frozen=True):
    condition: MarketCondition
    detected: bool
    probability: float
    data_condition: MarketCondition
    evidence: str


class ResolvedInputs(msgspec.Struct, frozen=True):
    """Inputs after filling gaps; what the decision really used."""

    mid_price: float
    spread_bps: float
    daily_volatility_fraction: float
    average_daily_volume_shares: float
    short_term_alpha_bps_per_day: float
    available_minutes: float
    expected_market_volume_shares: float
    max_participation_rate: float
    snapshot_as_of_ns: int
    from_snapshot: tuple[str, ...]


class Versions(msgspec.Struct, frozen=True):
    engine: str
    surfaces_sha256: str
    models_sha256: str
    utility_sha256: str
    seed: int
    learned_sha256: str = ""


class Learning(msgspec.Struct, frozen=True):
    """What outcomes had to do with a choice. online_correction_bps: part of `learned_correction_bps` that they added.
    propensity: the probability that the chosen candidate had, 1 without exploration."""

    online_correction_bps: float = 0.0
    propensity: float = 1.0
    explored: bool = False


NOTHING_LEARNED = Learning()


class FixParameter(msgspec.Struct, frozen=True):
    """One repetition of StrategyParametersGrp: 958, 959, 960."""

    name: str
    type_code: int
    value: str


class ToldOfCandidates(Protocol):
    """See engine.told.Told."""

    @property
    def alternatives(self) -> tuple[Alternative, ...]: ...
    @property
    def frontier(self) -> tuple[FrontierPoint, ...]: ...


class Decision(msgspec.Struct, frozen=True):
    """Everything about one decision but its id and time, which the service gives it."""

    order_id: str
    chosen: Choice
    venue_allocation: dict[str, float]
    schedule: Schedule
    risk_controls: RiskControls
    rationale: str
    breakdown: CostBreakdown
    told: ToldOfCandidates
    confidence: float
    assessment: Assessment
    binding_constraints: tuple[str, ...]
    flips: tuple[Flip, ...]
    inputs: ResolvedInputs
    versions: Versions
    fix_target_strategy: int
    fix_parameters: tuple[FixParameter, ...]
    structural_only: bool
    warnings: tuple[str, ...]
    learning: Learning = NOTHING_LEARNED

    @property
    def alternatives(self) -> tuple[Alternative, ...]:
        """The best of each of the next algorithms, best first."""
        return self.told.alternatives

    @property
    def frontier(self) -> tuple[FrontierPoint, ...]:
        """By rising risk."""
        return self.told.frontier


class RefusalKind(Enum):
    """INVALID: the request is wrong by itself. PRECONDITION: it is sound, but cannot be met now."""

    INVALID = "INVALID"
    PRECONDITION = "PRECONDITION"


@dataclass(frozen=True, slots=True)
class Fault:
    """One reason: the contract's field path and what is wrong with it."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class Refusal:
    kind: RefusalKind
    faults: tuple[Fault, ...]
