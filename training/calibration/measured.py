"""Everything that is measured of a DataSet, each figure with its unit, interval, data and number of rows.

Figures are grouped by market (US, CN, BR, or the name in a market.json) and, where a market has few days, by
symbol and date. Intervals come from whole days (or stretches of minutes) drawn with replacement. Days of one
date share the market's moves, so over many symbols and few dates the truth is less sure than its interval
says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from training.calibration import fills, follow, resiliency, returns, spreads, stays, touch, volumes
from training.calibration.days import DataSet, MarketDay, QuoteDay, TouchDay
from training.calibration.formats import VENUE_VOLUMES
from training.calibration.real_days import (
    OTHER_OVERNIGHT_FACTOR,
    OVERNIGHT_FACTOR,
    days_apart,
    seed_instruments,
)
from training.calibration.stats import Figure, figure, mean, median, ratio, root_ratio
from training.measures import Array

Measures = dict[str, dict[str, Figure]]
DAYS, SYMBOLS, MINUTES, ORDERS = "days", "symbols", "minutes", "orders"
# Under these the spread is one tick nearly all the time, and its movements are those of a tick.
PINNED_TICKS = 1.5
LEAST_DAYS = 3
MONTH_DAYS = 31
VOLATILITY_LAGS = (1, 2, 4)  # quarter-hours


def measure(data: DataSet) -> Measures:
    """All figures by name and group; what a folder has no data for is not there."""
    found: Measures = defaultdict(dict)
    for market, days in by_market(data.days).items():
        _returns(found, market, days)
        _volumes(found, market, days)
        _conditions(found, market, days)
    best = best_quotes(data.quotes)
    _quotes(found, best, data.days)
    _touches(found, data.touches, best)
    _fills(found, data)
    _recovery(found, data)
    if VENUE_VOLUMES in data.tables:
        _venues(found, data.tables[VENUE_VOLUMES])
    return {name: groups for name, groups in found.items() if groups}


def _put(found: Measures, name: str, group: str, value: Figure | None) -> None:
    if value is not None:
        found[name][group] = value


def by_market(days: Iterable[MarketDay]) -> dict[str, list[MarketDay]]:
    """Days by the name of their market."""
    groups: dict[str, list[MarketDay]] = defaultdict(list)
    for day in days:
        groups[day.clock.name].append(day)
    return dict(groups)


def origin_of(days: Sequence[Any]) -> str:
    """Symbols, dates and files of some days, in a line."""
    symbols, dates = sorted({d.symbol for d in days}), sorted({d.date for d in days})
    files = sorted({d.source for d in days})
    names = ", ".join(symbols) if len(symbols) <= 6 else f"{len(symbols)} symbols"
    span = str(dates[0]) if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    shown = ", ".join(files[:3]) + (f" and {len(files) - 3} more files" if len(files) > 3 else "")
    return f"{names}; {len(dates)} dates, {span}; {shown}"


# ---- minutes


def _returns(found: Measures, market: str, days: Sequence[MarketDay]) -> None:
    sound = [d for d in days if np.isfinite(d.price).all() and float(np.std(d.returns)) > 0.0]
    fine = [d for d in sound if returns.is_fine(d)]
    moving = fine or [d for d in sound if d.width_minutes > 1]
    if len(moving) >= LEAST_DAYS:
        every = moving + [d for d in sound if d.width_minutes > 1 and d not in moving]
        curves = [returns.day_variance_curve(d) for d in every]
        _put(
            found,
            "variance_curve",
            market,
            figure(
                curves,
                mean,
                "variance of a minute over the session's mean, 13 even parts",
                DAYS,
                origin_of(every),
            ),
        )
    level = [(d.symbol, d.date, float(np.exp(0.5 * returns.day_log_variance(d)))) for d in sound]
    _put(
        found,
        "volatility_day_log_sd",
        market,
        figure(
            volumes.within_symbol_terms(level),
            root_ratio,
            "log-sd of a day's volatility around its symbol's usual one",
            SYMBOLS,
            origin_of(sound) if sound else "",
            "the day's own sampling error (about 0.10) is in it",
        ),
    )
    if len(fine) < LEAST_DAYS:
        return
    curve = mean(np.stack([returns.day_variance_curve(d) for d in fine]))
    rows = [returns.standardised(d, curve) for d in fine]
    origin = origin_of(fine)
    terms = [returns.kurtosis_terms(row) for row in rows]
    note = "one-minute returns over the curve and their day's volatility; days whose tick hides them are left out"
    _put(found, "kurtosis_pooled", market, figure(terms, returns.pooled_kurtosis, "", DAYS, origin, note))
    _put(
        found,
        "kurtosis_of_a_day",
        market,
        figure(terms, returns.median_kurtosis, "", DAYS, origin, note + "; median day"),
    )
    _put(
        found,
        "volatility_clustering",
        market,
        figure(
            [returns.clustering_terms(row) for row in rows],
            returns.clustering,
            "autocorrelation of |return| after 1, 5, 15, 30, 60 minutes",
            DAYS,
            origin,
        ),
    )
    _volatility(found, market, fine, rows)


def _volatility(found: Measures, market: str, fine: Sequence[MarketDay], rows: Sequence[Array]) -> None:
    origin = origin_of(fine)
    pairs = follow.bar_pairs(fine)
    squares = known(follow.variance_terms(p) for p in pairs)
    _put(
        found,
        "volatility_log_sd",
        market,
        figure(
            squares,
            root_ratio,
            "log-sd of volatility within a day, its shape taken out (quarter-hours)",
            DAYS,
            origin,
        ),
    )
    lagged = [
        [follow.variance_terms(p, lag) or (np.nan, np.nan) for lag in (0, *VOLATILITY_LAGS)] for p in pairs
    ]
    _put(
        found,
        "volatility_memory",
        market,
        figure(
            lagged,
            _memory_of_halves,
            "autocorrelation of log volatility after 15, 30, 60 minutes",
            DAYS,
            origin,
        ),
    )
    busy = [i for i, d in enumerate(fine) if volumes.is_busy(d)]
    if len(busy) < LEAST_DAYS:
        return
    chosen = [pairs[i] for i in busy]
    _put(
        found,
        "volume_on_volatility",
        market,
        figure(
            known(follow.slope_terms(p, "log_volume") for p in chosen),
            ratio,
            "slope of log volume on log volatility (quarter-hours)",
            DAYS,
            origin,
        ),
    )
    _put(
        found,
        "volume_volatility_correlation",
        market,
        figure(
            known(follow.correlation_terms(p, "log_volume") for p in chosen),
            correlation,
            "correlation of log volume with measured log volatility (quarter-hours)",
            DAYS,
            origin,
        ),
    )
    left = volumes.residual_logs([fine[i] for i in busy])
    terms = [follow.move_terms(rows[i], left[n], volumes.EDGE_MINUTES) for n, i in enumerate(busy)]
    _put(
        found,
        "volume_on_move",
        market,
        figure(
            terms,
            ratio,
            "slope of a minute's log volume on |its own return| in standard deviations",
            DAYS,
            origin,
        ),
    )


def _memory_of_halves(terms: Array) -> Array:
    total = np.nansum(terms, axis=0)
    found: Array = (total[1:, 0] / total[1:, 1]) / (total[0, 0] / total[0, 1])
    return found


def correlation(terms: Array) -> float:
    """Correlation from (units, 6) sums."""
    return float(returns.correlations(terms.sum(axis=0)))


def known(terms: Iterable[Any]) -> list[Any]:
    """What is not None."""
    return [t for t in terms if t is not None]


def _volumes(found: Measures, market: str, days: Sequence[MarketDay]) -> None:
    traded = [d for d in days if float(d.volume_shares.sum()) > 0.0]
    if len(traded) < LEAST_DAYS:
        return
    origin = origin_of(traded)
    _put(
        found,
        "volume_curve",
        market,
        figure(
            [volumes.day_volume_curve(d) for d in traded],
            mean,
            "volume over the session's mean, 13 even parts",
            DAYS,
            origin,
        ),
    )
    _put(
        found,
        "volume_day_log_sd",
        market,
        figure(
            volumes.within_symbol_terms([(d.symbol, d.date, d.total_shares) for d in traded]),
            root_ratio,
            "log-sd of a day's volume around its symbol's usual one",
            SYMBOLS,
            origin,
        ),
    )
    for side, name in (("open_auction_shares", "opening"), ("close_auction_shares", "closing")):
        _put(
            found,
            "auction_volume_log_sd",
            f"{market} {name}",
            figure(
                volumes.within_symbol_terms([(d.symbol, d.date, getattr(d, side)) for d in traded]),
                root_ratio,
                "log-sd of an auction's volume around its symbol's usual one",
                SYMBOLS,
                origin,
            ),
        )
    busy = [d for d in traded if volumes.is_busy(d)]
    if len(busy) < LEAST_DAYS:
        return
    rows = {w: volumes.residual_logs(busy, w) for w in volumes.WINDOWS_MINUTES}
    terms = [[volumes.square_terms(rows[w][i]) for w in volumes.WINDOWS_MINUTES] for i in range(len(busy))]
    _put(
        found,
        "volume_noise_log_sd",
        market,
        figure(
            terms,
            _each_root_ratio,
            "log-sd of volume around the curve in windows of 1, 5, 15, 30 minutes",
            DAYS,
            origin_of(busy),
            "days that trade in 95 % of their minutes",
        ),
    )
    _put(
        found,
        "volume_memory",
        market,
        figure(
            [volumes.memory_terms(row) for row in rows[1]],
            volumes.memory,
            "autocorrelation of log volume around the curve after 1, 5, 15, 30, 60 minutes",
            DAYS,
            origin_of(busy),
        ),
    )


def _each_root_ratio(terms: Array) -> Array:
    total = terms.sum(axis=0)
    found: Array = np.sqrt(total[:, 0] / total[:, 1])
    return found


def _conditions(found: Measures, market: str, days: Sequence[MarketDay]) -> None:
    tables = stays.condition_counts([d for d in days if d.width_minutes == 1 and np.isfinite(d.price).all()])
    if len(tables) < LEAST_DAYS:
        return
    origin = origin_of(days)
    note = (
        "as the shipped classifier sees the last hour, every five minutes; to be held against the same of "
        "simulated days"
    )
    for name, statistic, unit in (
        ("condition_time_shares", stays.time_shares, "share of time, in the order of CONDITIONS"),
        ("condition_overall_stay", stays.overall_stay, "minutes between changes of condition"),
        ("condition_stays", stays.mean_stays, "mean stay in minutes, in the order of CONDITIONS"),
    ):
        _put(found, name, market, figure(tables, statistic, unit, DAYS, origin, note))
    _put(
        found,
        "condition_next",
        market,
        figure(
            tables,
            lambda t: stays.next_shares(t).ravel(),
            "6 x 6 shares of where a condition goes, row by row",
            DAYS,
            origin,
            note,
        ),
    )


# ---- quotes


def best_quotes(quotes: Iterable[QuoteDay]) -> dict[tuple[str, int], QuoteDay]:
    """One of each symbol and date: the last one read, which is the finest."""
    return {(q.symbol, q.date): q for q in quotes}


def _quotes(found: Measures, best: dict[tuple[str, int], QuoteDay], days: Sequence[MarketDay]) -> None:
    minutes = {(d.symbol, d.date): d for d in days if d.width_minutes == 1}
    loose: dict[str, list[QuoteDay]] = defaultdict(list)
    for key, quotes in best.items():
        wide = float(np.nanmean(quotes.spread_ticks))
        _one_quote_day(found, quotes, minutes.get(key), f"mean spread {wide:.3g} ticks")
        loose[f"{quotes.clock.name} {'pinned' if wide < PINNED_TICKS else 'free'}"].append(quotes)
    for group, own in loose.items():
        _spread_noise(found, group, own, minutes)


def _one_quote_day(found: Measures, quotes: QuoteDay, day: MarketDay | None, note: str) -> None:
    group, source = f"{quotes.symbol} {quotes.date}", quotes.source
    volume = day.total_shares if day is not None else seed_volume(quotes.symbol, quotes.date)
    depth = spreads.depth_share(quotes, volume)
    variance = spreads.day_variance(quotes) * OVERNIGHT_FACTOR.get(quotes.clock.name, OTHER_OVERNIGHT_FACTOR)
    bps = spreads.median_spread_bps(quotes)
    moves = (bps / 1e4) ** 2 / variance if variance > 0 else float("nan")
    for name, value, unit in (
        ("spread_bps", bps, "median quoted spread, bps"),
        ("spread_ticks_mean", float(np.nanmean(quotes.spread_ticks)), "mean quoted spread, ticks"),
        (
            "day_volatility_bps",
            1e4 * float(np.sqrt(variance)),
            "whole-day volatility by the day's realised variance, bps",
        ),
        ("depth_share", depth, "median shares at the best price, of the day's volume"),
        ("depth_over_spread_move", depth / moves, "depth share over (spread / daily volatility) squared"),
        (
            "spread_log_sd_of_a_day",
            float(np.nanstd(spreads.spread_residual(quotes))),
            "log-sd of a minute's mean spread, slow shape taken out",
        ),
        (
            "depth_log_sd",
            spreads.depth_log_sd(quotes),
            "log-sd of the shares at the best bid, minute by minute",
        ),
    ):
        _put(found, name, group, figure([value], median, unit, DAYS, source, note))
    _put(
        found,
        "spread_in_ticks",
        group,
        figure(
            [spreads.tick_shares(quotes)],
            mean,
            f"share of time at {', '.join(spreads.TICK_LABELS)} ticks",
            DAYS,
            source,
            note,
        ),
    )


def seed_volume(symbol: str, date: int) -> float:
    """The seed's daily volume of the symbol where it was made of this very time; nan else."""
    record = seed_instruments().get(symbol)
    if record is None or abs(days_apart(record["market"]["as_of_ns"], date)) > MONTH_DAYS:
        return float("nan")
    return float(record["market"]["average_daily_volume_shares"])


