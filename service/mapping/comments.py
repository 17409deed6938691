"""The comments of the contract, which descriptors at run time do not have (`make generate` writes them beside)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from execution_strategy.v1 import service_pb2


@cache
def comments() -> dict[str, str]:
    """Comment by full name of a message, field, enum, value, service or call."""
    # A namespace package has no one folder, so the file is looked for beside a module.
    beside = Path(str(service_pb2.__file__)).with_name("comments.json")
    found: dict[str, str] = json.loads(beside.read_text("utf-8"))
    return found


def comment_of(full_name: str) -> str:
    return comments().get(full_name, "")
