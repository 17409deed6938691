"""Small sets of labels for tests of training, made once a process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import distributed

from training.contexts import Purpose
from training.labelling import EVERYTHING, LabelSpec, Selection, shipped_surfaces
from training.labels import Labels, label_chunk, labels_of
from training.workers import Item, Result, Serial


def spec_of(count: int, *, first: int = 0, pairs: int = 8, seed: int = 0,
            selection: Selection | None = None) -> LabelSpec:
    """A chunk of training orders on few paths."""
    return LabelSpec(
        Purpose.TRAIN, first, count, pairs=pairs, draws=4, selection=selection or Selection(), seed=seed,
        surfaces_sha256=shipped_surfaces()[1],
    )


@cache
def small_labels() -> Labels:
    """Sixty orders: twice every condition under every objective."""
    return labels_of([label_chunk(spec_of(60, pairs=32, selection=EVERYTHING))])


class Counted:
    """This process, counting what it is given."""

    def __init__(self) -> None:
        self.given = 0

    @property
    def count(self) -> int:
        return 1

    def run(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[tuple[int, Result]]:
        self.given += len(items)
        return Serial().run(function, items)


def two_workers() -> Any:
    """A real Dask cluster of two processes on this machine, as a context."""
    make: Any = distributed.LocalCluster  # without types
    return make(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1")
