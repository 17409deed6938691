"""One request: its path finds the call, its parts become the message, the worker's answer becomes JSON.

Plain ASGI, since every layer between costs the decision's caller its time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl, quote, unquote_to_bytes

import grpc.aio
import structlog

from engine.decision import Fault
from service.http import headers as http_headers
from service.http import problems
from service.http.headers import Asked
from service.http.problems import MEDIA_TYPE, Problem, Refused
from service.http.sessions import Sessions
from service.mapping.contract_json import JsonSyntaxError, parse_json, to_json
from service.mapping.http_calls import HttpCall, bind

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
JSON: Final = "application/json"
# Of a body that is too large, so much is still taken, so that the client reads the refusal before it is cut off.
DISCARDED_BYTES: Final = 16 * 1024 * 1024
MOST_QUERY_PARAMETERS: Final = 100
MOST_PATH_BYTES: Final = 8_192
MOST_SHOWN_PATH: Final = 400

log = structlog.get_logger(__name__)


class Calls(Protocol):
    """What the gateway needs of the workers."""

    async def call(self, path: str, data: bytes, timeout_s: float, metadata: Sequence[tuple[str, str]]) -> bytes: ...


class Gone(Exception):
    """The client has left before its request was whole."""


class Gateway:
    """An ASGI application for every annotated call; whatever else is asked for is 404."""

    def __init__(
        self, calls: Sequence[HttpCall], workers: Calls, *, timeout_s: float, max_body_bytes: int,
        sessions: Sessions | None = None,
    ) -> None:  # fmt: skip
        self._by_length: dict[int, list[HttpCall]] = {}
        for call in calls:
            self._by_length.setdefault(len(call.segments), []).append(call)
        # Most calls come to a path of words only.
        self._by_words = {
            (b"/" + "/".join(part.text for part in call.segments).encode(), call.verb): call
            for call in calls if not call.path_fields
        }  # fmt: skip
        self._first_words = {call.segments[0].text for call in calls if not call.segments[0].is_field}
        self._workers = workers
        self._sessions = sessions
        self._timeout_s = timeout_s
        self._max_body_bytes = max_body_bytes

    def has(self, path: str) -> bool:
        """Whether the path begins as its calls do: then whatever is wrong with it is told here."""
        return path[1:].partition("/")[0] in self._first_words

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = http_headers.by_name(scope["headers"])
        request_id = http_headers.request_id_of(headers)
        try:
            answer = await self._answer(scope, receive, headers, request_id)
        except Refused as refused:
            await send_problem(send, scope, refused.problem, request_id)
        except Gone:
            return
        except grpc.aio.AioRpcError as error:
            await send_problem(send, scope, problems.of_rpc_error(error), request_id)
        except Exception:
            log.exception("a request failed", path=scope["path"], request_id=request_id)
            problem = problems.of_code("INTERNAL", "the gateway failed; its log says why")
            await send_problem(send, scope, problem, request_id)
        else:
            await send_body(send, 200, JSON, answer, request_id)

    async def _answer(self, scope: Scope, receive: Receive, headers: dict[str, str], request_id: str) -> bytes:
        call, path = self._find(scope)
        if self._sessions is not None:
            headers = self._sessions.applied(headers, call.verb)
        asked = http_headers.asked(headers, request_id, self._timeout_s)
        query = query_of(scope.get("query_string", b""))
        body = await self._body(receive, asked) if call.body else None
        message, faults = bind(call, path, query, body)
        if faults:
            raise Refused(problems.of_faults(faults))
        data = message.SerializeToString()
        answer = await self._workers.call(call.grpc_path, data, asked.timeout_s, asked.metadata)
        return to_json(call.response.FromString(answer))

    def _find(self, scope: Scope) -> tuple[HttpCall, dict[str, str]]:
        raw = raw_path(scope)
        known = self._by_words.get((raw, scope["method"]))
        if known is not None:
            return known, {}
        parts = raw.removeprefix(b"/").split(b"/") if len(raw) <= MOST_PATH_BYTES else []
        fitting = [call for call in self._by_length.get(len(parts), ()) if fits(call, parts)]
        if not fitting:
            raise Refused(problems.of_status(404, "there is nothing at this path; /docs lists what there is"))
        verb = "GET" if scope["method"] == "HEAD" else scope["method"]
        for call in fitting:
            if call.verb == verb:
                return call, path_values(call, parts)
        allowed = sorted({verb for call in fitting for verb in verbs_of(call)})
        words = f"{scope['method']} is not offered here; {', '.join(allowed)} is"
        raise Refused(problems.of_status(405, words, [("allow", ", ".join(allowed))]))

    async def _body(self, receive: Receive, asked: Asked) -> Any:
        http_headers.check_json(asked)
        data = await read_body(receive, self._max_body_bytes, asked.content_length)
        if not data.strip():
            raise Refused(problems.of_faults([Fault("", "the body is empty; it must be a JSON object")]))
        try:
            return parse_json(data)
        except JsonSyntaxError as error:
            raise Refused(problems.of_faults([Fault("", error.description)])) from None


def raw_path(scope: Scope) -> bytes:
    """As it was sent, still encoded."""
    found: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    return found


def fits(call: HttpCall, parts: Sequence[bytes]) -> bool:
    return all(
        bool(part) if segment.is_field else part == segment.text.encode()
        for segment, part in zip(call.segments, parts, strict=True)
    )


def verbs_of(call: HttpCall) -> tuple[str, ...]:
    return ("GET", "HEAD") if call.verb == "GET" else (call.verb,)


def path_values(call: HttpCall, parts: Sequence[bytes]) -> dict[str, str]:
    """Fields of the path. Decoded after the split, so that an order's id may hold a slash (%2F)."""
    return {
        segment.text: decoded(part, segment.text)
        for segment, part in zip(call.segments, parts, strict=True) if segment.is_field
    }  # fmt: skip


