"""From boosters that LightGBM really trained to ONNX models and a table; what is refused; a proof that bites."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import lightgbm
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from engine.scoring.onnx_scorer import INPUT, OUTPUT, CompiledScorer, OnnxScorer, parity
from engine.scoring.trees import LEAF, Float32s, arrays_of, leaves_of, table_from_arrays
from store.artifacts import arrays_to_bytes
from training.booster_text import mended
from training.export import Exported, ExportMismatch, export, table_from_models
from training.export_check import check_export, threshold_rows

GROUPS, HEADS = ("TWAP", "VWAP", "POV"), ("mean", "sd", "q90")
FEATURES = ("size", "spread", "steps", "zero or one", "unused")
PARAMETERS = {"num_leaves": 15, "verbosity": -1, "num_threads": 1, "seed": 7, "deterministic": True}
COLUMNS = [name.replace(" ", "_") for name in FEATURES]


def sample(seed: int, rows: int = 3000) -> tuple[Float32s, NDArray[np.float64]]:
    """`steps` and `zero or one` hold zeros, so that LightGBM really splits at +-1e-35."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, len(FEATURES))).astype(np.float32)
    x[:, 2] = np.round(x[:, 2])
    x[:, 3] = rng.integers(0, 2, rows)
    x[:, 4] = 0.0
    y = 10.0 + 3 * x[:, 0] ** 2 + x[:, 1] * (x[:, 2] > 0) - 2 * (x[:, 2] < 0) + x[:, 3] + rng.normal(size=rows)
    return x, y.astype(np.float64)


def train(seed: int = 0, rounds: int = 20, **parameters: Any) -> lightgbm.Booster:
    x, y = sample(seed)
    if parameters.get("objective") in ("binary", "cross_entropy"):
        y = (y > 12.0).astype(np.float64)
    settings = {**PARAMETERS, "objective": "regression", **parameters}
    categories = settings.pop("categories", "auto")
    data = lightgbm.Dataset(x, np.abs(y), feature_name=COLUMNS, categorical_feature=categories)
    return lightgbm.train(settings, data, rounds)


@pytest.fixture(scope="module")
def boosters() -> dict[tuple[str, str], lightgbm.Booster]:
    """POV has no q90; VWAP's sd is a constant; TWAP's mean stopped early."""
    found = {
        (group, head): train(10 * g + h, 9 * h + g + 1, objective="quantile" if head == "q90" else "huber")
        for g, group in enumerate(GROUPS)
        for h, head in enumerate(HEADS)
        if (group, head) != ("POV", "q90")
    }
    found["VWAP", "sd"] = train(3, min_data_in_leaf=10_000)
    found["TWAP", "mean"] = train(4, 40)
    found["TWAP", "mean"].best_iteration = 13
    return found


@pytest.fixture(scope="module")
def exported(boosters: dict[tuple[str, str], lightgbm.Booster]) -> Exported:
    return export(boosters, GROUPS, HEADS, FEATURES, base={("POV", "q90"): 1.5, ("TWAP", "sd"): -0.25})


def test_every_leaf_and_every_score_agrees(
    exported: Exported, boosters: dict[tuple[str, str], lightgbm.Booster]
) -> None:
    """A million rows, as before an artifact is shipped."""
    seen: list[tuple[int, int]] = []
    report = check_export(exported, boosters, progress=lambda done, planned: seen.append((done, planned)))
    assert report.rows >= 1_000_000
    assert report.scores == report.rows * len(HEADS)
    assert report.leaves == report.rows * exported.table.trees / len(GROUPS)
    assert (report.routing_identical, report.onnx_identical) == (True, True)
    assert 0.0 < report.largest_relative_difference <= 1e-6
    assert seen[-1] == (report.rows, report.rows)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_the_table_has_the_boosters_trees(
    exported: Exported, boosters: dict[tuple[str, str], lightgbm.Booster]
) -> None:
    table = exported.table
    counts = np.diff(table.first_tree, axis=1)
    assert counts.tolist() == [[13, 10, 19], [2, 1, 20], [3, 12, 0]]
    assert np.array_equal(table.base, np.array([[0, -0.25, 0], [0, 0, 0], [0, 0, 1.5]], np.float32))
    constant = CompiledScorer(table).score(1, np.zeros((1, len(FEATURES)), np.float32))[0, 1]
    assert constant == np.float32(boosters["VWAP", "sd"].predict(np.zeros((1, len(FEATURES))))[0])
    assert (table.groups, table.heads, table.features) == (GROUPS, HEADS, FEATURES)


