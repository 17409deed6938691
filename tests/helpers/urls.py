"""Conninfos as the URLs that settings take."""

from __future__ import annotations

from urllib.parse import urlencode

from psycopg.conninfo import conninfo_to_dict


def url_of(conninfo: str) -> str:
    parts = conninfo_to_dict(conninfo)
    query = urlencode({"host": parts["host"], "port": parts.get("port", 5432), "user": parts["user"]})
    return f"postgresql:///{parts['dbname']}?{query}"
