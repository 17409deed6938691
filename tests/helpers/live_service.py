"""The real service in processes of its own, and a gateway's view of it: bytes in, bytes or a status out."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc
import psycopg
from execution_strategy.v1 import market_data_pb2, request_pb2, response_pb2
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from engine.values import Instrument, MarketState
from service.mapping.contract_json import from_object
from store.embedded import running_conninfo
from store.instruments import read_seed
from tests.helpers.prepared import copy_prepared
from tests.helpers.running_host import RunningHost, environment, eventually, is_alive

PACKAGE = "execution_strategy.v1"
SERVICE = f"{PACKAGE}.ExecutionStrategyService"
ADMIN = f"{PACKAGE}.ExecutionStrategyAdmin"
DETAILS_KEY = "grpc-status-details-bin"
# What the contract says a call may end with. Whatever else arrives is a fault of the service.
DOCUMENTED = frozenset(
    {"OK", "INVALID_ARGUMENT", "FAILED_PRECONDITION", "ALREADY_EXISTS", "RESOURCE_EXHAUSTED", "NOT_FOUND"}
)
# Clients of other languages take so much of trailers and no more (grpc-java: 8192, each entry 32 bytes more).
TRAILERS_LIMIT_BYTES = 8192
DAY_S = 86_400

Request = request_pb2.ExecutionStrategyRequest
Response = response_pb2.ExecutionStrategyResponse
_numbers = itertools.count(1)
_run = uuid.uuid4().hex[:6]


class LiveService(RunningHost):
    """`ess serve`, its children, and its embedded PostgreSQL."""

    def __init__(self, data_dir: Path, **variables: str) -> None:
        self.data_dir = data_dir
        self._log_path = data_dir.with_suffix(".log")
        with self._log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "service.cli", "serve"],
                env=environment(data_dir, **variables),
                cwd=data_dir.parent,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def conninfo(self) -> str:
        """Of the embedded server, which must be running."""
        found = running_conninfo(self.data_dir)
        assert found is not None, "the embedded PostgreSQL does not run"
        return found

    @property
    def postgres_pid(self) -> int:
        """Of the postmaster; 0 where none was ever started or it stopped in order."""
        try:
            return int((self.data_dir / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return 0

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            return connection.execute(query, parameters).fetchall()

    def terminate(self, within_s: float = 30.0) -> int:
        """SIGTERM to the supervisor; the exit code. Where it is not 0, the end of the log is printed."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(within_s)
        if code:
            print(f"the service ended with {code}:", self._log_path.read_text()[-4_000:], sep="\n")
        return code

    def end(self) -> None:
        if self.process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.terminate()
        super().end()
        # The database has a session of its own; it is left only where the supervisor was killed.
        postmaster = self.postgres_pid
        if postmaster and is_alive(postmaster):
            with contextlib.suppress(ProcessLookupError):
                os.kill(postmaster, signal.SIGINT)
            eventually(lambda: not is_alive(postmaster), within_s=15, what="PostgreSQL gone")


@contextlib.contextmanager
def live_service(data_dir: Path | None = None, **variables: str) -> Iterator[LiveService]:
    """A ready service, in a short folder of its own unless one is given. Where the folder is new it begins with what a
    first start makes."""
    with _folder() as folder:
        copy_prepared(data_dir or folder, with_database=not variables.get("ESS_DATABASE_URL"))
        with _running(LiveService(data_dir or folder, **variables)) as service:
            yield service


