"""How long a decision takes, against an Echo of the same sizes on the same server in the same run.

    python -m benchmarks.latency [--short] [--record] [--growth]

Open loop: calls are sent at moments drawn beforehand, whatever the answers do, and a latency counts from that moment.
Blocks of Echo and Recommend alternate, so that the machine's noise hits all alike; intervals are bootstrapped over
rounds. PostgreSQL and telemetry are on, the learned models decide, every order is new. The load comes from
`build/native/ess-loadgen` (`make native`); where it is not built, from Python, and `generator` says so.

The last line printed is one JSON object, also written to build/bench/latency.json: figures, `missed` targets, and
`over_budget`: gated ratios whose interval lies wholly beyond benchmarks/latency_budget.json. Exit code 2 where one
does or a section failed, 1 where a target is missed, else 0. `--record` appends the ratios to
benchmarks/history/latency.jsonl; `--growth` measures how latency grows instead and writes docs/performance.md's table.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.latency import growth, history, measures
from benchmarks.latency.generator import Generator, generator, orders, template_file
from benchmarks.latency.host import Host
from benchmarks.latency.second_opinion import second_opinion
from benchmarks.latency.targets import missed, over_budget, read_budget

OUT = Path("build/bench/latency.json")
Figures = dict[str, Any]


def say(text: str) -> None:
    """Progress goes to standard error: the last line of standard output is the result."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def section(found: Figures, name: str, measure: Callable[[], Figures]) -> None:
    """One that fails does not end the others."""
    begun_s = time.monotonic()
    try:
        found |= measure()
        say(f"{name}: {time.monotonic() - begun_s:.0f} s")
    except Exception as error:
        traceback.print_exc()
        found["failed"] = [*found.get("failed", []), f"{name}: {error!r}"]


def measure_host(folder: Path, load: Generator, order: bytes, short: bool) -> Figures:
    """Everything that needs one worker, then two, then a restart."""
    lengths = measures.SHORT if short else measures.FULL
    found: Figures = {"workers": 1, "generator": load.name}
    host = Host(folder / "one", ESS_ACKNOWLEDGEMENT="BUFFERED")
    try:
        found["first_start_s"] = round(host.first_decision_s(order), 2)
        section(found, "cpu", lambda: measures.cpu(host, load, lengths.cpu))
        section(found, "alone", lambda: measures.alone(host, load, lengths.alone))
        section(found, "sustained", lambda: measures.open_loop(
            host, load, lengths.sustained, measures.SUSTAINED_RATE, "sustained_"))
        section(found, "saturation", lambda: measures.saturation(host, load, lengths.saturation))
        section(found, "adapt", lambda: measures.adapt(host, load, lengths.adapt))
        section(found, "open loop", lambda: measures.open_loop(
            host, load, lengths.open_loop, measures.TARGET_RATE, ""))
        section(found, "overload", lambda: measures.overload(host, load, lengths.overload, found["saturated_per_s"]))
        section(found, "two workers", lambda: measures.two_workers(host, folder / "two", load, lengths.workers))
        with template_file(folder, dry_run=True) as dry:
            section(found, "second opinion", lambda: second_opinion(
                host, generator(dry), order, folder, 1 if short else 3, 2 if short else 4))
        found["rss_mb"] = round(max(host.rss_mb()), 1)
        found["private_mb"] = round(max(host.private_mb()), 1)
    finally:
        found["service_exit_code"] = host.stop()
    section(found, "cold start", lambda: measures.cold_start(folder / "one", order, load))
    return found


def show(found: Figures) -> None:
    rate = found.get("rate_per_s", measures.TARGET_RATE)
    title = f"one worker, open loop ({found['generator']})"
    table = Table("", "p50 ms", "p99 ms", "p50 / Echo", "p99 / Echo", title=title)
    for prefix, said in (("sustained_", f"{measures.SUSTAINED_RATE}/s"), ("", f"{rate}/s")):
        for named, kind in (("", "BUFFERED"), ("journaled_", "JOURNALED")):
            cells = [found.get(f"{prefix}{named}{name}") for name in ("p50_ms", "p99_ms", "p50_ratio", "p99_ratio")]
            table.add_row(f"{kind}, {said}", *("-" if cell is None else f"{cell:.2f}" for cell in cells))
    Console().print(table)
    for line in [*found["missed"], *found["over_budget"], *found.get("failed", [])]:
        print(f"MISSED {line}")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a minute or two: that it runs, and the budget")
    parser.add_argument("--record", action="store_true", help="append the ratios to the history")
    parser.add_argument("--growth", action="store_true", help="candidates, venues, open orders, rows; writes docs/")
    given = parser.parse_args(arguments)
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ess-bench-") as name, template_file(Path(name)) as templates:
        folder, load, order = Path(name), generator(templates), next(orders(1)).SerializeToString()
        if given.growth:
            found = growth.measure(folder, load, order, given.short)
            print(json.dumps(found))
            return 0
        found = measure_host(folder, load, order, given.short)
    found |= {
        "short": given.short, "took_s": round(time.monotonic() - begun_s, 1), "missed": missed(found),
        "over_budget": over_budget(found, read_budget()),
    }  # fmt: skip
    show(found)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(found, indent=2) + "\n")
    if given.record:
        history.record(found)
    print(json.dumps(found))
    if found["over_budget"] or found.get("failed") or found["service_exit_code"] != 0:
        return 2
    return 1 if found["missed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
