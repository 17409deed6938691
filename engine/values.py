"""The frozen values that the engine thinks in.

Units end the names. Prices are in the instrument's currency, quantities in shares (or the instrument's own
unit), `_fraction` is a plain ratio, `_bps` is basis points of the arrival mid, `_ns` is nanoseconds since the
Unix epoch (UTC). A cost is positive when it hurts the order.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Side(IntEnum):
    """FIX 54. The numbers are those of the contract."""

    BUY = 1
    SELL = 2
    SELL_SHORT = 3

    def __init__(self, number: int) -> None:
        # +1 for a buy, -1 for a sell. Set once: every decision asks for it several times.
        self.sign = 1 if number == 1 else -1


class Objective(IntEnum):
    MINIMIZE_COST = 1
    MINIMIZE_RISK = 2
    MINIMIZE_TIME = 3
    MAXIMIZE_ALPHA_CAPTURE = 4
    BALANCED_EXECUTION = 5


class Urgency(IntEnum):
    LOW = 1
    NORMAL = 2
    HIGH = 3
    URGENT = 4


class MarketCondition(IntEnum):
    """The specification's six conditions; 0 stands for "detect it"."""

    UNSPECIFIED = 0
    NORMAL = 1
    HIGH_VOLATILITY = 2
    LOW_LIQUIDITY = 3
    TRENDING = 4
    MEAN_REVERTING = 5
    NEWS_DRIVEN = 6


CONDITIONS: tuple[MarketCondition, ...] = (
    MarketCondition.NORMAL,
    MarketCondition.HIGH_VOLATILITY,
    MarketCondition.LOW_LIQUIDITY,
    MarketCondition.TRENDING,
    MarketCondition.MEAN_REVERTING,
    MarketCondition.NEWS_DRIVEN,
)


class VenueKind(IntEnum):
    LIT = 1
    DARK = 2


@dataclass(frozen=True, slots=True)
class Venue:
    """One place where one instrument trades.

    `volume_share_fraction` is its share of the instrument's consolidated volume. Fees are of the notional,
    negative for a rebate. The tail of a dark venue is P(hidden liquidity >= size) at the sizes given
    (shares, ascending), a Kaplan-Meier estimate; both tuples are empty for a lit venue.
    """

    mic: str
    name: str
    kind: VenueKind
    volume_share_fraction: float
    taker_fee_bps: float
    maker_fee_bps: float
    tail_size_shares: tuple[float, ...] = ()
    tail_probability: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Bar:
    """What one minute looked like: last mid, shares traded, time-weighted quoted spread."""

    end_ns: int
    mid_price: float
    volume_shares: float
    spread_bps: float


class MarketFigure(IntEnum):
    """The figures of a market state, in the order of its fields."""

    MID_PRICE = 0
    SPREAD = 1
    VOLATILITY = 2
    VOLUME = 3
    ALPHA = 4


@dataclass(frozen=True, slots=True)
class MarketState:
    """What is known of an instrument's market now. None means "not known", never zero.

    `as_of_ns` is when the newest of it was taken, `figure_times_ns` when each `MarketFigure` was; empty where all were
    at once. A source may tell a mid every second: a volatility that was not told again stays as old as it is.
    """

    as_of_ns: int
    mid_price: float | None = None
    spread_bps: float | None = None
    daily_volatility_fraction: float | None = None
    average_daily_volume_shares: float | None = None
    short_term_alpha_bps_per_day: float | None = None
    bars: tuple[Bar, ...] = ()
    figure_times_ns: tuple[int, ...] = ()

    def taken_ns(self, figure: MarketFigure) -> int:
        """When the figure was taken, nanoseconds of the Unix epoch; 0 where that is not known."""
        return self.figure_times_ns[figure] if self.figure_times_ns else self.as_of_ns


@dataclass(frozen=True, slots=True)
class Instrument:
    """Reference data of an instrument.

    `volume_curve_fraction` holds the share of the continuous session's volume in equal bins of trading time
    (lunch breaks cut out), summing to 1; the auctions' shares are of the whole day's volume.
    `typical_spread_bps` is the long-run median quoted spread that the condition classifier compares with.
    """

    instrument_id: str
    description: str
    primary_mic: str
    calendar: str
    currency: str
    tick_size: float
    lot_size_shares: float
    shares_outstanding: float
    venues: tuple[Venue, ...]
    volume_curve_fraction: tuple[float, ...]
    open_auction_fraction: float
    close_auction_fraction: float
    typical_spread_bps: float
    origin: str


@dataclass(frozen=True, slots=True)
class TradingSession:
    """One day's continuous session, until its closing call where it has one; the break is empty (both 0) where the
    exchange has none."""

    open_ns: int
    close_ns: int
    break_start_ns: int = 0
    break_end_ns: int = 0
