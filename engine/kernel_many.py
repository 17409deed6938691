"""The compiled call of engine/kernel.py for many orders, one after the other, with the interpreter's lock given back.

Each order goes through the very function that decides it alone, so its figures are the same bits. What the orders
share (surfaces, catalogue, trees) is handed over once. Still no threads in here: whoever calls may be one.
"""

from __future__ import annotations

from numba import njit

from engine.kernel import decide


@njit(cache=True, nogil=True)
def decide_many(
    values, axis_p, axis_t, axis_s, weights, algorithm, shape, rule, pace, rests, numbers, curves, curve_of, contexts,
    trees, describing, keep, metrics, mask, best_of_algorithm, hull, flips, sizes, features, found
):
    """`decide` for n orders.

    weights (n, conditions), contexts (n, CONTEXT_LENGTH): a row an order. curves: volume curves one after the other,
    curve_of (n, 2): where each order's begins and ends in it. metrics to features: the result arrays of `decide` with n
    before their shapes. found (n, 3): (best, length of the hull, best by the surfaces).
    """
    for n in range(contexts.shape[0]):
        cumulative = curves[curve_of[n, 0]:curve_of[n, 1]]
        best, count, structural = decide(
            values, axis_p, axis_t, axis_s, weights[n], algorithm, shape, rule, pace, rests, numbers, cumulative,
            contexts[n], trees, describing, keep, metrics[n], mask[n], best_of_algorithm[n], hull[n], flips[n],
            sizes[n], features[n]
        )
        found[n, 0], found[n, 1], found[n, 2] = best, count, structural
