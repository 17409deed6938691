"""From a request and the snapshot to the numbers a decision is made from. Everything missing is named at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.decision import Assessment, Fault, Refusal, RefusalKind, ResolvedInputs
from engine.request import OrderRequest
from engine.sessions import MINUTE_NS, SessionPoint, locate, minute_of, start_of
from engine.snapshot import InstrumentView, Snapshot, estimate_condition
from engine.values import CONDITIONS, Bar, MarketCondition, MarketFigure, MarketState, Venue, VenueKind
from engine.venues import VenueFacts, facts_of, lit_volume_left
from engine.words import exact

# daily_volatility is scaled by these where the gateway names a regime instead of a figure.
VOLATILITY_REGIMES = {"": 1.0, "LOW": 0.7, "NORMAL": 1.0, "HIGH": 1.5, "EXTREME": 2.5}
# Where the market is closed, time_of_day picks the start within the next session, as a part of it.
TIME_OF_DAY_FRACTIONS = {"OPEN": 0.0, "MORNING": 0.15, "MIDDAY": 0.45, "AFTERNOON": 0.7, "CLOSE": 0.92}
# Bars older than this before the start say nothing about the condition now.
BARS_VALID_NS = 60 * 60_000_000_000
# A bar may end so long after the start: that of the minute under way, or of a clock that goes a little fast.
BARS_AHEAD_NS = MINUTE_NS
# The snapshot's figures by the names that answers have for them.
FIGURES = {
    "mid_price": MarketFigure.MID_PRICE, "spread_bps": MarketFigure.SPREAD, "daily_volatility": MarketFigure.VOLATILITY,
    "average_daily_volume": MarketFigure.VOLUME, "short_term_alpha_bps_per_day": MarketFigure.ALPHA,
}  # fmt: skip
# Figures of the snapshot that change from day to day, and when they are told to be old. The others are told where a
# quote would be stale.
LONG_RUN = frozenset({"daily_volatility", "average_daily_volume"})
LONG_RUN_STALE_MINUTES = 24.0 * 60.0
# Conditions less probable than this are left out of the mixture.
LEAST_PROBABILITY = 0.02
LEAST_FIGURE = math.ulp(0.0)  # a figure above zero


class Resolved(msgspec.Struct, frozen=True):
    """Everything the kernel's context, the venues, the schedule and the rationale need.

    lit_left_fraction: of the volume on the instrument's lit venues what trades on those that the request leaves.
    close_auction_fraction: of the day's volume what the closing auction has, 0 where its venue is not left.
    day_minutes: trading minutes of the day that daily figures (volume, volatility, alpha) are of; those of the session
    but on half days. `cumulative` is in such days too.
    """

    request: OrderRequest
    view: InstrumentView
    point: SessionPoint
    start_ns: int
    cumulative: NDArray[np.float64]
    day_minutes: float
    lit: tuple[Venue, ...]
    dark: tuple[Venue, ...]
    venues: VenueFacts
    weights: NDArray[np.float64]
    assessment: Assessment
    inputs: ResolvedInputs
    lit_left_fraction: float
    close_auction_fraction: float
    minutes_to_close: float
    limit_room_bps: float
    participation_from_request: bool
    warnings: tuple[str, ...]

    @property
    def alpha_against_bps_per_day(self) -> float:
        """Drift that hurts the order while it waits."""
        return self.request.side.sign * self.inputs.short_term_alpha_bps_per_day


def resolve(request: OrderRequest, snapshot: Snapshot) -> Resolved | Refusal:
    """Fills every gap, or names all that cannot be filled."""
    invalid = instrument_faults(request.instrument_id, request.quantity_shares, snapshot)
    if invalid:
        return Refusal(RefusalKind.INVALID, tuple(invalid))
    view = snapshot.views[request.instrument_id]
    missing = missing_inputs(request, view)
    lit, dark = allowed_venues(request, view)
    if not lit:
        text = "no lit venue of the instrument is left by venue_restrictions and allowed_venues"
        missing.append(Fault("constraints.venue_restrictions", text))
    elif lit is not view.lit and lit_volume_left(lit, view.lit) <= 0.0:
        text = "as far as is known nothing trades on the lit venues left by venue_restrictions and allowed_venues"
        missing.append(Fault("constraints.venue_restrictions", text))
    if request.constraints.dark_pool_preference and not dark and has_dark_venue(view):
        text = "dark_pool_preference is set, but no dark venue of the instrument is left"
        missing.append(Fault("constraints.dark_pool_preference", text))
    point = locate(view.sessions, request.start_ns)
    if point is None:
        missing.append(Fault("effective_time", f"outside the sessions known of calendar {view.instrument.calendar}"))
    if missing or point is None:
        return Refusal(RefusalKind.PRECONDITION, tuple(missing))
    return resolve_numbers(request, snapshot, view, point, lit, dark)


def has_dark_venue(view: InstrumentView) -> bool:
    """Where there is none at all, a preference for dark venues has nothing to prefer."""
    return any(venue.kind is VenueKind.DARK for venue in view.instrument.venues)


def instrument_faults(instrument_id: str, quantity_shares: float, snapshot: Snapshot) -> list[Fault]:
    """What is wrong with an order against the instruments known: unknown, or not in whole lots."""
    view = snapshot.views.get(instrument_id)
    if view is None:
        return [Fault("instrument_id", f"unknown instrument {instrument_id[:64]!r}")]
    lot = view.instrument.lot_size_shares
    if not math.isfinite(quantity_shares) or quantity_shares <= 0.0:
        return []  # said by the contract's own rules
    lots = quantity_shares / lot
    if abs(lots - round(lots)) > 1e-9 * max(1.0, abs(lots)) or round(lots) < 1:
        return [Fault("quantity", f"{exact(quantity_shares)} is not a whole multiple of the lot size {lot:g}")]
    return []


def missing_inputs(request: OrderRequest, view: InstrumentView) -> list[Fault]:
    """Figures that neither the request nor the snapshot has, or that are no figure: NaN, infinite, zero, negative.

    Only a spread may be zero.
    """
    context, market = request.context, view.market
    rows = (
        ("mid_price", context.mid_price, market.mid_price, LEAST_FIGURE),
        ("spread_bps", context.spread_bps, market.spread_bps, 0.0),
        ("daily_volatility", context.daily_volatility_fraction, market.daily_volatility_fraction, LEAST_FIGURE),
        ("average_daily_volume", context.average_daily_volume_shares, market.average_daily_volume_shares, LEAST_FIGURE),
    )
    faults = []
    for name, said, known, smallest in rows:
        value = known if said is None else said
        if value is None:
            faults.append(Fault(f"market_context.{name}", "neither the request nor the instrument's snapshot has it"))
        elif not smallest <= value < math.inf:
            source = "instrument's snapshot" if said is None else "request"
            faults.append(Fault(f"market_context.{name}", f"the {source} says {value:g}, no figure to plan with"))
    alpha = context.short_term_alpha_bps_per_day
    if not math.isfinite((market.short_term_alpha_bps_per_day or 0.0) if alpha is None else alpha):
        faults.append(Fault("market_context.short_term_alpha_bps_per_day", "it is not finite"))
    return faults


def allowed_venues(request: OrderRequest, view: InstrumentView) -> tuple[tuple[Venue, ...], tuple[Venue, ...]]:
    """(lit, dark) venues of the instrument that the request leaves."""
    constraints = request.constraints
    if not constraints.excluded_venues and not constraints.allowed_venues:
        return view.lit, view.dark
    left = [
        venue
        for venue in view.instrument.venues
        if venue.mic not in constraints.excluded_venues
        and (not constraints.allowed_venues or venue.mic in constraints.allowed_venues)
    ]
    lit = tuple(v for v in left if v.kind is VenueKind.LIT)
    return lit, tuple(v for v in left if v.kind is VenueKind.DARK)


def resolve_numbers(request: OrderRequest, snapshot: Snapshot, view: InstrumentView, point: SessionPoint,
                    lit: tuple[Venue, ...], dark: tuple[Venue, ...]) -> Resolved:
    warnings: list[str] = []
    if request.constraints.dark_pool_preference and not dark:
        warnings.append("dark_pool_preference has no effect: the instrument has no dark venue")
    point = start_point(request, point, view.open_local_minute, warnings)
    if point.session.open_ns >= view.sessions.assumed_from_ns:
        calendar = view.instrument.calendar
        warnings.append(f"the holidays of calendar {calendar} are not known that far ahead: a usual session is assumed")
    start_ns = start_of(point.session, point.minute)
    if point.is_open:
        start_ns = max(start_ns, request.start_ns)
    cumulative, day_minutes = view.day_of(point.session, point.session_minutes)
    if cumulative is not view.cumulative and view.usual_minutes(point.session) != round(point.session_minutes):
        part = "" if day_minutes == point.session_minutes else f" {day_minutes:.0f}, and that part of a day's volume"
        warnings.append(f"the session of the plan has {point.session_minutes:.0f} trading minutes, not the usual{part}")
    weights, assessment = assess(request, view, start_ns, warnings)
    to_close = point.session_minutes - point.minute
    limit = request.constraints.time_limit_minutes
    available = min(to_close, float(limit)) if limit is not None else to_close
    inputs = resolved_inputs(request, snapshot, view, weights, available, cumulative, point.minute, warnings)
    left, auction = 1.0, view.instrument.close_auction_fraction
    if lit is not view.lit:
        inputs, left, auction = within_venues(inputs, view, lit, warnings)
    price_limit = request.constraints.price_limit
    room = 1e9
    if price_limit is not None:
        room = request.side.sign * (price_limit / inputs.mid_price - 1.0) * 1e4
    return Resolved(
        request=request, view=view, point=point, start_ns=start_ns, cumulative=cumulative,
        day_minutes=day_minutes, lit=lit, dark=dark,
        venues=view.venues if lit is view.lit and dark is view.dark else facts_of(lit, dark), weights=weights,
        assessment=assessment, inputs=inputs, lit_left_fraction=left, close_auction_fraction=auction,
        minutes_to_close=to_close, limit_room_bps=room,
        participation_from_request=request.constraints.max_participation_rate is not None, warnings=tuple(warnings),
    )


def start_point(request: OrderRequest, point: SessionPoint, open_local_minute: float,
                warnings: list[str]) -> SessionPoint:
    """Where the plan starts. The clock decides while the market is open; else time_of_day may pick the moment."""
    said = request.context.time_of_day.upper()
    if point.is_open:
        if said and abs(said_minute(said, point, open_local_minute) - point.minute) > 0.25 * point.session_minutes:
            warnings.append(f"time_of_day {said} disagrees with the clock; the clock was used")
        return point
    minute = max(said_minute(said, point, open_local_minute), point.minute) if said else point.minute
    minute = max(min(minute, point.session_minutes - 5.0), 0.0)
    warnings.append("the market is closed at the effective time; planned for when it trades next")
    return SessionPoint(point.session, minute, point.session_minutes, False)


def said_minute(said: str, point: SessionPoint, open_local_minute: float) -> float:
    """Minute of the session that a time_of_day means: a part of the session, or an exchange-local clock time."""
    if said in TIME_OF_DAY_FRACTIONS:
        return TIME_OF_DAY_FRACTIONS[said] * point.session_minutes
    hours, minutes, *seconds = (int(part) for part in said.split(":"))
    local_minute = hours * 60 + minutes + sum(seconds) / 60.0
    instant_ns = point.session.open_ns + round((local_minute - open_local_minute) * MINUTE_NS)
    return minute_of(point.session, instant_ns)


def assess(request: OrderRequest, view: InstrumentView, start_ns: int,
           warnings: list[str]) -> tuple[NDArray[np.float64], Assessment]:
    """(weights over CONDITIONS that sum to 1, what is told about them). The gateway's word is used where given."""
    estimate = view.estimate
    bars = brought = request.context.bars
    if brought:
        bars = bars_read(brought, start_ns)
        if not bars:
            warnings.append("recent_bars were left out: none ends within the hour before the start")
        elif len(bars) < len(brought):
            count = len(brought) - len(bars)
            warnings.append(f"{count} of {len(brought)} recent_bars were left out: they end after the start")
    if bars:
        estimate = estimate_condition(view, bars)
    elif estimate is not None and not 0 <= start_ns - view.estimate_as_of_ns <= BARS_VALID_NS:
        estimate = None
    says = estimate is not None and not estimate.is_prior
    data = estimate.condition if estimate is not None and says else MarketCondition.UNSPECIFIED
    evidence = estimate.evidence if estimate is not None else "no recent bars"
    said = request.context.condition
    if said is not MarketCondition.UNSPECIFIED:
        weights = np.zeros(len(CONDITIONS))
        weights[CONDITIONS.index(said)] = 1.0
        probability = estimate.probabilities[CONDITIONS.index(said)] if estimate is not None else 1.0
        if says and data is not said:
            told = f"the request says {said.name}, the data say {data.name} ({evidence}); the request's is used"
            warnings.append(told)
        return weights, Assessment(said, False, probability, data, evidence)
    return detected(request, estimate.probabilities if estimate is not None else None, data, evidence)


