"""Random ids (UUID 4) for records. The system is asked for randomness once for many of them: each question lets go of
the interpreter, which under load comes back late."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

_UUID_BYTES: Final = 16


# The digit that has a UUID's variant in its two upper bits, by what stood there.
_VARIANTS: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def uuid_text(digits: str, version: int) -> str:
    """The UUID of the first 32 of some hex digits, as uuid.UUID(hex=digits, version=version) writes it (RFC 9562, 4.1
    and 4.2), in a quarter of its time: every decision needs two."""
    return (
        f"{digits[:8]}-{digits[8:12]}-{version}{digits[13:16]}-{_VARIANTS[digits[16]]}{digits[17:20]}-{digits[20:32]}"
    )


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
