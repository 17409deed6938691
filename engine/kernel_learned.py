"""What the learned trees say of candidates that the surfaces priced: one part of the decision call (engine/kernel.py).

The first trees of the heads that move utility rank all allowed candidates, the rest scores those that they leave
(docs/adr/0017). Candidates of one algorithm go through its trees side by side (engine/scoring/lanes.py).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from engine.compiled import clear, copy_into, uncounted
from engine.kernel_choice import choose, keep_best, least_of
from engine.kernel_pricing import NO_LIMIT_BPS, price_prepared, row_one, size_spans
from engine.layout import (
    BASE_COMPLETION,
    BASE_DARK_SIGMA,
    BASE_DARK_SPREAD,
    BASE_DEVIATION,
    BASE_LEARNED_SIGMA,
    BASE_LEARNED_SPREAD,
    BASE_SIGMA,
    BASE_SPREAD,
    BASE_TIME,
    BASE_UNFILLED,
    BASES,
    LIMIT_ROOM_BPS,
    MASK_ELSEWHERE,
    MASK_PRUNED,
    METRICS,
    MIN_COMPLETION,
    QUANTITY,
    UTILITY,
)
from engine.scoring.features import (
    FEATURES,
    HEAD_COMPLETION,
    HEAD_DEVIATION,
    HEAD_SIGMA,
    HEAD_SPREAD,
    HEAD_TIME,
    HEAD_UNFILLED,
    RANKING,
    ROUGH_TREES,
    STRUCTURAL_PART,
    fill_load_features,
    fill_order_features,
    fill_scales,
    fill_window_features,
    pool_feature,
)
from engine.scoring.lanes import LANES, add_lanes
from engine.scoring.trees import score_head


@uncounted
def learned_base(scores, scales, base):
    """Replaces what the ranking heads (scores (RANKING,) float32, worth `scales` (RANKING,) a unit) know in a base;
    what they add to spread and sigma stands apart there."""
    # Dark savings stay as they were split; the head speaks of the sum.
    spread = base[BASE_SPREAD] + base[BASE_DARK_SPREAD]
    sigma = base[BASE_SIGMA] + base[BASE_DARK_SIGMA]
    learned_spread = STRUCTURAL_PART * spread + scales[0] * scores[HEAD_SPREAD]
    learned_sigma = STRUCTURAL_PART * sigma + scales[1] * scores[HEAD_SIGMA]
    deviation = STRUCTURAL_PART * base[BASE_DEVIATION]
    deviation += scales[2] * scores[HEAD_DEVIATION]
    days = STRUCTURAL_PART * base[BASE_TIME] + scales[3] * scores[HEAD_TIME]
    unfilled = STRUCTURAL_PART * base[BASE_UNFILLED] + scales[4] * scores[HEAD_UNFILLED]
    learned_spread = max(learned_spread, 0.0)
    base[BASE_LEARNED_SPREAD] = learned_spread - spread
    base[BASE_LEARNED_SIGMA] = learned_sigma - sigma
    base[BASE_DEVIATION] = max(deviation, 1e-3 * scales[2])
    base[BASE_TIME] = min(max(days, 0.0), scales[3])
    base[BASE_UNFILLED] = min(max(unfilled, 0.0), 1.0)


@njit(cache=True)
def _fill_all(
    rule, numbers, cumulative, context, weights, windows, kinds, mask, span_features, span_scales, features, scales
):
    """Features (n, FEATURES) float32 and scales (n, RANKING) of the allowed candidates: of each window once, and of
    each rate. span_features, span_scales: as many rows as there may be windows, of no meaning before or after."""
    order = np.zeros(FEATURES, dtype=np.float32)
    fill_order_features(context, weights, order)
    _fill_each(
        rule, numbers, cumulative, context, windows, kinds, mask, order,
        np.zeros(span_features.shape[0], dtype=np.bool_), span_features, span_scales, features, scales
    )


@uncounted
def _fill_each(
    rule, numbers, cumulative, context, windows, kinds, mask, order, seen, span_features, span_scales, features, scales
):
    for n in range(rule.shape[0]):
        if mask[n] != 0:
            continue
        kind = kinds[n]
        if not seen[kind]:
            seen[kind] = True
            copy_into(span_features[kind], order)
            fill_window_features(cumulative, context, windows[n], span_features[kind])
            fill_load_features(0, numbers[n], context, windows[n], span_features[kind])
            fill_scales(0, numbers[n], context, windows[n], span_scales[kind])
        copy_into(features[n], span_features[kind])
        copy_into(scales[n], span_scales[kind])
        if rule[n] == 1:
            fill_load_features(1, numbers[n], context, windows[n], features[n])
            fill_scales(1, numbers[n], context, windows[n], scales[n])
        features[n, 7] = pool_feature(rule[n], numbers[n], context)
        features[n, 8] = numbers[n, 6]


@uncounted
def _next_block(algorithm, mask, first, end, candidate, size, members, sizes):
    """Up to LANES allowed (candidate, size) pairs of one algorithm, at or after the pair given, into `members` and
    `sizes`; sizes from `first` up to `end`. Returns how many, and where to go on."""
    count = 0
    while candidate < algorithm.shape[0]:
        while size < end:
            if mask[size, candidate] == 0:
                if count == LANES or (count > 0 and algorithm[candidate] != algorithm[members[0]]):
                    return count, candidate, size
                members[count], sizes[count] = candidate, size
                count += 1
            size += 1
        candidate += 1
        size = first
    return count, candidate, size


@uncounted
def _side_by_side(features, members, sizes, count, rows):
    """The members' features as rows (FEATURES, LANES); lanes without a member stay as they are."""
    for lane in range(count):
        for column in range(FEATURES):
            rows[column, lane] = features[sizes[lane], members[lane], column]


