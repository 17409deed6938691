"""Whatever was decided is decided again from the record, to the byte: in this process, in another one, and after the
artifacts, the market and the reference data have become others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from engine.catalogue import CatalogueChoice, candidate_set
from engine.records import SelectionRecord
from engine.snapshot import Limits, Snapshot
from service.mapping.inputs import InputsEncoder
from service.mapping.replays import ReplayVerdict
from service.reference import sources_of
from store.archive import Archive
from tests.helpers.replay_world import (
    SHIPPED,
    Artifacts,
    Host,
    Records,
    artifacts_in,
    decided,
    random_messages,
    recorded,
    response_in,
    snapshot_of,
)

ROUNDS = 420
REPOSITORY = SHIPPED.parents[1]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    return artifacts_in(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    return artifacts_in(tmp_path_factory.mktemp("upgraded"), cost_scale=1.37)


def decisions(snapshot: Snapshot, encoder: InputsEncoder, seed: int, rounds: int) -> Iterator[SelectionRecord]:
    rng = np.random.default_rng(seed)
    for message, met, now_ns in random_messages(rng, snapshot, rounds):
        record = decided(message, met, encoder, now_ns)
        if record is not None:
            yield record


def kinds_of(record: SelectionRecord) -> Counter[str]:
    """What was special about a decision, so that a test can tell that it saw all of it."""
    response = response_in(record.response)
    told = " ".join(response.warnings)
    return Counter({
        "decided": 1, "detected": response.condition.detected, "structural": response.structural_only,
        "learned": not response.structural_only, "bars": len(record.inputs) > 600,
        "own bars": len(record.request) > 1_000, "carried over": "carried over" in told,
        "closed": "market is closed" in told, "other length": "not the usual" in told,
        "lunch": record.instrument_id.endswith((".SZ", ".SH")), "bars left out": "recent_bars were left out" in told,
    })  # fmt: skip


@pytest.mark.parametrize(("seed", "learned", "venue_names"), [(1, True, False), (2, True, True), (3, False, False)])
async def test_every_decision_is_made_again_to_the_byte(tmp_path: Path, artifacts: Artifacts, seed: int,
                                                        learned: bool, venue_names: bool) -> None:
    limits = Limits(0.25, 400.0, 10.0) if venue_names else None
    host = Host(Archive(tmp_path), Records(), snapshot_of(artifacts, learned, venue_names, limits))
    host.start(artifacts)
    replayer, seen = host.replayer(), Counter[str]()
    for record in decisions(host.snapshot, host.encoder(), seed, ROUNDS):
        found = await replayer.replay(host.records.add(record))
        assert (found.verdict, found.differences) == (ReplayVerdict.IDENTICAL, ()), record.request
        assert found.replayed == found.recorded == record.response
        seen += kinds_of(record)
    assert host.records.asked == []
    missing = {"learned"} if not learned else set[str]()
    wanted = set(kinds_of(record)) - missing
    assert {name for name in wanted if seen[name] < 5} == set(), seen
    assert seen["decided"] >= ROUNDS // 2
    replayer.close()


async def test_old_decisions_survive_an_upgrade_of_everything(tmp_path: Path, artifacts: Artifacts,
                                                             upgraded: Artifacts) -> None:
    """The artifacts are replaced, the market moves, an operator narrows the catalogue and the limits, an instrument's
    lot and fees change: what was decided before is still decided again alike, from the archive."""
    old = Host(Archive(tmp_path), Records(), snapshot_of(artifacts))
    old.start(artifacts)
    records = list(decisions(old.snapshot, old.encoder(), 4, 150))
    fresh = snapshot_of(upgraded, limits=Limits(0.11, 90.0, 1.0), venue_names=True)
    views = {
        name: replace(view, instrument=replace(view.instrument, tick_size=view.instrument.tick_size * 2.0))
        for name, view in fresh.views.items()
    }
    choices = [CatalogueChoice("VWAP", enabled=False), CatalogueChoice("POV", enabled=False)]
    new = Host(old.archive, old.records, replace(fresh, views=views, catalogue=candidate_set(choices)))
    new.start(upgraded)
    newer = list(decisions(new.snapshot, new.encoder(), 4, 150))
    replayer = new.replayer()
    for record in (*records, *newer):
        found = await replayer.replay(new.records.add(record))
        assert (found.verdict, found.differences) == (ReplayVerdict.IDENTICAL, ()), record.request
    versions = {response_in(record.response).versions.surfaces_sha256 for record in (*records, *newer)}
    assert len(versions) == 2
    replayer.close()


def test_another_process_makes_the_same_bytes(tmp_path: Path, artifacts: Artifacts) -> None:
    """After a restart, under another seed of hashes, from what lies on disk."""
    host = Host(Archive(tmp_path / "archive"), Records(), snapshot_of(artifacts))
    host.start(artifacts)
    records = [recorded(record) for record in decisions(host.snapshot, host.encoder(), 5, 150)]
    (tmp_path / "records").write_bytes(msgspec.msgpack.encode(records))
    environment = {
        **os.environ, "PYTHONHASHSEED": "99", "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'generated'}",
    }
    command = [sys.executable, "-m", "tests.helpers.replay_records", str(tmp_path)]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True, timeout=100
    )
    assert json.loads(done.stdout) == {"IDENTICAL": len(records)}


async def test_reference_data_come_from_postgresql_where_the_archive_has_none(tmp_path: Path,
                                                                             artifacts: Artifacts) -> None:
    host = Host(Archive(tmp_path), Records(), snapshot_of(artifacts))
    for packed in sources_of(host.snapshot, host.build).packed:
        host.records.references[packed.sha256] = packed.content
    record = next(decisions(host.snapshot, host.encoder(), 6, 50))
    replayer = host.replayer()
    assert (await replayer.replay(host.records.add(record))).verdict is ReplayVerdict.IDENTICAL
    assert len(host.records.asked) == 3
    assert (await replayer.replay(record.selection_id)).verdict is ReplayVerdict.IDENTICAL
    assert len(host.records.asked) == 3  # kept in the archive since
    replayer.close()
