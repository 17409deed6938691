"""What the figures should be (targets, which are told), and what they must be (a budget, which CI holds)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BUDGET = Path(__file__).resolve().parent.parent / "latency_budget.json"
# (bound, whether the figure must be at most it).
TARGETS: dict[str, tuple[float, bool]] = {
    "p50_ratio": (1.8, True), "p99_ratio": (2.5, True),
    "journaled_p50_ratio": (2.5, True), "journaled_p99_ratio": (3.0, True),
    "saturation_ratio": (0.35, False), "journaled_saturation_ratio": (0.30, False),
    "engine_p50_us": (250.0, True), "adapt_p50_ratio": (1.5, True),
    "overload_goodput": (0.9, False), "overload_p99_ratio": (3.0, True),
    "cold_start_s": (5.0, True), "rss_mb": (350.0, True),
}  # fmt: skip


def missed(found: Mapping[str, Any]) -> list[str]:
    """Targets that the figures do not meet, in words."""
    told = []
    for name, (bound, is_most) in TARGETS.items():
        value = found.get(name)
        if value is None or not (value <= bound if is_most else value >= bound):
            told.append(f"{name} is {value}, wanted {'at most' if is_most else 'at least'} {bound:g}")
    return told


def read_budget(path: Path = BUDGET) -> dict[str, dict[str, float]]:
    """{figure: {"most": bound} or {"least": bound}}."""
    found: dict[str, dict[str, float]] = json.loads(path.read_text())["gated"]
    return found


def over_budget(found: Mapping[str, Any], budget: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Gated ratios whose whole interval lies beyond their budget: a machine's noise alone does not do that. A figure
    that is missing is over it."""
    told = []
    for name, bound in budget.items():
        interval = found.get(f"{name}_interval")
        if interval is None:
            told.append(f"{name} was not measured")
        elif interval[0] > bound.get("most", float("inf")) or interval[1] < bound.get("least", float("-inf")):
            told.append(f"{name} is {found[name]} {interval}, budget {json.dumps(dict(bound))}")
    return told
