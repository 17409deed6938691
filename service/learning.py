"""Corrections in service: computed from recorded outcomes, heard by every worker, put into the snapshot.

PostgreSQL is the record: one host at a time fits what its outcomes say and adds a row to `corrections`; every worker
hears of it by LISTEN and takes it. What a decision was corrected by is archived and journaled under its hash before any
decision is made from it, so that a replay finds it. The last corrections also stand in a file of the data folder: a
start without PostgreSQL goes on from them.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import structlog

from engine.learning.corrections import Corrections, Exploration, Learned, no_corrections
from engine.learning.effects import SHIFT
from engine.learning.fit import corrections_of
from engine.learning.outcomes import Outcome
from engine.records import OperationRecord
from engine.snapshot import Snapshot
from service.learned import LEARNED_KIND, corrections_bytes, corrections_from, learned_bytes, learned_of
from service.looks import Looks
from service.reference_keeper import Recorder, reference_record
from service.world import World
from store.archive import Archive, pack
from store.ending import end
from store.errors import JournalError, ReferenceCorrupt, StoreError, StoreUnavailable
from store.learning_rows import Pair
from store.learning_store import LearningSource
from store.outbox_bell import Bell
from store.submission import Acknowledgement

DRIFT_ALARM: Final = "DRIFT_ALARM"
LAST_FILE: Final = "corrections.msgpack"
# What is worth telling every worker: bps of a shift, parts of a scale, more outcomes since the last ones.
WORTH_BPS, WORTH_PART, WORTH_MORE = 0.1, 0.02, 1.1
# A ring may be missed.
LOOK_ANYWAY_S: Final = 30.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LearnSettings:
    """computes: whether this worker fits, and journals what was put in force (one of a host does)."""

    host_id: str
    interval_s: float
    exploration: Exploration
    computes: bool
    data_dir: Path


def pair_of(snapshot: Snapshot) -> Pair:
    return Pair(snapshot.surfaces_sha256, snapshot.models.sha256 if snapshot.models else "")


def is_worth_telling(old: Corrections, new: Corrections) -> bool:
    """Whether decisions would differ by more than nothing, or are much surer than before."""
    if old.alarms != new.alarms:
        return True
    for effect, (before, after) in enumerate(zip(old.values, new.values, strict=True)):
        worth = WORTH_PART if SHIFT < effect < SHIFT + 3 else WORTH_BPS
        if (before == 0.0) != (after == 0.0) or abs(before - after) > worth:
            return True
    return new.outcomes > old.outcomes * WORTH_MORE and new.outcomes > 0


async def compute(source: LearningSource, pair: Pair, host_id: str) -> Corrections | None:
    """Fits all recorded outcomes and puts the corrections in force where that is worth telling; None where not."""
    outcomes = await source.outcomes(pair)
    held = await source.latest(pair)
    old = no_corrections(pair.surfaces_sha256, pair.models_sha256)
    if held is not None:
        with suppress(ReferenceCorrupt):
            old = corrections_from(held)
    new = await asyncio.to_thread(fitted, outcomes, pair)
    if not is_worth_telling(old, new):
        return None
    added = await source.add(pair, host_id, new.outcomes, new.alarms, corrections_bytes(new))
    return new if added else None


def fitted(outcomes: list[Outcome], pair: Pair) -> Corrections:
    return corrections_of(outcomes, pair.surfaces_sha256, pair.models_sha256)


class Learner:
    """One worker's part. Belongs to one event loop."""

    def __init__(self, world: World, source: LearningSource, bell: Bell, archive: Archive, recorder: Recorder,
                 settings: LearnSettings, *, clock_ns: Callable[[], int] = time.time_ns,
                 sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._world = world
        self._source = source
        self._archive = archive
        self._recorder = recorder
        self._settings = settings
        self._clock_ns = clock_ns
        self._sleep = sleep
        self._looks = Looks("corrections in force", self._look, bell, LOOK_ANYWAY_S, (StoreError, OSError))
        self._computing: asyncio.Task[None] | None = None
        self._alarms: tuple[str, ...] = ()

    async def start(self) -> None:
        """From the file of the last run; whatever PostgreSQL has comes as soon as it answers."""
        last = await asyncio.to_thread(self._last)
        self._alarms = last.alarms if last else ()  # told before
        await self._take(last or no_corrections(*self._names()))
        self._looks.start()
        if self._settings.computes:
            self._computing = asyncio.get_running_loop().create_task(self._compute(), name="learning-compute")

    @property
    def alarms(self) -> int:
        """Algorithms whose outcomes drifted from what was predicted; one more where all did. Only where it computes."""
        return len(self._alarms)

    async def stop(self) -> None:
        await self._looks.stop()
        await end(self._computing)

    def _names(self) -> tuple[str, str]:
        pair = pair_of(self._world.snapshot)
        return pair.surfaces_sha256, pair.models_sha256

    def _last(self) -> Corrections | None:
        """Of the same artifacts, or None."""
        try:
            found = corrections_from((self._settings.data_dir / LAST_FILE).read_bytes())
        except (OSError, ReferenceCorrupt):
            return None
        return found if (found.surfaces_sha256, found.models_sha256) == self._names() else None

    async def _look(self) -> None:
        """Takes what is in force."""
        data = await self._source.latest(pair_of(self._world.snapshot))
        if data is not None:
            await self._take(corrections_from(data))

    async def _compute(self) -> None:
        """Looks for new outcomes every so often."""
        before: tuple[int, str] | None = None
        while True:
            try:
                now = await self._source.recent()
                if now != before:
                    found = await compute(self._source, pair_of(self._world.snapshot), self._settings.host_id)
                    if found is not None:
                        log.info("corrections computed", outcomes=found.outcomes, alarms=found.alarms)
                    before = now
            except StoreUnavailable as error:
                log.info("corrections wait for PostgreSQL", reason=str(error))
            except Exception:  # a fit that fails must not end learning, and never a decision
                log.exception("corrections could not be computed")
            await self._sleep(self._settings.interval_s)

    async def _take(self, corrections: Corrections) -> None:
        """Archived and recorded first, decided from after that."""
        snapshot = self._world.snapshot
        if (corrections.surfaces_sha256, corrections.models_sha256) != self._names():
            return
        learned = learned_of(corrections, self._settings.exploration)
        held = snapshot.learned
        if (learned.sha256 if learned else "") != (held.sha256 if held else ""):
            if learned is not None:
                await self._keep(learned)
                if (corrections.surfaces_sha256, corrections.models_sha256) != self._names():
                    return  # other models were swapped in meanwhile
            self._world.replace(learned=learned)
            log.info("corrections taken", outcomes=corrections.outcomes, alarms=corrections.alarms,
                     learned=learned.sha256 if learned else "")
        if self._settings.computes:
            await self._tell(corrections)
            await asyncio.to_thread(self._write_last, corrections)

    async def _keep(self, learned: Learned) -> None:
        packed = pack(LEARNED_KIND, learned_bytes(learned.corrections, learned.exploration))
        await asyncio.to_thread(self._archive.keep_reference, packed)
        said = self._archive.recorded()
        # The archive is the host's: one worker of it journals.
        if not self._settings.computes or packed.sha256 in said.references:
            return
        try:
            await self._recorder.record(reference_record(packed, self._clock_ns()), Acknowledgement.JOURNALED)
        except (JournalError, StoreUnavailable) as error:
            # The archive has it: decisions of this host can be made again here; the record follows at the next start.
            log.warning("corrections are archived, but not recorded yet", reason=str(error))
            return
        self._archive.note(replace(said, references=said.references | {packed.sha256}))

    async def _tell(self, corrections: Corrections) -> None:
        """An alarm that is new is recorded: what an operator will want to know of."""
        new = tuple(name for name in corrections.alarms if name not in self._alarms)
        self._alarms = corrections.alarms
        if not new:
            return
        record = OperationRecord(
            str(uuid.uuid4()), self._clock_ns(), DRIFT_ALARM, "FIRM", corrections.models_sha256, "service",
            f"outcomes are not what was predicted: {', '.join(new)}",
            {"alarms": list(corrections.alarms), "outcomes": corrections.outcomes,
             "surfaces_sha256": corrections.surfaces_sha256},
        )
        log.warning("drift alarm", alarms=corrections.alarms, outcomes=corrections.outcomes)
        with suppress(JournalError, StoreUnavailable):
            await self._recorder.record(record, Acknowledgement.JOURNALED)

    def _write_last(self, corrections: Corrections) -> None:
        path = self._settings.data_dir / LAST_FILE
        partial = path.with_suffix(".partial")
        partial.write_bytes(corrections_bytes(corrections))
        partial.replace(path)


def explained(corrections: Corrections) -> str:
    """The effects in force, for people and logs, as JSON."""
    return json.dumps({
        name: round(value, 4) for name, value in zip(corrections.names, corrections.values, strict=True) if value
    })
