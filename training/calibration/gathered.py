"""Where measured figures are gathered, by name and group, and what is said of the days that they came from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from training.calibration import returns
from training.calibration.stats import Figure, Statistic, figure
from training.measures import Array

Measures: TypeAlias = dict[str, dict[str, Figure]]

# What a figure's units are.
DAYS, SYMBOLS, MINUTES, ORDERS, LARGE_TRADES = "days", "symbols", "minutes", "orders", "large trades"
LEAST_DAYS = 3


class Gathered:
    """Figures by name and group, in the order in which they were added."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, Figure]] = defaultdict(dict)

    def add(
        self, name: str, group: str, terms: Any, statistic: Statistic, unit: str, sampled: str, origin: str,
        note: str = "", samples: int | None = None,
    ) -> None:  # fmt: skip
        """`stats.figure` of the terms under that name; nothing where there is nothing to measure."""
        value = figure(terms, statistic, unit, sampled, origin, note, samples)
        if value is not None:
            self._found[name][group] = value

    @property
    def measures(self) -> Measures:
        return dict(self._found)


def origin_of(days: Sequence[Any]) -> str:
    """Symbols, dates and files of some days, in a line."""
    symbols, dates = sorted({d.symbol for d in days}), sorted({d.date for d in days})
    files = sorted({d.source for d in days})
    names = ", ".join(symbols) if len(symbols) <= 6 else f"{len(symbols)} symbols"
    span = str(dates[0]) if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    shown = ", ".join(files[:3]) + (f" and {len(files) - 3} more files" if len(files) > 3 else "")
    return f"{names}; {len(dates)} dates, {span}; {shown}"


def known(terms: Iterable[Any]) -> list[Any]:
    """What is not None."""
    return [t for t in terms if t is not None]


def correlation(terms: Array) -> float:
    """Correlation from (units, 6) sums."""
    return float(returns.correlations(terms.sum(axis=0)))
