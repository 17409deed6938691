"""A wrong clock is told; a slow answer is none."""

from __future__ import annotations

import logging

import pytest

from store.clock_watch import ClockWatch

NOW_NS = 1_750_500_000_000_000_000
S = 1_000_000_000


@pytest.mark.parametrize(
    ("took_s", "apart_s", "ahead_s"),
    [(0.002, 0.0, 0.0), (0.002, 600.0, 599.999), (0.002, -600.0, -599.999), (3.0, 1.4, 0.0), (3.0, -2.0, -0.5)],
)
def test_as_much_as_is_sure_is_told(took_s: float, apart_s: float, ahead_s: float) -> None:
    watch = ClockWatch()
    half_ns = int(took_s / 2 * S)
    watch.compared(NOW_NS - half_ns, (NOW_NS - int(apart_s * S)) // 1_000, NOW_NS + half_ns)
    assert watch.ahead_s == pytest.approx(ahead_s, abs=1e-9)


def test_it_is_logged_once_and_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    watch = ClockWatch()
    with caplog.at_level(logging.INFO, "store.clock_watch"):
        for apart_s in (0.5, 90.0, 91.0, -90.0, 0.0, 0.1):
            watch.compared(NOW_NS, (NOW_NS - int(apart_s * S)) // 1_000, NOW_NS)
    assert [record.getMessage() for record in caplog.records] == [
        "this host's clock is 90.0 s ahead of PostgreSQL's: one of them is wrong",
        "this host's clock is PostgreSQL's again",
    ]
