"""What a request's headers ask for: a deadline, an id, a place in a trace, and who is asking."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from service.http import problems
from service.http.problems import Refused

REQUEST_ID: Final = "x-request-id"
TIMEOUT: Final = "x-request-timeout-ms"
MOST_TIMEOUT_MS: Final = 60_000
MOST_PASSED_CHARACTERS: Final = 8_192
_ID = re.compile(r"[!-~]{1,128}")
_MILLISECONDS = re.compile(r"[0-9]{1,9}")
# W3C Trace Context: version, trace, parent, flags; a later version may say more.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.{0,64})?")
_PRINTABLE = re.compile(r"[ -~]*")
_JSON = re.compile(r"application/([a-z0-9.+-]+\+)?json", re.ASCII)


@dataclass(frozen=True, slots=True)
class Asked:
    """Headers of one request. `metadata` goes on to gRPC."""

    request_id: str
    timeout_s: float
    metadata: tuple[tuple[str, str], ...]
    content_type: str
    content_encoding: str
    content_length: int | None


def request_id_of(headers: dict[str, str]) -> str:
    """The caller's own id where it is fit to be logged, else a new one."""
    given = headers.get(REQUEST_ID, "")
    return given if _ID.fullmatch(given) else uuid.uuid4().hex


def by_name(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by lower-case name; of repeated ones the first."""
    found: dict[str, str] = {}
    for name, value in raw:
        found.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
    return found


def asked(headers: dict[str, str], request_id: str, default_timeout_s: float) -> Asked:
    """Raises Refused for a deadline that is none, and for credentials that cannot be passed on."""
    return Asked(
        request_id, timeout_of(headers.get(TIMEOUT), default_timeout_s), metadata_of(headers, request_id),
        headers.get("content-type", ""), headers.get("content-encoding", ""), length_of(headers),
    )  # fmt: skip


def timeout_of(text: str | None, default_s: float) -> float:
    if text is None:
        return default_s
    milliseconds = int(text) if _MILLISECONDS.fullmatch(text) else 0
    if not 1 <= milliseconds <= MOST_TIMEOUT_MS:
        words = f"must be a whole number of milliseconds from 1 to {MOST_TIMEOUT_MS}"
        raise Refused(problems.of_code("INVALID_ARGUMENT", f"X-Request-Timeout-Ms: {words}",
                                       [("X-Request-Timeout-Ms", words)]))  # fmt: skip
    return milliseconds / 1_000


def metadata_of(headers: dict[str, str], request_id: str) -> tuple[tuple[str, str], ...]:
    """For gRPC. Credentials are always said, empty where there are none: the workers would take a call without them for
    one of this process, whose own certificate it shows, and everybody who can connect would be that."""
    found = [(REQUEST_ID, request_id)]
    trace = headers.get("traceparent", "")
    if _TRACEPARENT.fullmatch(trace):
        found.append(("traceparent", trace))
        state = headers.get("tracestate", "")
        if state and len(state) <= 512 and _PRINTABLE.fullmatch(state):
            found.append(("tracestate", state))
    credentials = headers.get("authorization", "")
    if len(credentials) > MOST_PASSED_CHARACTERS:
        raise Refused(problems.of_status(431, "Authorization has more than 8192 characters"))
    if not _PRINTABLE.fullmatch(credentials):
        raise Refused(problems.of_status(400, "Authorization holds characters other than printable ASCII"))
    found.append(("authorization", credentials))
    return tuple(found)


def length_of(headers: dict[str, str]) -> int | None:
    text = headers.get("content-length", "")
    return int(text) if _MILLISECONDS.fullmatch(text) else None


def check_json(asked: Asked) -> None:
    """Raises Refused (415) where the body says that it is no JSON in UTF-8, or says nothing."""
    if asked.content_type == "application/json" and not asked.content_encoding:
        return
    kind, *parameters = (part.strip().lower() for part in asked.content_type.split(";"))
    if not _JSON.fullmatch(kind):
        given = kind[:64].encode("ascii", "backslashreplace").decode() or "nothing"
        text = f"the body must be application/json, and Content-Type says {given}"
        raise Refused(problems.of_status(415, text, [("accept", "application/json")]))
    charsets = [value.removeprefix("charset=").strip('"') for value in parameters if value.startswith("charset=")]
    if any(charset not in ("utf-8", "utf8", "us-ascii") for charset in charsets):
        raise Refused(problems.of_status(415, "JSON is UTF-8 (RFC 8259), and Content-Type says another charset"))
    if asked.content_encoding.strip().lower() not in ("", "identity"):
        raise Refused(problems.of_status(415, "the body must not be compressed", [("accept-encoding", "identity")]))
