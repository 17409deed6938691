"""Replay: a recorded decision or advice made again from its record, and held against it byte by byte.

    ReplayError
    ├── RecordMissing     no such record
    ├── ReplayImpossible  it is there, but not all that it was made from; the text names what is missing
    └── ReplayBusy        as many replays as may run are under way
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import grpc
import msgspec

from service.engine_build import EngineBuild, parts_from
from service.errors import RpcError, exhausted, invalid
from service.mapping.advice_inputs import decision_inputs_in
from service.mapping.advice_replays import AdvisedAgain, advice_differences, advise_again, no_selection
from service.mapping.field_differences import ABSENT, Difference
from service.mapping.inputs import DecisionInputs, InputsUnreadable, decode_inputs
from service.mapping.replays import (
    Refused,
    Replayed,
    ReplayVerdict,
    decide_again,
    record_asked,
    replay_answer,
    request_differences,
    response_differences,
)
from service.replay_library import Library, NotRebuildable, ReferenceParts, SourceMissing
from store.errors import StoreUnavailable
from store.own_connection import within
from store.record_reader import RecordedAdaptation, RecordedSelection, RecordSource

# In a thread beside the loop that decides, which shares the interpreter with it: one is felt a little in the tail of
# decisions, two at once twice as much (docs/adr/0013).
MOST_AT_ONCE: Final = 1
RETRY_MS: Final = 100
# Differences of builds come under this name, so that they are told from the decision's.
BUILD_FIELD: Final = "engine_build"


class ReplayError(Exception):
    """No verdict."""


class RecordMissing(ReplayError):
    """There is no such selection or advice."""


class ReplayImpossible(ReplayError):
    """Something that the decision was made from is missing."""


class ReplayBusy(ReplayError):
    """Come again."""


class Replayer:
    """Belongs to one event loop; the arithmetic runs in threads of its own."""

    def __init__(self, records: RecordSource, library: Library, build: EngineBuild,
                 most_at_once: int = MOST_AT_ONCE) -> None:
        self._records = records
        self._library = library
        self._build = build
        self._most_at_once = most_at_once
        self._running = 0
        self._threads = ThreadPoolExecutor(most_at_once, thread_name_prefix="ess-replay")

    async def replay(self, record_id: str) -> Replayed:
        """Raises ReplayError, or StoreUnavailable while PostgreSQL does not answer."""
        if self._running >= self._most_at_once:
            raise ReplayBusy(f"as many replays as may run on this worker are under way ({self._most_at_once})")
        self._running += 1
        try:
            return await self._replay(record_id)
        except SourceMissing as error:
            raise ReplayImpossible(str(error)) from error
        finally:
            self._running -= 1

    def close(self) -> None:
        """Waits for nothing: what runs ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _replay(self, record_id: str) -> Replayed:
        selection = await self._records.selection(record_id)
        if selection is not None:
            return await self._replay_selection(selection)
        adaptation = await self._records.adaptation(record_id)
        if adaptation is not None:
            return await self._replay_adaptation(adaptation)
        raise RecordMissing(f"no selection or advice {record_id} is on record in PostgreSQL")

    async def _replay_selection(self, record: RecordedSelection) -> Replayed:
        inputs = inputs_of(f"selection {record.selection_id}", record.inputs)
        parts = await self._library.parts(inputs)
        changed = await self._build_differences(inputs.build_id)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._compare, record, inputs, parts, changed)

    async def _replay_adaptation(self, record: RecordedAdaptation) -> Replayed:
        name = f"advice {record.adaptation_id}"
        try:
            data = decision_inputs_in(record.inputs) if record.inputs else b""
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise ReplayImpossible(f"{name}: the inputs are damaged: {error}") from error
        inputs = inputs_of(name, data)
        selection = await self._records.selection(record.selection_id) if record.selection_id else None
        if selection is None:
            raise ReplayImpossible(f"{no_selection(record)} is not on record in PostgreSQL")
        parts = await self._library.parts(inputs)
        changed = await self._build_differences(inputs.build_id)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._threads, self._compare_advice, record, selection, inputs, parts, changed
        )

    def _compare_advice(
        self, record: RecordedAdaptation, selection: RecordedSelection, inputs: DecisionInputs, parts: ReferenceParts,
        changed: tuple[Difference, ...],
    ) -> Replayed:  # fmt: skip
        try:
            snapshot = self._library.snapshot(inputs, parts)
        except NotRebuildable as error:
            if not changed:
                raise ReplayImpossible(f"what the advice was made from cannot be used: {error}") from error
            answer: AdvisedAgain | Refused = Refused(f"this build cannot use what the recorded one was given: {error}")
        else:
            answer = advise_again(record, selection, snapshot)
        found = (
            *request_differences(selection.request, selection.request_hash), *advice_differences(record, answer)
        )  # fmt: skip
        replayed = None if isinstance(answer, Refused) else answer.advice
        return verdict_of(record.response, replayed, found, changed, is_advice=True)

    def _compare(self, record: RecordedSelection, inputs: DecisionInputs, parts: ReferenceParts,
                 changed: tuple[Difference, ...]) -> Replayed:
        answer = self._decide(record, inputs, parts, rebuilt_by_other=bool(changed))
        found = list(request_differences(record.request, record.request_hash))
        if isinstance(answer, Refused):
            found.append(Difference("response", "a decision", answer.text))
        else:
            found += response_differences(record.response, answer)
        replayed = None if isinstance(answer, Refused) else answer
        return verdict_of(record.response, replayed, tuple(found), changed)

    def _decide(self, record: RecordedSelection, inputs: DecisionInputs, parts: ReferenceParts,
                rebuilt_by_other: bool) -> bytes | Refused:
        try:
            snapshot = self._library.snapshot(inputs, parts)
        except NotRebuildable as error:
            if rebuilt_by_other:
                return Refused(f"this build cannot use what the recorded one was given: {error}")
            raise ReplayImpossible(f"what the decision was made from cannot be used: {error}") from error
        return decide_again(record.request, snapshot, inputs, record.selection_id, record.created_at_ns)

    async def _build_differences(self, recorded_id: str) -> tuple[Difference, ...]:
        """What differs between the recorded build and this one; at least one line where the two are not the same."""
        if recorded_id == self._build.build_id:
            return ()
        whole = Difference(BUILD_FIELD, recorded_id, self._build.build_id)
        try:
            recorded = parts_from(await self._library.reference("build", recorded_id))
        except (SourceMissing, StoreUnavailable, msgspec.DecodeError):
            return (whole,)
        return (whole, *part_differences(recorded, self._build.parts))


