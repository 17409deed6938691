"""Orders for the gateways in C++ and Java: as a person writes them, as bytes, and what became of their updates."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from execution_strategy.v1 import request_pb2, status_pb2

from service.mapping.contract_json import from_object
from tests.helpers import native_clients as native
from tests.helpers.live_service import Gateway, closed_time, new_order_id


def write_order(folder: Path) -> Path:
    """An order as a person writes it, planned for the next session at whatever hour the test runs."""
    order = {
        "order_id": new_order_id("native"), "instrument_id": "AIG", "side": "BUY", "quantity": 40_000,
        "objective": "BALANCED_EXECUTION", "urgency": "NORMAL", "market_context": {"time_of_day": "MORNING"},
        "effective_time": stamp(),
    }  # fmt: skip
    path = folder / "order.json"
    path.write_text(json.dumps(order))
    return path


def stamp() -> str:
    moment = request_pb2.MarketBar().end_time
    moment.FromSeconds(closed_time())
    return str(moment.ToJsonString())


def sent(order_path: Path) -> bytes:
    message = request_pb2.ExecutionStrategyRequest()
    assert from_object(json.loads(order_path.read_text()), message) == []
    return message.SerializeToString()


def fates(program: Sequence[str], target: str, order_path: Path, lines: Sequence[str]) -> list[str]:
    request = order_path.with_suffix(".bin")
    request.write_bytes(sent(order_path))
    printed = native.run(program, target, str(request), given="\n".join(lines))
    assert printed.code == 0, printed
    return printed.text.splitlines()


def progress(gateway: Gateway, order_path: Path) -> Any:
    order_id = json.loads(order_path.read_text())["order_id"]
    reply = gateway.call("Status", status_pb2.StatusRequest(order_id=order_id))
    return status_pb2.StrategyExecutionStatus.FromString(reply.data).progress
