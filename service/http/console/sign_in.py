"""Signing in and out: `/api/v1/console/session`.

    GET     whether somebody is signed in, until when, and whether the service wants that at all
    POST    {"token": "..."}: asks the service whether it knows the token, and gives a cookie for it
    DELETE  ends the session
"""

from __future__ import annotations

import time
from typing import Any, Final

import grpc.aio
import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.http import headers as http_headers
from service.http import problems
from service.http.console.stream import refusal
from service.http.gateway import Calls, Gone, read_body
from service.http.problems import Problem, Refused
from service.http.sessions import Sessions, check_own_page, check_token
from service.mapping.order_feed import DESCRIBE_SERVICE

PATH: Final = "/api/v1/console/session"
ASK_TIMEOUT_S: Final = 3.0
MOST_BODY_BYTES: Final = 16_384
HEADERS: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


class SignIn:
    """The route. A token is asked of the service, kept in `sessions`, and written nowhere."""

    def __init__(self, workers: Calls, sessions: Sessions) -> None:
        self._workers = workers
        self._sessions = sessions

    @property
    def route(self) -> Route:
        return Route(PATH, self._answer, methods=["GET", "POST", "DELETE"])

    async def _answer(self, request: Request) -> Response:
        headers = http_headers.by_name(request.scope["headers"])
        request_id = http_headers.request_id_of(headers)
        try:
            if request.method == "POST":
                return await self._open(request, headers, request_id)
            if request.method == "DELETE":
                check_own_page(headers)
                cookie = self._sessions.close(headers)
                return Response(status_code=204, headers={**HEADERS, "set-cookie": cookie})
            return await self._told(headers, request_id)
        except Refused as refused:
            return refusal(request, refused.problem, request_id)
        except Gone:
            return Response(status_code=400, headers=HEADERS)

    async def _open(self, request: Request, headers: dict[str, str], request_id: str) -> Response:
        check_own_page(headers)
        http_headers.check_json(http_headers.asked(headers, request_id, ASK_TIMEOUT_S))
        body = await read_body(request.receive, MOST_BODY_BYTES, http_headers.length_of(headers))
        token = check_token(token_in(body))
        problem = await self._problem_of(request_id, f"Bearer {token}")
        if problem is not None:
            raise Refused(problem)
        self._sessions.close(headers)  # whoever signs in anew has one session, not two
        return Response(status_code=204, headers={**HEADERS, "set-cookie": self._sessions.open(token)})

    async def _told(self, headers: dict[str, str], request_id: str) -> Response:
        left_s = self._sessions.left_s(self._sessions.key_of(headers))
        found: dict[str, Any] = {"signed_in": left_s > 0.0, "needed": False}
        if left_s > 0.0:
            found["expires_at"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + left_s))
        else:
            problem = await self._problem_of(request_id)
            found["needed"] = problem is not None and problem.code == "UNAUTHENTICATED"
        return JSONResponse(found, headers=HEADERS)

    async def _problem_of(self, request_id: str, credentials: str = "") -> Problem | None:
        """What the service says to the credentials; one who is known and may not ask is known all the same."""
        metadata = [(http_headers.REQUEST_ID, request_id), ("authorization", credentials)]
        try:
            await self._workers.call(DESCRIBE_SERVICE, b"", ASK_TIMEOUT_S, metadata)
        except grpc.aio.AioRpcError as error:
            return None if error.code() is grpc.StatusCode.PERMISSION_DENIED else problems.of_rpc_error(error)
        return None


def token_in(body: bytes) -> object:
    """None for what is no object with a token."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found.get("token") if isinstance(found, dict) else None
