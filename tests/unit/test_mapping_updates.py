"""What is not asked of plain updates on their way in: it must say what those who are not asked would say."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import protovalidate
import pytest
from execution_strategy.v1 import adaptation_pb2
from hypothesis import example, given
from hypothesis import strategies as st

from engine.records import UpdateRecord
from engine.snapshot import VenueDirectory
from service.mapping.adaptation import MappedUpdate, keeps_rules, map_update, merged
from service.mapping.refusals import FREE, USED, refused_update
from store.errors import RecordInvalid
from store.payload import encode, update_payload

Update = adaptation_pb2.StrategyAdaptationRequest
EDGES = (0.0, -0.0, 5e-324, 1e12, 1.0000000000000002e12, -1.0, 1e300, float("inf"), float("-inf"), float("nan"))
numbers = st.one_of(st.floats(), st.sampled_from(EDGES))
texts = st.one_of(
    st.text(max_size=3),
    st.sampled_from(["", "o", "o 1", "\t", "~!", "é", "x" * 100, "x" * 101, "é" * 100, "é" * 101, "o\n"]),
)
fills = st.builds(
    adaptation_pb2.FillUpdate, execution_id=texts, quantity=numbers, price=numbers, venue=texts,
    fee=st.one_of(st.none(), numbers),
)  # fmt: skip
cancels = st.builds(adaptation_pb2.CancelUpdate, quantity=numbers, final=st.booleans())
workings = st.builds(adaptation_pb2.WorkingUpdate, quantity=numbers)
updates = st.one_of(
    st.builds(Update, order_id=texts, sequence=st.integers(0, 2**64 - 1), fill=fills),
    st.builds(Update, order_id=texts, cancel=cancels, force=st.booleans()),
    st.builds(Update, order_id=texts, working=workings),
    st.builds(Update, order_id=texts),
)


@given(updates)
@example(Update(order_id="o" * 100, fill={"execution_id": "é" * 100, "quantity": 5e-324, "price": 1e12, "fee": -1e300}))
def test_no_rule_is_broken_where_none_is_asked(update: adaptation_pb2.StrategyAdaptationRequest) -> None:
    if keeps_rules(update, update.WhichOneof("update")):
        assert protovalidate.collect_violations(update) == []


@pytest.mark.parametrize("update", [
    Update(order_id="o-1", fill={"execution_id": "e", "quantity": 0.0001, "price": 50.0}),
    Update(order_id="o-1", fill={"execution_id": "e", "quantity": 100.0, "price": 50.0, "venue": "XNYS", "fee": -0.1}),
    Update(order_id="o-1", working={}),
    Update(order_id="o-1", cancel={"quantity": 1.0}),
])  # fmt: skip
def test_usual_updates_are_plain(update: adaptation_pb2.StrategyAdaptationRequest) -> None:
    assert keeps_rules(update, update.WhichOneof("update"))


@pytest.mark.parametrize("update", [
    Update(order_id="o-1", amend={"quantity": 1.0}), Update(order_id="o-1", market_context={}),
    Update(order_id="o-1", resume={}), Update(order_id="o-1"),
])  # fmt: skip
def test_of_others_the_rules_are_asked(update: adaptation_pb2.StrategyAdaptationRequest) -> None:
    assert not keeps_rules(update, update.WhichOneof("update"))


ids = st.one_of(st.uuids(version=4).map(str), st.sampled_from(["", "x", "A" * 36, str(uuid.uuid4()).upper()]))
whole = st.one_of(st.integers(0, 2**63 - 1), st.integers(-(2**70), 2**70))
names = st.one_of(texts, st.sampled_from(["a\0b", "\ud800"]))


@given(ids, names, whole, whole, st.binary(max_size=5), names)
@example(str(uuid.uuid4()), "o", 2**63 - 1, 2**63, b"", "")
def test_the_payload_of_an_update_is_that_of_its_record(
    update_id: str, order_id: str, sequence: int, created_at_ns: int, request: bytes, gateway: str
) -> None:
    record = UpdateRecord(update_id, order_id, sequence, created_at_ns, "FILL", request, gateway)
    found = bytes_or_reason(lambda: update_payload(
        update_id, order_id, sequence, created_at_ns, "FILL", request, gateway
    ))  # fmt: skip
    assert found == bytes_or_reason(lambda: encode(record))


def bytes_or_reason(make: Callable[[], bytes]) -> bytes | str:
    try:
        return make()
    except RecordInvalid as error:
        return str(error)


@pytest.mark.parametrize(
    ("resume", "fields"),
    [
        (adaptation_pb2.ResumeUpdate(acknowledged_sequence=2**62), ["resume.acknowledged_sequence"]),
        (adaptation_pb2.ResumeUpdate(epoch=2**64 - 1), ["resume.epoch"]),
        (adaptation_pb2.ResumeUpdate(acknowledged_sequence=2**62 - 1, epoch=2**62 - 1), []),
        (
            adaptation_pb2.ResumeUpdate(
                request={
                    "order_id": "another", "instrument_id": "AIG", "side": "ORDER_SIDE_BUY", "quantity": 100,
                    "objective": "EXECUTION_OBJECTIVE_BALANCED_EXECUTION", "urgency": "EXECUTION_URGENCY_NORMAL",
                    "dry_run": True,
                }
            ),
            ["resume.request.order_id", "resume.request.dry_run"],
        ),
    ],
)  # fmt: skip
def test_a_resume_cannot_lock_its_order_or_begin_another(
    resume: adaptation_pb2.ResumeUpdate, fields: list[str]
) -> None:
    message = adaptation_pb2.StrategyAdaptationRequest(order_id="o-1", resume=resume)
    found = map_update(message, VenueDirectory({}, {}), 1, once=False)
    assert ([] if isinstance(found, MappedUpdate) else [fault.field for fault in found]) == fields


def test_a_refused_update_takes_no_acknowledgement_from_a_slow_reader() -> None:
    waiting = adaptation_pb2.StrategyAdaptation(
        order_id="o-1", acknowledged_sequence=2, acknowledgement="ACKNOWLEDGEMENT_CLASS_JOURNALED", epoch=3,
        progress={"filled_quantity": 500.0},
    )  # fmt: skip
    found = merged(waiting, refused_update("o-1", "fill.execution_id: must be at least 1 characters", 3, FREE))
    assert (found.acknowledged_sequence, found.epoch, found.progress.filled_quantity) == (2, 3, 500.0)
    assert found.error == "fill.execution_id: must be at least 1 characters"


@pytest.mark.parametrize("advices", [(0, 0), (1, 0), (0, 1), (1, 2)])
def test_a_slow_reader_is_told_every_refusal_once(advices: tuple[int, int]) -> None:
    first, second = (refused_update("o-1", f"no {number}", number, FREE) for number in (4, 6))
    third = refused_update("o-1", "no 7", 7, USED)
    first.advice_number, third.advice_number = advices
    found = merged(merged(first, second), third)
    assert [(one.sequence, one.error, one.number) for one in found.refusals] == [
        (4, "no 4", FREE), (6, "no 6", FREE), (7, "no 7", USED),
    ]  # fmt: skip
    assert found.error == "no 4; no 6; no 7"
