"""A real gRPC service, as small as one can be, run by the real supervisor.

`python -m tests.helpers.tiny_service` serves /tiny.Tiny/Pid (answers the worker's process id) and
/tiny.Tiny/Echo (a stream that gives back what it gets). Variables that begin with TINY_ make it misbehave.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import structlog
from pydantic import SecretStr

from service.keeper_process import KeeperConfig
from service.settings import Settings
from service.settings_load import SettingsError, load_settings
from service.supervisor import PreparedHost, ServicePlan, serve
from service.telemetry import CallObservation, Telemetry
from service.worker import RunningService, WorkerConfig

log = structlog.get_logger(__name__)


def prepare(settings: Settings) -> PreparedHost:
    if fifo := os.environ.get("TINY_PREPARE_WAITS"):
        Path(fifo).read_bytes()  # until somebody has written
    if os.environ.get("TINY_PREPARE_FAILS"):
        raise RuntimeError("no database today")

    def close() -> None:
        assert "grpc" not in sys.modules, "the supervisor imported grpc"
        (settings.data_dir / "closed").touch()

    return PreparedHost(SecretStr("postgresql://tiny:secret@h/d"), {"colour": "green"}, close)


def run_keeper(config: KeeperConfig, ready: Callable[[], None], stop: threading.Event) -> None:
    (config.settings.data_dir / "keeper.pid").write_text(str(os.getpid()))
    ready()
    stop.wait()
    (config.settings.data_dir / "keeper.drained").touch()


def preload(settings: Settings) -> None:
    (settings.data_dir / f"loading-{os.getpid()}").touch()
    if os.environ.get("TINY_PRELOAD_HANGS"):
        threading.Event().wait()
    if os.environ.get("TINY_PRELOAD_FAILS"):
        raise RuntimeError("nothing to load")
    (settings.data_dir / f"loaded-{os.getpid()}").touch()


async def build(config: WorkerConfig, telemetry: Telemetry) -> RunningService:
    assert config.resources["colour"] == "green"
    if os.environ.get("TINY_CRASHES"):
        raise RuntimeError("surfaces are corrupt: password=hunter2")
    await asyncio.sleep(float(os.environ.get("TINY_BUILDS_FOR_S", "0")))
    if os.environ.get("TINY_DIES"):
        os._exit(7)

    # In the function, as in any build: the supervisor's process imports this module too.
    import grpc
    from grpc_health.v1 import _async as health_async
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    async def pid(_request: bytes, _context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        telemetry.observe(CallObservation("Pid", "OK", 0, (1,)))
        return str(os.getpid()).encode()

    async def echo(
        requests: AsyncIterator[bytes], _context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request

    class Tiny:
        def __init__(self) -> None:
            self.health = health_async.HealthServicer()
            self._server = grpc.aio.server(options=(("grpc.so_reuseport", 1),))
            handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
                "Pid": grpc.unary_unary_rpc_method_handler(pid),
                "Echo": grpc.stream_stream_rpc_method_handler(echo),
            }
            tiny = grpc.method_handlers_generic_handler("tiny.Tiny", handlers)
            self._server.add_generic_rpc_handlers((tiny,))
            health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)

        async def start(self, port: int) -> int:
            bound = self._server.add_insecure_port(config.grpc_target)
            assert bound == (port or 1)  # gRPC says 1 for a Unix socket
            serving = health_pb2.HealthCheckResponse.SERVING
            for service in ("", "execution_strategy.v1.ExecutionStrategyService"):
                await self.health.set(service, serving)
            await self._server.start()
            return bound

        async def stop(self, grace_s: float) -> None:
            await self._server.stop(grace_s)

    return Tiny()


def main() -> int:
    try:
        settings = load_settings(os.environ)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return os.EX_CONFIG
    here = "tests.helpers.tiny_service"
    return serve(settings, ServicePlan(prepare, f"{here}:build", f"{here}:run_keeper", f"{here}:preload"))


if __name__ == "__main__":
    sys.exit(main())
