"""The audit against somebody who can do everything in the database: a superuser with triggers turned off."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import pytest

from engine.records import Record, RecordKind
from store.audit import AuditReport, audit, audit_on, database_heads, head_line, read_heads
from store.audit_walk import KnownHead, Problem
from store.errors import HeadsInvalid
from store.journal.port import Entry
from store.pool import PoolSettings, make_pool
from store.postgres_sink import PostgresSink
from store.rows.tables import TABLES, ChainedTable
from tests.helpers.chains import entries_of, one_of_each, operation, selection

JOURNAL = "journal-a"


async def written(database: str, records: Sequence[Record], journal_id: str = JOURNAL) -> list[Entry]:
    entries = entries_of(journal_id, records)
    async with make_pool(PoolSettings(database, role="ess_service")) as pool:
        sink = PostgresSink(pool, f"host-{journal_id}")
        await sink.position(journal_id)
        await sink.write(entries)
    return entries


def tamper(database: str, *statements: str) -> None:
    """As who owns everything and lets no trigger speak."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        for statement in statements:
            assert connection.execute(statement.encode()).rowcount >= 1, statement


def found(report: AuditReport) -> list[tuple[Problem, str, int]]:
    return [(finding.problem, finding.table, finding.sequence) for finding in report.findings]


async def test_what_was_written_is_found_sound(database: str) -> None:
    entries = await written(database, one_of_each())
    other = await written(database, [selection(), operation()], "journal-b")
    report = audit(database, heads_of(entries) + heads_of(other, "journal-b"))
    assert (report.is_sound, report.findings) == (True, ())
    assert [(held.journal_id, held.rows, held.sequence, held.chain_hash) for held in report.journals] == [
        (JOURNAL, len(entries), len(entries), entries[-1].chain_hash),
        ("journal-b", 2, 2, other[-1].chain_hash),
    ]
    assert report.heads_checked == len(entries) + 2


async def test_an_empty_database_and_an_empty_journal_are_sound(database: str) -> None:
    assert audit(database).is_sound
    async with make_pool(PoolSettings(database)) as pool:
        await PostgresSink(pool, "host-a").position(JOURNAL)
    assert audit(database).is_sound


async def test_odd_values_give_the_same_bytes_again(database: str) -> None:
    odd: dict[str, Any] = {
        "quantity_shares": -0.0,
        "confidence": 5e-324,
        "parameters": {"big": 1.7976931348623157e308, "int": 2**63, "deep": [[{"ü \"\\ \n \u2028": [None]}]], "": 1.0},
        "selection_rationale": "",
        "gateway": " \t\r\n'\"\\x41 \U0001f600 é é",
        "request": b"",
        "response": bytes(range(256)) * 50,
        "tags": {},
    }  # fmt: skip
    await written(database, [selection(**odd), selection(created_at_ns=1_750_240_800_000_000_999)])
    assert audit(database).is_sound


# An edit of every column that is hashed, by the kind of its value.
EDITS: dict[str, str] = {
    "UUID": "gen_random_uuid()",
    "UUID_OR_EMPTY": "NULL",
    "NAME": "{0} || 'x'",
    "TEXT": "{0} || ' '",
    "INTEGER": "{0} + 1",
    "FLOAT": "{0} + 1e-9",
    "JSON": "replace({0}::text, ':', ': ')::json",
    "BYTES": "{0} || '\\x00'",
}
OTHER_EDITS = {
    "payload_version": "{0} + 1",
    "created_at": "{0} + interval '1 microsecond'",
    "chain_hash": "sha256({0})",
}


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
async def test_an_edit_of_any_hashed_column_is_found_and_named(sound: str, table: ChainedTable) -> None:
    edits = {column.name: EDITS[column.type.name] for column in table.columns} | OTHER_EDITS
    with psycopg.connect(sound) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        for column, edit in edits.items():
            connection.execute("SET LOCAL session_replication_role = replica")
            where = f"sequence = (SELECT min(sequence) FROM {table.name}) RETURNING id::text, sequence"
            query = f"UPDATE {table.name} SET {column} = {edit.format(column)} WHERE {where}"
            edited = connection.execute(query.encode()).fetchall()
            report = audit_on(connection)
            named = {
                (finding.record_id, finding.sequence)
                for finding in report.findings
                if finding.problem is Problem.EDITED and finding.table == table.name
            }
            assert named == set(edited), (column, report.findings)
            assert {finding.sequence for finding in report.findings} == {edited[0][1]}, column
            connection.rollback()
            assert audit_on(connection).is_sound
            connection.rollback()


@pytest.mark.parametrize(
    "column", ["id", "type", "aggregatetype", "aggregateid", "payload", "created_at", "chain_hash"]
)
async def test_an_edited_event_is_found(sound: str, column: str) -> None:
    edits = {
        "id": "gen_random_uuid()", "payload": "(payload::text || ' ')::json", "chain_hash": "sha256(chain_hash)",
        "created_at": "created_at + interval '1 hour'",
    }  # fmt: skip
    edit = edits.get(column, f"{column} || 'x'")
    tamper(sound, f"UPDATE outbox SET {column} = {edit} WHERE sequence = 3")
    report = audit(sound)
    assert report.found == 1
    assert report.findings[0].problem is Problem.EDITED
    assert report.findings[0].sequence == 3


