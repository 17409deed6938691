"""The gateway's connections to the workers: a client of the gRPC service like any other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from service.http.dial import Dial

# SO_REUSEPORT gives a connection to one worker for good, by chance: several for each worker come near to an even share.
CHANNELS_PER_WORKER: Final = 4
MOST_CHANNELS: Final = 32
# What calls on channels that were replaced still get.
OLD_CALLS_S: Final = 60.0
Metadata = Sequence[tuple[str, str]]


class Workers:
    """Several channels; a call takes the one with the fewest under way."""

    def __init__(self, target: str, workers: int, max_message_bytes: int, dial: Dial | None = None) -> None:
        options = (
            # A connection of its own for each channel.
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),
            # A worker that was restarted is there again in a second, not in two minutes.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1_000),
            # Whether a call may be sent again is for its caller to say; gRPC repeats only what was never sent.
            ("grpc.enable_retries", 0),
            ("grpc.max_send_message_length", max_message_bytes),
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.max_metadata_size", 16_384),
        )
        count = 1 if workers == 1 else min(MOST_CHANNELS, workers * CHANNELS_PER_WORKER)
        self._target, self._options, self._dial = target, options, dial or Dial()
        self._channels = [self._dial.channel(target, options) for _ in range(count)]
        self._under_way = [0] * count
        self._next = 0
        self._callables: dict[tuple[int, str], Any] = {}

    async def call(self, path: str, data: bytes, timeout_s: float, metadata: Metadata) -> bytes:
        """One unary call, bytes in and out. Raises grpc.aio.AioRpcError."""
        index = self._least()
        ask = self._callables.get((index, path))
        if ask is None:
            ask = self._callables[index, path] = self._channels[index].unary_unary(path)
        self._under_way[index] += 1
        try:
            answer: bytes = await ask(data, timeout=timeout_s, metadata=metadata)
            return answer
        finally:
            self._under_way[index] -= 1

    async def renew(self) -> None:
        """Channels with the TLS files of now; calls under way finish on the old ones. Raises TlsError, and changes
        nothing then."""
        channels = [self._dial.channel(self._target, self._options) for _ in self._channels]
        old, self._channels = self._channels, channels
        self._callables.clear()
        for channel in old:
            await channel.close(OLD_CALLS_S)

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()

    def _least(self) -> int:
        count = len(self._channels)
        self._next = (self._next + 1) % count
        return min(range(count), key=lambda index: (self._under_way[index], (index - self._next) % count))
