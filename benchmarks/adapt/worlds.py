"""The orders and worlds in which adaptation is judged, as hashes in benchmarks/adapt/worlds.json.

    python -m benchmarks.adapt.worlds                  # what differs from the committed file; status 1 if anything does
    python -m benchmarks.adapt.worlds --write NAME     # takes what the code says now, under another name

The market is the simulator's: its six conditions, how long they stay and where they go (engine/simulator/world.py;
docs/calibration.md says what of it is calibrated and what assumed). Nothing is made for this benchmark but the
question: an order whose condition changes inside its life. Whoever changes the market, the orders or the rules below
makes another benchmark.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from dataclasses import asdict, dataclass, replace
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.request import Constraints, Context, OrderRequest
from engine.simulator.market import MarketPaths, Steer, simulate_market
from engine.simulator.orders import SimulatedOrder
from engine.simulator.world import DEFAULT_WORLD, WorldParameters
from engine.snapshot import InstrumentView, Snapshot, prepare_view
from engine.utility import table_sha256
from engine.values import CONDITIONS, Instrument, MarketCondition, MarketState, Objective, Side, Urgency
from training.contexts import (
    OPEN_NS,
    SESSION_MINUTES,
    Case,
    Purpose,
    draw_constraints,
    draw_quantity,
    instruments,
    lognormal,
    scene_of,
    sessions_of,
    start_ns_of,
)

FILE: Final = Path(__file__).resolve().parent / "worlds.json"
HASHED_ORDERS: Final = 240
DAY_NS: Final = 24 * 60 * 60_000_000_000


class Use(IntEnum):
    """What an order is for. The numbers are part of the seeds; what is tuned on is never judged on. (2 and 4, 5 and
    6, 7 and 8, 9 and 10 were orders to judge, of the worlds w1 to w4, until they were looked at.)"""

    TUNE = 1
    TUNE_CONSTANT = 3
    JUDGE = 11
    JUDGE_CONSTANT = 12


@dataclass(frozen=True, slots=True)
class Rules:
    """How the orders are drawn and judged.

    warm_minutes: bars before the order. least_left_minutes: of the session, when it comes. least_after_minutes,
    least_left_share: of its plan and of its quantity, when the change comes. orders: equally many for each condition
    that is changed to. pairs: mirrored pairs of paths an order, each path followed on its own. constant_orders,
    constant_pairs: of the world where nothing changes.
    """

    warm_minutes: int = 60
    least_left_minutes: int = 45
    least_after_minutes: float = 5.0
    least_left_share: float = 0.1
    orders: int = 108
    pairs: int = 100
    constant_orders: int = 60
    constant_pairs: int = 6
    bootstraps: int = 2_000
    bootstrap_seed: int = 20261130


FULL: Final = Rules()


@dataclass(frozen=True, slots=True)
class World:
    """One order with the market that it will meet. Figures of `usual` are the instrument's on an ordinary day; the
    request names no condition and no figure of the moment: bars do.

    warm: minutes of market before the order. steer: the script of conditions, from the first of those minutes on.
    """

    use: Use
    index: int
    attempt: int
    instrument: Instrument
    usual: MarketState
    side: Side
    quantity_shares: float
    objective: Objective
    urgency: Urgency
    constraints: Constraints
    start_minute: int
    warm: int
    steer: Steer

    @property
    def change_minute(self) -> int:
        """Minutes from the order's start to the change."""
        return self.steer.change - self.warm

    @property
    def before(self) -> MarketCondition:
        return CONDITIONS[self.steer.first]

    @property
    def after(self) -> MarketCondition:
        return CONDITIONS[self.steer.first if self.steer.following is None else self.steer.following]

    @property
    def seed(self) -> tuple[int, ...]:
        return (20261130, int(self.use), self.index, self.attempt)

    def instant_ns(self, minutes: int) -> int:
        """The instant `minutes` after the order's start, from which trading goes on."""
        return start_ns_of(self.instrument.calendar, self.start_minute + minutes)

    def bar_end_ns(self, minutes: int) -> int:
        """The end of the minute that ends `minutes` after the start: before a break, not after it."""
        pause = 90 if self.instrument.calendar == "XSHG" and self.start_minute + minutes > 120 else 0
        return OPEN_NS + (self.start_minute + minutes + pause) * 60_000_000_000

    def view(self) -> InstrumentView:
        return prepare_view(self.instrument, self.usual, sessions_of(self.instrument.calendar), 570.0)

    def request(self, context: Context) -> OrderRequest:
        return OrderRequest(
            order_id=f"ADAPT-{self.use.name}-{self.index}-{self.attempt}",
            instrument_id=self.instrument.instrument_id, side=self.side, quantity_shares=self.quantity_shares,
            objective=self.objective, urgency=self.urgency, start_ns=self.instant_ns(0), seed=self.index,
            constraints=self.constraints, context=context,
        )  # fmt: skip