@njit(cache=True)
def _score_roughly(
    trees, algorithm, rests, contexts, first_size, end_size, mask, bases, features, scales, rough, utilities
):
    """What the first trees say of every candidate allowed at the sizes from `first_size` up to `end_size`: rough
    (sizes, n, 4) float32, and the utilities (sizes, n) that follow. The bases stay as they are. What is left unfilled
    is not asked for: it moves no utility."""
    _rank_each(
        trees, algorithm, rests, contexts, first_size, end_size, mask, bases, features, scales, rough, utilities,
        np.empty(BASES), np.empty(METRICS), np.zeros(RANKING, dtype=np.float32),
        np.zeros((FEATURES, LANES), dtype=np.float32), np.empty(LANES, dtype=np.float32),
        np.empty(LANES, dtype=np.int64), np.empty(LANES, dtype=np.int64)
    )


@uncounted
def _rank_each(
    trees, algorithm, rests, contexts, first_size, end_size, mask, bases, features, scales, rough, utilities, base, row,
    scores, rows, total, members, sizes
):
    feature, threshold, kept, value, first_tree, heads_base = trees
    candidate, size = 0, first_size
    while True:
        count, candidate, size = _next_block(algorithm, mask, first_size, end_size, candidate, size, members, sizes)
        if count == 0:
            break
        group = algorithm[members[0]]
        _side_by_side(features, members, sizes, count, rows)
        for head in range(HEAD_UNFILLED):
            first = first_tree[group, head]
            clear(total)
            end = min(first + ROUGH_TREES, first_tree[group, head + 1])
            add_lanes(feature, threshold, kept, value, first, end, rows, total)
            for lane in range(count):
                rough[sizes[lane], members[lane], head] = total[lane]
        for lane in range(count):
            n, s = members[lane], sizes[lane]
            for head in range(HEAD_UNFILLED):
                scores[head] = rough[s, n, head] + heads_base[group, head]
            copy_into(base, bases[s, n])
            learned_base(scores, scales[s, n], base)
            base[BASE_UNFILLED] = bases[s, n, BASE_UNFILLED]
            row_one(base, rests[n], contexts[s], 0, row)
            utilities[s, n] = row[UTILITY]


