"""gRPC plumbing: methods by name, statuses, timings, health, reflection. Knows no field of any message."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import grpc
import grpc.aio
import structlog
from execution_strategy.v1 import admin_pb2, service_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from service.accepting import Lines
from service.adapt import Adaptations
from service.administration import Administration
from service.baskets import Baskets
from service.core_calls import Core
from service.door import Door
from service.errors import DETAILS_KEY, RpcError
from service.event_stream import EventStreams, Write
from service.handlers import Stages, StrategyHandlers, echo_stream
from service.outcomes import Outcomes
from service.overview import Overview
from service.performance import PerformanceReports
from service.settings import Settings
from service.telemetry import CallObservation, Telemetry
from store.submission import Condition, KeeperState

SERVICE: Final = service_pb2.DESCRIPTOR.services_by_name["ExecutionStrategyService"].full_name
ADMIN: Final = admin_pb2.DESCRIPTOR.services_by_name["ExecutionStrategyAdmin"].full_name
RECOMMEND: Final = "Recommend"
Context = Any  # grpc.aio.ServicerContext is generic over messages; here everything is bytes.
Handler = Any  # grpc.RpcMethodHandler is generic over messages too.
Unary = Callable[[bytes, Context, Stages], Awaitable[bytes]]
ClientStream = Callable[[AsyncIterator[bytes], Context, Stages], Awaitable[bytes]]
ServerStream = Callable[[bytes, Write], Awaitable[None]]

# At a stop: how long no call must have begun, and how long to wait for that at most, where calls keep coming.
ARRIVING_PAUSE_S: Final = 0.02
MOST_ARRIVING_S: Final = 1.0

TRACEPARENT: Final = "traceparent"
TRACEPARENT_CHARACTERS: Final = 55

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class OrderCalls:
    """What serves the calls about the life of orders."""

    adaptations: Adaptations
    outcomes: Outcomes


class GrpcServer:
    """A `service.worker.RunningService`: built and warm, listening after `start`."""

    def __init__(self, handlers: StrategyHandlers, settings: Settings, telemetry: Telemetry, host: str,
                 close: Callable[[], Awaitable[None]], events: EventStreams | None = None,
                 orders: OrderCalls | None = None, reports: PerformanceReports | None = None,
                 baskets: Baskets | None = None, overview: Overview | None = None,
                 administration: Administration | None = None, door: Door | None = None) -> None:
        self._host = host
        self._door = door or Door()
        self._events = events
        self._orders = orders
        self._reports = reports
        self._baskets = baskets
        self._overview = overview
        self._telemetry = telemetry
        self._close = close
        self._closed: asyncio.Task[None] | None = None
        self._stopping = False
        self._serving = False
        self._condition = Condition.READY
        self._told: asyncio.Task[None] | None = None
        self._begun = 0
        self._server = grpc.aio.server(options=server_options(settings))
        self.health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)
        self._server.add_generic_rpc_handlers((self._strategy(handlers, settings.echo), self._admin(administration)))
        self._lines = self._lines_of(handlers, settings)
        if settings.reflection:
            names = (SERVICE, ADMIN, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)

    async def start(self, port: int) -> int:
        """Listens; for a Unix socket `host` is its address and the port stays as it is."""
        target = self._host if self._host.startswith("unix:") else f"{self._host}:{port}"
        credentials = self._door.credentials()
        if credentials is None:
            bound = self._server.add_insecure_port(target)
        else:
            bound = self._server.add_secure_port(target, credentials)
        await self._server.start()
        if self._lines is not None:
            self._lines.open()
        self._door.start()
        self._serving = True
        await self._tell_health()
        return port if target.startswith("unix:") else bound

    def keeper_changed(self, state: KeeperState) -> None:
        """NOT_SERVING while no decision can be recorded, and back by itself; for `KeeperPort.watch_state`."""
        self._condition = state.condition
        if self._serving and not self._stopping:
            log.log(logging.INFO if state.condition is Condition.READY else logging.ERROR,
                    "records are taken" if state.condition is Condition.READY else "records are refused",
                    condition=state.condition.value, reason=state.reason)
            self._told = asyncio.get_running_loop().create_task(self._tell_health())

    async def _tell_health(self) -> None:
        states = health_pb2.HealthCheckResponse
        taken = self._condition is Condition.READY
        for name in ("", SERVICE, ADMIN):
            await self.health.set(name, states.SERVING if taken else states.NOT_SERVING)

    async def stop(self, grace_s: float) -> None:
        """May be called again with a shorter grace; the keeper is closed once, after the calls have ended."""
        if not self._stopping:
            self._stopping = True
            if self._events is not None:
                self._events.stop()
            if self._orders is not None:
                self._orders.adaptations.stop()
            await self._take_what_arrived(min(MOST_ARRIVING_S, grace_s / 4))
        await self._server.stop(grace_s)
        if self._closed is None:
            self._closed = asyncio.ensure_future(self._close_all())
        await asyncio.shield(self._closed)

    async def _close_all(self) -> None:
        await self._door.close()
        await self._close()

    async def _take_what_arrived(self, limit_s: float) -> None:
        """gRPC cancels calls that reached it but not yet a handler: the loop gets to them first, as far as they end."""
        loop = asyncio.get_running_loop()
        deadline_s, before = loop.time() + limit_s, -1
        while (self._begun != before or self._waiting) and loop.time() < deadline_s:
            before = self._begun
            await asyncio.sleep(ARRIVING_PAUSE_S)

    @property
    def _waiting(self) -> int:
        return self._lines.waiting if self._lines is not None else 0

    def _lines_of(self, handlers: StrategyHandlers, settings: Settings) -> Lines | None:
        """`Recommend` is what is called most, and what takes a turn of the loop: it is taken in at lines of its own."""
        core = Core.of(self._server)
        if core is None:
            return None

        async def recommend(data: bytes, context: Context) -> bytes | None:
            return await self._run(RECOMMEND, handlers.recommend, data, context)

        # Registered, so that its calls wait apart from all others in gRPC's core.
        self._server.add_registered_method_handlers(
            SERVICE, {RECOMMEND: grpc.unary_unary_rpc_method_handler(recommend)}
        )
        return Lines(
            core, f"/{SERVICE}/{RECOMMEND}", recommend, handlers.turns, settings.max_waiting_recommends,
            lambda: self._telemetry.turn_away(RECOMMEND),
        )  # fmt: skip

    def _strategy(self, handlers: StrategyHandlers, echo: bool) -> grpc.GenericRpcHandler:
        methods = {
            RECOMMEND: self._unary(RECOMMEND, handlers.recommend),
            "Status": self._unary("Status", handlers.status),
            "Replay": self._unary("Replay", handlers.replay),
            "UpdateMarketData": self._client_stream("UpdateMarketData", handlers.update_market_data),
        }
        if self._events is not None:
            methods["StreamEvents"] = self._server_stream("StreamEvents", self._events.stream)
        if self._orders is not None:
            methods |= self._order_methods(self._orders)
        if self._reports is not None:
            methods["Performance"] = self._report(self._reports)
        if self._baskets is not None:
            methods["RecommendBatch"] = self._basket(self._baskets)
        if self._overview is not None:
            methods |= self._overview_methods(self._overview)
        if echo:
            methods["Echo"] = self._unary("Echo", handlers.echo)
            methods["EchoStream"] = self._echo_stream()
        return self._complete(service_pb2.DESCRIPTOR.services_by_name["ExecutionStrategyService"], methods)

    def _order_methods(self, orders: OrderCalls) -> dict[str, Handler]:
        async def adapt_once(data: bytes, context: Context, _stages: Stages) -> bytes:
            return await orders.adaptations.adapt_once(data, context)

        async def report(data: bytes, context: Context, _stages: Stages) -> bytes:
            return await orders.outcomes.report(data, context)

        async def adapt(messages: AsyncIterator[bytes], context: Context, _stages: Stages) -> bytes:
            await orders.adaptations.adapt(messages, context.write)
            return b""

        async def handle(messages: AsyncIterator[bytes], context: Context) -> None:
            await self._run("Adapt", adapt, messages, context)

        return {
            "Adapt": grpc.stream_stream_rpc_method_handler(handle),
            "AdaptOnce": self._unary("AdaptOnce", adapt_once),
            "ReportOutcome": self._unary("ReportOutcome", report),
        }

    def _echo_stream(self) -> Handler:
        async def echo(messages: AsyncIterator[bytes], context: Context, _stages: Stages) -> bytes:
            await echo_stream(messages, context.write)
            return b""

        async def handle(messages: AsyncIterator[bytes], context: Context) -> None:
            await self._run("EchoStream", echo, messages, context)

        return grpc.stream_stream_rpc_method_handler(handle)

    def _report(self, reports: PerformanceReports) -> Handler:
        async def report(data: bytes, context: Context, _stages: Stages) -> bytes:
            return await reports.report(data, context)

        return self._unary("Performance", report)

    def _basket(self, baskets: Baskets) -> Handler:
        async def decide_all(data: bytes, context: Context, _stages: Stages) -> bytes:
            await baskets.recommend(data, context, context.write)
            return b""

        async def handle(data: bytes, context: Context) -> None:
            await self._run("RecommendBatch", decide_all, data, context)

        return grpc.unary_stream_rpc_method_handler(handle)

    def _overview_methods(self, overview: Overview) -> dict[str, Handler]:
        def unary(name: str, look: Callable[[bytes], Awaitable[bytes]]) -> Handler:
            async def call(data: bytes, _context: Context, _stages: Stages) -> bytes:
                return await look(data)

            return self._unary(name, call)

        async def history(data: bytes, context: Context, _stages: Stages) -> bytes:
            return await overview.history(data, context.time_remaining())

        return {
            "ListOrders": unary("ListOrders", overview.list_orders),
            "GetOrderHistory": self._unary("GetOrderHistory", history),
            "ListInstruments": unary("ListInstruments", overview.instruments),
            "DescribeService": unary("DescribeService", overview.describe),
        }

    def _admin(self, administration: Administration | None) -> grpc.GenericRpcHandler:
        calls: dict[str, Unary] = administration.calls() if administration is not None else {}
        methods = {name: self._unary(name, call) for name, call in calls.items()}
        return self._complete(admin_pb2.DESCRIPTOR.services_by_name["ExecutionStrategyAdmin"], methods)

    def _complete(self, service: Any, methods: dict[str, Handler]) -> grpc.GenericRpcHandler:
        """The rest of the contract's methods answer UNIMPLEMENTED, by name."""
        for method in service.methods:
            if method.name not in methods:
                methods[method.name] = self._missing(method)
        return grpc.method_handlers_generic_handler(service.full_name, methods)

    def _missing(self, method: Any) -> Handler:
        async def missing(_data: bytes, _context: Context, _stages: Stages) -> bytes:
            raise RpcError(grpc.StatusCode.UNIMPLEMENTED, f"{method.name} is not offered by this server")

        async def refuse(_request: Any, context: Context) -> None:
            if self._door.access is not None:
                await self._run(method.name, missing, b"", context)
                return
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{method.name} is not offered by this server")

        kinds = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }
        make: Any = kinds[(method.client_streaming, method.server_streaming)]
        handler: Handler = make(refuse)
        return handler

    def _unary(self, name: str, call: Unary) -> Handler:
        async def handle(data: bytes, context: Context) -> bytes | None:
            return await self._run(name, call, data, context)

        return grpc.unary_unary_rpc_method_handler(handle)

    def _client_stream(self, name: str, call: ClientStream) -> Handler:
        async def handle(messages: AsyncIterator[bytes], context: Context) -> bytes | None:
            return await self._run(name, call, messages, context)

        return grpc.stream_unary_rpc_method_handler(handle)

    def _server_stream(self, name: str, call: ServerStream) -> Handler:
        async def write_all(data: bytes, context: Context, _stages: Stages) -> bytes:
            await call(data, context.write)
            return b""

        async def handle(data: bytes, context: Context) -> None:
            await self._run(name, write_all, data, context)

        return grpc.unary_stream_rpc_method_handler(handle)

    async def _run(self, name: str, call: Any, data: Any, context: Context) -> bytes | None:
        """Times a call, and turns every way it can end into a status."""
        self._begun += 1
        self._telemetry.begin(name)
        start_ns = time.time_ns()
        stages = Stages()
        code = "OK"
        access, entered = self._door.access, None
        try:
            if access is not None:
                entered = access.enter(name, context)
            answer: bytes = await call(data, context, stages)
            stages.end()
            return answer
        except RpcError as error:
            code = error.code.name
            metadata = ((DETAILS_KEY, error.details),) if error.details else ()
            await context.abort(error.code, error.text, metadata)
            return None
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        except Exception:
            code = "INTERNAL"
            log.exception("a call failed", method=name)
            await context.abort(grpc.StatusCode.INTERNAL, "the service failed; its log says why")
            return None
        finally:
            if entered is not None and access is not None:
                access.leave(entered)
            traceparent = traceparent_of(context) if self._telemetry.traces else ""
            self._telemetry.observe(CallObservation(
                name, code, start_ns, tuple(stages.durations_ns), traceparent=traceparent, decided=stages.decided,
            ))  # fmt: skip


def traceparent_of(context: Context) -> str:
    """The caller's W3C trace context, or "". Longer ones are of no version that is known."""
    for key, value in context.invocation_metadata() or ():
        if key == TRACEPARENT and isinstance(value, str) and len(value) == TRACEPARENT_CHARACTERS:
            return value
    return ""


def server_options(settings: Settings) -> tuple[tuple[str, int], ...]:
    """Everything that matters, set aloud."""
    return (
        ("grpc.so_reuseport", 1),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        # Clients may ping every 10 s even without calls; a connection that answers no ping for 20 s is dead.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        ("grpc.max_metadata_size", 16_384),
        *((("grpc.max_connection_age_ms", round(1e3 * age_s)),) if (age_s := settings.max_connection_age_s) else ()),
    )
