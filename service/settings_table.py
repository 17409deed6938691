"""README's configuration table, written from the fields of `Settings`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from service.settings import Settings
from service.settings_types import variable_of


def configuration_table() -> str:
    """README's configuration table, in markdown."""
    rows = ["| Variable | Takes | Default | What it does |", "|---|---|---|---|"]
    for name, info in Settings.model_fields.items():
        rows.append(f"| `{variable_of(name)}` | {_takes(name, info)} | {_default(name, info)} | {info.description} |")
    return "\n".join(rows) + "\n"


def configuration_rows() -> list[dict[str, str]]:
    """The same for programs."""
    return [
        {
            "variable": variable_of(name), "takes": _takes(name, info).replace("`", ""),
            "default": _default(name, info).replace("`", "").replace("(empty)", ""),
            "description": info.description or "",
        }
        for name, info in Settings.model_fields.items()
    ]  # fmt: skip


def _takes(name: str, info: FieldInfo) -> str:
    if get_origin(info.annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(info.annotation))
    words: dict[object, str] = {bool: "true or false", int: "whole number", float: "number"}
    words |= {SecretStr: "URL (secret)", Path: "folder", Path | None: "folder"}
    if (info.annotation == Path | None and "PEM" in str(info.description)) or name.endswith("_file"):
        return "file"
    return words.get(info.annotation, "text")


def _default(name: str, info: FieldInfo) -> str:
    if name in {"reflection", "echo"}:
        return "by environment"
    if info.default_factory is not None:
        return "the host's name"
    value = info.default.get_secret_value() if isinstance(info.default, SecretStr) else info.default
    return "(empty)" if value in ("", None) else f"`{value}`"
