"""Answers of a running service against the order tickets that `ess atdl` describes."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import iso10383
import pytest

from tests.helpers.atdl_check import CORE, XSI, faults_of
from tests.helpers.command_line import ess
from tests.helpers.live_service import Gateway, LiveService, order
from tests.unit.test_atdl import FIX_TYPES, accepts

ISO_MICS = {str(entry.value.mic) for entry in iso10383.MIC}
ORDERS = [
    {"quantity": quantity, "objective": objective, "urgency": urgency}
    for quantity in (500, 40_000, 900_000)
    for objective, urgency in (
        ("MINIMIZE_COST", "LOW"), ("MINIMIZE_RISK", "HIGH"), ("MINIMIZE_TIME", "URGENT"),
        ("BALANCED_EXECUTION", "NORMAL"), ("MAXIMIZE_ALPHA_CAPTURE", "NORMAL"),
    )
]  # fmt: skip


@pytest.fixture(scope="module")
def tickets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ElementTree.Element]:
    """By wireValue, from the command."""
    path: Path = tmp_path_factory.mktemp("atdl") / "catalogue.xml"
    done = ess("atdl", "--out", str(path), "--version", "7")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    document = path.read_text()
    assert faults_of(document) == []
    assert ess("atdl", "--version", "7").stdout == document
    strategies = ElementTree.fromstring(document).findall(CORE + "Strategy")
    assert {strategy.get("version") for strategy in strategies} == {"7"}
    return {strategy.get("wireValue", ""): strategy for strategy in strategies}


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    done = ess("atdl", "--out", str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot be written" in done.stderr


def test_answers_fit_their_tickets(live: LiveService, tickets: dict[str, ElementTree.Element]) -> None:
    seen = set()
    with Gateway(live.target) as gateway:
        for changes in ORDERS:
            answer = gateway.recommend(order(**changes)).response
            strategy = tickets[str(answer.fix.target_strategy)]
            seen.add(strategy.get("name"))
            assert strategy.get("name") == answer.recommended_strategy.algorithm
            known = {one.get("name", ""): one for one in strategy.findall(CORE + "Parameter")}
            sent = answer.fix.strategy_parameters
            assert [one.strategy_parameter_name for one in sent] == list(known)
            for one in sent:
                parameter = known[one.strategy_parameter_name]
                assert FIX_TYPES[parameter.get(XSI + "type", "")] == one.strategy_parameter_type
                assert accepts(parameter, one.strategy_parameter_value), (strategy.get("name"), one)
            shares = answer.recommended_strategy.venue_allocation
            assert set(answer.fix.ex_destinations) == set(shares) <= ISO_MICS
            by_share = [shares[mic] for mic in answer.fix.ex_destinations]
            assert by_share == sorted(by_share, reverse=True)
    assert len(seen) >= 3
