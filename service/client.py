"""A small synchronous client of the service, for the command line: a gateway like any other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from service.errors import DETAILS_KEY, summary
from service.mapping.contract_json import from_object, to_object
from service.mapping.contract_messages import (
    ACTIVATE_ARTIFACT,
    CONTROLS,
    LIST_ARTIFACTS,
    RECOMMEND,
    REPLAY,
    STATUS,
    UPDATE_MARKET_DATA,
    Method,
)
from service.settings import Settings
from service.tls import own_channel_credentials

CALL_TIMEOUT_S = 5.0
# An old artifact may have to be loaded and checked first.
REPLAY_TIMEOUT_S = 60.0
# Every worker of every host loads and checks first.
ACTIVATE_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A call's result as a JSON object of the contract, or the refusal with every violation."""

    request: dict[str, object]
    response: dict[str, object] | None
    code: str = "OK"
    message: str = ""
    violations: tuple[tuple[str, str], ...] = ()


class ServiceClient:
    """One channel. Close it, or use it as a context manager."""

    def __init__(
        self, address: str, timeout_s: float = CALL_TIMEOUT_S, *, credentials: Any = None, server_name: str = ""
    ) -> None:
        self._timeout_s = timeout_s
        options = (("grpc.enable_retries", 1), ("grpc.max_receive_message_length", 16 * 1024 * 1024))
        if credentials is None:
            self._channel = grpc.insecure_channel(address, options=options)
        else:
            named = (*options, ("grpc.ssl_target_name_override", server_name))
            self._channel = grpc.secure_channel(address, credentials, options=named)

    def __enter__(self) -> ServiceClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def recommend(self, request: dict[str, object]) -> Answer:
        """Decides one order, given as JSON of the contract."""
        return self._call(RECOMMEND, request)

    def status(self, order_id: str) -> Answer:
        return self._call(STATUS, {"order_id": order_id})

    def replay(self, selection_id: str) -> Answer:
        """Makes a recorded decision again."""
        return self._call(REPLAY, {"selection_id": selection_id}, REPLAY_TIMEOUT_S)

    def administer(self, name: str, fields: dict[str, object], timeout_s: float) -> Answer:
        """Halt, Resume, SetLimits or ListControls."""
        return self._call(CONTROLS[name], fields, timeout_s)

    def artifacts(self) -> Answer:
        return self._call(LIST_ARTIFACTS, {})

    def activate(self, manifest_sha256: str, reason: str, shadow: bool) -> Answer:
        fields: dict[str, object] = {"manifest_sha256": manifest_sha256, "reason": reason, "shadow": shadow}
        return self._call(ACTIVATE_ARTIFACT, fields, ACTIVATE_TIMEOUT_S)

    def update_market_data(self, updates: Iterable[dict[str, object]]) -> Answer:
        """Streams updates; the answer counts them."""

        def messages() -> Iterator[bytes]:
            for fields in updates:
                message = UPDATE_MARKET_DATA.request()
                faults = from_object(fields, message)
                if faults:
                    raise ValueError(summary(faults))
                yield message.SerializeToString()

        call: Any = self._channel.stream_unary(UPDATE_MARKET_DATA.path)
        answer = UPDATE_MARKET_DATA.response.FromString(call(messages(), timeout=self._timeout_s))
        return Answer({}, to_object(answer, with_defaults=True))

    def _call(self, method: Method, fields: dict[str, object], timeout_s: float | None = None) -> Answer:
        message = method.request()
        faults = from_object(fields, message)
        if faults:
            said = tuple((fault.field, fault.description) for fault in faults)
            return Answer(fields, None, "INVALID_ARGUMENT", summary(faults), said)
        call: Any = self._channel.unary_unary(method.path)
        try:
            data = call(message.SerializeToString(), timeout=timeout_s or self._timeout_s, wait_for_ready=True)
        except grpc.RpcError as error:
            return Answer(fields, None, error.code().name, error.details() or "", violations_of(error))
        return Answer(fields, to_object(method.response.FromString(data), with_defaults=True))


def violations_of(error: Any) -> tuple[tuple[str, str], ...]:
    """(field, description) of every violation in a status's details."""
    raw = next((value for key, value in error.trailing_metadata() or () if key == DETAILS_KEY), b"")
    found: list[tuple[str, str]] = []
    for detail in status_pb2.Status.FromString(raw).details if raw else ():
        invalid, failed = error_details_pb2.BadRequest(), error_details_pb2.PreconditionFailure()
        if detail.Unpack(invalid):
            found += [(violation.field, violation.description) for violation in invalid.field_violations]
        elif detail.Unpack(failed):
            found += [(violation.subject, violation.description) for violation in failed.violations]
    return tuple(found)


def connect(settings: Settings, address: str | None = None) -> ServiceClient:
    """To a given address, to the service that runs in the settings' data folder, or to the configured address."""
    from service.data_dir import running_address

    target = address or running_address(settings.data_dir) or settings.grpc_address
    files = settings.tls_files
    if files is None:
        return ServiceClient(target)
    credentials = own_channel_credentials(files, settings.tls_ca)
    return ServiceClient(target, credentials=credentials, server_name=settings.tls_server_name)
