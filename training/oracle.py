"""What could have been had: the true utility of every candidate of the judging grid for one order, by racing.

All candidates run on common random numbers. A first, short look drops what is far behind; the finalists run on fresh
pairs of paths in two halves: the best is picked on one half and valued on the other, as is everything it is compared
with, so that nothing is flattered by its own luck and a regret may be negative. Paths are added until the paired
differences from the best are known well enough: those of the choices, and those of every finalist that may still be
better. Everything is a pure function of case, snapshot, world and rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine import kernel as k
from engine.simulator.execute import UNFILLED, Run
from engine.simulator.world import DEFAULT_WORLD, WorldParameters
from engine.snapshot import Snapshot
from training.contexts import Case, Scene, scene_of
from training.grid_runs import (
    Runs,
    grid_inline,
    influences_bps,
    joined,
    moments_bps,
    run_pairs,
    same_here,
    undominated_of,
)
from training.judging_grid import judging_grid
from training.simulator.estimates import COMPLETE, cost_bps, parts_of, shortfalls_bps
from training.verdict import DEFAULT_RULES, Array, Indices, Judged, Realised, Rules, Standing, Status

# The stages' numbers in the seeds; a half's batches count on from its own.
STAGE_FIRST, STAGE_SECOND, STAGE_PICK, STAGE_VALUE = 1, 2, 1_000, 2_000


def feasible_of(scene: Scene, base: Snapshot) -> Indices:
    """Candidates of the grid that no hard limit rules out for this order."""
    grid, surfaces = judging_grid(), base.surfaces
    metrics = np.empty((len(grid.candidates), k.METRICS))
    mask = np.empty(len(grid.candidates), dtype=np.int64)
    k.price(
        surfaces.values, surfaces.log_participation, surfaces.log_horizon_days, surfaces.log_pool_share,
        scene.resolved.weights, grid.algorithm, grid.shape, grid.rule, grid.pace, grid.rests, grid.numbers,
        scene.resolved.cumulative, scene.context, metrics, mask,
    )
    return np.flatnonzero(mask == 0)


def gaps_of(influences: Array, best: int) -> tuple[Array, Array]:
    """(mean, standard error) of each row's paired difference from row `best`."""
    differences = influences - influences[best]
    pairs = differences.shape[1]
    errors: Array = differences.std(axis=1, ddof=1) / np.sqrt(pairs)
    return differences.mean(axis=1), errors


