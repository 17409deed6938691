"""SIGKILLs of worker, keeper and supervisor under load: what was acknowledged is there, once and in order."""

from __future__ import annotations

from benchmarks.durability.common import SEED, Figures, Section, at_least, say, zero
from tests.fault.killing.run import KillPlan, KillReport, run_kills

# (workers, kills). With one worker the keeper lives in it, and dies with it.
FULL = ((2, 150), (1, 60))
SHORT = ((2, 9), (1, 3))


def run(short: bool) -> Figures:
    reports = []
    for workers, kills in SHORT if short else FULL:
        say(f"kills: {kills} with {workers} worker{'s' if workers > 1 else ''}")
        reports.append(run_kills(KillPlan(kills, workers, SEED + workers, kills_a_round=5 if short else 30)))
    return figures(reports)


def figures(reports: list[KillReport]) -> Figures:
    total = KillReport()
    for report in reports:
        total.kills += report.kills
        total.findings.add(report.findings)
        total.outcomes.add(report.outcomes)
        total.orders += report.orders
        total.acknowledged += report.acknowledged
        total.took_s += report.took_s
        for name, those in report.back_s.items():
            total.back_s.setdefault(name, []).extend(those)
    return total.summary() | {"seeds": [SEED + workers for workers, _ in FULL]}


def section(short: bool) -> Section:
    targets = at_least("kill_runs", 12 if short else 200) | zero(
        "lost_journaled", "lost_committed", "duplicates", "reordered", "event_gaps", "sequence_gaps", "changed",
        "claims_broken", "status_missing", "class_not_met",
    )  # fmt: skip
    return Section("kills", run, targets)
