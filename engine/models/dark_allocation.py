"""Dark-pool allocation from censored fills.

Ganchev, Kearns, Nevmyvaka & Vaughan (2010), "Censored exploration and the dark pool problem", Communications
of the ACM 53(5).

A venue hides a random number of units. Sending v units there shows only min(hidden, v): a full fill is a
censored observation. The tail P(hidden >= u) is estimated from such fills by the Kaplan-Meier product
(section 4), and an order is allocated greedily, unit by unit, to the venue whose next unit is the likeliest
to fill (section 3), which maximises the expected fill because tails never rise.

A table of tails has shape (venues, steps): column k is P(hidden >= k + 1), the chance that unit k + 1 fills.
A unit is whatever the caller trades in (a lot, a hundred shares).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from engine.models._arguments import Faults, FloatArray, IntArray

MAX_STEPS = 1_000_000
MAX_UNITS = 1_000_000_000

_UNSOUND = "tail_probabilities must lie in [0, 1] and not rise along a venue's row"


def kaplan_meier_tail(
    sent_units: ArrayLike, filled_units: ArrayLike, steps: int, *, optimistic_steps: int = 0
) -> FloatArray:
    """Estimated P(hidden >= u) for u = 1..steps at one venue, shape (steps,), non-increasing, in [0, 1].

    Source: section 4 (Kaplan & Meier 1958). T(u) = prod_{s < u} (1 - D_s / N_s), where D_s counts uncensored
    fills of exactly s and N_s the observations that could have shown it: filled >= s and sent > s.
    sent_units, filled_units: whole numbers, shape (n,), 0 <= filled <= sent; filled < sent is uncensored,
    filled == sent is censored (a send of 0 says nothing). steps in [1, MAX_STEPS].
    Where no observation reaches (N_{u-1} = 0) the product is undefined; the tail is 0 there, so that nothing
    is promised that was never seen, except that `optimistic_steps` levels carry the last estimate on: 1 makes
    the greedy allocation explore one unit further, in the spirit of the paper's optimistic estimate (which
    cuts off by sample size); 0 only exploits. Without any observation T(0) = 1 is what is carried on.
    Raises ValueError naming every argument that is not whole, negative, of a wrong shape, or above its send.
    """
    faults = Faults()
    sent = _whole_numbers(faults, "sent_units", sent_units)
    filled = _whole_numbers(faults, "filled_units", filled_units)
    if sent.shape != filled.shape:
        faults.add(f"filled_units must have the shape of sent_units {sent.shape}, got {filled.shape}")
    elif (filled > sent).any():
        faults.add("filled_units must not exceed sent_units")
    faults.count("steps", steps, 1, MAX_STEPS)
    faults.count("optimistic_steps", optimistic_steps, 0, MAX_STEPS)
    faults.raise_any()

    # The last level at which an observation is still at risk; -1 where nothing was sent.
    last_level = np.minimum(filled, sent - 1)
    reaching = np.bincount(np.minimum(last_level[last_level >= 0], steps), minlength=steps + 1)
    at_risk = reaching[::-1].cumsum()[::-1][:steps]
    events = np.bincount(filled[(filled < sent) & (filled < steps)], minlength=steps)
    tail = np.cumprod(1.0 - events / np.maximum(at_risk, 1))
    tail[int(np.count_nonzero(at_risk)) + optimistic_steps :] = 0.0
    return np.asarray(tail, dtype=np.float64)


def allocate_greedy(tail_probabilities: ArrayLike, units: int) -> IntArray:
    """Units for each venue, shape (venues,), maximising the expected fill of `units`.

    Source: section 3, figure 1. Repeat: give a unit to the venue with the largest P(hidden >= allocated + 1);
    equal chances go to the earlier venue. Unlike the figure it stops where no venue has a chance left (tail 0
    or its steps used up): the sum may be less than `units`, and the rest is for the caller's lit venues.
    tail_probabilities: shape (venues, steps), both >= 1, each row in [0, 1] and non-increasing; units a whole
    number in [0, MAX_UNITS].
    Raises ValueError naming tail_probabilities (shape, NaN, outside [0, 1], a row that rises) or units.
    """
    tails = _tail_table(tail_probabilities)
    faults = Faults()
    faults.count("units", units, 0, MAX_UNITS)
    faults.raise_any()
    allocation = np.empty(tails.shape[0], dtype=np.int64)
    if not allocate_into(tails, units, allocation):
        raise ValueError(_UNSOUND)
    return allocation


def allocate_greedy_reference(tail_probabilities: ArrayLike, units: int) -> IntArray:
    """The same allocation as `allocate_greedy`, as plainly as the paper writes it; tests hold the two equal.

    Arguments and errors as in `allocate_greedy`.
    """
    tails = _tail_table(tail_probabilities)
    faults = Faults()
    faults.count("units", units, 0, MAX_UNITS)
    if not (((tails >= 0.0) & (tails <= 1.0)).all() and (np.diff(tails, axis=1) <= 0.0).all()):
        faults.add(_UNSOUND)
    faults.raise_any()
    rows = [[*row, 0.0] for row in tails.tolist()]
    allocation = [0] * len(rows)
    for _ in range(min(units, tails.size)):
        chances = [row[given] for row, given in zip(rows, allocation, strict=True)]
        best = chances.index(max(chances))
        if chances[best] <= 0.0:
            break
        allocation[best] += 1
    result: IntArray = np.array(allocation, dtype=np.int64)
    return result


def expected_fill_units(tail_probabilities: ArrayLike, allocation_units: ArrayLike) -> float:
    """Expected number of units that an allocation fills.

    Source: section 3. E[min(hidden, v)] = sum_{u = 1..v} P(hidden >= u), summed over venues.
    tail_probabilities as in `allocate_greedy`; allocation_units whole numbers, shape (venues,), each at most
    steps.
    Raises ValueError naming every bad argument.
    """
    tails = _tail_table(tail_probabilities)
    faults = Faults()
    if not _tails_are_sound(tails):
        faults.add(_UNSOUND)
    allocation = _whole_numbers(faults, "allocation_units", allocation_units)
    if allocation.shape != tails.shape[:1]:
        faults.add(f"allocation_units must have shape {tails.shape[:1]}, got {allocation.shape}")
    elif (allocation > tails.shape[1]).any():
        faults.add(f"allocation_units must not exceed the {tails.shape[1]} steps of tail_probabilities")
    faults.raise_any()
    return float(sum(row[:given].sum() for row, given in zip(tails, allocation, strict=True)))


@njit(cache=True)
def allocate_into(tails: FloatArray, units: int, allocation: IntArray) -> bool:
    """Compiled form of `allocate_greedy`, callable from other compiled code; False if `tails` is not sound.

    tails float64 (venues, steps), C-contiguous; allocation int64 (venues,), overwritten. A binary heap of
    venues, best next unit on top, makes each unit O(log venues).
    """
    if not _tails_are_sound(tails):
        return False
    venues, steps = tails.shape
    chance = tails[:, 0].copy()
    heap = np.arange(venues)
    for start in range(venues // 2 - 1, -1, -1):
        _sift_down(heap, chance, start)
    allocation[:] = 0
    for _ in range(units):
        best = heap[0]
        if chance[best] <= 0.0:
            break
        allocation[best] += 1
        given = allocation[best]
        chance[best] = tails[best, given] if given < steps else 0.0
        _sift_down(heap, chance, 0)
    return True


@njit(cache=True)
def _sift_down(heap: IntArray, chance: FloatArray, start: int) -> None:
    """Restore the heap below `start`: larger chance first, then the earlier venue."""
    venues = heap.size
    moving = heap[start]
    own = chance[moving]
    place = start
    while True:
        child = 2 * place + 1
        if child >= venues:
            break
        first, first_chance = heap[child], chance[heap[child]]
        if child + 1 < venues:
            other, other_chance = heap[child + 1], chance[heap[child + 1]]
            if other_chance > first_chance or (other_chance == first_chance and other < first):
                child, first, first_chance = child + 1, other, other_chance
        if own > first_chance or (own == first_chance and moving < first):
            break
        heap[place] = first
        place = child
    heap[place] = moving


@njit(cache=True)
def _tails_are_sound(tails: FloatArray) -> bool:
    """Every row falls from at most 1 to at least 0. NaN fails, since each test must come out true."""
    venues, steps = tails.shape
    for venue in range(venues):
        if not (tails[venue, 0] <= 1.0 and tails[venue, steps - 1] >= 0.0):
            return False
        # Counted without a branch, so that the compiler can use vector instructions.
        falls = 0
        for step in range(1, steps):
            falls += tails[venue, step] <= tails[venue, step - 1]
        if falls != steps - 1:
            return False
    return True


def _tail_table(tail_probabilities: ArrayLike) -> FloatArray:
    """As C-contiguous float64 of shape (venues, steps), without a copy where it already is one."""
    if isinstance(tail_probabilities, np.ndarray) and tail_probabilities.dtype == np.float64:
        tails: NDArray[np.float64] = np.ascontiguousarray(tail_probabilities)
    else:
        faults = Faults()
        tails = np.ascontiguousarray(faults.within("tail_probabilities", tail_probabilities, 0.0, 1.0))
        faults.raise_any()
    if tails.ndim != 2 or tails.size == 0:
        raise ValueError(f"tail_probabilities must have shape (venues, steps), both >= 1, got {tails.shape}")
    return tails


def _whole_numbers(faults: Faults, name: str, value: ArrayLike) -> IntArray:
    """Return a 1-d int64 array, recording a fault unless `value` holds non-negative whole numbers."""
    numbers = np.asarray(value)
    if numbers.ndim != 1 or (numbers.dtype.kind not in "iu" and numbers.size):
        faults.add(f"{name} must be a one-dimensional array of whole numbers")
        return np.zeros(0, dtype=np.int64)
    if numbers.size and (numbers.min() < 0 or numbers.max() > MAX_UNITS):
        faults.add(f"{name} must lie in [0, {MAX_UNITS}]")
    whole: IntArray = np.clip(numbers, 0, MAX_UNITS).astype(np.int64)
    return whole
