"""Pictures as inline SVG: lines with bands, bars beside each other. No script, no font, no file from
anywhere."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 34, 46
TICKS = 5


@dataclass(frozen=True, slots=True)
class Series:
    """Points with a name and a style; `band` is (low, high) at each point."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    style: str
    band: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True, slots=True)
class Axes:
    """A plot's rectangle in data."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float
    log: bool = False

    def x(self, value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * self._share(value, self.x_low, self.x_high)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * self._share(value, self.y_low, self.y_high)

    def _share(self, value: float, low: float, high: float) -> float:
        if self.log:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return (value - low) / (high - low) if high > low else 0.5


def line_chart(
    name: str, what: str, x_label: str, y_label: str, series: Sequence[Series], log: bool = False
) -> str:
    """Lines over a common axis. `name` is the picture's identifier in the page, `what` its description in
    words."""
    xs = [x for s in series for x in s.x]
    ys = [y for s in series for y in s.y if y is not None] + [
        v for s in series for pair in s.band for v in pair
    ]
    ys = [y for y in ys if not log or y > 0]
    low = min(ys) if log else min(0.0, *ys)
    axes = Axes(min(xs), max(xs), low, max(ys) * (1.1 if log else 1.05), log)
    parts = [_grid(axes, x_label, y_label)]
    for s in series:
        parts.append(_band(axes, s) + _line(axes, s))
    return _figure(name, what, parts, series)


def bar_chart(name: str, what: str, y_label: str, labels: Sequence[str], series: Sequence[Series]) -> str:
    """Groups of bars, one group a label; points at None are left out."""
    highest = max((y for s in series for y in s.y if y is not None), default=1.0)
    highest = max([highest, *(pair[1] for s in series for pair in s.band)])
    axes = Axes(0.0, float(len(labels)), 0.0, highest * 1.08)
    parts = [_grid(axes, "", y_label, labels)]
    width = 0.8 / len(series)
    for i, s in enumerate(series):
        for at, value in zip(s.x, s.y, strict=True):
            if value is None:
                continue
            left, right = axes.x(at + 0.1 + i * width), axes.x(at + 0.1 + (i + 1) * width)
            top = axes.y(value)
            title = html.escape(f"{s.name}, {labels[int(at)]}: {value:.3g}")
            parts.append(
                f'<rect class="{s.style}" x="{left:.1f}" y="{top:.1f}" '
                f'width="{max(right - left - 1, 1):.1f}" '
                f'height="{max(axes.y(0.0) - top, 0.0):.1f}"><title>{title}</title></rect>'
            )
        parts.extend(
            _whisker(axes, at + 0.1 + (i + 0.5) * width, pair) for at, pair in zip(s.x, s.band, strict=False)
        )
    return _figure(name, what, parts, series)


def _whisker(axes: Axes, at: float, pair: tuple[float, float]) -> str:
    x = axes.x(at)
    return f'<path class="whisker" d="M{x:.1f} {axes.y(pair[0]):.1f}V{axes.y(pair[1]):.1f}"/>'


def _figure(name: str, what: str, parts: Sequence[str], series: Sequence[Series]) -> str:
    keys = "".join(
        '<li><svg class="key" viewBox="0 0 26 10" aria-hidden="true">'
        f'<path class="line {s.style}" d="M1 5H25"/></svg>'
        f"{html.escape(s.name)}</li>"
        for s in series
    )
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{name}-what">'
        f'<title id="{name}-what">{html.escape(what)}</title>{"".join(parts)}</svg>'
        f'<ul class="keys">{keys}</ul></figure>'
    )


def _line(axes: Axes, s: Series) -> str:
    points = [
        (axes.x(x), axes.y(y))
        for x, y in zip(s.x, s.y, strict=True)
        if y is not None and (not axes.log or y > 0)
    ]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    dots = "".join(f'<circle class="{s.style}" cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>' for x, y in points)
    return f'<path class="line {s.style}" d="{path}"/>{dots}'


def _band(axes: Axes, s: Series) -> str:
    if not s.band:
        return ""
    upper = [(axes.x(x), axes.y(pair[1])) for x, pair in zip(s.x, s.band, strict=True)]
    lower = [(axes.x(x), axes.y(pair[0])) for x, pair in zip(s.x, s.band, strict=True)]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in upper + lower[::-1])
    return f'<path class="band {s.style}" d="M{path}Z"/>'


def _grid(axes: Axes, x_label: str, y_label: str, labels: Sequence[str] = ()) -> str:
    parts = []
    for value in ticks(axes.y_low, axes.y_high, axes.log):
        y = axes.y(value)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>')
    if labels:
        for i, label in enumerate(labels):
            parts.append(
                f'<text x="{axes.x(i + 0.5):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">'
                f"{html.escape(label)}</text>"
            )
    else:
        for value in ticks(axes.x_low, axes.x_high, axes.log):
            parts.append(
                f'<text x="{axes.x(value):.1f}" y="{HEIGHT - BOTTOM + 16}" '
                f'text-anchor="middle">{value:.3g}</text>'
            )
    parts.append(
        f'<text class="label" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">'
        f"{html.escape(x_label)}</text>"
    )
    # Above the axis and not along it: on a phone's width it would stand in the numbers.
    parts.append(f'<text class="label" x="4" y="{TOP - 14}">{html.escape(y_label)}</text>')
    return "".join(parts)


def ticks(low: float, high: float, log: bool) -> list[float]:
    """Round numbers across a range, about TICKS of them."""
    if log:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        every = [m * 10.0**e for e in range(first, last + 1) for m in (1, 2, 5)]
        return [v for v in every if low * 0.999 <= v <= high * 1.001]
    step = 10.0 ** math.floor(math.log10((high - low) / TICKS)) if high > low else 1.0
    step = next((step * m for m in (1, 2, 2.5, 5, 10) if (high - low) / (step * m) <= TICKS + 1), step)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) + 0.0 for i in range(first, math.floor(high / step + 1e-9) + 1)]