async def test_a_deleted_event_is_found(sound: str) -> None:
    tamper(sound, "DELETE FROM outbox WHERE sequence = 5")
    assert found(audit(sound)) == [(Problem.EDITED, "adaptations", 5)]


async def test_an_invented_event_is_found(sound: str) -> None:
    copied = (
        "INSERT INTO outbox SELECT gen_random_uuid(), aggregatetype, aggregateid, type, payload, created_at,"
        " journal_id, {place}, chain_hash FROM outbox WHERE sequence = 3 AND part = 0"
    )
    tamper(sound, *(copied.format(place=place) for place in ("1, 0", "3, 1", "99, 0")))
    report = audit(sound)
    assert not report.is_sound
    assert {finding.sequence for finding in report.findings} == {1, 3, 99}


async def test_a_deleted_row_in_the_middle_is_found(sound: str) -> None:
    tamper(sound, "DELETE FROM order_updates")
    report = audit(sound)
    assert found(report) == [(Problem.MISSING, "", 4)]
    assert report.findings[0].detail.startswith("entry 4 is in no table")


async def test_an_event_of_a_deleted_row_is_no_finding_of_its_own(sound: str) -> None:
    tamper(sound, "DELETE FROM outcomes")
    report = audit(sound)
    assert found(report) == [(Problem.MISSING, "", 6)]
    assert "1 of their events" in report.findings[0].detail


async def test_a_cut_tail_is_found_by_the_cursor_and_where_that_was_moved_too_by_heads(sound: str) -> None:
    heads = database_heads(sound)
    tamper(sound, "DELETE FROM strategy_selections WHERE sequence = 7")
    assert found(audit(sound)) == [(Problem.CUT_OFF, "", 7)]
    head = "SELECT chain_hash FROM outcomes WHERE sequence = 6"
    moved = f"UPDATE journals SET drained_sequence = 6, drained_hash = ({head})"
    tamper(sound, moved)
    assert audit(sound).is_sound
    kept = read_heads([head_line(head) for head in heads], "heads.jsonl")
    report = audit(sound, kept)
    assert found(report) == [(Problem.CUT_OFF, "", 7)]
    assert "heads.jsonl:1" in report.findings[0].detail


async def test_a_journal_that_is_gone_altogether_is_found_by_heads(sound: str) -> None:
    heads = [
        KnownHead(head.journal_id, head.sequence, head.chain_hash, "kept") for head in database_heads(sound)
    ]
    tables = [*(table.name for table in TABLES.values()), "outbox", "journals"]
    tamper(sound, *(f"DELETE FROM {table}" for table in tables))
    assert audit(sound).is_sound
    assert found(audit(sound, heads)) == [(Problem.CUT_OFF, "journals", 1)]


async def test_a_chain_that_was_made_anew_is_found_by_heads(database: str) -> None:
    """Whoever edits a row and computes all later hashes again cannot compute the heads that left with the events."""
    entries = await written(database, one_of_each())
    tables = [*(table.name for table in TABLES.values()), "outbox", "journals"]
    tamper(database, *(f"DELETE FROM {table}" for table in tables), "DELETE FROM orders")
    await written(database, one_of_each())
    assert audit(database).is_sound
    report = audit(database, heads_of(entries[3:4]))
    assert found(report) == [(Problem.HEAD_DIFFERS, "", 4)]


async def test_two_rows_with_their_sequences_swapped_are_found(database: str) -> None:
    await written(database, [selection() for _ in range(6)])
    tamper(
        database,
        "UPDATE strategy_selections SET sequence = CASE sequence WHEN 3 THEN 4 ELSE 3 END WHERE sequence IN (3, 4)",
    )
    report = audit(database)
    edited = {finding.sequence for finding in report.findings if finding.table == "strategy_selections"}
    assert edited == {3, 4}
    hashes = (
        "UPDATE strategy_selections AS held SET chain_hash = outbox.chain_hash"
        " FROM outbox WHERE outbox.sequence = held.sequence"
    )
    tamper(database, hashes)
    assert {finding.sequence for finding in audit(database).findings} == {3, 4}


FORGE = (
    "INSERT INTO operations SELECT gen_random_uuid(), created_at, created_at_ns, kind, scope, subject, actor, reason,"
    " detail, payload_version, {journal}, {sequence}, chain_hash, host_id, inserted_at FROM operations"
)


@pytest.mark.parametrize(
    ("journal", "sequence", "expected"),
    [
        ("journal_id", "4", Problem.FORGED),
        ("journal_id", "8", Problem.FORGED),
        ("journal_id", "0", Problem.FORGED),
        ("'journal-z'", "1", Problem.FORGED),
    ],
)
async def test_a_forged_row_is_found(sound: str, journal: str, sequence: str, expected: Problem) -> None:
    tamper(sound, FORGE.format(journal=journal, sequence=sequence))
    report = audit(sound)
    assert expected in {finding.problem for finding in report.findings}
    assert {finding.sequence for finding in report.findings} <= {int(sequence), 0}


