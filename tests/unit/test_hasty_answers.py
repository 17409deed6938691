"""Too little of the deadline is left: the surfaces answer alone, say so, and the answer replays like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest

from engine.records import SelectionRecord
from engine.snapshot import Snapshot
from service.errors import RpcError
from service.handlers import NoDeadline, Stages, StrategyHandlers
from service.mapping.inputs import decode_inputs
from service.mapping.replays import ReplayVerdict
from service.world import World
from store.archive import Archive
from store.claims import Verdict
from store.controls_port import ControlCallback, ControlView, Unsubscribe
from store.submission import Acknowledgement, StoredSelection, Submission
from tests.helpers import world
from tests.helpers.replay_world import (
    Artifacts,
    Host,
    Records,
    artifacts_in,
    message_of,
    response_in,
    snapshot_of,
)

NOW_NS = world.at(world.US, 60.0)


class Left:
    """A call with so much time left."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def time_remaining(self) -> float:
        return self._seconds


class Kept:
    """A keeper that takes everything and keeps the last."""

    def __init__(self) -> None:
        self.record: SelectionRecord | None = None

    async def submit(self, record: SelectionRecord, _acknowledgement: Acknowledgement) -> Submission:
        self.record = record
        return Submission(Verdict.ACCEPTED, record.selection_id, record.response, None, None)

    async def find(self, _order_id: str) -> tuple[StoredSelection, ...]:
        return ()

    def watch_controls(self, callback: ControlCallback) -> Unsubscribe:
        """Nothing is halted or limited."""
        callback(ControlView())
        return lambda: None


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    return artifacts_in(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="module")
def learned(artifacts: Artifacts) -> Snapshot:
    return snapshot_of(artifacts)


def handlers_of(host: Host, artifacts: Artifacts, keeper: Any) -> StrategyHandlers:
    alone = snapshot_of(artifacts, learned=False).surfaces
    return StrategyHandlers(
        World(host.snapshot, surfaces=alone), keeper, acknowledgement="JOURNALED", max_concurrent_recommends=4,
        structural_below_ms=5.0, inputs=host.encoder(), replayer=host.replayer(), clock_ns=lambda: NOW_NS,
    )


async def test_in_haste_the_surfaces_decide_alone_and_it_replays(
    tmp_path: Path, artifacts: Artifacts, learned: Snapshot
) -> None:
    host = Host(Archive(tmp_path), Records(), learned)
    host.start(artifacts)
    keeper = Kept()
    handlers = handlers_of(host, artifacts, keeper)
    request = message_of(world.order()).SerializeToString()
    answer = response_in(await handlers.recommend(request, Left(0.004), Stages()))
    assert answer.structural_only
    assert answer.versions.models_sha256 == ""
    assert keeper.record is not None
    assert decode_inputs(keeper.record.inputs).models_sha256 == ""

    without = Host(Archive(tmp_path / "without"), Records(), snapshot_of(artifacts, learned=False))
    plain = response_in(
        await handlers_of(without, artifacts, Kept()).recommend(request, NoDeadline(), Stages())
    )
    plain.selection_id = answer.selection_id
    assert plain == answer, "not what a service without models says"

    replayer = host.replayer()
    try:
        replayed = await replayer.replay(host.records.add(keeper.record))
    finally:
        replayer.close()
    assert replayed.verdict is ReplayVerdict.IDENTICAL


@pytest.mark.parametrize("call", [NoDeadline(), Left(0.006)])
async def test_with_time_enough_the_models_decide(
    tmp_path: Path, artifacts: Artifacts, learned: Snapshot, call: Any
) -> None:
    handlers = handlers_of(Host(Archive(tmp_path), Records(), learned), artifacts, Kept())
    answer = response_in(await handlers.recommend(message_of(world.order()).SerializeToString(), call, Stages()))
    assert not answer.structural_only
    assert answer.versions.models_sha256


async def test_after_the_deadline_nothing_is_decided(
    tmp_path: Path, artifacts: Artifacts, learned: Snapshot
) -> None:
    keeper = Kept()
    handlers = handlers_of(Host(Archive(tmp_path), Records(), learned), artifacts, keeper)
    with pytest.raises(RpcError) as caught:
        await handlers.recommend(message_of(world.order()).SerializeToString(), Left(0.0), Stages())
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert keeper.record is None
