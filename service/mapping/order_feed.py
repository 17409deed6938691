"""What the console's stream reads of ListOrders: lines as JSON, and where the next question goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from execution_strategy.v1 import overview_pb2

from service.mapping.contract_json import to_json
from service.mapping.contract_messages import SERVICE

LIST_ORDERS: Final = f"/{SERVICE}/ListOrders"
# Which every role may call: what a token is tried with.
DESCRIBE_SERVICE: Final = f"/{SERVICE}/DescribeService"
PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class Line:
    """One order as JSON, and the place of its newest record in the journal."""

    order_id: str
    revision: int
    json: bytes


@dataclass(frozen=True, slots=True)
class Listed:
    journal_id: str
    revision: int
    next_page_token: str
    lines: tuple[Line, ...]


def orders_request(journal_id: str, changed_after: int, page_token: str = "") -> bytes:
    message = overview_pb2.ListOrdersRequest(
        journal_id=journal_id, changed_after=changed_after, page_token=page_token, page_size=PAGE
    )
    return bytes(message.SerializeToString())


def listed(data: bytes) -> Listed:
    message = overview_pb2.ListOrdersResponse.FromString(data)
    lines = tuple(Line(order.order_id, order.revision, to_json(order)) for order in message.orders)
    return Listed(message.journal_id, message.revision, message.next_page_token, lines)
