"""Depth streams of crypto exchanges: how a book fills again after a large trade.

A gzip file of lines: a local nanosecond stamp, a blank, and the exchange's JSON; read are `bookTicker` (b, B,
a, A: best bid and ask with their sizes) and `trade` (p, q, m: price, size, whether the buyer rested).
Everything else is unused. These books say how fast depth comes back after a large trade, and nothing of
shares: they trade around the clock.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np

from training.calibration.days import DepthStream, RowCount

STREAM = "depth stream"


def read_stream(path: Path) -> tuple[DepthStream | None, RowCount]:
    """The stream of one file, or None where it holds no quotes or no trades."""
    quotes: list[tuple[float, ...]] = []
    trades: list[tuple[float, ...]] = []
    count = RowCount(path.name, STREAM, 0)
    with gzip.open(path, "rt") as lines:
        for line in lines:
            count.rows += 1
            _take(line, quotes, trades, count)
    if not quotes or not trades:
        return None, count
    quoted, traded = np.array(quotes), np.array(trades)
    stream = DepthStream(path.name, quoted[:, 0], quoted[:, 1:], traded[:, 0], traded[:, 1:])
    return stream, count


def _take(
    line: str, quotes: list[tuple[float, ...]], trades: list[tuple[float, ...]], count: RowCount
) -> None:
    stamp, _, text = line.partition(" ")
    try:
        when = int(stamp) / 1e9
        # Depth updates are long and not needed: they are told without being parsed.
        if '"bookTicker"' not in text[:80] and "@bookTicker" not in text[:80] and "@trade" not in text[:80]:
            count.unused["neither best quotes nor a trade"] = (
                count.unused.get("neither best quotes nor a trade", 0) + 1
            )
            return
        found = json.loads(text)["data"]
        if "B" in found:
            quotes.append((when, float(found["b"]), float(found["a"]), float(found["B"]), float(found["A"])))
        else:
            sign = -1.0 if found["m"] else 1.0
            trades.append((when, sign * float(found["q"]), float(found["p"])))
    except (ValueError, KeyError, TypeError):
        count.add_bad("no JSON of a quote or a trade", 1)
