"""The arithmetic of the latency benchmark: quantiles of histograms, intervals over rounds, targets and budget."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.latency import growth
from benchmarks.latency.blocks import mean_ratio, measured, quantile_ratio, rate_ratio
from benchmarks.latency.generator import orders, read_templates, template_file
from benchmarks.latency.history import record
from benchmarks.latency.targets import TARGETS, missed, over_budget, read_budget


def block(part: str, latencies_us: list[int], ok_per_s: float = 100.0, **codes: int) -> dict[str, Any]:
    values, counts = np.unique(np.array(latencies_us) * 1_000, return_counts=True)
    return {
        "part": part, "sent": len(latencies_us), "not_sent": 1, "ok_per_s": ok_per_s, "latest_send_us": 5.0,
        "codes": codes or {"OK": len(latencies_us)},
        "histogram_ns": [[int(v), int(c)] for v, c in zip(values, counts, strict=True)],
    }  # fmt: skip


def test_blocks_of_a_part_are_joined() -> None:
    report = {"blocks": [block("a@1", [100, 200], OK=2), block("b*2", [50]), block("a@1", [300], OK=1, UNAVAILABLE=4)]}
    found = measured(report)
    assert set(found) == {"a@1", "b*2"}
    joined = found["a@1"]
    assert (joined.rounds, joined.sent, joined.not_sent) == (2, 3, 2)
    assert joined.codes == {"OK": 3, "UNAVAILABLE": 4}
    assert joined.quantile_ms(0.5) == pytest.approx(0.2)
    assert joined.quantile_ms(0.99) == pytest.approx(0.3)


def test_a_quantile_is_numpy_s_to_a_step() -> None:
    random = np.random.default_rng(7)
    latencies = random.integers(50, 5_000, 2_000)
    found = measured({"blocks": [block("a@1", list(part)) for part in np.split(latencies, 4)]})["a@1"]
    for share in (0.1, 0.5, 0.9, 0.99):
        expected = np.quantile(latencies, share, method="inverted_cdf") / 1e3
        assert found.quantile_ms(share) == pytest.approx(expected)


def test_a_ratio_has_an_interval_that_knows_the_rounds_noise() -> None:
    """A machine that is slow in some rounds slows both parts: their ratio stays, and so does its interval."""
    random = np.random.default_rng(3)
    slow = np.where(random.random(40) < 0.3, 5, 1)
    blocks = []
    for factor in slow:
        for name, scale in (("echo@1", 100), ("buffered@1", 300)):
            blocks.append(block(name, list((random.normal(1.0, 0.05, 50) * scale * factor).astype(int))))
    found = measured({"blocks": blocks})
    ratio = quantile_ratio(found["buffered@1"], found["echo@1"], 0.5)
    assert ratio.value == pytest.approx(3.0, rel=0.05)
    assert ratio.lower <= ratio.value <= ratio.upper
    assert ratio.upper / ratio.lower < 1.3
    assert ratio.named("x")["x_interval"] == [round(ratio.lower, 3), round(ratio.upper, 3)]


def test_a_ratio_of_rates() -> None:
    blocks = [block("a*1", [1], ok_per_s=rate) for rate in (50, 60)] + [block("b*1", [1], ok_per_s=110)] * 2
    found = measured({"blocks": blocks})
    assert rate_ratio(found["a*1"], found["b*1"]).value == pytest.approx(0.5)
    means = mean_ratio(np.array([2.0, 4.0]), np.array([1.0, 1.0]))
    assert (means.lower, means.value, means.upper) == (2.0, 3.0, 4.0)


def test_calls_that_never_ended_well_have_no_quantile() -> None:
    found = measured({"blocks": [block("a@1", [], UNAVAILABLE=3), block("b@1", [100])]})
    assert np.isnan(found["a@1"].quantile_ms(0.5))


def test_targets_are_missed_by_value_and_by_absence() -> None:
    met = {name: bound for name, (bound, _) in TARGETS.items()}
    assert missed(met) == []
    told = missed(met | {"p50_ratio": 1.81, "overload_goodput": 0.89, "rss_mb": None})
    assert [line.split()[0] for line in told] == ["p50_ratio", "overload_goodput", "rss_mb"]
    assert len(missed({"p50_ratio": float("nan")})) == len(TARGETS)


def test_only_a_whole_interval_beyond_the_budget_fails() -> None:
    budget = {"p50_ratio": {"most": 2.0}, "saturation_ratio": {"least": 0.3}}
    sound = {"p50_ratio": 2.5, "p50_ratio_interval": [1.9, 3.0],
             "saturation_ratio": 0.2, "saturation_ratio_interval": [0.1, 0.31]}  # fmt: skip
    assert over_budget(sound, budget) == []
    slow = sound | {"p50_ratio_interval": [2.1, 3.0], "saturation_ratio_interval": [0.1, 0.29]}
    assert len(over_budget(slow, budget)) == 2
    assert over_budget({}, budget) == ["p50_ratio was not measured", "saturation_ratio was not measured"]


def test_the_budget_names_figures_that_are_measured() -> None:
    budget = read_budget()
    assert budget
    for name, bound in budget.items():
        assert set(bound) <= {"most", "least"}
        assert name in {"cpu_ratio", "alone_p50_ratio", *TARGETS}


def test_templates_are_read_as_they_were_written(tmp_path: Path) -> None:
    with template_file(tmp_path) as path:
        found = read_templates(path)
    assert found[:3] == [order.SerializeToString() for order in orders(3)]
    assert len(found) == 512
    assert not path.exists()


def test_the_history_keeps_ratios_and_their_intervals(tmp_path: Path) -> None:
    found = {"p50_ratio": 2.0, "p50_ratio_interval": [1.9, 2.1], "p50_ms": 1.0, "generator": "x", "short": True}
    for _ in range(2):
        record(found, tmp_path / "history" / "latency.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "history" / "latency.jsonl").read_text().splitlines()]
    assert len(lines) == 2
    assert lines[0]["p50_ratio_interval"] == [1.9, 2.1]
    assert "p50_ms" not in lines[0]


def test_growth_is_written_between_the_marks_and_drawn(tmp_path: Path) -> None:
    engine = [{"size": 10, "p50_us": 935.0, "p90_us": 1_192.0}, {"size": 1_000, "p50_us": 2_270.0, "p90_us": 2_487.0}]
    service = [{"size": size, "p50_ms": 4.5, "p99_ms": 28.0, "p50_ratio": 2.25, "p50_ratio_interval": [1.1, 3.2]}
               for size in (0, 10_000)]  # fmt: skip
    (tmp_path / "performance.md").write_text("before\n<!-- growth -->\nold\n<!-- /growth -->\nafter\n")
    growth.write({"candidates": engine, "venues": engine, "open_orders": [], "rows": service}, tmp_path)
    page = (tmp_path / "performance.md").read_text()
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert "old" not in page
    assert "| 1,000 candidates | 2270 us | 2487 us |" in page
    assert "| 10,000 rows in PostgreSQL, `Recommend` JOURNALED | 4.50 ms | 28.00 ms | 2.25 [1.10, 3.20] |" in page
    drawn = ET.parse(tmp_path / "performance-growth.svg").getroot()
    assert len(drawn.findall("{http://www.w3.org/2000/svg}g")) == 3
    assert drawn.get("aria-label")


def test_worlds_of_other_sizes_are_those_sizes() -> None:
    for count in (10, 288, 1_000):
        assert len(growth.with_candidates(count).catalogue.candidates) == count
    for count in (2, 50):
        changed = growth.with_venues(count)
        venues = next(view for name, view in changed.views.items() if name == "AAPL").instrument.venues
        assert len(venues) == len({venue.mic for venue in venues}) == count
        assert sum(venue.volume_share_fraction for venue in venues) <= 1.0 + 1e-9
