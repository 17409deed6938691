"""Random ids (UUID 4) for records. The system is asked for randomness once for many of them: each question lets go of
the interpreter, which under load comes back late."""

from __future__ import annotations

import os
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
        taken = bytearray(self._pool[self._at : self._at + _UUID_BYTES])
        self._at += _UUID_BYTES
        # uuid.UUID(bytes=taken, version=4) by hand (RFC 9562, 5.4), in a third of its time.
        taken[6] = taken[6] & 0x0F | 0x40
        taken[8] = taken[8] & 0x3F | 0x80
        text = taken.hex()
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
