"""Databases of their own on the tests' server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

# Migrated; `postgres` of tests/conftest.py makes it.
TEMPLATE = "ess_template"


@contextmanager
def fresh_database(server: str, template: str = TEMPLATE) -> Iterator[str]:
    """The conninfo of one that nobody else has, for as long as the body runs."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    target, source = sql.Identifier(name), sql.Identifier(template)
    # FILE_COPY would wait for a checkpoint.
    execute(server, sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY wal_log").format(target, source))
    try:
        yield make_conninfo(server, dbname=name)
    finally:
        execute(server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(target))


def execute(conninfo: str, statement: sql.Composed) -> None:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(statement)
