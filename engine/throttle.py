"""Throttles: how many messages a subject may send a second, and how often the same order may come within a minute.

Counted exactly, over sliding windows, by whoever sees every order of a host. A subject that repeats itself too often is
disabled until a person ends that; a message above the rate is refused alone. Refused messages do not count as sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from engine.limits import Breach, HardLimits, Key

SECOND_NS: Final = 1_000_000_000
MINUTE_NS: Final = 60 * SECOND_NS
# Different orders that are remembered for a minute. Above it nothing can be said of repeats: refused.
MOST_REMEMBERED: Final = 500_000
# How many orders older than a minute one message forgets at most: more than it adds, and no matter of milliseconds.
MOST_FORGOTTEN: Final = 64

Likeness: TypeAlias = tuple[str, float, float]  # instrument, sign of the side, shares


@dataclass(frozen=True, slots=True)
class Counted:
    """Why a message is refused. `tripped`: subjects that repeated themselves too often, and since when (Unix ns)."""

    breaches: tuple[Breach, ...] = ()
    tripped: tuple[tuple[Key, int], ...] = ()


class Throttles:
    """The counts of one host."""

    def __init__(self, most_remembered: int = MOST_REMEMBERED) -> None:
        self._messages: dict[Key, deque[int]] = {}
        self._repeats: dict[tuple[Key, Likeness], dict[str, int]] = {}
        # Every order of `_repeats` as it came; some are gone from there already.
        self._came: deque[tuple[int, tuple[Key, Likeness], str]] = deque()
        self._tripped: dict[Key, int] = {}
        self._remembered = 0
        self._most_remembered = most_remembered

    @property
    def remembered(self) -> int:
        """Orders that are remembered, once for each limit that counts their repeats."""
        return self._remembered

    def count(self, limits: Iterable[HardLimits], order_id: str, likeness: Likeness | None, now_ns: int) -> Counted:
        """Takes one message, or says why not. `likeness` None: a trial, which is no order. The same order again is a
        message, but no repeat."""
        self._forget(now_ns)
        breaches: list[Breach] = []
        tripped: list[tuple[Key, int]] = []
        applying = [one for one in limits if one.counts]
        for one in applying:
            key = one.key
            if likeness is not None and self._repeats_too_often(one, order_id, likeness, now_ns):
                self._tripped.setdefault(key, now_ns)
            if key in self._tripped:
                tripped.append((key, self._tripped[key]))
                text = f"more than {one.max_repeats_per_minute} orders alike within a minute; disabled until resumed"
                breaches.append(Breach("REPEAT_THROTTLE", *key, text))
            if not self._has_room(one, now_ns):
                text = f"more than {one.max_messages_per_second:g} messages a second"
                breaches.append(Breach("MESSAGE_THROTTLE", *key, text))
        if not breaches:
            self._take(applying, order_id, likeness, now_ns)
        return Counted(tuple(breaches), tuple(tripped))

    def release(self, key: Key) -> None:
        """A person has enabled the subject again: it begins anew."""
        self._tripped.pop(key, None)
        for held in [held for held in self._repeats if held[0] == key]:
            self._remembered -= len(self._repeats.pop(held))

    def _has_room(self, limits: HardLimits, now_ns: int) -> bool:
        rate = limits.max_messages_per_second
        if rate is None:
            return True
        most, window_ns = window_of(rate)
        sent = self._messages.setdefault(limits.key, deque())
        while sent and sent[0] <= now_ns - window_ns:
            sent.popleft()
        return len(sent) < most

    def _repeats_too_often(self, limits: HardLimits, order_id: str, likeness: Likeness, now_ns: int) -> bool:
        most = limits.max_repeats_per_minute
        if most is None:
            return False
        alike = self._repeats.get((limits.key, likeness), {})
        for old in [name for name, at_ns in alike.items() if at_ns <= now_ns - MINUTE_NS]:
            del alike[old]
            self._remembered -= 1
        if order_id in alike:
            return False
        return len(alike) >= most or self._remembered >= self._most_remembered

    def _take(
        self, applying: list[HardLimits], order_id: str, likeness: Likeness | None, now_ns: int
    ) -> None:
        for one in applying:
            if one.max_messages_per_second is not None:
                self._messages.setdefault(one.key, deque()).append(now_ns)
            if one.max_repeats_per_minute is not None and likeness is not None:
                held = (one.key, likeness)
                alike = self._repeats.setdefault(held, {})
                if order_id not in alike:
                    alike[order_id] = now_ns
                    self._came.append((now_ns, held, order_id))
                    self._remembered += 1

    def _forget(self, now_ns: int) -> None:
        """The first that are older than a minute, a few at a time: looked through at once they would take seconds."""
        for _ in range(MOST_FORGOTTEN):
            if not self._came or self._came[0][0] > now_ns - MINUTE_NS:
                return
            at_ns, held, order_id = self._came.popleft()
            alike = self._repeats.get(held)
            if alike is None:
                continue
            if alike.get(order_id) == at_ns:
                del alike[order_id]
                self._remembered -= 1
            if not alike:
                del self._repeats[held]


def window_of(rate_per_second: float) -> tuple[int, int]:
    """(messages, nanoseconds): a rate below one a second is one message in a longer window."""
    if rate_per_second >= 1.0:
        return int(rate_per_second), SECOND_NS
    return 1, int(SECOND_NS / rate_per_second)
