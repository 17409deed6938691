"""One group on its way to the disk: its data, then the head that speaks of it, each written and synced."""

from __future__ import annotations

import errno
from typing import Final

import msgspec

from store.journal.files import File

NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class NoSpace(Exception):
    """The disk has no room for the next group. Nothing of it counts as written; it can be tried again."""


class GroupWrite(msgspec.Struct, frozen=True):
    """`data` is empty where only the head is written."""

    file: File
    data: bytes
    offset: int
    head_file: File
    head: bytes
    head_offset: int


def write_group(group: GroupWrite) -> None:
    """All of it is on the disk when this returns, the data before the head. Raises NoSpace or OSError; after an OSError
    nothing is known of either."""
    if group.data:
        write_data(group.file, group.data, group.offset)
        group.file.sync()
    group.head_file.pwrite(group.head, group.head_offset)
    group.head_file.sync()


def write_data(file: File, data: bytes, offset: int) -> None:
    """Not synced. Raises NoSpace or OSError."""
    try:
        file.pwrite(data, offset)
    except OSError as error:
        # A file system that never writes in place may run out here. Only a failed sync is beyond repair.
        if error.errno in NO_SPACE:
            raise NoSpace from error
        raise