@njit(cache=True)
def _score(
    trees, describing, algorithm, rests, contexts, first_size, end_size, masks, bases, features, scales, rough, metrics,
    utilities, mask
):
    """The models' word on every candidate that is left (mask 0) at the sizes from `first_size` up to `end_size`: base,
    utility and mask anew, and for the order's own size (0) its row of the metrics."""
    _score_each(
        trees, describing, algorithm, rests, contexts, first_size, end_size, masks, bases, features, scales, rough,
        metrics, utilities, mask, np.empty((LANES, RANKING), dtype=np.float32),
        np.zeros((FEATURES, LANES), dtype=np.float32), np.empty(LANES, dtype=np.float32), np.empty(METRICS),
        np.empty(LANES, dtype=np.int64), np.empty(LANES, dtype=np.int64)
    )


@uncounted
def _score_each(
    trees, describing, algorithm, rests, contexts, first_size, end_size, masks, bases, features, scales, rough, metrics,
    utilities, mask, scores, rows, total, spare, members, sizes
):
    feature, threshold, kept, value, first_tree, heads_base = trees
    candidate, size = 0, first_size
    while True:
        count, candidate, size = _next_block(algorithm, mask, first_size, end_size, candidate, size, members, sizes)
        if count == 0:
            break
        group = algorithm[members[0]]
        _side_by_side(features, members, sizes, count, rows)
        for head in range(RANKING):
            first, end = first_tree[group, head], first_tree[group, head + 1]
            clear(total)
            if head < HEAD_UNFILLED:
                # The sum goes on where the first trees left it.
                first = min(first + ROUGH_TREES, end)
                for lane in range(count):
                    total[lane] = rough[sizes[lane], members[lane], head]
            add_lanes(feature, threshold, kept, value, first, end, rows, total)
            for lane in range(count):
                scores[lane, head] = total[lane] + heads_base[group, head]
        for lane in range(count):
            n, s = members[lane], sizes[lane]
            context = contexts[s]
            base = bases[s, n]
            learned_base(scores[lane], scales[s, n], base)
            if context[MIN_COMPLETION] > 0.0 or context[LIMIT_ROOM_BPS] < NO_LIMIT_BPS:
                base[BASE_COMPLETION] = completion_of(describing, group, features[s, n])
            row = metrics[n] if s == 0 else spare
            mask[s, n] = row_one(base, rests[n], context, masks[n], row)
            utilities[s, n] = row[UTILITY]


@uncounted
def completion_of(describing, group, features):
    """The describing head's word on completion, as it comes. The map that calibrates it rises, so that the caller can
    turn what is asked for (MIN_COMPLETION) into this head's own figure."""
    said = score_head(describing[0], describing[1], describing[2], describing[3], group, HEAD_COMPLETION, features)
    return min(max(float(said), 0.0), 1.0)


@njit(cache=True)
def _rough_at_sizes(
    values, axis_p, axis_t, trees, algorithm, shape, rule, rests, numbers, cumulative, contexts, weights, windows,
    kinds, spans, known, pools, masks, bases, features, scales, rough, utilities, mask, most,
    no_least
):
    """Prices the sizes after the first by the surfaces, ranks them by the first trees and leaves the best `most` at
    each. `no_least` (algorithms,): zeros. `masks`: what rules a candidate out at every one of them."""
    count = algorithm.shape[0]
    span_features = np.empty((known, FEATURES), dtype=np.float32)
    span_scales = np.empty((known, RANKING))
    rows = np.empty((count, METRICS))
    for size in range(1, contexts.shape[0]):
        # How likely an order completes is for the models to say.
        least = contexts[size, MIN_COMPLETION]
        contexts[size, MIN_COMPLETION] = 0.0
        size_spans(axis_p, contexts[size], spans, known)
        price_prepared(
            values, axis_p, axis_t, weights, shape, rule, rests, numbers, cumulative, contexts[size], windows, kinds,
            spans, pools, masks, True, bases[size], rows, mask[size]
        )
        contexts[size, MIN_COMPLETION] = least
        _fill_all(
            rule, numbers, cumulative, contexts[size], weights, windows, kinds, mask[size], span_features, span_scales,
            features[size], scales[size]
        )
    _score_roughly(
        trees, algorithm, rests, contexts, 1, contexts.shape[0], mask, bases, features, scales, rough, utilities
    )
    for size in range(1, contexts.shape[0]):
        keep_best(algorithm, utilities[size], mask[size], most, no_least)


