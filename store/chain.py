"""The one definition of the chain of hashes that a journal's entries form.

Every entry's hash covers the hash before it, so an entry that is edited, missing, moved or added changes every hash
after it: whoever knows one hash of the chain can check all that stands before.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Final

HASH_BYTES: Final = 32
_LINK = struct.Struct(">QB").pack  # sequence, kind


def first_hash(journal_id: str) -> bytes:
    """What the first entry's hash starts from."""
    return hashlib.sha256(journal_id.encode()).digest()


def next_hash(previous: bytes, sequence: int, kind: int, payload: bytes) -> bytes:
    """The hash of an entry, from that of the entry before it."""
    # One string is joined rather than a hash object updated twice: fewer calls, and it releases the GIL once.
    return hashlib.sha256(b"".join((previous, _LINK(sequence, kind), payload))).digest()