def stationary(world: WorldParameters) -> NDArray[np.float64]:
    """(6,) share of time in each condition."""
    found: NDArray[np.float64] = np.linalg.matrix_power(world.transitions(), 1 << 20)[0]
    return found


def flows(world: WorldParameters) -> NDArray[np.float64]:
    """(6, 6) changes a minute from each condition to each other one."""
    found: NDArray[np.float64] = stationary(world)[:, None] * world.transitions()
    np.fill_diagonal(found, 0.0)
    return found


def draw_world(use: Use, index: int, attempt: int = 0, rules: Rules = FULL,
               world: WorldParameters = DEFAULT_WORLD) -> World:
    """The `index`-th order's `attempt`. The condition changed to goes round; where from, and when, is drawn as the
    world has it. An attempt whose plan is over before the change is followed by another one (`gain.accepted`)."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((20261130, 7, int(use), index, attempt))))
    instrument, usual = instruments()[int(rng.integers(len(instruments())))]
    session = SESSION_MINUTES.get(instrument.calendar, 390)
    start = int(rng.integers(rules.warm_minutes, session - rules.least_left_minutes))
    constraints = draw_constraints(rng, instrument)
    mid = float(usual.mid_price or 50.0)
    volume = float(usual.average_daily_volume_shares or 1e6) * lognormal(rng, 0.5)
    usual = MarketState(
        OPEN_NS - DAY_NS, mid_price=mid,
        spread_bps=max(float(usual.spread_bps or 5.0) * lognormal(rng, 0.45), instrument.tick_size / mid * 1e4),
        daily_volatility_fraction=float(usual.daily_volatility_fraction or 0.02) * lognormal(rng, 0.35),
        average_daily_volume_shares=volume,
    )  # fmt: skip
    quantity = draw_quantity(rng, instrument, volume, float(session), float(start), constraints)
    return World(
        use, index, attempt, replace(instrument, typical_spread_bps=float(usual.spread_bps or 5.0)), usual,
        Side.BUY if rng.random() < 0.5 else Side.SELL, quantity, list(Objective)[int(rng.integers(5))],
        list(Urgency)[int(rng.integers(4))], constraints, start, rules.warm_minutes,
        draw_steer(rng, use, index, rules, world),
    )  # fmt: skip


def draw_steer(rng: np.random.Generator, use: Use, index: int, rules: Rules, world: WorldParameters) -> Steer:
    position = index % len(CONDITIONS)
    if use in (Use.TUNE_CONSTANT, Use.JUDGE_CONSTANT):
        return Steer(position)
    into = flows(world)[:, position]
    first = int(rng.choice(len(CONDITIONS), p=into / into.sum()))
    after = 1 + int(rng.exponential(world.mean_stay_minutes[first]))
    return Steer(first, rules.warm_minutes + after, position)


def base_order(found: World, base: Snapshot) -> SimulatedOrder | None:
    """The order in units of an ordinary day, from the first minute of its warm-up to its deadline; None where it cannot
    be planned at all. A ratio of 1 to an ordinary day is what the simulator's conditions are multipliers of."""
    weights = np.zeros(len(CONDITIONS))
    weights[CONDITIONS.index(MarketCondition.NORMAL)] = 1.0
    usual = found.usual
    said = Context(
        MarketCondition.NORMAL, mid_price=usual.mid_price, spread_bps=usual.spread_bps,
        daily_volatility_fraction=usual.daily_volatility_fraction,
        average_daily_volume_shares=usual.average_daily_volume_shares,
    )
    scene = scene_of(Case(Purpose.JUDGE, found.index, found.request(said), found.view(), weights), base)
    if scene is None:
        return None
    order = scene.order
    cumulative = scene.resolved.cumulative
    at = np.minimum(found.start_minute - found.warm + np.arange(found.warm + 1), len(cumulative) - 1)
    before = np.maximum(np.diff(cumulative[at]), 1e-9)
    return replace(
        order, start_minute=order.start_minute - found.warm,
        expected_volume=np.concatenate((before, order.expected_volume)),
    )


