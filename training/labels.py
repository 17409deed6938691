"""Labels of many orders: what the simulated market says of some candidates of each (`training.labelling`).

Orders are labelled in chunks. A chunk is a pure function of its spec, the code and the instruments, whoever works it
out (this process, a pool of them, a cluster), and lies in a file under a folder that is named by the hash of all of
that; so a run that was stopped goes on where it was, and labels of other code are never mixed in.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import kernel as k
from store.artifacts import arrays_to_bytes, bytes_to_arrays
from store.errors import ArtifactInvalid
from training.contexts import Purpose
from training.labelling import (
    Array,
    Floats,
    Indices,
    LabelSpec,
    Selection,
    instrument_positions,
    label_context,
    served,
    shipped_surfaces,
)
from training.workers import Workers

ROOT = Path(__file__).resolve().parent.parent
CHUNK_CONTEXTS = 250
# Raise it when labels change their meaning without any change of the sources that are hashed.
LABELS_VERSION = 1
# What a label depends on, beside the instruments' file: globs below the project's root.
SOURCES = (
    "engine/algorithms/*.py", "engine/assumptions.py", "engine/catalogue.py", "engine/kernel*.py", "engine/layout.py",
    "engine/resolve.py", "engine/schedule.py", "engine/scoring/features.py", "engine/utility.py", "engine/values.py",
    "training/contexts.py", "training/labelling.py", "training/labels.py", "engine/simulator/*.py",
    "training/simulator/*.py",
)
SEED_FILE = "store/seed/instruments.json"


@dataclass(frozen=True, slots=True)
class Labels:
    """Orders (o) and rows (r), one a labelled candidate; rows of order n are first_row[n] to first_row[n + 1].

    index (o,) of the case; context (o, CONTEXT_LENGTH) and weights (o, 6) as the kernel reads them; ratios (o, 3) in
    the order of RATIO_NAMES; instrument (o,) position in the seed file; allowed (o,) candidates that were allowed;
    candidate (r,) position in the served set; features (r, FEATURES), scales (r, RANKING), truth (r, len(TRUTHS));
    draws (r, draws) path shortfalls, (IS - mean) / SD, a half of them from the second halves of other pairs.
    """

    index: Indices
    context: Array
    weights: Array
    ratios: Array
    instrument: Indices
    allowed: Indices
    first_row: Indices
    candidate: Indices
    features: Floats
    scales: Floats
    truth: Floats
    draws: Floats

    @property
    def orders(self) -> int:
        return len(self.index)

    @property
    def rows(self) -> int:
        return len(self.candidate)

    @property
    def order_of_row(self) -> Indices:
        """(r,) position of each row's order."""
        return np.repeat(np.arange(self.orders), np.diff(self.first_row))

    @property
    def algorithm(self) -> Indices:
        """(r,) position in the catalogue."""
        found: Indices = served().algorithm[self.candidate]
        return found


ORDER_ARRAYS = ("index", "context", "weights", "ratios", "instrument", "allowed")
ROW_ARRAYS = ("candidate", "features", "scales", "truth", "draws")


# ---- chunks


def label_chunk(spec: LabelSpec) -> dict[str, NDArray[Any]]:
    """All of a chunk's orders, as the arrays that are stored. Raises ValueError where the surfaces are others."""
    if shipped_surfaces()[1] != spec.surfaces_sha256:
        raise ValueError(f"surfaces {shipped_surfaces()[1][:12]} here, {spec.surfaces_sha256[:12]} are wanted")
    found = [label_context(spec.purpose, index, spec) for index in range(spec.first, spec.first + spec.count)]
    orders = [order for order in found if order is not None]
    positions = instrument_positions()
    return {
        "index": np.array([order.scene.case.index for order in orders], dtype=np.int64),
        "context": np.array([order.scene.context for order in orders]).reshape(len(orders), k.CONTEXT_LENGTH),
        "weights": np.array([order.scene.resolved.weights for order in orders]).reshape(len(orders), -1),
        "ratios": np.array([order.ratios for order in orders]).reshape(len(orders), -1),
        "instrument": np.array([positions[o.scene.case.request.instrument_id] for o in orders], dtype=np.int16),
        "allowed": np.array([order.allowed for order in orders], dtype=np.int16),
        "rows": np.array([len(order.candidate) for order in orders], dtype=np.int64),
        "candidate": joined([order.candidate for order in orders]).astype(np.int16),
        **{name: joined([getattr(order, name) for order in orders]) for name in ROW_ARRAYS[1:]},
    }


def joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0)


