"""What the data propose for each field of the simulated market's table, with a range and the reason.

A proposal is no order: `engine/simulator/world.py` says what is used. The range is that of the markets
measured where there are several, else the interval of the one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from engine.assumptions import StructuralAssumptions
from engine.simulator.world import WorldParameters
from training.calibration.fields import STRUCTURAL_SOURCES, WORLD_SOURCES, source_of
from training.calibration.gathered import Measures
from training.calibration.matching import DAYS, MATCHED_MARKETS, MATCHES, direct, match, target
from training.calibration.simulated import instruments_of, simulate_days, simulated_fills
from training.calibration.stats import Figure
from training.measures import Array, round_figure

Value = float | tuple[float, ...]
INFORMATION = "information_half_spreads"
RULE_605_LOST = 1.132  # passive_adverse_selection_of_spread at the quote, all sizes (store/seed/impact.json)
FILL_DAYS = 60
AGREEMENT = 1.15


@dataclass(frozen=True, slots=True)
class Proposal:
    """What the data say of one field; `data` names the measure and its groups."""

    field: str
    value: Value
    low: Value | None
    high: Value | None
    data: str
    note: str = ""


def proposals(measures: Measures, world: WorldParameters, days: int = DAYS) -> list[Proposal]:
    """Every field of the table that these data support; matched on this many simulated days."""
    found = [*_curves(measures), *_touch(measures), *_spread(measures), *_matched(measures, world, days)]
    names = {f.name for f in fields(world)}
    usable = [p for p in found if p.field in names]
    return [
        _informed(p, measures, proposed_world(world, usable), days) if p.field == INFORMATION else p
        for p in usable
    ]


def _informed(found: Proposal, measures: Measures, world: WorldParameters, days: int) -> Proposal:
    """Information at which fills at the touch lose what Rule 605 says; what they lose is proportional to
    it."""
    moved = [
        simulated_fills(simulate_days(world, min(FILL_DAYS, days), alike)).moved_half_spreads
        for alike in instruments_of(measures).values()
    ]
    lost = float(np.mean(moved))
    if not lost > 0.0:
        return found
    value = round_figure(float(world.information_half_spreads) * RULE_605_LOST / lost, 3)
    note = (
        f"so that small orders at the touch lose {RULE_605_LOST:g} half-spreads (Rule 605); read off the lean of "
        f"the flow itself it is {_shown(found.value)}"
    )
    return replace(found, value=value, note=note)


def proposed_world(world: WorldParameters, found: Sequence[Proposal]) -> WorldParameters:
    """The table with the proposals in the place of its numbers."""
    names = {f.name for f in fields(world)}
    return replace(world, **{p.field: p.value for p in found if p.field in names})  # type: ignore[arg-type]


def _curves(measures: Measures) -> list[Proposal]:
    groups = {m: f for m, f in measures.get("variance_curve", {}).items() if m in MATCHED_MARKETS}
    if not groups:
        return []
    curves = np.array([f.value for f in groups.values()])
    curve = np.exp(np.log(curves).mean(axis=0))
    curve = curve / curve.mean()
    return [
        Proposal(
            "variance_curve",
            _tuple(curve),
            _tuple(curves.min(axis=0)),
            _tuple(curves.max(axis=0)),
            f"variance_curve {', '.join(groups)}",
            "geometric mean of the markets, scaled to mean 1",
        )
    ]


def _tuple(values: Array) -> tuple[float, ...]:
    return tuple(round_figure(float(v), 3) for v in values)


def _pooled(
    measures: Measures, field: str, name: str, groups: Sequence[str], point: int = 0, note: str = ""
) -> list[Proposal]:
    """Geometric mean over groups of one point of a measure, with the range of the groups (or the one
    interval)."""
    rows = [measures[name][g] for g in groups if g in measures.get(name, {})]
    values = [float(np.ravel(f.value)[point]) for f in rows]
    values = [v for v in values if np.isfinite(v) and v > 0]
    if not values:
        return []
    low, high = (min(values), max(values)) if len(values) > 1 else _interval(rows[0], point)
    used = ", ".join(g for g in groups if g in measures[name])
    return [
        Proposal(
            field, round_figure(float(np.exp(np.mean(np.log(values)))), 3), low, high, f"{name}: {used}", note
        )
    ]


def _interval(found: Figure, point: int) -> tuple[float | None, float | None]:
    if found.interval95 is None:
        return None, None
    pair = found.interval95 if isinstance(found.value, float) else found.interval95[point]
    return float(pair[0]), float(pair[1])


def _groups(measures: Measures, name: str, *words: str) -> list[str]:
    """The measure's groups that hold one of the words (all of them without words)."""
    return [g for g in measures.get(name, {}) if not words or any(w in g for w in words)]


