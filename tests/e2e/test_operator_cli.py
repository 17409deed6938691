"""Halts and limits from a terminal, against a service that runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.helpers.live_service import Gateway, LiveService, live_service, new_order_id, order
from tests.helpers.running_host import environment


@pytest.fixture(scope="module")
def own() -> Iterator[LiveService]:
    with live_service(ESS_MODELS="off") as service:
        yield service


def ess(service: LiveService, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service.cli", *arguments], env=environment(service.data_dir, COLUMNS="200"),
        input=given, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def recommended(service: LiveService) -> str:
    with Gateway(service.target) as gateway:
        return str(gateway.recommend(order(order_id=new_order_id("operator"))).code)


def test_a_halt_is_made_seen_and_ended(own: LiveService) -> None:
    instrument = order().instrument_id
    halted = ess(own, "halt", "INSTRUMENT", instrument, "--reason", "news", "--json")
    assert halted.returncode == 0, halted.stderr
    told = json.loads(halted.stdout)
    assert [host["confirmed"] for host in told["hosts"]] == [True]
    assert recommended(own) == "FAILED_PRECONDITION"
    shown = ess(own, "controls")
    assert told["halt_id"] in shown.stdout
    assert instrument in shown.stdout
    resumed = ess(own, "resume", told["halt_id"], "--reason", "old news")
    assert (resumed.returncode, resumed.stdout.splitlines()[0]) == (0, f"resumed: {told['halt_id']}")
    assert recommended(own) == "OK"


def test_limits_are_set_from_a_file_and_taken_away(own: LiveService) -> None:
    limits = json.dumps([{"scope": "FIRM", "max_quantity": 1}])
    assert ess(own, "limits", "-", "--reason", "a test", given=limits).returncode == 0
    assert recommended(own) == "FAILED_PRECONDITION"
    assert [one["max_quantity"] for one in json.loads(ess(own, "controls", "--json").stdout)["limits"]] == [1]
    none = ess(own, "limits", "-", "--reason", "over", given=json.dumps([{"scope": "FIRM"}]))
    assert none.returncode == 0, none.stderr
    assert recommended(own) == "OK"


@pytest.mark.parametrize(
    ("words", "given", "said"),
    [
        (("halt", "INSTRUMENT", "NO_SUCH", "--reason", "x"), "", "unknown instrument"),
        (("halt", "FIRM", "--reason", ""), "", "reason"),
        (("resume", "no-uuid", "--reason", "x"), "", "halt_id"),
        (("limits", "-", "--reason", "x"), "{", "JSON"),
        (("limits", "-", "--reason", "x"), "[" * 100_000, "nested too deeply"),
        (("limits", "-", "--reason", "x"), "[" * 900 + "]" * 900, "limits[0]"),
        (("limits", "-", "--reason", "x"), json.dumps([{"scope": "FIRM", "max_weight": 3}]), "max_weight"),
    ],
)
def test_what_is_wrong_is_said(own: LiveService, words: tuple[str, ...], given: str, said: str) -> None:
    done = ess(own, *words, given=given)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert recommended(own) == "OK"
