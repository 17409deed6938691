"""Decisions of many orders in one pass. Each is what `engine.decide.decide` would say of it, to the bit.

    Sharing(snapshot).prepare(order)    what can be worked out before the prices; orders alike share it
    price_many(prepared, snapshot)      the prices of all, in one compiled call a kind of order, without the lock
    conclude(prepared, priced, ...)     the decision

Pure, like all of the engine; the three may run where the caller likes, one after the other.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine import kernel as k
from engine.catalogue import ALGORITHM_NAMES
from engine.decide import conclude
from engine.decision import Decision, Refusal, RefusalKind
from engine.kernel_many import decide_many
from engine.priced import Prepared, Priced, context_of, kernel_models, prepared_of
from engine.request import OrderRequest
from engine.resolve import Resolved, instrument_faults, resolve
from engine.scoring.features import FEATURES
from engine.snapshot import Snapshot
from engine.utility import weights_of

# Contexts and bars of a gateway may be large, and no two alike: only so many are kept to be shared.
MOST_SHARED = 1_000


class Sharing:
    """Prepares orders by one snapshot; of those with the same instrument, start, constraints and context only the
    first is resolved anew, and of those with the same side and aim, too, only the first has its context worked out."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._resolved: dict[Hashable, Resolved] = {}
        self._contexts: dict[Hashable, NDArray[np.float64]] = {}

    def prepare(self, request: OrderRequest) -> Prepared | Refusal:
        """What prices are asked with, or every reason why there can be none."""
        snapshot = self._snapshot
        key = _key(request)
        known = self._resolved.get(key)
        if known is None:
            resolved = resolve(request, snapshot)
            if isinstance(resolved, Refusal):
                return resolved
            if len(self._resolved) < MOST_SHARED:
                self._resolved[key] = resolved
        else:
            # The one rule that looks at the quantity.
            faults = instrument_faults(request.instrument_id, request.quantity_shares, snapshot)
            if faults:
                return Refusal(RefusalKind.INVALID, tuple(faults))
            resolved = msgspec.structs.replace(known, request=request)
        context = self._context(key, resolved)
        return prepared_of(resolved, snapshot, context)

    def _context(self, key: Hashable, resolved: Resolved) -> NDArray[np.float64]:
        request = resolved.request
        aim = (key, request.side, request.objective, request.urgency)
        known = self._contexts.get(aim)
        if known is None:
            found = context_of(resolved, self._snapshot, weights_of(request.objective, request.urgency))
            if len(self._contexts) < MOST_SHARED:
                self._contexts[aim] = found.copy()
            return found
        found = known.copy()
        found[k.QUANTITY] = request.quantity_shares
        return found


def _key(request: OrderRequest) -> Hashable:
    """What `resolve` reads of a request but for its quantity; the side counts only where a price limit has one."""
    side = request.side if request.constraints.price_limit is not None else None
    return request.instrument_id, request.start_ns, side, request.constraints, request.context


def price_by_snapshot(orders: Sequence[tuple[Prepared, Snapshot]]) -> list[Priced]:
    """`price_many` for orders that were prepared by several snapshots, in their order."""
    alike: dict[int, list[int]] = {}
    for index, (_, snapshot) in enumerate(orders):
        alike.setdefault(id(snapshot), []).append(index)
    found: dict[int, Priced] = {}
    for indices in alike.values():
        priced = price_many([orders[index][0] for index in indices], orders[indices[0]][1])
        found.update(zip(indices, priced, strict=True))
    return [found[index] for index in range(len(orders))]


def price_many(prepared: Sequence[Prepared], snapshot: Snapshot) -> list[Priced]:
    """`run_kernel` for all, in their order."""
    kinds: dict[tuple[bool, int], list[int]] = {}
    for index, one in enumerate(prepared):
        kinds.setdefault((one.models is not None, len(one.multiples)), []).append(index)
    found: list[Priced | None] = [None] * len(prepared)
    for indices in kinds.values():
        for index, priced in zip(indices, _price_alike([prepared[n] for n in indices], snapshot), strict=True):
            found[index] = priced
    return [priced for priced in found if priced is not None]


def _price_alike(prepared: Sequence[Prepared], snapshot: Snapshot) -> list[Priced]:
    """All with models or all without, and as many other sizes each."""
    surfaces, catalogue, models = snapshot.surfaces, snapshot.catalogue, prepared[0].models
    trees, describing, keep = kernel_models(models)
    contexts = np.array([one.context for one in prepared])
    curves, curve_of = _curves(prepared)
    results = _empty_results(len(catalogue.candidates), np.array([one.multiples for one in prepared]))
    metrics, mask, best_of_algorithm, hull, flips, sizes, features = results
    found = np.empty((len(prepared), 3), dtype=np.int64)
    decide_many(
        surfaces.values, surfaces.log_participation, surfaces.log_horizon_days, surfaces.log_pool_share,
        np.array([one.resolved.weights for one in prepared]), catalogue.algorithm, catalogue.shape, catalogue.rule,
        catalogue.pace, catalogue.rests, catalogue.numbers, curves, curve_of, contexts, trees, describing, keep,
        *results, found,
    )
    return [
        Priced(
            metrics[n], mask[n], best_of_algorithm[n], hull[n, :count], flips[n], sizes[n], features[n], contexts[n],
            best, structural, models, catalogue.algorithm,
        )
        for n, (best, count, structural) in enumerate(found.tolist())
    ]


def _curves(prepared: Sequence[Prepared]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Every volume curve once, one after the other, and where each order's begins and ends."""
    places: dict[int, tuple[int, int]] = {}
    curves, end = [], 0
    curve_of = np.empty((len(prepared), 2), dtype=np.int64)
    for n, one in enumerate(prepared):
        curve = one.resolved.cumulative
        if id(curve) not in places:
            places[id(curve)] = (end, end + len(curve))
            end += len(curve)
            curves.append(curve)
        curve_of[n] = places[id(curve)]
    return np.concatenate(curves), curve_of


def _empty_results(candidates: int, multiples: NDArray[np.float64]) -> tuple[
    NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64],
    NDArray[np.float64], NDArray[np.float32],
]:
    """Result arrays for `decide_many`, as `engine.kernel.empty_results` makes them for one. multiples (n, sizes)."""
    count, algorithms = len(multiples), len(ALGORITHM_NAMES)
    sizes = np.full((count, multiples.shape[1], 2), -1.0)
    sizes[:, :, 0] = multiples
    return (
        np.empty((count, candidates, k.METRICS)), np.empty((count, candidates), dtype=np.int64),
        np.empty((count, algorithms), dtype=np.int64), np.empty((count, candidates), dtype=np.int64),
        np.empty((count, 3, 4)), sizes, np.empty((count, candidates, FEATURES), dtype=np.float32),
    )


def decide_all(requests: Sequence[OrderRequest], snapshot: Snapshot) -> list[Decision | Refusal]:
    """The three steps at once."""
    sharing = Sharing(snapshot)
    prepared = [sharing.prepare(request) for request in requests]
    asked = [one for one in prepared if isinstance(one, Prepared)]
    priced = iter(price_many(asked, snapshot))
    return [one if isinstance(one, Refusal) else conclude(one, next(priced), snapshot) for one in prepared]
