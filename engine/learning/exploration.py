"""Thompson sampling over near-ties, within a budget that operators cap, with the propensity of what was chosen.

The policy is stated so that its probabilities are exact: with a share e of orders the candidate is drawn from how often
each of the near-ties is best in DRAWS draws of the posterior; with 1 - e the best is taken. e is as large as the budget
allows for this very order: the utility given up on average, e x sum p (U - U_best), never exceeds budget_bps, and no
candidate outside regret_cap_bps is ever in the draw. All draws come from a hash of the order, so that a replay makes
the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.learning.corrections import Learned

Array = NDArray[np.float64]

DRAWS: Final = 128
# Of orders, at most: the rest keep the report's figures those of the best advice.
MOST_SHARE: Final = 0.25


@dataclass(frozen=True, slots=True)
class Explored:
    """propensity: the probability that the policy had for this candidate, given the order."""

    candidate: int
    propensity: float
    explored: bool


def chances(learned: Learned, utilities: Array, rows: Array, rng: np.random.Generator) -> Array:
    """(n,) how often each of n near-ties is best. utilities (n,) with the corrections in force, rows (n, EFFECTS)."""
    centre = utilities + rows @ (learned.mean - learned.values)
    noise = (rows @ learned.root) @ rng.standard_normal((rows.shape[1], DRAWS))
    winners = np.argmin(centre[:, None] + noise, axis=0)
    found: Array = np.bincount(winners, minlength=len(utilities)) / DRAWS
    return found


def policy(learned: Learned, utilities: Array, rows: Array, best: int, rng: np.random.Generator) -> Array:
    """(n,) the probability of each near-tie. `best`: position of the one that is taken without exploring."""
    drawn = chances(learned, utilities, rows, rng)
    given_up = float(drawn @ np.maximum(utilities - utilities[best], 0.0))
    budget = learned.exploration.budget_bps
    share = MOST_SHARE if given_up * MOST_SHARE <= budget else budget / given_up
    found: Array = share * drawn
    found[best] += 1.0 - share
    return found


def explored(learned: Learned, near: NDArray[np.int64], utilities: Array, rows: Array, best: int,
             seed: int) -> Explored:
    """One draw of the policy. `near`: candidates, `best` among them."""
    rng = np.random.Generator(np.random.SFC64(seed))
    at = int(np.flatnonzero(near == best)[0])
    odds = policy(learned, utilities, rows, at, rng)
    edges = np.cumsum(odds)
    pick = min(int(np.searchsorted(edges, rng.random() * edges[-1], side="right")), len(near) - 1)
    return Explored(int(near[pick]), float(odds[pick]), pick != at)
