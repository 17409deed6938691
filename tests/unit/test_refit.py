"""The surfaces' refit: it finds planted factors, keeps to its bounds, and trusts few rows little."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from engine import kernel as k
from engine.pricing import (
    COMPLETION,
    DARK,
    DARK_IMPACT,
    DARK_SPREAD,
    DEVIATION,
    IMPACT,
    MEAN_TIME,
    PASSIVE,
    REMAINDER,
    SPREAD,
)
from engine.surfaces import scaled
from tests.helpers.label_sets import small_labels
from training.labelling import (
    TRUE_DARK,
    TRUE_DEVIATION,
    TRUE_PASSIVE,
    TRUE_SIGMA,
    TRUE_SPREAD,
    TRUE_TIME,
    served,
    shipped_surfaces,
)
from training.labels import Labels
from training.refit import (
    LEAST_FACTOR,
    MOST_FACTOR,
    base_parts,
    refit,
    robust_factor,
    tolerances,
    true_parts,
    utility_of,
)

SURFACES = shipped_surfaces()[0]
FACTOR_OF = {TRUE_SPREAD: 1.5, TRUE_SIGMA: 0.8, TRUE_DEVIATION: 1.2, TRUE_TIME: 0.7, TRUE_DARK: 0.9, TRUE_PASSIVE: 0.6}
NAME_OF = {
    TRUE_SPREAD: "spread", TRUE_SIGMA: "sigma", TRUE_DEVIATION: "deviation", TRUE_TIME: "time", TRUE_DARK: "dark",
    TRUE_PASSIVE: "passive",
}
OUTPUTS_OF = {
    TRUE_SPREAD: (SPREAD, DARK_SPREAD), TRUE_SIGMA: (IMPACT, DARK_IMPACT), TRUE_DEVIATION: (DEVIATION,),
    TRUE_TIME: (MEAN_TIME,), TRUE_DARK: (DARK,), TRUE_PASSIVE: (PASSIVE,),
}


def planted(labels: Labels, by_row: NDArray[np.float64] | float = 1.0) -> Labels:
    """The labels with a truth that is the structural figure times known factors."""
    known, truth = base_parts(labels, SURFACES), labels.truth.copy()
    for column, factor in FACTOR_OF.items():
        truth[:, column] = getattr(known, NAME_OF[column]) * factor * by_row
    return replace(labels, truth=truth)


def seen_shapes(labels: Labels, column: int) -> NDArray[np.int64]:
    """Shapes with enough rows that have something to multiply."""
    known = np.abs(getattr(base_parts(labels, SURFACES), NAME_OF[column])) > 1e-9
    sure = labels.weights[labels.order_of_row].max(axis=1) > 0.9
    counts = np.bincount(served().shape[labels.candidate][known & sure], minlength=SURFACES.shapes)
    return np.flatnonzero(counts >= 20)


def test_planted_factors_are_found_in_every_condition() -> None:
    labels = small_labels()
    factors = refit(planted(labels), SURFACES)
    for column, factor in FACTOR_OF.items():
        shapes = seen_shapes(labels, column)
        assert len(shapes) > 3
        for output in OUTPUTS_OF[column]:
            np.testing.assert_allclose(factors[:, shapes, output], factor, rtol=1e-4)


def test_outputs_that_labels_do_not_speak_of_stay_as_they_are() -> None:
    factors = refit(planted(small_labels()), SURFACES)
    assert np.all(factors[..., [REMAINDER, COMPLETION]] == 1.0)


def test_a_condition_with_few_rows_leans_on_its_shape() -> None:
    labels = small_labels()
    weights = labels.weights[labels.order_of_row]
    high = weights[:, 1] > 0.9
    factors = refit(planted(labels, np.where(high, 1.5, 1.0)), SURFACES)
    shapes = seen_shapes(labels, TRUE_DEVIATION)
    own = FACTOR_OF[TRUE_DEVIATION]
    here, elsewhere = factors[1, shapes, DEVIATION], factors[0, shapes, DEVIATION]
    assert np.all(here >= elsewhere - 1e-9)
    assert np.all(here < 1.5 * own - 1e-6)


@pytest.mark.parametrize(("factor", "bound"), [(50.0, MOST_FACTOR), (0.001, LEAST_FACTOR)])
def test_factors_keep_to_their_bounds(factor: float, bound: float) -> None:
    labels = small_labels()
    factors = refit(planted(labels, factor), SURFACES)
    assert np.all((factors >= LEAST_FACTOR) & (factors <= MOST_FACTOR))
    assert np.all(factors[:, seen_shapes(labels, TRUE_DEVIATION), DEVIATION] == bound)


def test_outliers_hardly_move_a_factor() -> None:
    rng = np.random.default_rng(5)
    known = rng.uniform(0.5, 2.0, 400)
    truth = 1.3 * known + rng.normal(0.0, 0.01, 400)
    truth[::40] = 500.0
    assert robust_factor(truth, known, np.ones(400)) == pytest.approx(1.3, abs=0.01)


def test_refit_is_the_same_again() -> None:
    assert np.array_equal(refit(small_labels(), SURFACES), refit(small_labels(), SURFACES))


def test_refitted_surfaces_price_nearer_to_the_labels() -> None:
    labels = small_labels()
    truth, context = true_parts(labels), labels.context[labels.order_of_row]
    tolerance = tolerances(labels, utility_of(labels, truth))
    errors = []
    for surfaces in (SURFACES, scaled(SURFACES, refit(labels, SURFACES))):
        found = base_parts(labels, surfaces)
        errors.append([
            float(np.mean((weight * (getattr(found, name) - getattr(truth, name))) ** 2))
            for name, weight in (
                ("spread", context[:, k.SPREAD_BPS] / tolerance), ("sigma", context[:, k.SIGMA_BPS] / tolerance),
                ("deviation", context[:, k.SIGMA_BPS] / tolerance), ("time", 1.0), ("passive", 1.0),
            )
        ])
    assert np.all(np.array(errors[1]) < np.array(errors[0]))


def test_refitted_deviation_still_rises_with_participation() -> None:
    values = scaled(SURFACES, refit(small_labels(), SURFACES)).values[..., DEVIATION]
    assert float(np.diff(values, axis=2).min()) >= 0.0


@pytest.mark.parametrize("fault", [0.0, -1.0, float("nan"), float("inf")])
def test_factors_that_are_no_factors_are_refused(fault: float) -> None:
    factors = np.ones((SURFACES.values.shape[0], SURFACES.shapes, SURFACES.values.shape[-1]))
    factors[1, 2, 3] = fault
    with pytest.raises(ValueError, match="positive"):
        scaled(SURFACES, factors)


def test_tolerance_is_the_judges() -> None:
    labels = small_labels()
    utility = utility_of(labels, true_parts(labels))
    found = tolerances(labels, utility)
    assert float(found.min()) >= 0.5
    assert all(
        len(set(found[first:last].tolist())) == 1
        for first, last in zip(labels.first_row[:-1], labels.first_row[1:], strict=True)
    )
