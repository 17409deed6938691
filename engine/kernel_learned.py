"""What the learned trees say of candidates that the surfaces priced: one part of the decision call (engine/kernel.py).

The first trees of the heads that move utility rank all allowed candidates, the rest scores those that they leave
(docs/adr/0017). All candidates of one algorithm go through a tree while it is at hand (engine/scoring/lanes.py).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from engine.compiled import copy_into, uncounted
from engine.kernel_choice import FARTHEST_FLIP, choose, keep_best, least_of, nearest_change
from engine.kernel_completion import completion_of
from engine.kernel_limit import NO_LIMIT_BPS
from engine.kernel_pricing import price_prepared, size_spans
from engine.kernel_rows import row_one
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
    MASK_RIVAL,
    MEAN_MINUTES,
    METRICS,
    MIN_COMPLETION,
    QUANTITY,
    SESSION_MINUTES,
    SIGMA_BPS,
    UTILITY,
)
from engine.scoring.features import (
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
from engine.scoring.lane_tree import ROW_WIDTH
from engine.scoring.lanes import add_lanes, bin_rows

MOST_RIVALS = 8  # scored each way for what another alpha would choose

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
def _fill_all(rule, numbers, cumulative, context, weights, windows, kinds, mask, known, features, scales):
    """Features (n, ROW_WIDTH) float32 and scales (n, RANKING) of the allowed candidates: of each of `known` windows
    once, and of each rate."""
    order = np.zeros(ROW_WIDTH, dtype=np.float32)
    fill_order_features(context, weights, order)
    _fill_each(
        rule, numbers, cumulative, context, windows, kinds, mask, order, np.zeros(known, dtype=np.bool_),
        np.empty((known, ROW_WIDTH), dtype=np.float32), np.empty((known, RANKING)), features, scales
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
def _members_of_run(algorithm, mask, first_size, end_size, candidate, members):
    """What is allowed at the sizes from `first_size` up to `end_size` of the run of candidates of one algorithm that
    begins at `candidate`, into `members`: rows of arrays that hold the sizes' candidates one after the other. Returns
    how many, and where the next run begins."""
    count = 0
    candidates = algorithm.shape[0]
    group = algorithm[candidate]
    while candidate < candidates and algorithm[candidate] == group:
        for size in range(first_size, end_size):
            if mask[size, candidate] == 0:
                members[count] = size * candidates + candidate
                count += 1
        candidate += 1
    return count, candidate


@uncounted
def _rank_each(
    trees, algorithm, rests, contexts, first_size, end_size, mask, bases, read, utilities, minutes, scratch
):
    """What the first trees say of every candidate allowed at the sizes from `first_size` up to `end_size`: its bins and
    scores without the heads' bases (`_room`), and the utilities and mean minutes (sizes, n) that follow. The bases stay
    as they are. What is left unfilled is not asked for: it moves no utility."""
    feature, limit, left_of, value, cut, first_tree, heads_base = trees
    features, scales, bins, scores = read
    members, base, row, said = scratch
    candidates = algorithm.shape[0]
    candidate = 0
    while candidate < candidates:
        group = algorithm[candidate]
        count, candidate = _members_of_run(algorithm, mask, first_size, end_size, candidate, members)
        bin_rows(cut, group, features, members, count, bins)
        for head in range(HEAD_UNFILLED):
            for at in range(count):
                scores[head, members[at]] = 0.0
            first = first_tree[group, head]
            end = min(first + ROUGH_TREES, first_tree[group, head + 1])
            add_lanes(feature, limit, left_of, value, first, end, bins, members, count, scores[head])
        for at in range(count):
            member = members[at]
            size, n = member // candidates, member % candidates
            for head in range(HEAD_UNFILLED):
                said[head] = scores[head, member] + heads_base[group, head]
            copy_into(base, bases[size, n])
            learned_base(said, scales[member], base)
            base[BASE_UNFILLED] = bases[size, n, BASE_UNFILLED]
            row_one(base, rests[n], contexts[size], 0, row)
            utilities[size, n], minutes[size, n] = row[UTILITY], row[MEAN_MINUTES]


@uncounted
def _add_the_rest(trees, group, members, count, bins, scores):
    """All trees' word on the `count` rows of one group in `members`: the sums go on where the first trees left them."""
    feature, limit, left_of, value, _, first_tree, _ = trees
    for head in range(RANKING):
        first, end = first_tree[group, head], first_tree[group, head + 1]
        if head < HEAD_UNFILLED:
            first = min(first + ROUGH_TREES, end)
        else:
            for at in range(count):
                scores[head, members[at]] = 0.0
        add_lanes(feature, limit, left_of, value, first, end, bins, members, count, scores[head])


