"""Whether the service is ready, asked of its own gRPC health service."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.http.dial import Dial
from service.ports import Address

HEALTH_TIMEOUT_S: Final = 1.0
CHECKED_SERVICES: Final = ("", "execution_strategy.v1.ExecutionStrategyService")


async def check_health(grpc_target: str, dial: Dial | None = None) -> Mapping[str, str]:
    """What the health service says of each service: its status, or the code of the refusal."""
    # A channel a check: the port is shared, and an old connection would ask the same worker for ever.
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
    target = str(Address.parse(grpc_target).dialled())
    async with (dial or Dial()).channel(target, options) as channel:
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
