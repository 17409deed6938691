"""Checks that the database holds what was journaled: nothing edited, missing, moved, cut off or added.

All in one transaction that sees one moment, so that a service that writes on does not disturb it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import psycopg
from psycopg.rows import TupleRow

from store.audit_archive import lay_beside
from store.audit_unchained import check_unchained
from store.audit_walk import ChainWalk, Finding, KnownHead, Problem, Run, Verified, Watch
from store.errors import HeadsInvalid, StoreUnavailable
from store.journal.port import Head
from store.rows.reading import SET_ASIDE, read_events, read_records, read_set_aside
from store.rows.tables import OUTBOX, TABLES

Connection = psycopg.Connection[TupleRow]
# More than anybody reads; every one is counted.
MOST_FINDINGS: Final = 10_000
_CONNECT_TIMEOUT_S: Final = 10


@dataclass(frozen=True, slots=True)
class JournalAudit:
    """One journal: up to where its chain is in the database. `rows` without those that were taken away."""

    journal_id: str
    host_id: str
    rows: int
    sequence: int
    chain_hash: bytes


@dataclass(frozen=True, slots=True)
class AuditReport:
    """`found` counts all findings; `findings` are the first MOST_FINDINGS of them. `entries_retired` were taken away by
    retention and not looked at, and so `heads_retired` could not be compared; with an archive nothing is passed over,
    and `archive_files` were read."""

    journals: tuple[JournalAudit, ...]
    findings: tuple[Finding, ...]
    found: int
    rows_before_journal: int
    heads_checked: int
    heads_retired: int
    entries_retired: int
    archive_files: int

    @property
    def is_sound(self) -> bool:
        return self.found == 0


def audit(conninfo: str, heads: Iterable[KnownHead] = (), archive: Path | None = None) -> AuditReport:
    """`archive`: the folder that retention exported to; then what it took away is looked at, too. Raises
    StoreUnavailable where the database does not answer."""
    try:
        with psycopg.connect(
            conninfo, connect_timeout=_CONNECT_TIMEOUT_S, application_name="ess-audit"
        ) as connection:
            collected = _Collected()
            files = lay_beside(connection, archive, collected.add) if archive is not None else None
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            return audit_on(connection, heads, collected=collected, archive_files=files)
    except psycopg.Error as error:
        raise StoreUnavailable(f"the audit could not be made: {error}") from error


def audit_on(
    connection: Connection,
    heads: Iterable[KnownHead] = (),
    watch: Callable[[str], Watch] = lambda journal_id: _nobody,
    collected: _Collected | None = None,
    archive_files: int | None = None,
) -> AuditReport:
    """On a connection whose transaction sees one moment. `watch` is told of every entry that fits, by journal.
    `archive_files`: so many were laid beside the tables, and nothing is believed to have been taken away; None: none,
    and it is."""
    collected = collected or _Collected()
    by_journal: dict[str, list[KnownHead]] = {}
    for head in heads:
        by_journal.setdefault(head.journal_id, []).append(head)
    journals = _journals(connection)
    audits: list[JournalAudit] = []
    checked = retired = passed_over = 0
    for journal_id, (host_id, sequence, chain_hash) in journals.items():
        walk = ChainWalk(
            journal_id,
            retired=_runs(connection, journal_id) if archive_files is None else (),
            heads=by_journal.pop(journal_id, ()),
            report=collected.add,
            watch=watch(journal_id),
            excuse="nothing says that retention took" if archive_files is None else "no file of the archive holds",
        )
        streams = [read_records(connection, table, journal_id) for table in TABLES.values()]
        streams.append(read_set_aside(connection, journal_id))
        entries = heapq.merge(*streams, key=lambda entry: entry.sequence)
        walk.run(entries, read_events(connection, journal_id), sequence, chain_hash)
        audits.append(JournalAudit(journal_id, host_id, walk.rows, walk.sequence, walk.head))
        checked, retired = checked + walk.heads_checked, retired + walk.heads_retired
        passed_over += walk.entries_retired
    checked += _unknown_journals(connection, journals, by_journal, collected)
    before = check_unchained(connection, collected.add)
    return AuditReport(
        tuple(audits), tuple(collected.findings), collected.count, before, checked, retired, passed_over,
        archive_files or 0,
    )  # fmt: skip


def database_heads(conninfo: str) -> list[Head]:
    """What the database has of every journal, to be kept elsewhere. Raises StoreUnavailable."""
    query = "SELECT journal_id, drained_sequence, drained_hash FROM journals ORDER BY journal_id"
    try:
        with psycopg.connect(
            conninfo, connect_timeout=_CONNECT_TIMEOUT_S, application_name="ess-audit"
        ) as connection:
            return [Head(row[0], row[1], bytes(row[2])) for row in connection.execute(query)]
    except psycopg.Error as error:
        raise StoreUnavailable(f"the heads could not be read: {error}") from error


def head_line(head: Head) -> str:
    """One line of a file of heads, in the fields that events carry."""
    fields = {"journal_id": head.journal_id, "sequence": head.sequence, "chain_hash": head.chain_hash.hex()}
    return msgspec.json.encode(fields).decode()


class _HeadLine(msgspec.Struct):
    journal_id: str
    sequence: int
    chain_hash: str


def read_heads(lines: Iterable[str], source: str) -> list[KnownHead]:
    """Heads of a file, one JSON object a line; other fields are passed over. Raises HeadsInvalid with every fault."""
    heads: list[KnownHead] = []
    faults: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            read = msgspec.json.decode(line, type=_HeadLine)
            chain_hash = bytes.fromhex(read.chain_hash)
            if len(chain_hash) != 32 or read.sequence < 0:
                raise ValueError("chain_hash has 64 hexadecimal digits, and sequence is not negative")
            heads.append(KnownHead(read.journal_id, read.sequence, chain_hash, f"{source}:{number}"))
        except (msgspec.DecodeError, ValueError) as error:
            faults.append(f"line {number}: {error}")
    if faults:
        raise HeadsInvalid(source, tuple(faults))
    return heads


class _Collected:
    """Findings, bounded; the count is not."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.count = 0

    def add(self, finding: Finding) -> None:
        self.count += 1
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(finding)


