"""Where the embedded server's socket goes, and how long to wait between attempts."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from store.backoff import Backoff
from store.embedded_host import command_line, find_binaries, socket_folder
from store.errors import EmbeddedServerError


def test_a_short_plain_folder_is_used_as_it_is(short_tmp: Path) -> None:
    for name in ("data", "with space", "ünï"):
        assert socket_folder(short_tmp / name, None) == short_tmp / name


@pytest.mark.parametrize("name", ["x" * 120, "comma,", "quo'te", 'quo"te', "back\\slash"])
def test_any_other_gets_a_private_short_one_always_the_same(short_tmp: Path, name: str) -> None:
    folder = socket_folder(short_tmp / name, None)
    try:
        assert folder == socket_folder(short_tmp / name, None)
        assert folder != socket_folder(short_tmp / (name + "2"), None)
        assert len(str(folder)) < 90
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    finally:
        folder.rmdir()
        socket_folder(short_tmp / (name + "2"), None).rmdir()


def test_a_folder_that_others_may_enter_is_refused(short_tmp: Path) -> None:
    folder = socket_folder(short_tmp / ("x" * 120), None)
    try:
        folder.chmod(0o755)
        with pytest.raises(EmbeddedServerError, match="private"):
            socket_folder(short_tmp / ("x" * 120), None)
    finally:
        folder.rmdir()


def test_the_wheel_holds_the_server() -> None:
    assert os.access(find_binaries() / "postgres", os.X_OK)


def test_the_command_line_of_a_process() -> None:
    assert "python" in command_line(os.getpid())[0]
    assert command_line(2**22 - 3) == []


def test_the_wait_doubles_up_to_its_bound_and_is_spread_over_all_of_it() -> None:
    backoff = Backoff(first_s=0.1, last_s=1.0)
    assert [backoff.delay_s(failures, 1.0) for failures in (1, 2, 3, 4, 5, 5000)] == [
        0.1,
        0.2,
        0.4,
        0.8,
        1.0,
        1.0,
    ]
    assert backoff.delay_s(3, 0.0) == 0.0
    assert backoff.delay_s(3, 0.5) == pytest.approx(0.2)
