"""The application: probes, the OpenAPI document and its page, and the gateway for every other path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from service.http import headers as http_headers
from service.http import problems
from service.http.console.files import file_routes
from service.http.dial import Dial
from service.http.docs_page import docs_page
from service.http.gateway import Calls, Gateway, Receive, Scope, Send, raw_path
from service.http.health import check_health
from service.http.openapi import Json, openapi_document
from service.http.sessions import Sessions
from service.mapping.http_calls import http_calls

Application = Callable[[Scope, Receive, Send], Awaitable[None]]
# The page is text and its own style; nothing may be fetched or run.
PAGE_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"


@dataclass(frozen=True, slots=True)
class GatewayLimits:
    """What bounds one request."""

    timeout_s: float
    max_body_bytes: int


def make_app(
    grpc_target: str, workers: Calls, limits: GatewayLimits, more_routes: Sequence[BaseRoute] = (),
    dial: Dial | None = None, sessions: Sessions | None = None,
) -> Application:
    """The application; `grpc_target` is where the health service is asked."""
    calls = http_calls()
    gateway = Gateway(
        calls, workers, timeout_s=limits.timeout_s, max_body_bytes=limits.max_body_bytes, sessions=sessions
    )
    documents = _documents(openapi_document(calls, limits.timeout_s))
    routes = [*file_routes(), *_probes(grpc_target, dial), *documents, *more_routes]
    pages = Starlette(routes=routes, exception_handlers={HTTPException: answer_problem})
    pages.router.redirect_slashes = False
    pages.router.default = gateway

    own_paths = {route.path for route in more_routes if isinstance(route, Route)}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # Decisions don't pay for the layers that pages go through.
        is_call = scope["type"] == "http" and gateway.has(scope["path"]) and scope["path"] not in own_paths
        await (gateway if is_call else pages)(scope, receive, send)

    return app


def _probes(grpc_target: str, dial: Dial | None) -> tuple[Route, ...]:
    async def livez(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    async def readyz(_request: Request) -> JSONResponse:
        states = await check_health(grpc_target, dial)
        ready = all(state == "SERVING" for state in states.values())
        return JSONResponse({"ready": ready, "services": states}, status_code=200 if ready else 503)

    return Route("/livez", livez), Route("/readyz", readyz)


def _documents(document: Json) -> tuple[Route, ...]:
    """Written once, here."""
    document_bytes, page = msgspec.json.encode(document), docs_page(document)

    async def openapi(_request: Request) -> Response:
        return Response(document_bytes, media_type="application/json", headers={"cache-control": "no-cache"})

    async def docs(_request: Request) -> Response:
        headers = {"content-security-policy": PAGE_POLICY, "cache-control": "no-cache"}
        return HTMLResponse(page, headers=headers)

    return Route("/openapi.json", openapi), Route("/docs", docs)


def answer_problem(request: Request, error: Exception) -> Response:
    """Refusals of the other paths look like the gateway's."""
    assert isinstance(error, HTTPException)
    request_id = http_headers.request_id_of(http_headers.by_name(request.scope["headers"]))
    more = list((error.headers or {}).items())
    # 405, and 404 below /console: other paths that nobody has are the gateway's.
    words = "there is no such file" if error.status_code == 404 else f"{request.method} is not offered here"
    problem = problems.of_status(error.status_code, words, more)
    body = problem.body(raw_path(request.scope).decode("ascii", "replace"), request_id)
    headers = {http_headers.REQUEST_ID: request_id, **dict(problem.all_headers)}
    return Response(body, problem.status, headers, media_type=problems.MEDIA_TYPE)
