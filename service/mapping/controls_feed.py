"""What the console's stream reads of ListControls: halts and limits as JSON, the same bytes while nothing changes."""

from __future__ import annotations

from typing import Final

from execution_strategy.v1 import admin_pb2

from service.mapping.contract_json import to_json

LIST_CONTROLS: Final = f"/{admin_pb2.DESCRIPTOR.services_by_name['ExecutionStrategyAdmin'].full_name}/ListControls"


def controls_request() -> bytes:
    return admin_pb2.ListControlsRequest().SerializeToString()


def controls_json(data: bytes) -> bytes:
    """Without the end of the host's lease, which moves all the time."""
    message = admin_pb2.ListControlsResponse.FromString(data)
    message.ClearField("lease_expires_at")
    return to_json(message)