def test_lightgbm_really_splits_at_its_zero(exported: Exported) -> None:
    """So the second mend is needed: one threshold just above what LightGBM takes for 0, one just below."""
    tiny = exported.table.threshold[np.abs(exported.table.threshold) < 2e-35]
    tiny = np.unique(tiny[tiny != 0.0])
    zero = np.float32(1e-35)
    assert tiny.tolist() == [np.nextafter(-zero, np.float32(-1)), zero]


def test_equal_boosters_give_equal_bytes_that_tell_no_version_or_time(
    exported: Exported, boosters: dict[tuple[str, str], lightgbm.Booster]
) -> None:
    # In another order and from another object: nothing of either may show.
    copies = {key: lightgbm.Booster(model_str=found.model_to_string()) for key, found in reversed(boosters.items())}
    again = export(copies, GROUPS, HEADS, FEATURES, base={("TWAP", "sd"): -0.25, ("POV", "q90"): 1.5})
    assert again.models == exported.models
    assert arrays_to_bytes(arrays_of(again.table)) == arrays_to_bytes(arrays_of(exported.table))
    for model in map(onnx.load_from_string, exported.models):
        assert (model.producer_name, model.producer_version, model.doc_string) == ("", "", "")
        assert [(found.domain, found.version) for found in model.opset_import] == [("", 15), ("ai.onnx.ml", 3)]
        assert [node.op_type for node in model.graph.node] == ["TreeEnsembleRegressor"] * len(HEADS) + ["Concat"]
        assert (model.graph.input[0].name, model.graph.output[0].name) == (INPUT, OUTPUT)


def test_the_table_is_what_the_models_say(exported: Exported) -> None:
    again = table_from_models(exported.models)
    assert arrays_to_bytes(arrays_of(again)) == arrays_to_bytes(arrays_of(exported.table))


@pytest.mark.parametrize("rows", [0, 1, 2, 7, 8, 24, 49, 50, 51, 63, 64, 200])
def test_compiled_is_onnx_runtime_whatever_the_number_of_rows(exported: Exported, rows: int) -> None:
    rng = np.random.default_rng(rows)
    by_group = {group: rng.normal(size=(rows, len(FEATURES))).astype(np.float32) for group in range(len(GROUPS))}
    report = parity(OnnxScorer(exported.models), CompiledScorer(exported.table), by_group)
    assert report.exact
    assert report.scores == rows * len(GROUPS) * len(HEADS)


def test_what_is_no_number_goes_the_same_way_too(exported: Exported) -> None:
    rows = np.random.default_rng(1).normal(size=(300, len(FEATURES))).astype(np.float32)
    rows[np.random.default_rng(2).random(rows.shape) < 0.3] = np.nan
    assert parity(OnnxScorer(exported.models), CompiledScorer(exported.table), {0: rows, 1: rows, 2: rows}).exact


def test_parity_wants_scorers_of_one_form(exported: Exported) -> None:
    with pytest.raises(ValueError, match="groups, heads and features differ"):
        parity(OnnxScorer(exported.models[:2]), CompiledScorer(exported.table), {})
    with pytest.raises(IndexError):
        OnnxScorer(exported.models).score(3, np.zeros((1, len(FEATURES)), np.float32))
    with pytest.raises(ValueError, match="rows are"):
        OnnxScorer(exported.models).score(0, np.zeros((1, len(FEATURES)), np.float64))


