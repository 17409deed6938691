"""A picture of groups below each other, as inline SVG: a dot with its interval a line, a tick for what was forecast.

Named groups stand on the left, so that long names stay readable; dots are hollow where nothing can be told yet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reports.page import text
from reports.svg import WIDTH, ticks

GUTTER, RIGHT, TOP, BOTTOM, ROW = 214, 16, 30, 40, 26
# Characters of a name that fit the gutter.
MOST_CHARACTERS = 28


@dataclass(frozen=True, slots=True)
class Dot:
    """One group in the axis's unit. `forecast` None: no tick; a value that is None is not drawn, its name is."""

    name: str
    value: float | None
    low: float
    high: float
    is_hollow: bool
    forecast: float | None = None


@dataclass(frozen=True, slots=True)
class Scale:
    """Of the axis, in data."""

    low: float
    high: float

    def x(self, value: float) -> float:
        """Beyond the axis counts as at its end."""
        share = (min(self.high, max(self.low, value)) - self.low) / (self.high - self.low)
        return GUTTER + (WIDTH - GUTTER - RIGHT) * share


def dot_chart(name: str, what: str, label: str, dots: Sequence[Dot], scale: Scale, keys: Sequence[str]) -> str:
    """`name` is the picture's identifier in the page, `what` its description in words, `label` the axis's. `keys` say
    what the dot, the hollow dot and, where there is one, the tick are."""
    height = TOP + ROW * len(dots) + BOTTOM
    parts = [_grid(scale, label, height), *(_row(scale, dot, TOP + ROW * (i + 0.5)) for i, dot in enumerate(dots))]
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="{name}-what">'
        f'<title id="{name}-what">{text(what)}</title>{"".join(parts)}</svg>{_keys(keys)}</figure>'
    )


def scale_of(values: Sequence[float]) -> Scale:
    """Round ends around the values and zero."""
    low, high = min(0.0, *values), max(0.0, *values)
    if high == low:
        high = low + 1.0
    margin = 0.06 * (high - low)
    return Scale(low - margin if low < 0.0 else 0.0, high + margin if high > 0.0 else 0.0)


def _row(scale: Scale, dot: Dot, y: float) -> str:
    shown = dot.name if len(dot.name) <= MOST_CHARACTERS else dot.name[: MOST_CHARACTERS - 1] + "…"
    parts = [f'<text class="name" x="{GUTTER - 8}" y="{y + 4:.1f}" text-anchor="end">{text(shown)}</text>']
    if dot.forecast is not None:
        parts.append(f'<path class="line sim1 tick" d="M{scale.x(dot.forecast):.1f} {y - 8:.1f}v16"/>')
    if dot.value is not None:
        parts.append(f'<path class="whisker" d="M{scale.x(dot.low):.1f} {y:.1f}H{scale.x(dot.high):.1f}"/>')
        parts += [_beyond(scale, value, y) for value in (dot.low, dot.high)]
        kind = "dot hollow" if dot.is_hollow else "dot"
        words = f"{dot.name}: {dot.value:.4g} [{dot.low:.4g}, {dot.high:.4g}]"
        place = f'cx="{scale.x(dot.value):.1f}" cy="{y:.1f}" r="4.5"'
        parts.append(f'<circle class="{kind}" {place}><title>{text(words)}</title></circle>')
    return "".join(parts)


def _beyond(scale: Scale, value: float, y: float) -> str:
    """An arrow where an interval goes on outside of the picture."""
    if scale.low <= value <= scale.high or math.isnan(value):
        return ""
    x, back = scale.x(value), 6 if value < scale.low else -6
    return f'<path class="whisker beyond" d="M{x + back:.1f} {y - 4:.1f}L{x:.1f} {y:.1f}L{x + back:.1f} {y + 4:.1f}"/>'


def _grid(scale: Scale, label: str, height: int) -> str:
    parts = []
    for value in ticks(scale.low, scale.high, False):
        x = scale.x(value)
        kind = "grid zero" if value == 0.0 else "grid"
        parts.append(f'<path class="{kind}" d="M{x:.1f} {TOP}V{height - BOTTOM}"/>')
        parts.append(f'<text x="{x:.1f}" y="{height - BOTTOM + 16}" text-anchor="middle">{value:.4g}</text>')
    middle = (GUTTER + WIDTH - RIGHT) / 2
    place = f'x="{middle:.0f}" y="{height - 8}" text-anchor="middle"'
    parts.append(f'<text class="label" {place}>{text(label)}</text>')
    return "".join(parts)


def _keys(keys: Sequence[str]) -> str:
    signs = (
        '<circle class="dot" cx="13" cy="5" r="4"/>', '<circle class="dot hollow" cx="13" cy="5" r="4"/>',
        '<path class="line sim1 tick" d="M13 0V10"/>',
    )  # fmt: skip
    items = (
        f'<li><svg class="key" viewBox="0 0 26 10" aria-hidden="true">{sign}</svg>{text(key)}</li>'
        for sign, key in zip(signs, keys, strict=False)
    )
    return f'<ul class="keys">{"".join(items)}</ul>'
