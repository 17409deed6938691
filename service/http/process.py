"""The HTTP process: probes, the JSON gateway, the OpenAPI document and its page.

Its own process, because a second server on a worker's event loop would cost the decisions their tail.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import ssl
from collections.abc import Iterator
from typing import Final

import structlog
import uvicorn

from service.children import ChildLink, HttpConfig, StopOrder, unblock_signals
from service.http.app import Application, GatewayLimits, make_app
from service.http.console.sign_in import SignIn
from service.http.console.stream import OrderStreams
from service.http.dial import Dial, dial_of
from service.http.metrics import metrics_route
from service.http.one_write import OneWriteProtocol
from service.http.sessions import Sessions
from service.http.workers import Workers
from service.logs import configure_logging
from service.ports import Address, listening_socket, resolved
from service.settings import Settings
from service.tls_files import TlsError

# Workers have finished their calls before HTTP is asked to stop, so what is left takes no time.
STOP_TIMEOUT_S: Final = 2
TLS_LOOK_S: Final = 1.0
# An answer makes some hundred objects, and none of them in a circle.
YOUNG_OBJECTS: Final = 20_000

log = structlog.get_logger(__name__)


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
    settings = config.settings
    target = str(Address.parse(config.grpc_target).dialled())
    dial = dial_of(settings)
    workers = Workers(target, settings.workers, settings.max_message_bytes, dial)
    limits = GatewayLimits(settings.http_timeout_s, settings.http_max_body_bytes)
    sessions = Sessions(is_secure=settings.tls_certificate is not None, lasts_s=settings.console_session_s)
    streams = OrderStreams(workers, sessions)
    routes = [streams.route, SignIn(workers, sessions).route, metrics_route(settings.data_dir)]
    app = make_app(config.grpc_target, workers, limits, routes, dial=dial, sessions=sessions)
    server = _Server(_uvicorn_config(app, settings))
    _stop_when_told(link, streams, server)
    sockets = listen(Address.parse(config.http_address))
    # What was loaded lives as long as the process: the collector need not walk it again, ever.
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 10, 10)
    link.ready()
    log.info("http ready", http=config.http_address)
    renewal = asyncio.create_task(renew_tls(settings, dial, workers, server.config), name="tls-renewal")
    await server.serve(sockets=sockets)
    renewal.cancel()
    await workers.close()
    log.info("http stopped")


def _uvicorn_config(app: Application, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        # Logging is configured already; a line a probe would say nothing.
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        http=OneWriteProtocol,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=STOP_TIMEOUT_S,
        limit_concurrency=1000,
        backlog=128,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
    )


def _stop_when_told(link: ChildLink, streams: OrderStreams, server: _Server) -> None:
    """By the supervisor alone: /readyz answers until it says otherwise, also when the whole group gets a signal."""
    loop = asyncio.get_running_loop()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    unblock_signals()

    def obey(_order: StopOrder) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            loop.call_soon_threadsafe(streams.stop)
            loop.call_soon_threadsafe(server.request_stop)

    link.listen(obey)


async def renew_tls(settings: Settings, dial: Dial, workers: Workers, config: uvicorn.Config) -> None:
    """Takes changed TLS files for what is served here and for the way to the workers; unsound ones change nothing."""
    stamp = dial.stamp
    while stamp is not None:
        await asyncio.sleep(TLS_LOOK_S)
        if dial.stamp == stamp:
            continue
        stamp = dial.stamp
        try:
            await workers.renew()
            if isinstance(config.ssl, ssl.SSLContext) and settings.tls_certificate is not None:
                config.ssl.load_cert_chain(settings.tls_certificate, settings.tls_key)
        except (TlsError, OSError) as error:
            log.error("changed TLS files cannot be used; the ones before are", reason=str(error))


def listen(address: Address) -> list[socket.socket]:
    """Sockets that listen, one for each family of the address."""
    sockets = [listening_socket(family, host, address.port) for family, host in resolved(address)]
    for listening in sockets:
        # Accepted sockets inherit it. asyncio sets it only on sockets that name their protocol, and these do not;
        # without it an answer's body waits 40 ms for the client's delayed acknowledgement of its head.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.listen(128)
        # Accepted sockets inherit this, too: what a browser leaves half closed must not keep the next start from the
        # port (service/ports.py probes with it). After bind, so that the reservation stays exact.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setblocking(False)
    return sockets
