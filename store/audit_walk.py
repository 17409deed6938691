"""Walks one journal's chain over what the database gives, and says what is not as it was written.

Knows no database: entries come in as an iterator in the order of their sequence. An entry that does not fit its hash is
reported once; the walk goes on from both the hash that it should have and the one that it claims, so that one edit is
one finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

import msgspec

from store.chain import first_hash, next_hash
from store.conflict_event import conflict_event
from store.rows.reading import StoredEntry, StoredEvent
from store.rows.tables import OUTBOX


class Problem(StrEnum):
    """What an audit finds."""

    EDITED = "EDITED"  # the row, or the event that belongs to it, is not what was hashed
    MISSING = "MISSING"  # entries are gone from the middle
    CUT_OFF = "CUT_OFF"  # entries are gone from the end
    FORGED = "FORGED"  # a row that the chain does not know
    HEAD_DIFFERS = "HEAD_DIFFERS"  # another hash than somebody kept outside
    OUTSIDE_HASH = "OUTSIDE_HASH"  # what is not hashed contradicts what is
    BEFORE_JOURNAL = "BEFORE_JOURNAL"  # rows from before there was a journal are not what they were


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault, by table, id of the row (where it has one), journal and sequence."""

    problem: Problem
    table: str
    record_id: str
    journal_id: str
    sequence: int
    detail: str


@dataclass(frozen=True, slots=True)
class Run:
    """Entries that `ess retention` took away."""

    first_sequence: int
    last_sequence: int
    previous_hash: bytes
    last_hash: bytes


@dataclass(frozen=True, slots=True)
class KnownHead:
    """A head that was kept outside the tables. `source` is said with a finding. `may_be_ahead`: of the local journal,
    whose newest entries need not be in PostgreSQL yet."""

    journal_id: str
    sequence: int
    chain_hash: bytes
    source: str
    may_be_ahead: bool = False


@dataclass(frozen=True, slots=True)
class Verified:
    """An entry that fits the chain."""

    entry: StoredEntry
    previous_hash: bytes


Report = Callable[[Finding], None]
Watch = Callable[[Verified], None]