def bars_read(bars: tuple[Bar, ...], start_ns: int) -> tuple[Bar, ...]:
    """Those that tell of the condition at a plan's start: none after it, and none at all where the newest is an hour
    old, as with the snapshot's. `bars` in time order; of those before, the classifier reads as many as it knows to."""
    last_ns = start_ns + BARS_AHEAD_NS
    if bars and bars[-1].end_ns > last_ns:
        bars = tuple([bar for bar in bars if bar.end_ns <= last_ns])
    return bars if bars and bars[-1].end_ns > start_ns - BARS_VALID_NS else ()


def detected(request: OrderRequest, probabilities: tuple[float, ...] | None, data: MarketCondition,
             evidence: str) -> tuple[NDArray[np.float64], Assessment]:
    """The mixture that the data (and a news score) say; NORMAL where there are no data."""
    if probabilities is None and not request.context.news_impact_score:
        weights = np.zeros(len(CONDITIONS))
        weights[0] = 1.0
        return weights, Assessment(CONDITIONS[0], True, 1.0, data, evidence)
    weights = np.zeros(len(CONDITIONS))
    weights[0] = 1.0
    if probabilities is not None:
        weights = np.array(probabilities)
    news = request.context.news_impact_score or 0.0
    weights *= 1.0 - news
    weights[CONDITIONS.index(MarketCondition.NEWS_DRIVEN)] += news
    if news > 0.0:
        evidence = f"{evidence}; news_impact_score {news:g}"
    weights[weights < LEAST_PROBABILITY] = 0.0
    weights /= weights.sum()
    condition = CONDITIONS[int(np.argmax(weights))]
    return weights, Assessment(condition, True, float(weights.max()), data, evidence)


