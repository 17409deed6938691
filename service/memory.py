"""What a worker gives back when it is loaded and warm: memory that was taken for the start only. On Linux.

    what was freed       glibc keeps it for the next time otherwise
    the compiler's code  LLVM reads the compiled functions from numba's cache, and is not called again. Its code is a
                         file that all processes share; here it is unmapped, and a page that is needed after all is
                         mapped again when it is touched
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path
from typing import Final

MAPS: Final = Path("/proc/self/maps")
COMPILER: Final = "libllvmlite.so"
# Executable pages of a file that nobody may write: they hold what the file holds, and nothing is lost with them.
CODE: Final = "r-xp"
MADV_DONTNEED: Final = 4
# Arenas of glibc's malloc: gRPC, the journal and PostgreSQL's driver have a dozen threads, and by itself each may keep
# what it once needed in an arena of its own.
ARENAS_VARIABLE: Final = "MALLOC_ARENA_MAX"
ARENAS: Final = "2"


def bound_arenas() -> None:
    """For processes that are started from now on; what the environment says already stays."""
    os.environ.setdefault(ARENAS_VARIABLE, ARENAS)


def give_back() -> None:
    """For a process that has loaded all that it needs."""
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None, use_errno=True)
        library.malloc_trim(0)
        library.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        for start, size_bytes in code_of(MAPS.read_text(), COMPILER):
            library.madvise(start, size_bytes, MADV_DONTNEED)


def code_of(maps: str, file_name: str) -> list[tuple[int, int]]:
    """(address, bytes) of the code of a file, from the text of /proc/<pid>/maps."""
    found = []
    for line in maps.splitlines():
        addresses, _, rest = line.partition(" ")
        permissions, _, rest = rest.partition(" ")
        if permissions == CODE and rest.rpartition("/")[2] == file_name:
            start, _, end = addresses.partition("-")
            found.append((int(start, 16), int(end, 16) - int(start, 16)))
    return found
