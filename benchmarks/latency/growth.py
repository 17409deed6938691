"""How latency grows with what the service holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.latency.generator import Generator


def measure(folder: Path, load: Generator, order: bytes, short: bool) -> dict[str, Any]:
    raise NotImplementedError
