"""How strategies did: lines of figures over orders whose outcome was reported. Pure; docs/performance-report.md.

Every sum is exact before it is rounded (`fsum`), so the order of the rows does not matter.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

# What a cost may be as a fraction of notional: the contract's bounds, so a mean can not lie outside of them either.
LEAST_FRACTION: Final = -1.0
MOST_FRACTION: Final = 1.0
# Quantities are whole millionths of a share; what is missing less than half of one is not missing.
HALF_UNIT_SHARES: Final = 5e-7
# Quantity over average daily volume: from, label. The edge belongs to the bucket above it.
SIZES: Final = (
    (0.0, "under 1 % ADV"), (0.01, "1-5 % ADV"), (0.05, "5-10 % ADV"), (0.1, "10-25 % ADV"), (0.25, "over 25 % ADV"),
)  # fmt: skip
UNKNOWN: Final = "unknown"
BUCKETS: Final = (*(label for _, label in SIZES), UNKNOWN)
# 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom; and the normal distribution's.
T_QUANTILES: Final = (
    12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281,
    2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860,
    2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423,
)  # fmt: skip
NORMAL_QUANTILE: Final = 1.959964


@dataclass(frozen=True, slots=True)
class Executed:
    """One order and its outcome. Costs and impacts are fractions of notional; `day` is the outcome's, "YYYY-MM-DD".
    `predicted_completion` is the forecast's probability, None where the decision told none."""

    day: str
    strategy_name: str
    objective: str
    condition: str
    quantity_shares: float
    daily_volume_shares: float
    venues: tuple[str, ...]
    predicted_cost: float
    predicted_low: float
    predicted_high: float
    cost: float
    impact: float | None
    filled_shares: float
    predicted_completion: float | None = None
    order_id: str = ""

    @property
    def is_complete(self) -> bool:
        return self.filled_shares >= self.quantity_shares - HALF_UNIT_SHARES

    @property
    def is_success(self) -> bool:
        """Filled completely, at a cost of at most the forecast's 90 % quantile."""
        return self.is_complete and self.cost <= self.predicted_high

    @property
    def is_within(self) -> bool:
        """The cost lies within the forecast's 80 % interval."""
        return self.predicted_low <= self.cost <= self.predicted_high


@dataclass(frozen=True, slots=True)
class Line:
    """Figures of one group of orders; `impact` is None where no report told any. The `not_distinguishable` ones are
    against all other orders: of the cost, and of the success rate."""

    label: str
    orders: int
    cost: float
    cost_lower: float
    cost_upper: float
    impact: float | None
    success_rate: float
    predicted_cost: float
    interval_coverage: float
    not_distinguishable: bool
    success_lower: float
    success_upper: float
    success_not_distinguishable: bool
    impact_lower: float | None
    impact_upper: float | None


@dataclass(frozen=True, slots=True)
class Daily:
    """One strategy's orders of one day."""

    strategy_name: str
    day: str
    orders: int
    cost: float
    impact: float | None
    success_rate: float


@dataclass(frozen=True, slots=True)
class Performance:
    """The report; groups with most orders first, sizes by size, days in order."""

    by_strategy: tuple[Line, ...]
    by_objective: tuple[Line, ...]
    by_condition: tuple[Line, ...]
    by_size: tuple[Line, ...]
    by_venue: tuple[Line, ...]
    daily: tuple[Daily, ...]


class Interval(NamedTuple):
    """Of a mean, at 95 %."""

    mean: float
    lower: float
    upper: float


def performance_of(rows: Sequence[Executed]) -> Performance:
    """All lines. An order counts in one line of every kind, but at every venue that its plan gave a share."""
    return Performance(
        by_strategy=_lines(rows, lambda row: (row.strategy_name,)),
        by_objective=_lines(rows, lambda row: (row.objective or UNKNOWN,)),
        by_condition=_lines(rows, lambda row: (row.condition or UNKNOWN,)),
        by_size=tuple(sorted(_lines(rows, lambda row: (size_of(row),)), key=lambda line: BUCKETS.index(line.label))),
        by_venue=_lines(rows, lambda row: row.venues),
        daily=_daily(rows),
    )


def size_of(row: Executed) -> str:
    """The bucket of quantity over average daily volume."""
    if not row.daily_volume_shares > 0.0:
        return UNKNOWN
    share = row.quantity_shares / row.daily_volume_shares
    return [label for least, label in SIZES if share >= least][-1]


