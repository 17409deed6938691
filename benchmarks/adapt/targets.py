"""What must be shown. A figure that misses is told and fails the run; it is never adjusted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from benchmarks.adapt.sections import Figures
from benchmarks.judge.targets import Target

TARGETS: Final[dict[str, tuple[Target, ...]]] = {
    "gain": (
        Target("adaptive_gain", least=0.15),
        Target("captured_share", least=0.6),
        Target("worst_condition_lower", least=-0.005),
        Target("needless_switches", most=0.05),
    ),
    "learning": (Target("regret_recovered", least=0.4), Target("false_switch_rate", most=0.05)),
    "load": (Target("updates_lost", most=0.0), Target("resumed_same_state", least=1.0)),
}  # fmt: skip
# What a short run's few orders cannot tell either way.
NOT_IN_SHORT: Final = frozenset(
    {"adaptive_gain", "captured_share", "worst_condition_lower", "regret_recovered"}
)


def missed_of(section: str, found: Figures, short: bool) -> list[str]:
    """The targets of a section that its figures miss, in words."""
    return [
        f"{section}: {target.key} is {found.get(target.key)}, wanted {target.words()}"
        for target in _asked(TARGETS.get(section, ()), short)
        if target.missed(found.get(target.key))
    ]


def _asked(targets: Iterable[Target], short: bool) -> list[Target]:
    return [target for target in targets if not (short and target.key in NOT_IN_SHORT)]