@uncounted
def _unpruned(mask):
    """Brings back what was pruned; those scored have bits of their own."""
    for n in range(mask.shape[0]):
        if mask[n] == MASK_PRUNED:
            mask[n] = 0


@njit(cache=True)
def choose_learned(
    values, axis_p, axis_t, trees, describing, algorithm, shape, rule, rests, numbers, cumulative, context, weights,
    windows, kinds, spans, known, pools, masks, bases, features, metrics, own_mask, best_of_algorithm, keep, sizes
):
    """Prunes by the first trees, scores what is left, chooses. Where the models mask all that, the rest is scored.

    bases (1 + sizes, n, BASES): the first those of the order's own size. What is left of the order and of its other
    `sizes` is scored together, so that candidates of one algorithm fill its trees' lanes.
    """
    count = algorithm.shape[0]
    all_sizes = bases.shape[0]
    contexts = np.empty((all_sizes, context.shape[0]))
    for size in range(all_sizes):
        contexts[size] = context
        if size > 0:
            contexts[size, QUANTITY] = context[QUANTITY] * sizes[size - 1, 0]
    mask = np.empty((all_sizes, count), dtype=np.int64)
    mask[0] = own_mask
    rough = np.empty((all_sizes, count, HEAD_UNFILLED), dtype=np.float32)
    utilities = np.empty((all_sizes, count))
    scales = np.empty((all_sizes, count, RANKING))
    seen = np.empty((all_sizes, count, FEATURES), dtype=np.float32)
    span_features = np.empty((known, FEATURES), dtype=np.float32)
    span_scales = np.empty((known, RANKING))
    _fill_all(
        rule, numbers, cumulative, context, weights, windows, kinds, mask[0], span_features, span_scales, seen[0],
        scales[0]
    )
    _score_roughly(trees, algorithm, rests, contexts, 0, 1, mask, bases, seen, scales, rough, utilities)
    if keep_best(algorithm, utilities[0], mask[0], keep[0], keep[2:]) == 0:
        return choose(algorithm, metrics, own_mask, best_of_algorithm)
    no_least = np.zeros(best_of_algorithm.shape[0], dtype=np.int64)
    elsewhere = masks.copy()
    for n in range(count):
        # What was ruled out at this size is not looked at again at another.
        if mask[0, n] & MASK_PRUNED:
            elsewhere[n] |= MASK_ELSEWHERE
    if all_sizes > 1:
        _rough_at_sizes(
            values, axis_p, axis_t, trees, algorithm, shape, rule, rests, numbers, cumulative, contexts, weights,
            windows, kinds, spans, known, pools, elsewhere, bases, seen, scales, rough, utilities, mask, keep[1],
            no_least
        )
    _score(
        trees, describing, algorithm, rests, contexts, 0, all_sizes, masks, bases, seen, scales, rough, metrics,
        utilities, mask
    )
    best = choose(algorithm, metrics, mask[0], best_of_algorithm)
    if best < 0:
        _unpruned(mask[0])
        _score(
            trees, describing, algorithm, rests, contexts, 0, 1, masks, bases, seen, scales, rough, metrics, utilities,
            mask
        )
        best = choose(algorithm, metrics, mask[0], best_of_algorithm)
        if best >= 0 and all_sizes > 1:
            # Nothing is ruled out any more.
            _rough_at_sizes(
                values, axis_p, axis_t, trees, algorithm, shape, rule, rests, numbers, cumulative, contexts, weights,
                windows, kinds, spans, known, pools, masks, bases, seen, scales, rough, utilities, mask, keep[1],
                no_least
            )
            _score(
                trees, describing, algorithm, rests, contexts, 1, all_sizes, masks, bases, seen, scales, rough, metrics,
                utilities, mask
            )
    own_mask[:] = mask[0]
    for n in range(count):
        if own_mask[n] != MASK_PRUNED:
            features[n] = seen[0, n]
    for size in range(1, all_sizes):
        found = least_of(utilities[size], mask[size])
        if found < 0:
            _unpruned(mask[size])
            _score(
                trees, describing, algorithm, rests, contexts, size, size + 1, masks, bases, seen, scales, rough,
                metrics, utilities, mask
            )
            found = least_of(utilities[size], mask[size])
        sizes[size - 1, 1] = found
    return best
