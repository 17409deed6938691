"""The catalogue as FIXatdl 1.1: what an order management system needs to draw an order ticket of each strategy.

The strategy goes in FIX 847, its parameters in the StrategyParametersGrp (957-960), under the names and types that
answers carry; docs/fix.md says what is written and what is not. FIXatdl 1.1 with errata, FIX Trading Community 2010.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from xml.etree.ElementTree import Element, SubElement, indent, register_namespace, tostring

from engine.catalogue import CATALOGUE, AlgorithmSpec, ParameterRange

CORE: Final = "http://www.fixprotocol.org/FIXatdl-1-1/Core"
LAYOUT: Final = "http://www.fixprotocol.org/FIXatdl-1-1/Layout"
VALIDATION: Final = "http://www.fixprotocol.org/FIXatdl-1-1/Validation"
INSTANCE: Final = "http://www.w3.org/2001/XMLSchema-instance"
TARGET_STRATEGY_TAG: Final = 847
# FIX 959 to FIXatdl's types.
TYPES: Final[Mapping[int, str]] = {6: "Float_t", 11: "Percentage_t", 13: "Boolean_t"}
FLOAT, PERCENTAGE, BOOLEAN = 6, 11, 13
# Parameters of every answer beside an algorithm's own, in their order.
PARTICIPATION, DARK, VOLATILITY = "participation_rate", "dark_pool_ratio", "volatility_adjustment"


def atdl(specs: Iterable[AlgorithmSpec] = CATALOGUE, version: str = "1") -> str:
    """The document. `version` is the strategies' own, for whoever compares two files."""
    for prefix, uri in (("", CORE), ("lay", LAYOUT), ("val", VALIDATION), ("xsi", INSTANCE)):
        register_namespace(prefix, uri)
    root = Element(
        _core("Strategies"), {
            f"{{{INSTANCE}}}schemaLocation": f"{CORE} fixatdl-core-1-1.xsd",
            "strategyIdentifierTag": str(TARGET_STRATEGY_TAG),
            "tag957Support": "true",
        },
    )  # fmt: skip
    for spec in specs:
        _add_strategy(root, spec, version)
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _add_strategy(root: Element, spec: AlgorithmSpec, version: str) -> None:
    strategy = SubElement(root, _core("Strategy"), {
        "name": spec.name, "uiRep": spec.strategy_name, "wireValue": str(spec.fix_target_strategy), "version": version,
        "fixMsgType": "D",
    })  # fmt: skip
    _describe(strategy, spec.description)
    for name, parameter in spec.ranges.items():
        _add_own(strategy, name, parameter, is_listed=name == spec.shape_parameter)
    if PARTICIPATION not in spec.ranges:
        made = _parameter(strategy, PARTICIPATION, PERCENTAGE, {"use": "optional", "minValue": "0", "maxValue": "1"})
        _describe(made, "our volume over market volume that the plan comes to (fraction)")
    if DARK not in spec.ranges:
        made = _parameter(strategy, DARK, PERCENTAGE, {"use": "optional", "constValue": "0"})
        _describe(made, "share of the order meant for dark venues: none here (fraction)")
    made = _parameter(strategy, VOLATILITY, BOOLEAN, {
        "use": "optional", "constValue": "Y" if spec.volatility_adjustment else "N",
    })  # fmt: skip
    _describe(made, "whether the pace follows volatility")
    _add_layout(strategy, spec)
    for name, parameter in spec.ranges.items():
        if name != spec.shape_parameter:
            _add_edit(strategy, name, parameter)


def _add_own(strategy: Element, name: str, parameter: ParameterRange, is_listed: bool) -> None:
    """A shape's parameter takes the values that the surfaces know and no other; the rest take a range."""
    bounds = {} if is_listed else {"minValue": least_of(parameter), "maxValue": number(max(parameter.values))}
    made = _parameter(strategy, name, parameter.fix_type, {"use": "required", **bounds})
    _describe(made, f"{parameter.meaning} ({parameter.unit})")
    for value in parameter.values if is_listed else ():
        SubElement(made, _core("EnumPair"), {"enumID": enum_id(value), "wireValue": number(value)})