def _spread_noise(
    found: Measures, group: str, quotes: Sequence[QuoteDay], minutes: dict[tuple[str, int], MarketDay]
) -> None:
    origin = origin_of(quotes)
    left = [spreads.spread_residual(q) for q in quotes]
    note = "slow shape of each day taken out" + (
        "; the spread is one tick nearly always" if "pinned" in group else ""
    )
    _put(
        found,
        "spread_log_sd",
        group,
        figure(
            [volumes.square_terms(row) for row in left],
            root_ratio,
            "log-sd of a minute's mean spread",
            DAYS,
            origin,
            note,
        ),
    )
    _put(
        found,
        "spread_distribution",
        group,
        figure(
            [spreads.residual_shares(row) for row in left],
            mean,
            "share of minutes by log spread around its slow shape, bins from "
            f"{spreads.RESIDUAL_EDGES[0]:g} to {spreads.RESIDUAL_EDGES[-1]:g}",
            DAYS,
            origin,
            note,
        ),
    )
    if "free" in group:
        _put(
            found,
            "spread_memory",
            group,
            figure(
                [volumes.memory_terms(row) for row in left if row.size > max(volumes.LAGS_MINUTES)],
                volumes.memory,
                "autocorrelation of a minute's log spread after 1, 5, 15, 30, 60 minutes",
                DAYS,
                origin,
                note,
            ),
        )
    pairs = [follow.volatility_pairs(q, minutes.get((q.symbol, q.date))) for q in quotes]
    for name, column in (("spread_on_volatility", "log_spread"), ("volume_on_volatility_5min", "log_volume")):
        _put(
            found,
            name,
            group,
            figure(
                known(follow.slope_terms(p, column) for p in pairs),
                ratio,
                f"slope of {column.replace('_', ' ')} on log volatility (five minutes)",
                DAYS,
                origin,
            ),
        )
    for name, column in (
        ("spread_volatility_correlation", "log_spread"),
        ("volume_volatility_correlation_5min", "log_volume"),
    ):
        _put(
            found,
            name,
            group,
            figure(
                known(follow.correlation_terms(p, column) for p in pairs),
                correlation,
                f"correlation of {column.replace('_', ' ')} with measured log volatility (five minutes)",
                DAYS,
                origin,
            ),
        )


