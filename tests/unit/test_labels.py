"""Labels: the same whoever makes them, resumable, and what the simulator says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine import kernel as k
from engine.catalogue import ALGORITHM_NAMES
from engine.simulator.execute import execute
from engine.simulator.market import simulate_market
from engine.simulator.policies import policies_of, template_of
from engine.simulator.world import DEFAULT_WORLD
from tests.helpers.label_sets import Counted, small_labels, spec_of, two_workers
from training.contexts import Purpose, draw_case, scene_of
from training.labelling import (
    EVERYTHING,
    TRUTHS,
    LabelSpec,
    curve_of,
    draw_columns,
    price_served,
    served,
    shipped_base,
    shipped_surfaces,
)
from training.labels import (
    Labels,
    chunk_bytes,
    chunk_specs,
    key_of,
    label_chunk,
    labels_of,
    make_labels,
    meaning_of,
    part_of,
    path_of,
)
from training.refit import true_parts, utility_of
from training.simulator.estimates import parts_of, utility_bps
from training.workers import Serial, Workers, open_workers

ROW_FIELDS = ("candidate", "features", "scales", "truth", "draws", "index", "context", "weights", "first_row")


def specs(size: int = 3) -> tuple[LabelSpec, ...]:
    return chunk_specs(Purpose.TRAIN, 0, 6, spec_of(0), size)


def same(first: Labels, second: Labels) -> bool:
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in ROW_FIELDS)


def made(workers: Workers, folder: Path, size: int = 3) -> Labels:
    return make_labels(specs(size), folder, workers)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.npz"))}


# ---- the same whoever makes them


def test_a_chunk_is_the_same_bytes_again() -> None:
    assert chunk_bytes(spec_of(4)) == chunk_bytes(spec_of(4))


def test_how_orders_are_cut_into_chunks_changes_nothing(tmp_path: Path) -> None:
    assert same(made(Serial(), tmp_path / "a", size=3), made(Serial(), tmp_path / "b", size=2))


def test_a_pool_makes_the_same_files(tmp_path: Path) -> None:
    with open_workers(2) as workers:
        made(workers, tmp_path / "pool")
    made(Serial(), tmp_path / "serial")
    assert contents(tmp_path / "pool") == contents(tmp_path / "serial") != {}


def test_a_cluster_of_two_workers_makes_the_same_files(tmp_path: Path) -> None:
    with (
        two_workers() as cluster,
        open_workers(cluster=cluster.scheduler_address) as workers,
    ):
        assert workers.count == 2
        made(workers, tmp_path / "cluster")
    made(Serial(), tmp_path / "serial")
    assert contents(tmp_path / "cluster") == contents(tmp_path / "serial") != {}


def test_what_a_worker_raises_is_raised_here() -> None:
    bad = replace(spec_of(1), surfaces_sha256="0" * 64)
    with pytest.raises(ValueError, match="surfaces"), open_workers(2) as workers:
        list(workers.run(chunk_bytes, [bad]))


# ---- resumed


def test_only_what_is_missing_or_broken_is_made_again(tmp_path: Path) -> None:
    whole = made(Serial(), tmp_path)
    before = contents(tmp_path)
    first, second = (path_of(tmp_path, spec) for spec in specs())
    for harm in (first.unlink, lambda: second.write_bytes(second.read_bytes()[:-200])):
        harm()
        workers = Counted()
        assert same(made(workers, tmp_path), whole)
        assert workers.given == 1
        assert contents(tmp_path) == before
    idle = Counted()
    made(idle, tmp_path)
    assert idle.given == 0


def test_fresh_makes_everything_again(tmp_path: Path) -> None:
    made(Serial(), tmp_path)
    workers = Counted()
    make_labels(specs(), tmp_path, workers, fresh=True)
    assert workers.given == len(specs())


def test_progress_ends_with_all_orders(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    make_labels(specs(), tmp_path, Serial(), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 6), (3, 6), (6, 6)]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1}, {"pairs": 9}, {"draws": 5}, {"selection": EVERYTHING}, {"surfaces_sha256": "0" * 64},
        {"world": replace(DEFAULT_WORLD, impact_factor=2.0)},
    ],
)
def test_whatever_labels_depend_on_names_another_folder(change: dict[str, object]) -> None:
    assert key_of(replace(spec_of(1), **change)) != key_of(spec_of(1))  # type: ignore[arg-type]


def test_which_orders_is_no_part_of_the_folders_name() -> None:
    assert key_of(spec_of(1)) == key_of(spec_of(7, first=3))


def test_comments_and_docstrings_mean_nothing_and_code_does() -> None:
    one = meaning_of('"""About."""\ndef f(x):\n    """Twice."""\n    return 2 * x\n')
    assert one == meaning_of('"""Else."""\n# why\ndef f(x):\n    """Double."""\n    return 2 * x  # so\n')
    assert one != meaning_of('"""About."""\ndef f(x):\n    """Twice."""\n    return 3 * x\n')


# ---- what is in them


def test_selected_candidates_are_allowed_and_every_algorithm_is_among_them() -> None:
    labels = labels_of([label_chunk(spec_of(12))])
    for order in range(labels.orders):
        curve = curve_of(int(labels.instrument[order]))
        priced = price_served(shipped_surfaces()[0], labels.weights[order], curve, labels.context[order])
        rows = labels.candidate[labels.first_row[order] : labels.first_row[order + 1]]
        allowed = np.flatnonzero(priced.mask == 0)
        assert set(rows) <= set(allowed)
        assert len(rows) == len(set(rows)) >= min(65, len(allowed))
        assert labels.allowed[order] == len(allowed)
        assert int(rows[np.argmin(priced.metrics[rows, k.UTILITY])]) == int(
            allowed[np.argmin(priced.metrics[allowed, k.UTILITY])]
        )
        for algorithm in range(len(ALGORITHM_NAMES)):
            own = int((served().algorithm[allowed] == algorithm).sum())
            assert int((served().algorithm[rows] == algorithm).sum()) >= min(2, own)


def test_truth_is_the_simulators_own_utility() -> None:
    spec = spec_of(1, selection=EVERYTHING)
    labels = labels_of([label_chunk(spec)])
    case = draw_case(Purpose.TRAIN, 0)
    scene = scene_of(case, shipped_base())
    assert scene is not None
    inline = np.array([ALGORITHM_NAMES[number] == "OPPORTUNISTIC" for number in labels.algorithm])
    paths = simulate_market(scene.order, DEFAULT_WORLD, case.seed(0), spec.pairs)
    expected = np.empty(labels.rows)
    for rows, looks in ((~inline, False), (inline, True)):
        policies = policies_of(template_of(served()), scene.order, labels.candidate[rows])
        run = execute(scene.order, DEFAULT_WORLD, paths, policies, looks)
        expected[rows] = utility_bps(scene.order, parts_of(scene.order, run, looks))
    found = utility_of(labels, true_parts(labels)) + scene.order.permanent_bps
    # Stored as float32.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


def test_draws_are_standardised() -> None:
    draws = small_labels().draws
    # Candidates of an order share their paths, so that these are sixty samples, not thousands.
    assert abs(float(draws.mean())) < 0.15
    assert 0.75 < float(draws.std()) < 1.25


def test_draws_are_of_different_pairs_and_of_both_halves() -> None:
    columns = draw_columns(np.random.default_rng(3), pairs=10, draws=8)
    assert len(set((columns % 10).tolist())) == 8
    assert int((columns >= 10).sum()) == 4


def test_everything_is_finite_and_shares_are_shares() -> None:
    labels = small_labels()
    for name in ("features", "scales", "truth", "draws", "context", "ratios"):
        assert np.all(np.isfinite(getattr(labels, name))), name
    shares = labels.truth[:, [TRUTHS.index(name) for name in ("unfilled", "dark", "passive", "completion")]]
    assert float(shares.min()) >= 0.0
    assert float(shares.max()) <= 1.0 + 1e-5
    assert np.all(labels.scales > 0.0)


def test_a_part_keeps_its_orders_rows() -> None:
    labels = small_labels()
    some = np.arange(labels.orders) % 3 == 1
    part = part_of(labels, some)
    assert np.array_equal(part.index, labels.index[some])
    for order, origin in enumerate(np.flatnonzero(some)):
        own = slice(part.first_row[order], part.first_row[order + 1])
        was = slice(labels.first_row[origin], labels.first_row[origin + 1])
        assert np.array_equal(part.truth[own], labels.truth[was])
