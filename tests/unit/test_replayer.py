"""What a replay says when the record, the build, or what stands behind it is not as it was."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from execution_strategy.v1 import replay_pb2, request_pb2

from engine.snapshot import Snapshot
from service.engine_build import EngineBuild, this_build
from service.errors import RpcError
from service.mapping.field_differences import Difference
from service.mapping.inputs import decode_inputs, encode_inputs
from service.mapping.replays import Replayed, ReplayVerdict
from service.reference import sources_of
from service.replay import RecordMissing, ReplayBusy, Replayer, ReplayImpossible, answer_replay
from store.archive import Archive
from store.errors import StoreUnavailable
from store.record_reader import RecordedSelection
from tests.helpers import world
from tests.helpers.replay_world import (
    Artifacts,
    Host,
    Records,
    artifacts_in,
    decided,
    message_of,
    recorded,
    response_in,
    snapshot_of,
)

NOW_NS = world.at(world.US, 60.0)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    return artifacts_in(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    return artifacts_in(tmp_path_factory.mktemp("upgraded"), cost_scale=1.2)


@pytest.fixture(scope="module")
def loaded(artifacts: Artifacts) -> Snapshot:
    return snapshot_of(artifacts)


@pytest.fixture(scope="module")
def loaded_upgrade(upgraded: Artifacts) -> Snapshot:
    return snapshot_of(upgraded)


@dataclass
class Case:
    """A host and one decision of it."""

    host: Host
    record: RecordedSelection

    async def replay(self, **changes: object) -> Replayed:
        """The record with some of it changed, replayed."""
        changed = replace(self.record, **changes)  # type: ignore[arg-type]  # by name, as the tests say them
        self.host.records.selections = {changed.selection_id: changed}
        replayer = self.host.replayer()
        try:
            return await replayer.replay(changed.selection_id)
        finally:
            replayer.close()


@pytest.fixture
def case(tmp_path: Path, artifacts: Artifacts, loaded: Snapshot) -> Case:
    host = Host(Archive(tmp_path / "archive"), Records(), loaded)
    host.start(artifacts)
    record = decided(message_of(world.order()), host.snapshot, host.encoder(), NOW_NS)
    assert record is not None
    return Case(host, recorded(record))


def fields(found: Replayed) -> set[str]:
    return {each.field for each in found.differences}


async def test_an_untouched_record_is_identical(case: Case) -> None:
    found = await case.replay()
    assert found == Replayed(ReplayVerdict.IDENTICAL, case.record.response, case.record.response, ())


async def test_a_changed_response_is_told_by_its_field(case: Case) -> None:
    response = response_in(case.record.response)
    was = response.expected_outcomes.estimated_cost
    response.expected_outcomes.estimated_cost = was * 0.5
    found = await case.replay(response=response.SerializeToString(deterministic=True))
    assert found.verdict is ReplayVerdict.DIFFERENT
    assert found.differences == (Difference("expected_outcomes.estimated_cost", str(was * 0.5), str(was)),)
    assert found.replayed == case.record.response


@pytest.mark.parametrize("position", range(0, 100, 9))
async def test_any_flipped_bit_of_the_response_is_a_difference(case: Case, position: int) -> None:
    data = bytearray(case.record.response)
    data[len(data) * position // 100] ^= 1
    found = await case.replay(response=bytes(data))
    assert found.verdict is ReplayVerdict.DIFFERENT
    assert found.differences


@pytest.mark.parametrize("position", range(0, 100, 9))
async def test_any_flipped_bit_of_the_request_is_a_difference(case: Case, position: int) -> None:
    data = bytearray(case.record.request)
    data[len(data) * position // 100] ^= 1
    found = await case.replay(request=bytes(data))
    assert found.verdict is ReplayVerdict.DIFFERENT
    assert "request_hash" in fields(found)


async def test_another_quantity_with_its_own_hash_still_differs(case: Case) -> None:
    message = request_pb2.ExecutionStrategyRequest.FromString(case.record.request)
    message.quantity *= 3.0
    found = await case.replay(request=message.SerializeToString(deterministic=True))
    assert found.verdict is ReplayVerdict.DIFFERENT
    assert {"request_hash", "versions.seed", "recommended_strategy.time_allocation.slices[0].quantity"} <= fields(found)


async def test_bytes_that_say_the_same_otherwise_differ_too(case: Case) -> None:
    unknown_field = b"\xfa\x7f\x01x"  # number 2047, which the contract does not have
    found = await case.replay(response=case.record.response + unknown_field)
    assert (found.verdict, fields(found)) == (ReplayVerdict.DIFFERENT, {"response"})
    assert "not canonical" in found.differences[0].recorded


async def test_what_cannot_be_read_is_told(case: Case) -> None:
    found = await case.replay(response=b"\xff\xff")
    assert (found.verdict, fields(found)) == (ReplayVerdict.DIFFERENT, {"response"})
    found = await case.replay(request=b"\xff\xff")
    assert (found.verdict, found.replayed) == (ReplayVerdict.DIFFERENT, None)
    assert "cannot be read" in found.differences[-1].replayed


async def test_a_refusal_now_is_a_difference(case: Case) -> None:
    inputs = decode_inputs(case.record.inputs)
    nothing = replace(inputs, market=replace(inputs.market, mid_price=None))
    found = await case.replay(inputs=encode_inputs(nothing))
    assert (found.verdict, found.replayed) == (ReplayVerdict.DIFFERENT, None)
    assert "market_context.mid_price" in found.differences[0].replayed
    message = replay_pb2.ReplayResponse.FromString(await answered(case))
    assert message.recorded == response_in(case.record.response)
    assert not message.HasField("replayed")


async def test_other_figures_of_the_market_are_told_by_what_they_change(case: Case) -> None:
    inputs = decode_inputs(case.record.inputs)
    moved = replace(inputs, market=replace(inputs.market, daily_volatility_fraction=0.08))
    found = await case.replay(inputs=encode_inputs(moved))
    assert found.verdict is ReplayVerdict.DIFFERENT
    assert "resolved_inputs.daily_volatility" in fields(found)


async def test_the_time_of_the_decision_is_the_recorded_one(case: Case) -> None:
    found = await case.replay(created_at_ns=case.record.created_at_ns + 1)
    assert (found.verdict, fields(found)) == (ReplayVerdict.DIFFERENT, {"created_at"})


def other_build(**parts: str) -> EngineBuild:
    return EngineBuild({**this_build().parts, **parts})


async def test_another_build_says_so_even_where_the_decision_is_the_same(case: Case) -> None:
    case.host.build = other_build(numpy="9.9", cpu="riscv64")
    found = await case.replay()
    assert (found.verdict, found.replayed) == (ReplayVerdict.ENGINE_CHANGED, case.record.response)
    assert found.differences[1:] == (
        Difference("engine_build.cpu", this_build().parts["cpu"], "riscv64"),
        Difference("engine_build.numpy", this_build().parts["numpy"], "9.9"),
    )
    assert found.differences[0] == Difference("engine_build", this_build().build_id, case.host.build.build_id)


async def test_another_build_that_decides_otherwise_lists_both(case: Case) -> None:
    case.host.build = other_build(version="7")
    response = response_in(case.record.response)
    response.strategy_rationale = "of old"
    found = await case.replay(response=response.SerializeToString(deterministic=True))
    assert found.verdict is ReplayVerdict.ENGINE_CHANGED
    assert fields(found) == {"strategy_rationale", "engine_build", "engine_build.version"}


async def test_a_build_of_which_nothing_is_known_is_told_by_its_hash(case: Case) -> None:
    inputs = replace(decode_inputs(case.record.inputs), build_id="ee" * 32)
    found = await case.replay(inputs=encode_inputs(inputs))
    assert found.verdict is ReplayVerdict.ENGINE_CHANGED
    assert found.differences == (Difference("engine_build", "ee" * 32, this_build().build_id),)


async def test_what_another_build_cannot_use_is_no_failure(case: Case) -> None:
    """Reference data of a form that is not known: the old build had another one."""
    inputs = decode_inputs(case.record.inputs)
    wrong = replace(inputs, build_id="ee" * 32, reference_sha256=inputs.instrument_sha256)
    found = await case.replay(inputs=encode_inputs(wrong))
    assert (found.verdict, found.replayed) == (ReplayVerdict.ENGINE_CHANGED, None)
    assert "cannot use" in found.differences[0].replayed
    with pytest.raises(ReplayImpossible, match="cannot be used"):
        await case.replay(inputs=encode_inputs(replace(wrong, build_id=inputs.build_id)))


async def test_an_upgraded_host_still_has_the_old_artifacts(case: Case, upgraded: Artifacts,
                                                           loaded_upgrade: Snapshot) -> None:
    case.host.snapshot = loaded_upgrade
    case.host.start(upgraded)
    assert (await case.replay()).verdict is ReplayVerdict.IDENTICAL


def artifact_file(case: Case, sha256: str) -> Path:
    folder = case.host.archive.artifact_folder(sha256)
    assert folder is not None
    return folder / "manifest.json"


async def test_what_is_missing_is_named(case: Case, loaded_upgrade: Snapshot) -> None:
    inputs = decode_inputs(case.record.inputs)
    case.host.snapshot = loaded_upgrade
    artifact_file(case, inputs.models_sha256).unlink()
    with pytest.raises(ReplayImpossible, match=f"the models {inputs.models_sha256} are not in the archive"):
        await case.replay()
    artifact_file(case, inputs.surfaces_sha256).unlink()
    with pytest.raises(ReplayImpossible, match=f"the surfaces {inputs.surfaces_sha256} are not in the archive"):
        await case.replay()
    for kind in ("reference", "instrument", "sessions"):
        lost: dict[str, Any] = {f"{kind}_sha256": "0" * 64}
        gone = replace(inputs, **lost)
        with pytest.raises(ReplayImpossible, match=f"the {kind} data {'0' * 64} are neither"):
            await case.replay(inputs=encode_inputs(gone))


async def test_a_damaged_artifact_is_named(case: Case, loaded_upgrade: Snapshot) -> None:
    inputs = decode_inputs(case.record.inputs)
    case.host.snapshot = loaded_upgrade
    (artifact_file(case, inputs.surfaces_sha256).parent / "surfaces.npz").write_bytes(b"dust")
    with pytest.raises(ReplayImpossible, match=r"surfaces\.npz is truncated"):
        await case.replay()


async def test_damaged_reference_data_are_fetched_again(case: Case, tmp_path: Path) -> None:
    inputs = decode_inputs(case.record.inputs)
    path = tmp_path / "archive" / "reference" / inputs.instrument_sha256
    path.write_bytes(b"dust")
    with pytest.raises(ReplayImpossible, match=inputs.instrument_sha256):
        await case.replay()
    for packed in sources_of(case.host.snapshot, case.host.build).packed:
        case.host.records.references[packed.sha256] = packed.content
    assert (await case.replay()).verdict is ReplayVerdict.IDENTICAL
    assert path.read_bytes() != b"dust"


async def test_records_without_usable_inputs_cannot_be_replayed(case: Case) -> None:
    with pytest.raises(ReplayImpossible, match="recorded without its inputs"):
        await case.replay(inputs=b"")
    with pytest.raises(ReplayImpossible, match="damaged"):
        await case.replay(inputs=case.record.inputs[:-3])


async def answered(case: Case, selection_id: str | None = None) -> bytes:
    request = replay_pb2.ReplayRequest(selection_id=selection_id or case.record.selection_id)
    replayer = case.host.replayer()
    try:
        return await answer_replay(replayer, request.SerializeToString(), 30.0)
    finally:
        replayer.close()


async def test_the_call_answers_in_the_contract_s_terms(case: Case) -> None:
    case.host.records.add(case.record)
    message = replay_pb2.ReplayResponse.FromString(await answered(case))
    assert message.verdict == 1
    assert message.recorded == message.replayed == response_in(case.record.response)
    assert not message.differences
    in_capitals = await answered(case, case.record.selection_id.upper())
    assert replay_pb2.ReplayResponse.FromString(in_capitals) == message
    for selection_id, code in (("5f3c1f5e-0000-4000-8000-000000000000", "NOT_FOUND"), ("no id", "INVALID_ARGUMENT")):
        with pytest.raises(RpcError) as caught:
            await answered(case, selection_id)
        assert caught.value.code.name == code
    case.host.records.add(replace(case.record, inputs=b""))
    with pytest.raises(RpcError) as caught:
        await answered(case)
    assert caught.value.code.name == "FAILED_PRECONDITION"


class Held(Records):
    """Answers when it is let go; away where it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = asyncio.Event()
        self.away = False

    async def selection(self, selection_id: str) -> RecordedSelection | None:
        await self.let_go.wait()
        if self.away:
            raise StoreUnavailable("no answer")
        return await super().selection(selection_id)