def _nobody(verified: Verified) -> None:
    return None


def _journals(connection: Connection) -> dict[str, tuple[str, int, bytes]]:
    query = "SELECT journal_id, host_id, drained_sequence, drained_hash FROM journals ORDER BY journal_id"
    return {row[0]: (row[1], row[2], bytes(row[3])) for row in connection.execute(query)}


def _runs(connection: Connection, journal_id: str) -> list[Run]:
    query = (
        "SELECT first_sequence, last_sequence, previous_hash, last_hash FROM retired_partitions"
        " WHERE journal_id = %s ORDER BY first_sequence"
    )
    rows = connection.execute(query, (journal_id,))
    return [Run(row[0], row[1], bytes(row[2]), bytes(row[3])) for row in rows]


def _unknown_journals(
    connection: Connection,
    journals: Mapping[str, object],
    heads: Mapping[str, Sequence[KnownHead]],
    collected: _Collected,
) -> int:
    """Rows and heads of journals that `journals` does not list; how many heads."""
    for table in (*(held.name for held in TABLES.values()), SET_ASIDE, OUTBOX):
        query = f"SELECT DISTINCT journal_id FROM {table} WHERE journal_id IS NOT NULL"
        for (journal_id,) in connection.execute(query.encode()).fetchall():
            if journal_id not in journals:
                detail = f"rows of a journal that the table journals does not know: {journal_id}"
                collected.add(Finding(Problem.FORGED, table, "", journal_id, 0, detail))
    for journal_id, kept in heads.items():
        newest = max(kept, key=lambda head: head.sequence)
        if not all(head.may_be_ahead for head in kept):
            detail = (
                f"{newest.source} knows {newest.sequence} entries of a journal that is not in the database"
            )
            collected.add(Finding(Problem.CUT_OFF, "journals", "", journal_id, 1, detail))
    return sum(map(len, heads.values()))