def chunk_bytes(spec: LabelSpec) -> bytes:
    """What workers send back: equal specs give equal bytes."""
    return arrays_to_bytes(label_chunk(spec))


def labels_of(chunks: Sequence[dict[str, NDArray[Any]]]) -> Labels:
    """Chunks behind each other; those without any order are left out."""
    filled = [chunk for chunk in chunks if len(chunk["index"])]
    if not filled:
        raise ValueError("no order could be labelled")
    arrays = {name: np.concatenate([chunk[name] for chunk in filled]) for name in (*ORDER_ARRAYS, *ROW_ARRAYS)}
    for name in ("index", "instrument", "allowed", "candidate"):
        arrays[name] = arrays[name].astype(np.int64)
    first = np.concatenate(([0], np.cumsum(np.concatenate([chunk["rows"] for chunk in filled]))))
    return Labels(**arrays, first_row=first)


def part_of(labels: Labels, orders: NDArray[np.bool_]) -> Labels:
    """Some of the orders (a mask) with their rows."""
    rows = orders[labels.order_of_row]
    arrays = {name: getattr(labels, name)[orders] for name in ORDER_ARRAYS}
    arrays.update({name: getattr(labels, name)[rows] for name in ROW_ARRAYS})
    counts = np.diff(labels.first_row)[orders]
    return Labels(**arrays, first_row=np.concatenate(([0], np.cumsum(counts))))


# ---- files


@cache
def code_sha256() -> str:
    """Hash of what the sources do: comments and docstrings do not count. Hex."""
    digest = hashlib.sha256(f"{LABELS_VERSION}".encode())
    for pattern in SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            digest.update(str(path.relative_to(ROOT)).encode())
            digest.update(meaning_of(path.read_text()).encode())
    digest.update((ROOT / SEED_FILE).read_bytes())
    return digest.hexdigest()


def meaning_of(source: str) -> str:
    """A module's syntax tree without its docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                value.value = ""
    return ast.dump(tree)


def key_of(spec: LabelSpec) -> str:
    """Names the folder: the hash of everything but which orders. 16 hex digits."""
    content = {
        "code": code_sha256(), "world": spec.world.sha256(), "surfaces": spec.surfaces_sha256, "seed": spec.seed,
        "pairs": spec.pairs, "draws": spec.draws,
        "selection": {f.name: getattr(spec.selection, f.name) for f in fields(Selection)},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def path_of(folder: Path, spec: LabelSpec) -> Path:
    return folder / key_of(spec) / spec.name


def write_atomically(path: Path, data: bytes) -> None:
    """All of it or nothing, whatever happens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def read_chunk(path: Path) -> dict[str, NDArray[Any]] | None:
    """A chunk's arrays; None where there is no whole file, so that it is made again."""
    try:
        return bytes_to_arrays(path.read_bytes())
    except (OSError, ArtifactInvalid):
        return None


def chunk_specs(purpose: Purpose, first: int, count: int, like: LabelSpec,
                size: int = CHUNK_CONTEXTS) -> tuple[LabelSpec, ...]:
    """`count` orders from `first` on in chunks, everything else as in `like`."""
    return tuple(
        LabelSpec(
            purpose, start, min(size, first + count - start), like.pairs, like.draws, like.selection, like.seed,
            like.world, like.surfaces_sha256,
        )
        for start in range(first, first + count, size)
    )


def make_labels(specs: Sequence[LabelSpec], folder: Path, workers: Workers, fresh: bool = False,
                progress: Callable[[int, int], None] | None = None) -> Labels:
    """Reads what is there, has the rest worked out, and gives all of it in the order of `specs`.

    `progress(done, total)` counts orders.
    """
    chunks: dict[int, dict[str, NDArray[Any]]] = {}
    for position, spec in enumerate(specs):
        known = None if fresh else read_chunk(path_of(folder, spec))
        if known is not None:
            chunks[position] = known
    done, total = sum(specs[position].count for position in chunks), sum(spec.count for spec in specs)
    missing = [position for position in range(len(specs)) if position not in chunks]
    tell(progress, done, total)
    for position, data in results(workers, specs, missing):
        write_atomically(path_of(folder, specs[position]), data)
        chunks[position] = bytes_to_arrays(data)
        done += specs[position].count
        tell(progress, done, total)
    return labels_of([chunks[position] for position in range(len(specs))])


def results(workers: Workers, specs: Sequence[LabelSpec], missing: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """(position, bytes) of the missing chunks as they get ready."""
    for number, data in workers.run(chunk_bytes, [specs[position] for position in missing]):
        yield missing[number], data


def tell(progress: Callable[[int, int], None] | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)
