"""What the adapters hand on, in one shape whatever the file: days of minutes, quotes, touched volume, order
flow.

Prices in currency, times in seconds since local midnight, volumes in shares. Minutes are those of the
market's clock (breaks and calls cut out). NaN where a figure is not known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.calibration.clocks import Clock, short_sessions
from training.measures import Array, sample_last

# What a day's prices are.
MID_OF_QUOTES, LAST_TRADE, MID_OF_TRADES = (
    "mid of quotes",
    "last trade",
    "halfway between the last buy and the last sale",
)

Keep = Callable[[str, int], bool]  # (symbol, date) -> may this day be read?


@dataclass(frozen=True, slots=True)
class MarketDay:
    """One continuous session in bars of `width_minutes`; n of them.

    `price` (n + 1) stands at the bars' edges: `price_of` says of what (see below). `volume_shares` and
    `spread_bps` (n). Auction volumes are nan where they are not known. `traded_spread_bps` is the day's
    median gap between buys and sells close in time, for days without quotes.
    """

    symbol: str
    date: int
    clock: Clock
    price: Array
    volume_shares: Array
    spread_bps: Array
    price_of: str
    source: str
    width_minutes: int = 1
    open_auction_shares: float = float("nan")
    close_auction_shares: float = float("nan")
    traded_spread_bps: float = float("nan")

    @property
    def price_is_mid(self) -> bool:
        return self.price_of == MID_OF_QUOTES

    @property
    def returns(self) -> Array:
        """(n) log returns."""
        return np.diff(np.log(self.price))

    @property
    def total_shares(self) -> float:
        """The day's volume with what is known of its auctions."""
        return float(
            np.nansum(self.volume_shares) + np.nansum([self.open_auction_shares, self.close_auction_shares])
        )

    @property
    def tick_bps(self) -> float:
        return self.clock.tick_size / float(np.nanmedian(self.price)) * 1e4


@dataclass(frozen=True, slots=True)
class QuoteDay:
    """Best quotes on an even grid of `step_s` seconds of continuous trading; sizes nan where not known."""

    symbol: str
    date: int
    clock: Clock
    step_s: float
    bid: Array
    ask: Array
    bid_shares: Array
    ask_shares: Array
    source: str

    @property
    def spread_ticks(self) -> Array:
        """Quoted spread in ticks, nan where locked, crossed or missing."""
        wide = self.ask > self.bid
        return np.where(wide, (self.ask - self.bid) / self.clock.tick_size, np.nan)

    @property
    def mid(self) -> Array:
        return (self.bid + self.ask) / 2.0


@dataclass(frozen=True, slots=True)
class TouchDay:
    """Minute by minute: all volume, and the part that traded against the best bid or the best ask on an
    exchange."""

    symbol: str
    date: int
    clock: Clock
    volume_shares: Array
    at_bid_shares: Array
    at_ask_shares: Array
    off_exchange_shares: Array
    source: str


# Kinds of events of an order flow.
ADD, CANCEL, EXECUTE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class OrderFlow:
    """What happened to resting orders, event by event, in order; prices in whole ticks.

    `side` is +1 for a buy order, -1 for a sell one. `bid`, `ask` and the sizes there stand after the event;
    0 where that side is empty.
    """

    symbol: str
    date: int
    clock: Clock
    time_s: Array
    kind: NDArray[np.int8]
    order: NDArray[np.int64]
    price: NDArray[np.int64]
    shares: NDArray[np.int64]
    side: NDArray[np.int8]
    bid: NDArray[np.int64]
    ask: NDArray[np.int64]
    bid_shares: NDArray[np.int64]
    ask_shares: NDArray[np.int64]
    source: str


@dataclass(frozen=True, slots=True)
class DepthStream:
    """Best quotes with their sizes and trades, each at its local time in seconds; a trade's sign is who began
    it."""

    name: str
    quote_s: Array
    quotes: Array  # (n, 4): bid, ask, size at the bid, size at the ask
    trade_s: Array
    trades: Array  # (m, 2): signed size, price


