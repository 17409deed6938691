"""Halts and limits from a terminal, against a service that runs."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.helpers.command_line import ess_at
from tests.helpers.live_service import Gateway, LiveService, live_service, new_order_id, order


@pytest.fixture(scope="module")
def own() -> Iterator[LiveService]:
    with live_service(ESS_MODELS="off") as service:
        yield service


def recommended(service: LiveService) -> str:
    with Gateway(service.target) as gateway:
        return str(gateway.recommend(order(order_id=new_order_id("operator"))).code)


def test_a_halt_is_made_seen_and_ended(own: LiveService) -> None:
    instrument = order().instrument_id
    halted = ess_at(own, "halt", "INSTRUMENT", instrument, "--reason", "news", "--json")
    assert halted.returncode == 0, halted.stderr
    told = json.loads(halted.stdout)
    assert [host["confirmed"] for host in told["hosts"]] == [True]
    assert recommended(own) == "FAILED_PRECONDITION"
    shown = ess_at(own, "controls")
    assert told["halt_id"] in shown.stdout
    assert instrument in shown.stdout
    resumed = ess_at(own, "resume", told["halt_id"], "--reason", "old news")
    assert (resumed.returncode, resumed.stdout.splitlines()[0]) == (0, f"resumed: {told['halt_id']}")
    assert recommended(own) == "OK"


def test_limits_are_set_from_a_file_and_taken_away(own: LiveService) -> None:
    limits = json.dumps([{"scope": "FIRM", "max_quantity": 1}])
    assert ess_at(own, "limits", "-", "--reason", "a test", stdin=limits).returncode == 0
    assert recommended(own) == "FAILED_PRECONDITION"
    assert [one["max_quantity"] for one in json.loads(ess_at(own, "controls", "--json").stdout)["limits"]] == [1]
    none = ess_at(own, "limits", "-", "--reason", "over", stdin=json.dumps([{"scope": "FIRM"}]))
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
    done = ess_at(own, *words, stdin=given)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert recommended(own) == "OK"
