"""Order books after the conventions of LOBSTER (lobsterdata.com, "LOBSTER output structure"). Three layouts.

lobster csv     the pair SYMBOL_DATE_START_END_message_N.csv and ..._orderbook_N.csv as LOBSTER ships it, no
                header. A message: seconds since New York's midnight, type (1 added, 2 cancelled in part, 3
                deleted, 4 executed, 5 executed hidden, 6 cross, 7 halt), order, shares, price in USD x
                10,000, direction (1 the resting order buys, -1 it sells). A row of the book, after that
                message: ask price and size, bid price and size, level by level.
lobster table   both in one parquet or CSV with a header: Secs, Type, OrderID, Size, Price, TradeDirection,
                Askp1, Asks1, Bidp1, Bids1, prices in USD. Symbol and date stand in the file's name
                (AMZN_2012-06-21_...).
lobster quotes  secs, ask1, bid1, asz1, bsz1: best quotes only, prices in cents; symbol and date in the name.

One exchange's book: what other exchanges hold is not in it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from training.calibration.clocks import UNITED_STATES, Clock, clock_of
from training.calibration.days import (
    ADD,
    CANCEL,
    EXECUTE,
    DataSet,
    Keep,
    OrderFlow,
    QuoteDay,
    RowCount,
    TouchDay,
    last_known,
)
from training.calibration.orders import GRID_STEP_S, clock_grid_s, minute_day

LOBSTER_CSV, LOBSTER_TABLE, LOBSTER_QUOTES = "lobster csv", "lobster table", "lobster quotes"
KIND_OF_TYPE = {1: ADD, 2: CANCEL, 3: CANCEL, 4: EXECUTE}
HIDDEN = 5
CSV_SCALE = 1e4
MESSAGE_COLUMNS = ("Secs", "Type", "OrderID", "Size", "Price", "TradeDirection")
BOOK_COLUMNS = ("Askp1", "Asks1", "Bidp1", "Bids1")
NO_PRICE = 9_999_999_999  # what LOBSTER writes for an empty side, with a minus for bids


def named_day(path: Path) -> tuple[str, int] | None:
    """Symbol and date in a file's name, or None."""
    found = re.match(r"([A-Za-z0-9.]+)_(\d{4})-(\d{2})-(\d{2})_", path.name)
    return (found.group(1), int("".join(found.groups()[1:]))) if found else None


def read_pair(messages: Path, book: Path, data: DataSet, keep: Keep) -> None:
    """A pair of LOBSTER's own files."""
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]

    left = pd.read_csv(messages, header=None, usecols=range(6), names=MESSAGE_COLUMNS)
    right = pd.read_csv(book, header=None, usecols=range(4), names=BOOK_COLUMNS)
    if len(left) != len(right):
        count = RowCount(messages.name, LOBSTER_CSV, len(left))
        count.add_bad(f"its order book has {len(right)} rows", len(left))
        data.files.append(count.report())
        return
    frame = pd.concat([left, right], axis=1)
    scaled = {c: frame[c] / CSV_SCALE for c in ("Price", "Askp1", "Bidp1")}
    _read(messages, frame.assign(**scaled), LOBSTER_CSV, data, keep)


def read_table(path: Path, frame: Any, data: DataSet, keep: Keep) -> None:
    """Messages with the book beside them."""
    _read(path, frame, LOBSTER_TABLE, data, keep)


def _read(path: Path, frame: Any, name: str, data: DataSet, keep: Keep) -> None:
    count = RowCount(path.name, name, len(frame))
    day = _wanted_day(path, frame, count, keep)
    if day is not None:
        _flow_day(day, path, _sound(count, frame), data)
    data.files.append(count.report())


def _wanted_day(path: Path, frame: Any, count: RowCount, keep: Keep) -> tuple[str, int] | None:
    """Symbol and date of the file; None, and all its rows counted with the reason, where it is left out."""
    day = named_day(path)
    if day is None:
        count.add_bad("no symbol and date in the file's name", len(frame))
        return None
    if not keep(*day):
        count.drop_unused(frame, "kept for replay", np.ones(len(frame), dtype=bool))
        return None
    return day


def _sound(count: RowCount, frame: Any) -> Any:
    frame = count.drop_unused(frame, "cross or halt", frame["Type"].isin((6, 7)))
    frame = count.drop_bad(frame, "no type", ~frame["Type"].isin((*KIND_OF_TYPE, HIDDEN)))
    frame = count.drop_bad(frame, "no price or no size", ~((frame["Price"] > 0) & (frame["Size"] > 0)))
    empty = (frame["Askp1"] > NO_PRICE / CSV_SCALE / 10) | (frame["Bidp1"] <= 0)
    frame = count.drop_bad(frame, "one side of the book is empty", empty)
    return count.drop_bad(frame, "crossed book", frame["Askp1"] <= frame["Bidp1"])