# ---- the touch


def _touches(found: Measures, touches: Sequence[TouchDay], best: dict[tuple[str, int], QuoteDay]) -> None:
    groups: dict[str, list[TouchDay]] = defaultdict(list)
    for day in touches:
        groups[f"{day.clock.name} {day.symbol}" if day.clock.name != "BR" else "BR"].append(day)
    for group, own in groups.items():
        origin = origin_of(own)
        _put(
            found,
            "touch_share",
            group,
            figure(
                [touch.side_share_terms(d) for d in own],
                ratio,
                "volume against one side of the touch, of all volume",
                DAYS,
                origin,
            ),
        )
        if any(np.nansum(d.off_exchange_shares) > 0 for d in own):
            _put(
                found,
                "off_exchange_share",
                group,
                figure(
                    [touch.off_exchange_terms(d) for d in own],
                    ratio,
                    "volume off exchanges, of all volume",
                    DAYS,
                    origin,
                ),
            )
        quoted = [(d, best[(d.symbol, d.date)]) for d in own if (d.symbol, d.date) in best]
        minutes = [touch.touch_minutes(d, q) for d, q in quoted]
        blocks = [touch.minute_blocks(m) for m in minutes if m.lean.size]
        if blocks:
            terms = np.concatenate(blocks)
            count = int(terms[:, 0].sum())
            for name, statistic, unit in (
                ("lean_sd", touch.lean_sd, "sd of a minute's (bought - sold)/(bought + sold) at the touch"),
                (
                    "touch_share_log_sd",
                    touch.share_log_sd,
                    "log-sd of the part of a minute's volume that is at the touch",
                ),
                (
                    "information_half_spreads",
                    touch.information,
                    "half-spreads the mid moves in a minute with a lean of one standard deviation",
                ),
            ):
                _put(found, name, group, figure(terms, statistic, unit, MINUTES, origin, samples=count))


