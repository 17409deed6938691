"""The HTTP side, in a process of its own: `/livez` and `/readyz`; the JSON gateway will be mounted beside.

Its own process, because a second server on a worker's event loop would cost the decisions their tail.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator, Mapping
from typing import Any, Final

import grpc
import structlog
import uvicorn
from grpc_health.v1 import health_pb2, health_pb2_grpc
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from service.children import ChildLink, HttpConfig, StopOrder, unblock_signals
from service.logs import configure_logging
from service.ports import Address, listening_socket, resolved

HEALTH_TIMEOUT_S: Final = 1.0
STOP_TIMEOUT_S: Final = 2
CHECKED_SERVICES: Final = ("", "execution_strategy.v1.ExecutionStrategyService")

log = structlog.get_logger(__name__)


def make_app(grpc_target: str) -> Starlette:
    """The application; `grpc_target` is where the health service is asked."""

    async def livez(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    async def readyz(_request: Request) -> JSONResponse:
        states = await check_health(grpc_target)
        ready = all(state == "SERVING" for state in states.values())
        return JSONResponse({"ready": ready, "services": states}, status_code=200 if ready else 503)

    return Starlette(routes=[Route("/livez", livez), Route("/readyz", readyz)])


async def check_health(grpc_target: str) -> Mapping[str, str]:
    """What the health service says of each service: its status, or the code of the refusal."""
    # A channel a check: the port is shared, and an old connection would ask the same worker for ever.
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
    target = str(Address.parse(grpc_target).dialled())
    async with grpc.aio.insecure_channel(target, options=options) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        states = await asyncio.gather(*(_state(stub, service) for service in CHECKED_SERVICES))
    return dict(zip(CHECKED_SERVICES, states, strict=True))


async def _state(stub: Any, service: str) -> str:
    try:
        request = health_pb2.HealthCheckRequest(service=service)
        answer = await stub.Check(request, timeout=HEALTH_TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


class _Server(uvicorn.Server):
    """uvicorn without its signal handling, which would raise the signal again after a graceful stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def request_stop(self) -> None:
        # A second request hastens.
        self.force_exit = self.should_exit
        self.should_exit = True


def http_main(config: HttpConfig, link: ChildLink) -> None:
    """The process, from start to end."""
    logs = configure_logging(config.settings, process="http")
    try:
        asyncio.run(_serve(config, link))
    finally:
        logs.close()


async def _serve(config: HttpConfig, link: ChildLink) -> None:
    server = _Server(
        uvicorn.Config(
            make_app(config.grpc_target),
            # Logging is configured already; a line a probe would say nothing.
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            timeout_keep_alive=15,
            timeout_graceful_shutdown=STOP_TIMEOUT_S,
            limit_concurrency=1000,
            backlog=128,
        )
    )
    loop = asyncio.get_running_loop()
    # /readyz answers until the supervisor says otherwise, also when the whole group gets a signal.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    unblock_signals()

    def obey(_order: StopOrder) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            loop.call_soon_threadsafe(server.request_stop)

    link.listen(obey)
    sockets = _listen(Address.parse(config.http_address))
    link.ready()
    log.info("http ready", http=config.http_address)
    await server.serve(sockets=sockets)
    log.info("http stopped")


def _listen(address: Address) -> list[socket.socket]:
    sockets = [listening_socket(family, host, address.port) for family, host in resolved(address)]
    for listening in sockets:
        listening.listen(128)
        listening.setblocking(False)
    return sockets