class ChainWalk:
    """One journal. `run` once; afterwards `sequence` and `head` tell how far the chain goes."""

    def __init__(
        self,
        journal_id: str,
        *,
        retired: Iterable[Run],
        heads: Iterable[KnownHead],
        report: Report,
        watch: Watch = lambda verified: None,
        excuse: str = "nothing says that retention took",
    ) -> None:
        self._excuse = excuse  # what is said of entries that are not there
        self._journal_id = journal_id
        self._report = report
        self._watch = watch
        self._retired = {run.first_sequence: run for run in retired}
        self._heads: dict[int, list[KnownHead]] = {}
        for head in heads:
            self._heads.setdefault(head.sequence, []).append(head)
        self.sequence = 0
        self.rows = 0
        self.heads_checked = 0
        self.heads_retired = 0
        self.entries_retired = 0
        # Hashes that the next entry may be chained to; more than one after an entry that does not fit.
        self._heads_now: tuple[bytes, ...] = (first_hash(journal_id),)
        self._claimed_before: tuple[bytes, ...] = ()
        self._events: _Events | None = None

    @property
    def head(self) -> bytes:
        return self._heads_now[-1]

    def run(
        self,
        entries: Iterable[StoredEntry],
        events: Iterable[StoredEvent],
        drained_sequence: int,
        drained_hash: bytes,
    ) -> None:
        self._events = _Events(events)
        self._check_heads(0)
        for sequence, group in groupby(entries, key=lambda entry: entry.sequence):
            self._skip_retired()
            if sequence <= self.sequence:
                for entry in group:
                    self._found(Problem.FORGED, entry, "its sequence belongs to entries that were taken away")
                continue
            if sequence > self.sequence + 1:
                self._gap(sequence)
            self._step(sequence, list(group))
        self._skip_retired()
        _, stray = self._events.between(self.sequence + 1, drained_sequence)  # what is cut off is told once
        for event in (*stray, *self._events.rest()):
            self._stray(event)
        self._end(drained_sequence, drained_hash)

    def _gap(self, sequence: int) -> None:
        assert self._events is not None
        first, last = self.sequence + 1, sequence - 1
        told, stray = self._events.between(first, last)
        for event in stray:
            self._stray(event)
        names = f"entry {first} is" if first == last else f"entries {first} to {last} are"
        detail = f"{names} in no table, and {self._excuse} {'it' if first == last else 'them'}"
        detail += f"; {told} of their events are in the outbox" if told else ""
        self._report(Finding(Problem.MISSING, "", "", self._journal_id, first, detail))
        # Nothing is known of the hash before this one: what the entry claims is believed, and the gap is reported.
        self._heads_now = ()
        self.sequence = last

    def _step(self, sequence: int, group: list[StoredEntry]) -> None:
        assert self._events is not None
        events, stray = self._events.of(sequence)
        for event in stray:
            self._stray(event)
        told = next((event for event in events if event.part == 0), None)
        fitting: list[tuple[StoredEntry, bytes]] = []
        claims: list[bytes] = []
        for entry in group:
            made = self._hashes(entry, None if told is None or entry.is_set_aside else told.event)
            claims += [*made, entry.chain_hash]
            if entry.chain_hash in made:
                fitting.append((entry, self._heads_now[made.index(entry.chain_hash)]))
        chosen = fitting[0][0] if fitting else group[0]
        for entry in group:
            if entry is not chosen:
                self._found(Problem.FORGED, entry, "another row has this sequence")
        self.sequence, self.rows = sequence, self.rows + 1
        if fitting and not chosen.is_as_owned:
            detail = f"orders has another request_hash or time for the order {chosen.order_id!r}"
            self._found(Problem.OUTSIDE_HASH, chosen, detail)
        if fitting:
            self._heads_now = (chosen.chain_hash,)
            self._watch(Verified(*fitting[0]))
        elif self._heads_now:
            # What its events and, where two rows changed places, the row before it claim may be the true hash as well.
            claims += [*(event.chain_hash for event in events), *self._claimed_before]
            self._heads_now = tuple(dict.fromkeys(claims))
            self._found(Problem.EDITED, chosen, "the row and its event do not give its hash")
        else:
            self._heads_now = (chosen.chain_hash,)
        self._claimed_before = () if fitting else (chosen.chain_hash,)
        self._check_columns(chosen, events)
        self._check_heads(sequence)

    def _hashes(self, entry: StoredEntry, event: list[str] | None) -> list[bytes]:
        payload = entry.with_event(event)
        return [next_hash(previous, entry.sequence, entry.kind, payload) for previous in self._heads_now]

    def _check_columns(self, entry: StoredEntry, events: list[StoredEvent]) -> None:
        """Columns that are not hashed, but follow from what is."""
        if entry.created_at_ns is not None and entry.created_at_us != entry.created_at_ns // 1000:
            self._found(Problem.EDITED, entry, "created_at is not the time that was hashed")
        if entry.owner_id is not None and entry.is_conflicted != (entry.owner_id != entry.record_id):
            status = "CONFLICTED" if entry.is_conflicted else "RECORDED"
            self._found(
                Problem.OUTSIDE_HASH, entry, f"status is {status}, but the order belongs to {entry.owner_id}"
            )
        if entry.table == "strategy_selections" and entry.owner_id is None:
            self._found(Problem.OUTSIDE_HASH, entry, f"the order {entry.order_id!r} is not in orders")
        if entry.is_conflicted and not any(event.part == 1 for event in events):
            self._found(Problem.MISSING, entry, "the event of the conflict is not in the outbox")
        for event in events:
            if event.chain_hash != entry.chain_hash or event.created_at_us != entry.created_at_us:
                self._found(
                    Problem.EDITED, entry, f"hash or time of part {event.part} in the outbox differ", OUTBOX
                )
            if event.part == 1 and not _is_conflict_of(event, entry):
                self._found(
                    Problem.FORGED, entry, "the event of the conflict is not what it should be", OUTBOX
                )
            if event.part > 1 or (event.part == 0 and entry.is_set_aside):
                self._found(
                    Problem.FORGED, entry, f"part {event.part} in the outbox belongs to nothing", OUTBOX
                )

    def _check_heads(self, sequence: int) -> None:
        for head in self._heads.pop(sequence, ()):
            self.heads_checked += 1
            if self._heads_now and head.chain_hash not in self._heads_now:
                self._differs(head)

    def _differs(self, head: KnownHead) -> None:
        detail = f"{head.source} says {head.chain_hash.hex()[:16]}... at {head.sequence}, the database has another hash"
        self._report(Finding(Problem.HEAD_DIFFERS, "", "", self._journal_id, head.sequence, detail))

    def _skip_retired(self) -> None:
        while (run := self._retired.get(self.sequence + 1)) is not None:
            if self._heads_now and run.previous_hash not in self._heads_now:
                detail = f"entries {run.first_sequence} to {run.last_sequence}, which were taken away, do not follow"
                self._report(
                    Finding(
                        Problem.EDITED, "retired_partitions", "", self._journal_id, run.first_sequence, detail
                    )
                )
            del self._retired[run.first_sequence]
            within = [held for held in self._heads if self.sequence < held < run.last_sequence]
            self.heads_retired += sum(len(self._heads.pop(held)) for held in within)
            self.entries_retired += run.last_sequence - self.sequence
            self.sequence, self._heads_now = run.last_sequence, (run.last_hash,)
            self._check_heads(self.sequence)

    def _end(self, drained_sequence: int, drained_hash: bytes) -> None:
        kept = [head for heads in self._heads.values() for head in heads]
        ahead = [head for head in kept if head.may_be_ahead and head.sequence > drained_sequence]
        self.heads_checked += len(kept)
        told = [head for head in kept if head not in ahead]
        last = max((head.sequence for head in told), default=0)
        if max(last, drained_sequence) > self.sequence:
            source = (
                "the journal's cursor" if drained_sequence >= last else max(told, key=_by_sequence).source
            )
            detail = f"the chain ends at {self.sequence}, but {source} knows {max(last, drained_sequence)}"
            self._report(Finding(Problem.CUT_OFF, "", "", self._journal_id, self.sequence + 1, detail))
        elif self.sequence > drained_sequence:
            detail = (
                f"the chain goes on to {self.sequence}, beyond the journal's cursor at {drained_sequence}"
            )
            self._report(Finding(Problem.FORGED, "", "", self._journal_id, drained_sequence + 1, detail))
        elif drained_hash not in self._heads_now:
            detail = "the journal's cursor has another hash than its last entry"
            self._report(
                Finding(Problem.HEAD_DIFFERS, "journals", "", self._journal_id, self.sequence, detail)
            )
        for run in self._retired.values():
            detail = f"entries {run.first_sequence} to {run.last_sequence} were taken away, but are there or overlap"
            self._report(
                Finding(
                    Problem.FORGED, "retired_partitions", "", self._journal_id, run.first_sequence, detail
                )
            )

    def _found(self, problem: Problem, entry: StoredEntry, detail: str, table: str | None = None) -> None:
        self._report(
            Finding(problem, table or entry.table, entry.record_id, self._journal_id, entry.sequence, detail)
        )

    def _stray(self, event: StoredEvent) -> None:
        detail = f"part {event.part} in the outbox belongs to no entry"
        self._report(
            Finding(Problem.FORGED, OUTBOX, event.event[0], self._journal_id, event.sequence, detail)
        )