@contextlib.contextmanager
def first_start(**variables: str) -> Iterator[LiveService]:
    """As `live_service`, from nothing, in a folder of its own."""
    with _folder() as folder, _running(LiveService(folder, **variables)) as service:
        yield service


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A data folder that does not exist yet."""
    folder = Path(tempfile.mkdtemp(prefix="ess-"))
    try:
        yield folder / "var"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _running(service: LiveService) -> Iterator[LiveService]:
    try:
        service.wait_ready(60.0)
        yield service
    finally:
        service.end()


@dataclass(frozen=True)
class Reply:
    """How one call ended."""

    code: str
    data: bytes = b""
    text: str = ""
    details: bytes = b""
    trailers_bytes: int = 0

    @cached_property
    def response(self) -> Response:
        assert self.code == "OK", f"{self.code}: {self.text}"
        return Response.FromString(self.data)

    def detail(self, kind: type[Message]) -> Any:
        """The detail of a type, unpacked; fails where there is none."""
        found = kind()
        assert any(detail.Unpack(found) for detail in status_pb2.Status.FromString(self.details).details), (
            self
        )
        return found

    @property
    def fields(self) -> list[str]:
        """Fields of the violations of a BadRequest, or subjects of a PreconditionFailure."""
        if self.code == "INVALID_ARGUMENT":
            return [v.field for v in self.detail(error_details_pb2.BadRequest).field_violations]
        return [v.subject for v in self.detail(error_details_pb2.PreconditionFailure).violations]

    @property
    def descriptions(self) -> dict[str, str]:
        if self.code == "INVALID_ARGUMENT":
            return {
                v.field: v.description for v in self.detail(error_details_pb2.BadRequest).field_violations
            }
        return {
            v.subject: v.description for v in self.detail(error_details_pb2.PreconditionFailure).violations
        }


def refusal(error: Any) -> Reply:
    """A grpc.RpcError as a Reply."""
    trailers = list(error.trailing_metadata() or ())
    details = next((value for key, value in trailers if key == DETAILS_KEY), b"")
    text = error.details() or ""
    return Reply(error.code().name, b"", text, details, trailers_size(text, trailers))


def trailers_size(text: str, trailers: Iterable[tuple[str, str | bytes]]) -> int:
    """Bytes as clients count them: percent-encoded text, base64 of binary values, 32 for each entry."""
    encoded = sum(1 if 0x20 <= byte <= 0x7E and byte != 0x25 else 3 for byte in text.encode())
    size = len("grpc-status") + 2 + 32 + len("grpc-message") + encoded + 32
    for key, value in trailers:
        length = math.ceil(len(value) / 3) * 4 if isinstance(value, bytes) else len(value.encode())
        size += len(key) + length + 32
    return size


class Gateway:
    """A client with a connection of its own."""

    def __init__(self, target: str) -> None:
        self._channel = grpc.insecure_channel(
            target,
            options=(
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.max_send_message_length", -1),
                ("grpc.enable_retries", 0),
            ),
        )

    def __enter__(self) -> Gateway:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def call(
        self, method: str, data: bytes | Message, timeout_s: float = 10.0, service: str = SERVICE
    ) -> Reply:
        """One message, one answer or status."""
        raw = data if isinstance(data, bytes) else data.SerializeToString()
        ask: Any = self._channel.unary_unary(f"/{service}/{method}")
        try:
            return Reply("OK", ask(raw, timeout=timeout_s))
        except grpc.RpcError as error:
            return refusal(error)

    def start(self, method: str, data: bytes | Message, timeout_s: float = 10.0) -> Any:
        """A call in flight; `finished` waits for it."""
        raw = data if isinstance(data, bytes) else data.SerializeToString()
        ask: Any = self._channel.unary_unary(f"/{SERVICE}/{method}")
        return ask.future(raw, timeout=timeout_s)

    def recommend(self, order: Message | bytes, timeout_s: float = 10.0) -> Reply:
        return self.call("Recommend", order, timeout_s)

    def update_market(self, *updates: Message | bytes) -> market_data_pb2.UpdateMarketDataResponse:
        """The counts of a stream of updates."""
        stream: Any = self._channel.stream_unary(f"/{SERVICE}/UpdateMarketData")
        raw = (update if isinstance(update, bytes) else update.SerializeToString() for update in updates)
        return market_data_pb2.UpdateMarketDataResponse.FromString(stream(raw, timeout=20.0))

    @property
    def channel(self) -> Any:
        return self._channel


def finished(call: Any) -> Reply:
    try:
        return Reply("OK", call.result())
    except grpc.RpcError as error:
        return refusal(error)


def new_order_id(prefix: str = "t") -> str:
    return f"{prefix}-{_run}-{next(_numbers)}"


def closed_time() -> int:
    """Unix seconds of a coming 08:00 UTC: no exchange of the seed is open then, so that `time_of_day` picks the
    moment within the next session, at whatever hour the tests run."""
    return (int(time.time()) // DAY_S + 1) * DAY_S + 8 * 3600


def order(**changes: Any) -> Request:
    """A sound order for the next session; fields by name (as JSON of the contract) change it, None takes one away."""
    fields: dict[str, Any] = {
        "order_id": new_order_id(),
        "instrument_id": "AIG",
        "side": "BUY",
        "quantity": 40_000,
        "objective": "BALANCED_EXECUTION",
        "urgency": "NORMAL",
        "market_context": {"time_of_day": "MORNING"},
        "effective_time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(closed_time())),
    }
    fields |= changes
    message = Request()
    faults = from_object({name: value for name, value in fields.items() if value is not None}, message)
    assert not faults, faults
    return message


def market_update(
    instrument_id: str, as_of_ns: int, **figures: Any
) -> market_data_pb2.UpdateMarketDataRequest:
    message = market_data_pb2.UpdateMarketDataRequest(instrument_id=instrument_id)
    message.as_of.FromNanoseconds(as_of_ns)
    json_format.ParseDict(figures, message)
    return message


def bars(end_ns: int, mids: Iterable[float], volume: float, spread_bps: float) -> list[dict[str, Any]]:
    """One-minute bars as JSON, the last of which ends at `end_ns`."""
    prices = list(mids)
    found = []
    for index, mid in enumerate(prices):
        stamp = request_pb2.MarketBar().end_time
        stamp.FromNanoseconds(end_ns - (len(prices) - 1 - index) * 60_000_000_000)
        found.append(
            {"end_time": stamp.ToJsonString(), "mid_price": mid, "volume": volume, "spread_bps": spread_bps}
        )
    return found


def seed_reference() -> tuple[dict[str, Instrument], dict[str, MarketState]]:
    """Instruments and market states as the service begins with them."""
    data = read_seed().data
    return data.instruments, data.market
