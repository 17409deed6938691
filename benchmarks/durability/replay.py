"""Decisions of two lives of a service, the second with other surfaces and models, rebuilt from their records: the same
bytes as were answered, all of them."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from execution_strategy.v1 import enums_pb2, replay_pb2

from benchmarks.durability.common import SEED, Figures, Section, at_least, database_server, say
from tests.fault.killing.host import KillableHost, url_of
from tests.fault.killing.load import without_class
from tests.helpers.live_service import Gateway, bars, market_update, order, seed_reference
from tests.helpers.replay_world import Artifacts, artifacts_in

FULL_DECISIONS, SHORT_DECISIONS = 5_200, 120
CLIENTS = 3
OBJECTIVES = ("MINIMIZE_COST", "MINIMIZE_RISK", "MINIMIZE_TIME", "MAXIMIZE_ALPHA_CAPTURE", "BALANCED_EXECUTION")
URGENCIES = ("LOW", "NORMAL", "HIGH", "URGENT")
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision as it was answered."""

    selection_id: str
    answer: bytes


def decide(target: str, count: int, seed: int) -> list[Decided]:
    """So many decisions of all kinds; what cannot be decided (no price, too large) is asked differently."""
    chance = random.Random(seed)
    found: list[Decided] = []
    instruments = sorted(seed_reference()[0])
    with Gateway(target) as gateway:
        while len(found) < count:
            request = order(
                order_id=f"replay-{seed}-{next(_numbers)}", instrument_id=chance.choice(instruments),
                side=chance.choice(("BUY", "SELL")), quantity=100 * chance.randint(1, 400),
                objective=chance.choice(OBJECTIVES), urgency=chance.choice(URGENCIES),
            )  # fmt: skip
            reply = gateway.recommend(request)
            if reply.code == "OK":
                found.append(Decided(reply.response.selection_id, reply.data))
    return found


def replay(target: str, decided: Sequence[Decided]) -> Counter[str]:
    """How the replays of these ended."""
    outcomes: Counter[str] = Counter()
    with Gateway(target) as gateway:
        for one in decided:
            reply = gateway.call("Replay", replay_pb2.ReplayRequest(selection_id=one.selection_id), 30.0)
            if reply.code != "OK":
                outcomes[f"{reply.code}: {reply.text[:120]}"] += 1
                continue
            found = replay_pb2.ReplayResponse.FromString(reply.data)
            rebuilt = found.replayed.SerializeToString(deterministic=True)
            same = without_class(rebuilt) == without_class(one.answer)
            name = enums_pb2.ReplayVerdict.Name(found.verdict).removeprefix("REPLAY_VERDICT_")
            outcomes[name if same or name != "IDENTICAL" else "said to be identical, and is not"] += 1
    return outcomes


class _Lives:
    """One data folder and database under a service that is started again with other artifacts."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._url = url

    def run(
        self, artifacts: Artifacts, count: int, seed: int, before: Sequence[Decided]
    ) -> tuple[list[Decided], Counter[str]]:
        host = KillableHost(
            self._folder, self._url, ESS_MODELS="on", ESS_SURFACES_DIR=str(artifacts.surfaces),
            ESS_MODELS_DIR=str(artifacts.models), ESS_WORKERS="2",
        )  # fmt: skip
        try:
            host.start()
            with ThreadPoolExecutor(CLIENTS) as clients:
                each = -(-count // CLIENTS)
                parts = list(clients.map(lambda n: decide(host.target, each, seed + n), range(CLIENTS)))
                _move_market(host.target)
                decided = [one for part in parts for one in part]
            # One after the other: a worker makes one replay at a time, and refuses more.
            outcomes = replay(host.target, [*before, *decided])
            host.stop()
        finally:
            host.end()
        return decided, outcomes


def _move_market(target: str) -> None:
    """Figures that later decisions are made from, and earlier ones were not."""
    now_ns = time.time_ns()
    moved = market_update(
        "AIG", now_ns, mid_price=71.0, spread_bps=4.0, daily_volatility=0.03,
        bars=bars(now_ns, [70.0 + 0.1 * n for n in range(40)], 9_000.0, 4.0),
    )  # fmt: skip
    with Gateway(target) as gateway:
        gateway.update_market(moved)


def run(short: bool) -> Figures:
    count = (SHORT_DECISIONS if short else FULL_DECISIONS) // 2
    say(f"replay: twice {count} decisions, a restart and other artifacts between")
    begun_s = time.monotonic()
    with database_server() as (folder, server):
        old, new = artifacts_in(folder / "old"), artifacts_in(folder / "new", cost_scale=1.4)
        lives = _Lives(folder, url_of(server.conninfo))
        first, _ = lives.run(old, count, SEED, ())
        second, outcomes = lives.run(new, count, SEED + 100, first)
    total = len(first) + len(second)
    return {
        "replay_identical": round(outcomes["IDENTICAL"] / total, 6), "replay_decisions": total,
        "across_upgrade": len(first), "outcomes": dict(outcomes), "took_s": round(time.monotonic() - begun_s, 1),
    }  # fmt: skip


def section(short: bool) -> Section:
    targets = {"replay_identical": (lambda value: value == 1.0, "1.0")}
    return Section("replay", run, targets | at_least("replay_decisions", 100 if short else 5_000))
