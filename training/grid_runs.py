"""Candidates of the judging grid on the same pairs of simulated paths, and what their runs came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from engine.simulator.execute import Run, execute
from engine.simulator.market import simulate_market
from engine.simulator.policies import PolicyTemplate, policies_of, template_of
from engine.simulator.world import WorldParameters
from training.contexts import Scene
from training.judging_grid import judging_grid, key_of
from training.simulator.estimates import cost_bps, looks_at_mid, parts_of, path_utilities_bps
from training.verdict import Array, Indices


@cache
def grid_families() -> tuple[Indices, Array]:
    """(grid,) which candidates differ by their duration only, and that duration; infinite where there is none."""
    numbers: dict[tuple[str, tuple[tuple[str, float], ...]], int] = {}
    family, minutes = [], []
    for candidate in judging_grid().candidates:
        name, parameters = key_of(candidate)
        rest = tuple(pair for pair in parameters if pair[0] != "duration_minutes")
        family.append(numbers.setdefault((name, rest), len(numbers)))
        minutes.append(float(candidate.parameters.get("duration_minutes", np.inf)))
    return np.array(family, dtype=np.int64), np.array(minutes)


def same_here(candidates: Indices, available_minutes: float) -> Indices:
    """The candidates of the grid that these are where only so much time is left: a duration beyond it is the same as
    the next one that fills it, and of those that are the same the mask leaves the shortest."""
    family, minutes = grid_families()
    found = candidates.copy()
    long = np.isfinite(minutes[candidates]) & (minutes[candidates] > available_minutes)
    for position in np.flatnonzero(long):
        enough = (family == family[candidates[position]]) & (minutes >= available_minutes - 1e-9)
        filling = np.flatnonzero(enough)
        found[position] = filling[np.argmin(minutes[filling])]
    return found


@cache
def grid_template() -> PolicyTemplate:
    return template_of(judging_grid())


@cache
def grid_inline() -> NDArray[np.bool_]:
    return looks_at_mid(judging_grid())


@dataclass(frozen=True, slots=True)
class Runs:
    """Candidates of the grid on the same pairs of paths; those that look at the mid stand in `inline`."""

    candidates: Indices
    plain: Run
    inline: Run

    @property
    def pairs(self) -> int:
        return self.plain.pairs


def run_pairs(scene: Scene, world: WorldParameters, candidates: Indices, seed: tuple[int, ...], pairs: int) -> Runs:
    """Runs candidates of the grid on fresh pairs of this seed."""
    order, template = scene.order, grid_template()
    inline = grid_inline()[candidates]
    paths = simulate_market(order, world, seed, pairs)
    return Runs(
        candidates,
        execute(order, world, paths, policies_of(template, order, candidates[~inline])),
        execute(order, world, paths, policies_of(template, order, candidates[inline]), mirrored=True),
    )


def joined(parts: Sequence[Runs]) -> Runs:
    """The same candidates on all the parts' pairs."""
    if len(parts) == 1:
        return parts[0]
    pairs = sum(part.pairs for part in parts)
    plain = np.concatenate([part.plain.values for part in parts], axis=1)
    halves = [part.inline.values[:, : part.pairs] for part in parts]
    halves += [part.inline.values[:, part.pairs :] for part in parts]
    return Runs(parts[0].candidates, Run(plain, pairs), Run(np.concatenate(halves, axis=1), pairs))


def influences_bps(scene: Scene, runs: Runs) -> Array:
    """(candidates, pairs): averages to each candidate's utility; see path_utilities_bps."""
    inline = grid_inline()[runs.candidates]
    found = np.empty((len(runs.candidates), runs.pairs))
    found[~inline] = path_utilities_bps(scene.order, runs.plain, False)
    found[inline] = path_utilities_bps(scene.order, runs.inline, True)
    return found


def moments_bps(scene: Scene, runs: Runs) -> tuple[Array, Array]:
    """(mean cost, standard deviation) of each candidate."""
    inline = grid_inline()[runs.candidates]
    cost, deviation = np.empty(len(inline)), np.empty(len(inline))
    for chosen, run, looks in ((~inline, runs.plain, False), (inline, runs.inline, True)):
        parts = parts_of(scene.order, run, looks)
        cost[chosen] = cost_bps(scene.order, parts)
        deviation[chosen] = scene.order.sigma_bps * parts.deviation
    return cost, deviation


def undominated_of(cost: Array, deviation: Array) -> NDArray[np.bool_]:
    """Whether no other candidate has less cost and no more risk, or less risk and no more cost. Of several that are the
    same in both all are left."""
    order = np.lexsort((cost, deviation))
    rising = cost[order]
    best_before = np.concatenate(([np.inf], np.minimum.accumulate(rising)[:-1]))
    kept = rising < best_before
    for at in range(1, len(order)):
        same = deviation[order[at]] == deviation[order[at - 1]] and rising[at] == rising[at - 1]
        kept[at] = kept[at] or (same and kept[at - 1])
    found = np.empty(len(order), dtype=np.bool_)
    found[order] = kept
    return found