async def test_no_more_than_a_few_run_at_once(case: Case) -> None:
    case.host.records = held = Held()
    held.add(case.record)
    replayer: Replayer = case.host.replayer(most_at_once=2)
    running = [asyncio.create_task(replayer.replay(case.record.selection_id)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(ReplayBusy):
        await replayer.replay(case.record.selection_id)
    question = replay_pb2.ReplayRequest(selection_id=case.record.selection_id).SerializeToString()
    with pytest.raises(RpcError) as caught:
        await answer_replay(replayer, question, 30.0)
    assert caught.value.code.name == "RESOURCE_EXHAUSTED"
    held.let_go.set()
    assert {(await task).verdict for task in running} == {ReplayVerdict.IDENTICAL}
    held.away = True
    with pytest.raises(RpcError) as caught:
        await answer_replay(replayer, question, 30.0)
    assert caught.value.code.name == "UNAVAILABLE"
    held.away = False
    held.let_go.clear()
    with pytest.raises(RpcError) as caught:
        await answer_replay(replayer, question, 0.01)
    assert (caught.value.code.name, "within" in caught.value.text) == ("UNAVAILABLE", True)
    held.let_go.set()
    with pytest.raises(RecordMissing):
        await replayer.replay("5f3c1f5e-0000-4000-8000-000000000000")
    replayer.close()
