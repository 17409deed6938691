"""URLs that a configuration names: checked at the start, and made fit for a screen.

The checks raise ValueError in words of their own: a parser's words quote what it was given, password and all.
"""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit


def check_database_url(text: str) -> None:
    """Empty is an embedded database."""
    if text == "":
        return
    parts = _split(text)
    if parts.scheme not in {"postgresql", "postgres"}:
        raise ValueError("the scheme must be postgresql")
    if not parts.path.strip("/"):
        raise ValueError("it names no database: postgresql://user:password@host:port/name")


def check_nats_urls(text: str) -> None:
    """Several, with commas between; none is no NATS."""
    for url in filter(None, text.split(",")):
        parts = _split(url)
        if parts.scheme not in {"nats", "tls"} or not parts.hostname:
            raise ValueError("it must be nats://host:port or tls://host:port")


def check_otlp_endpoint(text: str) -> None:
    """Empty is no exporter."""
    if text == "":
        return
    parts = _split(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port is None:
        raise ValueError("it must be http://host:port or https://host:port")


def masked_url(url: str) -> str:
    """`url` fit for a log or a screen: the password, and whatever can't be parsed (lists too), is hidden."""
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        return "***"
    # A password with an unescaped / ? or # ends the host early, and its rest would show.
    if url.count("://") != 1 or ("@" in url and "@" not in parts.netloc):
        return "***" if url else ""
    netloc = parts.netloc
    if password is not None:
        netloc = f"{parts.username or ''}:***@{netloc.rpartition('@')[2]}"
    # libpq takes ?password=... too.
    query = "?***" if parts.query else ""
    return f"{parts.scheme}://{netloc}{parts.path}{query}"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # parsed on access
    except ValueError as error:
        raise ValueError("not a URL") from error
    return parts
