"""What must hold after kills: nothing acknowledged is missing or changed, nothing twice, no gap, order kept.

Everything is read from PostgreSQL by plain SQL, so that no code of the service can agree with its own mistake.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import psycopg
from execution_strategy.v1 import status_pb2

from tests.fault.killing.load import SentOrder, class_of, recorded, without_class
from tests.helpers.live_service import Gateway
from tests.helpers.running_host import eventually

# Every table whose rows stand in the chain of a journal.
CHAINED = (
    "strategy_selections", "order_updates", "adaptations", "outcomes", "operations", "reference_data", "set_aside",
)  # fmt: skip
_SEQUENCES = " UNION ALL ".join(f"SELECT journal_id, sequence FROM {name}" for name in CHAINED)
SELECTED = "execution_strategy_selected"
_SHOWN = 5


@dataclass(slots=True)
class Findings:
    """Counts of what must not be, and the first few of each by name."""

    lost_journaled: int = 0
    lost_committed: int = 0
    changed: int = 0
    duplicates: int = 0
    reordered: int = 0
    sequence_gaps: int = 0
    event_gaps: int = 0
    claims_broken: int = 0
    class_not_met: int = 0
    status_missing: int = 0
    set_aside: int = 0
    examples: list[str] = field(default_factory=list)

    def note(self, what: str, names: Sequence[object]) -> int:
        if names:
            shown = ", ".join(map(str, names[:_SHOWN]))
            self.examples.append(f"{what}: {len(names)} ({shown})")
        return len(names)

    def add(self, other: Findings) -> None:
        for one in fields(self):
            if one.name == "examples":
                self.examples += other.examples
            else:
                setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    @property
    def is_clean(self) -> bool:
        return not any(getattr(self, one.name) for one in fields(self) if one.name != "examples")

    @property
    def counts(self) -> dict[str, int]:
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "examples"}


@dataclass(frozen=True, slots=True)
class Row:
    """A decision in PostgreSQL."""

    selection_id: str
    order_id: str
    response: bytes
    status: str
    journal_id: str
    sequence: int


def rows_of(connection: psycopg.Connection[Any], order_ids: Sequence[str]) -> dict[str, list[Row]]:
    """By order id."""
    query = (
        "SELECT id::text, order_id, response, status, journal_id, sequence FROM strategy_selections"
        " WHERE order_id = ANY(%s) ORDER BY sequence"
    )
    found: dict[str, list[Row]] = {}
    for one in connection.execute(query, (list(order_ids),)):
        row = Row(one[0], one[1], bytes(one[2]), one[3], one[4], one[5])
        found.setdefault(row.order_id, []).append(row)
    return found


def wait_drained(conninfo: str, sent: Sequence[SentOrder], within_s: float) -> bool:
    """Until every decision that must be kept is in PostgreSQL; False when some still is not."""
    wanted = [one.order_id for one in sent if one.must_be_kept]

    def all_there() -> bool:
        query = "SELECT count(DISTINCT order_id) FROM strategy_selections WHERE order_id = ANY(%s)"
        with psycopg.connect(conninfo, autocommit=True) as connection:
            row = connection.execute(query, (wanted,)).fetchone()
        return row is not None and int(row[0]) == len(wanted)

    try:
        eventually(all_there, within_s=within_s, what="everything drained")
    except AssertionError:
        return False
    return True


def check_claims(sent: Sequence[SentOrder]) -> Findings:
    """From the answers alone: an order has one decision, for one request, the same bytes whenever it is asked again."""
    found = Findings()
    kept = [one for one in sent if one.must_be_kept]
    broken = [one.order_id for one in kept if len({without_class(answer) for answer in one.answers}) > 1]
    rivals = [one.order_id for one in kept if len(set(one.answers.values())) > 1]
    found.claims_broken = found.note("orders with several decisions", sorted({*broken, *rivals}))
    unmet = [one.order_id for one in kept if {class_of(answer) for answer in one.answers} != {one.acknowledgement}]
    found.class_not_met = found.note("answers of another class", unmet)
    return found


def check_rows(connection: psycopg.Connection[Any], by_client: Sequence[Sequence[SentOrder]]) -> Findings:
    """Against what the clients were told."""
    found = Findings()
    sent = [one for client in by_client for one in client]
    rows = rows_of(connection, [one.order_id for one in sent])
    kept = [one for one in sent if one.must_be_kept]
    lost = [one for one in kept if one.order_id not in rows]
    names = [one.order_id for one in lost if one.acknowledgement == "JOURNALED"]
    found.lost_journaled = found.note("lost JOURNALED", names)
    names = [one.order_id for one in lost if one.acknowledgement == "COMMITTED"]
    found.lost_committed = found.note("lost COMMITTED", names)
    changed = [one.order_id for one in kept if one.order_id in rows and not _is_as_told(one, rows[one.order_id])]
    found.changed = found.note("changed", changed)
    twice = [order_id for order_id, those in rows.items() if len(those) > 1]
    found.duplicates = found.note("rows of one order", twice)
    found.reordered = found.note("out of order", [name for client in by_client for name in _misplaced(client, rows)])
    return found


def _is_as_told(sent: SentOrder, rows: Sequence[Row]) -> bool:
    stored = {without_class(row.response) for row in rows}
    return all(without_class(answer) in stored for answer in sent.answers)


def _misplaced(client: Sequence[SentOrder], rows: dict[str, list[Row]]) -> list[str]:
    """Orders whose record stands before that of an order which was answered before they were sent.

    A BUFFERED one may be lost by a kill and decided anew when it is sent again, so nothing is measured against its
    place.
    """
    highest: dict[str, int] = {}
    wrong = []
    for one in client:
        if not one.is_first_answered or one.order_id not in rows:
            continue
        row = rows[one.order_id][0]
        if row.sequence <= highest.get(row.journal_id, 0):
            wrong.append(one.order_id)
        if one.must_be_kept:
            highest[row.journal_id] = max(row.sequence, highest.get(row.journal_id, 0))
    return wrong


def check_database(connection: psycopg.Connection[Any]) -> Findings:
    """What must be true of the whole database, whoever wrote it."""
    found = Findings()
    query = (
        "SELECT order_id FROM strategy_selections WHERE status = 'RECORDED' GROUP BY order_id HAVING count(*) > 1"
        " UNION ALL SELECT id::text FROM strategy_selections GROUP BY id HAVING count(*) > 1"
    )
    found.duplicates = found.note("recorded twice", _column(connection, query))
    found.sequence_gaps = found.note("sequences missing or twice", sequence_faults(connection))
    # One event a recorded decision, in the decision's own place.
    query = (
        "SELECT s.id::text FROM strategy_selections s LEFT JOIN outbox o"
        f" ON o.journal_id = s.journal_id AND o.sequence = s.sequence AND o.type = '{SELECTED}'"
        " GROUP BY s.id HAVING count(o.id) <> 1"
    )
    gaps = _column(connection, query)
    query = (
        f"SELECT o.id::text FROM outbox o LEFT JOIN strategy_selections s USING (journal_id, sequence)"
        f" WHERE o.type = '{SELECTED}' AND (s.id IS NULL OR s.order_id <> o.aggregateid)"
    )
    found.event_gaps = found.note("decisions and events that do not match", gaps + _column(connection, query))
    found.set_aside = found.note("set aside", _column(connection, "SELECT reason FROM set_aside"))
    return found


def sequence_faults(connection: psycopg.Connection[Any]) -> list[str]:
    """Where the sequences of a journal, from 1 to its cursor, are not each there once."""
    query = (
        f"SELECT j.journal_id, j.drained_sequence, count(s.sequence), count(DISTINCT s.sequence),"
        f" coalesce(min(s.sequence), 1), coalesce(max(s.sequence), 0)"
        f" FROM journals j LEFT JOIN ({_SEQUENCES}) s USING (journal_id) GROUP BY 1, 2"
    )
    wrong = []
    for journal_id, drained, count, distinct, first, last in connection.execute(query):
        if not (count == distinct == drained == last and first == 1):
            wrong.append(f"{journal_id}: {count} rows, {distinct} sequences {first}..{last}, cursor {drained}")
    return wrong


def _column(connection: psycopg.Connection[Any], query: str) -> list[str]:
    return [str(row[0]) for row in connection.execute(query.encode())]


def check_status(target: str, sent: Sequence[SentOrder]) -> Findings:
    """`Status` of each order answers with the decision that the gateway was told."""
    found, missing = Findings(), []
    with Gateway(target) as gateway:
        for one in sent:
            if not one.must_be_kept:
                continue
            reply = gateway.call("Status", status_pb2.StatusRequest(order_id=one.order_id))
            told = recorded(next(iter(one.answers))).selection_id
            shown = status_pb2.StrategyExecutionStatus.FromString(reply.data).current.selection_id
            if shown != told:
                missing.append(f"{one.order_id} {reply.code}")
    found.status_missing = found.note("not seen by Status", missing)
    return found


def check_retries(target: str, sent: Sequence[SentOrder]) -> Findings:
    """The same order and request once more gives the very bytes that were given before."""
    found, broken = Findings(), []
    with Gateway(target) as gateway:
        for one in sent:
            if not one.must_be_kept:
                continue
            answer, request = next(iter(one.answers.items()))
            reply = gateway.recommend(request)
            if reply.code != "OK" or reply.data != answer:
                broken.append(f"{one.order_id} {reply.code} {reply.text}")
    found.claims_broken = found.note("retries that gave something else", broken)
    return found
