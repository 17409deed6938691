"""What the pen's thread does, compiled: see `store.journal.pen`.

System calls as in `store.eventfds`. Numbers only: addresses and lengths of bytes that the caller keeps alive,
descriptors that it keeps open.
"""

from __future__ import annotations

import errno
from typing import Any, Final

from numba import njit, types

from store.eventfds import last_errno, signal_to, wait_for

# The memory that is shared with the loop, 11 whole numbers: what is asked for, and what became of it.
COMMAND, FILE, ADDRESS, LENGTH, OFFSET, HEAD_FILE, HEAD_ADDRESS, HEAD_LENGTH, HEAD_OFFSET, STEP, ERROR = range(11)
PLACES: Final = 11
WRITE, END = 1, 2
# Which step an error belongs to.
DATA, DATA_SYNC, HEAD, HEAD_SYNC = range(4)
_EINTR, _EIO = errno.EINTR, errno.EIO

_pwrite: Any = types.ExternalFunction("pwrite", types.int64(types.int32, types.uintp, types.uintp, types.int64))
_fdatasync: Any = types.ExternalFunction("fdatasync", types.int32(types.int32))
_compiled: Any = njit(cache=True, nogil=True)


@_compiled
def _write_all(file, address, length, offset):
    """0, or what went wrong."""
    done = 0
    while done < length:
        count = _pwrite(file, address + done, length - done, offset + done)
        if count > 0:
            done += count
        elif count == 0:
            return _EIO
        else:
            error = last_errno()
            if error != _EINTR:
                return error
    return 0


@_compiled
def _sync(file):
    """0, or what went wrong. A call that a signal interrupted has said nothing and is made again."""
    while _fdatasync(file) != 0:
        error = last_errno()
        if error != _EINTR:
            return error
    return 0


@_compiled
def _write_group(shared):
    """As `store.journal.writing.write_group`."""
    if shared[LENGTH] > 0:
        shared[STEP] = DATA
        error = _write_all(shared[FILE], shared[ADDRESS], shared[LENGTH], shared[OFFSET])
        if error != 0:
            return error
        shared[STEP] = DATA_SYNC
        error = _sync(shared[FILE])
        if error != 0:
            return error
    shared[STEP] = HEAD
    error = _write_all(shared[HEAD_FILE], shared[HEAD_ADDRESS], shared[HEAD_LENGTH], shared[HEAD_OFFSET])
    if error != 0:
        return error
    shared[STEP] = HEAD_SYNC
    return _sync(shared[HEAD_FILE])


@_compiled
def serve(asked, answered, shared, count):
    """Until it is told to end (0), or an eventfd cannot be read or written (the errno). `count` is where an eventfd's
    number lies."""
    while True:
        error = wait_for(asked, count)
        if error != 0:
            return error
        if shared[COMMAND] == END:
            return 0
        shared[ERROR] = _write_group(shared)
        error = signal_to(answered, count)
        if error != 0:
            return error


def prepare() -> None:
    """Compiles `serve`, or loads what was compiled. Not at import: this module is imported where no pen is held, too,
    and what numba imports to compile takes a quarter of a second."""
    serve.compile("int64(int32, int32, int64[::1], uint64[::1])")
