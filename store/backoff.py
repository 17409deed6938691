"""How long to wait before trying again: exponential with full jitter, so that many waiters do not return at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """The ceiling doubles with every failure from `first_s` up to `last_s`."""

    first_s: float = 0.05
    last_s: float = 2.0

    def delay_s(self, failures: int, uniform: float) -> float:
        """The wait after so many failures in a row (1 or more); `uniform` is a draw from [0, 1)."""
        ceiling_s = min(self.last_s, self.first_s * 2.0 ** min(failures - 1, 60))
        return ceiling_s * uniform