def test_onnx_models_that_do_not_belong_together_are_refused(exported: Exported) -> None:
    fewer = export({}, ("TWAP",), HEADS[:2], FEATURES)
    for models in ((*exported.models, *fewer.models), ()):
        with pytest.raises(ValueError):
            table_from_models(models)
        with pytest.raises(ValueError):
            OnnxScorer(models)
    foreign = onnx.load_from_string(exported.models[0])
    del foreign.metadata_props[:]
    with pytest.raises(ValueError, match="a model lacks 'features'"):
        table_from_models((foreign.SerializeToString(),))


def test_the_schema_is_the_callers_if_it_names_one() -> None:
    assert export({}, GROUPS, HEADS, FEATURES, schema_sha256="ab" * 32).table.schema_sha256 == "ab" * 32
    plain = export({}, GROUPS, HEADS, FEATURES).table
    assert plain.schema_sha256 != export({}, GROUPS, HEADS, FEATURES[::-1]).table.schema_sha256
    assert (plain.trees, CompiledScorer(plain).score(0, np.ones((2, 5), np.float32)).tolist()) == (0, [[0.0] * 3] * 2)


# ---- thresholds


def test_thresholds_are_rounded_down() -> None:
    one, up = np.float32(1.0), np.nextafter(np.float32(1.0), np.float32(2.0))
    middle = (float(one) + float(up)) / 2
    given = [1.0, float(up), np.nextafter(float(up), 0.0), middle, np.nextafter(1.0, 2.0), -middle, 1e300, 0.1]
    expected = [one, up, one, one, one, -up, np.finfo(np.float32).max, np.nextafter(np.float32(0.1), np.float32(0))]
    assert mended(np.array(given)).tolist() == [float(value) for value in expected]
    assert np.isneginf(mended(np.array([-1e300])))


def test_thresholds_within_lightgbms_zero_move_to_its_edges() -> None:
    zero = np.float32(1e-35)
    below, above = np.nextafter(-zero, np.float32(-1)), zero
    given = [0.0, -0.0, 1e-40, float(zero), -1e-40, -float(zero), np.nextafter(-float(zero), 0.0)]
    assert mended(np.array(given)).tolist() == [above, above, above, above, below, below, below]
    outside = [float(np.nextafter(zero, np.float32(1))), float(below), float(np.float32(2e-35))]
    assert mended(np.array(outside)).tolist() == outside


@pytest.mark.parametrize("threshold", [0.1, 0.3, -0.1, 1 / 3, 1e-35, -1e-35, 0.0, 1e-40, -3e-36, 2.5, 1e300])
def test_mended_thresholds_answer_as_lightgbm_does(threshold: float) -> None:
    """Against LightGBM itself: a stump with this threshold, every float32 around it and around its zero."""
    model = train(rounds=1, num_leaves=2, min_data_in_leaf=1).model_to_string()
    lines = model.partition("\nend of trees")[0].splitlines()
    kept = [line for line in lines if not line.startswith(("tree_sizes", "threshold", "split_feature", "leaf_value"))]
    at = next(place for place, line in enumerate(kept) if line.startswith("num_leaves"))
    kept[at + 1 : at + 1] = ["split_feature=0", f"threshold={threshold!r}", "leaf_value=1 2"]
    stump = lightgbm.Booster(model_str="\n".join((*kept, "", "end of trees", "")))
    rows = np.zeros((0, len(FEATURES)), np.float32)
    for center in (np.float32(min(threshold, 3e38)), np.float32(1e-35), np.float32(-1e-35), np.float32(0.0)):
        steps = [center]
        for direction in (-np.inf, np.inf):
            value = center
            for _ in range(4):
                value = np.nextafter(value, np.float32(direction))
                steps.append(value)
        part = np.zeros((len(steps), len(FEATURES)), np.float32)
        part[:, 0] = steps
        rows = np.concatenate([rows, part])
    expected = np.asarray(stump.predict(rows))
    found = export({("TWAP", "mean"): stump}, ("TWAP",), ("mean",), FEATURES)
    assert CompiledScorer(found.table).score(0, rows)[:, 0].tolist() == expected.tolist()
    assert OnnxScorer(found.models).score(0, rows)[:, 0].tolist() == expected.tolist()


