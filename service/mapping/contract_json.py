"""JSON of the contract: its field names, and the specification's short names for enum values.

Protobuf wants enum values prefixed (two enums have a NORMAL), the specification does not have the prefixes. Both are
read, the short ones are written (docs/adr/0001). Driven by the descriptors alone.

    JsonSyntaxError    the text is no JSON
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
from google.protobuf.message import Message

from engine.decision import Fault
from service.mapping.json_compiled import whole_writer
from service.mapping.json_read import Faults, json_object, read_message
from service.mapping.json_write import write_message

# Outside of strings; Python's reader takes them for numbers, JSON has no such words.
NO_NUMBER = re.compile(r'"(?:[^"\\]|\\.)*"|(-?Infinity|NaN)')
_encoder = msgspec.json.Encoder()


class JsonSyntaxError(ValueError):
    """The text is no JSON; `description` says what and where."""

    def __init__(self, description: str) -> None:
        super().__init__(description)
        self.description = description


def to_object(message: Message, *, with_defaults: bool = False) -> dict[str, Any]:
    """A message as a JSON object."""
    return write_message(message, with_defaults)


def to_json(message: Message) -> bytes:
    """A message as JSON text, whole: every field that has no presence is there."""
    return _encoder.encode(whole_writer(message.DESCRIPTOR)(message))


def from_object(fields: Any, message: Message, *, strict: bool = False) -> list[Fault]:
    """Fills a message from a JSON object; what cannot be read comes back as faults, every one with its field."""
    faults = Faults()
    read_message(fields, message, "", faults, strict)
    return faults.as_list()


def parse_json(data: bytes) -> Any:
    """The value that a JSON text stands for. JsonSyntaxError names line, column and what is wrong."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise JsonSyntaxError(f"the body is not UTF-8: byte {error.start} cannot be read") from None
    try:
        return json.loads(text, object_pairs_hook=json_object, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise JsonSyntaxError(f"the body is not JSON: {_lower(error.msg)} at {where}") from None
    except _NoNumber:
        raise JsonSyntaxError(f"the body is not JSON: {_no_number(text)}") from None
    except RecursionError:
        raise JsonSyntaxError("the body is nested too deeply") from None
    except ValueError:
        # Python refuses integers of thousands of digits.
        raise JsonSyntaxError("the body holds a number with too many digits") from None


class _NoNumber(Exception):
    """NaN or Infinity."""


def _refuse_constant(_: str) -> Any:
    raise _NoNumber


def _no_number(text: str) -> str:
    found = next(match for match in NO_NUMBER.finditer(text) if match.group(1))
    before = text[: found.start()]
    column = found.start() - before.rfind("\n")
    return f"{found.group(1)} is no number at line {before.count(chr(10)) + 1}, column {column}"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
