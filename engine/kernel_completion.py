"""How likely an order completes by the models' word: one part of the decision call (engine/kernel.py)."""

from __future__ import annotations

import numpy as np
from numba import njit

from engine.compiled import uncounted
from engine.scoring.features import HEAD_COMPLETION
from engine.scoring.trees import score_head


@njit(cache=True)
def _between(knots, raw):
    """What a rising line through knots (2, k) says of a raw figure; flat beyond its ends."""
    last = knots.shape[1] - 1
    if raw < knots[0, 0]:
        return knots[1, 0]
    if raw >= knots[0, last]:
        return knots[1, last]
    above = np.searchsorted(knots[0], raw, side="right")
    share = (raw - knots[0, above - 1]) / (knots[0, above] - knots[0, above - 1])
    return knots[1, above - 1] + share * (knots[1, above] - knots[1, above - 1])


@uncounted
def completion_of(describing, group, features):
    """The describing head's word on completion, calibrated: the figure that is told, and that what is asked for
    (MIN_COMPLETION) is held against."""
    nodes, root, first_tree, base, knots = describing
    said = score_head(nodes, root, first_tree, base, group, HEAD_COMPLETION, features)
    return _between(knots, min(max(float(said), 0.0), 1.0))
