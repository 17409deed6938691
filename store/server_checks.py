"""What is asked of a server before anything is promised on its word."""

from __future__ import annotations

from typing import Final

import psycopg

from store.errors import StoreUnavailable

# The role that may only append (`PoolSettings.role`).
SERVICE_ROLE: Final = "ess_service"
_CONNECT_TIMEOUT_S: Final = 10

_SETTINGS: Final = """
SELECT current_setting('fsync'), current_setting('synchronous_commit'), pg_is_in_recovery(),
  current_setting('transaction_read_only')
"""


def faults_of_server(conninfo: str) -> list[str]:
    """Why a commit on this server, as a session of this user gets it, would not be safe; empty where it is.

    Raises StoreUnavailable where it cannot be asked.
    """
    fsync, synchronous_commit, is_standby, read_only = _ask(conninfo, _SETTINGS)
    faults: list[str] = []
    if fsync != "on":
        faults.append(
            f"fsync is {fsync}: a power cut loses or corrupts what was committed; set fsync = on in postgresql.conf"
        )
    if synchronous_commit == "off":
        faults.append(
            "synchronous_commit is off for this user: a crash loses what was committed; set it to on (or local) for "
            "the server, the database and the role"
        )
    if is_standby:
        faults.append("the server is a standby, which takes no writes; name the primary")
    elif read_only == "on":
        faults.append("sessions of this user are read-only (default_transaction_read_only)")
    return faults


def _ask(conninfo: str, query: str) -> tuple[object, ...]:
    try:
        with psycopg.connect(
            conninfo, autocommit=True, connect_timeout=_CONNECT_TIMEOUT_S, application_name="ess-checks"
        ) as connection:
            row = connection.execute(query.encode()).fetchone()
    except psycopg.Error as error:
        raise StoreUnavailable(f"the server's settings could not be read: {error}") from error
    assert row is not None
    return row
