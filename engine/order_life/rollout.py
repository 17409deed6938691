"""What is left of an order, played out: the plan in force and its rivals on the same simulated markets.

A remainder is no fresh order: its fills so far displace the mid, its plan is half done, it rests in queues, and a plan
that ends early is cleaned up within the participation limit. The models price fresh orders; so after a trigger the plan
in force and the models' best candidates are run minute by minute on common random numbers (engine/simulator), from the
conditions that the filter reads. Pure: the seed is the remainder's, so that an advice replays from its record. About
four milliseconds. docs/adr/0033 says what it gained.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine import kernel as k
from engine.catalogue import CATALOGUE, Candidate, CandidateSet, HorizonRule, Pace, profile_of
from engine.order_life.plan import Plan, minutes_left
from engine.order_life.rules import RULES, Playing, Switching
from engine.order_life.state import OrderState
from engine.order_life.updates import shares_of
from engine.priced import Priced
from engine.resolve import Resolved
from engine.simulator.execute import (
    DARK_FILLED,
    DECAY_MINUTES,
    DRIFT_PART,
    HELD_VARIANCE,
    MARTINGALE,
    MEAN_TIME,
    PASSIVE_FILLED,
    RESULTS,
    S_AHEAD,
    S_ANCHOR,
    S_BASE,
    S_FIRST,
    S_WHOLE,
    SIGMA_PART,
    SPREAD_PART,
    STATES,
    UNFILLED,
    X_PULSE,
    X_REACH,
    constants_of,
    minute_weights,
    play,
    power_table,
)
from engine.simulator.market import Levels, simulate_market
from engine.simulator.orders import SimulatedOrder, order_of
from engine.simulator.policies import MINUTES, fill_planned, row_of
from engine.simulator.world import DEFAULT_WORLD, WorldParameters
from engine.snapshot import Snapshot

Array = NDArray[np.float64]

# Part of our fills that others see while scheduled algorithms work, for the displacement before (their habits' mean).
SHOWN: Final = 0.7
# What the seeds of the paths end with, so that nothing else draws the same: to choose, and to confirm.
STREAM, CONFIRMING = 77, 78
SPECS: Final = {spec.name: spec for spec in CATALOGUE}


@dataclass(frozen=True, slots=True)
class Played:
    """Utilities, bps of what is left. keep_bps: None where the plan in force has come to its end. error_bps: standard
    error of the difference between keeping it and the best. left_over: shares of what is left that the two leave
    unfilled at the order's end."""

    best: int
    best_bps: float
    keep_bps: float | None = None
    error_bps: float = 0.0
    left_over: tuple[float, float] = (0.0, 0.0)
    confirmed: bool = False


@dataclass(slots=True)
class Field:
    """Who plays: rows of policies, planned curves and states to begin from, one each."""

    numbers: list[Array] = field(default_factory=list)
    planned: list[NDArray[np.float32]] = field(default_factory=list)
    starts: list[Array] = field(default_factory=list)

    def add(self, candidate: Candidate, minutes: int, cumulative: Array, start: Array) -> None:
        """`minutes`, `cumulative` (volume, (minutes + 1,) at least): from the plan's own first minute on."""
        numbers = np.array(row_of(candidate))
        numbers[MINUTES] = minutes
        curve = np.empty((1, minutes + 1), dtype=np.float32)
        paced = np.array([candidate.spec.pace is Pace.VOLUME])
        fill_planned(curve, numbers[MINUTES : MINUTES + 1], profile_of(candidate)[None, :], paced, cumulative)
        self.numbers.append(numbers)
        self.planned.append(curve[0])
        self.starts.append(start)

    def curves(self) -> NDArray[np.float32]:
        """(n, minutes + 1); a plan stays at 1 past its end."""
        found = np.ones((len(self.planned), max(len(curve) for curve in self.planned)), dtype=np.float32)
        for row, curve in zip(found, self.planned, strict=True):
            row[: len(curve)] = curve
        return found


@dataclass(frozen=True, slots=True)
class Ground:
    """What all who play share: the order that is left, its market, what it has displaced, what is known of the day."""

    order: SimulatedOrder
    world: WorldParameters
    constants: Array
    displaced: Array
    known: Levels | None


