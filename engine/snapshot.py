"""The one immutable picture of the world that a decision reads. Swapped whole, never edited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from engine.assumptions import StructuralAssumptions
from engine.catalogue import CandidateSet
from engine.conditions import ConditionEstimate, TypicalMarket, classify
from engine.learning.corrections import Learned
from engine.scoring.models import Models
from engine.sessions import Sessions, length_minutes, locate, minutes_of, session_at
from engine.surfaces import Surfaces
from engine.values import Bar, Instrument, MarketState, TradingSession, Venue, VenueKind
from engine.venues import VenueFacts, facts_of

_NEWEST_SESSIONS = 500
# So many before and after a session tell how long one usually was then.
_NEIGHBOURS = 30


@dataclass(frozen=True, slots=True)
class VenueDirectory:
    """Every name a user may call a venue by (upper case) -> MIC, and MIC -> the name users know."""

    mic_by_name: Mapping[str, str]
    name_by_mic: Mapping[str, str]

    def find(self, name: str) -> str | None:
        """MIC of a MIC or name, any case; None if unknown."""
        return self.mic_by_name.get(name.upper())


@dataclass(frozen=True, slots=True)
class InstrumentView:
    """An instrument with its market and whatever can be worked out before an order comes.

    cumulative: share of daily volume traded by each minute of the continuous session, (minutes + 1,).
    estimate: the classifier's word on the market's bars, the newest of which ended at `estimate_as_of_ns`.
    open_local_minute: minute of the exchange's own day at which the session opens (570 is 09:30).
    """

    instrument: Instrument
    market: MarketState
    sessions: Sessions
    cumulative: NDArray[np.float64]
    estimate: ConditionEstimate | None
    estimate_as_of_ns: int
    open_local_minute: float
    lit: tuple[Venue, ...] = field(init=False)
    dark: tuple[Venue, ...] = field(init=False)
    # Of sessions of another length (half days), each worked out when an order first needs it: curves by length and the
    # usual length then, usual lengths by a session's open.
    _curves: dict[tuple[float, float], NDArray[np.float64]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )
    _usual: dict[int, float] = field(init=False, repr=False, compare=False, default_factory=dict)
    _venues: list[VenueFacts] = field(init=False, repr=False, compare=False, default_factory=list)

    def __post_init__(self) -> None:
        venues = self.instrument.venues
        object.__setattr__(self, "lit", tuple(venue for venue in venues if venue.kind is VenueKind.LIT))
        object.__setattr__(self, "dark", tuple(venue for venue in venues if venue.kind is VenueKind.DARK))

    @property
    def venues(self) -> VenueFacts:
        """Of all its venues, worked out when an order first needs them."""
        if not self._venues:
            self._venues.append(facts_of(self.lit, self.dark))
        return self._venues[0]

    def day_of(self, session: TradingSession, minutes: float) -> tuple[NDArray[np.float64], float]:
        """(share of a usual day's volume by minute of a session, trading minutes of a usual day then, which daily
        figures are of). `minutes`: the session's own. One that is shorter than its neighbours has a part of the
        volume; one that is longer, or of years in which all were as long, a day's."""
        if len(self.cumulative) == round(minutes) + 1:
            return self.cumulative, minutes
        usual = max(self.usual_minutes(session), minutes)
        curve = self._curves.get((minutes, usual))
        if curve is None:
            curve = self._curves[minutes, usual] = cumulative_curve(self.instrument, minutes, usual)
        return curve, usual

    def usual_minutes(self, session: TradingSession) -> float:
        """The most common length of the sessions around one."""
        usual = self._usual.get(session.open_ns)
        if usual is None:
            usual = self._usual[session.open_ns] = minutes_around(self.sessions, session)
        return usual

    def curve_at(self, instant_ns: int) -> NDArray[np.float64]:
        """The curve of the session in which an instant lies, or which comes next."""
        point = locate(self.sessions, instant_ns)
        return self.cumulative if point is None else self.day_of(point.session, point.session_minutes)[0]


