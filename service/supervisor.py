"""The process that owns the others: prepares the host, starts keeper, workers and HTTP, restarts what dies,
and stops everything in order. It never imports grpc.

    ServeError                 `ess serve` can't go on; its text is for people
    ├── BadFilesError          files that the settings name cannot be used; no restart mends that
    ├── DataDirTakenError      another instance, or what is still stopping of one, has the data folder
    ├── PrepareError           the host could not be prepared
    └── NeverReadyError        a process died several times in a row before it was ready
    ports.AddressTakenError    somebody else listens on the address
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, Pipe, wait
from typing import Final

import structlog
from pydantic import SecretStr

from service.children import (
    STOP_SIGNALS,
    Child,
    ChildState,
    HeldDescriptor,
    HttpConfig,
    RestartPolicy,
    Running,
    StopOrder,
    exit_text,
    start_process,
)
from service.data_dir import (
    BadFilesError,
    DataDirTakenError,
    ServeError,
    ServiceFile,
    keeper_socket_path,
    locked,
)
from service.keeper_process import KeeperConfig
from service.logs import configure_logging, masked_text
from service.memory import bound_arenas
from service.ports import Address, AddressTakenError, Reservation, reserve
from service.settings import Settings
from service.start_limit import start_limit_s
from service.worker import EarlyConfig, WorkerConfig, stop_limit_s

__all__ = [
    "DataDirTakenError",
    "NeverReadyError",
    "PrepareError",
    "PreparedHost",
    "ServeError",
    "ServicePlan",
    "serve",
]

# A child checks its own bound first and says what was left behind; then it is killed.
KILL_AFTER_LIMIT_S: Final = 2.0
HTTP_STOP_LIMIT_S: Final = 3.0
# The signal that ends patience: the first stops, the second hastens.
KILLING_SIGNAL: Final = 3

log = structlog.get_logger(__name__)


class PrepareError(ServeError):
    """The host could not be prepared."""


class NeverReadyError(ServeError):
    """A process died several times in a row before it was ready."""


@dataclass(frozen=True, slots=True)
class PreparedHost:
    """What `prepare` leaves: a migrated database that answers. `close` stops what was started."""

    database_url: SecretStr
    # Handed to every worker and the keeper as it is.
    resources: Mapping[str, str] = field(default_factory=dict)
    close: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """What is run. The dotted paths ('package.module:attribute') are imported by the children only."""

    prepare: Callable[[Settings], PreparedHost]
    # A `service.worker.Build`.
    build: str
    # A `service.keeper_process.RunKeeper`; started when there are several workers.
    keeper: str | None = None
    # A `service.worker.Preload`.
    preload: str | None = None
    restart: RestartPolicy = field(default_factory=RestartPolicy)


def serve(settings: Settings, plan: ServicePlan) -> int:
    """Run the service until it is told to stop. The exit code: 0 after an orderly stop."""
    logs = configure_logging(settings, process="supervisor")
    bound_arenas()
    error_text = ""
    try:
        with _Signals() as signals, locked(settings.data_dir) as lock, _reserved(settings) as (grpc, http):
            supervisor = _Supervisor(settings, plan, signals, lock, grpc, http)
            return supervisor.run()
    except (ServeError, AddressTakenError) as error:
        error_text = str(error)
        log.error("the service can't run", reason=error_text)
        return error.exit_code if isinstance(error, ServeError) else os.EX_UNAVAILABLE
    finally:
        logs.close()
        if error_text:
            print(f"ess: {masked_text(error_text)}", file=sys.stderr, flush=True)


class _Signals:
    """Counts signals that ask for a stop, and wakes whoever waits."""

    def __init__(self) -> None:
        self.count = 0
        self.woken, self._wake = socket.socketpair()
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> _Signals:
        for end in (self.woken, self._wake):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, self._on_signal) for number in STOP_SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal returned
        self.woken.close()
        self._wake.close()

    def clear_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self.woken.recv(4096)

    def _on_signal(self, _number: int, _frame: object) -> None:
        self.count += 1


@contextlib.contextmanager
def _reserved(settings: Settings) -> Iterator[tuple[Reservation, Reservation | None]]:
    """The addresses, held from before anything is started until everything has stopped."""
    with contextlib.ExitStack() as held:
        grpc = reserve(Address.parse(settings.grpc_address))
        held.callback(grpc.release)
        http = None
        if settings.http_address:
            http = reserve(Address.parse(settings.http_address))
            held.callback(http.release)
        yield grpc, http


class _Supervisor:
    """One run of the service."""

    def __init__(
        self,
        settings: Settings,
        plan: ServicePlan,
        signals: _Signals,
        lock: HeldDescriptor,
        grpc: Reservation,
        http: Reservation | None,
    ) -> None:
        self._settings = settings
        self._plan = plan
        self._signals = signals
        self._lock = lock
        self._grpc_target = str(grpc.address)
        self._http_target = str(http.address) if http is not None else ""
        self._instance_id = uuid.uuid4().hex
        self._file = ServiceFile(settings.data_dir)
        self._lifeline, self._lifeline_held = Pipe(duplex=False)
        self._keepers: list[Child] = []
        self._workers: list[Child] = []
        self._http: list[Child] = []
        # Processes of the first workers, until they have their places.
        self._early: list[Running] = []
        self._announced = False
        self._start_limit_s = settings.startup_timeout_s
        self._stopped_in_order = True

    def run(self) -> int:
        begun_s = time.monotonic()
        try:
            self._start_early()
            prepared = self._prepare()
            try:
                self._plan_children(prepared)
                self._run_children(begun_s)
            finally:
                self._close(prepared)
        finally:
            for running in self._early:
                running.end()
        log.info("stopped", in_order=self._stopped_in_order)
        return os.EX_OK if self._stopped_in_order else os.EX_SOFTWARE

    def _run_children(self, begun_s: float) -> None:
        try:
            while self._signals.count == 0:
                self._spawn_due()
                self._await_events(self._next_due_s())
                self._end_overdue_starts()
                self._announce_when_ready(begun_s)
                self._keep_spares()
            log.info("stopping", signals=self._signals.count)
        finally:
            self._stop_all()

    def _start_early(self) -> None:
        """Workers load what they need anyhow while the host is prepared: importing takes longer than that."""
        plan = self._plan
        config = EarlyConfig(self._settings, plan.build, plan.preload)
        for index in range(self._settings.workers):
            self._early.append(
                start_process(f"worker-{index}", "service.worker:early_main", config, self._held_by_workers)
            )

    def _prepare(self) -> PreparedHost:
        self._file.remove()
        try:
            return self._plan.prepare(self._settings)
        except BadFilesError:
            raise
        except Exception as error:
            log.exception("the host could not be prepared")
            raise PrepareError(f"the host could not be prepared: {error}") from error

    def _plan_children(self, prepared: PreparedHost) -> None:
        settings, plan = self._settings, self._plan
        keeper_socket = None
        if settings.workers > 1 and plan.keeper is not None:
            keeper_socket = keeper_socket_path(settings.data_dir)
            keeper = KeeperConfig(
                settings,
                keeper_socket,
                prepared.database_url,
                self._instance_id,
                plan.keeper,
                self._lifeline,
                prepared.resources,
            )
            entry = "service.keeper_process:keeper_main"
            # Nothing is recorded while it is away: another one stands by, and begins at once.
            policy = replace(plan.restart, at_once=1)
            spare = "service.keeper_process:spare_main"
            self._keepers = [Child("keeper", entry, keeper, (self._lock,), policy, spare)]
        for index in range(settings.workers):
            worker = WorkerConfig(
                settings,
                index,
                self._grpc_target,
                plan.build,
                prepared.database_url,
                keeper_socket,
                self._instance_id,
                prepared.resources,
            )
            entry = "service.worker:worker_main"
            held, early = self._held_by_workers, self._early.pop(0)
            self._workers.append(Child(f"worker-{index}", entry, worker, held, plan.restart, early=early))
        if self._http_target:
            http = HttpConfig(settings, self._http_target, self._grpc_target)
            self._http = [Child("http", "service.http.process:http_main", http, (), plan.restart)]

    @property
    def _held_by_workers(self) -> tuple[HeldDescriptor, ...]:
        # The lock too: after a killed supervisor nobody may start beside what still drains.
        return (self._lock, HeldDescriptor(self._lifeline_held.fileno()))

    @property
    def _children(self) -> list[Child]:
        return [*self._keepers, *self._workers, *self._http]

    @property
    def _wanted(self) -> list[Child]:
        # Workers need the keeper when they start; later they reconnect by themselves.
        keeper_ready = all(keeper.state is ChildState.READY for keeper in self._keepers)
        return self._children if keeper_ready or self._announced else self._keepers

    def _spawn_due(self) -> None:
        for child in self._wanted:
            if child.state is ChildState.WAITING and child.due_s <= time.monotonic():
                self._start_limit_s = start_limit_s(self._settings.startup_timeout_s, self._settings.journal_folder)
                child.spawn()
                log.info("process started", name=child.name, pid=child.pid)

    def _next_due_s(self) -> float | None:
        """Seconds until something has to be done without an event; None: nothing."""
        now_s, left_s = time.monotonic(), []
        for child in self._wanted:
            if child.state is ChildState.WAITING:
                left_s.append(child.due_s - now_s)
            elif child.state is ChildState.STARTING:
                left_s.append(self._start_limit_s - child.uptime_s)
        return max(min(left_s), 0.0) if left_s else None

    def _await_events(self, timeout_s: float | None) -> None:
        watched: list[Connection | socket.socket | int] = [self._signals.woken]
        for child in self._children:
            watched.extend(child.waitables())
        if self._signals.woken in wait(watched, timeout_s):
            self._signals.clear_wake()
        for child in self._children:
            became_ready = child.receive()
            if became_ready and self._announced:
                log.info("process is back", name=child.name, pid=child.pid)
                self._write_file()
            uptime_s = child.uptime_s
            code = child.reap()
            if code is not None and self._signals.count == 0:
                self._on_death(child, code, uptime_s)
            elif code is not None:  # it died as the stop began, and `_stop` does not see it any more
                self._look_at_end(child, code)

    def _on_death(self, child: Child, code: int, uptime_s: float) -> None:
        log.error(
            "process died",
            name=child.name,
            ended=exit_text(code),
            uptime_s=round(uptime_s, 3),
            error=child.last_error,
            traceback=child.last_traceback,
            restart_in_s=round(child.due_s - time.monotonic(), 3),
        )
        if child.has_failed:
            deaths = child.deaths_before_ready
            raise NeverReadyError(
                f"{child.name} died {deaths} times before it was ready; the last time: {child.last_error}"
            )

    def _end_overdue_starts(self) -> None:
        limit_s = self._start_limit_s
        for child in self._children:
            if child.state is ChildState.STARTING and child.uptime_s >= limit_s:
                child.last_error = f"it was not ready within {limit_s:.0f} s (ESS_STARTUP_TIMEOUT_S)"
                child.kill()

    def _keep_spares(self) -> None:
        """Not before everything runs: a start is no time for more work."""
        if self._announced:
            for child in self._children:
                child.keep_spare()

    def _announce_when_ready(self, begun_s: float) -> None:
        if self._announced or any(child.state is not ChildState.READY for child in self._children):
            return
        self._announced = True
        self._write_file()
        http = f" http={self._http_target}" if self._http_target else ""
        workers = self._settings.workers
        print(f"ready grpc={self._grpc_target}{http} workers={workers} pid={os.getpid()}", flush=True)
        log.info("ready", grpc=self._grpc_target, startup_s=round(time.monotonic() - begun_s, 3))

    def _write_file(self) -> None:
        pids = [worker.pid for worker in self._workers if worker.pid is not None]
        self._file.write(self._grpc_target, self._http_target, pids, self._instance_id)

    def _stop_all(self) -> None:
        for child in self._children:
            child.drop_spare()
        limit_s = stop_limit_s(self._settings) + KILL_AFTER_LIMIT_S
        # HTTP outlives the workers: /readyz says 503 while they drain.
        self._stop(self._workers, limit_s)
        self._stop(self._http, HTTP_STOP_LIMIT_S)
        self._stop(self._keepers, limit_s)

    def _stop(self, children: list[Child], limit_s: float) -> None:
        """Ask, hasten when asked to, and in the end kill."""
        alive = [child for child in children if child.pid is not None]
        for child in alive:
            child.order(StopOrder.STOP)
        deadline_s, signals_seen = time.monotonic() + limit_s, self._signals.count
        while alive:
            left_s = max(deadline_s - time.monotonic(), 0.0)
            watched: list[Connection | socket.socket | int] = [self._signals.woken]
            for child in alive:
                watched.extend(child.waitables())
            if self._signals.woken in wait(watched, left_s):
                self._signals.clear_wake()
            alive = [child for child in alive if not self._has_ended(child)]
            if left_s == 0.0 or self._signals.count >= KILLING_SIGNAL:
                for child in alive:
                    log.error("process killed: it did not stop in time", name=child.name, pid=child.pid)
                    child.kill()
                deadline_s = time.monotonic() + 1.0
            elif self._signals.count > signals_seen:
                signals_seen = self._signals.count
                for child in alive:
                    child.order(StopOrder.HASTEN)

    def _has_ended(self, child: Child) -> bool:
        child.receive()
        code = child.reap()
        if code is None:
            return False
        self._look_at_end(child, code)
        return True

    def _look_at_end(self, child: Child, code: int) -> None:
        if code not in (os.EX_OK, -signal.SIGTERM):
            self._stopped_in_order = False
            log.error(
                "process did not stop in order",
                name=child.name,
                ended=exit_text(code),
                error=child.last_error,
            )

    def _close(self, prepared: PreparedHost) -> None:
        try:
            prepared.close()
        except Exception:
            self._stopped_in_order = False
            log.exception("the host was not closed in order")
        self._lifeline.close()
        self._lifeline_held.close()
        self._file.remove()
