"""Orders on real days that no calibration saw: the service's choice against fixed ones, on the same path.

The service sees what the day's first minutes show and daily figures that were known before; the market condition is its
own to detect. Each order is run as a buy and as a sell, so that where a day went takes no side. Two comparisons: the
implementation shortfall with the day's own moves in it, which knows neither risk nor time, so that an urgent order's
choice pays for a haste that nothing rewards; and the utility that was asked for, on the day's volume, spread and
volatility, with the mid's moves taken out (they have mean zero) and risk as what was held through the day's variance.
Intervals resample whole dates: the symbols of one share its news.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.judge.baselines import at_rate, by_participation, horizons_of
from benchmarks.judge.figures import rounded, spread
from benchmarks.judge.service import Decided, decided, load_service
from benchmarks.judge.statistics import clustered_mean
from benchmarks.judging import FULL
from engine.catalogue import candidate_set
from engine.request import Context, OrderRequest
from engine.sessions import MINUTE_NS, Sessions
from engine.simulator.execute import execute
from engine.simulator.policies import policies_of
from engine.simulator.world import DEFAULT_WORLD
from engine.snapshot import prepare_view
from engine.values import Bar, Instrument, MarketState, Objective, Side, TradingSession, Urgency
from training.calibration.real_days import RealDay, real_days
from training.contexts import OPEN_NS, Case, Purpose, instruments, scene_of
from training.grid_runs import grid_inline, grid_template
from training.judging_grid import judging_grid, served_in_grid
from training.simulator.estimates import parts_of, shortfalls_bps, utility_bps
from training.simulator.replay import replay_paths

DRAWS = 16
BARS = 60
LEAST_LEFT_MINUTES = 60
SMALLEST, LARGEST = 1e-3, 0.10
# China's lunch break, trading minutes before it and minutes of it.
BREAK_AFTER, BREAK_MINUTES = 120, 90
SHORT_DAYS = 60
KINDS = ("shortfall_bps", "utility_bps")
NAMES = ("chosen", "always_twap", "always_vwap", "always_pov")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ReplayOrder:
    """One order of a real day, as a case of its own."""

    day: RealDay
    case: Case
    sign: int


def sessions_of(day: RealDay) -> Sessions:
    """A made-up date with the day's own trading minutes."""
    minutes = day.first_minute + day.minutes
    if day.calendar != "XSHG" or minutes <= BREAK_AFTER:
        return Sessions.of([TradingSession(OPEN_NS, OPEN_NS + minutes * MINUTE_NS)])
    pause = OPEN_NS + BREAK_AFTER * MINUTE_NS
    back = pause + BREAK_MINUTES * MINUTE_NS
    return Sessions.of([TradingSession(OPEN_NS, OPEN_NS + (minutes + BREAK_MINUTES) * MINUTE_NS, pause, back)])


def instant_of(day: RealDay, minute: int) -> int:
    """The made-up instant of a minute of the session."""
    pause = BREAK_MINUTES if day.calendar == "XSHG" and minute >= BREAK_AFTER else 0
    return OPEN_NS + (minute + pause) * MINUTE_NS


def instrument_of(day: RealDay) -> Instrument:
    """The seed's own where it knows the symbol, else that of the same calendar whose volume is nearest, with the day's
    tick and spread and as much turnover."""
    own = [pair for pair in instruments() if pair[0].instrument_id == day.symbol]
    alike = own or [pair for pair in instruments() if pair[0].calendar == day.calendar] or list(instruments())
    volume = day.average_daily_volume_shares

    def distance(pair: tuple[Instrument, MarketState]) -> float:
        return abs(float(np.log((pair[1].average_daily_volume_shares or 1.0) / volume)))

    found, market = min(alike, key=distance)
    turnover = found.shares_outstanding / (market.average_daily_volume_shares or volume)
    return replace(
        found, instrument_id=day.symbol, tick_size=day.tick_size, shares_outstanding=turnover * volume,
        typical_spread_bps=float(np.median(day.minute_spread_bps)),
    )


def bars_before(day: RealDay, position: int) -> tuple[Bar, ...]:
    """The last hour's bars until a minute of the path."""
    return tuple(
        Bar(
            instant_of(day, day.first_minute + at) + MINUTE_NS, float(day.minute_mid[at + 1]),
            float(day.minute_volume_shares[at]), float(day.minute_spread_bps[at]),
        )
        for at in range(max(0, position - BARS), position)
    )


def order_of(day: RealDay, sign: int) -> ReplayOrder:
    """The day's order: size, start, objective and urgency by the hash of symbol and date."""
    number = zlib.crc32(f"{day.symbol}|{day.date}".encode())
    rng = np.random.default_rng((20261122, 13, number))
    instrument = instrument_of(day)
    position = int(rng.integers(0, day.minutes - LEAST_LEFT_MINUTES))
    left = (day.minutes - position) / day.minutes
    share = min(float(np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST)))), 0.5 * 0.3 * left)
    lot = instrument.lot_size_shares
    quantity = max(1, round(share * day.average_daily_volume_shares / lot)) * lot
    start = instant_of(day, day.first_minute + position)
    request = OrderRequest(
        order_id=f"REPLAY-{number}-{sign}", instrument_id=day.symbol, side=Side.BUY if sign > 0 else Side.SELL,
        quantity_shares=quantity, objective=list(Objective)[int(rng.integers(5))],
        urgency=list(Urgency)[int(rng.integers(4))], start_ns=start, seed=number,
        context=Context(
            mid_price=float(day.minute_mid[position]), spread_bps=float(day.minute_spread_bps[position]),
            daily_volatility_fraction=day.daily_volatility_fraction,
            average_daily_volume_shares=day.average_daily_volume_shares, bars=bars_before(day, position),
        ),
    )
    market = MarketState(
        start, mid_price=float(day.minute_mid[position]), spread_bps=instrument.typical_spread_bps,
        daily_volatility_fraction=day.daily_volatility_fraction,
        average_daily_volume_shares=day.average_daily_volume_shares,
    )
    view = prepare_view(instrument, market, sessions_of(day), 570.0)
    return ReplayOrder(day, Case(Purpose.JUDGE, number, request, view, np.zeros(6)), sign)


