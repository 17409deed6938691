"""A relay in a process of its own, to be killed.

`python -m tests.helpers.relay_process HOST DATABASE NATS SAVE_EVERY_S`
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

from service.relay import Relay, RelaySettings
from service.relay_nats import NatsPublisher, NatsSettings
from store.backoff import Backoff
from store.outbox_bell import OutboxBell
from store.outbox_reader import OutboxReader
from store.pool import PoolSettings, make_pool
from store.relay_lease import AdvisoryLease
from tests.helpers.running_host import REPOSITORY

STREAM = "EXECUTION_STRATEGY"


@contextlib.contextmanager
def relay_process(host_id: str, conninfo: str, url: str, save_every_s: float) -> Iterator[subprocess.Popen[bytes]]:
    """Its lease's session is called `ess-<host>-relay`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.helpers.relay_process", host_id, conninfo, url, str(save_every_s)],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'generated'}"},
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10.0)


async def run(host_id: str, conninfo: str, url: str, save_every_s: float) -> None:
    own = PoolSettings(conninfo, acquire_timeout_s=0.5, application_name=f"ess-{host_id}")
    settings = RelaySettings(
        poll_s=0.2, tend_s=0.1, takeover_after_s=0.3, save_every_s=save_every_s, backoff=Backoff(0.02, 0.2)
    )
    pool, bell = make_pool(own), OutboxBell(own)
    await pool.open(wait=False)
    bell.start()
    publisher = NatsPublisher(NatsSettings((url,), STREAM, "ess.events"))
    lease = AdvisoryLease(own, settings.name)
    Relay(publisher, OutboxReader(pool), lease, bell, host_id=host_id, settings=settings).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    host, database, url, save_every = sys.argv[1:]
    asyncio.run(run(host, database, url, float(save_every)))
