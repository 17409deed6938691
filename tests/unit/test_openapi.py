"""The OpenAPI document says what the contract says, its examples are sound, and its page shows all of it."""

from __future__ import annotations

import random
import re
from html.parser import HTMLParser
from typing import Any

import jsonschema_rs
import pytest
from execution_strategy.v1 import request_pb2, service_pb2

from service.http.docs_page import docs_page
from service.http.openapi import example_requests, openapi_document
from service.mapping.comments import comment_of, comments
from service.mapping.contract_json import from_object, to_object
from service.mapping.http_calls import http_calls
from service.mapping.patterns import PatternError, ecma_pattern
from service.mapping.schemas import is_required
from service.mapping.validation import rule_faults
from store.instruments import read_seed

DOCUMENT = openapi_document(http_calls(), 5.0)
SCHEMAS = DOCUMENT["components"]["schemas"]
API = "/api/v1/execution-strategy"


def validator(name: str) -> Any:
    whole = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    return jsonschema_rs.Draft202012Validator(whole)


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def test_paths_verbs_and_parameters() -> None:
    assert {(path, verb) for path, verbs in DOCUMENT["paths"].items() for verb in verbs} >= {
        (f"{API}/recommend", "post"), (f"{API}/{{order_id}}/status", "get"), (f"{API}/{{order_id}}/adapt", "post"),
        (f"{API}/performance", "get"),
    }  # fmt: skip
    performance = DOCUMENT["paths"][f"{API}/performance"]["get"]
    needed = {one["name"]: one["required"] for one in performance["parameters"] if "name" in one}
    assert needed == {"start_date": True, "end_date": True, "algorithm": False}
    adapt = DOCUMENT["paths"][f"{API}/{{order_id}}/adapt"]["post"]
    assert adapt["parameters"][0]["in"] == "path"
    assert "order_id" not in SCHEMAS["StrategyAdaptationRequestBody"]["properties"]


def test_every_reference_leads_somewhere_and_every_component_is_used() -> None:
    found = references(DOCUMENT)
    for reference in found:
        _, _, kind, name = reference.split("/")
        assert name in DOCUMENT["components"][kind], reference
    assert {reference.rpartition("/")[2] for reference in found if "/schemas/" in reference} == set(SCHEMAS)


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_every_schema_is_one_and_has_words(name: str) -> None:
    jsonschema_rs.meta.validate(SCHEMAS[name])
    validator(name)
    assert SCHEMAS[name]["description"]
    for field, schema in SCHEMAS[name].get("properties", {}).items():
        assert schema["description"], field


def test_rules_become_bounds() -> None:
    request, constraints = SCHEMAS["ExecutionStrategyRequest"], SCHEMAS["ExecutionConstraints"]["properties"]
    assert request["required"] == ["order_id", "instrument_id", "side", "quantity", "objective", "urgency"]
    assert request["additionalProperties"] is False
    quantity = request["properties"]["quantity"]
    assert (quantity["type"], quantity["exclusiveMinimum"], quantity["maximum"]) == ("number", 0, 10**12)
    order_id = request["properties"]["order_id"]
    assert (order_id["minLength"], order_id["maxLength"], order_id["pattern"]) == (1, 100, "^[!-~]+$")
    limit = constraints["time_limit_minutes"]
    assert (limit["type"], limit["minimum"], limit["maximum"]) == (["integer", "null"], 1, 1440)
    venues = constraints["venue_restrictions"]
    assert (venues["maxItems"], venues["uniqueItems"], venues["items"]["maxLength"]) == (100, True, 64)
    tags = request["properties"]["tags"]
    lengths = (tags["propertyNames"]["maxLength"], tags["additionalProperties"]["maxLength"])
    assert (tags["maxProperties"], *lengths) == (16, 64, 256)
    assert SCHEMAS["OrderSide"]["enum"] == ["BUY", "SELL", "SELL_SHORT"]
    assert "FIX 54=5" in SCHEMAS["OrderSide"]["description"]
    assert SCHEMAS["TerminalUpdate"]["properties"]["state"]["enum"] == ["COMPLETED", "CANCELLED", "EXPIRED"]
    assert SCHEMAS["AcknowledgementClassAnswered"]["enum"][0] == "UNSPECIFIED"
    assert "created_at" not in SCHEMAS["ExecutionStrategyResponse"]["required"]