@dataclass(frozen=True, slots=True)
class FileReport:
    """What became of a file's rows. `bad` ones are faulty; `unused` ones are sound and not needed."""

    path: str
    format: str
    rows: int
    used: int
    bad: dict[str, int] = field(default_factory=dict)
    unused: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class DataSet:
    """Everything that was read from a folder."""

    days: list[MarketDay] = field(default_factory=list)
    quotes: list[QuoteDay] = field(default_factory=list)
    touches: list[TouchDay] = field(default_factory=list)
    flows: list[OrderFlow] = field(default_factory=list)
    streams: list[DepthStream] = field(default_factory=list)
    tables: dict[str, Any] = field(default_factory=dict)
    files: list[FileReport] = field(default_factory=list)


class RowCount:
    """Counts a file's rows by what became of them, and keeps the good ones of a frame.

    Reasons are tried in the order given: a row is counted once, under the first that holds.
    """

    def __init__(self, path: str, format_name: str, rows: int) -> None:
        self.path, self.format, self.rows = path, format_name, rows
        self.bad: dict[str, int] = {}
        self.unused: dict[str, int] = {}

    def drop_bad(self, frame: Any, reason: str, holds: Any) -> Any:
        """The frame without the rows where `holds`; they count as bad."""
        return self._drop(frame, reason, holds, self.bad)

    def drop_unused(self, frame: Any, reason: str, holds: Any) -> Any:
        """The frame without the rows where `holds`; they count as sound but not needed."""
        return self._drop(frame, reason, holds, self.unused)

    def add_bad(self, reason: str, count: int) -> None:
        """Counts bad rows that another step has left out."""
        if count:
            self.bad[reason] = self.bad.get(reason, 0) + count

    def report(self) -> FileReport:
        lost = sum(self.bad.values()) + sum(self.unused.values())
        return FileReport(
            self.path, self.format, self.rows, self.rows - lost, dict(self.bad), dict(self.unused)
        )

    @staticmethod
    def _drop(frame: Any, reason: str, holds: Any, counts: dict[str, int]) -> Any:
        mask = np.asarray(holds, dtype=bool)
        dropped = int(mask.sum())
        if dropped:
            counts[reason] = counts.get(reason, 0) + dropped
            return frame[~mask]
        return frame


def drop_short_days(count: RowCount, frame: Any, clock: Clock, date: str = "date") -> Any:
    """Leaves out the rows of half days: their minutes after the close are no continuous trading, and not quiet ones."""
    return count.drop_unused(frame, "of a half day", frame[date].isin(short_sessions(clock, frame[date].unique())))


def keep_known_days(
    count: RowCount, frame: Any, keep: Keep, symbol: str = "symbol", date: str = "date"
) -> Any:
    """Leaves out the rows of days that may not be read (they are kept for replay)."""
    pairs = frame[[symbol, date]].drop_duplicates()
    kept = [keep(str(s), int(d)) for s, d in zip(pairs[symbol], pairs[date], strict=True)]
    pairs = pairs.assign(kept=kept)
    merged = frame[[symbol, date]].merge(pairs, on=[symbol, date], how="left")
    return count.drop_unused(frame, "kept for replay", ~merged["kept"].to_numpy(dtype=bool))


def last_known(times: Array, values: Array, grid: Array) -> Array:
    """The last value known at each point of the grid, nan before the first; times ascending, maybe none."""
    return sample_last(times, values, grid) if times.size else np.full(grid.size, np.nan)


def split_first_minute(volume: Array) -> tuple[Array, float]:
    """The opening auction that bars hold in their first minute: what it has above the most of the next five.

    Returns the volumes without it, and it.
    """
    if volume.size < 6 or not np.isfinite(volume[:6]).any():
        return volume, float("nan")
    usual = float(np.nanmax(volume[1:6]))
    excess = max(float(volume[0]) - usual, 0.0)
    without = volume.copy()
    without[0] = min(float(volume[0]), usual)
    return without, excess
