"""Random ids (UUID 4) for records. The system is asked for randomness once for many of them: each question lets go of
the interpreter, which under load comes back late."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from typing import Final

_UUID_BYTES: Final = 16


class RandomIds:
    """Belongs to one event loop; never shared with a process that was forked from it."""

    def __init__(self, count: int = 256, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._size = count * _UUID_BYTES
        self._random_bytes = random_bytes
        self._pool = b""
        self._at = 0

    def __call__(self) -> str:
        if self._at >= len(self._pool):
            self._pool, self._at = self._random_bytes(self._size), 0
        taken = self._pool[self._at : self._at + _UUID_BYTES]
        self._at += _UUID_BYTES
        return str(uuid.UUID(bytes=taken, version=4))