@dataclass(frozen=True, slots=True)
class Limits:
    """Service-wide hard limits and defaults."""

    max_participation_rate: float = 0.30
    price_collar_bps: float = 300.0
    stale_market_data_minutes: float = 15.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`surfaces` are those of the artifact with the models' refit in them, where there are models. `learned`: what
    reported outcomes taught; None where nothing did and nothing is explored."""

    catalogue: CandidateSet
    surfaces: Surfaces
    surfaces_sha256: str
    assumptions: StructuralAssumptions
    utility_sha256: str
    engine_version: str
    limits: Limits
    directory: VenueDirectory
    views: Mapping[str, InstrumentView]
    venue_names: bool = False
    models: Models | None = None
    learned: Learned | None = None


def cumulative_curve(instrument: Instrument, session_minutes: float,
                     day_minutes: float | None = None) -> NDArray[np.float64]:
    """Share of daily volume by minute, from 0 to what the auctions leave; where a usual day has more minutes
    (`day_minutes`), to the session's part of that: the shape is squeezed, and a minute has on average what it has on
    other days."""
    bins = np.concatenate(([0.0], np.cumsum(instrument.volume_curve_fraction)))
    edges = np.linspace(0.0, session_minutes, len(bins))
    minutes = np.arange(round(session_minutes) + 1, dtype=np.float64)
    continuous = 1.0 - instrument.open_auction_fraction - instrument.close_auction_fraction
    if day_minutes is not None:
        continuous *= session_minutes / day_minutes
    shares: NDArray[np.float64] = continuous * np.interp(minutes, edges, bins / bins[-1])
    return shares


def typical_market(instrument: Instrument, market: MarketState, session_minutes: float) -> TypicalMarket | None:
    """What the classifier compares with; None while volatility or volume is unknown."""
    if market.daily_volatility_fraction is None or market.average_daily_volume_shares is None:
        return None
    continuous = 1.0 - instrument.open_auction_fraction - instrument.close_auction_fraction
    per_minute = market.average_daily_volume_shares * continuous / session_minutes
    return TypicalMarket(market.daily_volatility_fraction, instrument.typical_spread_bps, per_minute, session_minutes)


def estimate_condition(view: InstrumentView, bars: tuple[Bar, ...]) -> ConditionEstimate | None:
    """The classifier's word on some bars, by the curve of their own session; None without bars or without typical
    figures."""
    if not bars:
        return None
    bars = same_session(bars, view.sessions)
    session = session_of(view.sessions, bars[-1].end_ns)
    cumulative, day_minutes = view.day_of(session, length_minutes(session))
    typical = typical_market(view.instrument, view.market, day_minutes)
    if typical is None or view.market.average_daily_volume_shares is None:
        return None
    minutes = minutes_of(session, np.array([bar.end_ns for bar in bars], dtype=np.int64))
    return classify(
        np.array([bar.mid_price for bar in bars]),
        np.array([bar.volume_shares for bar in bars]),
        np.array([bar.spread_bps for bar in bars]),
        volume_of_minutes(cumulative, minutes) * view.market.average_daily_volume_shares,
        typical,
    )


def volume_of_minutes(cumulative: NDArray[np.float64], ends: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) share of daily volume expected in the minutes that end so many minutes after the open."""
    upper = np.clip(np.ceil(ends).astype(np.int64), 1, len(cumulative) - 1)
    found: NDArray[np.float64] = cumulative[upper] - cumulative[upper - 1]
    return found


def session_of(sessions: Sessions, end_ns: int) -> TradingSession:
    """The session that a bar ends in; the next where it ends outside of one, the last after them all."""
    index = int(np.searchsorted(sessions.close_ns, end_ns))
    return session_at(sessions, min(index, len(sessions.close_ns) - 1))


def same_session(bars: tuple[Bar, ...], sessions: Sessions) -> tuple[Bar, ...]:
    """The bars of the newest bar's session: a night's gap is no minute's return."""
    ends = np.array([bar.end_ns for bar in bars], dtype=np.int64)
    index = np.searchsorted(sessions.close_ns, ends)
    return bars[int(np.searchsorted(index, index[-1])) :]


def usual_session_minutes(sessions: Sessions) -> float:
    """The most common length of a session, of the newest: exchanges have changed their hours over the years."""
    return _most_common_minutes(sessions, max(len(sessions.open_ns) - _NEWEST_SESSIONS, 0), len(sessions.open_ns))


def minutes_around(sessions: Sessions, session: TradingSession) -> float:
    """The most common length of the sessions before and after one."""
    at = int(np.searchsorted(sessions.open_ns, session.open_ns))
    return _most_common_minutes(sessions, max(at - _NEIGHBOURS, 0), at + _NEIGHBOURS + 1)


def _most_common_minutes(sessions: Sessions, first: int, end: int) -> float:
    pause = sessions.break_end_ns[first:end] - sessions.break_start_ns[first:end]
    lengths = np.round((sessions.close_ns[first:end] - sessions.open_ns[first:end] - pause) / 60e9).astype(np.int64)
    values, counts = np.unique(lengths, return_counts=True)
    return float(values[int(np.argmax(counts))])


def prepare_view(instrument: Instrument, market: MarketState, sessions: Sessions,
                 open_local_minute: float) -> InstrumentView:
    """Works out all that does not depend on an order. Off the hot path: called when market data change."""
    cumulative = cumulative_curve(instrument, usual_session_minutes(sessions))
    newest = market.bars[-1].end_ns if market.bars else 0
    view = InstrumentView(instrument, market, sessions, cumulative, None, newest, open_local_minute)
    return replace(view, estimate=estimate_condition(view, market.bars)) if market.bars else view
