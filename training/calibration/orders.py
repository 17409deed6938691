"""Order-by-order flow. A pair in one folder, each a parquet or CSV with a header, of the same day and stocks.

orders          code, date, ms, order_type (2 added, 10 deleted), price, qty, bs (1 buy, 2 sell), order_no,
                channel, seq. An order that trades at once shows only its resting remainder.
trades          code, date, ms, price, qty, bs (who began it: 1 buyer, 2 seller, 0 the opening or closing
                call), buy_no, sell_no, channel, seq.

Local times in ms since midnight, prices in 1/1000 yuan, shares; `seq` orders both files together within a
channel. The book is rebuilt from them: an order's remainder at its own price, less what traded.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from training.calibration.bars import filled
from training.calibration.clocks import CHINA, clock_of
from training.calibration.days import (
    ADD,
    CANCEL,
    EXECUTE,
    MID_OF_QUOTES,
    DataSet,
    Keep,
    MarketDay,
    OrderFlow,
    QuoteDay,
    RowCount,
    TouchDay,
    keep_known_days,
    last_known,
)
from training.readers import CN_PRICE_SCALE

ORDERS, ORDER_TRADES = "order by order (orders)", "order by order (trades)"
ADDED, DELETED = 2, 10
GRID_STEP_S = 1.0
Counts = NDArray[np.int64]


def read_orders(
    orders: Sequence[tuple[Path, Any]], trades: Sequence[tuple[Path, Any]], data: DataSet, keep: Keep
) -> None:
    """Order flows, quotes, touched volume and days of each stock and day that both files hold."""
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]

    added = [_sound_orders(path, frame, data, keep) for path, frame in orders]
    traded = [_sound_trades(path, frame, data, keep) for path, frame in trades]
    if not added or not traded:
        return
    every_trade = pd.concat(traded)
    source = ", ".join(path.name for path, _ in orders)
    for (code, date), rows in pd.concat(added).groupby(["code", "date"]):
        own = every_trade[(every_trade["code"] == code) & (every_trade["date"] == date)]
        if len(own):
            _one_day(str(code), int(date), rows, own, clock_of(orders[0][0].parent, CHINA), source, data)


def _sound_orders(path: Path, frame: Any, data: DataSet, keep: Keep) -> Any:
    count = RowCount(path.name, ORDERS, len(frame))
    frame = keep_known_days(count, frame.assign(code=frame["code"].astype(str)), keep, "code")
    frame = count.drop_bad(frame, "neither added nor deleted", ~frame["order_type"].isin((ADDED, DELETED)))
    frame = count.drop_bad(frame, "no price or no size", ~((frame["price"] > 0) & (frame["qty"] > 0)))
    frame = count.drop_bad(frame, "neither buy nor sell", ~frame["bs"].isin((1, 2)))
    data.files.append(count.report())
    return frame


def _sound_trades(path: Path, frame: Any, data: DataSet, keep: Keep) -> Any:
    count = RowCount(path.name, ORDER_TRADES, len(frame))
    frame = keep_known_days(count, frame.assign(code=frame["code"].astype(str)), keep, "code")
    frame = count.drop_bad(frame, "no price or no size", ~((frame["price"] > 0) & (frame["qty"] > 0)))
    data.files.append(count.report())
    return frame


def _events(orders: Any, trades: Any, tick: int) -> dict[str, Any]:
    """Both files as one list of events on resting orders, in the order of `seq`.

    A trade of the continuous session takes from the order that rested, one of a call from both.
    """
    side = np.where(orders["bs"].to_numpy() == 1, 1, -1)
    kinds = np.where(orders["order_type"].to_numpy() == ADDED, ADD, CANCEL)
    parts = [(orders, orders["order_no"], kinds, side)]
    began = trades["bs"].to_numpy()
    for own, number, taken in ((1, "buy_no", began != 1), (-1, "sell_no", began != 2)):
        rows = trades[taken]
        parts.append((rows, rows[number], np.full(len(rows), EXECUTE), np.full(len(rows), own)))
    columns = {
        "ms": [rows["ms"].to_numpy(dtype=np.float64) for rows, *_ in parts],
        "seq": [rows["seq"].to_numpy(dtype=np.int64) for rows, *_ in parts],
        "price": [rows["price"].to_numpy(dtype=np.int64) // tick for rows, *_ in parts],
        "shares": [rows["qty"].to_numpy(dtype=np.int64) for rows, *_ in parts],
        "order": [number.to_numpy(dtype=np.int64) for _, number, *_ in parts],
        "kind": [kind for *_, kind, _ in parts],
        "side": [own for *_, own in parts],
    }
    joined = {name: np.concatenate(values) for name, values in columns.items()}
    order = np.argsort(joined["seq"], kind="stable")
    return {name: values[order] for name, values in joined.items()}


@njit(cache=True)
def rebuild(
    kind: Counts,
    order: Counts,
    price: Counts,
    shares: Counts,
    side: Counts,
    orders: int,
    lowest: int,
    levels: int,
) -> tuple[Counts, Counts]:
    """Best bid and ask (ticks) and the sizes there after each event, (n, 4); and (n) the price of the event's
    order.

    `order` counts orders from 0. An order's own price rules, whatever a trade printed at; an event on an
    order that is not in the book (it traded before it rested) changes nothing and gets price 0.
    """
    rest = np.zeros(orders, dtype=np.int64)
    at = np.zeros(orders, dtype=np.int64)
    book = np.zeros((2, levels), dtype=np.int64)
    out = np.zeros((kind.size, 4), dtype=np.int64)
    own = np.zeros(kind.size, dtype=np.int64)
    bid, ask = -1, levels
    for i in range(kind.size):
        n, s = order[i], 0 if side[i] > 0 else 1
        if kind[i] == 0:
            rest[n] += shares[i]
            at[n] = price[i] - lowest
            book[s, at[n]] += shares[i]
            own[i] = price[i]
            if s == 0 and at[n] > bid:
                bid = at[n]
            elif s == 1 and at[n] < ask:
                ask = at[n]
        else:
            gone = min(shares[i], rest[n])
            if gone > 0:
                rest[n] -= gone
                book[s, at[n]] -= gone
                own[i] = at[n] + lowest
        while bid >= 0 and book[0, bid] <= 0:
            bid -= 1
        while ask < levels and book[1, ask] <= 0:
            ask += 1
        if bid >= 0:
            out[i, 0], out[i, 2] = bid + lowest, book[0, bid]
        if ask < levels:
            out[i, 1], out[i, 3] = ask + lowest, book[1, ask]
    return out, own


def _one_day(code: str, date: int, orders: Any, trades: Any, clock: Any, source: str, data: DataSet) -> None:
    tick = round(clock.tick_size * CN_PRICE_SCALE)
    events = _events(orders, trades, tick)
    numbers = np.unique(events["order"], return_inverse=True)[1].astype(np.int64)
    lowest = int(events["price"].min())
    levels = int(events["price"].max()) - lowest + 1
    best, own = rebuild(
        events["kind"].astype(np.int64),
        numbers,
        events["price"],
        events["shares"],
        events["side"].astype(np.int64),
        int(numbers.max()) + 1,
        lowest,
        levels,
    )
    time_s = np.maximum.accumulate(events["ms"]) / 1e3
    data.flows.append(
        OrderFlow(
            code,
            date,
            clock,
            time_s,
            events["kind"].astype(np.int8),
            numbers,
            own,
            events["shares"],
            events["side"].astype(np.int8),
            best[:, 0],
            best[:, 1],
            best[:, 2],
            best[:, 3],
            source,
        )
    )
    quotes = _quotes(code, date, clock, time_s, best, source)
    data.quotes.append(quotes)
    _minutes(quotes, trades, data)


def _quotes(code: str, date: int, clock: Any, time_s: Any, best: Any, source: str) -> QuoteDay:
    grid = clock_grid_s(clock, GRID_STEP_S)
    bid, ask, bid_shares, ask_shares = (
        last_known(time_s, best[:, i].astype(np.float64), grid) for i in range(4)
    )
    good = (bid > 0) & (ask > 0)
    prices = [np.where(good, side, np.nan) * clock.tick_size for side in (bid, ask)]
    sizes = [np.where(good, size, np.nan) for size in (bid_shares, ask_shares)]
    return QuoteDay(code, date, clock, GRID_STEP_S, prices[0], prices[1], sizes[0], sizes[1], source)


def clock_grid_s(clock: Any, step_s: float) -> Any:
    """Seconds since midnight of an even grid of continuous trading, breaks cut out."""
    return np.concatenate([np.arange(a * 60.0, b * 60.0, step_s) for a, b in clock.segments])


def _minutes(quotes: QuoteDay, trades: Any, data: DataSet) -> None:
    clock = quotes.clock
    minute = clock.trading_minute(trades["ms"].to_numpy(dtype=np.float64) / 60_000.0)
    inside = np.isfinite(minute) & trades["bs"].isin((1, 2)).to_numpy()
    at, shares = minute[inside].astype(np.int64), trades["qty"].to_numpy(dtype=np.float64)[inside]
    bought = trades["bs"].to_numpy()[inside] == 1

    def by_minute(which: Any) -> Any:
        return np.bincount(at[which], weights=shares[which], minlength=clock.minutes).astype(np.float64)

    volume = by_minute(np.ones(at.size, dtype=bool))
    of_day = trades["ms"].to_numpy(dtype=np.float64) / 60_000.0
    calls = trades["qty"].to_numpy(dtype=np.float64) * ~inside
    data.days.append(
        minute_day(
            quotes,
            volume,
            float(calls[of_day < 600].sum()),
            float(calls[of_day >= clock.segments[-1][1]].sum()),
        )
    )
    data.touches.append(
        TouchDay(
            quotes.symbol,
            quotes.date,
            clock,
            volume,
            by_minute(~bought),
            by_minute(bought),
            np.zeros(clock.minutes),
            quotes.source,
        )
    )


def minute_day(quotes: QuoteDay, volume: Any, opening: float, closing: float) -> MarketDay:
    """A day of minutes from quotes on their grid: mids at the edges, mean quoted spread within."""
    clock = quotes.clock
    per_minute = round(60.0 / quotes.step_s)
    mid = filled(quotes.mid)
    edges = np.concatenate((mid[::per_minute][: clock.minutes], mid[-1:]))
    bps = np.where(quotes.ask > quotes.bid, (quotes.ask - quotes.bid) / quotes.mid * 1e4, np.nan)
    table = bps[: clock.minutes * per_minute].reshape(clock.minutes, per_minute)
    known = np.isfinite(table)
    spread = np.where(known.any(axis=1), np.nansum(table, axis=1) / np.maximum(known.sum(axis=1), 1), np.nan)
    return MarketDay(
        quotes.symbol,
        quotes.date,
        clock,
        edges,
        volume,
        spread,
        MID_OF_QUOTES,
        quotes.source,
        open_auction_shares=opening,
        close_auction_shares=closing,
    )