def inputs_of(name: str, data: bytes) -> DecisionInputs:
    """What a record was made from. Raises ReplayImpossible."""
    if not data:
        raise ReplayImpossible(f"{name} was recorded without its inputs")
    try:
        return decode_inputs(data)
    except InputsUnreadable as error:
        raise ReplayImpossible(f"{name}: {error}") from error


def verdict_of(
    recorded: bytes, replayed: bytes | None, found: tuple[Difference, ...], changed: tuple[Difference, ...],
    is_advice: bool = False,
) -> Replayed:  # fmt: skip
    """`found`: what came out otherwise; `changed`: how the build differs from the one that made the record."""
    if changed:
        return Replayed(ReplayVerdict.ENGINE_CHANGED, recorded, replayed, (*found, *changed), is_advice)
    verdict = ReplayVerdict.DIFFERENT if found else ReplayVerdict.IDENTICAL
    return Replayed(verdict, recorded, replayed, found, is_advice)


def part_differences(recorded: Mapping[str, str], ours: Mapping[str, str]) -> tuple[Difference, ...]:
    """By part of a build: "engine_build.numpy"."""
    rows = ((name, recorded.get(name, ABSENT), ours.get(name, ABSENT)) for name in sorted({*recorded, *ours}))
    return tuple(Difference(f"{BUILD_FIELD}.{name}", old, new) for name, old, new in rows if old != new)


async def answer_replay(replayer: Replayer, data: bytes, wait_s: float) -> bytes:
    """The Replay call: bytes in, bytes out, within so many seconds. Raises RpcError."""
    asked = record_asked(data)
    if isinstance(asked, list):
        raise invalid(asked)
    try:
        return replay_answer(await within(wait_s, replayer.replay(asked), "the replay"))
    except RecordMissing as error:
        raise RpcError(grpc.StatusCode.NOT_FOUND, str(error)) from error
    except ReplayImpossible as error:
        raise RpcError(grpc.StatusCode.FAILED_PRECONDITION, str(error)) from error
    except ReplayBusy as error:
        raise exhausted(str(error), RETRY_MS) from error
    except StoreUnavailable as error:
        raise RpcError(grpc.StatusCode.UNAVAILABLE, f"the record cannot be read now: {error}") from error