def test_threshold_rows_reach_every_node_at_below_and_above(exported: Exported) -> None:
    table = exported.table
    rows = threshold_rows(table, np.random.default_rng(5), 100)
    assert rows.dtype == np.float32
    assert np.all(np.isfinite(rows))
    # Every leaf that can be reached at all is (where two thresholds of a path round to one, what is between cannot).
    reached = np.zeros(len(table.feature), bool)
    for group in range(len(GROUPS)):
        for head in range(len(HEADS)):
            reached[leaves_of(table, group, head, rows).ravel()] = True
    assert reached[table.feature == LEAF].mean() > 0.999
    inner = np.flatnonzero(table.feature != LEAF)
    for feature, threshold in set(zip(table.feature[inner].tolist(), table.threshold[inner].tolist(), strict=True)):
        there = set(rows[:, feature].tolist())
        for direction in (-np.inf, np.inf):
            assert float(np.nextafter(np.float32(threshold), np.float32(direction))) in there
        assert threshold in there


def test_threshold_rows_are_as_many_as_asked_for_and_those_of_the_seed(exported: Exported) -> None:
    def drawn(count: int, groups: tuple[int, ...] | None = None) -> Float32s:
        return threshold_rows(exported.table, np.random.default_rng(6), count, groups=groups)

    assert len(drawn(50_000)) == 50_000
    assert len(drawn(0, (1,))) < len(drawn(0))
    assert np.array_equal(drawn(20_000), drawn(20_000))
    assert threshold_rows(export({}, GROUPS, HEADS, FEATURES).table, np.random.default_rng(6), 10).shape == (10, 5)


# ---- refusals


