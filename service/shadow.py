"""A challenger in shadow: other models decide recorded orders again, off the path of any call, and both are scored.

One answers: what went out was the champion's. Both decide from the very inputs that the record holds, so that the only
difference is the models; each prices the other's choice too, where it looked at it. Rows go to `shadow_scores`, once
a selection and challenger.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import psycopg

from engine import kernel as k
from engine.decide import Considered, consider
from engine.decision import Refusal
from engine.learning.evaluation import Evaluation, Logged, evaluate
from engine.priced import Priced
from engine.snapshot import Snapshot
from service.mapping.inputs import InputsUnreadable, decode_inputs
from service.mapping.replays import order_again
from service.models import load_models
from service.replay_library import Library, NotRebuildable, SourceMissing
from service.world import surfaces_of
from store.archive import Archive
from store.learning_rows import FILLED_TOLERANCE
from store.record_reader import RecordedSelection, ReferenceSource

MOST_AT_ONCE: Final = 200

# Newest first; what this challenger scored before is left out.
_RECORDED: Final = """
SELECT id::text, order_id, request_hash, created_at_ns, request, response, inputs FROM strategy_selections AS made
WHERE versions ->> 'surfaces_sha256' = %(surfaces)s AND versions ->> 'models_sha256' = %(champion)s AND inputs <> ''
  AND NOT EXISTS (SELECT FROM shadow_scores AS scored
                  WHERE scored.selection_id = made.id AND scored.challenger_sha256 = %(challenger)s)
ORDER BY created_at DESC LIMIT %(most)s
"""
_SCORED: Final = """
INSERT INTO shadow_scores (selection_id, challenger_sha256, champion_sha256, champion_algorithm, champion_cost_bps,
  champion_other_cost_bps, challenger_algorithm, challenger_strategy, challenger_cost_bps, challenger_chosen_cost_bps,
  same_choice)
