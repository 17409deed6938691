"""What `ess audit` and `ess retention` run: the records in PostgreSQL, checked and taken away."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from service.settings import Settings
from store.errors import HeadsInvalid, RetentionRefused, StoreError

if TYPE_CHECKING:
    from store.archive_files import ArchivedTable
    from store.audit import AuditReport
    from store.retention import RetentionPlan, RetentionReport

SOUND, NOT_SOUND, BAD_INPUT, UNAVAILABLE = 0, 1, 2, 69
# Findings that are printed for people; --json gives them all.
_MOST_SHOWN = 50


def verify(settings: Settings, heads_file: Path | None, archive: Path | None, as_json: bool) -> int:
    """Walks every chain, with `archive` over what retention took away, too; 0 where everything is as it was written."""
    from store.audit import audit, read_heads

    def work(conninfo: str) -> int:
        lines = heads_file.read_text(encoding="utf-8").splitlines() if heads_file is not None else []
        report = audit(conninfo, read_heads(lines, str(heads_file)), archive)
        print(msgspec.json.encode(report_json(report)).decode() if as_json else report_text(report))
        return SOUND if report.is_sound else NOT_SOUND

    return _as_owner(settings, work)


def print_heads(settings: Settings) -> int:
    """One line of JSON a journal."""
    from store.audit import database_heads, head_line

    def work(conninfo: str) -> int:
        for head in database_heads(conninfo):
            print(head_line(head))
        return SOUND

    return _as_owner(settings, work)


def retention(settings: Settings, plan: RetentionPlan, as_json: bool = False) -> int:
    """Takes old weeks away, and says which."""
    from store.retention import retire

    def work(conninfo: str) -> int:
        report = retire(conninfo, plan)
        print(msgspec.json.encode(retention_json(report, plan)).decode() if as_json else retention_text(report, plan))
        return SOUND

    return _as_owner(settings, work)


@contextlib.contextmanager
def owner_database(settings: Settings) -> Iterator[str]:
    """Where to connect as the owner of the tables; an embedded server that does not run is started meanwhile."""
    from store.embedded import EmbeddedPostgres, running_conninfo

    for secret in (settings.database_owner_url, settings.database_url):
        if secret.get_secret_value():
            yield secret.get_secret_value()
            return
    running = running_conninfo(settings.data_dir)
    if running is not None:
        yield running
        return
    if not (settings.data_dir / "postgres").is_dir():
        raise StoreError(
            f"{settings.data_dir} holds no database; name one by ESS_DATABASE_URL or ESS_DATA_DIR"
        )
    with EmbeddedPostgres(settings.data_dir) as conninfo:
        yield conninfo


def report_json(report: AuditReport) -> dict[str, object]:
    """Everything that was found."""
    return {
        "sound": report.is_sound,
        "findings": [
            {
                "problem": found.problem,
                "table": found.table,
                "id": found.record_id,
                "journal_id": found.journal_id,
                "sequence": found.sequence,
                "detail": found.detail,
            }
            for found in report.findings
        ],
        "findings_count": report.found,
        "journals": [
            {
                "journal_id": held.journal_id,
                "host_id": held.host_id,
                "rows": held.rows,
                "sequence": held.sequence,
                "chain_hash": held.chain_hash.hex(),
            }
            for held in report.journals
        ],
        "rows_before_journal": report.rows_before_journal,
        "heads_checked": report.heads_checked,
        "heads_retired": report.heads_retired,
        "entries_retired": report.entries_retired,
        "archive_files": report.archive_files,
    }


def report_text(report: AuditReport) -> str:
    """The same for people."""
    lines = [
        f"journal {held.journal_id} of {held.host_id}: {held.rows:,} rows, up to {held.sequence:,},"
        f" head {held.chain_hash.hex()}"
        for held in report.journals
    ]
    if report.rows_before_journal:
        lines.append(f"before the journal: {report.rows_before_journal:,} rows, which no chain holds")
    lines.append(f"heads compared: {report.heads_checked:,}")
    if report.heads_retired:
        lines.append(f"heads of rows that were taken away, not compared: {report.heads_retired:,}")
    if report.archive_files:
        lines.append(f"files of the archive that were read: {report.archive_files:,}")
    if report.entries_retired:
        lines.append(f"taken away by retention, not looked at without --archive: {report.entries_retired:,} entries")
    for found in report.findings[:_MOST_SHOWN]:
        row = f"{found.table} {found.record_id}".strip()
        place = f"journal {found.journal_id or '-'}, sequence {found.sequence}"
        lines.append(f"{found.problem}: {place}{': ' + row if row else ''}: {found.detail}")
    if report.found > _MOST_SHOWN:
        lines.append(f"and {report.found - _MOST_SHOWN:,} more")
    lines.append(
        "sound: everything is as it was written" if report.is_sound else f"NOT SOUND: {report.found:,} found"
    )
    return "\n".join(lines)


def retention_json(report: RetentionReport, plan: RetentionPlan) -> dict[str, object]:
    """Everything that was done, or would be."""
    return {
        "dry_run": plan.dry_run,
        "weeks": [
            {
                "week": f"{held.week:%Y-%m-%d}", "rows": held.rows, "runs": held.runs,
                "archived": [_archived_json(table) for table in held.archived],
            }
            for held in report.retired
        ],
        "held_back": list(report.held_back),
        "archived": [_archived_json(table) for table in report.archived],
        "dropped": list(report.dropped),
        "not_dropped": list(report.not_dropped),
    }  # fmt: skip


def _archived_json(table: ArchivedTable) -> dict[str, object]:
    return {"file": table.file, "rows": table.rows, "sha256": table.sha256}


def retention_text(report: RetentionReport, plan: RetentionPlan) -> str:
    done = "would be detached" if plan.dry_run else "detached"
    lines = [
        f"the week of {held.week:%Y-%m-%d} {done}: {held.rows:,} rows in {held.runs:,} runs"
        for held in report.retired
    ]
    archived = [table for held in report.retired for table in held.archived] + list(report.archived)
    lines += [f"  {table.file}: {table.rows:,} rows, SHA-256 {table.sha256}" for table in archived]
    lines += report.held_back
    lines += [f"{'would drop' if plan.dry_run else 'dropped'} {name}" for name in report.dropped]
    lines += report.not_dropped
    return "\n".join(lines or [f"nothing is older than {plan.keep_weeks} weeks"])


def _as_owner(settings: Settings, work: Callable[[str], int]) -> int:
    """The exit code of the work; an error of the store, or a file that cannot be read, is one line on stderr."""
    try:
        with owner_database(settings) as conninfo:
            return work(conninfo)
    except RetentionRefused as error:
        code, reason = NOT_SOUND, str(error)
    except (HeadsInvalid, OSError, UnicodeDecodeError) as error:
        code, reason = BAD_INPUT, str(error)
    except StoreError as error:
        code, reason = UNAVAILABLE, str(error)
    print(f"ess: {reason}", file=sys.stderr)
    return code
