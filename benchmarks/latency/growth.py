"""How latency grows: with candidates and venues (the engine alone, CPU time), open orders and rows in PostgreSQL (the
service, against Echo in the same rounds). Writes docs/performance.md's table and its picture.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from benchmarks.judge.service import load_service
from benchmarks.latency.blocks import Measured, measured, quantile_ratio
from benchmarks.latency.generator import Generator, Run
from benchmarks.latency.host import Host
from engine.catalogue import arrays_of
from engine.decide import decide
from engine.request import OrderRequest
from engine.snapshot import Snapshot
from engine.values import Venue
from store.embedded import running_conninfo
from tests.helpers import world
from training.judging_grid import judging_grid

DOCS = Path(__file__).resolve().parents[2] / "docs"
CANDIDATES = (10, 50, 100, 288, 600, 1_000)
VENUES = (2, 5, 10, 20, 50)
OPEN_ORDERS, SHORT_OPEN_ORDERS = (1, 100, 1_000, 10_000, 100_000), (1, 100, 1_000)
ROWS, SHORT_ROWS = (0, 10_000, 100_000, 1_000_000), (0, 10_000, 100_000)
ORDERS = 60
REPEATS, SHORT_REPEATS = 15, 5
RATE = 100
Row = dict[str, Any]


def measure(folder: Path, load: Generator, order: bytes, short: bool) -> dict[str, Any]:
    """Everything, written into docs/ too."""
    repeats = SHORT_REPEATS if short else REPEATS
    growth = {
        "candidates": _engine_rows(CANDIDATES, with_candidates, repeats),
        "venues": _engine_rows(VENUES, with_venues, repeats),
        "open_orders": [], "rows": [],
    }  # fmt: skip
    if load.streams:
        host = Host(folder / "orders", ESS_ACKNOWLEDGEMENT="BUFFERED")
        try:
            growth["open_orders"] = open_orders(host, load, SHORT_OPEN_ORDERS if short else OPEN_ORDERS, short)
        finally:
            host.stop()
    host = Host(folder / "rows", ESS_ACKNOWLEDGEMENT="BUFFERED")
    try:
        host.first_decision_s(order)
        growth["rows"] = database_rows(host, folder / "rows" / "var", load, SHORT_ROWS if short else ROWS, short)
    finally:
        host.stop()
    write(growth)
    return {"growth": growth, "short": short}


# ---- the engine alone


def _orders() -> list[OrderRequest]:
    """Balanced and hurried orders of one instrument, from small to large."""
    shares = np.exp(np.linspace(np.log(5e-4), np.log(0.1), ORDERS))
    return [world.order(world.US, share=float(share), minutes=30.0 + index) for index, share in enumerate(shares)]


def with_candidates(count: int) -> Snapshot:
    """That many of the judging grid, spread over it; 288 are those that the service ships."""
    served = load_service().served
    if count == len(served.catalogue.candidates):
        return replace(served, views=world.views())
    grid = judging_grid().candidates
    chosen = tuple(grid[index] for index in np.linspace(0, len(grid) - 1, count).astype(int))
    return replace(served, views=world.views(), catalogue=arrays_of(chosen))


def with_venues(count: int) -> Snapshot:
    """The instrument trades at that many venues: its own, repeated under other names with a part of their volume."""
    view = world.views()[world.US]
    own = view.instrument.venues
    copies = -(-count // len(own))
    venues: list[Venue] = [
        replace(venue, mic=f"{venue.mic}{copy or ''}", name=f"{venue.name} {copy or ''}".strip(),
                volume_share_fraction=venue.volume_share_fraction / copies)
        for copy in range(copies) for venue in own
    ]  # fmt: skip
    changed = replace(view, instrument=replace(view.instrument, venues=tuple(venues[:count])))
    return replace(load_service().served, views={**world.views(), world.US: changed})


def _engine_rows(counts: Sequence[int], world_of: Callable[[int], Snapshot], repeats: int) -> list[Row]:
    """CPU time of `decide` in microseconds: median over orders of the median over repeats, sizes in turn."""
    snapshots = [world_of(count) for count in counts]
    orders = _orders()
    times = np.empty((len(counts), len(orders), repeats))
    for index, order in enumerate(orders):
        for repeat in range(repeats + 1):  # the first is not counted
            for place, snapshot in enumerate(snapshots):
                begun_ns = time.thread_time_ns()
                decide(order, snapshot)
                if repeat:
                    times[place, index, repeat - 1] = (time.thread_time_ns() - begun_ns) / 1e3
    medians = np.median(times, axis=2)
    return [
        {"size": count, "p50_us": round(float(np.median(row)), 1), "p90_us": round(float(np.quantile(row, 0.9)), 1)}
        for count, row in zip(counts, medians, strict=True)
    ]


# ---- the service


def _ratio_row(size: int, part: Measured, echo: Measured) -> Row:
    return {"size": size, "p50_ms": round(part.quantile_ms(0.5), 3), "p99_ms": round(part.quantile_ms(0.99), 3)} | (
        quantile_ratio(part, echo, 0.5).named("p50_ratio")
    )


def open_orders(host: Host, load: Generator, counts: Sequence[int], short: bool) -> list[Row]:
    """Updates of one stream, with at least so many orders open on this host."""
    found = []
    parts = (f"echo_stream@{RATE}", f"adapt@{RATE}")
    for count in counts:
        blocks = measured(load.run(host.target, Run(parts, 4 if short else 20, 0.5, open_orders=count)))
        found.append(_ratio_row(count, blocks[parts[1]], blocks[parts[0]]))
    return found


def database_rows(host: Host, data: Path, load: Generator, counts: Sequence[int], short: bool) -> list[Row]:
    """Recommend, recorded as always, with so many rows of other orders in strategy_selections."""
    found, there = [], 0
    parts = (f"echo@{RATE}", f"journaled@{RATE}")
    for count in counts:
        add_rows(data, there, count)
        there = count
        blocks = measured(load.run(host.target, Run(parts, 6 if short else 30, 0.5)))
        found.append(_ratio_row(count, blocks[parts[1]], blocks[parts[0]]))
    return found


def add_rows(data: Path, there: int, wanted: int) -> None:
    """Copies of the newest decision under other ids; outside every chain, as decisions from before the journal are."""
    if wanted <= there:
        return
    conninfo = running_conninfo(data)
    if conninfo is None:
        raise RuntimeError("the embedded PostgreSQL does not run")
    with psycopg.connect(conninfo, autocommit=True) as connection:
        names = [
            name for (name,) in connection.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_name = 'strategy_selections' "
                "AND table_schema = current_schema() AND is_generated = 'NEVER'"
            )
        ]  # fmt: skip
        other = {
            "id": "gen_random_uuid()", "order_id": "'grown-' || n", "journal_id": "NULL", "sequence": "NULL",
            "chain_hash": "NULL",
        }  # fmt: skip
        columns = ", ".join(names)
        values = ", ".join(other.get(name, f"one.{name}") for name in names)
        newest = "(SELECT * FROM strategy_selections ORDER BY created_at DESC LIMIT 1) AS one"
        made = f"SELECT {values} FROM {newest}, generate_series(%s::bigint, %s::bigint) AS n"
        connection.execute(f"INSERT INTO strategy_selections ({columns}) {made}".encode(), (there + 1, wanted))
        connection.execute("ANALYZE strategy_selections")
        # What was written goes to disk now, and not into what is measured.
        connection.execute("CHECKPOINT")


# ---- the document


def table(growth: dict[str, list[Row]]) -> str:
    """Markdown."""
    lines = ["| Candidates, venues: the engine alone | CPU time p50 | p90 |", "|---|---|---|"]
    for name in ("candidates", "venues"):
        for row in growth[name]:
            lines.append(f"| {row['size']:,} {name} | {row['p50_us']:.0f} us | {row['p90_us']:.0f} us |")
    lines += ["", "| Open orders, rows: the service | p50 | p99 | p50 / Echo, 95 % interval |", "|---|---|---|---|"]
    for name, said in (("open_orders", "open orders, `Adapt`"), ("rows", "rows in PostgreSQL, `Recommend` JOURNALED")):
        for row in growth[name]:
            lower, upper = row["p50_ratio_interval"]
            lines.append(f"| {row['size']:,} {said} | {row['p50_ms']:.2f} ms | {row['p99_ms']:.2f} ms "
                         f"| {row['p50_ratio']:.2f} [{lower:.2f}, {upper:.2f}] |")  # fmt: skip
    return "\n".join(lines)


def short_number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"


def picture(growth: dict[str, list[Row]]) -> str:
    """An SVG of four panels: size across (logarithm), median up, from 0."""
    width, height, pad = 320, 200, 46
    panels = []
    for place, name in enumerate(("candidates", "venues", "open_orders", "rows")):
        rows = growth[name]
        figure, unit = ("p50_us", "us") if place < 2 else ("p50_ms", "ms")
        if not rows:
            continue
        sizes = np.log10([max(row["size"], 1) for row in rows])
        values = np.array([row[figure] for row in rows])
        across = pad + (sizes - sizes[0]) / max(sizes[-1] - sizes[0], 1e-9) * (width - 2 * pad)
        up = height - pad + 10 - values / values.max() * (height - 2 * pad)
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, up, strict=True))
        dots = "".join(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/><text x="{x:.1f}" y="{y - 7:.1f}">{short_number(value)}</text>'
            f'<text x="{x:.1f}" y="{height - 18}">{row["size"]:,}</text>'
            for x, y, value, row in zip(across, up, values, rows, strict=True)
        )
        panels.append(
            f'<g transform="translate({place % 2 * width},{place // 2 * height})"><text x="{width / 2}" y="18" '
            f'class="t">{name.replace("_", " ")}: median, {unit}</text><polyline points="{points}"/>{dots}</g>'
        )
    style = "text{font:10px sans-serif;text-anchor:middle;fill:#222}.t{font-size:12px;font-weight:bold}" \
        "polyline{fill:none;stroke:#1b6ca8;stroke-width:2}circle{fill:#1b6ca8}rect{fill:#fff}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * width} {2 * height}" role="img" '
        f'aria-label="How the median latency grows with candidates, venues, open orders and rows">'
        f"<style>{style}</style>"
        f'<rect width="100%" height="100%"/>{"".join(panels)}</svg>\n'
    )


def write(growth: dict[str, list[Row]], docs: Path = DOCS) -> None:
    """Between the marks of docs/performance.md, and the picture beside it."""
    page = docs / "performance.md"
    text = re.sub(
        r"(<!-- growth -->\n).*?(<!-- /growth -->)", lambda found: f"{found[1]}{table(growth)}\n{found[2]}",
        page.read_text(), flags=re.DOTALL,
    )  # fmt: skip
    page.write_text(text)
    (docs / "performance-growth.svg").write_text(picture(growth))
