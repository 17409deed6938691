"""A committer that never takes the interpreter's lock: where the keeper shares a process with the decisions.

A thread that syncs through `os` gives up the interpreter's lock four times a group and must get it back four times,
each time when the event loop happens to let go of it, and each time the loop then waits for it in turn. The thread here
runs one compiled function: it waits in the kernel for a group (an eventfd), writes and syncs what it finds, and says so
by another eventfd that the loop watches. What Python there is runs on the loop.

Whatever is not plainly a group of real files goes the way of `ThreadLanes`. Not for the keeper's own process: it must
be back in half a second, numba takes too long to import, and it has no decisions to get in the way of.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from functools import partial
from typing import Final

import numpy as np

from store.journal import pen_compiled as compiled
from store.journal.files import OsFile
from store.journal.lanes import ThreadLanes, Written
from store.journal.writing import NO_SPACE, GroupWrite, NoSpace

_NAMES: Final = {
    compiled.DATA: "writing data", compiled.DATA_SYNC: "syncing data",
    compiled.HEAD: "writing the head", compiled.HEAD_SYNC: "syncing the head",
}  # fmt: skip

_log = logging.getLogger(__name__)


class PenLanes(ThreadLanes):
    """ThreadLanes whose groups are written by compiled code. One group at a time."""

    def __init__(self, name: str = "journal") -> None:
        super().__init__(name)
        compiled.prepare()
        self._name = name
        self._shared = np.zeros(compiled.PLACES, np.int64)
        self._asked = self._answered = -1
        self._thread: threading.Thread | None = None
        self._ended: asyncio.Future[int] = self._loop.create_future()
        self._group: GroupWrite | None = None  # keeps the bytes where the thread reads them
        self._done: Written | None = None

    def write(self, group: GroupWrite, done: Written) -> None:
        file, head_file = group.file, group.head_file
        if self._ended.done() or not (isinstance(file, OsFile) and isinstance(head_file, OsFile)):
            super().write(group, done)
            return
        assert self._done is None, "one group at a time"
        if self._thread is None:
            self._start()
        self._group, self._done = group, done
        self._shared[:] = (
            compiled.WRITE, file.descriptor, _address(group.data), len(group.data), group.offset,
            head_file.descriptor, _address(group.head), len(group.head), group.head_offset, 0, 0,
        )  # fmt: skip
        os.eventfd_write(self._asked, 1)

    async def stop(self) -> None:
        if self._thread is not None:
            if not self._ended.done():
                self._shared[compiled.COMMAND] = compiled.END
                os.eventfd_write(self._asked, 1)
                await self._ended
            self._thread.join()
            self._thread = None
            self._loop.remove_reader(self._answered)
            os.close(self._asked)
            os.close(self._answered)
        await super().stop()

    def _start(self) -> None:
        self._asked = os.eventfd(0, os.EFD_CLOEXEC)
        self._answered = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._loop.add_reader(self._answered, self._was_answered)
        # A daemon: a journal that nobody closed must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=f"{self._name}-pen", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        code = compiled.serve(self._asked, self._answered, self._shared, np.zeros(1, np.uint64))
        self.answer(partial(self._has_ended, int(code)))

    def _has_ended(self, code: int) -> None:
        if not self._ended.done():
            self._ended.set_result(code)
        if code:
            _log.error("the journal's pen stopped: %s", os.strerror(code))
            self._answer(OSError(code, os.strerror(code)))

    def _was_answered(self) -> None:
        try:
            os.eventfd_read(self._answered)
        except BlockingIOError:
            return
        code, step = int(self._shared[compiled.ERROR]), int(self._shared[compiled.STEP])
        self._answer(_error_of(step, code) if code else None)

    def _answer(self, error: Exception | None) -> None:
        done, self._done, self._group = self._done, None, None
        if done is not None:
            done(error)


def _address(data: bytes) -> int:
    """Where the bytes lie; 0 where there are none."""
    return int(np.frombuffer(data, np.uint8).__array_interface__["data"][0]) if data else 0


def _error_of(step: int, code: int) -> Exception:
    error = OSError(code, f"{_NAMES[step]}: {os.strerror(code)}")
    if step == compiled.DATA and code in NO_SPACE:
        full = NoSpace()
        full.__cause__ = error
        return full
    return error
