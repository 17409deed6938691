"""Logs off the hot path: a caller appends to a bounded queue, a listener thread formats and writes.

structlog and the standard library's loggers (grpc, psycopg, uvicorn, opentelemetry) end in the same pipeline,
one a process. A full queue drops lines rather than hold up a decision, and says how many once there is room.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, WrappedLogger

from service.settings import Settings

MASK: Final = "***"
FLUSH_TIMEOUT_S: Final = 2.0
# A write of up to this many bytes to a pipe isn't interleaved with another process's (POSIX: PIPE_BUF).
ATOMIC_WRITE_BYTES: Final = 4096
_MAX_DEPTH: Final = 6
_SECRET_KEY: Final = re.compile(
    r"passw|secret|token|authorization|credential|api_?key|private_?key|cookie|database_(owner_)?url|dsn|conninfo",
    re.IGNORECASE,
)
_SECRET_TEXT: Final = (
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@'\"]*):[^\s'\"]*@", re.IGNORECASE), rf"\1:{MASK}@"),
    (re.compile(r"\b(password|passwd|sslpassword)\s*=\s*('[^']*'|[^\s&'\"]+)", re.IGNORECASE), rf"\1={MASK}"),
    (re.compile(r"\b(bearer|authorization:\s*\w+)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\1 {MASK}"),
)
_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
# Talkative at info without telling an operator anything.
_QUIET_LOGGERS: Final = ("asyncio", "uvicorn", "opentelemetry", "numba", "psycopg")
# The drainer tells of an outage once, and then ever more seldom; the pool would at every attempt.
_SILENT_LOGGERS: Final = ("psycopg.pool",)

Render = Callable[[EventDict], str]


class LogPipeline:
    """The queue, its listener and where the lines go. `put` never blocks and never raises."""

    def __init__(self, render: Render, stream: TextIO, queue_lines: int) -> None:
        self._render = render
        self._stream = stream
        self._queue_lines = queue_lines
        # SimpleQueue's put is one C call, safe in signal handlers too; its bound is kept by `put` below.
        self._queue: queue.SimpleQueue[EventDict | threading.Event | None] = queue.SimpleQueue()
        self._dropped_lines = 0
        self._told_lines = 0
        self._dropped_lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._closed = False
        self._listener = threading.Thread(target=self._listen, name="ess-logs", daemon=True)
        self._listener.start()

    @property
    def dropped_lines(self) -> int:
        """Lines that were never written: no room in the queue, or a stream that failed."""
        return self._dropped_lines

    def put(self, event: EventDict) -> None:
        if self._closed:
            # What is logged while the process ends has no listener any more.
            self._write([event])
        elif self._queue.qsize() >= self._queue_lines:
            self._drop(1)
        else:
            self._queue.put(event)

    def flush(self, timeout_s: float = FLUSH_TIMEOUT_S) -> bool:
        """Wait until what was put before is written; False when that took too long."""
        if self._closed:
            return True
        written = threading.Event()
        self._queue.put(written)
        return written.wait(timeout_s)

    def close(self, timeout_s: float = FLUSH_TIMEOUT_S) -> None:
        """Write what waits, within `timeout_s`; lines that come later are written at once."""
        if not self._closed and self.flush(timeout_s):
            # Only then: with a stuck stream, writing in the caller would hang the process's end.
            self._closed = True
            self._queue.put(None)

    def _listen(self) -> None:
        while True:
            items = [self._queue.get()]
            with contextlib.suppress(queue.Empty):
                # Few at a time: formatting holds the GIL, and the event loop waits for it meanwhile.
                while len(items) < 16:
                    items.append(self._queue.get_nowait())
            self._write([item for item in items if isinstance(item, dict)])
            for item in items:
                if isinstance(item, threading.Event):
                    item.set()
            if None in items:
                return

    def _write(self, events: list[EventDict]) -> None:
        lines = [self._line(event) for event in events]
        untold = self._dropped_lines - self._told_lines
        if untold and self._queue.qsize() < self._queue_lines:
            self._told_lines += untold
            lines.append(self._line(_own_event("warning", "log lines dropped", dropped_lines=untold)))
        with self._write_lock:
            for chunk, count in _chunks(lines):
                try:
                    self._stream.write(chunk)
                    self._stream.flush()
                except (OSError, ValueError):
                    # Nobody reads us any more, or the disk is full: the service goes on, and counts.
                    self._drop(count)

    def _line(self, event: EventDict) -> str:
        try:
            return self._render(event)
        except Exception as error:  # a value whose repr raises must not end the listener
            return self._render(_own_event("error", "a log line could not be written", reason=repr(error)))

    def _drop(self, lines: int) -> None:
        with self._dropped_lock:
            self._dropped_lines += lines


def configure_logging(
    settings: Settings, *, process: str = "ess", stream: TextIO | None = None
) -> LogPipeline:
    """Send all logs of this process to `stream` (stderr); `process` names it in every line."""
    out = sys.stderr if stream is None else stream
    pipeline = LogPipeline(_renderer(settings, process, out), out, settings.log_queue_lines)
    level = _LEVELS[settings.log_level]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            _stamp,
            _keep_exception,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        context_class=dict,
        logger_factory=lambda *_args: _Sink(pipeline),
        # A logger first used after this call keeps its pipeline; one process configures its logs once.
        cache_logger_on_first_use=True,
    )
    _route_standard_library(pipeline, level)
    return pipeline


def mask_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A structlog processor: hides values under telling keys, and credentials inside any text."""
    return {key: MASK if _is_secret_key(key) else _masked(value, 0) for key, value in event.items()}


