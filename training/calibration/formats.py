"""Which file is of which format, and a folder read into one DataSet.

A parquet or CSV file (.csv, .csv.gz) is told by the names of its columns, whatever it is called; LOBSTER's
own pairs, which have no header, by `_message_` and `_orderbook_` in their names; depth streams by their first
line. Files of one folder that belong together (trades with quotes, orders with trades) are read together.
What no adapter knows is listed in the report as not recognised.
"""

from __future__ import annotations

import gzip
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.calibration import bars, lobster, orders, snapshots, streams, trades
from training.calibration.days import DataSet, FileReport, Keep
from training.calibration.split import is_replay_day

RULE_605, IMPACT_TABLES, VENUE_VOLUMES = "rule 605", "impact tables", "volume by venue and session"
TABLE_SUFFIXES = (".parquet", ".csv", ".csv.gz")
MOST_FILES = 10_000


class NothingReadableError(ValueError):
    """A folder without a file of any known format, with what was looked for."""


@dataclass(frozen=True, slots=True)
class Format:
    """A layout told by its columns: all of `columns`, and at least one of `one_of` where there are any."""

    name: str
    columns: frozenset[str]
    what: str
    one_of: frozenset[str] = frozenset()

    def fits(self, found: frozenset[str]) -> bool:
        return self.columns <= found and (not self.one_of or bool(self.one_of & found))


def _format(name: str, columns: str, what: str, one_of: str = "") -> Format:
    return Format(name, frozenset(columns.split()), what, frozenset(one_of.split()))


# The first that fits is taken: the more particular ones stand first.
FORMATS: tuple[Format, ...] = (
    _format(
        lobster.LOBSTER_TABLE,
        "Secs Type OrderID Size Price TradeDirection Askp1 Asks1 Bidp1 Bids1",
        "order book messages with the best quotes (LOBSTER)",
    ),
    _format(lobster.LOBSTER_QUOTES, "secs ask1 bid1 asz1 bsz1", "best quotes of a LOBSTER book"),
    _format(
        orders.ORDERS, "code date ms order_type price qty bs order_no seq", "order-by-order flow: orders"
    ),
    _format(
        orders.ORDER_TRADES, "code date ms price qty bs buy_no sell_no seq", "order-by-order flow: trades"
    ),
    _format(
        snapshots.SHENZHEN,
        "MDDate MDTime SecurityID BuyPrice1 SellPrice1 BuyOrderQty1 SellOrderQty1 TotalVolumeTrade",
        "snapshots of a book",
    ),
    _format(
        snapshots.SHANGHAI,
        "DateTime SecurityID BidPrice0 OfferPrice0 BidOrderQty0 OfferOrderQty0 TotalVolumeTrade",
        "snapshots of a book",
    ),
    _format(trades.ONE_TAPE, "symbol ts_utc rpt_seq event px size aggressor", "trades with who began them"),
    _format(trades.TICK_QUOTES, "symbol date ms bid bidsz ask asksz exch", "quotes, tick by tick"),
    _format(trades.TICK_TRADES, "symbol date ms px size exch cond suspicious", "trades, tick by tick"),
    _format(bars.QUOTE_BARS, "symbol date ms bo bc ao ac", "bars of quotes"),
    _format(bars.TRADE_BARS, "symbol date ms o h l c v", "bars of trades"),
    _format(bars.CHINA_BARS, "code minute open close high low volume", "minute bars, one file a day"),
    _format(
        RULE_605,
        "symbol order_type size_bucket covered_shares exec_here_shares avg_realized_spread",
        "SEC Rule 605 report",
    ),
    _format(
        VENUE_VOLUMES,
        "Symbol Date Exchange TOD Volume",
        "volume by day, venue and session (Open, Regular, Close)",
    ),
    _format(bars.UTC_BARS, "symbol open close volume", "minute bars", "ts timestamp"),
)
PAIRED = {
    orders.ORDERS,
    orders.ORDER_TRADES,
    trades.TICK_QUOTES,
    trades.TICK_TRADES,
    bars.QUOTE_BARS,
    bars.TRADE_BARS,
}
NOT_RECOGNISED = "not recognised"


def calibration_day(symbol: str, date: int) -> bool:
    """Whether calibration may read this day."""
    return not is_replay_day(symbol, date)


def read_folder(root: Path, keep: Keep = calibration_day, skip: frozenset[str] = frozenset()) -> DataSet:
    """Every file of the folder and the folders below it that an adapter knows, but for the formats to skip.

    Raises NothingReadableError where there is none.
    """
    if not root.is_dir():
        raise NothingReadableError(f"{root} is no folder")
    data = DataSet()
    by_folder: dict[Path, list[Path]] = defaultdict(list)
    for path in sorted(p for p in root.rglob("*") if p.is_file())[:MOST_FILES]:
        by_folder[path.parent].append(path)
    for folder, files in by_folder.items():
        _read_files(folder, files, data, keep, skip)
    if all(report.format == NOT_RECOGNISED for report in data.files) and not data.tables:
        raise NothingReadableError(nothing_readable(root, len(data.files)))
    return data


