"""One worker process: logs, telemetry, one event loop, and the service that `build` puts together.

Imports no grpc: the supervisor imports this module for `WorkerConfig`, and gRPC must not live before a spawn.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import structlog
from pydantic import SecretStr

from service.children import ChildLink, StopOrder, resolve, unblock_signals
from service.logs import configure_logging
from service.memory import give_back
from service.ports import Address
from service.settings import Settings
from service.telemetry import Telemetry, start_telemetry

LOOP_LAG_INTERVAL_S: Final = 0.1
# Objects made between two looks of the collector at the young ones: a decision makes some hundreds and leaves none in
# a circle, so that with Python's 700 it would look at nearly every decision, for nothing.
YOUNG_OBJECTS: Final = 20_000
# How long a thread that wants the interpreter's lock lets the one that has it go on, 5 ms by itself: several decisions.
# The journal's threads want it for moments, a few times for each group of records.
SWITCH_S: Final = 0.001
# What a hastened stop still gets.
HASTENED_STOP_S: Final = 2.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """All that a worker is told. Travels to the spawned process, so it holds values only."""

    settings: Settings
    worker_index: int
    # Where gRPC listens, with the real port.
    grpc_target: str
    # 'package.module:attribute' of an `async (WorkerConfig, Telemetry) -> RunningService`.
    build: str
    # The prepared database: the settings' own, or the embedded one's.
    database_url: SecretStr
    # The keeper's Unix socket; None: one worker, which keeps the journal in a thread.
    keeper_socket: Path | None
    # One run of the service, the same in all its processes.
    instance_id: str
    # Whatever `prepare` found out: paths of calendars, seeds and the like.
    resources: Mapping[str, str] = field(default_factory=dict)

    @property
    def grpc_port(self) -> int:
        return Address.parse(self.grpc_target).port


class Health(Protocol):
    """grpc_health's asynchronous servicer satisfies this."""

    async def enter_graceful_shutdown(self) -> None:
        """Answer NOT_SERVING from now on."""


class RunningService(Protocol):
    """What `build` returns: everything is loaded and warm, nothing listens yet."""

    @property
    def health(self) -> Health: ...

    async def start(self, port: int) -> int:
        """Listen on `port` with SO_REUSEPORT and serve; returns the port."""

    async def stop(self, grace_s: float) -> None:
        """Stop accepting, let calls in flight finish within `grace_s`, drain the writer. May be called
        again with a shorter grace while the first call still waits, to hasten it."""


Build = Callable[[WorkerConfig, Telemetry], Awaitable[RunningService]]
# Loads what `build` needs whatever it is told: code, and what the compiler keeps. Opens nothing and starts nothing, for
# its process may end at any moment.
Preload = Callable[[Settings], None]


@dataclass(frozen=True, slots=True)
class EarlyConfig:
    """What a worker is told that is started before the host is prepared."""

    settings: Settings
    # As in WorkerConfig.
    build: str
    # 'package.module:attribute' of a `Preload`.
    preload: str | None = None


class StopTimeoutError(Exception):
    """The service did not stop in time; calls or undrained rows were left behind."""


def stop_limit_s(settings: Settings) -> float:
    """The longest orderly stop: calls get the drain time, the writer as much again, the process 2 s."""
    return 2.0 * settings.drain_timeout_s + 2.0


def early_main(config: EarlyConfig, link: ChildLink) -> None:
    """As `worker_main`, of a process that loads before it is told what it is."""
    told = link.await_config(lambda: _load(config))
    if not isinstance(told, WorkerConfig):
        raise TypeError(f"a worker was told to begin with {type(told).__name__}")
    worker_main(told, link)


def _load(config: EarlyConfig) -> None:
    gc.set_threshold(YOUNG_OBJECTS, 10, 10)  # what is imported stays: looking through it early and often finds nothing
    _set_up_grpc()
    resolve(config.build)
    if config.preload is not None:
        preload: Preload = resolve(config.preload)
        preload(config.settings)


def _set_up_grpc() -> None:
    # Before grpc is imported: its C core logs past our pipeline, and prepares for forks that never come.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")


