"""A few seeded SIGKILLs of the real service under load: what was acknowledged is there, as it was told, once."""

from __future__ import annotations

import pytest

from tests.fault.killing.checks import Findings, check_claims
from tests.fault.killing.load import SentOrder
from tests.fault.killing.run import KillPlan, run_kills


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("workers", "kills", "share"), [(2, 6, 0.2), (1, 3, 0.4)])
def test_nothing_acknowledged_is_lost(workers: int, kills: int, share: float) -> None:
    plan = KillPlan(
        kills, workers, seed=11 * workers, clients=3, supervisor_share=share, kills_a_round=3,
        least_acknowledged=10 if workers == 1 else 0,
    )
    report = run_kills(plan)
    assert report.findings.is_clean, report.findings.examples
    assert report.kill_runs == kills
    # Otherwise it proves nothing.
    assert report.acknowledged >= 10 * kills, report.summary()


def test_two_answers_to_an_order_are_a_finding() -> None:
    order = SentOrder("o", "JOURNALED", b"request", b"rival", {b"": b"request", b"\n\x01x": b"request"})
    assert check_claims([order]).claims_broken == 1
    total = Findings()
    total.add(check_claims([order]))
    assert not total.is_clean
