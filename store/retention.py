"""Takes old weeks out of the tables, without breaking what an audit can say of the rest.

A week goes only when the whole database was audited and found sound, in the very transaction that takes it away, and
when every relay has delivered its events. What remains of it is which runs of each journal went, with the hash before
and the head after each run: a later audit steps over exactly these. Runs are several where weeks meet, since entries
are in the order of their arrival and not of their time.

What was detached is dropped only where a file of the archive is known to hold it: a week that nobody exported would be
gone for ever.

`reference_data` stays: a decision of yesterday may rest on data that was journaled a year ago.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from store.archive_files import ArchivedTable, archive_table
from store.audit import audit_on
from store.audit_walk import Verified, Watch
from store.errors import RetentionRefused, StoreUnavailable
from store.partitions import week_of, week_start
from store.rows.tables import OUTBOX, PARTITIONED

Connection = psycopg.Connection[TupleRow]
KEPT_FOREVER: Final = frozenset({"reference_data"})
RETIRED: Final = tuple(table for table in PARTITIONED if table not in KEPT_FOREVER)
_CONNECT_TIMEOUT_S: Final = 10
_LOCK_TIMEOUT_S: Final = 10
_DETACHED: Final = "_detached_"


@dataclass(frozen=True, slots=True)
class RetentionPlan:
    """`keep_weeks` whole weeks before the present one stay. `archive_dir`: where rows are exported to before they go.
    Detached tables are dropped only with `drop`, and then those of earlier runs too: each that was exported, or is
    exported now."""

    keep_weeks: int = 60
    archive_dir: Path | None = None
    dry_run: bool = False
    drop: bool = False


@dataclass(frozen=True, slots=True)
class RetiredWeek:
    """One week. `runs` over all journals; `archived` is empty where nothing was exported."""

    week: datetime
    rows: int
    runs: int
    archived: tuple[ArchivedTable, ...] = ()


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """What was taken away, which weeks stay because a relay has not delivered them, which tables were dropped.
    `archived`: detached by an earlier run, exported by this one. `not_dropped`: sentences on tables that stay, since no
    archive is known to hold them. Of a dry run: what would be."""

    retired: tuple[RetiredWeek, ...]
    held_back: tuple[str, ...]
    dropped: tuple[str, ...]
    not_dropped: tuple[str, ...] = ()
    archived: tuple[ArchivedTable, ...] = ()


@dataclass(slots=True)
class _Run:
    """Entries that follow each other and go with the same week."""

    week: int
    journal_id: str
    first: int
    last: int
    previous_hash: bytes
    last_hash: bytes


@dataclass(slots=True)
class _Runs:
    """Collects runs while the audit walks over everything."""

    weeks: frozenset[int]
    runs: list[_Run] = field(default_factory=list)
    rows: dict[int, int] = field(default_factory=dict)

    def watch(self, journal_id: str) -> Watch:
        open_run: list[_Run] = []

        def see(verified: Verified) -> None:
            entry = verified.entry
            moment_ns = entry.created_at_ns
            week = None if moment_ns is None or entry.table in KEPT_FOREVER else week_of(moment_ns)
            if week is None or week not in self.weeks:
                open_run.clear()
                return
            self.rows[week] = self.rows.get(week, 0) + 1
            if open_run and open_run[0].week == week and open_run[0].last + 1 == entry.sequence:
                open_run[0].last, open_run[0].last_hash = entry.sequence, entry.chain_hash
                return
            run = _Run(
                week, journal_id, entry.sequence, entry.sequence, verified.previous_hash, entry.chain_hash
            )
            self.runs.append(run)
            open_run[:] = [run]

        return see


def retire(
    conninfo: str,
    plan: RetentionPlan,
    now: Callable[[], datetime] = lambda: datetime.now(tz=UTC),
) -> RetentionReport:
    """Everything in one transaction, as the owner of the tables.

    Raises RetentionRefused where the audit finds something, and StoreUnavailable where the database does not answer or
    its tables are too busy to be taken apart.
    """
    if plan.keep_weeks < 1:
        raise RetentionRefused("retention", ("at least one week is kept",))
    before = week_of(int(now().timestamp()) * 1_000_000_000) - plan.keep_weeks
    try:
        with psycopg.connect(
            conninfo, connect_timeout=_CONNECT_TIMEOUT_S, application_name="ess-retention"
        ) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            report = _retire_on(connection, plan, before)
            if plan.dry_run:
                connection.rollback()
            return report
    except psycopg.Error as error:
        raise StoreUnavailable(f"no week was taken away: {error}") from error


def _retire_on(connection: Connection, plan: RetentionPlan, before: int) -> RetentionReport:
    connection.execute("SELECT set_config('lock_timeout', %s, false)", (f"{_LOCK_TIMEOUT_S}s",))
    weeks = _old_weeks(connection, before)
    connection.commit()
    # What is looked at must not grow meanwhile: locked before the moment is fixed that all queries see.
    partitions = [_partition(table, week) for week in weeks for table in RETIRED]
    if partitions:
        names = sql.SQL(", ").join(map(sql.Identifier, partitions))
        connection.execute(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(names))
    held_back = {week: reason for week in weeks if (reason := _undelivered(connection, week))}
    going = [week for week in weeks if week not in held_back]
    retired = _take_away(connection, plan, going) if going else []
    dropped = _drop(connection, plan, going) if plan.drop else _Dropped()
    return RetentionReport(
        tuple(retired), tuple(held_back.values()), tuple(dropped.names), tuple(dropped.kept), tuple(dropped.archived)
    )


def _take_away(connection: Connection, plan: RetentionPlan, weeks: Sequence[int]) -> list[RetiredWeek]:
    runs = _Runs(frozenset(weeks))
    report = audit_on(connection, watch=runs.watch)
    if not report.is_sound:
        raise RetentionRefused(
            "the audit found faults, so nothing is taken away (`ess audit verify` says more)",
            tuple(
                f"{found.problem} at {found.journal_id} {found.sequence}" for found in report.findings[:20]
            ),
        )
    return [_take_week(connection, plan, week, runs) for week in weeks]


def _take_week(connection: Connection, plan: RetentionPlan, week: int, runs: _Runs) -> RetiredWeek:
    archived: list[ArchivedTable] = []
    if plan.archive_dir is not None and not plan.dry_run:
        archived = [archive_table(connection, _partition(table, week), plan.archive_dir) for table in RETIRED]
    own = [run for run in runs.runs if run.week == week]
    own += _unchained(connection, week)
    _record(connection, week, own, archived)
    rows = runs.rows.get(week, 0) + sum(run.last for run in own if run.journal_id == "")
    if not plan.dry_run:
        _detach(connection, week)
    return RetiredWeek(week_start(week), rows, len(own), tuple(archived))


def _old_weeks(connection: Connection, before: int) -> list[int]:
    """Weeks before one that have partitions."""
    query = (
        "SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid"
        " WHERE inhparent = %s::text::regclass"
    )
    found: set[int] = set()
    for table in RETIRED:
        for (name,) in connection.execute(query, (table,)):
            suffix = str(name).removeprefix(f"{table}_p")
            monday = datetime.strptime(suffix, "%Y%m%d").replace(tzinfo=UTC)
            found.add(week_of(int(monday.timestamp()) * 1_000_000_000))
    return sorted(week for week in found if week < before)


def _undelivered(connection: Connection, week: int) -> str:
    """Why the events of a week must stay; empty where every relay has delivered them."""
    query = sql.SQL(
        "SELECT relays.relay, held.journal_id FROM (SELECT DISTINCT relay FROM relay_cursors) AS relays"
        " CROSS JOIN (SELECT DISTINCT ON (journal_id) journal_id, sequence, part FROM {}"
        "   ORDER BY journal_id, sequence DESC, part DESC) AS held"
        " LEFT JOIN relay_cursors AS reached USING (relay, journal_id)"
        " WHERE reached.sequence IS NULL OR (reached.sequence, reached.part) < (held.sequence, held.part)"
    ).format(sql.Identifier(_partition(OUTBOX, week)))
    behind = [f"relay {relay} with journal {journal_id}" for relay, journal_id in connection.execute(query)]
    monday = week_start(week)
    return f"the week of {monday:%Y-%m-%d} stays: not delivered by {', '.join(behind)}" if behind else ""


def _unchained(connection: Connection, week: int) -> list[_Run]:
    """Rows from before the journal that go with the week, as one run without a journal."""
    query = "SELECT rows, digest FROM unchained_rows WHERE week = %s"
    row = connection.execute(query, (week_start(week),)).fetchone()
    return [] if row is None else [_Run(week, "", 1, row[0], b"", bytes(row[1]))]


def _record(
    connection: Connection, week: int, runs: Iterable[_Run], archived: Sequence[ArchivedTable]
) -> None:
    archive = _archive_json(connection, archived)
    query = (
        "INSERT INTO retired_partitions"
        " (week, journal_id, first_sequence, last_sequence, previous_hash, last_hash, archive)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)"
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            query,
            [
                (
                    week_start(week),
                    run.journal_id,
                    run.first,
                    run.last,
                    run.previous_hash,
                    run.last_hash,
                    Jsonb(archive),
                )
                for run in runs
            ],
        )


def _archive_json(connection: Connection, archived: Sequence[ArchivedTable]) -> dict[str, object]:
    """By partition. `detached`: what the exported table is called once it is detached, since a week may go twice."""
    return {
        held.table: {
            "file": held.file, "sha256": held.sha256, "rows": held.rows,
            "detached": _detached_name(connection, held.table),
        }
        for held in archived
    }  # fmt: skip


def _detach(connection: Connection, week: int) -> None:
    for table in RETIRED:
        name = _partition(table, week)
        detached = _detached_name(connection, name)
        connection.execute(
            sql.SQL("ALTER TABLE {} DETACH PARTITION {}").format(sql.Identifier(table), sql.Identifier(name))
        )
        connection.execute(
            sql.SQL("ALTER TABLE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(detached))
        )


def _detached_name(connection: Connection, partition: str) -> str:
    """A name of its own, since the week may come again: a host that was away drains late."""
    row = connection.execute("SELECT %s::text::regclass::oid::bigint", (partition,)).fetchone()
    assert row is not None
    return f"{partition}{_DETACHED}{row[0]}"


@dataclass(slots=True)
class _Dropped:
    """`kept`: sentences."""

    names: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    archived: list[ArchivedTable] = field(default_factory=list)


def _drop(connection: Connection, plan: RetentionPlan, going: Sequence[int]) -> _Dropped:
    """Drops what this and earlier runs detached, each table once a file is known to hold its rows. `going`: the weeks
    of this run."""
    done = _Dropped()
    exported = _exported(connection)
    for name in _detached_tables(connection):
        if name not in exported and not _is_empty(connection, name):
            if plan.archive_dir is None:
                done.kept.append(f"{name} stays: no archive is known to hold its rows; --archive FOLDER exports them")
                continue
            if not plan.dry_run:
                done.archived.append(_export_late(connection, name, plan.archive_dir))
        if not plan.dry_run:
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
        done.names.append(name)
    if plan.dry_run:  # these are not detached yet
        names = [_partition(table, week) for week in going for table in RETIRED]
        if plan.archive_dir is not None:
            done.names += names
        else:
            held = [name for name in names if not _is_empty(connection, name)]
            done.kept += [f"{name} would stay: --archive names no folder" for name in held]
    return done


def _detached_tables(connection: Connection) -> list[str]:
    query = (
        "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'"
        " AND NOT relispartition AND relname ~ %s ORDER BY relname"
    )
    pattern = f"^({'|'.join(RETIRED)})_p[0-9]{{8}}{_DETACHED}[0-9]+$"
    return [str(row[0]) for row in connection.execute(query, (pattern,)).fetchall()]


def _exported(connection: Connection) -> frozenset[str]:
    """Detached tables whose rows a file of the archive holds."""
    query = "SELECT DISTINCT held.value ->> 'detached' FROM retired_partitions, jsonb_each(archive) AS held"
    return frozenset(str(row[0]) for row in connection.execute(query) if row[0] is not None)


def _is_empty(connection: Connection, name: str) -> bool:
    query = sql.SQL("SELECT NOT EXISTS (SELECT FROM {})").format(sql.Identifier(name))
    row = connection.execute(query).fetchone()
    return row is not None and bool(row[0])


def _export_late(connection: Connection, name: str, folder: Path) -> ArchivedTable:
    """Of a table that an earlier run detached. Which file holds it is noted with a run of its week, said once more: an
    audit counts a run once, and what was noted before cannot be changed."""
    partition = name.partition(_DETACHED)[0]
    held = archive_table(connection, name, folder, partition)
    archive = {partition: {"file": held.file, "sha256": held.sha256, "rows": held.rows, "detached": name}}
    query = (
        "INSERT INTO retired_partitions"
        " (week, journal_id, first_sequence, last_sequence, previous_hash, last_hash, archive)"
        " SELECT week, journal_id, first_sequence, last_sequence, previous_hash, last_hash, %s"
        " FROM retired_partitions WHERE week = %s::date::timestamp AT TIME ZONE 'UTC' ORDER BY id LIMIT 1"
    )
    connection.execute(query, (Jsonb(archive), partition.rpartition("_p")[2]))
    return held


def _partition(table: str, week: int) -> str:
    return f"{table}_p{week_start(week):%Y%m%d}"