def test_examples_are_sound_and_of_shipped_instruments() -> None:
    seed = read_seed().data
    for call in http_calls():
        fields = example_requests()[call.name]
        message = call.request()
        assert from_object(fields, message, strict=True) == []
        assert rule_faults(message) == []
        if "instrument_id" in fields:
            assert fields["instrument_id"] in seed.instruments
            assert fields["quantity"] % seed.instruments[fields["instrument_id"]].lot_size_shares == 0
        if call.body:
            content = DOCUMENT["paths"][call.template][call.verb.lower()]["requestBody"]["content"]["application/json"]
            name = content["schema"]["$ref"].rpartition("/")[2]
            validator(name).validate(content["example"])
            assert not validator(name).is_valid({**content["example"], "nonsense": 1})
    for response in DOCUMENT["components"]["responses"].values():
        validator("Problem").validate(response["content"]["application/problem+json"]["example"])


def test_an_empty_answer_is_valid_whole() -> None:
    for call in http_calls():
        validator(call.response.DESCRIPTOR.name).validate(to_object(call.response(), with_defaults=True))


@pytest.mark.parametrize("call", http_calls(), ids=lambda call: call.name)
def test_required_is_what_the_rules_want_of_an_empty_message(call: Any) -> None:
    broken = {fault.field for fault in rule_faults(call.request())}
    required = {field.name for field in call.request.DESCRIPTOR.fields if is_required(field)}
    oneofs = {oneof.name for oneof in call.request.DESCRIPTOR.oneofs}
    assert required == broken - oneofs


PATTERNS = [
    request_pb2.MarketContext.DESCRIPTOR.fields_by_name["time_of_day"],
    request_pb2.MarketContext.DESCRIPTOR.fields_by_name["volatility_regime"],
]


@pytest.mark.parametrize("field", PATTERNS, ids=lambda field: field.name)
def test_patterns_without_inline_flags_mean_the_same(field: Any) -> None:
    schema = SCHEMAS["MarketContext"]["properties"][field.name]
    assert "(?i)" not in schema["pattern"]
    known = re.compile(schema["pattern"].replace("$", r"\Z"))
    pick = random.Random(3)
    words = ["open", "Morning", "MIDDAY", "close", "09:30", "23:59:59", "24:00", "9:30", "", "low", "EXTREME", "ópen"]
    for _ in range(400):
        word = "".join(pick.choice((sign.lower(), sign.upper())) for sign in pick.choice(words))
        word = word if pick.random() < 0.7 else word + pick.choice(("x", ":", "0", " "))
        said: dict[str, Any] = {field.name: word}
        message = request_pb2.MarketContext(**said)
        refused = any(fault.field == field.name for fault in rule_faults(message))
        assert (known.search(word) is None) == refused, word


def test_patterns_that_cannot_be_written_are_refused() -> None:
    assert ecma_pattern(r"^((?i)a\d)b[x(]$") == r"^([Aa]\d)b[x(]$"
    with pytest.raises(PatternError):
        ecma_pattern("(?i)[a-z]")


def test_comments_are_those_of_the_contract() -> None:
    service = service_pb2.DESCRIPTOR.services_by_name["ExecutionStrategyService"]
    assert comment_of(f"{service.full_name}.Recommend") == "Decides one order."
    assert comment_of("execution_strategy.v1.OrderSide.ORDER_SIDE_BUY") == "FIX 54=1."
    assert comment_of("nothing.of.it") == ""
    for call in http_calls():
        names = [field.full_name for field in (*call.request.DESCRIPTOR.fields, *call.response.DESCRIPTOR.fields)]
        assert [name for name in names if name not in comments()] == []


class Page(HTMLParser):
    """Ids, links, headings and what would be fetched or run."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.levels: list[int] = []
        self.tags: set[str] = set()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.add(tag)
        self.ids += [str(found["id"])] if "id" in found else []
        self.links += [str(found["href"])] if "href" in found else []
        assert "src" not in found
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_shows_everything_and_fetches_nothing() -> None:
    page = docs_page(DOCUMENT)
    found = Page()
    found.feed(page)
    assert found.open == []
    assert len(found.ids) == len(set(found.ids))
    assert {f"type-{name}" for name in SCHEMAS} <= set(found.ids)
    assert [link for link in found.links if link != "openapi.json" and link.removeprefix("#") not in found.ids] == []
    assert not found.tags & {"script", "img", "link", "iframe", "object"}
    assert all(after - before <= 1 for before, after in zip(found.levels, found.levels[1:], strict=False))
    assert not re.search(r"url\(|@import", page)