def _touch(measures: Measures) -> list[Proposal]:
    quoted_us = [g for g in _groups(measures, "touch_share", "US ") if "AMZN" not in g]
    leans = _groups(measures, "lean_sd")
    depth = _groups(measures, "depth_log_sd")
    closing = _groups(measures, "auction_volume_log_sd", "closing")
    return [
        *_pooled(
            measures,
            "touch_share",
            "touch_share",
            quoted_us,
            note="where no volume is off exchange (China, Brazil) it is 0.5 by definition",
        ),
        *_pooled(measures, "touch_log_sd", "touch_share_log_sd", quoted_us),
        *_pooled(measures, "flow_tilt", "lean_sd", leans),
        *_pooled(
            measures,
            "information_half_spreads",
            "information_half_spreads",
            leans,
            note="the whole lean counts as information",
        ),
        *_pooled(measures, "queue_log_sd", "depth_log_sd", depth),
        *_pooled(measures, "queue_share", "depth_share", _groups(measures, "depth_share")),
        *_pooled(measures, "auction_volume_log_sd", "auction_volume_log_sd", closing),
    ]


def _spread(measures: Measures) -> list[Proposal]:
    free = _groups(measures, "spread_memory", "free")
    found = _pooled(measures, "spread_on_log_volatility", "spread_on_volatility", free)
    memory = _pooled(measures, "spread_persistence_minutes", "spread_memory", free)
    for p in memory:
        sides = [
            None if not isinstance(x, float) or not 0.0 < x < 1.0 else -1.0 / np.log(x)
            for x in (p.low, p.high)
        ]
        found.append(
            replace(p, value=round_figure(-1.0 / float(np.log(p.value)), 3), low=sides[0], high=sides[1])
        )
    return found + _freedom(measures)


def _freedom(measures: Measures) -> list[Proposal]:
    """From how many ticks on a spread moves freely: sd = A clip((ticks - 1) / F, 0.05, 1), by least
    squares."""
    noise, ticks = measures.get("spread_log_sd_of_a_day", {}), measures.get("spread_ticks_mean", {})
    groups = [g for g in noise if g in ticks]
    if len(groups) < 8:
        return []
    sd = np.array([float(np.ravel(noise[g].value)[0]) for g in groups])
    wide = np.array([float(np.ravel(ticks[g].value)[0]) for g in groups])
    grid = np.geomspace(0.2, 10.0, 80)
    errors = np.array([_freedom_error(sd, wide, free) for free in grid])
    near = grid[errors <= errors.min() * 1.15]
    return [
        Proposal(
            "free_spread_ticks",
            round_figure(float(grid[errors.argmin()]), 3),
            float(near.min()),
            float(near.max()),
            f"spread_log_sd_of_a_day against spread_ticks_mean, {len(groups)} stock-days",
            "in mean spreads; the median of a spread that is often one tick hides how freely it moves",
        )
    ]


def _freedom_error(sd: Array, ticks: Array, free: float) -> float:
    shape = np.clip((ticks - 1.0) / free, 0.05, 1.0)
    scale = float(shape @ sd / (shape @ shape))
    return float(np.sum((sd - scale * shape) ** 2))


