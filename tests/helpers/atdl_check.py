"""A strict check of FIXatdl 1.1 documents, as far as this service writes them.

FIX Trading Community's own schemas (fixatdl-core-1-1.xsd and its companions) are theirs and not part of this
repository. What is checked here was written from the text of the specification: elements, their order, their
attributes, what each attribute may hold, and what refers to what. An element or attribute that is not in the tables
is a fault.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from xml.etree import ElementTree

CORE, LAYOUT, VALIDATION = (
    f"{{http://www.fixprotocol.org/FIXatdl-1-1/{name}}}" for name in ("Core", "Layout", "Validation")
)
XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
Element = ElementTree.Element
Holds = Callable[[str], bool]


def matches(pattern: str) -> Holds:
    return lambda text: re.fullmatch(pattern, text) is not None


def anything(_text: str) -> bool:
    return True


ANY: Holds = anything
NAME = matches(r"[A-Za-z][A-Za-z0-9_]{0,255}")
DECIMAL = matches(r"[+-]?(\d+(\.\d*)?|\.\d+)")
POSITIVE = matches(r"\+?0*[1-9]\d*")
TRUTH = matches(r"true|false|0|1")
YES_NO = matches(r"[YN]")


@dataclass(frozen=True)
class Rule:
    """Of one element: attributes that must and may be there, and children in order as (name, least, most)."""

    must: Mapping[str, Holds] = field(default_factory=dict)
    may: Mapping[str, Holds] = field(default_factory=dict)
    children: tuple[tuple[str, int, int], ...] = ()
    has_text: bool = False


MANY = 10_000
DESCRIPTION = (CORE + "Description", 0, 1)
PARAMETER_MAY: Mapping[str, Holds] = {
    "fixTag": POSITIVE, "use": matches("required|optional"), "mutableOnCxlRpl": TRUTH, "revertOnCxlRpl": TRUTH,
    "definedByFIX": TRUTH,
}  # fmt: skip
NUMBERS = {"minValue": DECIMAL, "maxValue": DECIMAL, "constValue": DECIMAL, "precision": matches(r"\d+")}
PARAMETERS: Mapping[str, Mapping[str, Holds]] = {
    "Float_t": NUMBERS,
    "Percentage_t": {**NUMBERS, "multiplyBy100": TRUTH},
    "Boolean_t": {"constValue": YES_NO, "trueWireValue": ANY, "falseWireValue": ANY},
}
CONTROL_MUST = {"ID": NAME, XSI + "type": ANY}
CONTROL_MAY = {"label": ANY, "parameterRef": NAME, "tooltip": ANY, "initFixField": matches(r"FIX_\w+"),
               "initPolicy": matches("UseValue|UseFixField"), "disableForTemplate": TRUTH}  # fmt: skip
CONTROLS: Mapping[str, Mapping[str, Holds]] = {
    "lay:SingleSpinner_t": {"initValue": DECIMAL, "increment": DECIMAL, "incrementPolicy": matches("Tick|LotSize")},
    "lay:DropDownList_t": {"initValue": NAME},
}
RULES: Mapping[str, Rule] = {
    CORE + "Strategies": Rule(
        {"strategyIdentifierTag": POSITIVE},
        {"versionIdentifierTag": POSITIVE, "draftFlagIdentifierTag": POSITIVE, "imageLocation": ANY,
         "tag957Support": TRUTH, "changeStrategyOnCxlRpl": TRUTH, XSI + "schemaLocation": matches(r"\S+ \S+")},
        (DESCRIPTION, (VALIDATION + "Edit", 0, MANY), (CORE + "Strategy", 1, MANY)),
    ),
    CORE + "Strategy": Rule(
        {"name": NAME, "wireValue": ANY, "version": ANY},
        {"uiRep": ANY, "fixMsgType": matches(r"\w+"), "disclosureDoc": ANY, "providerID": ANY, "providerSubID": ANY,
         "imageLocation": ANY, "sentOrderLink": ANY},
        (DESCRIPTION, (CORE + "Parameter", 0, MANY), (VALIDATION + "Edit", 0, MANY), (LAYOUT + "StrategyLayout", 0, 1),
         (VALIDATION + "StrategyEdit", 0, MANY)),
    ),
    CORE + "Description": Rule(has_text=True),
    CORE + "EnumPair": Rule({"enumID": NAME, "wireValue": ANY}, {"index": matches(r"\d+")}, (DESCRIPTION,)),
    LAYOUT + "StrategyLayout": Rule(children=((LAYOUT + "StrategyPanel", 1, MANY),)),
    LAYOUT + "ListItem": Rule({"enumID": NAME}, {"uiRep": ANY}),
    VALIDATION + "StrategyEdit": Rule({"errorMessage": ANY}, {}, (DESCRIPTION, (VALIDATION + "Edit", 1, 1))),
}  # fmt: skip
PANEL_MAY = {"title": ANY, "collapsed": TRUTH, "collapsible": TRUTH, "color": ANY, "border": matches("None|Line"),
             "orientation": matches("HORIZONTAL|VERTICAL")}  # fmt: skip
OPERATORS, LOGIC = matches("EX|NX|EQ|NE|LT|GT|LE|GE"), matches("AND|OR|XOR|NOT")


def faults_of(document: str) -> list[str]:
    """Everything that is wrong; empty where nothing is."""
    try:
        root = ElementTree.fromstring(document)
    except ElementTree.ParseError as error:
        return [f"not XML: {error}"]
    if root.tag != CORE + "Strategies":
        return [f"the root is {root.tag}"]
    faults = list(_walk(root))
    strategies = root.findall(CORE + "Strategy")
    faults += _twice("strategy", [strategy.get("name", "") for strategy in strategies])
    faults += _twice("wireValue", [strategy.get("wireValue", "") for strategy in strategies])
    for strategy in strategies:
        faults += [f"{strategy.get('name')}: {fault}" for fault in _references(strategy, root)]
    return faults


def _walk(element: Element) -> Iterator[str]:
    rule = _rule_of(element)
    if rule is None:
        yield f"{element.tag} has no place here, or no such type"
        return
    allowed = {**rule.must, **rule.may}
    for name in rule.must:
        if name not in element.attrib:
            yield f"{element.tag} lacks {name}"
    for name, value in element.attrib.items():
        if name not in allowed:
            yield f"{element.tag} has the attribute {name}"
        elif not allowed[name](value):
            yield f"{element.tag}: {name}={value!r}"
    if not rule.has_text and (element.text or "").strip():
        yield f"{element.tag} has text"
    yield from _order(element, rule)
    for child in element:
        yield from _walk(child)


def _rule_of(element: Element) -> Rule | None:
    kind = element.get(XSI + "type", "")
    if element.tag == CORE + "Parameter":
        if kind not in PARAMETERS:
            return None
        pairs = ((CORE + "EnumPair", 0, MANY),)
        return Rule({"name": NAME, XSI + "type": ANY}, {**PARAMETER_MAY, **PARAMETERS[kind]}, (DESCRIPTION, *pairs))
    if element.tag == LAYOUT + "Control":
        if kind not in CONTROLS:
            return None
        items = ((LAYOUT + "ListItem", 1, MANY),) if kind == "lay:DropDownList_t" else ()
        return Rule(CONTROL_MUST, {**CONTROL_MAY, **CONTROLS[kind]}, items)
    if element.tag == LAYOUT + "StrategyPanel":
        # Panels or controls, never both.
        inner = LAYOUT + ("StrategyPanel" if element.find(LAYOUT + "StrategyPanel") is not None else "Control")
        return Rule({}, PANEL_MAY, ((inner, 1, MANY),))
    if element.tag == VALIDATION + "Edit":
        return _edit_rule(element)
    return RULES.get(element.tag)


def _edit_rule(element: Element) -> Rule:
    """A condition on a field, or a tree of conditions."""
    if "logicOperator" in element.attrib:
        least = 1 if element.get("logicOperator") == "NOT" else 2
        return Rule({"logicOperator": LOGIC}, {"id": ANY}, ((VALIDATION + "Edit", least, MANY),))
    if element.get("operator") in ("EX", "NX"):
        return Rule({"field": ANY, "operator": OPERATORS}, {"id": ANY})
    other = "field2" if "field2" in element.attrib else "value"
    return Rule({"field": ANY, "operator": OPERATORS, other: ANY}, {"id": ANY})


def _order(element: Element, rule: Rule) -> Iterator[str]:
    tags = [child.tag for child in element]
    place = 0
    for name, least, most in rule.children:
        count = 0
        while place < len(tags) and tags[place] == name:
            place, count = place + 1, count + 1
        if not least <= count <= most:
            yield f"{element.tag} has {count} of {name}"
    if place < len(tags):
        yield f"{element.tag} has {tags[place]} where it may not be"


def _references(strategy: Element, root: Element) -> Iterator[str]:
    """What refers to what: controls to parameters, items to values, first values to items, rules to parameters."""
    parameters = {one.get("name", ""): one for one in strategy.findall(CORE + "Parameter")}
    yield from _twice("parameter", [one.get("name", "") for one in strategy.findall(CORE + "Parameter")])
    controls = list(strategy.iter(LAYOUT + "Control"))
    yield from _twice("control", [control.get("ID", "") for control in controls])
    yield from _twice("parameterRef", [control.get("parameterRef", "") for control in controls])
    for control in controls:
        parameter = parameters.get(control.get("parameterRef", ""))
        if parameter is None:
            yield f"{control.get('ID')} is of no parameter"
            continue
        pairs = [pair.get("enumID", "") for pair in parameter.findall(CORE + "EnumPair")]
        items = [item.get("enumID", "") for item in control.findall(LAYOUT + "ListItem")]
        yield from _twice("enumID", pairs)
        if items != pairs:
            yield f"{control.get('ID')} lists {items}, the parameter takes {pairs}"
        if items and "initValue" in control.attrib and control.get("initValue") not in items:
            yield f"{control.get('ID')} begins with what it does not list"
    shown = {control.get("parameterRef") for control in controls}
    for name, parameter in parameters.items():
        if parameter.get("use") == "required" and name not in shown and "constValue" not in parameter.attrib:
            yield f"{name} is required and nobody can enter it"
        if not parameter.get("fixTag") and root.get("tag957Support") not in ("true", "1"):
            yield f"{name} has no way to be sent"
        low, high = parameter.get("minValue"), parameter.get("maxValue")
        if low and high and DECIMAL(low) and DECIMAL(high) and float(low) > float(high):
            yield f"{name} takes nothing: {low} to {high}"
    for edit in strategy.iter(VALIDATION + "Edit"):
        for about in (edit.get("field"), edit.get("field2")):
            if about is not None and about not in parameters and not about.startswith("FIX_"):
                yield f"a rule is about {about}"


def _twice(what: str, names: list[str]) -> list[str]:
    return [f"{what} {name!r} twice" for name in sorted(set(names)) if names.count(name) > 1]
