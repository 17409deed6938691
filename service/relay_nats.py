"""Events to NATS JetStream.

A connection is used until something goes wrong with it and then thrown away, so that nothing old waits in a client's
buffer: whether to try again, and when, is the relay's business alone. JetStream forgets what it has seen by message id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import nats.errors
import nats.js.errors
import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import StorageType, StreamConfig

from service.relay import PublishFailed
from store.outbox_reader import OutboxRow

EVENT_ID: Final = "Nats-Msg-Id"
JOURNAL: Final = "Ess-Journal"
SEQUENCE: Final = "Ess-Sequence"
PART: Final = "Ess-Part"
CHAIN_HASH: Final = "Ess-Chain-Hash"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NatsSettings:
    """`duplicate_window_s`: how long the stream, if it is made here, remembers message ids."""

    servers: tuple[str, ...]
    stream: str
    subject_prefix: str
    connect_timeout_s: int = 2
    acknowledge_within_s: float = 5.0
    duplicate_window_s: float = 120.0


@dataclass(frozen=True, slots=True)
class _Connection:
    """One connection, used until the first error. `lost` is set when the server or the network ended it."""

    client: Client
    jetstream: JetStreamContext
    lost: asyncio.Event


class NatsPublisher:
    """See service.relay.Publisher."""

    def __init__(self, settings: NatsSettings) -> None:
        self._settings = settings
        self._connection: _Connection | None = None
        self._opening = asyncio.Lock()
        self._sending = asyncio.Lock()

    async def publish(self, rows: Sequence[OutboxRow]) -> None:
        connection = None
        try:
            connection = await self._connected()
            await self._send(connection, rows)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            await self._throw_away(connection)
            _end_if_cancelled()
            raise PublishFailed(f"NATS: {error!r}") from error

    async def close(self) -> None:
        await self._throw_away(self._connection)

    async def _throw_away(self, connection: _Connection | None) -> None:
        # Another journal's task may have opened a new one meanwhile.
        if connection is not None and connection is self._connection:
            self._connection = None
        if connection is not None:
            await _close(connection.client)

    async def _connected(self) -> _Connection:
        async with self._opening:
            if self._connection is None or self._connection.lost.is_set():
                self._connection = await self._connect()
            return self._connection

    async def _connect(self) -> _Connection:
        settings = self._settings
        client, lost = Client(), asyncio.Event()

        async def closed() -> None:
            lost.set()

        try:
            async with asyncio.timeout(settings.connect_timeout_s * (len(settings.servers) + 1)):
                await client.connect(
                    list(settings.servers),
                    name="execution-strategy-relay",
                    # 0 would mean for ever.
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    allow_reconnect=False,
                    connect_timeout=settings.connect_timeout_s,
                    ping_interval=5,
                    closed_cb=closed,
                    error_cb=_said,
                )
            jetstream = client.jetstream(timeout=settings.acknowledge_within_s)
            await self._ensure_stream(jetstream)
        except BaseException:
            await _close(client)
            raise
        return _Connection(client, jetstream, lost)

    async def _ensure_stream(self, jetstream: JetStreamContext) -> None:
        settings = self._settings
        try:
            await jetstream.stream_info(settings.stream)
        except nats.js.errors.NotFoundError:
            await jetstream.add_stream(
                StreamConfig(
                    name=settings.stream,
                    subjects=[f"{settings.subject_prefix}.>"],
                    storage=StorageType.FILE,
                    duplicate_window=settings.duplicate_window_s,
                )
            )
            log.info("JetStream stream made", stream=settings.stream)

    async def _send(self, connection: _Connection, rows: Sequence[OutboxRow]) -> None:
        """All at once on one connection, so that the broker sees them in their order; then all acknowledgements."""
        settings = self._settings
        async with self._sending:
            answers = [
                await connection.jetstream.publish_async(
                    subject_of(settings.subject_prefix, row.kind, row.aggregate_id),
                    row.payload.encode(),
                    stream=settings.stream,
                    headers=headers_of(row),
                )
                for row in rows
            ]
        await self._acknowledged(connection, answers)

    async def _acknowledged(self, connection: _Connection, answers: Sequence[asyncio.Future[Any]]) -> None:
        """All of them, or the first error."""
        lost: asyncio.Future[Any] = asyncio.ensure_future(connection.lost.wait())
        all_of_them: asyncio.Future[Any] = asyncio.ensure_future(
            asyncio.wait(answers, return_when=asyncio.FIRST_EXCEPTION)
        )
        try:
            await asyncio.wait(
                (all_of_them, lost), timeout=self._settings.acknowledge_within_s,
                return_when=asyncio.FIRST_COMPLETED,
            )  # fmt: skip
            for answer in answers:
                if answer.done():
                    answer.result()
            missing = sum(not answer.done() for answer in answers)
            if missing:
                raise TimeoutError(f"{missing} of {len(answers)} events were not acknowledged")
        finally:
            for future in (*answers, all_of_them, lost):
                future.cancel()


def subject_of(prefix: str, kind: str, aggregate_id: str) -> str:
    """<prefix>.<kind of event>.<aggregate id as one token>."""
    return f"{prefix}.{kind}.{token_of(aggregate_id)}"


def token_of(text: str) -> str:
    """One token of a subject: letters, digits, - _ and ~ stay, every other byte of the UTF-8 is %XX; empty is %."""
    return quote(text, safe="").replace(".", "%2E") or "%"


def headers_of(row: OutboxRow) -> dict[str, str]:
    """The id by which JetStream forgets duplicates, and the journal's head at this event."""
    return {
        EVENT_ID: row.event_id,
        JOURNAL: quote(row.journal_id, safe=":/"),
        SEQUENCE: str(row.sequence),
        PART: str(row.part),
        CHAIN_HASH: row.chain_hash.hex(),
    }


def _end_if_cancelled() -> None:
    # nats-py tells some cancellations as errors of its own; taken for those, a task would never end.
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _close(client: Client) -> None:
    with suppress(nats.errors.Error, OSError, TimeoutError):
        await client.close()


async def _said(error: Exception) -> None:
    log.debug("NATS said", reason=repr(error))
