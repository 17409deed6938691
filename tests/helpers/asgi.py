"""One request to an ASGI application, without a socket."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote


@dataclass(frozen=True)
class HttpAnswer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def violations(self) -> list[tuple[str, str]]:
        return [(found["field"], found["description"]) for found in self.json.get("violations", [])]


async def ask(
    app: Any, verb: str, target: str, *, body: bytes | Sequence[bytes] = b"", headers: Iterable[tuple[str, str]] = (),
    leaves: bool = False,
) -> HttpAnswer | None:  # fmt: skip
    """The answer; None where there is none, as to a client that `leaves` before its body is whole."""
    path, _, query = target.partition("?")
    chunks = [body] if isinstance(body, bytes) else list(body)
    events: list[dict[str, Any]] = [
        {"type": "http.request", "body": chunk, "more_body": leaves or index < len(chunks) - 1}
        for index, chunk in enumerate(chunks)
    ]
    events.append({"type": "http.disconnect"})
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return events.pop(0)

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": verb, "scheme": "http",
        "path": unquote(path), "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    await app(scope, receive, send)
    if not sent:
        return None
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return HttpAnswer(sent[0]["status"], found, b"".join(event.get("body", b"") for event in sent[1:]))
