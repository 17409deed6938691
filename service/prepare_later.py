"""Prepares the database when it is there, where it was away at the start."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import structlog

from store.errors import StoreError

INTERVAL_S: Final = 1.0

log = structlog.get_logger(__name__)


class PrepareLater:
    """A thread that asks until the database answers, prepares it, and ends. The drainer waits as long."""

    def __init__(
        self, is_away: Callable[[], bool], prepare: Callable[[], None], interval_s: float = INTERVAL_S
    ) -> None:
        self._is_away = is_away
        self._prepare = prepare
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ess-prepare-later", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Does not wait for a database that hangs: a migration is one transaction, and is made whole or not at all."""
        self._stop.set()
        self._thread.join(timeout=2.0)

    def _run(self) -> None:
        last = ""
        while not self._stop.wait(self._interval_s):
            if self._is_away():
                continue
            try:
                self._prepare()
                return
            except Exception as error:  # whatever it was, nobody else prepares it
                if str(error) != last:
                    last = str(error)
                    log.error(
                        "the database answers, but cannot be used; decisions wait in the journal",
                        reason=last, exc_info=None if isinstance(error, StoreError) else error,
                    )  # fmt: skip
