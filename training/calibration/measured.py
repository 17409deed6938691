"""Everything that is measured of a DataSet, each figure with its unit, interval, data and number of rows.

Figures are grouped by market (US, CN, BR, or the name in a market.json) and, where a market has few days, by
symbol and date. Intervals come from whole days (or stretches of minutes) drawn with replacement. Days of one
date share the market's moves, so over many symbols and few dates the truth is less sure than its interval
says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from training.calibration.days import DataSet, MarketDay, QuoteDay
from training.calibration.formats import VENUE_VOLUMES
from training.calibration.gathered import Gathered, Measures
from training.calibration.measured_minutes import condition_figures, return_figures, volume_figures
from training.calibration.measured_quotes import quote_figures
from training.calibration.measured_trades import fill_figures, recovery_figures, touch_figures, venue_figures


def measure(data: DataSet) -> Measures:
    """All figures by name and group; what a folder has no data for is not there."""
    found = Gathered()
    for market, days in by_market(data.days).items():
        return_figures(found, market, days)
        volume_figures(found, market, days)
        condition_figures(found, market, days)
    best = best_quotes(data.quotes)
    quote_figures(found, best, data.days)
    touch_figures(found, data.touches, best)
    fill_figures(found, data.flows)
    recovery_figures(found, data)
    if VENUE_VOLUMES in data.tables:
        venue_figures(found, data.tables[VENUE_VOLUMES])
    return found.measures


def by_market(days: Iterable[MarketDay]) -> dict[str, list[MarketDay]]:
    """Days by the name of their market."""
    groups: dict[str, list[MarketDay]] = defaultdict(list)
    for day in days:
        groups[day.clock.name].append(day)
    return dict(groups)


def best_quotes(quotes: Iterable[QuoteDay]) -> dict[tuple[str, int], QuoteDay]:
    """One of each symbol and date: the last one read, which is the finest."""
    return {(q.symbol, q.date): q for q in quotes}