@pytest.mark.parametrize(
    ("parameters", "fault"),
    [
        ({"objective": "binary"}, "has a link .*binary"),
        ({"objective": "cross_entropy"}, "has a link .*cross_entropy"),
        ({"objective": "poisson"}, "has a link .*poisson"),
        ({"reg_sqrt": True}, "has a link .*sqrt"),
        ({"zero_as_missing": True}, "default direction"),
        ({"linear_tree": True}, "linear models"),
        ({"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}, "averages"),
        ({"categories": [2], "min_data_per_group": 1, "cat_smooth": 1}, "categorical splits"),
    ],
)
def test_what_cannot_be_exported_is_refused(parameters: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=f"TWAP/mean.*{fault}"):
        export({("TWAP", "mean"): train(rounds=3, **parameters)}, GROUPS, HEADS, FEATURES)


def test_several_classes_are_refused() -> None:
    x, _ = sample(0)
    data = lightgbm.Dataset(x, np.arange(len(x)) % 3, feature_name=COLUMNS)
    booster = lightgbm.train({**PARAMETERS, "objective": "multiclass", "num_class": 3}, data, 2)
    with pytest.raises(ValueError, match="several classes"):
        export({("TWAP", "mean"): booster}, GROUPS, HEADS, FEATURES)


def test_every_fault_of_every_booster_is_named_at_once() -> None:
    bad = {("TWAP", "mean"): train(rounds=2, objective="poisson"), ("ICE", "mean"): train(rounds=2)}
    with pytest.raises(ValueError, match=r"no such group and head: \('ICE', 'mean'\).*TWAP/mean has a link"):
        export(bad, GROUPS, HEADS, FEATURES, base={("POV", "mean"): 0.0})
    with pytest.raises(ValueError, match=r"base of \('POV', 'mean'\) is nan"):
        export({}, GROUPS, HEADS, FEATURES, base={("POV", "mean"): float("nan")})


@pytest.mark.parametrize("features", [FEATURES[::-1], FEATURES[:-1], (*FEATURES, "more")])
def test_other_features_are_refused(features: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="trained on other features"):
        export({("TWAP", "mean"): train(rounds=2)}, GROUPS, HEADS, features)


def test_a_score_before_its_link_is_given_where_it_is_asked_for() -> None:
    booster = train(objective="cross_entropy")
    found = export({("TWAP", "mean"): booster}, GROUPS, HEADS, FEATURES, raw_heads=("mean",))
    check_export(found, {("TWAP", "mean"): booster}, rows=3000)
    rows = sample(1, 20)[0]
    raw = CompiledScorer(found.table).score(0, rows)[:, 0]
    assert 1 / (1 + np.exp(-raw)) == pytest.approx(np.asarray(booster.predict(rows)), rel=1e-5)


def test_missing_values_in_training_do_not_matter_where_inputs_have_none() -> None:
    x, y = sample(2)
    x[::7, 1] = np.nan
    booster = lightgbm.train({**PARAMETERS, "objective": "regression"}, lightgbm.Dataset(x, y), 10)
    assert booster.trees_to_dataframe()["missing_type"].isin(["NaN"]).any()
    found = export({("TWAP", "mean"): booster}, GROUPS, HEADS, FEATURES)
    assert check_export(found, {("TWAP", "mean"): booster}, rows=3000).routing_identical


# ---- a proof that bites


def changed(exported: Exported, name: str, index: Any, value: float) -> Exported:
    stored = arrays_of(exported.table)
    stored[name] = stored[name].copy()
    stored[name][index] = value
    return replace(exported, table=table_from_arrays(stored))


def test_one_threshold_one_ulp_off_is_found(
    exported: Exported, boosters: dict[tuple[str, str], lightgbm.Booster]
) -> None:
    root = int(exported.table.root[-1])
    off = float(np.nextafter(exported.table.threshold[root], np.float32(np.inf)))
    wrong = changed(exported, "threshold", root, off)
    with pytest.raises(ExportMismatch, match=r"POV: .* are not ONNX Runtime's; first head 1"):
        check_export(wrong, boosters, rows=3000)
    # The same in the models too: then LightGBM's leaves tell.
    model = onnx.load_from_string(exported.models[2])
    (values,) = (found for found in model.graph.node[1].attribute if found.name == "nodes_values")
    trees = next(found for found in model.graph.node[1].attribute if found.name == "nodes_treeids").ints
    values.floats[list(trees).index(max(trees))] = off
    models = (*exported.models[:2], model.SerializeToString())
    with pytest.raises(ExportMismatch, match=r"POV/sd: .* leaves differ; first tree 11"):
        check_export(Exported(models, table_from_models(models)), boosters, rows=3000)


def test_leaf_values_that_differ_are_found(
    exported: Exported, boosters: dict[tuple[str, str], lightgbm.Booster]
) -> None:
    models = []
    for data in exported.models:
        model = onnx.load_from_string(data)
        (weights,) = (found for found in model.graph.node[0].attribute if found.name == "target_weights")
        for place, weight in enumerate(weights.floats):
            weights.floats[place] = weight * (1 + 1e-5)
        models.append(model.SerializeToString())
    with pytest.raises(ExportMismatch, match=r"TWAP/mean: scores differ by 1.*e-05 of the sum"):
        check_export(Exported(tuple(models), table_from_models(models)), boosters, rows=3000)


def test_a_table_of_other_boosters_is_found(
    exported: Exported, boosters: dict[tuple[str, str], lightgbm.Booster]
) -> None:
    with pytest.raises(ExportMismatch, match="TWAP/mean: the booster has 20 trees, the table 13"):
        check_export(exported, {**boosters, ("TWAP", "mean"): boosters["VWAP", "q90"]}, rows=3000)
    with pytest.raises(ExportMismatch, match="TWAP/mean"):
        check_export(exported, {**boosters, ("TWAP", "mean"): train(99, 13)}, rows=3000)
