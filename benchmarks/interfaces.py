"""What people and programs get beside single calls: REST's extra time, baskets, the console in Chromium, schemathesis.

    python -m benchmarks.interfaces [--short] [--only SECTION ...]

One service for all sections; each adds its figures. The console's are of a real Chromium (Debian's package `chromium`):
first paint without cache, and from a change in what-if to the picture redrawn, the debounce included. Medians. The last
line is one JSON object, also written to build/bench/interfaces.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
from rich.console import Console
from rich.table import Table

from benchmarks import basket, rest
from service.data_dir import SERVICE_FILE
from service.demo import closed_time, start_service, stop_service, wait_until_ready
from service.mapping.contract_json import from_object
from service.mapping.contract_messages import RECOMMEND
from tests.helpers.browser import Page, browser, find_browser
from tests.helpers.schema_trial import try_schema

OUT: Final = Path("build/bench/interfaces.json")
LISTED_ORDERS: Final = 100
LOADS, SHORT_LOADS = 25, 7
CHANGES, SHORT_CHANGES = 60, 15
# As in tests/e2e/test_rest.py; the longer trial takes more examples.
EXAMPLES, SHORT_EXAMPLES = 40, 10
TRIAL_S, SHORT_TRIAL_S = 180.0, 30.0


@dataclass(frozen=True, slots=True)
class Setting:
    """The service that is measured, and how long."""

    grpc_address: str
    http_address: str
    worker: int  # its process
    short: bool


def measure_rest(setting: Setting) -> dict[str, Any]:
    calls = rest.SHORT_CALLS if setting.short else rest.CALLS
    found = rest.summarise(rest.measure(rest.Callers(setting.grpc_address, setting.http_address), calls))
    names = ("grpc_p50_ms", "rest_p50_ms", "rest_extra_p50_ms", "rest_extra_p50_interval_ms")
    return {"rest_calls": found["calls"]} | {name: found[name] for name in names}


def measure_basket(setting: Setting) -> dict[str, Any]:
    return basket.measure(setting.grpc_address, setting.worker, setting.short)


def measure_console(setting: Setting) -> dict[str, Any]:
    program = find_browser()
    if program is None:
        return {"console_first_paint_ms": None, "what_if_ms": None, "console_note": "no Chromium on this machine"}
    fill_list(setting)
    loads, changes = (SHORT_LOADS, SHORT_CHANGES) if setting.short else (LOADS, CHANGES)
    with browser(program) as found:
        page = found.page()
        page.size(1440, 900)
        page.send("Network.setCacheDisabled", cacheDisabled=True)
        paints = [load(page, setting) for _ in range(loads)]
        moved = what_if(page, setting, changes)
    return {
        "console_first_paint_ms": middle([first for first, _ in paints]),
        "console_orders_shown_ms": middle([shown for _, shown in paints]),
        "console_loads": loads, "console_orders": LISTED_ORDERS,
        "what_if_ms": middle(moved), "what_if_p90_ms": round(sorted(moved)[int(0.9 * (len(moved) - 1))], 1),
        "what_if_changes": len(moved),
    }  # fmt: skip


def middle(values: list[float]) -> float:
    return round(statistics.median(values), 1)


def fill_list(setting: Setting) -> None:
    """Orders for the list to show."""
    with grpc.insecure_channel(setting.grpc_address) as channel:
        recommend: Any = channel.unary_unary(RECOMMEND.path)
        for number in range(LISTED_ORDERS):
            message = RECOMMEND.request()
            faults = from_object({
                "order_id": f"console-{number:04d}", "instrument_id": "AIG", "side": "BUY", "quantity": 40_000,
                "objective": "BALANCED_EXECUTION", "urgency": "NORMAL", "effective_time": closed_time(time.time()),
                "market_context": {"time_of_day": "MORNING"},
            }, message)  # fmt: skip
            if faults:
                raise ValueError(faults)
            recommend(message.SerializeToString(), timeout=10.0)


def load(page: Page, setting: Setting) -> tuple[float, float]:
    """Milliseconds from the start of the navigation: (first paint, orders in the list)."""
    page.send("Page.navigate", url="about:blank")
    page.open(f"http://{setting.http_address}/")
    shown = page.until("document.querySelectorAll('table.orders tbody tr').length > 0 && performance.now()")
    first = page.until("performance.getEntriesByName('first-paint')[0]?.startTime")
    return float(first), float(shown)


def what_if(page: Page, setting: Setting, changes: int) -> list[float]:
    """Milliseconds from each change of the size to the answer redrawn, one after the other."""
    page.open("about:blank")
    page.open(f"http://{setting.http_address}/#/what-if")
    page.until("document.querySelector('#answer .tiles') && !document.querySelector('.busy')")
    for number in range(changes):
        page.run(
            "(() => { const one = document.getElementById('quantity-box');"
            f" one.value = {10_000 + 1_000 * number}; one.dispatchEvent(new Event('input', {{ bubbles: true }})); }})()"
        )
        page.until(f"performance.getEntriesByName('what-if').length > {number}")
    found = page.run("performance.getEntriesByName('what-if').map(one => one.duration)")
    return [float(value) for value in found]


def measure_schema(setting: Setting) -> dict[str, Any]:
    examples, most_s = (SHORT_EXAMPLES, SHORT_TRIAL_S) if setting.short else (EXAMPLES, TRIAL_S)
    trial = try_schema(f"http://{setting.http_address}", max_examples=examples, most_s=most_s)
    for failure in trial.failures:
        print(failure, file=sys.stderr)
    return {
        "schemathesis_cases": trial.cases, "schemathesis_failures": len(trial.failures),
        "schemathesis_statuses": {str(status): count for status, count in sorted(trial.statuses.items())},
    }  # fmt: skip


# A new interface is a new line here. The order is that of running.
SECTIONS: Final[Mapping[str, Callable[[Setting], dict[str, Any]]]] = {
    "rest": measure_rest, "basket": measure_basket, "console": measure_console, "schemathesis": measure_schema,
}  # fmt: skip


def faults_of(found: Mapping[str, Any]) -> list[str]:
    """What misses its target."""
    faults = []
    if found.get("rest_extra_p50_ms", 0.0) > rest.TARGET_EXTRA_MS:
        faults.append(f"REST costs {found['rest_extra_p50_ms']} ms more than gRPC, target {rest.TARGET_EXTRA_MS}")
    least = found.get("batch_speedup_interval", [basket.TARGET_SPEEDUP])[0]
    if least < basket.TARGET_SPEEDUP:
        speedup = found["batch_speedup"]
        words = f"a basket is {speedup} (at least {least}) times as fast as its orders"
        faults.append(f"{words}, target {basket.TARGET_SPEEDUP}")
    if found.get("schemathesis_failures", 0):
        faults.append(f"schemathesis found {found['schemathesis_failures']} failures")
    return faults


def show(found: Mapping[str, Any]) -> None:
    table = Table("figure", "value", title="interfaces, one worker")
    for name, value in found.items():
        table.add_row(name, str(value))
    Console().print(table)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="fewer of everything")
    parser.add_argument("--only", nargs="+", choices=tuple(SECTIONS), default=tuple(SECTIONS), help="some sections")
    given = parser.parse_args(arguments)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="ess-bench-") as name:
        folder = Path(name)
        process = start_service(folder)
        try:
            grpc_address = wait_until_ready(process, folder)
            about = json.loads((folder / "var" / SERVICE_FILE).read_text())
            setting = Setting(grpc_address, about["http_address"], int(about["workers"][0]), given.short)
            for section in given.only:
                found |= SECTIONS[section](setting)
        finally:
            code = stop_service(process)
    found["service_exit_code"] = code
    show(found)
    faults = faults_of(found)
    for fault in faults:
        print(fault, file=sys.stderr)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found))
    return 0 if code == 0 and not faults else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