@uncounted
def _scored_row(trees, describing, group, rests, context, mask, base, read, member, said, row):
    """A row of the metrics by what all trees said of `member`, whose base becomes the learned one; returns its mask."""
    features, scales, _, scores = read
    heads_base = trees[6]
    for head in range(RANKING):
        said[head] = scores[head, member] + heads_base[group, head]
    learned_base(said, scales[member], base)
    if context[MIN_COMPLETION] > 0.0 or context[LIMIT_ROOM_BPS] < NO_LIMIT_BPS:
        base[BASE_COMPLETION] = completion_of(describing, group, features[member])
    return row_one(base, rests, context, mask, row)


@uncounted
def _score_each(
    trees, describing, algorithm, rests, contexts, first_size, end_size, masks, bases, read, metrics, utilities, mask,
    scratch
):
    """The models' word on every candidate that is left (mask 0) at the sizes from `first_size` up to `end_size`: base,
    utility and mask anew, and for the order's own size (0) its row of the metrics. Ranked before, scored once."""
    members, _, row, said = scratch
    candidates = algorithm.shape[0]
    candidate = 0
    while candidate < candidates:
        group = algorithm[candidate]
        count, candidate = _members_of_run(algorithm, mask, first_size, end_size, candidate, members)
        _add_the_rest(trees, group, members, count, read[2], read[3])
        for at in range(count):
            member = members[at]
            size, n = member // candidates, member % candidates
            out = metrics[n] if size == 0 else row
            mask[size, n] = _scored_row(
                trees, describing, group, rests[n], contexts[size], masks[n], bases[size, n], read, member, said, out
            )
            utilities[size, n] = out[UTILITY]


@uncounted
def _unpruned(mask):
    """Brings back what was pruned; those scored have bits of their own."""
    for n in range(mask.shape[0]):
        if mask[n] == MASK_PRUNED:
            mask[n] = 0


@uncounted
def _told_features(mask, seen, out):
    """The features of what was scored, as rows of out (n, FEATURES)."""
    for n in range(mask.shape[0]):
        if mask[n] != MASK_PRUNED:
            copy_into(out[n], seen[n])


@uncounted
def _second_look(algorithm, own, own_rough, utilities, mask, found):
    """The best of the few that were scored at another size (`found`) if its algorithm is still the best with those that
    were only ranked there, else -1: too close to be told. Of the ranked ones the first trees' utility (n,) counts, with
    what all trees added to it at the order's own size."""
    best, least = found, utilities[found]
    for n in range(mask.shape[0]):
        if mask[n] == MASK_PRUNED:
            utility = utilities[n] + (own[n] - own_rough[n])
            if utility < least:
                best, least = n, utility
    return found if algorithm[best] == algorithm[found] else -1


@njit(cache=True)
def _rank_at_sizes(
    surfaces, trees, algorithm, rule, rests, numbers, cumulative, contexts, weights, windows, kinds, spans, known,
    masks, bases, read, utilities, minutes, mask, scratch, most
):
    """Prices the sizes after the first by the surfaces, ranks them by the first trees and leaves the best `most` at
    each. `masks`: what rules a candidate out at every one of them."""
    values, axis_p, axis_t, shape, pools = surfaces
    features, scales, _, _ = read
    count = algorithm.shape[0]
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
        own = slice(size * count, (size + 1) * count)
        _fill_all(
            rule, numbers, cumulative, contexts[size], weights, windows, kinds, mask[size], known, features[own],
            scales[own]
        )
    _rank_each(
        trees, algorithm, rests, contexts, 1, contexts.shape[0], mask, bases, read, utilities, minutes, scratch
    )
    no_least = np.zeros(1 + np.max(algorithm), dtype=np.int64)
    for size in range(1, contexts.shape[0]):
        keep_best(algorithm, utilities[size], mask[size], most, no_least)


