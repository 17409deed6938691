"""A recorded advice made again from its record."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from execution_strategy.v1 import request_pb2

from engine.order_life.watch import seen
from engine.snapshot import Snapshot
from service.mapping.adaptation import add_advice, advice_again
from service.mapping.advice_inputs import decode_inputs, watch_bytes
from service.mapping.field_differences import ABSENT, Difference
from service.mapping.replays import ADVICE, Refused, described, response_differences, words_of
from service.mapping.requests import map_request
from service.mapping.responses import Naming
from service.mapping.validation import MalformedMessageError, parse
from store.record_reader import RecordedAdaptation, RecordedSelection


@dataclass(frozen=True, slots=True)
class AdvisedAgain:
    """The canonical bytes of the advice, and of how the order is watched after it: as recorded, and as it came out."""

    advice: bytes
    watch_recorded: bytes
    watch: bytes


def advise_again(
    record: RecordedAdaptation, selection: RecordedSelection, snapshot: Snapshot
) -> AdvisedAgain | Refused:
    """The advice, made as the first time: the order's request as it was mapped when it was decided, its state and watch
    from the advice's inputs, the market and everything else from the snapshot."""
    try:
        message = parse(request_pb2.ExecutionStrategyRequest, selection.request)
    except MalformedMessageError as error:
        return Refused(f"the recorded request cannot be read: {error}")
    mapped = map_request(message, snapshot, selection.created_at_ns)
    if isinstance(mapped, list):
        return Refused("the recorded request is not valid: " + words_of(mapped))
    try:
        inputs = decode_inputs(record.inputs, mapped.order)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        return Refused(f"the recorded inputs cannot be read: {error}")
    watched = seen(inputs.before, inputs.state, inputs.change, snapshot, inputs.now_ns, inputs.forced)
    if watched.advice is None:
        return Refused("nothing asks for an advice")
    answer = advice_again(inputs.message)
    naming = Naming(snapshot.directory, snapshot.venue_names)
    number = watched.watch.advice_number
    add_advice(answer, watched.advice, number, naming, record.selection_id, inputs.now_ns)
    return AdvisedAgain(
        answer.SerializeToString(deterministic=True), watch_bytes(inputs.after), watch_bytes(watched.watch)
    )


def advice_differences(record: RecordedAdaptation, found: AdvisedAgain | Refused) -> tuple[Difference, ...]:
    """What was sent, and how the order is watched from then on."""
    if isinstance(found, Refused):
        return (Difference("response", "an advice", found.text),)
    differences = response_differences(record.response, found.advice, ADVICE)
    if found.watch != found.watch_recorded:
        differences += (Difference("(watch)", described(found.watch_recorded), described(found.watch)),)
    return differences


def no_selection(record: RecordedAdaptation) -> str:
    return f"the decision {record.selection_id or ABSENT} that the order of advice {record.adaptation_id} began with"
