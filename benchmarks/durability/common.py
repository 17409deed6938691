"""What the sections share: a database that outlives the service, quantiles with intervals, a line of progress."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tests.fault.killing.server import ServerProcess

SEED = 20261129
BOOTSTRAPS = 1_000

Figures: TypeAlias = dict[str, Any]
Blocks: TypeAlias = Sequence[NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the benchmark: what it measures, and which figures must be what for it to pass."""

    name: str
    run: Callable[[bool], Figures]
    # By figure: whether its value is as it must be, and that in words.
    targets: dict[str, tuple[Callable[[Any], bool], str]]


def zero(*names: str) -> dict[str, tuple[Callable[[Any], bool], str]]:
    return {name: (lambda value: value == 0, "0") for name in names}


def at_least(name: str, bound: float) -> dict[str, tuple[Callable[[Any], bool], str]]:
    return {name: (lambda value: value is not None and value >= bound, f">= {bound:g}")}


def at_most(name: str, bound: float) -> dict[str, tuple[Callable[[Any], bool], str]]:
    return {name: (lambda value: value is not None and value <= bound, f"<= {bound:g}")}


def say(text: str) -> None:
    """Progress goes to standard error: the last line of standard output is the result."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder with a path short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="ess-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def database_server() -> Iterator[tuple[Path, ServerProcess]]:
    """A folder, and a PostgreSQL in it that no part of the service owns."""
    with scratch() as folder:
        server = ServerProcess(folder / "database")
        try:
            server.start()
            yield folder, server
        finally:
            server.close()


def quantile_of(blocks: Blocks, quantile: float) -> float:
    return float(np.quantile(np.concatenate(list(blocks)), quantile))


def quantile_ratio(above: Blocks, below: Blocks, quantile: float) -> tuple[float, list[float]]:
    """Of two sets of blocks, and the 95 % interval by drawing blocks anew (a machine's noise comes in blocks)."""
    random = np.random.default_rng(SEED)

    def drawn(blocks: Blocks) -> float:
        return quantile_of([blocks[int(n)] for n in random.integers(0, len(blocks), len(blocks))], quantile)

    ratios = [drawn(above) / drawn(below) for _ in range(BOOTSTRAPS)]
    lower, upper = np.quantile(ratios, (0.025, 0.975))
    return quantile_of(above, quantile) / quantile_of(below, quantile), [round(float(lower), 3), round(float(upper), 3)]
