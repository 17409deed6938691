"""Orders with what every candidate would really pay in each world: what the learning benchmark draws outcomes from.

Each order is decided by the shipped models, and all candidates that they kept are run in training/simulator on the same
market paths in every world, so that an outcome is one simulated path of one candidate, not a draw from a formula. The
paths are kept as a table, since two thousand outcomes of hundreds of repetitions would simulate the same orders again
and again; a repetition draws orders and paths from it at random. Orders that are learned from and orders that are
judged on are apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.judge.service import Service, load_service, priced
from engine import kernel as k
from engine.assumptions import DEFAULT_ASSUMPTIONS
from engine.catalogue import ALGORITHM_NAMES, CandidateSet
from engine.learning.effects import bucket_of, leakage_bps
from engine.learning.serving import impact_of
from engine.simulator.execute import END_MINUTE, SIGMA_PART, Run, execute
from engine.simulator.market import DRIFT, INNOVATION, MarketPaths, simulate_market
from engine.simulator.orders import SimulatedOrder, order_of
from engine.simulator.policies import PolicyTemplate, policies_of, template_of
from engine.simulator.world import DEFAULT_WORLD, WorldParameters
from training.contexts import Case, Purpose, draw_case
from training.simulator.estimates import path_utilities_bps, shortfalls_bps

Array = NDArray[np.float64]
F32 = NDArray[np.float32]

# Orders of Purpose.JUDGE from here on are used by nothing else.
FIRST_ORDER: Final = 3_000_000
SIMULATED: Final[Mapping[str, WorldParameters]] = {
    "as learned": DEFAULT_WORLD,
    "impact x2": WorldParameters(impact_factor=2.0),
    "dark leakage x2": WorldParameters(leak_factor=2.0),
    "impact x0.5": WorldParameters(impact_factor=0.5),
    "dark liquidity x0.5": WorldParameters(dark_factor=0.5),
    "dark liquidity x2": WorldParameters(dark_factor=2.0),
}
STAGE: Final = 71


@dataclass(frozen=True, slots=True)
class Reality:
    """One order in one world. first_bps, second_bps (n,): utility of every candidate on either half of the pairs;
    cost_bps, move_bps (n, paths): what its report would say, one column a path."""

    first_bps: Array
    second_bps: Array
    cost_bps: F32
    move_bps: F32


@dataclass(frozen=True, slots=True)
class Order:
    """One order with n candidates, all (n,): algorithm, and what the models said of each, bps."""

    size_days: float
    bucket: int
    objective: str
    condition: str
    algorithm: NDArray[np.int64]
    utility_bps: Array
    predicted_bps: Array
    deviation_bps: Array
    impact_bps: Array
    leakage_bps: Array
    worlds: Mapping[str, Reality]

    @property
    def best(self) -> int:
        return int(np.argmin(self.utility_bps))


def orders(count: int, pairs: int, seed: int) -> list[Order]:
    """The first `count` that can be planned as a whole and leave a choice."""
    service = load_service()
    template = template_of(service.served.catalogue)
    found: list[Order] = []
    for case in cases(seed):
        order = order_in(case, service, template, pairs)
        if order is not None:
            found.append(order)
        if len(found) == count:
            break
    return found


def without_paths(order: Order) -> Order:
    """For judging, where only the utilities count: the paths are most of the memory."""
    none = np.empty((0, 0), dtype=np.float32)
    worlds = {name: replace(real, cost_bps=none, move_bps=none) for name, real in order.worlds.items()}
    return replace(order, worlds=worlds)


def cases(seed: int) -> Iterator[Case]:
    first = FIRST_ORDER + 100_000 * seed
    for index in range(first, first + 100_000):
        yield draw_case(Purpose.JUDGE, index)


def order_in(case: Case, service: Service, template: PolicyTemplate, pairs: int) -> Order | None:
    found = priced(case, service.served)
    if found is None:
        return None
    resolved, word = found
    kept = np.flatnonzero(word.mask == 0)
    if len(np.unique(word.algorithm[kept])) < 2:
        return None
    catalogue: CandidateSet = service.served.catalogue
    metrics = word.metrics[kept]
    simulated = order_of(word.context, resolved.weights, resolved.cumulative)
    markets = {factor: simulate_market(simulated, WorldParameters(dark_factor=factor), case.seed(STAGE), pairs)
               for factor in {world.dark_factor for world in SIMULATED.values()}}
    size_days = simulated.size_days
    leaked = leakage_bps(simulated.sigma_bps, size_days, DEFAULT_ASSUMPTIONS) * catalogue.numbers[kept, 3] ** 2
    return Order(
        size_days, bucket_of(size_days), case.request.objective.name, resolved.assessment.condition.name,
        word.algorithm[kept], metrics[:, k.UTILITY], metrics[:, k.COST], metrics[:, k.DEVIATION_BPS],
        impact_of(metrics), leaked,
        {
            name: reality(simulated, world, markets[world.dark_factor], template, kept, catalogue)
            for name, world in SIMULATED.items()
        },
    )


def reality(order: SimulatedOrder, world: WorldParameters, paths: MarketPaths, template: PolicyTemplate,
            kept: NDArray[np.int64], catalogue: CandidateSet) -> Reality:
    inline = catalogue.algorithm[kept] == ALGORITHM_NAMES.index("OPPORTUNISTIC")
    count, pairs = len(kept), paths.pairs
    influence = np.empty((count, pairs))
    cost, move = np.empty((count, 2 * pairs), dtype=np.float32), np.empty((count, 2 * pairs), dtype=np.float32)
    for looks in (False, True):
        rows = inline if looks else ~inline
        if not rows.any():
            continue
        run = execute(order, world, paths, policies_of(template, order, kept[rows]), mirrored=looks)
        influence[rows] = path_utilities_bps(order, run, looks)
        cost[rows] = shortfalls_bps(order, run, looks)
        move[rows] = moves_bps(order, run, paths, looks)
    half = pairs // 2
    return Reality(influence[:, :half].mean(axis=1), influence[:, half:].mean(axis=1), cost, move)


def moves_bps(order: SimulatedOrder, run: Run, paths: MarketPaths, looks: bool) -> F32:
    """(n, 2 pairs) from the arrival mid to the mid after the last fill, against the order, our own displacement in it:
    permanent impact whole, the transient part at what it cost on average (the simulator does not give what is left of
    it at the end; on the way it is about as much)."""
    steps = paths.fields[:, :, INNOVATION].astype(np.float64) + paths.fields[:, :, DRIFT]
    walked = np.concatenate((np.zeros((paths.pairs, 1)), np.cumsum(steps, axis=1)), axis=1)
    ends = np.minimum(np.rint(run.values[:, :, END_MINUTE]).astype(np.int64), paths.minutes)
    ours = run.values[:, :, SIGMA_PART].astype(np.float64) + 2.0 * order.permanent_per_sigma
    pairs = np.arange(paths.pairs)
    if looks:
        both = np.concatenate((walked[pairs, ends[:, : paths.pairs]], -walked[pairs, ends[:, paths.pairs :]]), axis=1)
    else:
        own = walked[pairs, ends[:, : paths.pairs]]
        both = np.concatenate((own, -own), axis=1)
        ours = np.concatenate((ours[:, : paths.pairs], ours[:, : paths.pairs]), axis=1)
    found: F32 = (order.sigma_bps * (both + ours)).astype(np.float32)
    return found