def _matched(measures: Measures, world: WorldParameters, days: int) -> list[Proposal]:
    """Fields that are matched or read off, for all markets together and for each alone (the range)."""
    markets = [m for m in MATCHED_MARKETS if any(m in measures.get(how.measure, {}) for how in MATCHES)]
    if not markets:
        return []
    together = _match_one(measures, world, tuple(markets), days)
    alone = [_match_one(measures, world, (m,), days) for m in markets] if len(markets) > 1 else []
    found = []
    for field, (value, measure) in together.items():
        others = [each[field][0] for each in alone if field in each]
        low, high = (min([value, *others]), max([value, *others])) if others else (None, None)
        found.append(Proposal(field, round_figure(value, 3), low, high, f"{measure}: {', '.join(markets)}"))
    return found


def _match_one(
    measures: Measures, world: WorldParameters, markets: tuple[str, ...], days: int
) -> dict[str, tuple[float, str]]:
    fixed = direct(measures, markets)
    wanted = {
        how.field: value
        for how in MATCHES
        if (value := target(measures, how.measure, how.point, markets)) is not None
    }
    world = match(replace(world, **fixed), wanted, days)  # type: ignore[arg-type]
    names = {how.field: f"{how.measure}, matched" for how in MATCHES}
    names |= {
        "volume_on_log_volatility": "volume_on_volatility",
        "volatility_persistence_minutes": "volatility_memory",
    }
    return {field: (float(getattr(world, field)), names[field]) for field in (*fixed, *wanted)}


def field_table(instance: Any, sources: dict[str, Any], found: Sequence[Proposal]) -> list[dict[str, Any]]:
    """Every field with what is used now, where it comes from and what the data propose."""
    by_field = {p.field: p for p in found}
    rows = []
    for each in fields(instance):
        if each.name == "assumptions":
            continue
        source = source_of(sources, each.name)
        now = getattr(instance, each.name)
        row: dict[str, Any] = {
            "field": each.name,
            "status": source.status,
            "source": source.text,
            "now": _shown(now),
        }
        if each.name in by_field:
            p = by_field[each.name]
            if not agrees(now, p):
                # The number in use is not the one that was measured.
                row |= {"status": "assumed", "source": f"data differ; {source.text}"}
            row |= {
                "proposed": _shown(p.value),
                "low": _shown(p.low),
                "high": _shown(p.high),
                "data": p.data,
                "note": p.note,
            }
        rows.append(row)
    return rows


def agrees(now: Any, found: Proposal) -> bool:
    """Whether the number in use is within the range of the data, give or take AGREEMENT."""
    used = np.ravel(np.asarray(now, dtype=np.float64))
    middle = np.ravel(np.asarray(found.value, dtype=np.float64))
    low = (
        middle if found.low is None else np.minimum(np.ravel(np.asarray(found.low, dtype=np.float64)), middle)
    )
    high = (
        middle
        if found.high is None
        else np.maximum(np.ravel(np.asarray(found.high, dtype=np.float64)), middle)
    )
    inside = (used >= low / AGREEMENT) & (used <= high * AGREEMENT)
    return bool(inside.all())


def world_table(world: WorldParameters, found: Sequence[Proposal]) -> list[dict[str, Any]]:
    """The table of WorldParameters."""
    return field_table(world, WORLD_SOURCES, found)


def structural_table(assumptions: StructuralAssumptions) -> list[dict[str, Any]]:
    """The table of StructuralAssumptions."""
    return field_table(assumptions, STRUCTURAL_SOURCES, ())


def _shown(value: Any) -> Any:
    """A value as JSON: nested numbers; what is no number by the names of its parts."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dict):
        return f"{len(value)} conditions"
    if isinstance(value, list | tuple):
        return [_shown(v) for v in value]
    return round_figure(float(value), 4)
