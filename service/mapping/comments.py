"""The comments of the contract, which descriptors at run time do not have (`make generate` writes them beside)."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files


@cache
def comments() -> dict[str, str]:
    """Comment by full name of a message, field, enum, value, service or call."""
    found: dict[str, str] = json.loads((files("execution_strategy.v1") / "comments.json").read_text("utf-8"))
    return found


def comment_of(full_name: str) -> str:
    return comments().get(full_name, "")
