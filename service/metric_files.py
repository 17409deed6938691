"""What each process of a host counted, in a file of its own that the HTTP process reads for `/metrics`.

A scrape must see every worker and the keeper, and none of them should serve HTTP or wait for one that does. So the
telemetry thread of each writes its totals every second, whole or not at all; a file is as old as its process is silent.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec

from service.telemetry import LatencyHistogram, Totals

FOLDER: Final = "metrics"
# A process that was not heard of for so long is gone: its counts would be told for ever else.
SILENT_S: Final = 15.0


class Series(msgspec.Struct, frozen=True, array_like=True):
    """One histogram: the counts between telemetry's bounds, and the sum."""

    counts: list[int]
    sum_ns: int


class MethodFigures(msgspec.Struct, frozen=True):
    """One method of one process."""

    codes: dict[str, int]
    in_flight: int
    duration: Series
    stages: dict[str, Series]


class DecisionFigures(msgspec.Struct, frozen=True, array_like=True):
    """How often an algorithm was chosen in a condition."""

    algorithm: str
    condition: str
    structural: bool
    count: int


class ReadingFigure(msgspec.Struct, frozen=True, array_like=True):
    """A number that somebody keeps."""

    name: str
    kind: str
    unit: str
    description: str
    value: float


class ProcessFigures(msgspec.Struct, frozen=True):
    """One process of a host. `written_at_s`: Unix time."""

    process: str
    pid: int
    written_at_s: float
    methods: dict[str, MethodFigures]
    decisions: list[DecisionFigures]
    confidence_counts: list[int]
    confidence_sum: float
    dropped_observations: int
    loop_lag_s: float
    loop_lag_max_s: float
    readings: list[ReadingFigure]


class MetricFile:
    """One process's file. `write` is for the telemetry thread."""

    def __init__(self, data_dir: Path, process: str, clock_s: Callable[[], float] = time.time) -> None:
        self._path = data_dir / FOLDER / f"{process}.msgpack"
        self._process = process
        self._clock_s = clock_s

    def write(self, totals: Totals) -> None:
        """Atomically. Raises OSError."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial")
        partial.write_bytes(msgspec.msgpack.encode(figures_of(totals, self._process, self._clock_s())))
        partial.replace(self._path)

    def remove(self) -> None:
        """The process ends in order."""
        self._path.unlink(missing_ok=True)


def figures_of(totals: Totals, process: str, now_s: float) -> ProcessFigures:
    methods = {
        name: MethodFigures(
            dict(found.codes), totals.in_flight.get(name, 0), _series(found.duration),
            {stage: _series(histogram) for stage, histogram in found.stages.items()},
        )
        for name, found in totals.methods.items()
    }
    decisions = [DecisionFigures(*key, count) for key, count in sorted(totals.decisions.counts.items())]
    readings = [
        ReadingFigure(reading.name, reading.kind, reading.unit, reading.description, value)
        for reading, value in totals.readings
    ]
    return ProcessFigures(
        process, os.getpid(), now_s, methods, decisions, list(totals.decisions.confidence_counts),
        totals.decisions.confidence_sum, totals.dropped_observations, totals.loop_lag_ns / 1e9,
        totals.loop_lag_max_ns / 1e9, readings,
    )


def read_figures(data_dir: Path, now_s: float) -> Iterable[ProcessFigures]:
    """Of every process that was heard of lately, by name. A file that cannot be read is left out."""
    for path in sorted((data_dir / FOLDER).glob("*.msgpack")):
        try:
            found = msgspec.msgpack.decode(path.read_bytes(), type=ProcessFigures)
        except (OSError, msgspec.DecodeError):
            continue
        if now_s - found.written_at_s <= SILENT_S:
            yield found


def _series(histogram: LatencyHistogram) -> Series:
    return Series(list(histogram.counts), histogram.sum_ns)
