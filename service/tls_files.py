"""Which files TLS is made of, and whether they have changed. Imports no gRPC."""

from __future__ import annotations

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
