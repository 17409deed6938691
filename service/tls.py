"""TLS of the service: its own certificate, the authorities of its clients', and both anew without a restart.

New files count for every connection that begins after they are whole: a certificate and a key that do not belong
together (half of them was replaced) leave the ones before in use. Connections that are open stay as they are.

    TlsError    the files cannot be used; the text says why
"""

from __future__ import annotations

import ssl
import threading
from pathlib import Path
from typing import Any

import grpc
import structlog

from service.tls_files import Pem, TlsError, TlsFiles, read_pem

log = structlog.get_logger(__name__)


class Certificates:
    """The files as they are now, for gRPC's own thread to ask before every handshake."""

    def __init__(self, files: TlsFiles) -> None:
        """Raises TlsError."""
        self._files = files
        self._stamp = files.stamp
        self._lock = threading.Lock()
        self.pem = read_pem(files)

    def credentials(self) -> Any:
        """gRPC's server credentials, which follow the files."""
        return grpc.dynamic_ssl_server_credentials(
            configuration(self.pem), self._fetch, require_client_authentication=self._files.client_ca is not None
        )

    def _fetch(self) -> Any:
        """None: nothing has changed."""
        with self._lock:
            stamp = self._files.stamp
            if stamp == self._stamp:
                return None
            try:
                self.pem = read_pem(self._files)
            except TlsError as error:
                log.error("changed TLS files cannot be used; the ones before are", reason=str(error))
                return None
            self._stamp = stamp
        log.warning("other TLS files are used from now on", certificate=str(self._files.certificate))
        return configuration(self.pem)


def configuration(pem: Pem) -> Any:
    return grpc.ssl_server_certificate_configuration([(pem.key, pem.certificate)], pem.client_ca)


def client_credentials(files: TlsFiles | None, authorities: Path | None) -> Any:
    """For whoever calls this service: its own HTTP process, and commands. Trusted is who signed its certificate
    (`authorities`, else those of the clients, else the certificate itself); the certificate of `files` is shown where
    clients are asked for one. Plaintext, None, without either. Raises TlsError."""
    if files is None and authorities is None:
        return None
    pem = read_pem(files) if files is not None else None
    roots = pem.client_ca or pem.certificate if pem is not None else b""
    if authorities is not None:
        try:
            # gRPC says of an unsound file only that a handshake failed.
            ssl.create_default_context(cafile=str(authorities))
            roots = authorities.read_bytes()
        except (OSError, ssl.SSLError) as error:
            raise TlsError(f"{authorities} cannot be used: {error}") from error
    return grpc.ssl_channel_credentials(roots, *((pem.key, pem.certificate) if pem is not None else (None, None)))
