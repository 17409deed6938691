"""Weeks of the partitioned tables: made ahead, and made when a record of another week arrives.

The service's role owns no table; functions of migration 0002 make partitions with their owner's rights, within bounds.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final

import psycopg

from store.market_rows import time_of
from store.pool import Connection

_log = logging.getLogger(__name__)
_DAY_NS: Final = 86_400_000_000_000
# 1970-01-01 was a Thursday.
_MONDAY_OFFSET_DAYS: Final = 3


def week_of(created_at_ns: int) -> int:
    """Weeks since 1969-12-29; they begin on Monday 00:00 UTC."""
    return (created_at_ns // _DAY_NS + _MONDAY_OFFSET_DAYS) // 7


def week_start(week: int) -> datetime:
    """The Monday."""
    return time_of((week * 7 - _MONDAY_OFFSET_DAYS) * _DAY_NS).astimezone(UTC)


class Partitions:
    """Knows which weeks are there, so that a batch of known weeks costs no question."""

    def __init__(
        self,
        *,
        weeks_ahead: int = 8,
        look_every_s: float = 3600.0,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._weeks_ahead = weeks_ahead
        self._look_every_s = look_every_s
        self._clock_s = clock_s
        self._known: set[int] = set()
        self._look_at_s = float("-inf")

    async def ensure(self, connection: Connection, moments_ns: Iterable[int]) -> None:
        """Makes the weeks of these moments where they are missing. Outside a transaction, so that its locks are short.

        Raises psycopg.DataError for a moment that no partition is made for (before 2015, a year ahead).
        """
        await self.make_ahead(connection)
        for week in {week_of(moment) for moment in moments_ns} - self._known:
            await connection.execute("SELECT ess_make_partition_of(%s)", (week_start(week),))
            self._known.add(week)

    async def make_ahead(self, connection: Connection) -> None:
        """Once in a while. That it fails is no reason not to write: there are weeks in store."""
        if self._clock_s() < self._look_at_s:
            return
        self._look_at_s = self._clock_s() + self._look_every_s
        try:
            await connection.execute("SELECT ess_make_partitions(%s)", (self._weeks_ahead,))
        except psycopg.Error as error:
            _log.warning("partitions were not made ahead: %s", error)

    def forget(self) -> None:
        """A week that was known may be gone."""
        self._known.clear()
        self._look_at_s = float("-inf")
