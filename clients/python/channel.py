"""How to reach the service: address, deadlines, retries, keepalive, TLS. One value, and the channels it makes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
from execution_strategy.v1 import service_pb2

SERVICE: Final = "execution_strategy.v1.ExecutionStrategyService"


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM bytes. Without `root_certificates` the ones that gRPC ships; with a key and a chain the client shows who it
    is (mTLS). `server_name` where the certificate's name is not the address's."""

    root_certificates: bytes | None = None
    private_key: bytes | None = None
    certificate_chain: bytes | None = None
    server_name: str = ""

    def credentials(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(self.root_certificates, self.private_key, self.certificate_chain)


@dataclass(frozen=True, slots=True)
class Retries:
    """Of unary calls, by gRPC itself, within the call's deadline, and only where the service could not be reached
    or could not record: these calls are idempotent by their order id."""

    attempts: int = 4
    first_s: float = 0.05
    last_s: float = 1.0
    multiplier: float = 2.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """Of streams that were cut: the ceiling doubles from `first_s` to `last_s`, a wait is drawn below it."""

    first_s: float = 0.1
    last_s: float = 5.0

    def delay_s(self, failures: int, uniform: float) -> float:
        """After so many failures in a row; `uniform` is drawn from [0, 1)."""
        return float(min(self.last_s, self.first_s * 2.0 ** min(failures - 1, 60)) * uniform)


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """`timeout_s`: deadline of a call that names none; `report_timeout_s`: that of `performance`, which reads much.
    `keepalive_s`: a ping when nothing was heard for so long (the service takes one every 10 s and more). `metadata`
    goes with every call. `wait_for_ready`: a call waits for the service within its deadline, where it would fail at
    once."""

    address: str = "127.0.0.1:50051"
    timeout_s: float = 1.0
    report_timeout_s: float = 30.0
    tls: Tls | None = None
    retries: Retries = field(default_factory=Retries)
    backoff: Backoff = field(default_factory=Backoff)
    keepalive_s: float = 30.0
    keepalive_timeout_s: float = 10.0
    most_message_bytes: int = 16 * 1024 * 1024
    wait_for_ready: bool = True
    metadata: Sequence[tuple[str, str]] = ()


def service_config(retries: Retries) -> str:
    """gRPC's service config: the retry policy of unary calls. Streams are resumed by their clients, which know from
    where; AdaptOnce without a number would be applied twice."""
    methods = service_pb2.DESCRIPTOR.services_by_name["ExecutionStrategyService"].methods
    unary = [
        method.name for method in methods
        if not method.client_streaming and not method.server_streaming and method.name != "AdaptOnce"
    ]  # fmt: skip
    policy = {
        "maxAttempts": retries.attempts,
        "initialBackoff": f"{retries.first_s}s",
        "maxBackoff": f"{retries.last_s}s",
        "backoffMultiplier": retries.multiplier,
        "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
    }
    names = [{"service": SERVICE, "method": name} for name in unary]
    config: dict[str, Any] = {"methodConfig": [{"name": names}]}
    if retries.attempts > 1:  # gRPC knows no policy of one attempt
        config["methodConfig"][0]["retryPolicy"] = policy
    return json.dumps(config)


def channel_options(settings: ChannelSettings) -> list[tuple[str, Any]]:
    """Every option that matters, set aloud."""
    options: list[tuple[str, Any]] = [
        ("grpc.service_config", service_config(settings.retries)),
        ("grpc.enable_retries", 1),
        ("grpc.keepalive_time_ms", int(settings.keepalive_s * 1e3)),
        ("grpc.keepalive_timeout_ms", int(settings.keepalive_timeout_s * 1e3)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_receive_message_length", settings.most_message_bytes),
        ("grpc.max_send_message_length", settings.most_message_bytes),
        # A connection of this client's own: workers share a port, and connections are what is balanced.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
    ]
    if settings.tls is not None and settings.tls.server_name:
        options.append(("grpc.ssl_target_name_override", settings.tls.server_name))
    return options


def open_channel(settings: ChannelSettings) -> grpc.Channel:
    if settings.tls is None:
        return grpc.insecure_channel(settings.address, channel_options(settings))
    return grpc.secure_channel(settings.address, settings.tls.credentials(), channel_options(settings))


def open_async_channel(settings: ChannelSettings) -> grpc.aio.Channel:
    if settings.tls is None:
        return grpc.aio.insecure_channel(settings.address, channel_options(settings))
    return grpc.aio.secure_channel(settings.address, settings.tls.credentials(), channel_options(settings))
