"""The load generator against the real service: what it sends, and that a standstill is in its latencies."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.latency.blocks import measured
from benchmarks.latency.generator import Fallback, Run, template_file
from tests.helpers import native_clients as native
from tests.helpers.live_service import LiveService, closed_time, live_service
from tests.helpers.running_host import REPOSITORY

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("native_built")]


@pytest.fixture(scope="module")
def service() -> Iterator[LiveService]:
    """Of its own: its worker is stopped for a while."""
    with live_service() as found:
        yield found


@pytest.fixture
def templates(tmp_path: Path) -> Iterator[Path]:
    with template_file(tmp_path) as path:
        yield path


def load(service: LiveService, templates: Path, *arguments: str) -> dict[str, Any]:
    command = [native.LOADGEN, "--target", service.target, "--templates", str(templates), "--warm-calls", "5"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_every_kind_of_call_is_sent_and_answered(service: LiveService, templates: Path) -> None:
    parts = "echo@40,buffered@20,journaled@20,committed@10,echo*2,recommend*2,echo_stream@40,adapt@40"
    report = load(service, templates, "--parts", parts, "--rounds", "2", "--block-s", "0.5", "--prefix", "kinds")
    found = measured(report)
    assert list(found) == parts.split(",")
    for name, part in found.items():
        assert set(part.codes) == {"OK"}, name
        assert part.rounds == 2
        assert part.sent == part.counts.sum() > 0, name
    # Every other round is backwards.
    assert [block["part"] for block in report["blocks"]] == [*parts.split(","), *reversed(parts.split(","))]
    # Every order is a new one, and all of them were decided.
    query = "SELECT count(*), count(DISTINCT order_id) FROM strategy_selections WHERE order_id LIKE 'kinds-%%'"
    ((rows, orders),) = service.rows(query)
    assert rows >= orders > 10


def test_fixed_arrivals_come_at_their_rate(service: LiveService, templates: Path) -> None:
    report = load(service, templates, "--parts", "echo@50", "--arrivals", "fixed", "--prefix", "fixed")
    assert report["blocks"][0]["sent"] in {49, 50}


def test_a_standstill_is_in_the_latencies(service: LiveService, templates: Path) -> None:
    """The worker stands still for 1 s of 3 s. A client that waits for its answer before it asks again would have one
    slow call; here all that were to be sent meanwhile are slow."""
    worker = int(json.loads((service.data_dir / "service.json").read_text())["workers"][0])
    begin = threading.Timer(1.0, os.kill, (worker, signal.SIGSTOP))
    end = threading.Timer(2.0, os.kill, (worker, signal.SIGCONT))
    begin.start()
    end.start()
    try:
        report = load(
            service, templates, "--parts", "echo@200", "--block-s", "3", "--arrivals", "fixed", "--deadline-ms", "5000",
            "--prefix", "still",
        )  # fmt: skip
    finally:
        for timer in (begin, end):
            timer.join()
        os.kill(worker, signal.SIGCONT)
    (part,) = measured(report).values()
    assert part.sent >= 590
    assert part.codes == {"OK": part.sent}
    slow = part.counts[:, part.values_ns > 100e6].sum()
    assert slow >= 100, "calls that fell into the standstill"
    assert part.quantile_ms(0.999) > 500


def test_a_service_that_is_away_is_counted_and_not_waited_for(templates: Path) -> None:
    command = [native.LOADGEN, "--target", "127.0.0.1:1", "--templates", str(templates), "--warm-calls", "0"]
    done = subprocess.run(
        [*command, "--parts", "buffered@50", "--block-s", "0.3"], capture_output=True, text=True, timeout=60, check=True
    )
    block = json.loads(done.stdout.splitlines()[-1])["blocks"][0]
    assert block["codes"] == {"UNAVAILABLE": block["sent"]}
    assert block["histogram_ns"] == []


@pytest.mark.parametrize(
    "arguments", [("--parts", "echo"), ("--parts", "adapt*3"), ("--parts", "echo@0"), ("--nonsense", "1"), ()]
)
def test_misuse_is_told(templates: Path, arguments: tuple[str, ...]) -> None:
    printed = native.run((native.LOADGEN, "--templates", str(templates)), *arguments)
    assert printed.code == 2
    assert printed.errors.startswith("ess-loadgen: ")


def test_help_lists_every_option() -> None:
    printed = native.run((native.LOADGEN, "--help"))
    assert printed.code == 0
    assert "--most-in-flight" in printed.text


def example(name: str) -> str:
    """The block of that name in docs/clients.md."""
    text = (REPOSITORY / "docs" / "clients.md").read_text()
    found = re.search(rf"<!-- example: {name} -->\n```\w+\n(.*?)```", text, re.DOTALL)
    assert found is not None, name
    return found.group(1)


def test_the_documents_commands_run(service: LiveService, tmp_path: Path) -> None:
    """As they stand, but for the address, a moment at which no market is about to close, and how long it takes."""
    writer = example("orders")
    assert writer.count('urgency="NORMAL"') == 1
    moment = f"datetime.datetime.fromtimestamp({closed_time()}, datetime.UTC)"
    writer = "import datetime\n" + writer.replace('"NORMAL"', f'"NORMAL", effective_time={moment}')
    path = f"PYTHONPATH={REPOSITORY}:{REPOSITORY / 'generated'}"
    written = native.run(("env", path, "sh", "-c", f"cd {tmp_path} && {sys.executable} -"), given=writer)
    assert written.code == 0, written.errors
    (tmp_path / "build").symlink_to(REPOSITORY / "build")
    for command in example("load").splitlines():
        shortly = re.sub(r"--rounds \d+", "--rounds 2 --block-s 0.3", command.replace(" --block-s 1", ""))
        printed = native.run(("sh", "-c", f"cd {tmp_path} && {shortly} --target {service.target}"))
        assert printed.code == 0, printed
        blocks = printed.objects[-1]["blocks"]
        assert len(blocks) == 2 * (command.count("@") + command.count("*"))
        codes = [(block["part"], block["codes"]) for block in blocks]
        assert all(found.get("OK", 0) > 0 and "ALREADY_EXISTS" not in found for _, found in codes), codes


def test_the_python_generator_gives_the_same_kind_of_report(service: LiveService, templates: Path) -> None:
    parts = ("echo@40", "buffered@20", "journaled*2")
    found = measured(Fallback(templates).run(service.target, Run(parts, 2, 0.5, warm_calls=5)))
    assert set(found) == set(parts)
    for part in found.values():
        assert set(part.codes) == {"OK"}
        assert part.sent == part.counts.sum() > 0
