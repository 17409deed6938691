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

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from service.http import headers as http_headers
from service.http import problems
from service.http.console.feed import OrderFeed, Place
from service.http.gateway import Calls, raw_path
from service.http.problems import Problem, Refused

PATH: Final = "/api/v1/console/orders/stream"
BEAT_S: Final = 10.0
MOST_READERS: Final = 64
RETRY_MS: Final = 1_000
HEADERS: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff", "x-accel-buffering": "no"}


class OrderStreams:
    """Every reader's stream. `stopping` ends them all, so that the server need not wait for its readers."""

    def __init__(self, workers: Calls, beat_s: float = BEAT_S, most_readers: int = MOST_READERS) -> None:
        self._workers = workers
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
        try:
            metadata = http_headers.metadata_of(headers, request_id)
        except Refused as refused:
            return refusal(request, refused.problem, request_id)
        if self.readers >= self._most_readers or self.stopping.is_set():
            problem = problems.of_code("UNAVAILABLE", f"{self._most_readers} streams are open, or the service stops")
            return refusal(request, problem, request_id)
        # A page that begins anew cannot set the header, and says it in the address.
        place = Place.parse(headers.get("last-event-id") or request.query_params.get("last_event_id", ""))
        credentials = dict(metadata).get("authorization", "")
        events = self._events(credentials, metadata, place)
        return StreamingResponse(events, headers=HEADERS, media_type="text/event-stream")

    async def _events(
        self, credentials: str, metadata: tuple[tuple[str, str], ...], place: Place
    ) -> AsyncIterator[bytes]:
        feed = self._feeds.get(credentials)
        if feed is None:
            feed = self._feeds[credentials] = OrderFeed(self._workers, metadata)
        self.readers += 1
        feed.enter()
        try:
            async for event in _read(feed, place, self._beat_s, self.stopping.is_set):
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
