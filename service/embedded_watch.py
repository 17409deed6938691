"""Starts the embedded PostgreSQL again when it dies under the service.

Answers go on while it is away, but what waits in the journal has a bound, so it should not stay away.
"""

from __future__ import annotations

import threading
from typing import Final, Protocol

import structlog

from store.errors import StoreError

INTERVAL_S: Final = 0.5

log = structlog.get_logger(__name__)


class Server(Protocol):
    """What is watched."""

    @property
    def is_running(self) -> bool: ...

    def start(self) -> str: ...

    def stop(self) -> None: ...


class EmbeddedWatch:
    """A thread that looks after one server until `close`, which stops the server too."""

    def __init__(self, server: Server, interval_s: float = INTERVAL_S) -> None:
        self._server = server
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ess-postgres-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Waits for a start that is under way: a server must not come up behind the stop."""
        self._stop.set()
        self._thread.join()
        self._server.stop()

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            if self._server.is_running:
                continue
            log.error("the embedded PostgreSQL has died; starting it again")
            try:
                self._server.start()
            except (StoreError, OSError) as error:
                log.error("the embedded PostgreSQL does not start", reason=str(error))
            except Exception:  # whatever it was, nobody else starts it again
                log.exception("the embedded PostgreSQL does not start")
            else:
                log.info("the embedded PostgreSQL is back")