def liquidity_factor(score: float | None) -> float:
    """What a liquidity score makes of the expected volume: half at 0, twice at 1."""
    return 1.0 if score is None else 2.0 ** (2.0 * score - 1.0)


def resolved_inputs(request: OrderRequest, snapshot: Snapshot, view: InstrumentView, weights: NDArray[np.float64],
                    available: float, cumulative: NDArray[np.float64], minute: float,
                    warnings: list[str]) -> ResolvedInputs:
    """Request first, snapshot second. Long-run figures of the snapshot are scaled by the condition; what the request
    says is taken to be of this moment already."""
    context, market = request.context, view.market
    volatility_scale, volume_scale, spread_scale = 0.0, 0.0, 0.0
    conditions = snapshot.assumptions.conditions
    for weight, condition in zip(weights.tolist(), CONDITIONS, strict=True):
        if weight > 0.0:
            dynamics = conditions[condition]
            volatility_scale += weight * dynamics.volatility_multiplier
            volume_scale += weight * dynamics.volume_multiplier
            spread_scale += weight * dynamics.spread_multiplier
    stale_minutes = snapshot.limits.stale_market_data_minutes
    quoted_ns = market.taken_ns(MarketFigure.SPREAD)
    if quoted_ns > 0 and request.start_ns - quoted_ns <= stale_minutes * 60e9:
        spread_scale = 1.0  # a fresh quote is of this moment
    if context.volatility_regime:
        volatility_scale = VOLATILITY_REGIMES[context.volatility_regime.upper()]
    mid, spread = context.mid_price, context.spread_bps
    volatility, volume = context.daily_volatility_fraction, context.average_daily_volume_shares
    used: list[str] = []  # what the snapshot has where the request does not say it
    if mid is None:
        mid = float(market.mid_price or 0.0)
        used.append("mid_price")
    if spread is None:
        spread = float(market.spread_bps or 0.0) * spread_scale
        used.append("spread_bps")
    if volatility is None:
        volatility = float(market.daily_volatility_fraction or 0.0) * volatility_scale
        used.append("daily_volatility")
    if volume is None:
        volume = float(market.average_daily_volume_shares or 0.0) * volume_scale
        used.append("average_daily_volume")
    tick_bps = view.instrument.tick_size / mid * 1e4
    volume *= liquidity_factor(context.liquidity_score)
    volume = max(volume, LEAST_FIGURE)  # scaled, the smallest figure that is allowed would vanish
    alpha = context.short_term_alpha_bps_per_day
    if alpha is None:
        alpha = market.short_term_alpha_bps_per_day or 0.0
        if market.short_term_alpha_bps_per_day is not None:
            used.append("short_term_alpha_bps_per_day")
    warnings += ages_told(market, used, request.start_ns, stale_minutes)
    expected = window_share(cumulative, minute, available) * volume
    limit = snapshot.limits.max_participation_rate
    if request.constraints.max_participation_rate is not None:
        limit = min(limit, request.constraints.max_participation_rate)
    return ResolvedInputs(
        mid_price=mid,
        # Adding 0 turns a negative zero into a plain one, so that both give the same bytes.
        spread_bps=max(spread, 0.0) + 0.0 if context.spread_bps is not None else max(spread, tick_bps),
        daily_volatility_fraction=volatility, average_daily_volume_shares=volume,
        short_term_alpha_bps_per_day=alpha + 0.0,
        available_minutes=available, expected_market_volume_shares=expected, max_participation_rate=limit,
        snapshot_as_of_ns=market.as_of_ns if used else 0, from_snapshot=tuple(used),
    )