def _fills(found: Measures, data: DataSet) -> None:
    for flow in data.flows:
        group, origin = f"{flow.symbol} {flow.date}", flow.source
        note = "one exchange's queue and flow" if flow.clock.name == "US" else ""
        for pegged, name in ((False, "fill_rate_resting"), (True, "fill_rate_pegged")):
            orders = fills.passive_fills(flow, pegged)
            if not orders.waited_minutes.size:
                continue
            terms = fills.block_terms(orders)
            count = int(terms[:, 0].sum())
            _put(
                found,
                name,
                group,
                figure(
                    terms,
                    fills.fill_rates,
                    "share of small orders at the touch filled within 1, 5, 10 minutes",
                    ORDERS,
                    origin,
                    note,
                    count,
                ),
            )
            _put(
                found,
                name.replace("fill_rate", "moved_against"),
                group,
                figure(
                    terms,
                    fills.moved_half_spreads,
                    "half-spreads the mid moves against a fill within 1 and 5 minutes",
                    ORDERS,
                    origin,
                    note,
                    count,
                ),
            )


def _recovery(found: Measures, data: DataSet) -> None:
    for stream in [*data.streams, *(resiliency.of_flow(flow) for flow in data.flows)]:
        after = resiliency.recovery(stream)
        if after is None or len(after.spread) < LEAST_DAYS:
            continue
        statistics: tuple[tuple[str, Array, Callable[[Array], Any]], ...] = (
            ("spread_after_large_trade", after.spread, mean),
            ("depth_after_large_trade", after.depth, median),
        )
        lags = ", ".join(f"{lag:g}" for lag in resiliency.LAGS_S)
        for name, rows, statistic in statistics:
            _put(
                found,
                name,
                after.name,
                figure(
                    rows,
                    statistic,
                    f"over its median, {lags} s after",
                    "large trades",
                    after.name,
                    "trades larger than 99 % of the stream",
                ),
            )


def _venues(found: Measures, table: Any) -> None:
    """Volume by day, venue and session: auctions' day-to-day noise and the share off exchanges."""
    for session, name in (("Open", "opening"), ("Close", "closing")):
        own = table[table["TOD"] == session].groupby(["Symbol", "Date"])["Volume"].sum()
        values = [(str(symbol), int(date), float(volume)) for (symbol, date), volume in own.items()]
        _put(
            found,
            "auction_volume_log_sd",
            f"US 2014 {name}",
            figure(
                volumes.within_symbol_terms(values),
                root_ratio,
                "log-sd of an auction's volume around its symbol's usual one",
                SYMBOLS,
                f"{VENUE_VOLUMES}: {len(values)} symbol-days",
            ),
        )
    day = (
        table.assign(off=table["Volume"] * (table["Exchange"] == "FINRA"))
        .groupby(["Symbol", "Date"])[["off", "Volume"]]
        .sum()
    )
    _put(
        found,
        "off_exchange_share",
        "US 2014",
        figure(
            day.to_numpy(dtype=np.float64),
            ratio,
            "volume off exchanges, of all volume",
            DAYS,
            f"{VENUE_VOLUMES}: {len(day)} symbol-days",
        ),
    )
