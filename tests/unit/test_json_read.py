"""The reader of JSON goes on after a fault and names every field; what is sound it reads as protobuf does."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest
from execution_strategy.v1 import adaptation_pb2, enums_pb2, request_pb2, response_pb2, status_pb2
from google.protobuf.descriptor import FieldDescriptor

from service.mapping.contract_json import JsonSyntaxError, from_object, parse_json, to_json, to_object
from service.mapping.json_write import write_message
from tests.helpers.json_reference import reference_object, reference_read

SEED = 7
Request = request_pb2.ExecutionStrategyRequest


def faults(fields: Any, *, strict: bool = True, kind: Any = Request) -> dict[str, str]:
    return {fault.field: fault.description for fault in from_object(fields, kind(), strict=strict)}


def test_every_fault_is_told_with_its_field() -> None:
    found = faults({
        "order_id": 5, "quantitty": 1, "side": "BUUY", "quantity": "many", "dry_run": "yes", "tags": {"a": 1, "b": "x"},
        "constraints": {"price_limit": True, "venue_restrictions": ["NYSE", 3, None], "time_limit_minutes": 1.5},
        "market_context": {"recent_bars": [{"volume": []}, 7]}, "effective_time": "soon", "urgency": 2,
    })  # fmt: skip
    assert found == {
        "order_id": "must be a string, not a number",
        "quantitty": "ExecutionStrategyRequest has no field 'quantitty'; did you mean quantity?",
        "side": "'BUUY' is none of BUY, SELL, SELL_SHORT; did you mean BUY?",
        "quantity": "must be a number, not a string",
        "dry_run": "must be true or false, not a string",
        "tags[a]": "must be a string, not a number",
        "constraints.price_limit": "must be a number, not true",
        "constraints.venue_restrictions[1]": "must be a string, not a number",
        "constraints.venue_restrictions[2]": "null is no entry of an array",
        "constraints.time_limit_minutes": "must be a whole number, not a number",
        "market_context.recent_bars[0].volume": "must be a number, not an array",
        "market_context.recent_bars[1]": "must be an object, not a number",
        "effective_time": "must be a time like \"2025-06-21T10:00:00Z\" (RFC 3339), not 'soon'",
        "urgency": "must be one of LOW, NORMAL, HIGH, URGENT, not a number",
    }


def test_the_rest_of_a_faulty_object_is_read() -> None:
    message = Request()
    from_object({"order_id": "o", "quantity": [], "side": "SELL"}, message)
    assert message == Request(order_id="o", side=enums_pb2.ORDER_SIDE_SELL)


@pytest.mark.parametrize("value", [[], "x", 5, None, True])
def test_a_body_that_is_no_object(value: Any) -> None:
    assert list(faults(value)) == [""]


def test_a_field_by_both_of_its_names_and_two_of_one_choice() -> None:
    assert list(faults({"order_id": "a", "orderId": "b"})) == ["order_id"]
    update = adaptation_pb2.StrategyAdaptationRequest
    assert faults({"pause": {}, "unpause": {}}, kind=update) == {
        "unpause": "only one of update may be given; pause is, too"
    }
    assert list(faults({"pause": None}, kind=update)) == ["pause"]


def test_null_is_absent() -> None:
    message = Request()
    assert from_object({"quantity": None, "constraints": None, "order_id": "o"}, message, strict=True) == []
    assert message == Request(order_id="o")


def test_strict_and_lenient() -> None:
    for fields in ({"quantity": "1.5"}, {"side": 1}, {"constraints": {"time_limit_minutes": "5"}}):
        assert len(faults(fields)) == 1
        assert faults(fields, strict=False) == {}
    update = adaptation_pb2.StrategyAdaptationRequest
    for value in (7, "7", 7.0, 2**64 - 1, str(2**64 - 1)):
        assert faults({"sequence": value}, kind=update) == {}
    for value in (-1, 2**64, "-1", "7.0", "", "x", 7.5, "9" * 5_000):
        assert list(faults({"sequence": value}, kind=update)) == ["sequence"], value


@pytest.mark.parametrize("number", [10**400, -(10**400), float("inf"), float("nan")])
def test_numbers_that_are_too_large(number: float) -> None:
    assert list(faults({"quantity": number})) == ["quantity"]


def test_half_of_a_character_and_very_long_names() -> None:
    assert list(faults({"order_id": "\ud800"})) == ["order_id"]
    assert list(faults({"tags": {"k": "\udfff"}})) == ["tags[k]"]
    assert list(faults({"tags": {"\udfff": "v"}})) == ["tags[\\udfff]"]
    (name,) = faults({"x" * 10_000: 1})
    assert len(name) <= 64


def test_faults_are_bounded_and_the_rest_counted() -> None:
    found = from_object({f"unknown_{index}": 0 for index in range(20_000)}, Request(), strict=True)
    assert len(found) == 51
    assert found[-1].description == "and 19950 more violations"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"{", "at line 1, column 2"), (b'{"a": 1,\n "b" 2}', "line 2, column 6"),
        (b'{"a": NaN}', "NaN is no number at line 1, column 7"),
        (b'{"NaN": "Infinity",\n"a": -Infinity}', "-Infinity is no number at line 2, column 6"), (b"\xff{}", "byte 0"),
        (b"[" * 200_000, "nested too deeply"), (b'{"a":' + b"9" * 5_000 + b"}", "too many digits"),
        (b"{} {}", "extra data at line 1, column 4"),
        (b"\xef\xbb\xbf{}", "BOM"), ("{}".encode("utf-16"), "not UTF-8"), (b"{'a': 1}", "column 2"),
    ],
)  # fmt: skip
def test_what_is_no_json_is_told_with_its_place(text: bytes, said: str) -> None:
    with pytest.raises(JsonSyntaxError, match=r"^the body ") as caught:
        parse_json(text)
    assert said in caught.value.description


def test_names_that_stand_twice() -> None:
    text = b'{"order_id": "a", "order_id": "b", "tags": {"x": "1", "x": "2"}, ' \
        b'"constraints": {"price_limit": 1, "price_limit": 2}}'
    assert sorted(faults(parse_json(text))) == ["constraints.price_limit", "order_id", "tags[x]"]


def random_message(pick: random.Random, kind: Any, depth: int = 0) -> Any:
    """Any field set or not, with values from the edges."""
    message = kind()
    for field in message.DESCRIPTOR.fields:
        if pick.random() < 0.4 or depth > 4:
            continue
        mapped = field.message_type is not None and field.message_type.GetOptions().map_entry
        holder = getattr(message, field.name)
        if mapped:
            value = field.message_type.fields_by_name["value"]
            for key in pick.sample(["a", "b", "é", "10", "2"], 3):
                if value.message_type is None:
                    holder[key] = scalar(pick, value)
                else:
                    fill_value(pick, holder[key])
        elif field.message_type is not None:
            count = pick.randint(0, 3) if field.is_repeated else 1
            for _ in range(count):
                part = holder.add() if field.is_repeated else holder
                part.SetInParent() if not field.is_repeated else None
                if field.message_type.full_name == "google.protobuf.Timestamp":
                    anywhere = pick.randint(-62_135_596_800, 253_402_300_799)
                    part.seconds = pick.choice([0, 1, 86_399, 951_782_400, 4_102_444_799, anywhere])
                    part.nanos = pick.choice([0, 1, 1_000, 1_000_000, 120_000_000, 999_999_999])
                else:
                    part.CopyFrom(random_message(pick, type(part), depth + 1))
        elif field.is_repeated:
            holder.extend(scalar(pick, field) for _ in range(pick.randint(0, 3)))
        else:
            setattr(message, field.name, scalar(pick, field))
    return message


def fill_value(pick: random.Random, value: Any) -> None:
    kind = pick.randrange(6)
    if kind == 0:
        value.number_value = pick.choice([0.0, 1.5, 1e300])
    elif kind == 1:
        value.bool_value = pick.random() < 0.5
    elif kind == 2:
        value.string_value = pick.choice(["", "x"])
    elif kind == 3:
        value.null_value = 0
    elif kind == 4:
        value.list_value.values.add().number_value = 1.0
    else:
        value.struct_value["k"] = "v"


def scalar(pick: random.Random, field: Any) -> Any:
    if field.type == FieldDescriptor.TYPE_ENUM:
        return pick.choice([0, *[value.number for value in field.enum_type.values], 77])
    if field.type == FieldDescriptor.TYPE_BOOL:
        return pick.random() < 0.5
    if field.type == FieldDescriptor.TYPE_STRING:
        return pick.choice(["", "x", "é\n\"", "\U0001f600"])
    if field.type == FieldDescriptor.TYPE_DOUBLE:
        return pick.choice([0.0, -0.0, 0.1, 1e22, 5e-324, float("inf"), float("-inf"), float("nan"), pick.gauss(0, 1)])
    return pick.choice([0, 1, 2**31 - 1])


KINDS: list[Any] = [
    request_pb2.ExecutionStrategyRequest, response_pb2.ExecutionStrategyResponse, status_pb2.StrategyExecutionStatus,
    status_pb2.StrategyPerformanceReport, adaptation_pb2.StrategyAdaptationRequest,
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_random_messages_are_written_and_read_as_protobuf_does_it(kind: Any) -> None:
    pick = random.Random(SEED)
    for _ in range(150):
        message = random_message(pick, kind)
        assert to_object(message, with_defaults=False) == reference_object(message, with_defaults=False)
        written = to_object(message, with_defaults=True)
        assert written == reference_object(message, with_defaults=True)
        again, expected = kind(), kind()
        mine, theirs = from_object(written, again), reference_read(written, expected)
        assert bool(mine) == bool(theirs), (mine, theirs)
        if not mine:
            assert again.SerializeToString(deterministic=True) == expected.SerializeToString(deterministic=True)
        assert json.loads(to_json(message)) == json.loads(json.dumps(written))


def test_the_contract_has_no_field_of_a_kind_that_is_not_written_here() -> None:
    kinds = {field.type for kind in KINDS for field in kind.DESCRIPTOR.fields}
    assert FieldDescriptor.TYPE_FLOAT not in kinds


@pytest.mark.parametrize("text", [
    "2025-06-21T10:00:00Z", "1969-12-31T23:59:59.5Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z",
    "2024-02-29T00:00:00.000001Z", "2023-02-29T00:00:00Z", "2025-06-21T24:00:00Z", "2025-06-21T10:00:60Z",
    "2025-06-21T10:00:00+02:00", "2025-06-21t10:00:00z", "2025-06-21T10:00:00", "2025-06-21T10:00:00.Z",
    "2025-06-21T10:00:00.1234567891Z", "0000-01-01T00:00:00Z", "2025-13-01T00:00:00Z", "\u0662025-06-21T10:00:00Z",
])  # fmt: skip
def test_times_are_read_as_protobuf_reads_them(text: str) -> None:
    ours, theirs = Request(), Request()
    found = faults({"effective_time": text})
    from_object({"effective_time": text}, ours)
    try:
        theirs.effective_time.FromJsonString(text)
    except ValueError:
        assert list(found) == ["effective_time"]
    else:
        assert found == {}
        assert ours == theirs


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_compiled_for_a_type_writes_as_the_plan_does(kind: Any) -> None:
    """To the byte, so in the same order, too."""
    pick = random.Random(SEED + 1)
    for _ in range(60):
        message = random_message(pick, kind)
        assert to_json(message) == msgspec.json.encode(write_message(message, True))
