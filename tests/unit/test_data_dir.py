"""Where the keeper's socket lies: in the data folder, or in a private short one."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.data_dir import ServeError, keeper_socket_path
from service.ports import UNIX_PATH_MAX_BYTES


def test_a_short_folder_holds_the_socket(short_tmp: Path) -> None:
    assert keeper_socket_path(short_tmp) == short_tmp / "keeper.sock"


def test_the_socket_of_a_long_folder_fits_and_is_private(short_tmp: Path) -> None:
    path = keeper_socket_path(short_tmp / ("x" * 120))
    try:
        assert len(str(path)) <= UNIX_PATH_MAX_BYTES
        assert path == keeper_socket_path(short_tmp / ("x" * 120))
        assert path.parent.stat().st_mode & 0o077 == 0
    finally:
        path.parent.rmdir()


def test_a_folder_that_others_may_enter_is_refused(short_tmp: Path) -> None:
    folder = keeper_socket_path(short_tmp / ("x" * 120)).parent
    try:
        folder.chmod(0o777)
        with pytest.raises(ServeError, match="not a private folder"):
            keeper_socket_path(short_tmp / ("x" * 120))
    finally:
        folder.rmdir()
