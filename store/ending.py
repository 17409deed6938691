"""Ends tasks for good."""

from __future__ import annotations

import asyncio
from typing import Any

AGAIN_S = 1.0


async def end(*tasks: asyncio.Future[Any] | None, again_s: float = AGAIN_S) -> None:
    """Cancels what runs and waits until it has ended, whatever it ends with; None is nothing to end.

    Asked once more every `again_s`: a cancel that comes in the moment in which an `asyncio.wait_for` (of Python 3.11)
    has its answer is lost there, and whoever asked only once would wait for ever.
    """
    running = {task for task in tasks if task is not None and not task.done()}
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=again_s)
