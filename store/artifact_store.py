"""What is in force, asked for and reported of artifacts, over a pool. Every failure is StoreUnavailable.

A worker's row has its host's name and says whose it is, by the id of the service's journal. Workers of a second service
that was given the same name have rows under its second one, as in `store.control_hosts`: both services are waited for,
and neither reports for the other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, LiteralString, Protocol

from store.catalogue import SELECT_ROWS, CatalogueRow
from store.control_hosts import SILENT_AFTER_S, second_name
from store.errors import StoreUnavailable
from store.pool import Connection, Pool, answering

# Rung by every worker's report; coordinators listen.
REPORTS_CHANNEL: Final = "ess_artifacts"
# A proposal that is older than this is nobody's any more: its coordinator has given up or died.
PROPOSAL_S: Final = 180.0
# Workers report at least twice in that time while they live.
UNHEARD_S: Final = 60.0
# Rows of second services that were not heard of for so long are taken away.
FORGET_AFTER: Final = "7 days"

_IN_FORCE: Final = """
SELECT number, models_sha256, previous_sha256, actor, reason FROM model_promotions ORDER BY number DESC LIMIT 1
"""
_PROPOSED: Final = """
SELECT number, models_sha256, shadow, actor, reason FROM artifact_proposals
WHERE created_at > now() - make_interval(secs => %(within)s) ORDER BY number DESC LIMIT 1
"""
_PROPOSE: Final = """
INSERT INTO artifact_proposals (models_sha256, shadow, actor, reason)
VALUES (%(models)s, %(shadow)s, %(actor)s, %(reason)s) RETURNING number
"""
_PUT: Final = """
INSERT INTO model_promotions (models_sha256, previous_sha256, action, actor, reason)
VALUES (%(models)s, %(previous)s, %(action)s, %(actor)s, %(reason)s) RETURNING number
"""
_SHADOW: Final = "SELECT models_sha256 FROM artifact_shadows ORDER BY number DESC LIMIT 1"
_PUT_SHADOW: Final = """
INSERT INTO artifact_shadows (models_sha256, actor, reason) VALUES (%(models)s, %(actor)s, %(reason)s)
"""
_REPORT: Final = """
INSERT INTO artifact_workers AS held
  (host_id, worker_index, models_sha256, proposal, proposal_state, failed_number, reason, journal_id)
VALUES (%(host)s, %(worker)s, %(models)s, %(proposal)s, %(state)s, %(failed)s, %(reason)s, %(journal)s)
ON CONFLICT (host_id, worker_index) DO UPDATE SET models_sha256 = excluded.models_sha256, seen_at = now(),
  proposal = excluded.proposal, proposal_state = excluded.proposal_state, failed_number = excluded.failed_number,
  reason = excluded.reason, journal_id = excluded.journal_id
WHERE held.journal_id IN ('', excluded.journal_id) OR held.seen_at < now() - make_interval(secs => %(unheard)s)
  AND NOT EXISTS (
    SELECT FROM control_hosts AS host WHERE host.journal_id = held.journal_id
      AND coalesce(host.lease_expires_at > now(), host.renewed_at > now() - make_interval(secs => %(silent)s))
  )
"""
_SERVICE_S: Final = """
SELECT host_id FROM control_hosts WHERE host_id = ANY(%(hosts)s) AND journal_id = %(journal)s
ORDER BY renewed_at DESC LIMIT 1
"""
# What another service wrote under the same name stays.
_FORGET: Final = f"""
DELETE FROM artifact_workers
WHERE host_id = ANY(%(hosts)s) AND worker_index >= %(from)s AND journal_id IN ('', %(journal)s)
  OR starts_with(host_id, %(seconds)s) AND seen_at < now() - interval '{FORGET_AFTER}'
"""
_LEAVE: Final = """
DELETE FROM artifact_workers
WHERE host_id = ANY(%(hosts)s) AND worker_index = %(worker)s AND journal_id = %(journal)s
"""
# Live is whose service's own row is, whatever it is called there; of a version that did not say, the row of its name.
# A host that never confirmed anything has no lease, and counts as live while it reports.
_WORKERS: Final = """
SELECT made.host_id, made.worker_index, made.models_sha256, made.proposal, made.proposal_state, made.failed_number,
  made.reason, coalesce((extract(epoch FROM host.lease_expires_at) * 1000000000)::bigint, 0),
  coalesce(host.lease_expires_at > now(), host.host_id IS NOT NULL)
FROM artifact_workers AS made LEFT JOIN LATERAL (
  SELECT held.host_id, held.lease_expires_at FROM control_hosts AS held
  WHERE CASE WHEN made.journal_id = '' THEN held.host_id = made.host_id ELSE held.journal_id = made.journal_id END
  ORDER BY held.renewed_at DESC LIMIT 1
) AS host ON true
ORDER BY made.host_id, made.worker_index
"""
_SCORES: Final = """
SELECT challenger_sha256, count(*), count(*) FILTER (WHERE same_choice) FROM shadow_scores GROUP BY challenger_sha256
"""
_LOCK: Final = "SELECT pg_try_advisory_lock(hashtextextended('ess_activation', 0))"
_UNLOCK: Final = "SELECT pg_advisory_unlock(hashtextextended('ess_activation', 0))"


@dataclass(frozen=True, slots=True)
class InForce:
    """The last promotion: its number, and who put what in force instead of what."""

    number: int
    models_sha256: str
    previous_sha256: str
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """What workers are asked to load and check."""

    number: int
    models_sha256: str
    is_shadow: bool
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What one worker says of itself. `state`: of its proposal, PREPARED, FAILED or empty while it is at work."""

    host_id: str
    worker_index: int
    models_sha256: str
    proposal: int = 0
    state: str = ""
    failed_number: int = 0
    reason: str = ""
    lease_expires_at_ns: int = 0
    is_live: bool = True