@njit(cache=True)
def _lines_within(lines, guessed, mask, best, direction, reach):
    """Candidates (rising) that were scored, and the guessed ones whose lines cross the choice's own within `reach`:
    what does not cross that one crosses nothing below it."""
    count = 0
    found = np.empty(mask.shape[0], dtype=np.int64)
    own = lines[best, 0] + direction * reach * lines[best, 1]
    for n in range(mask.shape[0]):
        near = guessed[n] and lines[n, 0] + direction * reach * lines[n, 1] < own
        if mask[n] == 0 or near:
            found[count] = n
            count += 1
    return found[:count]


@njit(cache=True)
def _score_rivals(
    trees, describing, algorithm, rests, context, masks, bases, read, metrics, rough, minutes, mask, best, scratch
):
    """Scores what was pruned and what another alpha would choose as far as the first trees know (rough utilities and
    mean minutes (n,)): those get MASK_RIVAL and a row of the metrics. Alpha is no feature of the models, so that
    utilities are straight lines in it and another alpha has the same scores; but it ranks others among the best.

    Follows the lines each way to the first change of algorithm, and scores what lies on its way, up to MOST_RIVALS.
    """
    members, _, _, said = scratch
    guessed = mask == MASK_PRUNED
    lines = np.empty((mask.shape[0], 2))
    for n in range(mask.shape[0]):
        lines[n, 0] = rough[n] if guessed[n] else metrics[n, UTILITY]
        lines[n, 1] = minutes[n] if guessed[n] else metrics[n, MEAN_MINUTES]
    utilities, slopes = lines[:, 0], lines[:, 1]
    scored = np.flatnonzero(mask == 0)
    farthest = FARTHEST_FLIP * context[SIGMA_BPS] / context[SESSION_MINUTES]
    for direction in (-1.0, 1.0):
        reach, _ = nearest_change(algorithm, utilities, slopes, scored, guessed, best, direction)
        near = _lines_within(lines, guessed, mask, best, direction, min(reach, farthest))
        for _ in range(MOST_RIVALS):
            distance, n = nearest_change(algorithm, utilities, slopes, near, guessed, best, direction)
            if n < 0 or not guessed[n] or distance > farthest:
                break
            members[0] = n
            _add_the_rest(trees, algorithm[n], members, 1, read[2], read[3])
            bits = _scored_row(
                trees, describing, algorithm[n], rests[n], context, masks[n], bases[n], read, n, said, metrics[n]
            )
            guessed[n] = False
            if bits == 0 and metrics[n, UTILITY] >= metrics[best, UTILITY]:
                mask[n] |= MASK_RIVAL
                lines[n, 0], lines[n, 1] = metrics[n, UTILITY], metrics[n, MEAN_MINUTES]
            else:
                lines[n, 0] = np.inf


@njit(cache=True)
def _room(sizes, count):
    """(features (m, ROW_WIDTH) float32, scales (m, RANKING), bins (m, ROW_WIDTH) uint8, scores (RANKING, m) float32)
    of m = sizes x count rows: what trees read of candidates and what they said so far."""
    rows = sizes * count
    return (
        np.empty((rows, ROW_WIDTH), dtype=np.float32), np.empty((rows, RANKING)),
        np.zeros((rows, ROW_WIDTH), dtype=np.uint8), np.empty((RANKING, rows), dtype=np.float32),
    )


@njit(cache=True)
def _contexts_of(context, sizes, all_sizes):
    """The order's own context, then those of its other sizes."""
    contexts = np.empty((all_sizes, context.shape[0]))
    for size in range(all_sizes):
        contexts[size] = context
        if size > 0:
            contexts[size, QUANTITY] = context[QUANTITY] * sizes[size - 1, 0]
    return contexts


@njit(cache=True)
def ruled_out(masks, mask):
    """What keeps a candidate out at other sizes (n,): what was pruned at the order's own is not looked at again."""
    elsewhere = masks.copy()
    for n in range(mask.shape[0]):
        if mask[n] & MASK_PRUNED:
            elsewhere[n] |= MASK_ELSEWHERE
    return elsewhere


