"""Columns of a batch as PostgreSQL's binary arrays, built in one go.

psycopg's own dumper calls back for every element: 6 ms for a batch of 500 selections, during which the keeper
answers nobody. This takes a third of that.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Final

from psycopg import pq
from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper

_BYTEA_OID: Final = 17
_BYTEA_ARRAY_OID: Final = 1001
_TEXT_OID: Final = 25
_TEXT_ARRAY_OID: Final = 1009
_MOMENT_OID: Final = 1184
_MOMENT_ARRAY_OID: Final = 1185
_LENGTH = struct.Struct(">i").pack
_INT64 = struct.Struct(">q").pack
_HEADER = struct.Struct(">iiIii").pack  # dimensions, has nulls, element type, length, lower bound


class TextArray:
    """One column of texts, none of them null. Raises UnicodeEncodeError for a text that UTF-8 cannot hold."""

    __slots__ = ("data",)

    def __init__(self, values: Iterable[str]) -> None:
        self.data = _array(_TEXT_OID, [value.encode() for value in values])


class BytesArray:
    """One column of bytes, none of them null."""

    __slots__ = ("data",)

    def __init__(self, values: Sequence[bytes]) -> None:
        self.data = _array(_BYTEA_OID, values)


class MomentArray:
    """One column of timestamptz, as microseconds since 2000, none of them null."""

    __slots__ = ("data",)

    def __init__(self, values_us: Sequence[int]) -> None:
        self.data = _array(_MOMENT_OID, [_INT64(value) for value in values_us])


def register_arrays(context: AdaptContext) -> None:
    """Teaches a connection the types."""
    context.adapters.register_dumper(TextArray, _TextArrayDumper)
    context.adapters.register_dumper(BytesArray, _BytesArrayDumper)
    context.adapters.register_dumper(MomentArray, _MomentArrayDumper)


class _TextArrayDumper(Dumper):
    format = pq.Format.BINARY
    oid = _TEXT_ARRAY_OID

    def dump(self, obj: Any) -> bytes:
        data: bytes = obj.data
        return data


class _BytesArrayDumper(_TextArrayDumper):
    oid = _BYTEA_ARRAY_OID


class _MomentArrayDumper(_TextArrayDumper):
    oid = _MOMENT_ARRAY_OID


def _array(element_oid: int, values: Sequence[bytes]) -> bytes:
    head = _HEADER(1, 0, element_oid, len(values), 1)
    body = chain.from_iterable(zip(map(_LENGTH, map(len, values)), values, strict=True))
    return head + b"".join(body)
