"""What is in force, asked for and reported of artifacts, over a pool. Every failure is StoreUnavailable."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, LiteralString, Protocol

from store.catalogue import SELECT_ROWS, CatalogueRow
from store.pool import Connection, Pool, answering

# Rung by every worker's report; coordinators listen.
REPORTS_CHANNEL: Final = "ess_artifacts"
# A proposal that is older than this is nobody's any more: its coordinator has given up or died.
PROPOSAL_S: Final = 180.0

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
  (host_id, worker_index, models_sha256, proposal, proposal_state, failed_number, reason)
VALUES (%(host)s, %(worker)s, %(models)s, %(proposal)s, %(state)s, %(failed)s, %(reason)s)
ON CONFLICT (host_id, worker_index) DO UPDATE SET models_sha256 = excluded.models_sha256, seen_at = now(),
  proposal = excluded.proposal, proposal_state = excluded.proposal_state, failed_number = excluded.failed_number,
  reason = excluded.reason
"""
_LEAVE: Final = "DELETE FROM artifact_workers WHERE host_id = %(host)s AND worker_index >= %(from)s"
_LEAVE_ONE: Final = "DELETE FROM artifact_workers WHERE host_id = %(host)s AND worker_index = %(worker)s"
# A host that never confirmed anything has no lease, and counts as live while it reports.
_WORKERS: Final = """
SELECT made.host_id, made.worker_index, made.models_sha256, made.proposal, made.proposal_state, made.failed_number,
  made.reason, coalesce((extract(epoch FROM host.lease_expires_at) * 1000000000)::bigint, 0),
  coalesce(host.lease_expires_at > now(), host.host_id IS NOT NULL)
FROM artifact_workers AS made LEFT JOIN control_hosts AS host ON host.host_id = made.host_id
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
    """An ArtifactSource over the pool, and what a coordinator writes."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

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
        await self._do(
            _REPORT, host=report.host_id, worker=report.worker_index, models=report.models_sha256,
            proposal=report.proposal, state=report.state, failed=report.failed_number, reason=report.reason,
        )  # fmt: skip

    async def leave(self, host_id: str, worker_index: int) -> None:
        """A worker that ends is waited for no more."""
        await self._do(_LEAVE_ONE, host=host_id, worker=worker_index)

    async def forget_above(self, host_id: str, workers: int) -> None:
        """Rows of workers that the host had before it was started with fewer."""
        await self._do(_LEAVE, **{"host": host_id, "from": workers})

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

    async def _rows(self, query: LiteralString, **values: object) -> list[tuple[Any, ...]]:
        async with answering(self._pool) as connection:
            return await self._fetch(connection, query, values)

    async def _fetch(self, connection: Connection, query: LiteralString, values: dict[str, object]) -> list[Any]:
        return await (await connection.execute(query.encode(), values)).fetchall()

    async def _do(self, query: LiteralString, **values: object) -> None:
        async with answering(self._pool) as connection:
            await connection.execute(query.encode(), values)
