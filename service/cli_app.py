"""The command line's root: what ends a command for want of something outside of it is one line, never a traceback.

    CommandError    a command cannot go on; the text is for people, `exit_code` for scripts
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import Any, Final

import typer

EX_UNWRITTEN: Final = 74  # EX_IOERR
# Who reads has gone (`ess ... | head`): ended without a word, as click does.
EX_UNREAD: Final = 1


class CommandError(Exception):
    """A command cannot go on; the text is for people."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class CommandLine(typer.Typer):
    """Typer, ending in order where the output cannot be written or a command cannot go on."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        show_everything()
        try:
            try:
                return super().__call__(*args, **kwargs)
            finally:
                flush()
        except CommandError as error:
            print(f"ess: {error}", file=sys.stderr)
            sys.exit(error.exit_code)
        except OSError:
            fault = unwritten()
            if fault is None:
                raise  # not the output's
            if fault.errno == errno.EPIPE:
                sys.exit(EX_UNREAD)
            print(f"ess: the output cannot be written: {fault.strerror or fault}", file=sys.stderr)
            sys.exit(EX_UNWRITTEN)


def show_everything() -> None:
    """What the terminal's encoding has not is written as an escape: an answer must not end in a traceback for a dash in
    its rationale."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def flush() -> None:
    """Raises OSError where what was printed cannot be written; Python would tell of it after the end, and not why."""
    if sys.stdout is not None:
        sys.stdout.flush()


def unwritten() -> OSError | None:
    """Why what was printed cannot be written; what is left of it is dropped. None where it can be (a line more is), and
    the error was another one's."""
    if sys.stdout is None:
        return None
    try:
        flush()
        os.write(sys.stdout.fileno(), b"\n")
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
        return error
    return None
