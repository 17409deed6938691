"""The bearer token of a command: read from its file at each call, so that one that was replaced is used.

    TokenFileError    the file holds no token; the text says why and never what it holds
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

MOST_CHARACTERS: Final = 4_096


class TokenFileError(ValueError):
    """The file holds no token; the text says why and never what it holds."""


def read_token(path: Path) -> str:
    """The token of a file, without the white space around it. Raises TokenFileError."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_CHARACTERS + 1)
    except OSError as error:
        raise TokenFileError(f"the token file {path} cannot be read: {error.strerror or error}") from error
    token = content.strip()
    if not token:
        raise TokenFileError(f"the token file {path} is empty")
    if len(content) > MOST_CHARACTERS or not all(0x21 <= byte <= 0x7E for byte in token):
        raise TokenFileError(f"the token file {path} holds something else than one token of printable characters")
    return token.decode("ascii")
