"""Ratios over time: one line a run that somebody chose to keep. Milliseconds of two machines compare nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HISTORY = Path(__file__).resolve().parent.parent / "history" / "latency.jsonl"
PLAIN = ("overload_goodput", "generator", "short")


def record(found: Mapping[str, Any], path: Path = HISTORY) -> None:
    """Every figure that has an interval, with it, and the few plain ones that compare."""
    ratios = {name: found[name] for name in found if f"{name}_interval" in found or name.endswith("_interval")}
    line = {"date": time.strftime("%Y-%m-%d", time.gmtime())} | ratios | {name: found.get(name) for name in PLAIN}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")