def _add_layout(strategy: Element, spec: AlgorithmSpec) -> None:
    layout = SubElement(strategy, f"{{{LAYOUT}}}StrategyLayout")
    panel = SubElement(layout, f"{{{LAYOUT}}}StrategyPanel", {
        "title": spec.strategy_name, "orientation": "VERTICAL", "collapsible": "false",
    })  # fmt: skip
    for name, parameter in spec.ranges.items():
        middle = parameter.values[len(parameter.values) // 2]
        if name == spec.shape_parameter:
            control = _control(panel, name, "DropDownList_t", label(name, parameter), parameter.meaning, {
                "initValue": enum_id(middle),
            })  # fmt: skip
            for value in parameter.values:
                shown = f"{value:.4g}" if parameter.fix_type != PERCENTAGE else f"{value * 100:.4g} %"
                SubElement(control, f"{{{LAYOUT}}}ListItem", {"enumID": enum_id(value), "uiRep": shown})
        else:
            step = "0.005" if parameter.fix_type == PERCENTAGE else "1"
            numbers = {"initValue": number(middle), "increment": step}
            _control(panel, name, "SingleSpinner_t", label(name, parameter), parameter.meaning, numbers)
    if PARTICIPATION not in spec.ranges:
        meaning = "our volume over market volume that the plan comes to"
        shown = "Participation rate (fraction)"
        _control(panel, PARTICIPATION, "SingleSpinner_t", shown, meaning, {"increment": "0.005"})


def _add_edit(strategy: Element, name: str, parameter: ParameterRange) -> None:
    least, most = least_of(parameter), number(max(parameter.values))
    words, operator = (f"above {least}", "GT") if least == "0" else (f"at least {least}", "GE")
    message = f"{label(name, parameter)} must be {words} and at most {most}."
    rule = SubElement(strategy, f"{{{VALIDATION}}}StrategyEdit", {"errorMessage": message})
    both = SubElement(rule, f"{{{VALIDATION}}}Edit", {"logicOperator": "AND"})
    for sign, value in ((operator, least), ("LE", most)):
        SubElement(both, f"{{{VALIDATION}}}Edit", {"field": name, "operator": sign, "value": value})


def _parameter(strategy: Element, name: str, fix_type: int, attributes: Mapping[str, str]) -> Element:
    kind = {f"{{{INSTANCE}}}type": TYPES[fix_type]}
    return SubElement(strategy, _core("Parameter"), {"name": name, **kind, **attributes})


def _control(
    panel: Element, name: str, kind: str, shown: str, tooltip: str, attributes: Mapping[str, str]
) -> Element:
    return SubElement(panel, f"{{{LAYOUT}}}Control", {
        "ID": f"c_{name}", f"{{{INSTANCE}}}type": f"lay:{kind}", "label": shown, "parameterRef": name,
        "tooltip": tooltip, **attributes,
    })  # fmt: skip


def _describe(parent: Element, words: str) -> None:
    SubElement(parent, _core("Description")).text = words


def _core(name: str) -> str:
    return f"{{{CORE}}}{name}"


def label(name: str, parameter: ParameterRange) -> str:
    """What a ticket shows: `duration_minutes` in minutes is "Duration (minutes)"."""
    words = name.removesuffix(f"_{parameter.unit}").replace("_", " ").capitalize()
    return f"{words} ({parameter.unit})"


def least_of(parameter: ParameterRange) -> str:
    """The catalogue's least, but for times: what is left of a session cuts those that are recommended."""
    return "0" if parameter.unit == "minutes" else number(min(parameter.values))


def number(value: float) -> str:
    """As FIX 960 of an answer has it."""
    return format(value, ".10g")


def enum_id(value: float) -> str:
    """A name for a value, in the letters that FIXatdl allows."""
    return "v" + number(value).replace(".", "_").replace("-", "m")
