"""Random ids (UUID 4) for records. The system is asked for randomness once for many of them: each question lets go of
the interpreter, which under load comes back late."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from store.uuids import uuid_text

_UUID_BYTES: Final = 16



class RandomIds:
    """Belongs to one event loop; never shared with a process that was forked from it."""

    def __init__(self, count: int = 256, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._size = count * _UUID_BYTES
        self._random_bytes = random_bytes
        self._pool = ""  # hex digits
        self._at = 0

    def __call__(self) -> str:
        if self._at >= len(self._pool):
            self._pool, self._at = self._random_bytes(self._size).hex(), 0
        begin, self._at = self._at, self._at + 2 * _UUID_BYTES
        return uuid_text(self._pool[begin : self._at], 4)
