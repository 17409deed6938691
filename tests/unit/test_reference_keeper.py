"""At a keeper's start: everything is archived, recorded once, and again where nobody knows whether it was."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from engine.records import OperationRecord, Record, ReferenceRecord
from service.engine_build import this_build
from service.reference import sources_of
from service.reference_keeper import Active, ReferenceKeeper
from store.archive import Archive, unpack
from store.artifacts import write_artifact
from store.errors import ArtifactInvalid
from store.submission import Acknowledgement
from tests.helpers import world
from tests.helpers.memory_recorder import MemoryRecorder

NOW_NS = 1_800_000_000_000_000_000


@pytest.fixture
def active(tmp_path: Path) -> Active:
    for kind in ("surfaces", "models"):
        write_artifact(tmp_path / kind, kind, {"a.bin": kind.encode()}, {}, created_by="a test")
    return Active(sources_of(world.usual(), this_build()), (tmp_path / "surfaces", tmp_path / "models"))


def keeper(tmp_path: Path, journal: MemoryRecorder, active: Active) -> ReferenceKeeper:
    async def no_wait(_seconds: float) -> None:
        await asyncio.sleep(0)

    return ReferenceKeeper(Archive(tmp_path / "archive"), journal, active, clock_ns=lambda: NOW_NS, sleep=no_wait)


async def test_everything_is_archived_and_recorded_before_the_start_is_over(tmp_path: Path, active: Active) -> None:
    journal, archive = MemoryRecorder(), Archive(tmp_path / "archive")
    await keeper(tmp_path, journal, active).start()
    references = journal.of(ReferenceRecord)
    assert [r.sha256 for r in references if isinstance(r, ReferenceRecord)] == [
        packed.sha256 for packed in active.sources.packed
    ]
    for record in references:
        assert isinstance(record, ReferenceRecord)
        assert archive.reference(record.sha256) == unpack(record.sha256, record.content)
    operations = [record for record in journal.records if isinstance(record, OperationRecord)]
    assert [(o.kind, o.scope, o.actor, o.detail["artifact_kind"]) for o in operations] == [
        ("ARTIFACT_ACTIVATED", "FIRM", "service", kind) for kind in ("surfaces", "models")
    ]
    assert all(archive.load_artifact(operation.subject) is not None for operation in operations)


async def test_a_second_start_records_nothing(tmp_path: Path, active: Active) -> None:
    await keeper(tmp_path, MemoryRecorder(), active).start()
    again = MemoryRecorder()
    await keeper(tmp_path, again, active).start()
    assert again.records == []


async def test_an_upgrade_is_recorded_with_what_was_before(tmp_path: Path, active: Active) -> None:
    first, second = MemoryRecorder(), MemoryRecorder()
    await keeper(tmp_path, first, active).start()
    old = [record for record in first.records if isinstance(record, OperationRecord)][1]
    write_artifact(tmp_path / "models", "models", {"a.bin": b"better"}, {})
    changed = world.snapshot(limits=None, changed={
        world.US: replace(world.views()[world.US], open_local_minute=571.0),
    })  # fmt: skip
    await keeper(tmp_path, second, replace(active, sources=sources_of(changed, this_build()))).start()
    reference, operation = second.records
    assert isinstance(reference, ReferenceRecord)
    assert reference.kind == "instrument"
    assert isinstance(operation, OperationRecord)
    assert operation.detail["previous_sha256"] == old.subject
    assert Archive(tmp_path / "archive").load_artifact(old.subject) is not None


async def test_a_full_journal_delays_the_record_and_not_the_start(tmp_path: Path, active: Active) -> None:
    journal = MemoryRecorder(full_times=3, awaited=len(active.sources.packed) + 2)
    starting = keeper(tmp_path, journal, active)
    await starting.start()
    assert journal.records == []
    assert Archive(tmp_path / "archive").reference(active.sources.packed[0].sha256) is not None
    async with asyncio.timeout(10.0):
        await journal.reached.wait()
    await starting.stop()


async def test_an_error_that_nobody_expected_does_not_end_the_recording(tmp_path: Path, active: Active) -> None:
    class Strange(MemoryRecorder):
        tried = 0

        async def record(self, record: Record, acknowledgement: Acknowledgement) -> None:
            self.tried += 1
            if self.tried == 2:  # not at the start, which would end with it
                raise ValueError("something that nobody expected")
            await super().record(record, acknowledgement)

    journal = Strange(full_times=1)
    journal.awaited = len(active.sources.packed) + 2
    started = keeper(tmp_path, journal, active)
    await started.start()
    async with asyncio.timeout(5.0):
        await journal.reached.wait()
    await started.stop()


async def test_a_stop_leaves_the_rest_to_the_next_start(tmp_path: Path, active: Active) -> None:
    starting = keeper(tmp_path, MemoryRecorder(full_times=10**9), active)
    await starting.start()
    await starting.stop()
    again = MemoryRecorder()
    await keeper(tmp_path, again, active).start()
    assert len(again.records) == len(active.sources.packed) + 2


async def test_what_a_crash_left_unnoted_is_recorded_again_under_the_same_id(tmp_path: Path, active: Active) -> None:
    first, second = MemoryRecorder(crash_after=3), MemoryRecorder()
    with pytest.raises(RuntimeError, match="died"):
        await keeper(tmp_path, first, active).start()
    await keeper(tmp_path, second, active).start()
    ids = [record.reference_id for record in second.records if isinstance(record, ReferenceRecord)]
    assert len(ids) == len(set(ids)) == len(active.sources.packed)
    assert [r.reference_id for r in first.records if isinstance(r, ReferenceRecord)] == ids[:3]


async def test_an_unsound_artifact_stops_the_start(tmp_path: Path, active: Active) -> None:
    (tmp_path / "models" / "a.bin").write_bytes(b"dust")
    with pytest.raises(ArtifactInvalid):
        await keeper(tmp_path, MemoryRecorder(), active).start()