VALUES (%s::text::uuid, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
_LOGGED: Final = """
SELECT coalesce((made.expected_outcomes ->> 'propensity')::float8, 1), scored.same_choice,
  (made.actual_outcomes ->> 'cost')::float8, scored.champion_cost_bps, scored.champion_other_cost_bps,
  scored.challenger_cost_bps, scored.challenger_chosen_cost_bps
FROM shadow_scores AS scored
JOIN strategy_selections AS made ON made.id = scored.selection_id
WHERE scored.challenger_sha256 = %(challenger)s AND scored.champion_sha256 = %(champion)s
  AND made.actual_outcomes ->> 'cost' IS NOT NULL
  AND abs(coalesce((made.actual_outcomes ->> 'filled_quantity')::float8, 0) - made.quantity)
    <= %(tolerance)s * made.quantity
"""


@dataclass(frozen=True, slots=True)
class Score:
    """Forecasts in bps, without corrections; None where that side did not price the candidate."""

    champion_algorithm: str
    champion_bps: float
    champion_other_bps: float | None
    challenger_algorithm: str
    challenger_strategy: str
    challenger_bps: float
    challenger_chosen_bps: float | None
    same_choice: bool


class DirectReferences:
    """A ReferenceSource over one plain connection."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    async def reference(self, sha256: str) -> bytes | None:
        query = "SELECT content FROM reference_data WHERE sha256 = %s LIMIT 1"
        row = self._connection.execute(query, (sha256,)).fetchone()
        return None if row is None else bytes(row[0])


class Shadow:
    """Scores one challenger against what one champion answered."""

    def __init__(self, archive: Archive, references: ReferenceSource, live: Snapshot, challenger: Path) -> None:
        """`live`: of the champion. Raises StoreError where the challenger was not made for its surfaces."""
        self._library = Library(archive, references, live)
        artifact = archive.load_artifact(live.surfaces_sha256)
        if artifact is None:
            raise SourceMissing(f"the surfaces {live.surfaces_sha256} are not in the archive of this host")
        self._models = load_models(challenger, live.surfaces_sha256).models
        self._surfaces = surfaces_of(artifact, self._models)

    @property
    def challenger_sha256(self) -> str:
        return self._models.sha256

    async def score(self, record: RecordedSelection) -> Score | None:
        """None where the order cannot be decided again here, or the challenger would have refused it."""
        try:
            inputs = decode_inputs(record.inputs)
            snapshot = self._library.snapshot(inputs, await self._library.parts(inputs))
        except (InputsUnreadable, SourceMissing, NotRebuildable):
            return None
        order = order_again(record.request, snapshot, inputs.now_ns)
        if order is None:
            return None
        other = replace(snapshot, models=self._models, surfaces=self._surfaces, learned=None)
        return scored(consider(order, snapshot, explores=True), consider(order, other), snapshot)


def scored(champion: Considered, challenger: Considered, snapshot: Snapshot) -> Score | None:
    if isinstance(champion.decision, Refusal) or isinstance(challenger.decision, Refusal):
        return None
    ours, theirs = champion.priced, challenger.priced
    if ours is None or theirs is None:
        return None
    own, other = price_of(ours, ours.best), price_of(theirs, theirs.best)
    if own is None or other is None:
        return None
    chosen = snapshot.catalogue.candidates[theirs.best]
    return Score(
        champion.decision.chosen.algorithm, own, price_of(ours, theirs.best), chosen.spec.name, chosen.strategy_name,
        other, price_of(theirs, ours.best), ours.best == theirs.best,
    )


def price_of(priced: Priced, candidate: int) -> float | None:
    """Expected cost as the artifacts forecast it, bps; None where it was pruned or masked."""
    if priced.mask[candidate] != 0:
        return None
    online = 0.0 if priced.online_bps is None else float(priced.online_bps[candidate])
    return float(priced.metrics[candidate, k.COST]) - online


def recorded(connection: psycopg.Connection[Any], surfaces: str, champion: str, challenger: str,
             most: int) -> Iterator[RecordedSelection]:
    """Selections of the champion that this challenger has not scored."""
    values = {"surfaces": surfaces, "champion": champion, "challenger": challenger, "most": most}
    for row in connection.execute(_RECORDED.encode(), values).fetchall():
        yield RecordedSelection(row[0], row[1], row[2], row[3], bytes(row[4]), bytes(row[5]), bytes(row[6]))


def keep(connection: psycopg.Connection[Any], selection_id: str, champion: str, challenger: str, found: Score) -> None:
    connection.execute(
        _SCORED.encode(),
        (selection_id, challenger, champion, found.champion_algorithm, found.champion_bps, found.champion_other_bps,
         found.challenger_algorithm, found.challenger_strategy, found.challenger_bps, found.challenger_chosen_bps,
         found.same_choice),
    )


def evaluation_of(connection: psycopg.Connection[Any], champion: str, challenger: str) -> Evaluation | None:
    """From the scores of orders whose outcome was reported; None without any."""
    values = {"champion": champion, "challenger": challenger, "tolerance": FILLED_TOLERANCE}
    rows = connection.execute(_LOGGED.encode(), values).fetchall()
    return evaluate([logged_from(row) for row in rows]) if rows else None


def logged_from(row: tuple[Any, ...]) -> Logged:
    """The model of doubly robust estimation: the mean of what both sides forecast for a candidate."""
    propensity, same, cost, own, own_other, other, other_chosen = row
    return Logged(propensity, float(same), 1e4 * cost, mean_of(own, other_chosen), mean_of(other, own_other))


def mean_of(known: float, perhaps: float | None) -> float:
    return known if perhaps is None else 0.5 * (known + perhaps)


def as_json(found: Evaluation) -> str:
    """All figures, bps."""
    names = ("logged", "ips", "snips", "dr", "gain")
    figures: dict[str, Any] = {
        name: {"mean": one.mean, "lower": one.lower, "upper": one.upper}
        for name in names for one in (getattr(found, name),)
    }
    counts = {name: getattr(found, name) for name in ("orders", "matched", "clipped", "effective")}
    return json.dumps(counts | figures)
