"""The catalogue as FIXatdl: valid, and the same names, types and values as 847 and 957-960 of answers."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from engine.assemble import fix_parameters
from engine.catalogue import CATALOGUE, candidate_set
from service.atdl import TARGET_STRATEGY_TAG, TYPES, atdl
from tests.helpers.atdl_check import CORE, LAYOUT, VALIDATION, XSI, faults_of

DOCUMENT = atdl()
ROOT = ElementTree.fromstring(DOCUMENT)
STRATEGIES = {strategy.get("name", ""): strategy for strategy in ROOT.findall(CORE + "Strategy")}
# FIX 959 by FIXatdl's type.
FIX_TYPES = {name: code for code, name in TYPES.items()}


def parameters_of(name: str) -> dict[str, ElementTree.Element]:
    return {one.get("name", ""): one for one in STRATEGIES[name].findall(CORE + "Parameter")}


def accepts(parameter: ElementTree.Element, value: str) -> bool:
    """Whether a ticket that was drawn from the document could send this value."""
    constant, pairs = parameter.get("constValue"), parameter.findall(CORE + "EnumPair")
    if constant is not None:
        return value == constant
    if pairs:
        return value in [pair.get("wireValue") for pair in pairs]
    return float(parameter.get("minValue", "-inf")) <= float(value) <= float(parameter.get("maxValue", "inf"))


def test_the_document_is_valid() -> None:
    assert faults_of(DOCUMENT) == []


def test_every_algorithm_is_there_with_its_target_strategy() -> None:
    assert ROOT.get("strategyIdentifierTag") == str(TARGET_STRATEGY_TAG)
    assert {name: one.get("wireValue") for name, one in STRATEGIES.items()} == {
        spec.name: str(spec.fix_target_strategy) for spec in CATALOGUE
    }
    assert {one.get("uiRep") for one in STRATEGIES.values()} == {spec.strategy_name for spec in CATALOGUE}


def test_answers_carry_the_same_parameters_in_the_same_order_and_type() -> None:
    """Over every candidate there is, with the values that parameters_of adds to an answer."""
    for candidate in candidate_set().candidates:
        known = parameters_of(candidate.spec.name)
        values: dict[str, Any] = dict(candidate.parameters)
        values.setdefault("participation_rate", 0.123456)
        values["dark_pool_ratio"] = candidate.dark_pool_ratio
        values["volatility_adjustment"] = candidate.spec.volatility_adjustment
        sent = fix_parameters(candidate, values)
        assert [one.name for one in sent] == list(known)
        assert [one.type_code for one in sent] == [FIX_TYPES[one.get(XSI + "type", "")] for one in known.values()]
        assert all(accepts(known[one.name], one.value) for one in sent), sent


def test_ranges_and_lists_are_the_catalogue_s() -> None:
    for spec in CATALOGUE:
        known = parameters_of(spec.name)
        for name, parameter in spec.ranges.items():
            pairs = [float(pair.get("wireValue", "")) for pair in known[name].findall(CORE + "EnumPair")]
            if name == spec.shape_parameter:
                assert pairs == list(parameter.values)
            else:
                assert (pairs, float(known[name].get("maxValue", "nan"))) == ([], max(parameter.values))
            assert known[name].get("use") == "required"
        edited = {edit.get("field") for edit in STRATEGIES[spec.name].iter(VALIDATION + "Edit")} - {None}
        assert edited == set(spec.ranges) - {spec.shape_parameter}


def test_everything_that_is_entered_has_a_control() -> None:
    for name in STRATEGIES:
        shown = {control.get("parameterRef") for control in STRATEGIES[name].iter(LAYOUT + "Control")}
        entered = {key for key, one in parameters_of(name).items() if one.get("constValue") is None}
        assert shown == entered


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('wireValue="1001"', "", "lacks wireValue"),
        ('wireValue="1001"', 'wireValue="1"', "'1' twice"),
        ('name="TWAP"', 'name="T-WAP"', "name='T-WAP'"),
        ('name="TWAP"', 'name="VWAP"', "'VWAP' twice"),
        ('fixMsgType="D"', 'fixMsgType="D" colour="red"', "attribute colour"),
        ('xsi:type="Float_t"', 'xsi:type="Flat_t"', "no such type"),
        ('type="lay:SingleSpinner_t"', 'type="lay:Knob_t"', "no such type"),
        ('maxValue="390"', 'maxValue="many"', "maxValue='many'"),
        ('maxValue="390"', 'maxValue="-1"', "takes nothing"),
        ('parameterRef="duration_minutes"', 'parameterRef="minutes"', "of no parameter"),
        ('constValue="N"', 'constValue="false"', "constValue='false'"),
        ('field="duration_minutes" operator="GT"', 'field="minutes" operator="GT"', "about minutes"),
        ('operator="GT" value="0"', 'operator="ABOVE" value="0"', "operator='ABOVE'"),
        ('operator="GT" value="0"', 'operator="GT"', "lacks value"),
        ('logicOperator="AND"', 'logicOperator="BOTH"', "logicOperator='BOTH'"),
        ('<lay:ListItem enumID="v1" uiRep="1" />', "", "lists"),
        ('initValue="v2"', 'initValue="v9"', "does not list"),
        ('tag957Support="true"', 'tag957Support="false"', "no way to be sent"),
        ('strategyIdentifierTag="847"', 'strategyIdentifierTag="0"', "strategyIdentifierTag='0'"),
        ("<Description>equal quantities in equal time</Description>", "words", "has text"),
        ("<lay:StrategyLayout>", "<lay:Layout>", "not XML"),
        ("FIXatdl-1-1/Core\"", "FIXatdl-1-2/Core\"", "the root is"),
    ],
)  # fmt: skip
def test_the_check_finds_what_is_wrong(old: str, new: str, fault: str) -> None:
    assert old in DOCUMENT
    found = faults_of(DOCUMENT.replace(old, new, 1))
    assert any(fault in one for one in found), found


def test_the_check_knows_the_order_of_elements() -> None:
    root = ElementTree.fromstring(DOCUMENT)
    strategy = root.find(CORE + "Strategy")
    assert strategy is not None
    layout = strategy.find(LAYOUT + "StrategyLayout")
    assert layout is not None
    strategy.remove(layout)
    strategy.insert(0, layout)
    assert any("where it may not be" in fault for fault in faults_of(ElementTree.tostring(root, encoding="unicode")))