class ArtifactSource(Protocol):
    """What activation needs of a store. All raise StoreUnavailable."""

    async def in_force(self) -> InForce | None: ...

    async def proposed(self) -> Proposal | None: ...

    async def report(self, report: WorkerReport) -> None: ...

    async def workers(self) -> list[WorkerReport]: ...

    async def shadow(self) -> str: ...

    async def catalogue(self) -> tuple[CatalogueRow, ...]: ...


class ArtifactStore:
    """An ArtifactSource over the pool, and what a coordinator writes. `journal_id`: of the service that reports."""

    def __init__(self, pool: Pool, journal_id: str = "") -> None:
        self._pool = pool
        self._journal_id = journal_id
        # Under which name the worker's row is; None until it is known.
        self._name: str | None = None

    async def in_force(self) -> InForce | None:
        rows = await self._rows(_IN_FORCE)
        return InForce(*rows[0]) if rows else None

    async def proposed(self) -> Proposal | None:
        rows = await self._rows(_PROPOSED, within=PROPOSAL_S)
        return Proposal(*rows[0]) if rows else None

    async def propose(self, models_sha256: str, is_shadow: bool, actor: str, reason: str) -> int:
        values = {"models": models_sha256, "shadow": is_shadow, "actor": actor, "reason": reason}
        return int((await self._rows(_PROPOSE, **values))[0][0])

    async def put_in_force(self, models_sha256: str, previous: str, action: str, actor: str, reason: str) -> int:
        """`action`: PROMOTED or ROLLED_BACK. The row's number."""
        values = {"models": models_sha256, "previous": previous, "action": action, "actor": actor, "reason": reason}
        return int((await self._rows(_PUT, **values))[0][0])

    async def shadow(self) -> str:
        rows = await self._rows(_SHADOW)
        return str(rows[0][0]) if rows else ""

    async def put_shadow(self, models_sha256: str, actor: str, reason: str) -> None:
        await self._do(_PUT_SHADOW, models=models_sha256, actor=actor, reason=reason)

    async def scores(self) -> dict[str, tuple[int, int]]:
        """By challenger: decisions scored, and those where it chose the same."""
        return {str(row[0]): (int(row[1]), int(row[2])) for row in await self._rows(_SCORES)}

    async def report(self, report: WorkerReport) -> None:
        second = second_name(report.host_id, self._journal_id)
        # The keeper has settled which name the service has, so that all of its workers have one.
        rows = await self._rows(_SERVICE_S, hosts=[report.host_id, second], journal=self._journal_id)
        name = str(rows[0][0]) if rows else report.host_id
        if not await self._put(report, name):
            name = second
            if not await self._put(report, second):
                raise StoreUnavailable(f"services on other journals have the rows {report.host_id} and {second}")
        if name != self._name:
            await self._leave([second if name == report.host_id else report.host_id], report.worker_index)
            self._name = name

    async def leave(self, host_id: str, worker_index: int) -> None:
        """A worker that ends is waited for no more."""
        await self._leave([host_id, second_name(host_id, self._journal_id)], worker_index)

    async def forget_above(self, host_id: str, workers: int) -> None:
        """Rows of workers that the host had before it was started with fewer, and of services that had its name long
        ago."""
        await self._do(_FORGET, **{
            "hosts": [host_id, second_name(host_id, self._journal_id)], "from": workers, "journal": self._journal_id,
            "seconds": second_name(host_id, ""),
        })  # fmt: skip

    async def workers(self) -> list[WorkerReport]:
        return [WorkerReport(*row) for row in await self._rows(_WORKERS)]

    async def catalogue(self) -> tuple[CatalogueRow, ...]:
        return tuple(CatalogueRow(*row) for row in await self._rows(SELECT_ROWS))

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[bool]:
        """Whether nobody else activates now, anywhere; holds for as long as the body runs."""
        async with answering(self._pool) as connection:
            held = bool((await self._fetch(connection, _LOCK, {}))[0][0])
            try:
                yield held
            finally:
                if held:
                    await connection.execute(_UNLOCK.encode())

    async def _put(self, report: WorkerReport, name: str) -> bool:
        """Whether the row is this service's."""
        done = await self._do(
            _REPORT, host=name, worker=report.worker_index, models=report.models_sha256, proposal=report.proposal,
            state=report.state, failed=report.failed_number, reason=report.reason, journal=self._journal_id,
            unheard=UNHEARD_S, silent=SILENT_AFTER_S,
        )  # fmt: skip
        return done == 1

    async def _leave(self, names: list[str], worker_index: int) -> None:
        await self._do(_LEAVE, hosts=names, worker=worker_index, journal=self._journal_id)

    async def _rows(self, query: LiteralString, **values: object) -> list[tuple[Any, ...]]:
        async with answering(self._pool) as connection:
            return await self._fetch(connection, query, values)

    async def _fetch(self, connection: Connection, query: LiteralString, values: dict[str, object]) -> list[Any]:
        return await (await connection.execute(query.encode(), values)).fetchall()

    async def _do(self, query: LiteralString, **values: object) -> int:
        """How many rows it was about."""
        async with answering(self._pool) as connection:
            return (await connection.execute(query.encode(), values)).rowcount