@njit(cache=True)
def _choose_at_sizes(
    trees, describing, algorithm, rests, contexts, masks, bases, read, metrics, utilities, rough, mask, scratch, sizes
):
    """The best at each of the order's other sizes, into column 1 of `sizes`; -1 where it is too close to be told. Where
    the models mask all that was kept there, what was only ranked is scored."""
    for size in range(1, contexts.shape[0]):
        found = least_of(utilities[size], mask[size])
        if found < 0:
            _unpruned(mask[size])
            _score_each(
                trees, describing, algorithm, rests, contexts, size, size + 1, masks, bases, read, metrics, utilities,
                mask, scratch
            )
            found = least_of(utilities[size], mask[size])
        if found >= 0 and contexts[0, MIN_COMPLETION] <= 0.0:
            found = _second_look(algorithm, utilities[0], rough, utilities[size], mask[size], found)
        sizes[size - 1, 1] = found


@njit(cache=True)
def choose_learned(
    values, axis_p, axis_t, trees, describing, algorithm, shape, rule, rests, numbers, cumulative, context, weights,
    windows, kinds, spans, known, pools, masks, bases, features, metrics, own_mask, best_of_algorithm, keep, sizes
):
    """Prunes by the first trees, scores what is left, chooses. Where the models mask all that, the rest is scored.

    bases (1 + sizes, n, BASES): the first those of the order's own size. What is left of the order and of its other
    `sizes` is scored together, so that each tree is read once.
    """
    count, all_sizes = algorithm.shape[0], bases.shape[0]
    surfaces = (values, axis_p, axis_t, shape, pools)
    contexts = _contexts_of(context, sizes, all_sizes)
    mask = np.empty((all_sizes, count), dtype=np.int64)
    mask[0] = own_mask
    # Zeros: what is out at the order's own size may be looked at again at another, and added nothing there.
    utilities, minutes = np.zeros((all_sizes, count)), np.zeros((all_sizes, count))
    read = _room(all_sizes, count)
    # Of no meaning before or after a call that is given them: members, a base, a row of the metrics, heads' words.
    scratch = (
        np.empty(all_sizes * count, dtype=np.int64), np.empty(BASES), np.empty(METRICS),
        np.empty(RANKING, dtype=np.float32),
    )
    _fill_all(
        rule, numbers, cumulative, context, weights, windows, kinds, mask[0], known, read[0][:count], read[1][:count]
    )
    _rank_each(trees, algorithm, rests, contexts, 0, 1, mask, bases, read, utilities, minutes, scratch)
    if keep_best(algorithm, utilities[0], mask[0], keep[0], keep[2:]) == 0:
        return choose(algorithm, metrics, own_mask, best_of_algorithm)
    rough = utilities[0].copy()
    if all_sizes > 1:
        _rank_at_sizes(
            surfaces, trees, algorithm, rule, rests, numbers, cumulative, contexts, weights, windows, kinds, spans,
            known, ruled_out(masks, mask[0]), bases, read, utilities, minutes, mask, scratch, keep[1]
        )
    _score_each(
        trees, describing, algorithm, rests, contexts, 0, all_sizes, masks, bases, read, metrics, utilities, mask,
        scratch
    )
    best = choose(algorithm, metrics, mask[0], best_of_algorithm)
    if best < 0:
        _unpruned(mask[0])
        _score_each(
            trees, describing, algorithm, rests, contexts, 0, 1, masks, bases, read, metrics, utilities, mask, scratch
        )
        best = choose(algorithm, metrics, mask[0], best_of_algorithm)
        if best >= 0 and all_sizes > 1:
            # Nothing is ruled out any more.
            _rank_at_sizes(
                surfaces, trees, algorithm, rule, rests, numbers, cumulative, contexts, weights, windows, kinds, spans,
                known, masks, bases, read, utilities, minutes, mask, scratch, keep[1]
            )
            _score_each(
                trees, describing, algorithm, rests, contexts, 1, all_sizes, masks, bases, read, metrics, utilities,
                mask, scratch
            )
    own_mask[:] = mask[0]
    _told_features(own_mask, read[0], features)
    _choose_at_sizes(
        trees, describing, algorithm, rests, contexts, masks, bases, read, metrics, utilities, rough, mask, scratch,
        sizes
    )
    if best >= 0:
        _score_rivals(
            trees, describing, algorithm, rests, context, masks, bases[0], read, metrics, rough, minutes[0], own_mask,
            best, scratch
        )
    return best
