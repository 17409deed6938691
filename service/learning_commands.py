"""What `ess learn` runs: what outcomes taught, a challenger in shadow, its evaluation, promotion and rollback."""

from __future__ import annotations

import asyncio
import getpass
import json
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from service.settings import Settings

if TYPE_CHECKING:
    import psycopg

    from engine.learning.evaluation import Evaluation
    from engine.snapshot import Snapshot
    from store.learning_rows import Pair

DONE, NOT_SHOWN, BAD_INPUT, UNAVAILABLE = 0, 1, 2, 69
# Fewer orders with an outcome than this show nothing.
LEAST_EVALUATED: Final = 200

_PROMOTE: Final = """
INSERT INTO model_promotions (models_sha256, previous_sha256, action, actor, reason) VALUES (%s, %s, %s, %s, %s)
"""
_HISTORY: Final = """
SELECT created_at::text, action, models_sha256, previous_sha256, actor, reason FROM model_promotions
ORDER BY number DESC LIMIT 10
"""
_LAST: Final = """
SELECT created_at::text, outcomes, content FROM corrections
WHERE surfaces_sha256 = %(surfaces)s AND models_sha256 = %(models)s ORDER BY number DESC LIMIT 1
"""


def status(settings: Settings, as_json: bool) -> int:
    """What is in force, and who promoted what."""

    def work(connection: psycopg.Connection[Any]) -> int:
        found = status_of(settings, connection)
        print(json.dumps(found, indent=2) if as_json else status_text(found))
        return DONE

    return _with_database(settings, work)


def status_of(settings: Settings, connection: psycopg.Connection[Any]) -> dict[str, Any]:
    from service.learned import corrections_from

    pair = active_pair(settings)
    row = connection.execute(_LAST.encode(), pair.values()).fetchone()
    found: dict[str, Any] = {
        "surfaces_sha256": pair.surfaces_sha256, "models_sha256": pair.models_sha256, "learning": settings.learning,
        "exploration_budget_bps": settings.exploration_budget_bps,
        "exploration_regret_cap_bps": settings.exploration_regret_cap_bps,
        "corrections": None,
        "promotions": [
            dict(zip(("at", "action", "models_sha256", "previous_sha256", "actor", "reason"), entry, strict=True))
            for entry in connection.execute(_HISTORY.encode()).fetchall()
        ],
    }  # fmt: skip
    if row is not None:
        corrections = corrections_from(bytes(row[2]))
        effects = zip(corrections.names, corrections.values, strict=True)
        found["corrections"] = {
            "at": row[0], "outcomes": row[1], "alarms": list(corrections.alarms),
            "in_force": {name: value for name, value in effects if value},
        }  # fmt: skip
    return found


def status_text(found: dict[str, Any]) -> str:
    lines = [f"models      {found['models_sha256'][:12] or 'none'} on surfaces {found['surfaces_sha256'][:12]}"]
    budget = found["exploration_budget_bps"]
    lines.append(f"exploration {f'{budget:g} bps an order on average' if budget else 'off'}")
    corrections = found["corrections"]
    if corrections is None:
        lines.append("corrections none yet")
    else:
        lines.append(f"corrections of {corrections['at']}, from {corrections['outcomes']} outcomes")
        effects = [f"  {name:<36} {value:+.3f}" for name, value in corrections["in_force"].items()]
        lines += effects or ["  none in force"]
        lines.append(f"alarms      {', '.join(corrections['alarms']) or 'none'}")
    for entry in found["promotions"]:
        who = f"{entry['action']} {entry['models_sha256'][:12]} by {entry['actor']}"
        lines.append(f"{entry['at']}  {who}: {entry['reason']}")
    return "\n".join(lines)


def update(settings: Settings) -> int:
    """Fits the recorded outcomes now."""
    from service.learning import compute, explained
    from store.learning_store import LearningStore
    from store.pool import PoolSettings, make_pool

    async def run(conninfo: str) -> int:
        async with make_pool(PoolSettings(conninfo, min_size=0)) as pool:
            found = await compute(LearningStore(pool), active_pair(settings), settings.host_id)
        print("nothing new" if found is None else f"{found.outcomes} outcomes: {explained(found)}")
        return DONE

    return _with_conninfo(settings, lambda conninfo: asyncio.run(run(conninfo)))


def shadow(settings: Settings, challenger: Path, most: int) -> int:
    """Scores recorded decisions by other models."""
    from service.reference_keeper import ARCHIVE_FOLDER
    from service.shadow import DirectReferences, Shadow, keep, recorded
    from store.archive import Archive

    def work(connection: psycopg.Connection[Any]) -> int:
        live = live_snapshot(settings)
        pair = active_pair(settings)
        archive = Archive(settings.data_dir / ARCHIVE_FOLDER)
        judge = Shadow(archive, DirectReferences(connection), live, challenger)
        scores, failed, same = 0, 0, 0
        rows = list(recorded(connection, pair.surfaces_sha256, pair.models_sha256, judge.challenger_sha256, most))
        for record in rows:
            found = asyncio.run(judge.score(record))
            if found is None:
                failed += 1
                continue
            keep(connection, record.selection_id, pair.models_sha256, judge.challenger_sha256, found)
            scores, same = scores + 1, same + found.same_choice
        print(f"{scores} decisions scored by {judge.challenger_sha256[:12]}: the same choice in {same}; "
              f"{failed} could not be decided again")
        return DONE

    return _with_database(settings, work)


