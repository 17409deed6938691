"""Which policy counts, on record: months later somebody asks who could do what, and since when.

Its text goes into `reference_data` under its hash (it holds hashes of tokens, no secrets), and an operation names it.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

import structlog

from engine.records import JsonObject, OperationRecord
from service.policy import Policy, PolicyError, parse_policy
from service.reference_keeper import Recorder, reference_record
from store.archive import Archive, Packed, pack
from store.backoff import Backoff
from store.ending import end
from store.errors import JournalError, ReferenceCorrupt, StoreError
from store.submission import Acknowledgement

POLICY_KIND: Final = "policy"
POLICY_CHANGED: Final = "POLICY_CHANGED"
# Names of identities in one operation; the text that it refers to has them all.
MOST_NAMES: Final = 100
EVERYBODY: Final = "there is no policy: everybody who can connect may do everything"

log = structlog.get_logger(__name__)


class PolicyRecord:
    """One worker's of a host. Belongs to one event loop. What cannot be recorded now is tried again, the newest policy
    only: one that was replaced meanwhile stands in the archive."""

    def __init__(self, archive: Archive, recorder: Recorder, *, clock_ns: Callable[[], int] = time.time_ns,
                 backoff: Backoff | None = None, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
                 uniform: Callable[[], float] = random.random) -> None:
        self._archive = archive
        self._recorder = recorder
        self._clock_ns = clock_ns
        self._backoff = backoff or Backoff(first_s=0.5, last_s=30.0)
        self._sleep = sleep
        self._uniform = uniform
        self._newest: Policy | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_asked = False

    def adopted(self, policy: Policy | None) -> None:
        """It counts from now on; None: none does."""
        self._newest, self._is_asked = policy, True
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="record-policy")

    async def close(self) -> None:
        """What is not recorded then is recorded at the next start."""
        await end(self._task)

    async def _run(self) -> None:
        failures = 0
        while self._is_asked:
            self._is_asked = False
            try:
                await self._record(self._newest)
                failures = 0
            except (JournalError, StoreError, OSError) as error:
                failures += 1
                self._is_asked = True
                log.warning("the policy that counts is not recorded yet", reason=str(error))
                await self._sleep(self._backoff.delay_s(failures, self._uniform()))

    async def _record(self, policy: Policy | None) -> None:
        before = self._archive.recorded().active.get(POLICY_KIND, "")
        packed = pack(POLICY_KIND, policy.text.encode()) if policy is not None else None
        sha256 = packed.sha256 if packed is not None else ""
        if sha256 == before:
            return
        now_ns = self._clock_ns()
        if packed is not None:
            await self._keep(packed, now_ns)
        detail: JsonObject = {"previous_sha256": before, **changed_identities(self._kept(before), policy)}
        reason = "another policy counts" if policy is not None else EVERYBODY
        operation = OperationRecord(
            str(uuid.uuid4()), now_ns, POLICY_CHANGED, "FIRM", sha256, "service", reason, detail
        )
        await self._recorder.record(operation, Acknowledgement.JOURNALED)
        said = self._archive.recorded()
        self._archive.note(replace(said, active={**said.active, POLICY_KIND: sha256}))

    async def _keep(self, packed: Packed, now_ns: int) -> None:
        """The text: archived, and recorded where it never was."""
        await asyncio.to_thread(self._archive.keep_reference, packed)
        if packed.sha256 in self._archive.recorded().references:
            return
        await self._recorder.record(reference_record(packed, now_ns), Acknowledgement.JOURNALED)
        said = self._archive.recorded()
        self._archive.note(replace(said, references=said.references | {packed.sha256}))

    def _kept(self, sha256: str) -> Policy | None:
        """As it was recorded; None where it cannot be had any more."""
        try:
            text = self._archive.reference(sha256) if sha256 else None
            return parse_policy(text.decode()) if text is not None else None
        except (StoreError, ReferenceCorrupt, PolicyError, UnicodeDecodeError):
            return None


def changed_identities(before: Policy | None, after: Policy | None) -> JsonObject:
    """Names of who came, who went, and whose roles, proofs or bounds are others; how many there are now."""
    old, new = (policy.described if policy is not None else {} for policy in (before, after))
    names = {
        "added": sorted(new.keys() - old.keys()),
        "removed": sorted(old.keys() - new.keys()),
        "changed": sorted(name for name in old.keys() & new.keys() if old[name] != new[name]),
    }
    counted: JsonObject = {f"{what}_count": len(found) for what, found in names.items()}
    return {"identities": len(new), **counted, **{what: list(found[:MOST_NAMES]) for what, found in names.items()}}