def near_top(influences: Array, rules: Rules, eligible: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Rows that may still be the best or equal it, among the eligible ones."""
    utilities = influences.mean(axis=1)
    best = int(np.argmin(np.where(eligible, utilities, np.inf)))
    gaps, errors = gaps_of(influences, best)
    tolerance = rules.tolerance_of(float(utilities[best]))
    near: NDArray[np.bool_] = eligible & (gaps <= tolerance + rules.margin_errors * errors)
    return near


@dataclass(frozen=True, slots=True)
class Race:
    """What the first two looks left: the finalists, and each candidate's utility as far as it is known."""

    finalists: Indices
    seen: tuple[tuple[Indices, Array], ...]
    cost_bps: Array
    deviation_bps: Array


def best_rows(utilities: Array, rows: NDArray[np.bool_], most: int) -> Indices:
    """The `most` best of some rows, best first."""
    positions = np.flatnonzero(rows)
    return positions[np.argsort(utilities[positions], kind="stable")[:most]]


def race(scene: Scene, world: WorldParameters, feasible: Indices, named: Indices, groups: Sequence[Indices],
         rules: Rules) -> Race:
    """Two looks at all feasible candidates; `named` ones and the best few of every group reach the end anyhow."""
    runners = np.union1d(feasible, named)
    first = run_pairs(scene, world, runners, scene.case.seed(STAGE_FIRST), rules.first_pairs)
    influences = influences_bps(scene, first)
    cost, deviation = moments_bps(scene, first)
    own = np.isin(runners, feasible)
    seen = [(runners, influences.mean(axis=1))]
    kept = near_top(influences, rules, own)
    utilities = influences.mean(axis=1)
    for group in groups:
        kept[best_rows(utilities, np.isin(runners, group), 2 * rules.finalists_of_group)] = True
    kept |= np.isin(runners, named)

    runners = runners[kept]
    second = run_pairs(scene, world, runners, scene.case.seed(STAGE_SECOND), rules.second_pairs)
    influences = influences_bps(scene, second)
    utilities = influences.mean(axis=1)
    seen.append((runners, utilities))
    finalists = [best_rows(utilities, near_top(influences, rules, np.isin(runners, feasible)), rules.finalists)]
    finalists += [best_rows(utilities, np.isin(runners, group), rules.finalists_of_group) for group in groups]
    chosen = np.union1d(np.unique(np.concatenate([runners[rows] for rows in finalists])), named)
    return Race(chosen, tuple(seen), cost[own], deviation[own])


def final_batches(scene: Scene, world: WorldParameters, finalists: Indices, stage: int, batches: range,
                  rules: Rules) -> list[Runs]:
    size = min(rules.batch_pairs, rules.final_pairs // 2)
    return [run_pairs(scene, world, finalists, scene.case.seed(stage + batch), size) for batch in batches]


@dataclass(frozen=True, slots=True)
class Final:
    """The last finalists' influences on both halves, all that they did on the valued one, and the utilities that every
    round gave there, those of finalists that left too."""

    finalists: Indices
    picked: Array
    valued: Array
    runs: Runs
    seen: tuple[tuple[Indices, Array], ...]

    def best(self, among: Indices) -> int:
        """Row of the finalist that is the best of some on the half for picking."""
        allowed = np.isin(self.finalists, among)
        return int(np.argmin(np.where(allowed, self.picked.mean(axis=1), np.inf)))


@dataclass(frozen=True, slots=True)
class Stakes:
    """Whom the last step is about: who could be chosen, whose differences are to be known, who stays to the end, and
    the groups whose best few stay."""

    feasible: Indices
    precise: Indices
    named: Indices
    groups: Sequence[Indices]


def final(scene: Scene, world: WorldParameters, finalists: Indices, stakes: Stakes, rules: Rules) -> Final:
    """Runs both halves, doubled until nothing is open; whoever falls behind meanwhile leaves."""
    size = min(rules.batch_pairs, rules.final_pairs // 2)
    count = rules.final_pairs // 2 // size
    halves: tuple[list[Runs], list[Runs]] = ([], [])
    seen: list[tuple[Indices, Array]] = []
    while True:
        for stage, parts in zip((STAGE_PICK, STAGE_VALUE), halves, strict=True):
            parts += final_batches(scene, world, finalists, stage, range(len(parts), count), rules)
        picked, runs = influences_bps(scene, joined(halves[0])), joined(halves[1])
        valued = influences_bps(scene, runs)
        seen.append((finalists, valued.mean(axis=1)))
        found = Final(finalists, picked, valued, runs, tuple(seen))
        if 4 * count * size > rules.most_pairs or not anything_open(found, stakes, rules):
            return found
        kept = staying(found, stakes, rules)
        finalists = finalists[kept]
        for parts in halves:
            parts[:] = [rows_of(part, kept) for part in parts]
        count *= 2


def anything_open(found: Final, stakes: Stakes, rules: Rules) -> bool:
    """Whether a difference from the best has too large an error, of a precise one or of one that may be better."""
    best = found.best(stakes.feasible)
    _, errors = gaps_of(found.valued, best)
    gaps, own = gaps_of(found.picked, best)
    may_be_better = np.isin(found.finalists, stakes.feasible) & (gaps <= rules.open_errors * own)
    matters = may_be_better | np.isin(found.finalists, stakes.precise)
    return bool(np.any(matters & (np.maximum(errors, own) > rules.wanted_error_bps)))


def staying(found: Final, stakes: Stakes, rules: Rules) -> NDArray[np.bool_]:
    """(finalists,) who runs on: by the half for picking alone, so that the other one stays free of it."""
    eligible = np.isin(found.finalists, stakes.feasible)
    kept = near_top(found.picked, rules, eligible) | np.isin(found.finalists, stakes.named)
    utilities = found.picked.mean(axis=1)
    for group in stakes.groups:
        kept[best_rows(utilities, np.isin(found.finalists, group), rules.finalists_of_group)] = True
    return kept


def rows_of(runs: Runs, kept: NDArray[np.bool_]) -> Runs:
    """The runs of some of the candidates (a mask)."""
    inline = grid_inline()[runs.candidates]
    return Runs(
        runs.candidates[kept], Run(runs.plain.values[kept[~inline]], runs.pairs),
        Run(runs.inline.values[kept[inline]], runs.pairs),
    )


def standing_of(found: Final, row: int, oracle: int, tolerance_bps: float) -> Standing:
    gaps, errors = gaps_of(found.valued, oracle)
    return Standing(
        int(found.finalists[row]), float(found.valued[row].mean()), float(gaps[row]), float(errors[row]),
        bool(gaps[row] <= tolerance_bps),
    )


def realised_of(scene: Scene, found: Final, candidate: int, rules: Rules) -> Realised:
    """The draws are of different pairs: half of them the first of a pair, half the second."""
    looks = bool(grid_inline()[candidate])
    run = found.runs.inline if looks else found.runs.plain
    same_kind = found.finalists[grid_inline()[found.finalists] == looks]
    row = int(np.flatnonzero(same_kind == candidate)[0])
    own = Run(run.values[row : row + 1], run.pairs)
    parts = parts_of(scene.order, own, looks)
    shortfalls = shortfalls_bps(scene.order, own, looks)[0]
    count = min(rules.draws, run.pairs)
    at = np.arange(count)
    at[count // 2 :] += run.pairs
    completion = float((own.values[0, :, UNFILLED] <= 1.0 - COMPLETE).mean())
    return Realised(
        float(cost_bps(scene.order, parts)[0]), float(scene.order.sigma_bps * parts.deviation[0]), completion,
        tuple(shortfalls[at].tolist()),
    )


def gaps_as_known(feasible: Indices, found: Race, last: Final, oracle_row: int) -> Array:
    """(feasible,) distance from the oracle, each candidate's by the last look that it took part in."""
    oracle = int(last.finalists[oracle_row])
    known = np.full(len(grid_inline()), np.nan)
    for runners, utilities in (*found.seen, *last.seen):
        known[runners] = utilities - utilities[np.flatnonzero(runners == oracle)[0]]
    return known[feasible]


def label_case(case: Case, base: Snapshot, choices: Mapping[str, int], groups: Mapping[str, Indices] | None = None,
               world: WorldParameters = DEFAULT_WORLD, rules: Rules = DEFAULT_RULES,
               precise: Sequence[str] = ("chosen",)) -> Judged:
    """Judges named choices (indices in the grid; see `served_in_grid`) of one case.

    The differences of the `precise` names are held to `rules.wanted_error_bps`, and what they came to is kept.
    Raises ValueError for an index that is not in the grid.
    """
    outside = [name for name, index in choices.items() if not 0 <= index < len(judging_grid().candidates)]
    if outside:
        raise ValueError(f"not in the grid: {', '.join(outside)}")
    scene = scene_of(case, base)
    if scene is None:
        return Judged(Status.UNPLANNED)
    feasible = feasible_of(scene, base)
    if len(feasible) < 2:
        return Judged(Status.ONE_FEASIBLE if len(feasible) else Status.NONE_FEASIBLE, feasible=feasible)
    return judge(scene, world, feasible, choices, groups or {}, rules, precise)


def judge(scene: Scene, world: WorldParameters, feasible: Indices, choices: Mapping[str, int],
          groups: Mapping[str, Indices], rules: Rules, precise: Sequence[str]) -> Judged:
    available = float(scene.context[k.AVAILABLE_MINUTES])
    here = same_here(np.array(list(choices.values()), dtype=np.int64), available)
    choices = dict(zip(choices, here.tolist(), strict=True))
    named = np.unique(here)
    members = {name: np.intersect1d(same_here(group, available), feasible) for name, group in groups.items()}
    raced = race(scene, world, feasible, named, list(members.values()), rules)
    careful = np.array([choices[name] for name in precise if name in choices], dtype=np.int64)
    last = final(scene, world, raced.finalists, Stakes(feasible, careful, named, list(members.values())), rules)
    oracle = last.best(feasible)
    utility = float(last.valued[oracle].mean())
    tolerance = rules.tolerance_of(utility)
    rows = {int(candidate): row for row, candidate in enumerate(last.finalists)}
    standings = {name: standing_of(last, rows[index], oracle, tolerance) for name, index in choices.items()}
    bests = {name: last.best(group) for name, group in members.items() if len(group)}
    gaps, errors = gaps_of(last.valued, oracle)
    equivalent = last.finalists[(gaps <= tolerance) & np.isin(last.finalists, feasible)]
    near = gaps <= 2.0 * tolerance
    return Judged(
        Status.JUDGED, int(last.finalists[oracle]), utility, tolerance, standings,
        {name: standing_of(last, row, oracle, tolerance) for name, row in bests.items()},
        {name: realised_of(scene, last, choices[name], rules) for name in precise if name in choices},
        feasible, gaps_as_known(feasible, raced, last, oracle),
        undominated_of(raced.cost_bps, raced.deviation_bps), equivalent, len(raced.finalists),
        2 * last.runs.pairs, float(errors[near].max()), float(grid_inline()[feasible].mean()),
    )
