"""Files that commands read: JSON, of a path or of stdin."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import typer

EX_BAD_FILE: Final = 2


def read_json(file: Path) -> Any:
    """What a file holds; - is stdin. Raises ValueError with what is wrong, whatever it is."""
    try:
        if str(file) != "-":
            return json.loads(file.read_text(encoding="utf-8"))
        if sys.stdin is None:  # closed by whoever started the command
            raise ValueError("stdin is closed")
        return json.loads(sys.stdin.read())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except OSError as error:
        raise ValueError(str(error)) from error


def read_orders(file: Path) -> list[dict[str, Any]]:
    """Order objects of a JSON file; exits with what is wrong with it."""
    try:
        content = read_json(file)
    except ValueError as error:
        print(f"ess: {file}: {error}", file=sys.stderr)
        raise typer.Exit(EX_BAD_FILE) from None
    orders = content if isinstance(content, list) else [content]
    bad = [str(index) for index, order in enumerate(orders) if not isinstance(order, dict)]
    if bad or not orders:
        print(f"ess: {file}: {'entries ' + ', '.join(bad) + ' are' if bad else 'holds'} no order", file=sys.stderr)
        raise typer.Exit(EX_BAD_FILE)
    return orders