def masked_text(text: str) -> str:
    """`text` with its credentials hidden where their form tells: in URLs, key=value pairs and headers."""
    for pattern, replacement in _SECRET_TEXT:
        text = pattern.sub(replacement, text)
    return text


class _Sink:
    """What structlog calls a logger: the end of the caller's half of the pipeline."""

    def __init__(self, pipeline: LogPipeline) -> None:
        self._put = pipeline.put

    def msg(self, **event: Any) -> None:
        self._put(event)

    debug = info = warning = error = critical = msg


class _StandardLibraryHandler(logging.Handler):
    """Standard library records as events. The text is formed here: its arguments may change afterwards."""

    def __init__(self, pipeline: LogPipeline) -> None:
        super().__init__()
        self._pipeline = pipeline

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception as error:  # a wrong format string in a library isn't our failure
            text = f"{record.msg} (badly formatted: {error!r})"
        event: EventDict = {"event": text, "level": record.levelname.lower(), "logger": record.name}
        event["timestamp_ns"] = int(record.created * 1e9)
        if record.exc_info:
            event["exc_info"] = record.exc_info
        self._pipeline.put(event)


def _route_standard_library(pipeline: LogPipeline, level: int) -> None:
    root = logging.getLogger()
    root.handlers = [_StandardLibraryHandler(pipeline)]
    root.setLevel(level)
    for name in _QUIET_LOGGERS:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    for name in _SILENT_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.captureWarnings(True)
    # The handler never raises; the library's own last resort would print to stderr.
    logging.raiseExceptions = False


def _stamp(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["timestamp_ns"] = time.time_ns()
    return event


def _keep_exception(_logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    # "exc_info=True" means this thread's exception at this moment, so it is taken here, not by the listener.
    wanted = event.get("exc_info", method == "exception")
    if wanted is True:
        event["exc_info"] = sys.exc_info()
    elif isinstance(wanted, BaseException):
        event["exc_info"] = (type(wanted), wanted, wanted.__traceback__)
    return event


def _renderer(settings: Settings, process: str, stream: TextIO) -> Render:
    if settings.log_format == "json":
        return lambda event: _json(_finished(event, process)) + "\n"
    console = structlog.dev.ConsoleRenderer(colors=stream.isatty())
    return lambda event: str(console(None, "", _finished(event, process))) + "\n"


def _finished(event: EventDict, process: str) -> EventDict:
    """The line's fields in their final order; runs in the listener."""
    fields = dict(event)
    stamp_ns = fields.pop("timestamp_ns", None) or time.time_ns()
    when = datetime.fromtimestamp(stamp_ns / 1e9, UTC).isoformat(timespec="microseconds")
    head = {
        "timestamp": when.replace("+00:00", "Z"),
        "level": fields.pop("level", "info"),
        "process": process,
    }
    error = fields.pop("exc_info", None)
    if isinstance(error, tuple) and error[0] is not None:
        fields["exception"] = "".join(traceback.format_exception(*error))
    return {**head, **mask_secrets(None, "", fields)}


def _json(event: Mapping[str, Any]) -> str:
    # msgspec writes NaN and infinity as null, where json.dumps writes what no parser takes.
    try:
        return msgspec.json.encode(event, enc_hook=repr).decode()
    except (TypeError, ValueError, OverflowError, RecursionError):
        safe = {str(key): value if isinstance(value, str) else repr(value) for key, value in event.items()}
        return msgspec.json.encode({key: _well_formed(value) for key, value in safe.items()}).decode()


def _well_formed(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _is_secret_key(key: object) -> bool:
    return isinstance(key, str) and _SECRET_KEY.search(key) is not None


def _masked(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return masked_text(value)
    if isinstance(value, bool | int | float | None):
        return value
    if depth >= _MAX_DEPTH:
        return "..."
    if isinstance(value, Mapping):
        return {
            key: MASK if _is_secret_key(key) else _masked(inner, depth + 1) for key, inner in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(inner, depth + 1) for inner in value]
    # Anything else is shown by its repr, and that may quote a secret (an exception with a connection string).
    return _masked(repr(value), depth + 1)


def _own_event(level: str, event: str, **fields: Any) -> MutableMapping[str, Any]:
    return {
        "event": event,
        "level": level,
        "logger": "service.logs",
        "timestamp_ns": time.time_ns(),
        **fields,
    }


def _chunks(lines: list[str]) -> Iterator[tuple[str, int]]:
    """Lines joined into writes that stay whole between processes, with how many lines each holds."""
    chunk: list[str] = []
    size_bytes = 0
    for line in lines:
        line_bytes = len(line) if line.isascii() else len(line.encode("utf-8", "backslashreplace"))
        if chunk and size_bytes + line_bytes > ATOMIC_WRITE_BYTES:
            yield "".join(chunk), len(chunk)
            chunk, size_bytes = [], 0
        chunk.append(line)
        size_bytes += line_bytes
    if chunk:
        yield "".join(chunk), len(chunk)
