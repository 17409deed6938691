"""The calls of the contract by name, for clients that speak JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from execution_strategy.v1 import (
    admin_pb2,
    enums_pb2,
    market_data_pb2,
    replay_pb2,
    request_pb2,
    response_pb2,
    service_pb2,
    status_pb2,
)

SERVICE = "execution_strategy.v1.ExecutionStrategyService"
ADMIN = "execution_strategy.v1.ExecutionStrategyAdmin"


@dataclass(frozen=True, slots=True)
class Method:
    """A call's path and the types that go and come."""

    path: str
    request: Any
    response: Any


RECOMMEND = Method(
    f"/{SERVICE}/Recommend", request_pb2.ExecutionStrategyRequest, response_pb2.ExecutionStrategyResponse
)
ECHO = Method(f"/{SERVICE}/Echo", service_pb2.EchoRequest, service_pb2.EchoResponse)
STATUS = Method(f"/{SERVICE}/Status", status_pb2.StatusRequest, status_pb2.StrategyExecutionStatus)
UPDATE_MARKET_DATA = Method(
    f"/{SERVICE}/UpdateMarketData", market_data_pb2.UpdateMarketDataRequest, market_data_pb2.UpdateMarketDataResponse
)
REPLAY = Method(f"/{SERVICE}/Replay", replay_pb2.ReplayRequest, replay_pb2.ReplayResponse)
LIST_ARTIFACTS = Method(f"/{ADMIN}/ListArtifacts", admin_pb2.ListArtifactsRequest, admin_pb2.ListArtifactsResponse)
ACTIVATE_ARTIFACT = Method(
    f"/{ADMIN}/ActivateArtifact", admin_pb2.ActivateArtifactRequest, admin_pb2.ActivateArtifactResponse
)
CONTROLS = {
    name: Method(f"/{ADMIN}/{name}", getattr(admin_pb2, f"{name}Request"), getattr(admin_pb2, f"{name}Response"))
    for name in ("Halt", "Resume", "SetLimits", "ListControls")
}


def deciding_modules() -> dict[str, Path]:
    """The modules whose messages a decision is read from and written to, by name: part of what a build is."""
    modules = (enums_pb2, request_pb2, response_pb2)
    return {module.__name__: Path(str(module.__file__)) for module in modules}
