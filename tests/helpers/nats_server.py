"""A real nats-server with JetStream that syncs every message, on a loopback port, ended by its id."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import nats
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, DeliverPolicy

from tests.helpers.running_host import eventually

PROGRAM = Path(sys.executable).parent / "nats-server"
_READY = re.compile(r"Server is ready")


class NatsServer:
    """Keeps its port and its files over `kill` and `start`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = folder / "nats.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        # -1: the server takes a free port and writes it into a file of that folder.
        listen = f"127.0.0.1:{self.port or -1}"
        config = self._folder / "nats.conf"
        config.write_text(
            f"listen: {json.dumps(listen)}\n"
            f"ports_file_dir: {json.dumps(str(self._folder))}\n"
            f"jetstream {{ store_dir: {json.dumps(str(self._folder / 'store'))}, sync_interval: always }}\n"
        )
        for ports in self._folder.glob("*.ports"):
            ports.unlink()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([PROGRAM, "-c", config], stdout=log, stderr=log)
        eventually(self._is_ready, within_s=20.0, what="nats-server ready")

    def kill(self) -> None:
        """At once, as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(20.0)
            self._process = None

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        for ports in self._folder.glob("*.ports"):
            with contextlib.suppress(json.JSONDecodeError, KeyError, IndexError):
                self.port = int(json.loads(ports.read_text())["nats"][0].rpartition(":")[2])
                return self._answers()
        return False

    def _answers(self) -> bool:
        return len(_READY.findall(self._log.read_text())) > 0


@contextlib.contextmanager
def nats_server(folder: Path) -> Iterator[NatsServer]:
    server = NatsServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@dataclass(frozen=True, slots=True)
class Received:
    """One message as a consumer sees it."""

    subject: str
    data: str
    headers: dict[str, str]

    @property
    def event_id(self) -> str:
        return self.headers["Nats-Msg-Id"]


async def received(url: str, stream: str, count: int, within_s: float = 20.0) -> list[Received]:
    """The stream's messages in its order, from the first on, once there are at least `count` of them."""
    async with asyncio.timeout(within_s), jetstream(url) as context:
        while True:
            with contextlib.suppress(nats.js.errors.NotFoundError):
                state = (await context.stream_info(stream)).state
                if state.messages >= count:
                    return await _all(context, stream, state.messages)
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def jetstream(url: str) -> AsyncIterator[JetStreamContext]:
    client = await nats.connect(url, connect_timeout=2)
    try:
        yield client.jetstream()
    finally:
        await client.close()


async def _all(context: JetStreamContext, stream: str, count: int) -> list[Received]:
    if not count:
        return []
    subscription = await context.subscribe(
        ">", stream=stream, ordered_consumer=True, config=ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
    )
    found = []
    for _ in range(count):
        message = await subscription.next_msg(timeout=5.0)
        found.append(Received(message.subject, message.data.decode(), dict(message.headers or {})))
    return found