def worker_main(config: WorkerConfig, link: ChildLink) -> None:
    """The process, from start to end. Raises when it could not start, or not stop in order."""
    _set_up_grpc()
    logs = configure_logging(config.settings, process=f"worker-{config.worker_index}")
    telemetry = start_telemetry(
        config.settings, instance_id=config.instance_id, worker_index=config.worker_index
    )
    try:
        asyncio.run(_Worker(config, link, telemetry).run())
    finally:
        telemetry.close()
        logs.close()


class _Worker:
    """The life of one service on one event loop."""

    def __init__(self, config: WorkerConfig, link: ChildLink, telemetry: Telemetry) -> None:
        self._config = config
        self._link = link
        self._telemetry = telemetry
        self._stop = asyncio.Event()
        self._hasten = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        # A signal to this process alone stops it in order too; to the whole group, it says nothing new.
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        unblock_signals()
        self._link.listen(lambda order: self._obey(order, loop))
        build: Build = resolve(self._config.build)
        service = await self._unless_stopped(build(self._config, self._telemetry))
        if service is None:
            log.info("stopped before it was ready")
            return
        # What was loaded lives as long as the process: the collector need not walk it again, ever.
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS, 10, 10)
        sys.setswitchinterval(SWITCH_S)
        give_back()
        await self._start(service)
        probe = asyncio.create_task(_probe_loop_lag(self._telemetry))
        await self._stop.wait()
        await self._stop_service(service)
        probe.cancel()

    async def _start(self, service: RunningService) -> None:
        port = await service.start(self._config.grpc_port)
        # gRPC says 1 for a Unix socket.
        if self._config.grpc_port not in (0, port):
            raise RuntimeError(f"the service listens on port {port} instead of {self._config.grpc_port}")
        self._link.ready()
        log.info("worker ready", grpc=self._config.grpc_target, pid=os.getpid())

    async def _unless_stopped(self, building: Awaitable[RunningService]) -> RunningService | None:
        build = asyncio.ensure_future(building)
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait({build, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if build.done():
            return build.result()
        build.cancel()
        await asyncio.wait({build}, timeout=HASTENED_STOP_S)
        return None

    async def _stop_service(self, service: RunningService) -> None:
        begun_s = time.monotonic()
        await service.health.enter_graceful_shutdown()
        stopping = asyncio.create_task(service.stop(self._config.settings.drain_timeout_s))
        hasten = asyncio.create_task(self._hasten.wait())
        limit_s = stop_limit_s(self._config.settings)
        await asyncio.wait({stopping, hasten}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        if not stopping.done() and hasten.done():
            log.warning("stop hastened")
            again = asyncio.create_task(service.stop(0.0))
            await asyncio.wait({stopping, again}, timeout=HASTENED_STOP_S)
        hasten.cancel()
        if not stopping.done():
            raise StopTimeoutError(f"not stopped after {time.monotonic() - begun_s:.1f} s")
        stopping.result()
        log.info("worker stopped", stop_s=round(time.monotonic() - begun_s, 3))
        self._log_calls()

    def _log_calls(self) -> None:
        """How long the calls took on this side, from the handler's start to its answer."""
        self._telemetry.flush()
        for method, seen in self._telemetry.snapshot().methods.items():
            log.info(
                "calls served",
                method=method,
                codes=dict(seen.codes),
                p50_us=round(seen.duration.p50_us, 1),
                p99_us=round(seen.duration.p99_us, 1),
                stages_p50_us={name: round(stage.p50_us, 1) for name, stage in seen.stages.items()},
                stages_p99_us={name: round(stage.p99_us, 1) for name, stage in seen.stages.items()},
            )

    def _obey(self, order: StopOrder, loop: asyncio.AbstractEventLoop) -> None:
        """Runs on the link's thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            loop.call_soon_threadsafe(self._hasten.set if order is StopOrder.HASTEN else self._stop.set)
        if order is StopOrder.ORPHANED:
            log.warning("the supervisor is gone; stopping")
            # Nobody is left to kill a worker whose loop is stuck.
            threading.Event().wait(stop_limit_s(self._config.settings) + 1.0)
            os._exit(os.EX_SOFTWARE)


async def _probe_loop_lag(telemetry: Telemetry) -> None:
    """How late a timer runs is how long a call would have waited for the loop."""
    while True:
        due_ns = time.monotonic_ns() + int(LOOP_LAG_INTERVAL_S * 1e9)
        await asyncio.sleep(LOOP_LAG_INTERVAL_S)
        telemetry.record_loop_lag(max(time.monotonic_ns() - due_ns, 0))