async def test_a_forged_row_without_a_journal_is_found(sound: str) -> None:
    unchained = "journal_id = NULL, sequence = NULL, chain_hash = NULL"
    tamper(sound, f"UPDATE strategy_selections SET {unchained} WHERE sequence = 7")
    assert {finding.problem for finding in audit(sound).findings} == {Problem.CUT_OFF, Problem.BEFORE_JOURNAL}


async def test_an_entry_set_aside_takes_part_in_the_chain(database: str) -> None:
    chosen = selection()
    entries = await written(database, [chosen, operation(), chosen, operation()])
    assert audit(database, heads_of(entries)).is_sound
    tamper(database, "UPDATE set_aside SET payload = payload || '\\x00'")
    assert found(audit(database)) == [(Problem.EDITED, "set_aside", 3)]
    tamper(database, "DELETE FROM set_aside")
    assert found(audit(database)) == [(Problem.MISSING, "", 3)]


async def test_what_lies_outside_the_hash_must_not_contradict_it(database: str) -> None:
    first, second = selection("shared"), selection("shared")
    await written(database, [first], "journal-a")
    await written(database, [second], "journal-b")
    assert audit(database).is_sound
    tamper(database, "UPDATE strategy_selections SET status = 'RECORDED'")
    assert {finding.problem for finding in audit(database).findings} == {Problem.OUTSIDE_HASH, Problem.FORGED}
    tamper(database, "UPDATE strategy_selections SET status = 'CONFLICTED' WHERE journal_id = 'journal-b'")
    tamper(
        database,
        "UPDATE outbox SET payload = replace(payload::text, 'shared', 'shaped')::json WHERE part = 1",
    )
    assert found(audit(database)) == [(Problem.FORGED, "outbox", 1)]
    tamper(database, "DELETE FROM outbox WHERE part = 1")
    assert found(audit(database)) == [(Problem.MISSING, "strategy_selections", 1)]
    tamper(database, "DELETE FROM orders")
    assert {finding.problem for finding in audit(database).findings} >= {Problem.OUTSIDE_HASH}


@pytest.mark.parametrize("change", ["request_hash = repeat('0', 64)", "created_at = created_at + interval '1 second'"])
async def test_what_orders_says_of_a_decision_is_what_the_decision_says(sound: str, change: str) -> None:
    """By its request_hash a repeated order is told from another one of its id."""
    tamper(sound, f"UPDATE orders SET {change} WHERE selection_id = (SELECT id FROM strategy_selections LIMIT 1)")
    (finding,) = audit(sound).findings
    assert (finding.problem, finding.table) == (Problem.OUTSIDE_HASH, "strategy_selections")


async def test_the_head_of_the_local_journal_may_be_ahead_but_not_another(sound: str) -> None:
    (head,) = database_heads(sound)
    ahead = KnownHead(JOURNAL, head.sequence + 5, bytes(32), "the local journal", may_be_ahead=True)
    assert audit(sound, [ahead]).is_sound
    differs = KnownHead(JOURNAL, head.sequence, bytes(32), "the local journal", may_be_ahead=True)
    assert found(audit(sound, [differs])) == [(Problem.HEAD_DIFFERS, "", head.sequence)]


def test_a_file_of_heads_says_every_fault() -> None:
    good = json.dumps({"journal_id": "a", "sequence": 3, "chain_hash": "ab" * 32, "event_id": "more"})
    assert read_heads([good, "", " "], "f") == [KnownHead("a", 3, b"\xab" * 32, "f:1")]
    with pytest.raises(HeadsInvalid, match=r"line 2.*line 3.*line 4"):
        read_heads([good, "{}", "no", good.replace("ab", "", 1)], "f")


async def test_many_rows_take_little_memory(database: str, measured: Callable[[], int]) -> None:
    records = [selection(response=bytes(10_000)) for _ in range(3_000)]
    await written(database, records)
    del records
    before = measured()
    assert audit(database).is_sound
    assert measured() - before < 25_000_000


def heads_of(entries: Sequence[Entry], journal_id: str = JOURNAL) -> list[KnownHead]:
    return [KnownHead(journal_id, entry.sequence, entry.chain_hash, "kept") for entry in entries]


@pytest.fixture
async def sound(database: str) -> str:
    """One of each kind: reference 1, operation 2, selection 3, update 4, adaptation 5, outcome 6, selection 7."""
    entries = await written(database, one_of_each())
    assert [entry.kind for entry in entries[:2]] == [RecordKind.REFERENCE, RecordKind.OPERATION]
    return database


@pytest.fixture
def measured() -> Callable[[], int]:
    """The most memory that this process ever held, in bytes."""
    import resource

    return lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
