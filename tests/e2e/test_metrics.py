"""`/metrics` of a host with two workers: every process, every metric that alerts and panels ask for."""

from __future__ import annotations

import shutil
import subprocess
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.helpers.deployed import named_metrics
from tests.helpers.live_service import Gateway, LiveService, live_service, new_order_id, order
from tests.helpers.running_host import eventually

CALLS = 40
# Told only where a broker is configured.
ELSEWHERE = {"ess_relay_lag_seconds"}


@pytest.fixture(scope="module")
def own() -> Iterator[LiveService]:
    with live_service(ESS_WORKERS="2", ESS_HTTP_ADDRESS="127.0.0.1:0") as service:
        yield service


def scraped(service: LiveService) -> str:
    with urllib.request.urlopen(f"http://{service.about['http_address']}/metrics", timeout=10.0) as answer:
        assert answer.headers["content-type"].startswith("text/plain")
        return str(answer.read().decode())


def samples(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    return found


def recommends(service: LiveService) -> float:
    counted = samples(scraped(service)).get("ess_calls_total", [])
    return sum(value for labels, value in counted if (labels["method"], labels["code"]) == ("Recommend", "OK"))


def journaled(service: LiveService) -> float:
    return sum(value for _, value in samples(scraped(service)).get("ess_journal_entries_total", []))


def test_calls_of_all_workers_and_the_keepers_figures_are_told(own: LiveService) -> None:
    for _ in range(8):
        with Gateway(own.target) as gateway:
            for _ in range(CALLS // 8):
                assert gateway.recommend(order(order_id=new_order_id("metrics"))).code == "OK"
            assert gateway.call("Recommend", b"\xff").code == "INVALID_ARGUMENT"
    eventually(lambda: recommends(own) == CALLS, within_s=10.0, what="every call counted")
    found = samples(scraped(own))
    processes = {labels["process"] for labels, _ in found["ess_process_silent_seconds"]}
    assert processes == {"keeper", "worker-0", "worker-1"}
    refused = [value for labels, value in found["ess_calls_total"] if labels["code"] == "INVALID_ARGUMENT"]
    assert sum(refused) == 8
    assert sum(value for _, value in found["ess_decisions_total"]) == CALLS
    assert sum(value for _, value in found["ess_decision_confidence_count"]) == CALLS
    buckets = [(labels, value) for labels, value in found["ess_call_duration_seconds_bucket"]
               if labels["method"] == "Recommend" and labels["le"] == "+Inf"]  # fmt: skip
    assert sum(value for _, value in buckets) == CALLS + 8
    stages = {labels["stage"] for labels, _ in found["ess_stage_duration_seconds_count"]}
    assert {"parse", "map", "decide", "respond", "submit"} <= stages
    # The keeper tells its own figures, at its own second.
    eventually(lambda: journaled(own) >= CALLS, within_s=10.0, what="every entry told")


def test_what_alerts_and_panels_ask_for_is_there(own: LiveService) -> None:
    with Gateway(own.target) as gateway:
        assert gateway.recommend(order(order_id=new_order_id("metrics"))).code == "OK"
    wanted = named_metrics() - ELSEWHERE
    eventually(lambda: wanted <= set(samples(scraped(own))), within_s=10.0, what=f"{sorted(wanted)}")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool (Debian: prometheus)")
def test_promtool_finds_no_fault_in_it(own: LiveService) -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=scraped(own), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
