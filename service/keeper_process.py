"""The process around the host's journal keeper, where several workers share one.

It outlives the workers: it stops when it is told to, or when the supervisor and every worker are gone.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import structlog
from pydantic import SecretStr

from service.children import ChildLink, StopOrder, resolve, unblock_signals
from service.logs import configure_logging
from service.settings import Settings

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KeeperConfig:
    """All that the keeper is told."""

    settings: Settings
    socket_path: Path
    database_url: SecretStr
    instance_id: str
    # 'package.module:attribute' of a `RunKeeper`.
    run: str
    # Ends when the supervisor and all workers have ended: each of them holds its other side.
    lifeline: Connection
    resources: Mapping[str, str] = field(default_factory=dict)


# Blocks until `stop` is set and everything is drained; calls `ready` once it takes connections.
RunKeeper = Callable[[KeeperConfig, Callable[[], None], threading.Event], None]


def keeper_main(config: KeeperConfig, link: ChildLink) -> None:
    logs = configure_logging(config.settings, process="keeper")
    stop = threading.Event()
    # The supervisor's order counts, not a signal to the whole group: the workers still drain into the keeper.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    unblock_signals()
    # An orphan goes on as well, until the lifeline says that the last worker has gone.
    link.listen(lambda order: None if order is StopOrder.ORPHANED else stop.set())
    threading.Thread(
        target=_stop_after, args=(config.lifeline, stop), name="ess-lifeline", daemon=True
    ).start()
    try:
        run: RunKeeper = resolve(config.run)
        run(config, link.ready, stop)
        log.info("keeper stopped")
    finally:
        logs.close()


def spare_main(config: KeeperConfig, link: ChildLink) -> None:
    """As `keeper_main`, but with everything loaded it waits until the keeper before it has died."""
    resolve(config.run)
    if link.await_turn():
        keeper_main(config, link)


def _stop_after(lifeline: Connection, stop: threading.Event) -> None:
    try:
        lifeline.recv_bytes()
    except (EOFError, OSError):
        log.warning("the supervisor and all workers are gone; stopping")
        stop.set()
