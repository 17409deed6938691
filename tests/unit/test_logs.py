"""Logs: nothing blocks, nothing secret is written, and what was dropped is said."""

from __future__ import annotations

import io
import json
import logging
import multiprocessing
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import pytest
import structlog

from service.logs import LogPipeline, configure_logging
from service.settings import Settings


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, raises = list(root.handlers), root.level, logging.raiseExceptions
    yield
    root.handlers, logging.raiseExceptions = handlers, raises
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


class BlockedStream(io.StringIO):
    """A terminal that was stopped: writes wait for `go`."""

    def __init__(self) -> None:
        super().__init__()
        self.writing, self.go = threading.Event(), threading.Event()

    def write(self, text: str) -> int:
        self.writing.set()
        self.go.wait(10)
        return super().write(text)


class BrokenStream(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def configured(stream: TextIO, **settings: Any) -> tuple[LogPipeline, Any]:
    pipeline = configure_logging(Settings(**settings), process="test", stream=stream)
    return pipeline, structlog.get_logger("tests")


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_has_its_fields_in_order() -> None:
    stream = io.StringIO()
    pipeline, log = configured(stream)
    structlog.contextvars.bind_contextvars(order_id="o-1")
    log.info("decided", cost_bps=1.5, worst=float("nan"), path=Path("/x"))
    log.debug("not logged")
    pipeline.close()
    (line,) = lines(stream)
    assert list(line)[:3] == ["timestamp", "level", "process"]
    assert line["timestamp"].endswith("Z")
    assert line | {"timestamp": ""} == {
        "timestamp": "",
        "level": "info",
        "process": "test",
        "order_id": "o-1",
        "event": "decided",
        "cost_bps": 1.5,
        "worst": None,
        "path": "PosixPath('/x')",
    }


def test_secrets_are_masked_wherever_they_stand() -> None:
    stream = io.StringIO()
    pipeline, log = configured(stream)
    url = "postgresql://user:hunter2@db/ess"
    log.info(
        f"connecting to {url}",
        database_url=url,
        settings={"password": "hunter2", "deep": [{"api_key": "hunter2"}]},
    )
    log.info("call", headers={"Authorization": "Bearer hunter2hunter2"}, text="Bearer hunter2hunter2")
    log.info("failed", error=ValueError("bad conninfo: host=db password=hunter2"))
    try:
        raise RuntimeError(f"no answer from {url}")
    except RuntimeError:
        log.exception("no database")
    logging.getLogger("psycopg").warning("connecting to %s", url)
    pipeline.close()
    text = stream.getvalue()
    assert len(text.splitlines()) == 5
    assert "hunter2" not in text
    assert "postgresql://user:***@db/ess" in text
    assert "RuntimeError" in text


def test_the_standard_library_and_warnings_end_in_the_same_pipeline() -> None:
    stream = io.StringIO()
    pipeline, _ = configured(stream)
    logging.getLogger("grpc").warning("channel %s is gone", 7)
    logging.getLogger("grpc").warning("badly %d formatted", "x")
    logging.getLogger("uvicorn.error").info("too quiet to be logged")
    pipeline.close()
    first, second = lines(stream)
    assert (first["event"], first["level"], first["logger"]) == ("channel 7 is gone", "warning", "grpc")
    assert "badly formatted" in second["event"]


def test_a_blocked_stream_drops_lines_without_blocking_and_says_so() -> None:
    stream = BlockedStream()
    pipeline, log = configured(stream, log_queue_lines=100)
    log.info("first")
    assert stream.writing.wait(5)
    for number in range(150):
        log.info("more", number=number)
    dropped = pipeline.dropped_lines
    assert dropped == 50
    stream.go.set()
    pipeline.close()
    told = [line["dropped_lines"] for line in lines(stream) if line["event"] == "log lines dropped"]
    assert sum(told) == dropped
    assert [line["number"] for line in lines(stream) if line["event"] == "more"] == list(range(100))


def test_closing_is_bounded_while_the_stream_is_blocked() -> None:
    stream = BlockedStream()
    pipeline, log = configured(stream)
    log.info("stuck")
    assert stream.writing.wait(5)
    pipeline.close(timeout_s=0.05)
    stream.go.set()
    assert pipeline.flush()


def test_a_stream_that_fails_is_counted_and_survived() -> None:
    pipeline, log = configured(BrokenStream())
    log.info("lost")
    assert pipeline.flush()
    log.info("lost too")
    assert pipeline.flush()
    assert pipeline.dropped_lines >= 2


def test_lines_after_closing_are_written_at_once() -> None:
    stream = io.StringIO()
    pipeline, log = configured(stream)
    log.info("before")
    pipeline.close()
    log.info("after")
    assert [line["event"] for line in lines(stream)] == ["before", "after"]


def test_values_that_cannot_be_encoded_do_not_end_the_listener() -> None:
    class Hostile:
        def __repr__(self) -> str:
            raise RuntimeError("no repr")

    stream = io.StringIO()
    pipeline, log = configured(stream)
    log.info("hostile", value=Hostile())
    log.info("odd", key={(1, 2): 10**40}, text="\ud800")
    log.info("fine")
    pipeline.close()
    assert [line["event"] for line in lines(stream)] == ["a log line could not be written", "odd", "fine"]


def test_the_console_format_is_for_people() -> None:
    stream = io.StringIO()
    pipeline, log = configured(stream, log_format="console")
    log.warning("look here", cost_bps=2)
    pipeline.close()
    assert "look here" in stream.getvalue()
    assert "cost_bps=2" in stream.getvalue()


def _log_in_child(path: str) -> None:
    with Path(path).open("w") as stream:
        pipeline = configure_logging(Settings(), process="child", stream=stream)
        structlog.get_logger().info("from a spawned child")
        logging.getLogger("grpc").error("library in the child")
        pipeline.close()


def test_it_works_in_a_spawned_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Under pytest this module's name is known to the child only if it can import it.
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2]))
    monkeypatch.setitem(sys.modules, "tests.unit.test_logs", sys.modules[__name__])
    path = tmp_path / "child.log"
    child = multiprocessing.get_context("spawn").Process(target=_log_in_child, args=(str(path),))
    child.start()
    child.join(20)
    assert child.exitcode == 0
    events = [json.loads(line)["event"] for line in path.read_text().splitlines()]
    assert events == ["from a spawned child", "library in the child"]
