"""Which policy counts is recorded once, with its text, by name of who is concerned; later where the journal is full."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.records import OperationRecord, Record, ReferenceRecord
from service.policy import Policy, parse_policy
from service.policy_record import EVERYBODY, MOST_NAMES, PolicyRecord, changed_identities
from store.archive import Archive, unpack
from store.submission import Acknowledgement
from tests.helpers.memory_recorder import MemoryRecorder

NOW_NS = 1_800_000_000_000_000_000


@dataclass
class Journal(MemoryRecorder):
    """`recorded` is set with every operation."""

    recorded: asyncio.Event = field(default_factory=asyncio.Event)

    async def record(self, record: Record, acknowledgement: Acknowledgement) -> None:
        await super().record(record, acknowledgement)
        if isinstance(record, OperationRecord):
            self.recorded.set()

    @property
    def operations(self) -> list[OperationRecord]:
        return [record for record in self.records if isinstance(record, OperationRecord)]

    @property
    def texts(self) -> list[str]:
        """Of policies, by the references that hold them."""
        references = [record for record in self.records if isinstance(record, ReferenceRecord)]
        return [unpack(record.sha256, record.content).decode() for record in references]


def policy_of(**roles: str) -> Policy:
    """Identities by name, each with one role and a certificate of its name."""
    return parse_policy("".join(
        f'[identities."{name}"]\nroles = ["{role}"]\nsans = ["{name}"]\n' for name, role in roles.items()
    ))


def a_record(folder: Path, journal: Journal) -> PolicyRecord:
    async def no_wait(_seconds: float) -> None:
        await asyncio.sleep(0)

    return PolicyRecord(Archive(folder), journal, clock_ns=lambda: NOW_NS, sleep=no_wait)


async def told(folder: Path, journal: Journal, *policies: Policy | None, wants: bool = True) -> None:
    """A host that starts with the first policy and is given the others, each once the one before is recorded."""
    record = a_record(folder, journal)
    for policy in policies:
        journal.recorded.clear()
        record.adopted(policy)
        if wants:
            await asyncio.wait_for(journal.recorded.wait(), 5)
        await asyncio.sleep(0.02)  # nothing more comes
    await record.close()


async def test_each_policy_is_recorded_with_its_text_and_who_it_concerns(tmp_path: Path) -> None:
    journal = Journal()
    first = policy_of(rita="risk", vera="viewer", gwen="gateway")
    second = policy_of(rita="operator", vera="viewer", olaf="operator")
    await told(tmp_path, journal, first, second, first)
    assert journal.texts == [first.text, second.text], "each text once"
    one, other, back = journal.operations
    assert (back.subject, back.detail["previous_sha256"]) == (one.subject, other.subject)
    assert (one.kind, one.scope, one.actor, one.detail["previous_sha256"]) == ("POLICY_CHANGED", "FIRM", "service", "")
    assert one.detail["added"] == ["gwen", "rita", "vera"]
    assert other.detail["previous_sha256"] == one.subject
    assert (other.detail["added"], other.detail["removed"], other.detail["changed"]) == (["olaf"], ["gwen"], ["rita"])
    assert Archive(tmp_path).reference(other.subject) == second.text.encode()


async def test_a_start_with_the_same_policy_records_nothing_and_one_without_says_so(tmp_path: Path) -> None:
    policy = policy_of(rita="risk")
    await told(tmp_path, Journal(), policy)
    again = Journal()
    await told(tmp_path, again, policy, wants=False)
    assert again.records == []
    without = Journal()
    await told(tmp_path, without, None)
    assert [(one.subject, one.reason) for one in without.operations] == [("", EVERYBODY)]
    assert without.operations[0].detail["removed"] == ["rita"]
    never = Journal()
    await told(tmp_path / "other", never, None, wants=False)
    assert never.records == [], "a host that never had one has nothing to tell"


async def test_where_the_journal_is_full_it_is_recorded_later_and_the_newest_only(tmp_path: Path) -> None:
    journal = Journal(full_times=3)
    record = a_record(tmp_path, journal)
    first, second = policy_of(rita="risk"), policy_of(rita="viewer")
    record.adopted(first)
    await asyncio.sleep(0)
    record.adopted(second)
    await asyncio.wait_for(journal.recorded.wait(), 5)
    await record.close()
    assert journal.operations[-1].detail["added"] == ["rita"]
    assert Archive(tmp_path).recorded().active["policy"] == journal.operations[-1].subject
    assert journal.texts[-1] == second.text


def test_of_many_identities_the_first_are_named_and_all_are_counted() -> None:
    many: dict[str, Any] = {f"gw-{number:04d}": "gateway" for number in range(MOST_NAMES + 50)}
    found = changed_identities(None, policy_of(**many))
    assert (found["identities"], found["added_count"]) == (MOST_NAMES + 50, MOST_NAMES + 50)
    assert found["added"] == sorted(many)[:MOST_NAMES]


def test_another_proof_or_bound_is_a_change() -> None:
    before = parse_policy('[identities.a]\nroles = ["viewer"]\nsans = ["a"]\n')
    for text in (
        '[identities.a]\nroles = ["viewer"]\nsans = ["b"]\n',
        '[identities.a]\nroles = ["viewer"]\nsans = ["a"]\nmax_streams = 1\n',
        '[identities.a]\nroles = ["viewer"]\nsans = ["a"]\ndesk = "x"\n',
    ):
        assert changed_identities(before, parse_policy(text))["changed"] == ["a"], text
    same = parse_policy('# a comment\n[identities.a]\nroles = ["viewer"]\nsans = ["a"]\n')
    assert changed_identities(before, same)["changed"] == []