def _flow_day(day: tuple[str, int], path: Path, frame: Any, data: DataSet) -> None:
    symbol, date = day
    clock = clock_of(path.parent, UNITED_STATES)
    visible = frame[frame["Type"] != HIDDEN]

    def ticks(column: str) -> Any:
        return np.round(visible[column].to_numpy(dtype=np.float64) / clock.tick_size).astype(np.int64)

    flow = OrderFlow(
        symbol,
        date,
        clock,
        visible["Secs"].to_numpy(dtype=np.float64),
        visible["Type"].map(KIND_OF_TYPE).to_numpy(dtype=np.int8),
        visible["OrderID"].to_numpy(dtype=np.int64),
        ticks("Price"),
        visible["Size"].to_numpy(dtype=np.int64),
        visible["TradeDirection"].to_numpy(dtype=np.int8),
        ticks("Bidp1"),
        ticks("Askp1"),
        visible["Bids1"].to_numpy(dtype=np.int64),
        visible["Asks1"].to_numpy(dtype=np.int64),
        path.name,
    )
    data.flows.append(flow)
    if flow.time_s.size == 0:
        return
    touch = _touched(symbol, date, frame, clock, path.name)
    data.touches.append(touch)
    quotes = _quotes_of(flow)
    if np.isfinite(quotes.mid).mean() > 1.0 - 1.0 / clock.minutes:
        data.quotes.append(quotes)
        data.days.append(minute_day(quotes, touch.volume_shares, float("nan"), float("nan")))


def _touched(symbol: str, date: int, frame: Any, clock: Clock, source: str) -> TouchDay:
    """Executions against visible orders by the side that rested; hidden ones are inside the spread."""
    minute = clock.trading_minute(frame["Secs"].to_numpy(dtype=np.float64) / 60.0)
    executed = frame["Type"].isin((4, HIDDEN)).to_numpy() & np.isfinite(minute)
    shares = frame["Size"].to_numpy(dtype=np.float64)
    at = np.where(executed, minute, 0.0).astype(np.int64)
    visible = executed & (frame["Type"] == 4).to_numpy()
    rested = frame["TradeDirection"].to_numpy()
    volume, at_bid, at_ask = (
        np.bincount(at[w], weights=shares[w], minlength=clock.minutes).astype(np.float64)
        for w in (executed, visible & (rested > 0), visible & (rested < 0))
    )
    seen = np.isfinite(minute)
    first, last = int(np.min(minute[seen], initial=clock.minutes)), int(np.max(minute[seen], initial=-1.0))
    inside = (
        (np.arange(clock.minutes) > first) & (np.arange(clock.minutes) < last)
        if last - first < clock.minutes - 2
        else np.ones(clock.minutes, dtype=bool)
    )
    parts = [np.where(inside, part, np.nan) for part in (volume, at_bid, at_ask)]
    return TouchDay(symbol, date, clock, parts[0], parts[1], parts[2], np.full(clock.minutes, np.nan), source)


def _quotes_of(flow: OrderFlow) -> QuoteDay:
    grid = clock_grid_s(flow.clock, GRID_STEP_S)
    tick = flow.clock.tick_size
    bid, ask, bid_shares, ask_shares = (
        last_known(flow.time_s, column.astype(np.float64), grid + GRID_STEP_S / 2)
        for column in (flow.bid, flow.ask, flow.bid_shares, flow.ask_shares)
    )
    return QuoteDay(
        flow.symbol,
        flow.date,
        flow.clock,
        GRID_STEP_S,
        bid * tick,
        ask * tick,
        bid_shares,
        ask_shares,
        flow.source,
    )


def read_quotes(path: Path, frame: Any, data: DataSet, keep: Keep) -> None:
    """Best quotes in cents."""
    count = RowCount(path.name, LOBSTER_QUOTES, len(frame))
    day = _wanted_day(path, frame, count, keep)
    if day is not None:
        frame = count.drop_bad(frame, "no bid or no ask", ~((frame["bid1"] > 0) & (frame["ask1"] > 0)))
        frame = count.drop_bad(frame, "crossed quotes", frame["ask1"] < frame["bid1"])
        clock = clock_of(path.parent, UNITED_STATES)
        times = frame["secs"].to_numpy(dtype=np.float64)
        grid = clock_grid_s(clock, GRID_STEP_S) + GRID_STEP_S / 2
        sides = [
            last_known(times, frame[c].to_numpy(dtype=np.float64), grid)
            for c in ("bid1", "ask1", "bsz1", "asz1")
        ]
        data.quotes.append(
            QuoteDay(*day, clock, GRID_STEP_S, sides[0] / 100, sides[1] / 100, sides[2], sides[3], path.name)
        )
    data.files.append(count.report())
