"""Whether a database is there at all: it tells an outage, which passes, from a wrong configuration, which does not."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_attempts, conninfo_to_dict

_CONNECT_TIMEOUT_S = 3


def database_is_away(conninfo: str) -> bool:
    """True where nothing answers. A server that answers, if only to refuse, is not away."""
    try:
        with psycopg.connect(conninfo, connect_timeout=_CONNECT_TIMEOUT_S, application_name="ess-probe"):
            return False
    except psycopg.errors.ConnectionTimeout:
        return True
    except psycopg.OperationalError:
        return not _anybody_listens(conninfo)


def _anybody_listens(conninfo: str) -> bool:
    try:
        attempts = conninfo_attempts(conninfo_to_dict(conninfo))
    except psycopg.Error:
        return False  # a name that cannot be looked up
    return any(_listens(attempt) for attempt in attempts)


def _listens(attempt: Mapping[str, object]) -> bool:
    host = str(attempt.get("hostaddr") or attempt.get("host") or "localhost")
    port = int(str(attempt.get("port") or 5432))
    is_unix = host.startswith("/")
    try:
        if is_unix:
            with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
                probe.settimeout(_CONNECT_TIMEOUT_S)
                probe.connect(str(Path(host) / f".s.PGSQL.{port}"))
        else:
            socket.create_connection((host, port), _CONNECT_TIMEOUT_S).close()
    except OSError:
        return False
    return True
