"""The Python client: typed, synchronous and on an event loop. README.md beside this file says how."""

from clients.python.adapt_session import AdaptSession
from clients.python.adapt_session_aio import AsyncAdaptSession
from clients.python.adapt_state import Checkpoint, RefusedUpdate
from clients.python.channel import Backoff, ChannelSettings, Retries, Tls
from clients.python.client import Client
from clients.python.client_aio import AsyncClient
from clients.python.errors import (
    AlreadyExists,
    DeadlineExceeded,
    Exhausted,
    InvalidRequest,
    NotFound,
    PreconditionFailed,
    ServiceError,
    Unavailable,
    UpdateRefused,
    Violation,
)
from clients.python.messages import Basket, Outcome, new_order

__all__ = [
    "AdaptSession",
    "AlreadyExists",
    "AsyncAdaptSession",
    "AsyncClient",
    "Backoff",
    "Basket",
    "ChannelSettings",
    "Checkpoint",
    "Client",
    "DeadlineExceeded",
    "Exhausted",
    "InvalidRequest",
    "NotFound",
    "Outcome",
    "PreconditionFailed",
    "RefusedUpdate",
    "Retries",
    "ServiceError",
    "Tls",
    "Unavailable",
    "UpdateRefused",
    "Violation",
    "new_order",
]
