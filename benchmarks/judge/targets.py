"""What the figures are wanted to be. A missed one is listed, never adjusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.judge.figures import Found


@dataclass(frozen=True, slots=True)
class Target:
    """Bounds of one figure, both ends allowed unless `strict`; None is no bound."""

    key: str
    least: float | None = None
    most: float | None = None
    strict: bool = False

    def words(self) -> str:
        if self.least is not None and self.most is not None:
            return f"{self.least:g} to {self.most:g}"
        if self.least is not None:
            return f"{'>' if self.strict else '>='} {self.least:g}"
        return f"{'<' if self.strict else '<='} {self.most:g}"

    def missed(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return True
        edge = self.strict and value in (self.least, self.most)
        low = self.least is not None and value < self.least
        return edge or low or (self.most is not None and value > self.most)


TARGETS: tuple[Target, ...] = (
    Target("accuracy", least=0.93),
    Target("accuracy_lower", least=0.90),
    Target("accuracy_worst_objective", least=0.88),
    Target("accuracy_worst_condition", least=0.88),
    Target("prune_recall", least=0.98),
    Target("skill_over_random", least=0.85),
    Target("skill_over_best_fixed", least=0.70),
    Target("learned_over_structural_lower", least=0.0, strict=True),
    Target("accuracy_ood_seen", least=0.80),
    Target("confidence_change_ood_seen_upper", most=0.0, strict=True),
    Target("regret_ood_unseen", most=0.10),
    Target("confidence_ece", most=0.03),
    Target("confidence_brier_skill", least=0.0, strict=True),
    Target("confidence_auc", least=0.70),
    Target("completion_ece", most=0.03),
    Target("interval_coverage", least=0.78, most=0.82),
    Target("interval_coverage_least", least=0.75),
    Target("interval_coverage_most", most=0.85),
    Target("interval_draws", least=20_000),
    Target("impact_exponent", least=0.40, most=0.65),
    Target("round_trip_profit_upper", most=0.0),
    Target("simulator_steps_per_second", least=5e6),
    Target("onnx_parity_rows", least=1_000_000),
    Target("compiled_parity", least=1.0),
    Target("compiled_parity_orders", least=60_000),
    Target("training_minutes", most=60.0),
    Target("minutes", most=120.0),
)


def misses(found: Mapping[str, Any]) -> list[str]:
    """"missed: ..." for every target that is not met, with what was wanted."""
    return [
        f"missed: {target.key} is {found.get(target.key)}, wanted {target.words()}"
        for target in TARGETS if target.missed(found.get(target.key))
    ]


def as_table(found: Found) -> list[tuple[str, str, str, bool]]:
    """(figure, value with its interval, wanted, met) of every target."""
    lines = []
    for target in TARGETS:
        value, interval = found.get(target.key), found.get(f"{target.key}_interval")
        words = "-" if value is None else f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"
        if interval:
            words += f"  [{interval[0]}, {interval[1]}]"
        lines.append((target.key, words, target.words(), not target.missed(value)))
    return lines
