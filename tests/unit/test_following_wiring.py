"""A start that is called off while it waits for PostgreSQL ends."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from pydantic import SecretStr

from service.following_wiring import open_following
from service.settings import Settings
from service.worker import WorkerConfig
from service.world import World

CALLED_OFF_AFTER_S = 0.3
ENDS_WITHIN_S = 12.0


class _Snapshot:
    models = None


class _World:
    snapshot = _Snapshot()


def test_a_start_that_is_called_off_leaves_nothing_that_keeps_the_process(tmp_path: Path) -> None:
    """A pool that stays open while it connects takes no cancelling, and the loop would wait for it for ever."""
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes connections and says nothing, as a host that hangs
        url = SecretStr(f"host=127.0.0.1 port={server.getsockname()[1]} user=x dbname=x")
        settings = Settings(data_dir=tmp_path, workers=2, learning="off")
        config = WorkerConfig(settings, 1, "127.0.0.1:1", "", url, None, "i")

        async def start() -> None:
            opening = open_following(config, cast(World, _World()), cast(Any, None), (), cast(Any, None))
            task = asyncio.ensure_future(opening)
            await asyncio.sleep(CALLED_OFF_AFTER_S)
            assert not task.done()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        # In a thread, so that a loop which does not end fails this test and not the whole run.
        running = threading.Thread(target=lambda: asyncio.run(start()), daemon=True)
        running.start()
        running.join(ENDS_WITHIN_S)
        assert not running.is_alive()
