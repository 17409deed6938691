"""What a load generator reports, and ratios of it: blocks of several parts, run in turn, resampled round by round.

A part is `KIND@RATE` (open loop) or `KIND*N` (closed); see `clients/cpp/loadgen/options.cc`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BOOTSTRAPS = 2_000
SEED = 20261125
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measured:
    """One part's blocks. `values_ns` (values,) ascending and `counts` (rounds, values): latencies of calls that ended
    well. `ok_per_s` (rounds,): those that ended within their block. `codes`: of all rounds."""

    values_ns: Floats
    counts: Floats
    ok_per_s: Floats
    codes: dict[str, int]
    sent: int
    not_sent: int
    latest_send_us: float

    @property
    def rounds(self) -> int:
        return len(self.ok_per_s)

    def quantile_ms(self, share: float) -> float:
        return quantile(self.values_ns, self.counts.sum(axis=0), share) / 1e6

    def figures(self) -> dict[str, Any]:
        """For the report."""
        found: dict[str, Any] = {f"p{name}_ms": round(self.quantile_ms(share), 4)
                                 for name, share in (("50", 0.5), ("90", 0.9), ("99", 0.99))}  # fmt: skip
        return found | {
            "ok_per_s": round(float(self.ok_per_s.mean()), 1), "sent": self.sent, "not_sent": self.not_sent,
            "codes": self.codes, "latest_send_us": round(self.latest_send_us, 1),
        }  # fmt: skip


def measured(report: Mapping[str, Any]) -> dict[str, Measured]:
    """By part, from the generator's JSON."""
    by_part: dict[str, list[dict[str, Any]]] = {}
    for block in report["blocks"]:
        by_part.setdefault(block["part"], []).append(block)
    return {part: _join(blocks) for part, blocks in by_part.items()}


def _join(blocks: list[dict[str, Any]]) -> Measured:
    values = sorted({value for block in blocks for value, _ in block["histogram_ns"]})
    place = {value: index for index, value in enumerate(values)}
    counts = np.zeros((len(blocks), len(values)))
    codes: dict[str, int] = {}
    for row, block in enumerate(blocks):
        for value, count in block["histogram_ns"]:
            counts[row, place[value]] = count
        for code, count in block["codes"].items():
            codes[code] = codes.get(code, 0) + count
    return Measured(
        np.array(values, dtype=np.float64), counts, np.array([block["ok_per_s"] for block in blocks]), codes,
        sum(block["sent"] for block in blocks), sum(block["not_sent"] for block in blocks),
        max(block["latest_send_us"] for block in blocks),
    )  # fmt: skip


def quantile(values: Floats, counts: Floats, share: float) -> float:
    """Of values that occur so often; not a number where none does."""
    if not len(values) or counts.sum() <= 0:
        return float("nan")
    below = np.cumsum(counts)
    return float(values[min(int(np.searchsorted(below, share * below[-1])), len(values) - 1)])


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio with its 95 % interval, bootstrapped over rounds."""

    value: float
    lower: float
    upper: float

    def named(self, name: str) -> dict[str, Any]:
        return {name: round(self.value, 3), f"{name}_interval": [round(self.lower, 3), round(self.upper, 3)]}


def _bootstrapped(rounds: int, ratio: Callable[[Floats], float]) -> Ratio:
    """`ratio` takes how often each round counts."""
    random = np.random.default_rng(SEED)
    weights = random.multinomial(rounds, np.full(rounds, 1 / rounds), BOOTSTRAPS).astype(np.float64)
    drawn = np.array([ratio(row) for row in weights])
    lower, upper = np.nanquantile(drawn, (0.025, 0.975))
    return Ratio(ratio(np.ones(rounds)), float(lower), float(upper))


def quantile_ratio(above: Measured, below: Measured, share: float) -> Ratio:
    """Of a quantile of the latency."""

    def ratio(weights: Floats) -> float:
        return quantile(above.values_ns, weights @ above.counts, share) / quantile(
            below.values_ns, weights @ below.counts, share
        )

    return _bootstrapped(min(above.rounds, below.rounds), ratio)


def mean_ratio(above: Floats, below: Floats) -> Ratio:
    """Of what rounds came to, one figure a round."""
    return _bootstrapped(len(above), lambda weights: float(weights @ above / (weights @ below)))


def rate_ratio(above: Measured, below: Measured) -> Ratio:
    """Of calls a second."""
    return _bootstrapped(
        min(above.rounds, below.rounds), lambda weights: float(weights @ above.ok_per_s / (weights @ below.ok_per_s))
    )
