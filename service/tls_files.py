"""Which files TLS is made of, what they hold, and whether they have changed. Imports no gRPC.

    TlsError    the files cannot be used; the text says why
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. With `client_ca` every client must show a certificate that it signed."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    @property
    def stamp(self) -> tuple[tuple[int, int, int], ...]:
        return tuple(stamp_of(path) for path in (self.certificate, self.key, self.client_ca) if path is not None)


def stamp_of(path: Path) -> tuple[int, int, int]:
    """What changes with a file; zeros where there is none."""
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_ino, found.st_size)


class TlsError(Exception):
    """The files cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Pem:
    """What the files hold. The key is never shown."""

    certificate: bytes
    key: bytes
    client_ca: bytes | None

    def __repr__(self) -> str:
        return "Pem(...)"


def read_pem(files: TlsFiles) -> Pem:
    """Whole and belonging together, or TlsError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(files.certificate, files.key, password=refuse_password)
        if files.client_ca is not None:
            context.load_verify_locations(files.client_ca)
        pem = Pem(
            files.certificate.read_bytes(), files.key.read_bytes(),
            files.client_ca.read_bytes() if files.client_ca is not None else None,
        )  # fmt: skip
        # What was checked is what was read: a file that was replaced in between is looked at again next time.
        context.load_cert_chain(files.certificate, files.key, password=refuse_password)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise TlsError(f"{files.certificate} and {files.key} cannot be used: {error}") from error
    return pem


def refuse_password() -> str:
    """Nobody is there to be asked."""
    raise ValueError("the key is encrypted")
