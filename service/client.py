"""A small synchronous client of the service, for the command line: a gateway like any other."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from service.cli_app import CommandError
from service.client_token import TokenFileError, read_token
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
from service.ports import Address, AddressError
from service.settings import Settings
from service.tls import client_credentials
from service.tls_files import TlsError

CALL_TIMEOUT_S = 5.0
# An address where packets are dropped says nothing; one where nobody listens says so at once.
CONNECT_TIMEOUT_S = 5.0
WATCHER_ENDS_S = 1.0
# An old artifact may have to be loaded and checked first.
REPLAY_TIMEOUT_S = 60.0
# Every worker of every host loads and checks first.
ACTIVATE_TIMEOUT_S = 120.0
EX_CONFIG = 78


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
        self, address: str, timeout_s: float = CALL_TIMEOUT_S, *, credentials: Any = None, server_name: str = "",
        token_file: Path | None = None, connect_timeout_s: float = CONNECT_TIMEOUT_S,
    ) -> None:  # fmt: skip
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._token_file = token_file
        self._is_reached = False
        self._watchers: list[threading.Thread] = []
        options = (("grpc.enable_retries", 1), ("grpc.max_receive_message_length", 16 * 1024 * 1024))
        if credentials is None:
            self._where = f"{address} (without TLS)"
            self._channel = grpc.insecure_channel(address, options=options)
        else:
            self._where = f"{address} (over TLS, as {server_name})"
            named = (*options, ("grpc.ssl_target_name_override", server_name))
            self._channel = grpc.secure_channel(address, credentials, options=named)

    def __enter__(self) -> ServiceClient:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._is_reached:
            # gRPC's threads look at the channel five times a second while somebody waits for a connection; one that
            # finds it closed ends in a traceback on stderr.
            for watcher in self._watchers:
                watcher.join(WATCHER_ENDS_S)
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
        data = call(messages(), timeout=self._timeout_s, metadata=self._metadata())
        answer = UPDATE_MARKET_DATA.response.FromString(data)
        return Answer({}, to_object(answer, with_defaults=True))

    def _call(self, method: Method, fields: dict[str, object], timeout_s: float | None = None) -> Answer:
        message = method.request()
        faults = from_object(fields, message)
        if faults:
            said = tuple((fault.field, fault.description) for fault in faults)
            return Answer(fields, None, "INVALID_ARGUMENT", summary(faults), said)
        try:
            metadata = self._metadata()
        except TokenFileError as error:
            return Answer(fields, None, "UNAUTHENTICATED", str(error))
        if not self._reach():
            text = f"no connection to {self._where} within {self._connect_timeout_s:g} s"
            return Answer(fields, None, "UNAVAILABLE", text)
        call: Any = self._channel.unary_unary(method.path)
        was_reached = self._is_reached
        try:
            data = call(
                message.SerializeToString(), timeout=timeout_s or self._timeout_s, wait_for_ready=was_reached,
                metadata=metadata,
            )  # fmt: skip
        except grpc.RpcError as error:
            code, text = error.code(), error.details() or ""
            if code is grpc.StatusCode.UNAVAILABLE and not was_reached:
                text = self._unreached(text)
            return Answer(fields, None, code.name, text, violations_of(error))
        return Answer(fields, to_object(method.response.FromString(data), with_defaults=True))

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        """Raises TokenFileError."""
        if self._token_file is None:
            return ()
        return (("authorization", f"Bearer {read_token(self._token_file)}"),)

    def _reach(self) -> bool:
        """Before the first call: until there is a connection, or it is known that there is none and the call says why.
        False where neither came in time. A connection that is lost later is waited for: a worker is replaced."""
        if self._is_reached:
            return True
        told = threading.Event()

        def changed(state: grpc.ChannelConnectivity) -> None:
            self._is_reached = self._is_reached or state is grpc.ChannelConnectivity.READY
            if self._is_reached or state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                told.set()

        others = set(threading.enumerate())
        self._channel.subscribe(changed, try_to_connect=True)
        self._watchers += [thread for thread in threading.enumerate() if thread not in others]
        try:
            return told.wait(self._connect_timeout_s)
        finally:
            self._channel.unsubscribe(changed)

    def _unreached(self, reason: str) -> str:
        nobody = any(words in reason for words in ("Connection refused", "No such file"))
        return f"{'nothing listens at' if nobody else 'no connection to'} {self._where}: {reason}"


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
    """To a given address, to the service that runs in the settings' data folder, or to the configured address. Raises
    CommandError where the settings do not allow that."""
    from service.data_dir import running_address

    target = address or running_address(settings.data_dir) or settings.grpc_address
    try:
        credentials = client_credentials(settings.tls_files, settings.tls_ca)
    except TlsError as error:
        raise CommandError(str(error), EX_CONFIG) from error
    if settings.token_file is not None and credentials is None and not (settings.open_network or _is_here(target)):
        text = f"a token is not sent to {target} in plain text: name who signs its certificate by ESS_TLS_CA"
        raise CommandError(text, EX_CONFIG)
    return ServiceClient(
        target, credentials=credentials, server_name=settings.tls_server_name, token_file=settings.token_file
    )


def _is_here(target: str) -> bool:
    try:
        return Address.parse(target).dialled().is_loopback
    except AddressError:
        return False
