"""Every order at once through two connections to two workers, with a rival that wants something else, and again later:
one order has one decision, for one request, with the same bytes."""

from __future__ import annotations

import threading

import psycopg

from benchmarks.durability.common import SEED, Figures, Section, at_least, database_server, say, zero
from tests.fault.killing.checks import check_claims, check_database, check_rows, wait_drained
from tests.fault.killing.host import killable_host, url_of
from tests.fault.killing.load import LoadPlan, load

FULL_S, SHORT_S = 40.0, 6.0
CLIENTS = 4


def run(short: bool) -> Figures:
    say("claims: two workers, concurrent retries and rivals")
    plan = LoadPlan(weights=(0.8, 0.2, 0.0), pause_s=0.002, retry=0.3, twins=0.7)
    with (
        database_server() as (folder, server),
        killable_host(folder, url_of(server.conninfo), ESS_WORKERS="2") as host,
    ):
        with load(host.target, CLIENTS, SEED, plan) as running:
            threading.Event().wait(SHORT_S if short else FULL_S)
        sent = [one for client in running.by_client for one in client]
        is_drained = wait_drained(server.conninfo, sent, 30.0)
        found = check_claims(sent)
        with psycopg.connect(server.conninfo, autocommit=True) as connection:
            found.add(check_rows(connection, running.by_client))
            found.add(check_database(connection))
    outcomes = running.outcomes
    return {
        "order_claims_broken": found.claims_broken + found.changed + found.duplicates,
        "orders": len(sent), "calls": sum(outcomes.codes.values()), "answered": running.answered,
        "failed": outcomes.failed(), "is_drained": is_drained, "findings": found.counts, "examples": found.examples,
    }  # fmt: skip


def section(short: bool) -> Section:
    return Section("claims", run, zero("order_claims_broken", "failed") | at_least("orders", 100 if short else 3_000))
