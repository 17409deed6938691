"""Outcomes and corrections over a real PostgreSQL: what is read, what is told, what cannot be changed; and what
training reads of them."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from engine.catalogue import ALGORITHM_NAMES
from engine.records import Record
from engine.scoring.models import models_from_arrays
from service.learned import corrections_from
from service.learning import compute
from service.models import ARRAYS_FILE, load_models
from store.artifacts import bytes_to_arrays, load_artifact
from store.errors import StoreUnavailable
from store.learning_rows import CHANNEL, Pair
from store.learning_store import LearningStore
from store.outbox_bell import OutboxBell
from store.pool import PoolSettings, make_pool
from store.postgres_sink import PostgresSink
from store.server_checks import SERVICE_ROLE
from tests.helpers.chains import entries_of
from tests.helpers.learned_orders import ALGORITHMS, decided, ended, history
from training.command import main as train
from training.labelling import shipped_surfaces

SHIPPED = Path(__file__).resolve().parents[2] / "store" / "shipped" / "models"
PAIR = Pair("s" * 64, "m" * 64)


async def drain(database: str, records: Sequence[Record]) -> None:
    async with make_pool(PoolSettings(database, role=SERVICE_ROLE)) as pool:
        sink = PostgresSink(pool, "journal-a")
        await sink.position("journal-a")
        await sink.write(entries_of("journal-a", records))


@asynccontextmanager
async def store_on(conninfo: str) -> AsyncIterator[LearningStore]:
    pool = make_pool(PoolSettings(conninfo, min_size=0, acquire_timeout_s=0.5, role=SERVICE_ROLE))
    await pool.open(wait=False)
    try:
        yield LearningStore(pool)
    finally:
        await pool.close(timeout=1.0)


async def test_an_outcome_comes_as_the_learner_wants_it(database: str) -> None:
    first = decided(0, *_names(), "POV", online_correction=0.0002, propensity=0.25, explored=True)
    mine, again = ended(first, 0.0030, arrival_mid_price=100.0, final_mid_price=101.0), ended(first, 0.5)
    other = decided(1, "other", PAIR.models_sha256, "POV")
    unknown = decided(2, *_names(), "NOT_OF_THIS_BUILD")
    await drain(database, [
        first, mine, again, other, ended(other, 0.1), unknown, ended(unknown, 0.1), decided(3, *_names(), "TWAP"),
    ])  # fmt: skip
    async with store_on(database) as store:
        (found,) = await store.outcomes(PAIR)
    assert (found.selection_id, found.algorithm) == (first.selection_id, ALGORITHM_NAMES.index("POV"))
    assert found.predicted_bps == pytest.approx(8.0)
    assert (found.cost_bps, found.surprise_bps) == (pytest.approx(30.0), pytest.approx(22.0))
    assert found.market_move_bps == pytest.approx(99.5, abs=0.1)
    assert (found.size_days, found.impact_bps, found.leakage_bps) == (pytest.approx(0.01), pytest.approx(6.0), 0.0)
    assert (found.propensity, found.explored, found.condition) == (0.25, True, "NORMAL")


async def test_corrections_are_computed_once_and_told_to_who_listens(database: str) -> None:
    await drain(database, history(900, *_names(), worse_bps=12.0))
    bell = OutboxBell(PoolSettings(database), channel=CHANNEL)
    bell.start()
    try:
        await asyncio.wait_for(bell.wait(0, 5.0), 6.0)  # it listens now
        seen = bell.rings
        async with store_on(database) as store:
            assert await store.latest(PAIR) is None
            found = await compute(store, PAIR, "host-a")
            assert found is not None
            assert found.alarms == (ALGORITHMS[0],)
            held = await store.latest(PAIR)
            assert held is not None
            assert corrections_from(held) == found
            assert await store.latest(Pair("s" * 64, "")) is None
            await bell.wait(seen, 5.0)
            assert bell.rings > seen
            # Nothing new: no second row.
            assert await compute(store, PAIR, "host-a") is None
    finally:
        await bell.stop()
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT host_id, outcomes, alarms FROM corrections").fetchall()
    assert rows == [("host-a", 900, [ALGORITHMS[0]])]


async def test_one_host_computes_at_a_time(database: str) -> None:
    async with store_on(database) as store:
        with psycopg.connect(database) as connection:
            connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('ess_learning', 0))")
            assert not await store.add(PAIR, "host-b", 1, (), b"x")
        assert await store.add(PAIR, "host-b", 1, (), b"x")


@pytest.mark.parametrize("table", ["corrections", "model_promotions", "shadow_scores"])
@pytest.mark.parametrize("role", [None, SERVICE_ROLE])
def test_history_of_learning_is_append_only(database: str, table: str, role: str | None) -> None:
    rows = {
        "corrections": "INSERT INTO corrections (surfaces_sha256, models_sha256, outcomes, content)"
        " VALUES ('', '', 1, '')",
        "model_promotions": "INSERT INTO model_promotions (models_sha256, previous_sha256, action, actor, reason)"
        " VALUES ('a', 'b', 'PROMOTED', 'me', '')",
        "shadow_scores": "INSERT INTO shadow_scores (selection_id, challenger_sha256, champion_sha256,"
        " champion_algorithm, champion_cost_bps, challenger_algorithm, challenger_strategy, challenger_cost_bps,"
        " same_choice) VALUES (gen_random_uuid(), '', '', '', 1, '', '', 1, true)",
    }
    with psycopg.connect(database) as connection:
        connection.execute(rows[table].encode())
    for statement in (f"UPDATE {table} SET created_at = now()", f"DELETE FROM {table}", f"TRUNCATE {table}"):
        with psycopg.connect(database) as connection:
            if role is not None:
                connection.execute(f"SET ROLE {role}".encode())
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


async def test_without_a_server_there_is_nothing_to_learn_from() -> None:
    async with store_on("postgresql://127.0.0.1:1/none") as store:
        with pytest.raises(StoreUnavailable):
            await store.outcomes(PAIR)
        with pytest.raises(StoreUnavailable):
            await store.recent()


async def test_training_refits_an_artifact_on_its_own_outcomes(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    surfaces, models = shipped_surfaces()[1], load_artifact(SHIPPED).sha256
    await drain(database, history(1_200, surfaces, models, worse_bps=12.0))
    out = tmp_path / "refitted"
    arguments = ["--from-outcomes", database, "--out", str(out)]
    assert train([*arguments, "--least", "5000"]) == 1
    assert "1200 outcomes of decisions by these models; at least 5000" in capsys.readouterr().err
    assert not out.exists()
    assert train(arguments) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["outcomes"], told["alarms"], told["refit_of"]) == (1_200, [ALGORITHMS[0]], models)
    assert told["effects"][ALGORITHMS[0]] == pytest.approx(12.0, abs=4.0)
    artifact = load_artifact(out)
    assert artifact.manifest.metadata["refit_of"] == models
    assert "Refitted on outcomes" in artifact.files["card.md"].decode()
    # The service takes it: parity is probed, effects are there.
    loaded = load_models(out, surfaces).models
    assert loaded.effects is not None
    assert loaded.effects[3 + ALGORITHM_NAMES.index(ALGORITHMS[0])] == pytest.approx(12.0, abs=4.0)
    before = models_from_arrays(bytes_to_arrays(load_artifact(SHIPPED).files[ARRAYS_FILE]), models)
    assert before.effects is None
    assert loaded.interval_scale[0].tolist() != before.interval_scale[0].tolist()
    assert loaded.interval_scale[1].tolist() == before.interval_scale[1].tolist()
    assert train(arguments) == 1
    assert "is not empty" in capsys.readouterr().err
    shutil.rmtree(out)


def _names() -> tuple[str, str]:
    return PAIR.surfaces_sha256, PAIR.models_sha256