def choices_of(found: Decided) -> dict[str, int]:
    """The service's candidate and the fixed ones (indices in the grid)."""
    horizons = horizons_of(candidate_set(), found.metrics, found.resolved.inputs.available_minutes)
    grid = served_in_grid()
    return {
        "chosen": found.chosen,
        "always_twap": int(grid[by_participation("TWAP", 0.10, found, horizons)]),
        "always_vwap": int(grid[by_participation("VWAP", 0.10, found, horizons)]),
        "always_pov": int(grid[at_rate(0.10, found, horizons)]),
    }


def replay_row(order: ReplayOrder, models_dir: Path | None = None) -> Row | None:
    """Shortfalls of all choices on the day's path, bps; None where the order is not decided as a whole."""
    service = load_service(models_dir)
    found = decided(order.case, service)
    scene = scene_of(order.case, service.served)
    if found is None or scene is None:
        return None
    choices = choices_of(found)
    paths = replay_paths(order.day, scene.order, DEFAULT_WORLD, order.case.seed(3), DRAWS, order.sign)
    index = np.array(list(choices.values()))
    run = execute(scene.order, DEFAULT_WORLD, paths, policies_of(grid_template(), scene.order, index))
    # Every candidate runs on the path as it was; none is mirrored.
    costs = shortfalls_bps(scene.order, run, True).mean(axis=1)
    utilities = utility_bps(scene.order, parts_of(scene.order, run, True))
    request = order.case.request
    return {
        "date": order.day.date, "symbol": order.day.symbol, "market": order.day.calendar, "side": request.side.name,
        "objective": request.objective.name, "urgency": request.urgency.name,
        "condition": found.decision.assessment.condition.name, "by_models": found.by_models,
        "algorithm": judging_grid().candidates[found.chosen].spec.name, "inline": bool(grid_inline()[found.chosen]),
        "said_cost_bps": found.decision.chosen.outcomes.cost_fraction * 1e4,
        "said_quantile_10_bps": found.decision.chosen.outcomes.quantile_10_fraction * 1e4,
        "said_quantile_90_bps": found.decision.chosen.outcomes.quantile_90_fraction * 1e4,
        "shortfall_bps": {name: float(cost) for name, cost in zip(choices, costs, strict=True)},
        "utility_bps": {name: float(utility) for name, utility in zip(choices, utilities, strict=True)},
    }


def against(rows: Sequence[Row], name: str) -> dict[str, Any]:
    """What was saved on average against a fixed choice, in shortfall and in utility."""
    dates: NDArray[np.int64] = np.array([row["date"] for row in rows], dtype=np.int64)
    found: dict[str, Any] = {}
    for kind in KINDS:
        saved = np.array([row[kind][name] - row[kind]["chosen"] for row in rows])
        estimate = clustered_mean(saved, dates, FULL.bootstraps, FULL.bootstrap_seed)
        found |= spread(f"saved_{kind}", estimate, 3)
    return found


def part(rows: Sequence[Row]) -> dict[str, Any]:
    """Figures of some of the rows."""
    inside = [
        row["said_quantile_10_bps"] <= row["shortfall_bps"]["chosen"] <= row["said_quantile_90_bps"] for row in rows
    ]
    return {
        "orders": len(rows), "dates": len({row["date"] for row in rows}), "symbols": len({r["symbol"] for r in rows}),
        **{
            kind: {name: rounded(float(np.mean([row[kind][name] for row in rows])), 3) for name in NAMES}
            for kind in KINDS
        },
        "said_cost_bps": rounded(float(np.mean([row["said_cost_bps"] for row in rows])), 3),
        "interval_coverage": rounded(float(np.mean(inside))),
        "against": {name: against(rows, name) for name in NAMES[1:]},
    }


def replay_figures(data: Path, short: bool, progress: Callable[[int, int], None],
                   models_dir: Path | None = None) -> dict[str, Any]:
    """Everything about the real days; null with the reason where there are none."""
    days = real_days(data, replay=True) if data.is_dir() else []
    if not days:
        return {"replay": None, "replay_reason": f"no real days to replay in {data.name or data}"}
    days = [day for day in days if day.minutes > 2 * LEAST_LEFT_MINUTES]
    if short:
        days = days[:: max(1, len(days) // SHORT_DAYS)]
    rows = []
    for done, day in enumerate(days):
        rows += [replay_row(order_of(day, sign), models_dir) for sign in (1, -1)]
        progress(done + 1, len(days))
    known = [row for row in rows if row is not None]
    cells: dict[str, Any] = {}
    for cell in ("market", "objective", "urgency"):
        cells[cell] = {
            value: part([row for row in known if row[cell] == value]) for value in sorted({row[cell] for row in known})
        }
    return {"replay": part(known) | {"not_decided": len(rows) - len(known), "by": cells}}
