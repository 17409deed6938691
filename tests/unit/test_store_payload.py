"""Payloads: canonical, complete, and refusing what PostgreSQL could not keep; and the chain's hash."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import fields, replace
from enum import StrEnum
from typing import Any

import msgspec
import pytest

from engine.records import Event, RecordKind, SelectionRecord
from store.chain import first_hash, next_hash
from store.errors import RecordInvalid
from store.payload import LAYOUTS, decode, encode, kind_of, pack, unpack
from tests.helpers.chains import one_of_each, operation, outcome, reference, selection


@pytest.mark.parametrize("record", one_of_each(), ids=lambda record: type(record).__name__)
def test_every_kind_comes_back_as_it_was(record: Any) -> None:
    payload = encode(record)
    assert decode(kind_of(record), payload) == record
    assert encode(decode(kind_of(record), payload)) == payload
    assert pack(unpack(kind_of(record), payload)) == payload


@pytest.mark.parametrize("record", one_of_each(), ids=lambda record: type(record).__name__)
def test_every_field_is_in_the_payload(record: Any) -> None:
    own = record.__struct_fields__ if isinstance(record, msgspec.Struct) else [field.name for field in fields(record)]
    assert set(own) == {name for name, _ in LAYOUTS[kind_of(record)]}


def test_the_order_of_keys_and_spellings_of_an_id_do_not_matter() -> None:
    record = selection(parameters={"a": 1, "b": {"c": 2, "d": 3}})
    turned = msgspec.structs.replace(
        record, parameters={"b": {"d": 3, "c": 2}, "a": 1}, selection_id=record.selection_id.upper()
    )
    assert encode(turned) == encode(record)


class Text(StrEnum):
    """A text that is not a plain one, so that the record is looked through field by field."""

    SIDE = "BUY"


@pytest.mark.parametrize("changes", [{}, {"event": None}, {"tags": {}, "gateway": "", "inputs": b""}])
def test_what_is_looked_through_at_once_is_what_field_by_field_gives(changes: dict[str, Any]) -> None:
    record = selection(**changes)
    assert encode(msgspec.structs.replace(record, side=Text.SIDE)) == encode(record)


def test_a_selection_has_its_fields_in_the_order_of_the_layout() -> None:
    assert SelectionRecord.__struct_fields__ == tuple(name for name, _ in LAYOUTS[RecordKind.SELECTION])
    assert Event.__struct_fields__ == ("event_id", "kind", "aggregate_kind", "aggregate_id", "payload")


def test_the_bytes_of_version_1_never_change() -> None:
    record = reference(reference_id="6f1f1d7e-52a5-4c5e-9d3b-0d6f2f6f7a11", created_at_ns=7, content=b"x")
    expected = [1, "6f1f1d7e-52a5-4c5e-9d3b-0d6f2f6f7a11", 7, "reference", "ab" * 32, b"x"]
    assert encode(record) == msgspec.msgpack.encode(expected)
    names = repr(
        [(kind.name, [(name, type_.name) for name, type_ in held]) for kind, held in LAYOUTS.items()]
    )
    assert hashlib.sha256(names.encode()).hexdigest() == LAYOUT_SHA256


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"parameters": {"a": [{"b": float("nan")}]}}, "parameters holds nan"),
        ({"quantity_shares": float("inf")}, "quantity_shares is not finite"),
        ({"gateway": "a\0"}, "gateway holds the character NUL"),
        ({"tags": {"k\0": "v"}}, "tags holds the character NUL"),
        ({"tags": {"k": "v\0"}}, "tags holds the character NUL"),
        ({"order_id": ""}, "order_id has 0 characters"),
        ({"order_id": "x" * 101}, "order_id has 101 characters"),
        ({"selection_id": "17"}, "selection_id is no UUID"),
        ({"gateway": "\ud800"}, "no UTF-8"),
        ({"created_at_ns": 2**63}, "created_at_ns has more than 64 bits"),
        ({"created_at_ns": 1.5}, "created_at_ns is no integer"),
        ({"request": "text"}, "request is no bytes"),
        ({"versions": {"a": object()}}, "versions"),
        ({"versions": None}, "versions is no JSON object"),
        ({"event": Event(str(uuid.uuid4()), "kind", "order", "o", "{\0}")}, "event holds the character NUL"),
    ],
)
def test_what_no_row_could_hold_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(RecordInvalid, match=said):
        encode(selection(**changes))


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(RecordInvalid, match=r"gateway.*tags") as refused:
        encode(selection(order_id="", gateway="\0", tags={"a": "\0"}))
    assert "order_id" in str(refused.value)


def test_texts_that_only_look_like_faults_are_taken() -> None:
    record = selection(tags={"a": "\\u0000", "b": "null"}, parameters={"a": None})
    assert decode(RecordKind.SELECTION, encode(record)) == record


def test_an_outcome_may_know_no_selection() -> None:
    record = replace(outcome(selection()), selection_id="")
    assert decode(RecordKind.OUTCOME, encode(record)) == record


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x90", msgspec.msgpack.encode([1, "a"]), b"\x01"])
def test_what_is_no_payload_is_refused(payload: bytes) -> None:
    with pytest.raises(RecordInvalid):
        decode(RecordKind.OPERATION, payload)


def test_a_newer_version_is_refused_and_named() -> None:
    values = unpack(RecordKind.OPERATION, encode(operation()))
    with pytest.raises(RecordInvalid, match="version"):
        unpack(RecordKind.OPERATION, pack([2, *values[1:]]))


def test_the_chain_is_what_the_adr_says() -> None:
    first = hashlib.sha256(b"journal").digest()
    assert first_hash("journal") == first
    expected = hashlib.sha256(first + (7).to_bytes(8, "big") + b"\x03" + b"payload").digest()
    assert next_hash(first, 7, RecordKind.OUTCOME, b"payload") == expected


# Of the layouts: who must change this writes a version 2 beside version 1.
LAYOUT_SHA256 = "4adadb330406076e24acb34a24649957006911d0f0f3aabb170843820343c655"