def decoded(part: bytes, name: str) -> str:
    try:
        return unquote_to_bytes(part).decode()
    except UnicodeDecodeError:
        raise Refused(problems.of_faults([Fault(name, "is not UTF-8")])) from None


def query_of(raw: bytes) -> list[tuple[str, str]]:
    if not raw:
        return []
    try:
        return parse_qsl(
            raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST_QUERY_PARAMETERS
        )
    except ValueError:
        text = f"the query is not UTF-8, or has more than {MOST_QUERY_PARAMETERS} parameters"
        raise Refused(problems.of_faults([Fault("", text)])) from None


async def read_body(receive: Receive, limit: int, announced: int | None) -> bytes:
    """The whole body. Raises Refused (413) for a longer one, Gone where the client left."""
    chunks, size, more = [], 0, True
    too_large = announced is not None and announced > limit
    if too_large and announced is not None and announced > DISCARDED_BYTES:
        raise Refused(body_too_large(limit))
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise Gone
        chunk = event.get("body", b"")
        size += len(chunk)
        too_large = too_large or size > limit
        if not too_large:
            chunks.append(chunk)
        elif size > DISCARDED_BYTES:
            break
        more = event.get("more_body", False)
    if too_large:
        raise Refused(body_too_large(limit))
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def body_too_large(limit: int) -> Problem:
    return problems.of_status(413, f"the body has more than {limit} bytes (ESS_HTTP_MAX_BODY_BYTES)")


async def send_problem(send: Send, scope: Scope, problem: Problem, request_id: str) -> None:
    body = problem.body(raw_path(scope)[:MOST_SHOWN_PATH].decode("ascii", "replace"), request_id)
    await send_body(send, problem.status, MEDIA_TYPE, body, request_id, problem.all_headers)


async def send_body(
    send: Send, status: int, media_type: str, body: bytes, request_id: str,
    more: Sequence[tuple[str, str]] = (),
) -> None:  # fmt: skip
    found = [
        (b"content-type", media_type.encode()), (b"content-length", str(len(body)).encode()),
        (b"x-request-id", request_id.encode()), (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        *((name.encode(), value.encode()) for name, value in more),
    ]  # fmt: skip
    await send({"type": "http.response.start", "status": status, "headers": found})
    await send({"type": "http.response.body", "body": body})
