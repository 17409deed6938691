"""The calls of the contract by name, for clients that speak JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from execution_strategy.v1 import market_data_pb2, request_pb2, response_pb2, service_pb2, status_pb2

SERVICE = "execution_strategy.v1.ExecutionStrategyService"


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