def played(priced: Priced, resolved: Resolved, plan: Plan, state: OrderState, snapshot: Snapshot, now_ns: int,
           over: bool, switching: Switching = RULES.switching, known: Levels | None = None) -> Played | None:
    """The best rival and the plan in force, played out; None where there is nothing to play. The best of many is the
    lucky one too: where it is ahead by as much as a switch must gain, the two are played once more on fresh paths, and
    those alone say by how much. known: of the day, from the bars."""
    playing = switching.playing
    rivals = rivals_of(priced, playing.rivals)
    ground = ground_of(priced, resolved, plan, state, snapshot, now_ns, playing, known)
    if not rivals or ground.order.minutes < 2:
        return None
    stays = not over and plan.planned_units > 0
    whole = min(1.0, resolved.request.quantity_shares / shares_of(state.open_units))
    seed = resolved.request.seed

    def play_off(numbers: list[int], pairs: int, stream: int) -> tuple[Array, Array, Array]:
        players = Field()
        add_rivals(players, numbers, snapshot.catalogue, ground.order, ground.displaced, whole)
        if stays:
            add_stay(players, plan, state, resolved, ground, now_ns)
        results = run(players, ground, (seed, stream), pairs)
        return utilities(ground.order, results)

    found, paths, left = play_off(rivals, playing.pairs, STREAM)
    at = int(np.argmin(found[: len(rivals)]))
    best = rivals[at]
    if not stays:
        return Played(best, float(found[at]), left_over=(0.0, float(left[at])))
    least = max(switching.tolerance_bps, switching.tolerance_fraction * abs(float(found[-1])))
    confirms = playing.confirming_pairs > 0 and found[-1] - found[at] > least
    if confirms:
        found, paths, left = play_off([best], playing.confirming_pairs, CONFIRMING)
        at = 0
    pairs = paths.shape[1] // 2
    difference = (paths[-1] - paths[at]).reshape(2, pairs).mean(axis=0)
    error = float(difference.std() / np.sqrt(pairs))
    over_both = (float(left[-1]), float(left[at]))
    return Played(best, float(found[at]), float(found[-1]), error, over_both, confirms)


def ground_of(priced: Priced, resolved: Resolved, plan: Plan, state: OrderState, snapshot: Snapshot, now_ns: int,
              playing: Playing, known: Levels | None) -> Ground:
    size_days = shares_of(state.open_units) / float(priced.context[k.DAILY_VOLUME])
    order = replace(order_of(priced.context, resolved.weights, resolved.cumulative), size_days=size_days)
    world = replace(DEFAULT_WORLD, assumptions=snapshot.assumptions)
    constants = constants_of(order, world)
    displaced = displaced_by(order, constants, plan, state, resolved, now_ns)
    # The mid from which the limit is so far away has our displacement in it, as the paths' mid has.
    constants[X_REACH] = displaced[:6].sum() + resolved.limit_room_bps / order.sigma_bps
    return Ground(order, world, constants, displaced, known if playing.knows_day else None)


def rivals_of(priced: Priced, most: int) -> list[int]:
    """The models' best that are allowed, and the best of every other algorithm."""
    allowed = np.flatnonzero(priced.mask == 0)
    best_first = allowed[np.argsort(priced.metrics[allowed, k.UTILITY], kind="stable")]
    algorithms = priced.algorithm[best_first]
    _, firsts = np.unique(algorithms, return_index=True)
    return [int(n) for n in best_first[np.unique(np.concatenate((np.arange(min(most, len(allowed))), firsts)))]]


def add_rivals(players: Field, rivals: list[int], catalogue: CandidateSet, order: SimulatedOrder, displaced: Array,
               whole: float) -> None:
    """Fresh plans for the part `whole` of what is left, at the end of every queue."""
    cumulative = np.concatenate((np.zeros(1), np.cumsum(order.expected_volume)))
    for n in rivals:
        candidate, minutes = catalogue.candidates[n], order.minutes
        if candidate.spec.rule is HorizonRule.DURATION:
            minutes = min(max(round(candidate.parameters["duration_minutes"]), 1), order.minutes)
        start = displaced.copy()
        start[S_WHOLE], start[S_AHEAD] = whole, -1.0
        players.add(candidate, minutes, cumulative, start)


def add_stay(players: Field, plan: Plan, state: OrderState, resolved: Resolved, ground: Ground, now_ns: int) -> None:
    """The plan in force where it stands: so many minutes old, so much of it done, at the front of its queues."""
    spec, order = SPECS[plan.algorithm], ground.order
    candidate = Candidate(spec, 0, {name: float(plan.parameters[name]) for name in spec.ranges})
    elapsed = minutes_between(resolved, plan, plan.made_ns, now_ns)
    left = order.minutes
    if spec.rule is HorizonRule.DURATION:
        left = max(1, min(round(minutes_left(resolved.view, now_ns, plan.end_ns)[0]), order.minutes))
    whole = resolved.cumulative
    at = np.minimum(np.arange(elapsed + left + 1) + max(0.0, order.start_minute - elapsed), len(whole) - 1.0)
    volume = np.interp(at, np.arange(len(whole)), whole)
    start = ground.displaced.copy()
    start[S_FIRST] = -elapsed
    start[S_WHOLE] = plan.planned_units / state.open_units
    start[S_BASE] = -max(0, state.filled_units - plan.filled_units) / state.open_units
    begun = state.opening
    if plan.made_ns == begun.decided_ns and min(begun.decision_mid_price, state.mid_price) > 0.0:
        # What trades only while the price is no worse than where it began; of later plans the price is not kept.
        moved = begun.side_sign * math.log(state.mid_price / begun.decision_mid_price)
        start[S_ANCHOR] -= moved / resolved.inputs.daily_volatility_fraction
    players.add(candidate, elapsed + left, volume - volume[0], start)


