"""The supervisor's child processes: how one is spawned, what it reports, when it is tried again.

A child holds one end of a pipe. It says `Ready` or `Failed` on it and is told there to stop; the pipe's end
means that the supervisor is gone. Orders are no signals, since SIGTERM often goes to the whole group at once
(systemd, timeout, a terminal's Ctrl-C), and the keeper must not stop before the workers have drained into it.
Signals are blocked around the spawn, so that a child meets them with its handlers in place.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from multiprocessing import reduction, resource_tracker
from multiprocessing.connection import Connection
from typing import Any, Final

from service.settings import Settings

STOP_SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
SPARE_END_S: Final = 2.0
# "spawn": gRPC's threads and locks don't survive a fork.
_CONTEXT: Final = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class Ready:
    """The child serves."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The child gives up; `error` is for people, the traceback for the log."""

    error: str
    traceback: str


class StopOrder(Enum):
    """Why a child should stop."""

    STOP = "stop"
    # Asked again: finish what takes no time, leave the rest.
    HASTEN = "hasten"
    # The supervisor is gone; nobody will restart or kill this child.
    ORPHANED = "orphaned"


@dataclass(frozen=True, slots=True)
class Begin:
    """To a process that stands by: it is its turn. `config` is for one that was started before there was any."""

    config: object = None


class HeldDescriptor:
    """An open file that a child inherits and only has to keep open: it goes when the child goes."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __reduce__(self) -> tuple[Callable[[Any], HeldDescriptor], tuple[Any]]:
        return _held_by_child, (reduction.DupFd(self.descriptor),)


def _held_by_child(duplicate: Any) -> HeldDescriptor:
    return HeldDescriptor(duplicate.detach())


@dataclass(frozen=True, slots=True)
class ChildLink:
    """The child's end. `held` is never read: see `HeldDescriptor`."""

    pipe: Connection
    held: tuple[HeldDescriptor, ...] = ()

    def await_turn(self) -> bool:
        """For a spare: blocks until it is its turn. False: it is not needed any more."""
        return self._begin() is not None

    def await_config(self, meanwhile: Callable[[], None]) -> object:
        """For a process that is started early: does `meanwhile`, then blocks until it is its turn, with what it is told
        then. Where it is not needed any more the process ends, in the middle of `meanwhile` too."""
        told: queue.SimpleQueue[Begin] = queue.SimpleQueue()
        threading.Thread(target=self._hand_over, args=(told,), name="ess-turn", daemon=True).start()
        meanwhile()
        return told.get().config

    def _hand_over(self, told: queue.SimpleQueue[Begin]) -> None:
        begin = self._begin()
        if begin is None:
            os._exit(os.EX_OK)  # nothing was begun, so nothing has to be closed
        told.put(begin)

    def _begin(self) -> Begin | None:
        try:
            message = self.pipe.recv()
        except (EOFError, OSError):
            return None
        return message if isinstance(message, Begin) else None

    def ready(self) -> None:
        self._tell(Ready())

    def failed(self, error: Exception) -> None:
        summary = "".join(traceback.format_exception_only(error)).strip()
        self._tell(Failed(summary, "".join(traceback.format_exception(error))))

    def listen(self, obey: Callable[[StopOrder], None]) -> None:
        """Calls `obey` on a thread of its own, so that a blocked event loop can't keep an orphan alive."""
        threading.Thread(target=_obey_orders, args=(self.pipe, obey), name="ess-orders", daemon=True).start()

    def _tell(self, message: Ready | Failed) -> None:
        with contextlib.suppress(OSError):  # no supervisor to tell: `listen` deals with that
            self.pipe.send(message)