def ages_told(market: MarketState, names: Sequence[str], start_ns: int, stale_minutes: float) -> list[str]:
    """A warning for every age of the figures that are used and too old; none where all is fresh, or no age is known."""
    if not market.as_of_ns or (
        not market.figure_times_ns and start_ns - market.as_of_ns <= stale_minutes * 60e9
    ):
        return []
    by_age: dict[int, list[str]] = {}
    for name in names:
        age_ns = start_ns - market.taken_ns(FIGURES[name])
        if age_ns > stale_minutes * 60e9:
            by_age.setdefault(-(-age_ns // MINUTE_NS), []).append(name)
    found = [age_words(tuple(same), age_minutes, stale_minutes) for age_minutes, same in by_age.items()]
    return [told for told in found if told]


@lru_cache(maxsize=4_096)
def age_words(names: tuple[str, ...], age_minutes: int, stale_minutes: float) -> str:
    """Which of the snapshot's figures are too old: those of a moment after `stale_minutes`, those of the long run after
    a day. Empty where none is. Kept, since the figures of a quiet instrument are as old for many orders."""
    old = [name for name in names if age_minutes > (LONG_RUN_STALE_MINUTES if name in LONG_RUN else stale_minutes)]
    if not old:
        return ""
    age = f"{age_minutes} minutes" if age_minutes < 120 else f"{age_minutes / 60:.0f} hours"
    if age_minutes >= 48 * 60:
        age = f"{age_minutes / 1440:.0f} days"
    return f"the snapshot's {', '.join(old)} {'is' if len(old) == 1 else 'are'} {age} old"


def within_venues(inputs: ResolvedInputs, view: InstrumentView, lit: tuple[Venue, ...],
                  warnings: list[str]) -> tuple[ResolvedInputs, float, float]:
    """(inputs, `lit_left_fraction`, `close_auction_fraction`) with the lit venues that are left.

    Impact stays that of the whole market, since its venues follow one another; what can be traded in a minute is what
    trades on the venues left. So the limit, which is a part of all volume, becomes that part of theirs.
    """
    auction = view.instrument.close_auction_fraction
    if len(lit) == len(view.lit):
        return inputs, 1.0, auction
    primary, mics = view.instrument.primary_mic, [venue.mic for venue in lit]
    if primary not in mics and primary in [venue.mic for venue in view.lit]:
        auction = 0.0
        warnings.append(f"the closing auction is out of reach: {primary} holds it, which the request leaves out")
    left = lit_volume_left(lit, view.lit)
    if left < 1.0:
        own = inputs.max_participation_rate
        inputs = msgspec.structs.replace(inputs, max_participation_rate=own * left)
        warnings.append(
            f"the lit venues left have {left:.1%} of the volume on lit ones: {own:.3g} of theirs, the limit, is "
            f"{inputs.max_participation_rate:.3g} of the market's"
        )
    return inputs, left, auction


def window_share(cumulative: NDArray[np.float64], minute: float, minutes: float) -> float:
    """Share of daily volume expected between two minutes of the session."""
    return volume_until(cumulative, minute + minutes) - volume_until(cumulative, minute)


def volume_until(cumulative: NDArray[np.float64], minute: float) -> float:
    """Share of daily volume expected until a minute of the session, which `cumulative` has for whole minutes."""
    last = len(cumulative) - 1
    if minute >= last:
        low, at = last - 1, float(last)
    else:
        low, at = (int(minute), minute) if minute > 0.0 else (0, 0.0)
    before, after = cumulative.item(low), cumulative.item(low + 1)
    return before + (at - low) * (after - before)


def turnover_factor(view: InstrumentView, average_daily_volume_shares: float) -> float:
    """(shares outstanding / daily volume)^(1/4) of Almgren et al. (2005); at least 1."""
    ratio = view.instrument.shares_outstanding / average_daily_volume_shares
    return max(1.0, math.sqrt(math.sqrt(max(ratio, 0.0))))
