"""What PostgreSQL says of a decision's row, and when it is the row that it refuses."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import psycopg

# What PostgreSQL (or its driver) says of the values themselves; everything else is about the moment.
ROW_ERRORS: Final = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.errors.ProgramLimitExceeded,
    UnicodeError,
    OverflowError,
)


class RowStatus(StrEnum):
    """CONFLICTED: the order belongs to another selection that reached the database before."""

    RECORDED = "RECORDED"
    CONFLICTED = "CONFLICTED"


@dataclass(frozen=True, slots=True)
class OrderOwner:
    """Whom an order id belongs to."""

    request_hash: str
    selection_id: str