def evaluate(settings: Settings, challenger: Path, as_json: bool) -> int:
    """What the challenger would have cost. Exit code 0 where it is shown to be better, 1 where it is not."""

    def work(connection: psycopg.Connection[Any]) -> int:
        found = evaluation(settings, connection, artifact_sha256(challenger))
        if found is None:
            print("ess: no scored decision has an outcome yet; run `ess learn shadow` first", file=sys.stderr)
            return NOT_SHOWN
        from service.shadow import as_json as told

        print(told(found) if as_json else evaluation_text(found))
        return DONE if is_better(found) else NOT_SHOWN

    return _with_database(settings, work)


def evaluation(settings: Settings, connection: psycopg.Connection[Any], challenger: str) -> Evaluation | None:
    from service.shadow import evaluation_of

    return evaluation_of(connection, active_pair(settings).models_sha256, challenger)


def is_better(found: Evaluation) -> bool:
    return found.orders >= LEAST_EVALUATED and found.gain.lower > 0.0


def evaluation_text(found: Evaluation) -> str:
    lines = [f"{found.orders} orders with an outcome; the challenger would have done the same in {found.matched}"]
    for name, words in (
        ("logged", "cost as it was"), ("ips", "challenger, IPS"), ("snips", "challenger, SNIPS"),
        ("dr", "challenger, doubly robust"), ("gain", "gain, doubly robust"),
    ):
        one = getattr(found, name)
        lines.append(f"{words:<26} {one.mean:9.3f} bps  [{one.lower:.3f}, {one.upper:.3f}]")
    if found.matched < found.orders and found.effective < 0.99 * found.orders:
        lines.append("where the choices differ and nothing was explored, the forecasts speak, not outcomes")
    return "\n".join(lines)


def promote(settings: Settings, challenger: Path, reason: str, anyway: bool) -> int:
    """Puts models in force on every host that has them archived; this one keeps them first."""
    from service.models import load_models
    from service.reference_keeper import ARCHIVE_FOLDER
    from store.archive import Archive

    def work(connection: psycopg.Connection[Any]) -> int:
        pair = active_pair(settings)
        loaded = load_models(challenger, pair.surfaces_sha256).models
        found = evaluation(settings, connection, loaded.sha256)
        if not anyway and (found is None or not is_better(found)):
            why = "nothing was evaluated" if found is None else evaluation_text(found)
            print(f"ess: not shown to be better than what decides now ({why}); --anyway promotes it all the same",
                  file=sys.stderr)
            return NOT_SHOWN
        Archive(settings.data_dir / ARCHIVE_FOLDER).keep_artifact(challenger)
        _put_in_force(settings, connection, pair, loaded.sha256, "PROMOTED", reason)
        print(f"promoted {loaded.sha256}; before: {pair.models_sha256}")
        return DONE

    return _with_database(settings, work)


def rollback(settings: Settings, reason: str) -> int:
    """Back to what decided before the last promotion."""
    from service.reference_keeper import ARCHIVE_FOLDER
    from store.archive import Archive

    def work(connection: psycopg.Connection[Any]) -> int:
        query = "SELECT models_sha256, previous_sha256 FROM model_promotions ORDER BY number DESC LIMIT 1"
        row = connection.execute(query).fetchone()
        if row is None:
            print("ess: nothing was promoted", file=sys.stderr)
            return NOT_SHOWN
        if Archive(settings.data_dir / ARCHIVE_FOLDER).artifact_folder(row[1]) is None:
            print(f"ess: {row[1]} is not in the archive of this host", file=sys.stderr)
            return NOT_SHOWN
        pair = replace(active_pair(settings), models_sha256=row[0])
        _put_in_force(settings, connection, pair, row[1], "ROLLED_BACK", reason)
        print(f"back to {row[1]}; before: {row[0]}")
        return DONE

    return _with_database(settings, work)


def _put_in_force(settings: Settings, connection: psycopg.Connection[Any], before: Pair, models_sha256: str,
                  action: str, reason: str) -> None:
    """The file first: a service that starts in between begins with what the table will say."""
    from service.promoted import write_promoted

    write_promoted(settings.data_dir, models_sha256)
    actor = getpass.getuser()
    connection.execute(_PROMOTE.encode(), (models_sha256, before.models_sha256, action, actor, reason))


def active_pair(settings: Settings) -> Pair:
    """What a service with these settings decides from."""
    from service.bootstrap import artifact_folders
    from store.learning_rows import Pair

    hashes = [artifact_sha256(folder) for folder in artifact_folders(settings)]
    return Pair(hashes[0], hashes[1] if len(hashes) > 1 else "")


def artifact_sha256(folder: Path) -> str:
    from store.artifacts import load_artifact

    return load_artifact(folder).sha256


def live_snapshot(settings: Settings) -> Snapshot:
    from service.bootstrap import load_snapshot

    return load_snapshot(settings)


def _with_database(settings: Settings, work: Callable[[psycopg.Connection[Any]], int]) -> int:
    import psycopg

    def connected(conninfo: str) -> int:
        with closing(psycopg.connect(conninfo, autocommit=True)) as connection:
            return work(connection)

    return _with_conninfo(settings, connected)


def _with_conninfo(settings: Settings, work: Callable[[str], int]) -> int:
    import psycopg

    from service.records_commands import owner_database
    from service.replay_library import SourceMissing
    from store.errors import StoreError

    try:
        with owner_database(settings) as conninfo:
            return work(conninfo)
    except (StoreError, SourceMissing, psycopg.Error) as error:
        print(f"ess: {error}", file=sys.stderr)
        return UNAVAILABLE
