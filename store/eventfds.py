"""Waiting for an eventfd and signalling one, compiled: for threads that never take the interpreter's lock.

System calls by their names in the C library, so that the compiled code can be kept. `place` is an array of one uint64:
where the number of an eventfd lies.
"""

from __future__ import annotations

import errno
from typing import Any

from numba import njit, types
from numba.np.numpy_support import carray

_EINTR, _EIO = errno.EINTR, errno.EIO

_read: Any = types.ExternalFunction("read", types.int64(types.int32, types.uintp, types.uintp))
_write: Any = types.ExternalFunction("write", types.int64(types.int32, types.uintp, types.uintp))
_errno_place: Any = types.ExternalFunction("__errno_location", types.CPointer(types.int32)())
_compiled: Any = njit(cache=True, nogil=True)


@_compiled
def last_errno():
    """What the last system call of this thread went wrong by."""
    return carray(_errno_place(), (1,))[0]


@_compiled
def wait_for(eventfd, place):
    """Waits for signals, whose number is at `place` then; 0, or the errno."""
    while True:
        count = _read(eventfd, place.ctypes.data, 8)
        if count >= 0:
            return 0 if count == 8 else _EIO
        error = last_errno()
        if error != _EINTR:
            return error


@_compiled
def signal_to(eventfd, place):
    """One signal more; 0, or the errno."""
    place[0] = 1
    while True:
        count = _write(eventfd, place.ctypes.data, 8)
        if count >= 0:
            return 0 if count == 8 else _EIO
        error = last_errno()
        if error != _EINTR:
            return error
