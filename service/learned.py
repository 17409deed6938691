"""Corrections and the exploration's bounds as data under the hash of their content, like any other reference data."""

from __future__ import annotations

from typing import Final

import msgspec

from engine.learning.corrections import Corrections, Exploration, Learned, faults_of
from service.reference import sha256_of
from store.errors import ReferenceCorrupt

LEARNED_KIND: Final = "learned"

_ENCODER: Final = msgspec.msgpack.Encoder(order="sorted")


class _Content(msgspec.Struct, frozen=True):
    corrections: Corrections
    exploration: Exploration


def learned_bytes(corrections: Corrections, exploration: Exploration) -> bytes:
    """The canonical bytes."""
    return _ENCODER.encode(_Content(corrections, exploration))


def learned_of(corrections: Corrections, exploration: Exploration) -> Learned | None:
    """What a snapshot holds; None where nothing is in force, nothing is explored and no alarm is on: then decisions are
    those of the artifacts, byte for byte."""
    if not (any(corrections.values) or corrections.alarms or exploration.budget_bps > 0.0):
        return None
    return Learned(corrections, exploration, sha256_of(learned_bytes(corrections, exploration)))


def learned_from(data: bytes) -> Learned:
    """Raises ReferenceCorrupt for what this build cannot use."""
    try:
        found = msgspec.msgpack.decode(data, type=_Content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ReferenceCorrupt(f"reference data of kind {LEARNED_KIND} are not of this build's form: {error}") from None
    faults = faults_of(found.corrections)
    if faults:
        raise ReferenceCorrupt(f"corrections: {'; '.join(faults)}")
    return Learned(found.corrections, found.exploration, sha256_of(data))


def corrections_bytes(corrections: Corrections) -> bytes:
    """What stands in the table of corrections."""
    return _ENCODER.encode(corrections)


def corrections_from(data: bytes) -> Corrections:
    """Raises ReferenceCorrupt."""
    try:
        found = msgspec.msgpack.decode(data, type=Corrections)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ReferenceCorrupt(f"corrections are not of this build's form: {error}") from None
    faults = faults_of(found)
    if faults:
        raise ReferenceCorrupt(f"corrections: {'; '.join(faults)}")
    return found
