"""Signing in: what a cookie stands for, what it cannot be used for, how it ends, and that no token is told."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from typing import Any

import grpc
import pytest
import structlog
from execution_strategy.v1 import overview_pb2, response_pb2
from grpc.aio import Metadata
from structlog.testing import capture_logs

from service.http.app import GatewayLimits, make_app
from service.http.console.feed import Place
from service.http.console.sign_in import PATH, SignIn
from service.http.console.stream import PATH as STREAM
from service.http.console.stream import OrderStreams
from service.http.sessions import COOKIE, SECURE_COOKIE, Session, Sessions
from service.mapping.controls_feed import LIST_CONTROLS
from service.mapping.order_feed import DESCRIBE_SERVICE, LIST_ORDERS
from tests.helpers.asgi import HttpAnswer, ask

API = "/api/v1/execution-strategy"
TOKEN = "a-token-of-rita-5e1f"
OWN = [("host", "desk.example:8080"), ("x-console", "1"), ("sec-fetch-site", "same-origin")]
JSON = [("content-type", "application/json")]
PLACE = Place()


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def refused(code: grpc.StatusCode) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, Metadata(), Metadata(), "no")


class Guarded:
    """A service that knows one token; `known` takes it away."""

    def __init__(self) -> None:
        self.known = {f"Bearer {TOKEN}"}
        self.seen: list[tuple[str, str]] = []

    async def call(self, path: str, data: bytes, timeout_s: float, metadata: Sequence[tuple[str, str]]) -> bytes:
        credentials = dict(metadata).get("authorization", "")
        self.seen.append((path, credentials))
        if credentials not in self.known:
            raise refused(grpc.StatusCode.UNAUTHENTICATED)
        if path == DESCRIBE_SERVICE:
            return b""
        if path == LIST_CONTROLS:
            raise refused(grpc.StatusCode.PERMISSION_DENIED)
        if path == LIST_ORDERS:
            return overview_pb2.ListOrdersResponse(journal_id="j", revision=1).SerializeToString()
        return response_pb2.ExecutionStrategyResponse(order_id="o").SerializeToString()


class Desk:
    """The application with its sessions, and a browser that keeps the cookie."""

    def __init__(self, is_secure: bool = False, most: int = 10) -> None:
        self.clock, self.service = Clock(), Guarded()
        self.sessions = Sessions(is_secure=is_secure, lasts_s=600.0, most=most, clock_s=self.clock)
        self.streams = OrderStreams(self.service, self.sessions, beat_s=0.01)
        routes = [self.streams.route, SignIn(self.service, self.sessions).route]
        self.app = make_app("127.0.0.1:1", self.service, GatewayLimits(1.0, 10_000), routes, sessions=self.sessions)
        self.cookie = ""

    async def __call__(
        self, verb: str, target: str, headers: Sequence[tuple[str, str]] = (), body: bytes = b""
    ) -> HttpAnswer:  # fmt: skip
        sent = [*headers, *([("cookie", self.cookie)] if self.cookie else [])]
        answer = await ask(self.app, verb, target, body=body, headers=sent)
        assert answer is not None
        if "set-cookie" in answer.headers:
            self.cookie = answer.headers["set-cookie"].partition(";")[0]
        return answer

    async def sign_in(self, token: Any = TOKEN, headers: Sequence[tuple[str, str]] = (*OWN, *JSON)) -> HttpAnswer:
        return await self("POST", PATH, headers, json.dumps({"token": token}).encode())

    async def decide(self, headers: Sequence[tuple[str, str]] = OWN) -> HttpAnswer:
        return await self("POST", f"{API}/recommend", [*headers, *JSON], b"{}")


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_a_cookie_stands_for_the_token(desk: Desk) -> None:
    assert (await desk("GET", f"{API}/o/status", OWN)).status == 401
    assert (await desk("GET", PATH, OWN)).json == {"signed_in": False, "needed": True}
    answer = await desk.sign_in()
    assert (answer.status, answer.body) == (204, b"")
    value, *parts = answer.headers["set-cookie"].split("; ")
    assert re.fullmatch(COOKIE + r"=[A-Za-z0-9_-]{43}", value)
    assert set(parts) == {"Path=/", "Max-Age=600", "HttpOnly", "SameSite=Strict"}
    assert answer.headers["cache-control"] == "no-store"
    assert (await desk("GET", f"{API}/o/status", OWN)).status == 200
    assert desk.service.seen[-1][1] == f"Bearer {TOKEN}"
    assert (await desk.decide()).status == 200
    told = (await desk("GET", PATH, OWN)).json
    assert told["signed_in"] is True
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", told["expires_at"])


async def test_over_tls_the_cookie_is_for_tls_and_this_host_alone() -> None:
    desk = Desk(is_secure=True)
    answer = await desk.sign_in()
    assert answer.headers["set-cookie"].startswith(f"{SECURE_COOKIE}=")
    assert answer.headers["set-cookie"].endswith("; Secure")
    assert (await desk("GET", f"{API}/o/status", OWN)).status == 200
    desk.cookie = desk.cookie.replace(SECURE_COOKIE, COOKIE)
    assert (await desk("GET", f"{API}/o/status", OWN)).status == 401, "the plain name could be set by others"


@pytest.mark.parametrize("headers", [
    [("host", "desk.example:8080")],
    [("host", "desk.example:8080"), ("x-console", "1"), ("sec-fetch-site", "cross-site")],
    [("host", "desk.example:8080"), ("x-console", "1"), ("sec-fetch-site", "same-site")],
    [("host", "desk.example:8080"), ("x-console", "1"), ("origin", "https://evil.example")],
    [("host", "desk.example:8080"), ("x-console", "1"), ("origin", "http://desk.example:9999")],
    [("host", "desk.example:8080"), ("x-console", "1"), ("origin", "null")],
])  # fmt: skip
async def test_another_page_changes_nothing_and_signs_nobody_in_or_out(
    desk: Desk, headers: list[tuple[str, str]]
) -> None:  # fmt: skip
    await desk.sign_in()
    seen = len(desk.service.seen)
    assert (await desk.decide(headers)).status in (401, 403)
    assert all(credentials == "" for _, credentials in desk.service.seen[seen:]), "nothing was done with the token"
    assert (await desk("DELETE", PATH, headers)).status == 403
    kept, desk.cookie = desk.cookie, ""
    assert (await desk.sign_in(headers=[*headers, *JSON])).status == 403
    desk.cookie = kept
    assert (await desk.decide()).status == 200, "who was signed in still is"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_another_page_reads_nothing(desk: Desk, site: str) -> None:
    await desk.sign_in()
    assert (await desk("GET", f"{API}/o/status", [("sec-fetch-site", site)])).status == 401
    assert (await desk("GET", STREAM, [("sec-fetch-site", site)])).status == 401


async def test_what_a_request_says_itself_goes_before_the_cookie(desk: Desk) -> None:
    await desk.sign_in()
    answer = await desk("POST", f"{API}/recommend", [*JSON, ("authorization", "Bearer other")], b"{}")
    assert answer.status == 401
    assert desk.service.seen[-1][1] == "Bearer other"


async def test_a_session_ends_by_signing_out_and_by_time(desk: Desk) -> None:
    await desk.sign_in()
    kept = desk.cookie
    out = await desk("DELETE", PATH, OWN)
    assert out.status == 204
    assert "Max-Age=0" in out.headers["set-cookie"]
    desk.cookie = kept
    assert (await desk("GET", f"{API}/o/status", OWN)).status == 401, "a kept cookie opens nothing"
    desk.cookie = ""
    await desk.sign_in()
    desk.clock.now_s += 599.0
    assert (await desk("GET", f"{API}/o/status", OWN)).status == 200
    desk.clock.now_s += 1.0
    assert (await desk("GET", f"{API}/o/status", OWN)).status == 401


async def test_signing_in_anew_ends_the_session_before(desk: Desk) -> None:
    await desk.sign_in()
    before = desk.cookie
    await desk.sign_in()
    assert desk.cookie != before
    desk.cookie = before
    assert (await desk("GET", f"{API}/o/status", OWN)).status == 401


async def test_a_token_that_is_taken_away_is_gone_at_once(desk: Desk) -> None:
    await desk.sign_in()
    desk.service.known.clear()
    assert (await desk("GET", f"{API}/o/status", OWN)).status == 401


@pytest.mark.parametrize("token", ["", "two words", "ü", "x" * 4_097, 5, None, ["x"], "line\nbreak"])
async def test_what_can_be_no_token_is_refused_and_not_repeated(desk: Desk, token: Any) -> None:
    answer = await desk.sign_in(token)
    assert answer.status == 400
    assert "set-cookie" not in answer.headers
    assert desk.service.seen == []
    if isinstance(token, str) and len(token) > 1:
        assert token not in answer.body.decode()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b'{"token":"x"' + b" " * 20_000 + b"}"])
async def test_a_body_that_is_none(desk: Desk, body: bytes) -> None:
    answer = await desk("POST", PATH, [*OWN, *JSON], body)
    assert answer.status in (400, 413)
    assert desk.service.seen == []


async def test_a_token_that_nobody_knows_opens_nothing(desk: Desk) -> None:
    answer = await desk.sign_in("somebody-else-entirely")
    assert answer.status == 401
    assert "set-cookie" not in answer.headers
    assert "somebody-else" not in answer.body.decode()


@pytest.mark.parametrize("cookie", [
    "ess_session=", "ess_session=guess", "other=1", "ess_session", ";;;", "ess_session=a; ess_session=b", "=" * 9_000,
])  # fmt: skip
async def test_a_cookie_that_is_none_is_nobody(desk: Desk, cookie: str) -> None:
    assert (await desk("GET", f"{API}/o/status", [*OWN, ("cookie", cookie)])).status == 401


async def test_two_cookies_of_the_name_are_somebodys_trick(desk: Desk) -> None:
    await desk.sign_in()
    own, desk.cookie = desk.cookie, ""
    assert (await desk("GET", f"{API}/o/status", [*OWN, ("cookie", f"a=b; {own}")])).status == 200
    assert (await desk("GET", f"{API}/o/status", [*OWN, ("cookie", f"{COOKIE}=planted; {own}")])).status == 401


async def test_sessions_are_bounded_and_the_oldest_ends() -> None:
    desk = Desk(most=2)
    cookies = []
    for _ in range(3):
        desk.cookie = ""
        await desk.sign_in()
        cookies.append(desk.cookie)
    statuses = []
    for desk.cookie in cookies:
        statuses.append((await desk("GET", f"{API}/o/status", OWN)).status)
    assert statuses == [401, 200, 200]


async def test_a_stream_ends_when_its_reader_signs_out_or_is_nobody_any_more(desk: Desk) -> None:
    for end in ("sign out", "policy"):
        await desk.sign_in()
        key = desk.sessions.key_of({"cookie": desk.cookie})
        events = desk.streams._events(f"Bearer {TOKEN}", (("authorization", f"Bearer {TOKEN}"),), PLACE, key)
        assert b"event: hello" in await anext(events)
        if end == "sign out":
            await desk("DELETE", PATH, OWN)
        else:
            desk.service.known.clear()
        async for event in events:
            assert b"event: beat" in event or b"event: service" in event
        assert desk.streams.readers == 0


async def test_no_token_is_written_anywhere(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    structlog.reset_defaults()
    with capture_logs() as told, caplog.at_level(logging.DEBUG):
        await desk.sign_in()
        await desk.decide()
        await desk("GET", PATH, OWN)
        await desk("DELETE", PATH, OWN)
    assert TOKEN not in repr(told) + caplog.text
    assert TOKEN not in repr(Session(TOKEN, 1.0)) + repr(desk.sessions) + repr(vars(desk.sessions))
