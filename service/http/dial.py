"""How the HTTP process reaches the workers: plaintext, or TLS with the service's own certificate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc.aio

from service.settings import Settings
from service.tls import client_credentials
from service.tls_files import TlsFiles

Options = Sequence[tuple[str, Any]]


class Dial:
    """Opens channels; each takes the TLS files as they are then."""

    def __init__(
        self, files: TlsFiles | None = None, authorities: Path | None = None, server_name: str = "", *,
        is_from_afar: bool = False,
    ) -> None:  # fmt: skip
        """`is_from_afar`: of a command, which needs nothing but `authorities` for TLS."""
        self._files = files
        self._is_from_afar = is_from_afar
        self._authorities = authorities
        self._server_name = server_name

    @property
    def stamp(self) -> object:
        """Another one when the files are others."""
        return self._files.stamp if self._files is not None else None

    def channel(self, target: str, options: Options) -> grpc.aio.Channel:
        """Raises TlsError."""
        authorities = self._authorities if self._files is not None or self._is_from_afar else None
        credentials = client_credentials(self._files, authorities)
        if credentials is None:
            return grpc.aio.insecure_channel(target, options=options)
        named = (*options, ("grpc.ssl_target_name_override", self._server_name))
        return grpc.aio.secure_channel(target, credentials, options=named)


def dial_of(settings: Settings, *, is_from_afar: bool = False) -> Dial:
    return Dial(settings.tls_files, settings.tls_ca, settings.tls_server_name, is_from_afar=is_from_afar)