def interval_of(values: Sequence[float]) -> Interval:
    """Mean of fractions with Student's t interval, cut to what a fraction may be. One value says nothing of how far
    others lie, so its interval is all of that."""
    count = len(values)
    mean = _mean(values)
    if count < 2:
        return Interval(mean, min(mean, LEAST_FRACTION), max(mean, MOST_FRACTION))
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    half = t_quantile(count - 1) * math.sqrt(variance / count)
    # A mean of values at a bound may be rounded beyond it.
    return Interval(mean, min(mean, max(LEAST_FRACTION, mean - half)), max(mean, min(MOST_FRACTION, mean + half)))


def t_quantile(freedom: int) -> float:
    """97.5 % quantile of Student's t; beyond the table by the Cornish-Fisher expansion, good to 1e-4."""
    if freedom <= len(T_QUANTILES):
        return T_QUANTILES[freedom - 1]
    z = NORMAL_QUANTILE
    first = (z**3 + z) / 4.0
    second = (5.0 * z**5 + 16.0 * z**3 + 3.0 * z) / 96.0
    return z + first / freedom + second / freedom**2


def wilson_of(successes: int, count: int) -> Interval:
    """A share with the score interval of E. B. Wilson (1927, J. Am. Stat. Assoc. 22, 209-212), which stays between 0
    and 1 and says something of a share of 0 or 1 too. `count` > 0."""
    z_squared = NORMAL_QUANTILE**2
    share = successes / count
    middle = (share + z_squared / (2 * count)) / (1 + z_squared / count)
    half = NORMAL_QUANTILE / (1 + z_squared / count)
    half *= math.sqrt(share * (1 - share) / count + z_squared / (4 * count**2))
    # The formula's ends at 0 and 1 are exact, its rounding is not.
    return Interval(share, min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half)))


def _lines(rows: Sequence[Executed], labels: Callable[[Executed], Iterable[str]]) -> tuple[Line, ...]:
    """One line a label, most orders first."""
    groups: dict[str, list[Executed]] = defaultdict(list)
    for row in rows:
        for label in labels(row):
            groups[label].append(row)
    whole = _Whole(len(rows), math.fsum(row.cost for row in rows), sum(row.is_success for row in rows))
    found = [_line(label, group, whole) for label, group in groups.items()]
    return tuple(sorted(found, key=lambda line: (-line.orders, line.label)))


class _Whole(NamedTuple):
    """Of all orders: how many, their costs' sum, how many went well."""

    orders: int
    cost: float
    successes: int


def _line(label: str, group: Sequence[Executed], whole: _Whole) -> Line:
    costs = [row.cost for row in group]
    found = interval_of(costs)
    successes = sum(row.is_success for row in group)
    success = wilson_of(successes, len(group))
    impact = _impact(group)
    others = whole.orders - len(group)
    # Without others there is nothing to tell it from.
    is_like_others = is_as_often = True
    if others:
        is_like_others = found.lower <= (whole.cost - math.fsum(costs)) / others <= found.upper
        is_as_often = success.lower <= (whole.successes - successes) / others <= success.upper
    return Line(
        label=label,
        orders=len(group),
        cost=found.mean,
        cost_lower=found.lower,
        cost_upper=found.upper,
        impact=impact.mean if impact else None,
        success_rate=success.mean,
        predicted_cost=_mean([row.predicted_cost for row in group]),
        interval_coverage=_share(group, lambda row: row.is_within),
        not_distinguishable=is_like_others,
        success_lower=success.lower,
        success_upper=success.upper,
        success_not_distinguishable=is_as_often,
        impact_lower=impact.lower if impact else None,
        impact_upper=impact.upper if impact else None,
    )


def _daily(rows: Sequence[Executed]) -> tuple[Daily, ...]:
    groups: dict[tuple[str, str], list[Executed]] = defaultdict(list)
    for row in rows:
        groups[row.day, row.strategy_name].append(row)
    found = []
    for (day, strategy_name), group in sorted(groups.items()):
        impact = _impact(group)
        found.append(
            Daily(
                strategy_name, day, len(group), _mean([row.cost for row in group]), impact.mean if impact else None,
                _share(group, lambda row: row.is_success),
            )
        )  # fmt: skip
    return tuple(found)


def _impact(group: Sequence[Executed]) -> Interval | None:
    """Over the reports that told one. The contract sets it no bounds but the cost's make sense: beyond counts as at."""
    told = [min(MOST_FRACTION, max(LEAST_FRACTION, row.impact)) for row in group if row.impact is not None]
    return interval_of(told) if told else None


def _share(group: Sequence[Executed], holds: Callable[[Executed], bool]) -> float:
    return sum(map(holds, group)) / len(group)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
