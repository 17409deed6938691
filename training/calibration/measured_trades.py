"""What trades say: who takes at the touch, whether resting orders fill, how a book recovers, where volume goes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from training.calibration import fills, resiliency, touch, volumes
from training.calibration.days import DataSet, OrderFlow, QuoteDay, TouchDay
from training.calibration.formats import VENUE_VOLUMES
from training.calibration.gathered import (
    DAYS,
    LARGE_TRADES,
    LEAST_DAYS,
    MINUTES,
    ORDERS,
    SYMBOLS,
    Gathered,
    origin_of,
)
from training.calibration.stats import mean, median, ratio, root_ratio
from training.measures import Array

OFF_EXCHANGE = "volume off exchanges, of all volume"


def touch_figures(
    found: Gathered, touches: Sequence[TouchDay], best: Mapping[tuple[str, int], QuoteDay]
) -> None:
    """Volume against the touch, off exchanges, and what a lean of the takers does to the price."""
    groups: dict[str, list[TouchDay]] = defaultdict(list)
    for day in touches:
        groups[f"{day.clock.name} {day.symbol}" if day.clock.name != "BR" else "BR"].append(day)
    for group, own in groups.items():
        origin = origin_of(own)
        found.add(
            "touch_share", group, [touch.side_share_terms(d) for d in own], ratio,
            "volume against one side of the touch, of all volume", DAYS, origin,
        )  # fmt: skip
        if any(np.nansum(d.off_exchange_shares) > 0 for d in own):
            terms = [touch.off_exchange_terms(d) for d in own]
            found.add("off_exchange_share", group, terms, ratio, OFF_EXCHANGE, DAYS, origin)
        quoted = [(d, best[(d.symbol, d.date)]) for d in own if (d.symbol, d.date) in best]
        minutes = [touch.touch_minutes(d, q) for d, q in quoted]
        blocks = [touch.minute_blocks(m) for m in minutes if m.lean.size]
        if blocks:
            _lean(found, group, np.concatenate(blocks), origin)


def _lean(found: Gathered, group: str, terms: Array, origin: str) -> None:
    count = int(terms[:, 0].sum())
    for name, statistic, unit in (
        ("lean_sd", touch.lean_sd, "sd of a minute's (bought - sold)/(bought + sold) at the touch"),
        (
            "touch_share_log_sd", touch.share_log_sd,
            "log-sd of the part of a minute's volume that is at the touch",
        ),
        (
            "information_half_spreads", touch.information,
            "half-spreads the mid moves in a minute with a lean of one standard deviation",
        ),
    ):  # fmt: skip
        found.add(name, group, terms, statistic, unit, MINUTES, origin, samples=count)


def fill_figures(found: Gathered, flows: Sequence[OrderFlow]) -> None:
    """How soon small resting orders fill, and what the price does to them afterwards."""
    for flow in flows:
        group, origin = f"{flow.symbol} {flow.date}", flow.source
        note = "one exchange's queue and flow" if flow.clock.name == "US" else ""
        for pegged, kind in ((False, "resting"), (True, "pegged")):
            orders = fills.passive_fills(flow, pegged)
            if not orders.waited_minutes.size:
                continue
            terms = fills.block_terms(orders)
            count = int(terms[:, 0].sum())
            found.add(
                f"fill_rate_{kind}", group, terms, fills.fill_rates,
                "share of small orders at the touch filled within 1, 5, 10 minutes", ORDERS, origin, note, count,
            )  # fmt: skip
            found.add(
                f"moved_against_{kind}", group, terms, fills.moved_half_spreads,
                "half-spreads the mid moves against a fill within 1 and 5 minutes", ORDERS, origin, note, count,
            )  # fmt: skip


def recovery_figures(found: Gathered, data: DataSet) -> None:
    """Spread and depth after large trades."""
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
            found.add(
                name, after.name, rows, statistic, f"over its median, {lags} s after", LARGE_TRADES, after.name,
                "trades larger than 99 % of the stream",
            )  # fmt: skip


def venue_figures(found: Gathered, table: Any) -> None:
    """Volume by day, venue and session (a pandas frame): auctions' day-to-day noise and the share off exchanges."""
    for session, name in (("Open", "opening"), ("Close", "closing")):
        own = table[table["TOD"] == session].groupby(["Symbol", "Date"])["Volume"].sum()
        values = [(str(symbol), int(date), float(volume)) for (symbol, date), volume in own.items()]
        found.add(
            "auction_volume_log_sd", f"US 2014 {name}", volumes.within_symbol_terms(values), root_ratio,
            volumes.AUCTION_LOG_SD, SYMBOLS, f"{VENUE_VOLUMES}: {len(values)} symbol-days",
        )  # fmt: skip
    day = (
        table.assign(off=table["Volume"] * (table["Exchange"] == "FINRA"))
        .groupby(["Symbol", "Date"])[["off", "Volume"]]
        .sum()
    )
    found.add(
        "off_exchange_share", "US 2014", day.to_numpy(dtype=np.float64), ratio, OFF_EXCHANGE, DAYS,
        f"{VENUE_VOLUMES}: {len(day)} symbol-days",
    )  # fmt: skip