class _Events:
    """The outbox beside the entries."""

    def __init__(self, events: Iterable[StoredEvent]) -> None:
        self._events: Iterator[StoredEvent] = iter(events)
        self._next = next(self._events, None)

    def of(self, sequence: int) -> tuple[list[StoredEvent], list[StoredEvent]]:
        """The events of a sequence, and those before it that belong to no entry."""
        own: list[StoredEvent] = []
        stray: list[StoredEvent] = []
        while self._next is not None and self._next.sequence <= sequence:
            (own if self._next.sequence == sequence else stray).append(self._next)
            self._next = next(self._events, None)
        return own, stray

    def between(self, first: int, last: int) -> tuple[int, list[StoredEvent]]:
        """How many events there are of these sequences, and those before them that belong to no entry."""
        count = 0
        stray: list[StoredEvent] = []
        while self._next is not None and self._next.sequence <= last:
            if self._next.sequence < first:
                stray.append(self._next)
            else:
                count += 1
            self._next = next(self._events, None)
        return count, stray

    def rest(self) -> Iterator[StoredEvent]:
        while self._next is not None:
            event, self._next = self._next, next(self._events, None)
            yield event


def _is_conflict_of(event: StoredEvent, entry: StoredEntry) -> bool:
    if not entry.is_conflicted or entry.owner_id is None or entry.created_at_ns is None:
        return False
    try:
        expected = conflict_event(entry.order_id, entry.owner_id, entry.record_id, entry.created_at_ns)
    except (ValueError, OverflowError, OSError, msgspec.EncodeError):
        return False
    return event.event == expected


def _by_sequence(head: KnownHead) -> int:
    return head.sequence
