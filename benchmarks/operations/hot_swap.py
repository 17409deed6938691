"""Models activated while orders come at a fixed rate: no order is refused, and none waits much longer than without.

Rounds of two blocks of the same open loop, one with an activation that begins and ends in it and one without, in turn
and every other round the other way round. Every activation is of an artifact that no worker has seen before, so that
each is loaded, verified, warmed and probed anew. The ratio is of the 99th percentiles of the two blocks of a round; a
block is little longer than an activation takes.
"""

from __future__ import annotations

import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from execution_strategy.v1 import admin_pb2

from benchmarks.latency.generator import Generator, Run, generator, template_file
from tests.helpers.artifacts import other_models
from tests.helpers.live_service import ADMIN, Gateway, live_service

NAME: Final = "hot_swap"
TARGETS: Final = {"hot_swap_errors": 0, "hot_swap_refused": 0, "hot_swap_outside_block": 0}
AT_MOST: Final = {"hot_swap_p99_ratio": 1.5}
ROUNDS, SHORT_ROUNDS = 8, 3
# Calls a second, the first that the machine can: 99 of 100 within LOADED_P99_MS, and none refused.
RATES: Final = (500, 300, 200, 100)
LOADED_P99_MS: Final = 60.0
TRIED_S: Final = 4.0
ACTIVATE_S: Final = 110.0
# A block is so much longer than an activation took that was measured under the same load.
SPARE: Final = 1.5
LEAST_BLOCK_S, MOST_BLOCK_S = 10.0, 40.0
BOOTSTRAPS: Final = 4_000


@dataclass(frozen=True, slots=True)
class Block:
    """What the generator says of one block."""

    p50_ms: float
    p99_ms: float
    max_ms: float
    sent: int
    wrong: dict[str, int]  # answers that are not OK, by code
    not_sent: int  # the generator could not: too much was under way

    @property
    def errors(self) -> int:
        return sum(self.wrong.values()) + self.not_sent


@dataclass(frozen=True, slots=True)
class Activation:
    took_s: float
    code: str


def activate(target: str, sha256: str) -> Activation:
    begun_s = time.monotonic()
    message = admin_pb2.ActivateArtifactRequest(manifest_sha256=sha256, reason="benchmark")
    with Gateway(target) as gateway:
        reply = gateway.call("ActivateArtifact", message, ACTIVATE_S, ADMIN)
    return Activation(time.monotonic() - begun_s, f"{reply.code} {reply.text}".strip())


def block(load: Generator, target: str, rate: int, block_s: float) -> Block:
    report = load.run(target, Run((f"journaled@{rate}",), 1, block_s, channels=4, deadline_ms=5_000, warm_calls=50))
    (found,) = report["blocks"]
    wrong = {code: count for code, count in found["codes"].items() if code != "OK" and count}
    latency = found["latency_us"]
    return Block(
        latency["p50"] / 1e3, latency["p99"] / 1e3, latency["max"] / 1e3, found["sent"], wrong, found["not_sent"]
    )


def swapped(load: Generator, target: str, rate: int, block_s: float, sha256: str) -> tuple[Block, Activation]:
    """A block with an activation in it. The generator needs a moment to connect and warm."""
    found: list[Activation] = []
    begin = threading.Timer(0.5, lambda: found.append(activate(target, sha256)))
    begin.start()
    measured = block(load, target, rate, block_s)
    begin.join(ACTIVATE_S)
    return measured, found[0]


def rate_of(load: Generator, target: str) -> int:
    """The rate that this machine can at this moment."""
    for rate in RATES[:-1]:
        tried = block(load, target, rate, TRIED_S)
        if tried.errors == 0 and tried.p99_ms <= LOADED_P99_MS:
            return rate
    return RATES[-1]


def interval(ratios: list[float], seed: int) -> list[float]:
    """95 % of the median, resampling rounds."""
    rng = np.random.default_rng(seed)
    drawn = np.median(rng.choice(ratios, (BOOTSTRAPS, len(ratios))), axis=1)
    return [round(float(value), 3) for value in np.quantile(drawn, (0.025, 0.975))]


def measure(short: bool, seed: int) -> dict[str, Any]:
    rounds = SHORT_ROUNDS if short else ROUNDS
    with tempfile.TemporaryDirectory(prefix="ess-swap-") as name, template_file(Path(name)) as templates:
        shelf, load = Path(name) / "shelf", generator(templates)
        hashes = [other_models(shelf, f"models-{number}") for number in range(rounds + 1)]
        with live_service(ESS_WORKERS="2", ESS_ECHO="true", ESS_ARTIFACTS_DIR=str(shelf)) as service:
            rate = rate_of(load, service.target)
            # The first is not counted: it says how long a block has to be.
            _, first = swapped(load, service.target, rate, 2 * LEAST_BLOCK_S, hashes[0])
            block_s = min(MOST_BLOCK_S, max(LEAST_BLOCK_S, SPARE * first.took_s + 1.0))
            pairs: list[tuple[Block, Block]] = []
            activations: list[Activation] = []
            for number in range(rounds):
                steady = block(load, service.target, rate, block_s) if number % 2 else None
                swap, done = swapped(load, service.target, rate, block_s, hashes[number + 1])
                pairs.append((steady or block(load, service.target, rate, block_s), swap))
                activations.append(done)
    ratios = [swap.p99_ms / steady.p99_ms for steady, swap in pairs]
    return {
        "hot_swap_errors": sum(swap.errors for _, swap in pairs),
        "hot_swap_p99_ratio": round(float(np.median(ratios)), 3), "hot_swap_p99_ratio_interval": interval(ratios, seed),
        "hot_swap_refused": sum(one.code != "OK" for one in activations),
        "hot_swap_outside_block": sum(one.took_s + 0.5 > block_s for one in activations),
        "rate_per_s": rate, "rounds": rounds, "block_s": round(block_s, 1), "generator": load.name,
        "calls_in_swaps": sum(swap.sent for _, swap in pairs), "errors_steady": sum(one.errors for one, _ in pairs),
        "activation_s": [round(one.took_s, 2) for one in activations],
        "steady_p99_ms": [round(one.p99_ms, 2) for one, _ in pairs],
        "swap_p99_ms": [round(one.p99_ms, 2) for _, one in pairs],
        "steady_p50_ms": round(float(np.median([one.p50_ms for one, _ in pairs])), 3),
        "swap_p50_ms": round(float(np.median([one.p50_ms for _, one in pairs])), 3),
        "steady_max_ms": round(max(one.max_ms for one, _ in pairs), 1),
        "swap_max_ms": round(max(one.max_ms for _, one in pairs), 1),
        "ratios": [round(one, 3) for one in ratios],
        "codes": sorted({one.code for one in activations}),
        "wrong": [one.wrong for _, one in pairs], "not_sent": sum(one.not_sent for _, one in pairs),
    }  # fmt: skip
