"""When an order is looked at again and what a switch must gain: every threshold in one table.

Volatility's and the shortfall's thresholds stand in the plan's RiskControls (1.6 and 10 % of the order).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Playing:
    """How a remainder is played out (rollout.py).

    pairs: mirrored pairs of paths on which the best of all rivals is found; confirming_pairs: fresh ones on which that
    one alone is held against the plan in force, 0: none. rivals: of the models' best. knows_day: the day's volume and
    volatility are drawn from what the bars say of them. keeps_late: a plan that would have to break the participation
    limit to be done in time is played out as it is, late, and not left for that alone.
    """

    pairs: int = 48
    confirming_pairs: int = 96
    rivals: int = 12
    knows_day: bool = True
    keeps_late: bool = True


@dataclass(frozen=True, slots=True)
class Switching:
    """What a switch costs and must gain, bps of the remainder.

    switch_bps, retune_bps: of another algorithm, of another schedule of the same (assumed: a gateway's own work).
    working_spread_part: part of the spread lost on what rests in the market, whose place in the queue is given up
    (assumed: the half-spread of crossing later, half of the time). tolerance: what must be gained beyond that, the
    larger of bps and a fraction of the utility; progress_factor: of it, where no market change but the order's own
    progress asks. tolerance_errors: standard errors of the two plans' difference as they were played out, on top of the
    tolerance. dwell_ns: after a switch, only what cannot wait switches again so soon. The last four are measured
    (`python -m benchmarks.adapt.tune`, docs/adr/0018).
    """

    switch_bps: float = 0.2
    retune_bps: float = 0.05
    working_spread_part: float = 0.25
    tolerance_bps: float = 0.5
    tolerance_fraction: float = 0.05
    tolerance_errors: float = 1.0
    progress_factor: float = 6.0
    dwell_ns: int = 2 * 60_000_000_000
    playing: Playing = Playing()


@dataclass(frozen=True, slots=True)
class Rules:
    """The thresholds of the triggers, and what follows one.

    sure_probability: a condition read from bars counts from it on; below, the one before is kept.
    spread_minutes: newest bars whose median spread stands for the spread of now.
    spread_ratio: the quoted spread doubles or halves; half-spreads are the cost that a change of it moves most.
    volume_ratio: expected volume falls to 60 % or rises by two thirds; square-root impact then moves by 30 %.
    news_step: a quarter of the news score's range.
    alpha_step_volatilities: drift of half a daily volatility a day is worth a median order's spread within the session.
    participation_ratio: our rate is twice the plan's or half of it, once the market traded `least_market_fraction` of
    its day (2 %: about 8 minutes' bars, so that a slice more or less is no drift). Rates below `least_participation`
    are all alike.
    limit_spreads: the mid is within so many spreads of the price to stop at.
    deadline_demand: what is left takes this part of all that the participation limit allows until the deadline; a fifth
    is left to act.
    """

    sure_probability: float = 0.6
    spread_minutes: int = 10
    spread_ratio: float = 2.0
    volume_ratio: float = 5.0 / 3.0
    news_step: float = 0.25
    alpha_step_volatilities: float = 0.5
    participation_ratio: float = 2.0
    least_market_fraction: float = 0.02
    least_participation: float = 0.01
    limit_spreads: float = 1.0
    deadline_demand: float = 0.8
    switching: Switching = Switching()


RULES: Final = Rules()
