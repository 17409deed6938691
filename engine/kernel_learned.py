"""What the learned trees say of candidates that the surfaces priced: one part of the decision call (engine/kernel.py).

The first trees of the heads that move utility rank all allowed candidates, the rest scores those that they leave
(docs/adr/0017). Candidates of one algorithm go through its trees side by side (engine/scoring/lanes.py).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from engine.kernel_choice import choose, keep_best
from engine.kernel_pricing import NO_LIMIT_BPS, row_one
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
    MASK_PRUNED,
    METRICS,
    MIN_COMPLETION,
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


@njit(cache=True)
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
    seen = np.zeros(span_features.shape[0], dtype=np.bool_)
    for n in range(rule.shape[0]):
        if mask[n] != 0:
            continue
        kind = kinds[n]
        if not seen[kind]:
            seen[kind] = True
            span_features[kind, :] = order
            fill_window_features(cumulative, context, windows[n], span_features[kind])
            fill_load_features(0, numbers[n], context, windows[n], span_features[kind])
            fill_scales(0, numbers[n], context, windows[n], span_scales[kind])
        features[n, :] = span_features[kind]
        scales[n, :] = span_scales[kind]
        if rule[n] == 1:
            fill_load_features(1, numbers[n], context, windows[n], features[n])
            fill_scales(1, numbers[n], context, windows[n], scales[n])
        features[n, 7] = pool_feature(rule[n], numbers[n], context)
        features[n, 8] = numbers[n, 6]


@njit(cache=True)
def _next_block(algorithm, mask, position, members):
    """Up to LANES allowed candidates of one algorithm, at or after `position`, into `members`; returns how many, and
    where to go on."""
    count = 0
    while position < algorithm.shape[0]:
        if mask[position] == 0:
            if count == LANES or (count > 0 and algorithm[position] != algorithm[members[0]]):
                break
            members[count] = position
            count += 1
        position += 1
    return count, position


@njit(cache=True)
def _side_by_side(features, members, count, rows):
    """The members' features as rows (FEATURES, LANES); lanes without a member stay as they are."""
    for lane in range(count):
        for column in range(FEATURES):
            rows[column, lane] = features[members[lane], column]


@njit(cache=True)
def _score_roughly(
    trees, algorithm, rests, context, mask, bases, features, scales, rough, utilities
):
    """What the first trees say of every allowed candidate: rough (n, 4) float32, and the utilities (n,) that
    follow. The bases stay as they are. What is left unfilled is not asked for: it moves no utility."""
    feature, threshold, kept, value, first_tree, heads_base = trees
    base = np.empty(BASES)
    row = np.empty(METRICS)
    scores = np.zeros(RANKING, dtype=np.float32)
    rows = np.zeros((FEATURES, LANES), dtype=np.float32)
    total = np.empty(LANES, dtype=np.float32)
    members = np.empty(LANES, dtype=np.int64)
    position = 0
    while True:
        count, position = _next_block(algorithm, mask, position, members)
        if count == 0:
            break
        group = algorithm[members[0]]
        _side_by_side(features, members, count, rows)
        for head in range(HEAD_UNFILLED):
            first = first_tree[group, head]
            total[:] = 0.0
            end = min(first + ROUGH_TREES, first_tree[group, head + 1])
            add_lanes(feature, threshold, kept, value, first, end, rows, total)
            for lane in range(count):
                rough[members[lane], head] = total[lane]
        for lane in range(count):
            n = members[lane]
            for head in range(HEAD_UNFILLED):
                scores[head] = rough[n, head] + heads_base[group, head]
            base[:] = bases[n]
            learned_base(scores, scales[n], base)
            base[BASE_UNFILLED] = bases[n, BASE_UNFILLED]
            row_one(base, rests[n], context, 0, row)
            utilities[n] = row[UTILITY]


@njit(cache=True)
def _score(
    trees, describing, algorithm, rests, context, masks, bases, features, scales, rough, metrics, mask
):
    """The models' word on every candidate that is left (mask 0): base, row and mask anew."""
    feature, threshold, kept, value, first_tree, heads_base = trees
    scores = np.empty((LANES, RANKING), dtype=np.float32)
    rows = np.zeros((FEATURES, LANES), dtype=np.float32)
    total = np.empty(LANES, dtype=np.float32)
    members = np.empty(LANES, dtype=np.int64)
    position = 0
    while True:
        count, position = _next_block(algorithm, mask, position, members)
        if count == 0:
            break
        group = algorithm[members[0]]
        _side_by_side(features, members, count, rows)
        for head in range(RANKING):
            first, end = first_tree[group, head], first_tree[group, head + 1]
            total[:] = 0.0
            if head < HEAD_UNFILLED:
                # The sum goes on where the first trees left it.
                first = min(first + ROUGH_TREES, end)
                for lane in range(count):
                    total[lane] = rough[members[lane], head]
            add_lanes(feature, threshold, kept, value, first, end, rows, total)
            for lane in range(count):
                scores[lane, head] = total[lane] + heads_base[group, head]
        for lane in range(count):
            n = members[lane]
            learned_base(scores[lane], scales[n], bases[n])
            if context[MIN_COMPLETION] > 0.0 or context[LIMIT_ROOM_BPS] < NO_LIMIT_BPS:
                bases[n, BASE_COMPLETION] = completion_of(describing, group, features[n])
            mask[n] = row_one(bases[n], rests[n], context, masks[n], metrics[n])


@njit(cache=True)
def completion_of(describing, group, features):
    """The describing head's word on completion, as it comes. The map that calibrates it rises, so that the caller can
    turn what is asked for (MIN_COMPLETION) into this head's own figure."""
    said = score_head(describing[0], describing[1], describing[2], describing[3], group, HEAD_COMPLETION, features)
    return min(max(float(said), 0.0), 1.0)


@njit(cache=True)
def choose_learned(
    trees, describing, algorithm, rule, rests, numbers, cumulative, context, weights, windows, kinds, masks, bases,
    features, metrics, mask, best_of_algorithm, most, least
):
    """Prunes by the first trees, scores what is left, chooses. Where the models mask all that, the rest is scored."""
    count = algorithm.shape[0]
    rough = np.empty((count, HEAD_UNFILLED), dtype=np.float32)
    utilities = np.empty(count)
    scales = np.empty((count, RANKING))
    span_features = np.empty((count, FEATURES), dtype=np.float32)
    span_scales = np.empty((count, RANKING))
    _fill_all(
        rule, numbers, cumulative, context, weights, windows, kinds, mask, span_features, span_scales, features, scales
    )
    _score_roughly(trees, algorithm, rests, context, mask, bases, features, scales, rough, utilities)
    if keep_best(algorithm, utilities, mask, most, least) == 0:
        return choose(algorithm, metrics, mask, best_of_algorithm)
    _score(trees, describing, algorithm, rests, context, masks, bases, features, scales, rough, metrics, mask)
    best = choose(algorithm, metrics, mask, best_of_algorithm)
    if best >= 0:
        return best
    for n in range(count):
        # Those scored above have bits of their own now; only the pruned come back.
        if mask[n] == MASK_PRUNED:
            mask[n] = 0
    _score(trees, describing, algorithm, rests, context, masks, bases, features, scales, rough, metrics, mask)
    return choose(algorithm, metrics, mask, best_of_algorithm)
