"""What the engine's thread does, compiled: see `service.engine_thread`.

Tuples of arrays that both functions know: `desk` is (queue, lengths, weights, curves, contexts, scales, sizes), where
an order is laid down, with its slot before all shapes but the queue's.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit

from engine.compiled import copy_into
from engine.kernel import decide
from engine.telling import tell
from store.eventfds import signal_to, wait_for

# A place of the queue that holds no slot ends the thread.
END: Final = -1
# Columns of what was found, whole numbers; `sure` is apart.
BEST, HULL, STRUCTURAL, TOLD_ROWS, TOLD_POINTS, BITS = range(6)
FOUND: Final = 6
# Columns of an order's lengths, and whether its choice may be told of at once: nothing that was learned can change it.
CURVE, SIZES, TELLS = range(3)
LENGTHS: Final = 3

_compiled: Any = njit(cache=True)
_unlocked: Any = njit(cache=True, nogil=True)


@_compiled
def lay_down(desk, slot, at, weights, curve, context, multiples, lower_scale, upper_scale, tells, asked, place):
    """An order into its slot, the slot into the queue at `at`, and a signal; 0, or the errno. With the interpreter's
    lock: giving it up for so short a call costs more than the call."""
    queue, lengths, all_weights, curves, contexts, scales, sizes = desk
    lengths[slot, CURVE], lengths[slot, SIZES], lengths[slot, TELLS] = curve.shape[0], multiples.shape[0], tells
    copy_into(all_weights[slot], weights)
    copy_into(curves[slot, :curve.shape[0]], curve)
    copy_into(contexts[slot], context)
    scales[slot, 0], scales[slot, 1] = lower_scale, upper_scale
    for n in range(multiples.shape[0]):
        sizes[slot, n, 0], sizes[slot, n, 1] = multiples[n], -1.0
    queue[at] = slot
    return signal_to(asked, place)


@_unlocked
def serve(
    asked, answered, place, desk, surfaces, catalogue, trees, describing, keep, confidence, knots, results, told,
    points, found, sure
):
    """Says once that it is there, then decides the orders of the queue as they are signalled, each in its slot, until
    it is told to end (0), or an eventfd cannot be read or written (the errno).

    surfaces: values and axes; catalogue: algorithm, shape, rule, pace, rests, numbers; results: metrics, mask,
    best_of_algorithm, hull, flips, features; told, points as `engine.telling.tell`, which is given every row of points;
    found (slots, FOUND), sure (slots,).
    """
    queue, lengths, weights, curves, contexts, scales, sizes = desk
    values, axis_p, axis_t, axis_s = surfaces
    algorithm, shape, rule, pace, rests, numbers = catalogue
    metrics, mask, best_of_algorithm, hull, flips, features = results
    no_rivals = np.empty((0, 3))
    at = 0
    error = signal_to(answered, place)
    while error == 0:
        error = wait_for(asked, place)
        if error != 0:
            break
        for _ in range(place[0]):
            n = queue[at]
            at = (at + 1) % queue.shape[0]
            if n == END:
                return 0
            best, count, structural = decide(
                values, axis_p, axis_t, axis_s, weights[n], algorithm, shape, rule, pace, rests, numbers,
                curves[n, :lengths[n, CURVE]], contexts[n], trees, describing, keep, metrics[n], mask[n],
                best_of_algorithm[n], hull[n], flips[n], sizes[n, :lengths[n, SIZES]], features[n]
            )
            found[n, BEST], found[n, HULL], found[n, STRUCTURAL], found[n, TOLD_ROWS] = best, count, structural, 0
            if best >= 0 and lengths[n, TELLS] != 0:
                rows, ends, _, bits, sure[n] = tell(
                    algorithm, rests, numbers, metrics[n], mask[n], best, structural, best_of_algorithm[n],
                    hull[n, :count], features[n], contexts[n], weights[n], scales[n, 0], scales[n, 1], describing,
                    confidence, knots, True, told[n], points[n], no_rivals
                )
                found[n, TOLD_ROWS], found[n, TOLD_POINTS], found[n, BITS] = rows, ends, bits
            error = signal_to(answered, place)
            if error != 0:
                break
    return error
