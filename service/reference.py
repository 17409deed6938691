"""What a decision was made from and does not carry itself, as data under the hash of their content.

Four kinds. "reference": candidates, venue names and structural assumptions of a snapshot. "instrument": one instrument.
"sessions": those of one calendar. "build": the parts of an engine build. All are taken from the snapshot that decides,
not from the rows that it was made of: a hash is of what was used.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from typing import Final, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.assumptions import ConditionDynamics, StructuralAssumptions
from engine.catalogue import CandidateSet
from engine.sessions import NEVER_NS, Sessions
from engine.snapshot import InstrumentView, Snapshot, VenueDirectory
from engine.values import Instrument, MarketCondition
from service.engine_build import KIND as BUILD_KIND
from service.engine_build import EngineBuild
from store.archive import Packed, pack
from store.errors import ReferenceCorrupt

REFERENCE_KIND: Final = "reference"
INSTRUMENT_KIND: Final = "instrument"
SESSIONS_KIND: Final = "sessions"

T = TypeVar("T")

# Sorted, so that equal values give equal bytes in any process.
_ENCODER: Final = msgspec.msgpack.Encoder(order="sorted")


class SharedReference(msgspec.Struct, frozen=True):
    """What all instruments of a snapshot share. Candidates are (algorithm, parameters in their order); the assumptions
    are split into plain figures and those by market condition, since keys of maps are texts here."""

    candidates: list[tuple[str, list[tuple[str, float]]]]
    mic_by_name: dict[str, str]
    name_by_mic: dict[str, str]
    figures: dict[str, float]
    conditions: dict[str, ConditionDynamics]

    @property
    def directory(self) -> VenueDirectory:
        return VenueDirectory(self.mic_by_name, self.name_by_mic)

    @property
    def assumptions(self) -> StructuralAssumptions:
        """Raises ValueError for a figure or a condition that this build does not know."""
        try:
            conditions = {MarketCondition[name]: dynamics for name, dynamics in self.conditions.items()}
            return StructuralAssumptions(**self.figures, conditions=conditions)
        except (KeyError, TypeError) as error:
            raise ValueError(f"assumptions of another build: {error}") from None


class InstrumentReference(msgspec.Struct, frozen=True):
    """An instrument, and the minute of the exchange's day at which its sessions open."""

    instrument: Instrument
    open_local_minute: float


class SessionsReference(msgspec.Struct, frozen=True, omit_defaults=True):
    """Sessions of a calendar: opens as steps from the one before, the rest as lengths, since those repeat.

    `assumed_from_ns` is not written where all sessions are known.
    """

    open_steps_ns: list[int]
    length_ns: list[int]
    break_after_ns: list[int]
    break_length_ns: list[int]
    assumed_from_ns: int = NEVER_NS


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything that decisions of one snapshot refer to by hash."""

    packed: tuple[Packed, ...]


def shared_bytes(snapshot: Snapshot) -> bytes:
    """The canonical bytes of what all instruments share."""
    assumed, directory = snapshot.assumptions, snapshot.directory
    figures = {each.name: getattr(assumed, each.name) for each in fields(assumed) if each.name != "conditions"}
    return _ENCODER.encode(
        SharedReference(
            named_of(snapshot.catalogue), dict(directory.mic_by_name), dict(directory.name_by_mic), figures,
            {condition.name: dynamics for condition, dynamics in assumed.conditions.items()},
        )
    )


def named_of(catalogue: CandidateSet) -> list[tuple[str, list[tuple[str, float]]]]:
    """What engine.catalogue.named_candidates makes the same set of. The order of parameters shows in FIX fields."""
    return [(candidate.spec.name, list(candidate.parameters.items())) for candidate in catalogue.candidates]


def instrument_bytes(view: InstrumentView) -> bytes:
    return _ENCODER.encode(InstrumentReference(view.instrument, view.open_local_minute))


def sessions_bytes(sessions: Sessions) -> bytes:
    opens, has_break = sessions.open_ns, sessions.break_end_ns > sessions.break_start_ns
    columns: tuple[NDArray[np.int64], ...] = (
        np.diff(opens, prepend=np.int64(0)), sessions.close_ns - opens,
        np.where(has_break, sessions.break_start_ns - opens, 0), sessions.break_end_ns - sessions.break_start_ns,
    )
    steps, lengths, after, pauses = (column.tolist() for column in columns)
    return _ENCODER.encode(SessionsReference(steps, lengths, after, pauses, sessions.assumed_from_ns))


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def shared_from(data: bytes) -> SharedReference:
    return _decoded(data, SharedReference, REFERENCE_KIND)


def instrument_from(data: bytes) -> InstrumentReference:
    return _decoded(data, InstrumentReference, INSTRUMENT_KIND)


def sessions_from(data: bytes) -> Sessions:
    found = _decoded(data, SessionsReference, SESSIONS_KIND)
    opens = np.cumsum(np.array(found.open_steps_ns, dtype=np.int64))
    after, pause = np.array(found.break_after_ns, dtype=np.int64), np.array(found.break_length_ns, dtype=np.int64)
    starts = np.where(pause > 0, opens + after, 0)
    return Sessions(
        opens, opens + np.array(found.length_ns, dtype=np.int64), starts, starts + pause, found.assumed_from_ns
    )


def sources_of(snapshot: Snapshot, build: EngineBuild) -> Sources:
    """All of them, packed: what a keeper archives and journals before the first decision."""
    found = {BUILD_KIND: [build.content], REFERENCE_KIND: [shared_bytes(snapshot)]}
    views = snapshot.views.values()
    found[INSTRUMENT_KIND] = [instrument_bytes(view) for view in views]
    calendars = {view.instrument.calendar: view.sessions for view in views}
    found[SESSIONS_KIND] = [sessions_bytes(calendars[name]) for name in sorted(calendars)]
    packed = [pack(kind, data) for kind, parts in found.items() for data in parts]
    return Sources(tuple({each.sha256: each for each in packed}.values()))


def _decoded(data: bytes, kind: type[T], name: str) -> T:
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ReferenceCorrupt(f"reference data of kind {name} are not of this build's form: {error}") from None
