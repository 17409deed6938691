"""How new figures change what is held of an instrument's market. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from enum import StrEnum

from engine.records import MarketUpdate
from engine.values import Bar, MarketFigure, MarketState

MAX_BARS = 390  # minutes of a US session


class MarketVerdict(StrEnum):
    """What became of an update."""

    APPLIED = "APPLIED"
    STALE = "STALE"  # older than what is held; nothing changed
    UNKNOWN_INSTRUMENT = "UNKNOWN_INSTRUMENT"
    INVALID = "INVALID"  # a figure that is not finite; nothing changed


def merge(held: MarketState, update: MarketUpdate) -> tuple[MarketState, MarketVerdict]:
    """The state after the update. None in the update leaves a figure as it is, and as old as it is.

    An update older than the held state changes nothing, its bars included: it comes from a source that lags, and
    taking half of it would mix two moments. One of the same time is applied, so that sending twice is harmless.
    """
    if update.as_of_ns < held.as_of_ns:
        return held, MarketVerdict.STALE
    if not _is_finite(update):
        return held, MarketVerdict.INVALID
    return (
        MarketState(
            as_of_ns=update.as_of_ns,
            mid_price=_newer(update.mid_price, held.mid_price),
            spread_bps=_newer(update.spread_bps, held.spread_bps),
            daily_volatility_fraction=_newer(
                update.daily_volatility_fraction, held.daily_volatility_fraction
            ),
            average_daily_volume_shares=_newer(
                update.average_daily_volume_shares, held.average_daily_volume_shares
            ),
            short_term_alpha_bps_per_day=_newer(
                update.short_term_alpha_bps_per_day, held.short_term_alpha_bps_per_day
            ),
            bars=_join(held.bars, update.bars),
            figure_times_ns=_times(held, update),
        ),
        MarketVerdict.APPLIED,
    )


def _times(held: MarketState, update: MarketUpdate) -> tuple[int, ...]:
    """When each figure was taken; empty where all that are known were with this update."""
    pairs = (
        (held.mid_price, update.mid_price),
        (held.spread_bps, update.spread_bps),
        (held.daily_volatility_fraction, update.daily_volatility_fraction),
        (held.average_daily_volume_shares, update.average_daily_volume_shares),
        (held.short_term_alpha_bps_per_day, update.short_term_alpha_bps_per_day),
    )
    times = tuple(
        held.taken_ns(figure) if told is None and known is not None else update.as_of_ns
        for figure, (known, told) in zip(MarketFigure, pairs, strict=True)
    )
    return times if any(time != update.as_of_ns for time in times) else ()


def _newer(update: float | None, held: float | None) -> float | None:
    return held if update is None else update


def _join(held: tuple[Bar, ...], new: tuple[Bar, ...]) -> tuple[Bar, ...]:
    """Both, in order of time, one bar an end; where two have the same end the later told wins."""
    if not new:
        return held
    ascending = all(a.end_ns < b.end_ns for a, b in itertools.pairwise(new))
    if ascending and (not held or held[-1].end_ns < new[0].end_ns):  # nearly always
        return (*held, *new)[-MAX_BARS:]
    by_end = {bar.end_ns: bar for bar in (*held, *new)}
    return tuple(by_end[end_ns] for end_ns in sorted(by_end)[-MAX_BARS:])


def _is_finite(update: MarketUpdate) -> bool:
    figures: Iterable[float | None] = (
        update.mid_price,
        update.spread_bps,
        update.daily_volatility_fraction,
        update.average_daily_volume_shares,
        update.short_term_alpha_bps_per_day,
        *(value for bar in update.bars for value in (bar.mid_price, bar.volume_shares, bar.spread_bps)),
    )
    return all(figure is None or math.isfinite(figure) for figure in figures)