def _obey_orders(pipe: Connection, obey: Callable[[StopOrder], None]) -> None:
    while True:
        try:
            order: StopOrder = pipe.recv()
        except (EOFError, OSError):
            obey(StopOrder.ORPHANED)
            return
        obey(order)


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When a child that died is tried again. The wait doubles; a stable run forgets earlier deaths. The first so many
    deaths are followed by another try at once."""

    at_once: int = 0
    first_delay_s: float = 0.1
    longest_delay_s: float = 10.0
    stable_after_s: float = 30.0
    # Deaths in a row before being ready that end the service.
    give_up_after: int = 3

    def delay_s(self, deaths: int) -> float:
        if deaths <= self.at_once:
            return 0.0
        return min(self.longest_delay_s, self.first_delay_s * 2.0 ** min(deaths - self.at_once - 1, 30))


@dataclass(frozen=True, slots=True)
class Running:
    """A process and our end of its pipe."""

    process: multiprocessing.process.BaseProcess
    pipe: Connection

    def end(self) -> None:
        """Of one that stands by, which ends when its pipe does."""
        self.pipe.close()
        self.process.join(SPARE_END_S)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        self.process.close()


def start_process(name: str, entry: str, config: object, held: tuple[HeldDescriptor, ...]) -> Running:
    """A process that calls `entry` with `config` and its ChildLink."""
    ours, theirs = _CONTEXT.Pipe(duplex=True)
    process = _CONTEXT.Process(target=_enter, args=(entry, config, ChildLink(theirs, held)), name=name)
    with _signals_blocked(), contextlib.closing(theirs):
        process.start()
    return Running(process, ours)


class ChildState(Enum):
    STARTING = "starting"
    READY = "ready"
    # Dead, to be spawned again at `due_s`.
    WAITING = "waiting"


class Child:
    """The supervisor's view of one place for a process, whichever process has it at the time.

    With `spare_entry` a second process stands by, loaded but not begun, so that the place is empty for moments only: it
    runs that entry, which calls `ChildLink.await_turn`. An `early` process was started before there was a config; its
    entry calls `ChildLink.await_config`, and it is the first to have the place.
    """

    def __init__(
        self,
        name: str,
        entry: str,
        config: object,
        held: tuple[HeldDescriptor, ...],
        policy: RestartPolicy,
        spare_entry: str | None = None,
        early: Running | None = None,
    ) -> None:
        self.name = name
        self.state = ChildState.WAITING
        self.due_s = 0.0
        self.last_error = ""
        self.last_traceback = ""
        self.deaths_before_ready = 0
        self._entry = entry
        self._config = config
        self._held = held
        self._policy = policy
        self._spare_entry = spare_entry
        self._spare = early
        self._begin = Begin(config) if early is not None else Begin()
        self._deaths = 0
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None
        self._started_s = 0.0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def uptime_s(self) -> float:
        return time.monotonic() - self._started_s

    @property
    def has_failed(self) -> bool:
        return self.deaths_before_ready >= self._policy.give_up_after

    def waitables(self) -> list[Connection | int]:
        """What `multiprocessing.connection.wait` should watch for this child."""
        found: list[Connection | int] = [] if self._process is None else [self._process.sentinel]
        return found if self._pipe is None else [self._pipe, *found]

    def spawn(self) -> None:
        running = self._spare_that_begins() or self._started(self._entry)
        self._process, self._pipe = running.process, running.pipe
        self._started_s = time.monotonic()
        self.state, self.last_error, self.last_traceback = ChildState.STARTING, "", ""

    def keep_spare(self) -> None:
        """Starts a spare where there is to be one and none lives."""
        if self._spare_entry is None or self.state is not ChildState.READY:
            return
        if self._spare is not None and self._spare.process.exitcode is not None:
            self.drop_spare()
        if self._spare is None:
            self._spare = self._started(self._spare_entry)

    def drop_spare(self) -> None:
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.end()

    def _spare_that_begins(self) -> Running | None:
        spare, self._spare = self._spare, None
        if spare is None:
            return None
        try:
            spare.pipe.send(self._begin)
        except OSError:
            spare.end()
            return None
        return spare

    def _started(self, entry: str) -> Running:
        return start_process(self.name, entry, self._config, self._held)

    def receive(self) -> bool:
        """Take what the child has said; True when it has just become ready."""
        became_ready = False
        while self._pipe is not None:
            try:
                if not self._pipe.poll():
                    return became_ready
                message = self._pipe.recv()
            except (EOFError, OSError):
                self._pipe.close()
                self._pipe = None
                return became_ready
            if isinstance(message, Ready):
                self.state, self.deaths_before_ready, became_ready = ChildState.READY, 0, True
            elif isinstance(message, Failed):
                self.last_error, self.last_traceback = message.error, message.traceback
        return became_ready

    def reap(self) -> int | None:
        """The exit code if the process has ended (negative: by that signal); it is due again then."""
        if self._process is None or self._process.exitcode is None:
            return None
        self.receive()
        code = self._process.exitcode
        self._process.close()
        self._process = None
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        self._count_death(code)
        return code

    def order(self, order: StopOrder) -> None:
        if self._pipe is not None:
            with contextlib.suppress(OSError):  # it is ending already
                self._pipe.send(order)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _count_death(self, code: int) -> None:
        if self.state is ChildState.STARTING:
            self.deaths_before_ready += 1
        self._deaths = 1 if self.uptime_s >= self._policy.stable_after_s else self._deaths + 1
        self.last_error = self.last_error or f"it ended {exit_text(code)} without saying why"
        self.due_s = time.monotonic() + self._policy.delay_s(self._deaths)
        self.state = ChildState.WAITING


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """What the HTTP process is given."""

    settings: Settings
    http_address: str
    grpc_target: str


def exit_text(code: int) -> str:
    """'with code 1', 'by SIGKILL'."""
    if code >= 0:
        return f"with code {code}"
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"


def resolve(dotted: str) -> Any:
    """The object at 'package.module:attribute'."""
    module_name, colon, attribute = dotted.partition(":")
    if not colon:
        raise ValueError(f"{dotted!r} must be package.module:attribute")
    return getattr(importlib.import_module(module_name), attribute)


def unblock_signals() -> None:
    """For a child, once its handlers are in place; a signal that came meanwhile arrives now."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def _enter(entry: str, config: object, link: ChildLink) -> None:
    """Where every child starts. Ctrl-C reaches the whole group, so only the supervisor acts on it."""
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    try:
        resolve(entry)(config, link)
    except Exception as error:
        link.failed(error)
        # Raised further, multiprocessing would print the traceback past the log, secrets and all.
        sys.exit(os.EX_SOFTWARE)


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    # The tracker's own start unblocks signals, so it has to be running before.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