def nothing_readable(root: Path, files: int) -> str:
    """What was looked for, for the person who pointed at the folder."""
    lines = [
        f"{root}: none of its {files} files is of a known format.",
        "Looked for (columns of a parquet or CSV file):",
    ]
    for known in FORMATS:
        one_of = f" and one of {', '.join(sorted(known.one_of))}" if known.one_of else ""
        lines.append(f"  {known.name}: {', '.join(sorted(known.columns))}{one_of}")
    lines.append(f"  {lobster.LOBSTER_CSV}: pairs named ..._message_N.csv and ..._orderbook_N.csv")
    lines.append(f"  {streams.STREAM}: .gz with lines of a nanosecond stamp and JSON")
    lines.append(f"  {IMPACT_TABLES}: a folder us_taq_impact_2007 with imbalanceDf.csv.gz and its companions")
    return "\n".join(lines)


def _read_files(folder: Path, files: Sequence[Path], data: DataSet, keep: Keep, skip: frozenset[str]) -> None:
    paired: dict[str, list[tuple[Path, Any]]] = defaultdict(list)
    if (folder / "imbalanceDf.csv.gz").is_file():
        data.tables[IMPACT_TABLES] = folder
        data.files.extend(FileReport(p.name, IMPACT_TABLES, 0, 0) for p in files)
        return
    for path in files:
        name = format_of(path)
        if name in skip:
            continue
        if name in PAIRED:
            paired[name].append((path, table(path)))
        elif name is not None:
            _read_alone(name, path, data, keep)
        elif path.suffix.lower() not in (".md", ".txt", ".json"):
            data.files.append(FileReport(path.name, NOT_RECOGNISED, 0, 0))
    if paired[bars.QUOTE_BARS] or paired[bars.TRADE_BARS]:
        bars.read_tick_bars(paired[bars.QUOTE_BARS], paired[bars.TRADE_BARS], data, keep)
    if paired[trades.TICK_QUOTES] or paired[trades.TICK_TRADES]:
        trades.read_ticks(paired[trades.TICK_TRADES], paired[trades.TICK_QUOTES], data, keep)
    if paired[orders.ORDERS] or paired[orders.ORDER_TRADES]:
        orders.read_orders(paired[orders.ORDERS], paired[orders.ORDER_TRADES], data, keep)


def _read_alone(name: str, path: Path, data: DataSet, keep: Keep) -> None:
    readers = {
        bars.UTC_BARS: bars.read_utc_bars,
        bars.CHINA_BARS: bars.read_china_bars,
        trades.ONE_TAPE: trades.read_one_tape,
        lobster.LOBSTER_TABLE: lobster.read_table,
        lobster.LOBSTER_QUOTES: lobster.read_quotes,
        snapshots.SHENZHEN: snapshots.read_shenzhen,
        snapshots.SHANGHAI: snapshots.read_shanghai,
    }
    if name in readers:
        readers[name](path, table(path), data, keep)
    elif name in (RULE_605, VENUE_VOLUMES):
        rows = table(path)
        data.tables[name] = rows if name == VENUE_VOLUMES else path
        data.files.append(FileReport(path.name, name, len(rows), len(rows)))
    elif name == lobster.LOBSTER_CSV:
        lobster.read_pair(path, path.with_name(path.name.replace("_message_", "_orderbook_")), data, keep)
    elif name == streams.STREAM:
        stream, count = streams.read_stream(path)
        data.files.append(count.report())
        if stream is not None:
            data.streams.append(stream)


def format_of(path: Path) -> str | None:
    """The format's name, or None. A LOBSTER order book goes with its messages and has none of its own."""
    if path.suffix == ".csv" and "_message_" in path.name:
        pair = path.with_name(path.name.replace("_message_", "_orderbook_"))
        return lobster.LOBSTER_CSV if pair.is_file() else None
    if path.name.endswith(TABLE_SUFFIXES):
        found = columns_of(path)
        return next((known.name for known in FORMATS if known.fits(found)), None)
    return streams.STREAM if path.suffix == ".gz" and _is_stream(path) else None


def columns_of(path: Path) -> frozenset[str]:
    """Names of a table's columns; none where the file cannot be read."""
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]
    import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
    import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]

    try:
        if path.suffix == ".parquet":
            return frozenset(pq.read_schema(path).names)
        return frozenset(str(c) for c in pd.read_csv(path, nrows=0).columns)
    except (OSError, ValueError, pa.ArrowException):
        return frozenset()


def table(path: Path) -> Any:
    """A table's columns as a frame, categories as text."""
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]

    from training.readers import read

    if path.suffix == ".parquet":
        wanted = next(known for known in FORMATS if known.fits(columns_of(path)))
        extra = frozenset({"cond", "suspicious", "bsz", "asz", "bid", "ask", "ts", "timestamp"})
        return read(path, [c for c in sorted(columns_of(path)) if c in wanted.columns | extra])
    return pd.read_csv(path)


def _is_stream(path: Path) -> bool:
    try:
        with gzip.open(path, "rt") as lines:
            stamp, _, text = lines.readline().partition(" ")
    except (OSError, UnicodeDecodeError):
        return False
    return stamp.isdigit() and text.startswith("{")
