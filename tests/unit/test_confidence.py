"""What the confidence model sees of a decision."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine import confidence
from engine import layout as at
from engine.scoring.models import CONFIDENCE_FEATURES


def test_positions_are_those_of_the_names() -> None:
    positions = {name: getattr(confidence, f"F_{name.upper()}") for name in CONFIDENCE_FEATURES}
    assert list(positions.values()) == list(range(confidence.CONFIDENCE_LENGTH))


def test_rivals_are_counted_in_tolerances_and_by_algorithm() -> None:
    """At a utility of 20 bps the tolerance is 1 bps. Candidate 0 is chosen, 4 is not allowed."""
    metrics = np.ones((7, at.METRICS))
    metrics[:, at.UTILITY] = 20.0, 20.25, 20.5, 20.75, 10.0, 23.0, 20.9
    mask = np.array([0, 0, 0, 0, 1, 0, 0])
    algorithm = np.array([0, 0, 3, 3, 2, 5, 0])
    context = np.ones(at.CONTEXT_LENGTH)
    context[at.QUANTITY], context[at.DAILY_VOLUME] = 5_000.0, 1_000_000.0
    weights = np.array([0.2, 0.7, 0.1, 0.0, 0.0, 0.0])
    row = confidence.confidence_features(metrics, mask, algorithm, 0, 5, context, weights)
    told = dict(zip(CONFIDENCE_FEATURES, row.tolist(), strict=True))
    expected = {
        "gap_next": 0.25, "gap_third": 0.5, "gap_algorithm": 0.5, "near_candidates": 4.0, "near_algorithms": 1.0,
        "tolerance_bps": 1.0, "utility_bps": 20.0, "structural_loss": 3.0, "log_size_days": math.log(0.005),
        "condition": 1.0, "condition_certainty": 0.7, "algorithm": 0.0,
    }  # fmt: skip
    assert {name: told[name] for name in expected} == pytest.approx(expected)
    for unknown in (-1, 4):  # without a choice of the surfaces, or where it is not allowed
        row = confidence.confidence_features(metrics, mask, algorithm, 0, unknown, context, weights)
        assert row[confidence.F_STRUCTURAL_LOSS] == confidence.MOST_GAP