def paths_of(found: World, order: SimulatedOrder, pairs: int, world: WorldParameters = DEFAULT_WORLD) -> MarketPaths:
    """Mirrored pairs from the first minute of the warm-up on."""
    return simulate_market(order, world, (*found.seed, 1), pairs, steer=found.steer)


# ---- what is hashed


@cache
def worlds_sha256() -> str:
    """Hash of the first orders, hex; numbers to nine digits, since libraries differ in the last one."""
    rows = []
    for use in (Use.JUDGE, Use.JUDGE_CONSTANT):
        for index in range(HASHED_ORDERS):
            rows.append(row_of(draw_world(use, index)))
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()


def row_of(found: World) -> list[Any]:
    usual, limits = found.usual, found.constraints
    figures = (
        found.quantity_shares, usual.mid_price, usual.spread_bps, usual.daily_volatility_fraction,
        usual.average_daily_volume_shares,
    )
    return [
        found.instrument.instrument_id, int(found.side), int(found.objective), int(found.urgency), found.start_minute,
        [f"{figure:.9g}" for figure in figures], limits.max_participation_rate, limits.time_limit_minutes,
        sorted(limits.excluded_venues), limits.dark_pool_preference, found.warm, found.steer.first, found.steer.change,
        -1 if found.steer.following is None else found.steer.following,
    ]  # fmt: skip


def current(name: str) -> dict[str, Any]:
    """What the code says, in the form of the file."""
    world = DEFAULT_WORLD
    found: dict[str, Any] = {
        "name": name,
        "rules": asdict(FULL),
        "mean_stay_minutes": dict(zip([c.name for c in CONDITIONS], world.mean_stay_minutes, strict=True)),
        "next_condition": [list(row) for row in world.next_condition],
        "conditions": {c.name: asdict(d) for c, d in world.assumptions.conditions.items()},
        "world_sha256": world.sha256(),
        "utility_sha256": table_sha256(),
        "orders_sha256": worlds_sha256(),
        "cleaned_up": "within the participation limit until the order's last minute, then charged; for every side",
        "excluded": "fees and half-spread of the plan left alone, from both",
    }
    plain: dict[str, Any] = json.loads(json.dumps(found))  # tuples become lists, as they come back from a file
    return plain


def committed(file: Path = FILE) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def differences(file: Path = FILE) -> list[str]:
    """Which parts of the committed benchmark are not what the code says."""
    known = committed(file)
    now = current(str(known.get("name", "")))
    return [
        f"{part}: {json.dumps(known.get(part))} is committed, the code says {json.dumps(now.get(part))}"
        for part in sorted(known.keys() | now.keys()) if known.get(part) != now.get(part)
    ]  # fmt: skip


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", metavar="NAME", help="take what the code says now as the benchmark of this name")
    name = parser.parse_args(arguments).write
    if name:
        FILE.write_text(json.dumps(current(name), indent=2) + "\n")
        return 0
    found = differences()
    print("\n".join(found) or f"worlds {committed()['name']}: the code is what was committed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
