"""Server-sent events of the console: lines about orders as they change, and whether the service can be reached.

    hello    where the reader stands, and whether the service answers
    orders   lines that are new; the event's id is where to go on (Last-Event-ID)
    controls what is halted and limited, at the beginning and when it changed
    service  the service went away, or is back
    beat     nothing happened, the stream lives
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import grpc.aio
import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from service.http import headers as http_headers
from service.http import problems
from service.http.console.feed import ASK_TIMEOUT_S, OrderFeed, Place
from service.http.gateway import Calls, raw_path
from service.http.problems import Problem, Refused
from service.http.sessions import Sessions
from service.mapping.order_feed import DESCRIBE_SERVICE

PATH: Final = "/api/v1/console/orders/stream"
BEAT_S: Final = 10.0
MOST_READERS: Final = 64
RETRY_MS: Final = 1_000
HEADERS: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff", "x-accel-buffering": "no"}


class OrderStreams:
    """Every reader's stream. `stopping` ends them all, so that the server need not wait for its readers."""

    def __init__(
        self, workers: Calls, sessions: Sessions | None = None, beat_s: float = BEAT_S,
        most_readers: int = MOST_READERS,
    ) -> None:  # fmt: skip
        self._workers = workers
        self._sessions = sessions
        self._beat_s = beat_s
        self._most_readers = most_readers
        self._feeds: dict[str, OrderFeed] = {}
        self.readers = 0
        self.stopping = asyncio.Event()

    @property
    def route(self) -> Route:
        return Route(PATH, self._open)

    def stop(self) -> None:
        self.stopping.set()

    async def _open(self, request: Request) -> Response:
        headers = http_headers.by_name(request.scope["headers"])
        request_id = http_headers.request_id_of(headers)
        session = ""
        try:
            if self._sessions is not None and "authorization" not in headers:
                session = self._sessions.key_of(headers)
                headers = self._sessions.applied(headers, "GET")
            metadata = http_headers.metadata_of(headers, request_id)
        except Refused as refused:
            return refusal(request, refused.problem, request_id)
        if self.readers >= self._most_readers or self.stopping.is_set():
            problem = problems.of_code("UNAVAILABLE", f"{self._most_readers} streams are open, or the service stops")
            return refusal(request, problem, request_id)
        # A page that begins anew cannot set the header, and says it in the address.
        place = Place.parse(headers.get("last-event-id") or request.query_params.get("last_event_id", ""))
        credentials = dict(metadata).get("authorization", "")
        problem_now = await self._refused(credentials, metadata)
        if problem_now is not None:
            return refusal(request, problem_now, request_id)
        events = self._events(credentials, metadata, place, session if credentials else "")
        return StreamingResponse(events, headers=HEADERS, media_type="text/event-stream")

    async def _refused(self, credentials: str, metadata: tuple[tuple[str, str], ...]) -> Problem | None:
        """What the service says to credentials that nobody reads with yet, where it does not know them: a stream would
        only say that the service is away."""
        if credentials in self._feeds:
            return None
        try:
            await self._workers.call(DESCRIBE_SERVICE, b"", ASK_TIMEOUT_S, metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                return problems.of_rpc_error(error)
        return None

    async def _events(
        self, credentials: str, metadata: tuple[tuple[str, str], ...], place: Place, session: str
    ) -> AsyncIterator[bytes]:
        feed = self._feeds.get(credentials) or OrderFeed(self._workers, metadata)
        self._feeds[credentials] = feed

        def is_over() -> bool:
            """The service stops, or the reader was signed out or is nobody any more."""
            is_known = self._sessions is None or not session or self._sessions.left_s(session) > 0.0
            return self.stopping.is_set() or not is_known or feed.is_refused

        self.readers += 1
        feed.enter()
        try:
            async for event in _read(feed, place, self._beat_s, is_over):
                yield event
        finally:
            self.readers -= 1
            await feed.leave()
            if feed.readers == 0:
                self._feeds.pop(credentials, None)


async def _read(
    feed: OrderFeed, place: Place, beat_s: float, is_stopping: Callable[[], bool]
) -> AsyncIterator[bytes]:
    if not feed.asked:
        await feed.news(beat_s)
    told_away = feed.away
    known = place.journal_id == feed.journal_id and place.revision > 0
    yield f"retry: {RETRY_MS}\n".encode() + event_of("hello", {"resumed": known, "away": told_away})
    told_controls = b""
    silent_s = 0.0
    step_s = min(1.0, beat_s)
    while not is_stopping():
        if feed.away != told_away:
            told_away = feed.away
            yield event_of("service", {"away": told_away})
        if feed.controls != told_controls:
            told_controls = feed.controls
            yield b"event: controls\ndata: " + told_controls + b"\n\n"
        lines, after = feed.after(place)
        if lines:
            place, silent_s = after, 0.0
            data = b'{"orders":[' + b",".join(line.json for line in lines) + b"]}"
            yield b"event: orders\nid: " + str(place).encode() + b"\ndata: " + data + b"\n\n"
            continue
        if silent_s >= beat_s:
            silent_s = 0.0
            yield event_of("beat", {})
        # In short steps, so that a stop is seen.
        await feed.news(step_s)
        silent_s += step_s


def event_of(name: str, data: dict[str, Any]) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"


def refusal(request: Request, problem: Problem, request_id: str) -> Response:
    body = problem.body(raw_path(request.scope).decode("ascii", "replace"), request_id)
    headers = {http_headers.REQUEST_ID: request_id, **dict(problem.all_headers)}
    return Response(body, problem.status, headers, media_type=problems.MEDIA_TYPE)
