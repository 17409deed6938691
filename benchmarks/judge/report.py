"""Tables for the terminal and pictures in one HTML file that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import plotly.io
from rich.console import Console
from rich.table import Table

from benchmarks.judge.figures import CHOICES, WORDS, Found, judged_of, regrets
from benchmarks.judge.orders import Row
from benchmarks.judge.targets import as_table

MOST_REGRET_BPS = 15.0


def interval(line: Found, name: str, digits: int = 3) -> str:
    """A figure with its interval, for a table."""
    value, bounds = line.get(name), line.get(f"{name}_interval")
    if value is None:
        return "-"
    text = f"{value:.{digits}f}"
    return f"{text} [{bounds[0]:.{digits}f}, {bounds[1]:.{digits}f}]" if bounds else text


def show(found: Found) -> None:
    """Everything a reader wants to see at once."""
    console = Console(width=118)
    table = Table("figure", "value [95 %]", "wanted", "", title=f"benchmark {found['benchmark']}: targets")
    for name, value, wanted, met in as_table(found):
        table.add_row(name, value, wanted, "" if met else "missed")
    console.print(table)
    console.print(baseline_table(found))
    for cell, lines in found["accuracy_by"].items():
        table = Table(cell, "accuracy [95 %]", "random", "regret bps", "orders", title=f"accuracy by {cell}")
        for value, line in lines.items():
            table.add_row(
                value, interval(line, "accuracy"), f"{line['accuracy_random']:.3f}", f"{line['regret_bps']:.2f}",
                str(line["orders"]),
            )
        console.print(table)
    console.print(foreign_table(found))
    if found.get("replay"):
        console.print(replay_table(found["replay"]))


def baseline_table(found: Found) -> Table:
    table = Table("choice", "accuracy [95 %]", "regret bps [95 %]", title="the service and what it is compared with")
    for name in (*CHOICES, "random"):
        line = found["baselines"][name]
        table.add_row(WORDS[name], interval(line, "accuracy"), interval(line, "regret_bps", 2))
    return table


def foreign_table(found: Found) -> Table:
    table = Table(
        "shift", "accuracy [95 %]", "confidence change [95 %]", "regret of utility [95 %]", title="out of distribution"
    )
    for part in ("ood_seen", "ood_unseen"):
        for name, line in found[part].items():
            table.add_row(
                name, interval(line, "accuracy"), interval(line, "confidence_change"),
                interval(line, "regret_of_utility"),
            )
    return table


def replay_table(found: Found) -> Table:
    title = f"{found['orders']:,} orders on real days ({found['dates']} dates, {found['symbols']:,} symbols)"
    table = Table(
        "against", "shortfall saved, bps [95 %]", "utility saved, bps [95 %]", title=title,
    )
    for name, line in found["against"].items():
        table.add_row(WORDS[name], interval(line, "saved_shortfall_bps", 2), interval(line, "saved_utility_bps", 2))
    return table


# ---- pictures


def reliability_picture(curve: Sequence[Sequence[float]], title: str) -> go.Figure:
    stated, true = [point[0] for point in curve], [point[1] for point in curve]
    figure = go.Figure([
        go.Scatter(x=[0, 1], y=[0, 1], mode="lines", name="as stated", line={"dash": "dot", "color": "grey"}),
        go.Scatter(x=stated, y=true, mode="lines+markers", name="orders", text=[f"{p[2]} orders" for p in curve]),
    ])
    figure.update_layout(title=title, xaxis_title="stated probability", yaxis_title="share that came true")
    return figure


def regret_picture(rows: Sequence[Row]) -> go.Figure:
    figure = go.Figure()
    for name in ("chosen", "structural", "best_fixed", "random"):
        values = np.clip(regrets(rows, name), -1.0, MOST_REGRET_BPS)
        figure.add_trace(go.Histogram(x=values, name=WORDS[name], xbins={"size": 0.25}, opacity=0.55))
    figure.update_layout(
        barmode="overlay", title="regret against the oracle", xaxis_title=f"bps (the last bin holds all above "
        f"{MOST_REGRET_BPS:g})", yaxis_title="orders",
    )
    return figure


def cell_picture(found: Found) -> go.Figure:
    figure = go.Figure()
    for cell, lines in found["accuracy_by"].items():
        names = list(lines)
        values = [lines[name]["accuracy"] for name in names]
        upper = [lines[name]["accuracy_interval"][1] - lines[name]["accuracy"] for name in names]
        lower = [lines[name]["accuracy"] - lines[name]["accuracy_interval"][0] for name in names]
        figure.add_trace(go.Bar(
            x=[f"{cell}: {name}" for name in names], y=values, name=cell,
            error_y={"type": "data", "symmetric": False, "array": upper, "arrayminus": lower},
        ))
    every = [f"{cell}: {name}" for cell, lines in found["accuracy_by"].items() for name in lines]
    randoms = [line["accuracy_random"] for lines in found["accuracy_by"].values() for line in lines.values()]
    figure.add_trace(go.Scatter(x=every, y=randoms, mode="markers", name="random", marker={"symbol": "line-ew-open"}))
    figure.update_layout(title="accuracy by cell", yaxis_title="share within the tolerance")
    return figure


def impact_picture(found: Found) -> go.Figure:
    figure = go.Figure()
    for key, words in (("impact_exponent", "10 % participation"), ("impact_exponent_fixed_horizon", "one session")):
        curve = found[f"{key}_curve"]
        figure.add_trace(go.Scatter(
            x=[point[0] for point in curve], y=[point[1] for point in curve], mode="lines+markers",
            name=f"{words}: exponent {found[key]:.2f}",
        ))
    figure.update_layout(
        title="impact law of the simulated market", xaxis_type="log", yaxis_type="log",
        xaxis_title="order over daily volume", yaxis_title="cost over daily volatility",
    )
    return figure


def write_report(folder: Path, found: Found, rows: Sequence[Row]) -> Path:
    """One page with all pictures."""
    own = judged_of(rows)
    figures: list[Any] = [
        reliability_picture(found["confidence_curve"], "confidence: reliability"),
        reliability_picture(found["completion_curve"], "completion: reliability"), regret_picture(own),
        cell_picture(found), impact_picture(found),
    ]
    parts = [
        plotly.io.to_html(figure, full_html=False, include_plotlyjs="inline" if number == 0 else False)
        for number, figure in enumerate(figures)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "report.html"
    title = f"Quality of decisions, benchmark {found['benchmark']}"
    head = f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head><body>'
    path.write_text(f"{head}<h1>{title}</h1>\n" + "\n".join(parts) + "\n</body></html>\n", encoding="utf-8")
    return path