def minutes_between(resolved: Resolved, plan: Plan, first_ns: int, last_ns: int) -> int:
    """Trading minutes."""
    first, _ = minutes_left(resolved.view, first_ns, plan.deadline_ns)
    last, _ = minutes_left(resolved.view, last_ns, plan.deadline_ns)
    return max(0, round(first - last))


def displaced_by(order: SimulatedOrder, constants: Array, plan: Plan, state: OrderState, resolved: Resolved,
                 now_ns: int) -> Array:
    """(STATES,) with what the fills so far have displaced the mid by: taken as even since the plan was made, and even
    before it since the order was decided."""
    start = np.zeros(STATES)
    scale = plan.figures.volatility_fraction / resolved.inputs.daily_volatility_fraction
    elapsed = minutes_between(resolved, plan, plan.made_ns, now_ns)
    before = minutes_between(resolved, plan, state.opening.decided_ns, plan.made_ns)
    since = max(0, state.filled_units - plan.filled_units)
    old = steady(order, constants, before, plan.filled_units / state.open_units) * np.exp(-elapsed / DECAY_MINUTES)
    start[:6] = scale * (old + steady(order, constants, elapsed, since / state.open_units))
    start[S_ANCHOR] = start[:6].sum()
    return start


def steady(order: SimulatedOrder, constants: Array, minutes: int, share: float) -> Array:
    """(6,) left in each exponential by `share` of what is left, traded evenly in so many minutes."""
    if minutes < 1 or share <= 0.0:
        return np.zeros(len(DECAY_MINUTES))
    volume = float(order.expected_volume[:30].mean())
    strength = constants[X_PULSE] * np.sqrt(SHOWN * share * order.size_days / minutes / volume)
    keep = np.exp(-1.0 / DECAY_MINUTES)
    found: Array = minute_weights(0.5) * strength * (1.0 - keep**minutes) / (1.0 - keep)
    return found


def run(players: Field, ground: Ground, seed: tuple[int, ...], pairs: int) -> Array:
    """(n, 2 x pairs, RESULTS)."""
    order, a = ground.order, ground.world.assumptions
    paths = simulate_market(order, ground.world, seed, pairs, known=ground.known)
    results = np.zeros((len(players.numbers), 2 * pairs, RESULTS))
    rate = {"participation_rate": order.max_participation}
    cleaner = np.array(row_of(Candidate(SPECS["POV"], 0, rate)))
    keep = np.exp(-1.0 / DECAY_MINUTES)
    play(
        paths.fields, paths.auction_volume, np.array(players.numbers), players.curves(), np.array(players.starts),
        cleaner, order.expected_volume, ground.constants, minute_weights(a.decay_exponent), keep,
        DECAY_MINUTES * (1.0 - keep), power_table(a.temporary_exponent), results,
    )  # fmt: skip
    return results


def utilities(order: SimulatedOrder, results: Array) -> tuple[Array, Array, Array]:
    """(n,) utilities of (n, paths, RESULTS), (n, paths) what each path costs, without risk, and (n,) shares unfilled.
    bps of what is left; linear permanent impact is everybody's and left out."""
    own = results[..., SIGMA_PART] * order.sigma_bps + results[..., SPREAD_PART] * order.spread_bps
    rest = own + results[..., DRIFT_PART] * order.sigma_bps
    rest = rest - rest.mean(axis=1, keepdims=True)
    martingale = results[..., MARTINGALE] * order.sigma_bps
    variance = order.sigma_bps**2 * results[..., HELD_VARIANCE].mean(axis=1)
    variance += (rest**2).mean(axis=1) + 2.0 * (rest * martingale).mean(axis=1)
    dark, passive = results[..., DARK_FILLED], results[..., PASSIVE_FILLED]
    fees = dark * order.dark_fee_bps + passive * order.maker_fee_bps + (1.0 - dark - passive) * order.taker_fee_bps
    waiting = (order.alpha_bps_per_day + order.time_price_bps_per_day) / order.session_minutes
    paths = own + fees + waiting * results[..., MEAN_TIME]
    found = paths.mean(axis=1) + order.risk_aversion * np.sqrt(np.maximum(variance, 0.0))
    return found, paths, results[..., UNFILLED].mean(axis=1)
