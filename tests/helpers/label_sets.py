"""Small sets of labels for tests of training, made once a process."""

from __future__ import annotations

from functools import cache

from training.contexts import Purpose
from training.labels import EVERYTHING, Labels, LabelSpec, Selection, label_chunk, labels_of, shipped_surfaces


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
    return labels_of([label_chunk(spec_of(60, selection=EVERYTHING))])
