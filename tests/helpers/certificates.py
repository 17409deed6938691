"""A certificate authority for tests, made with openssl: certificates with the names that a test wants."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Issued:
    """PEM files of one certificate."""

    certificate: Path
    key: Path


class Authority:
    """Signs whatever it is asked to."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.certificate, self._key = folder / f"{name}.pem", folder / f"{name}.key"
        run(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", f"/CN={name}", "-keyout", self._key, "-out", self.certificate,
        )  # fmt: skip

    def issue(self, name: str, *names: str) -> Issued:
        """`names` as openssl writes them: DNS:localhost, URI:spiffe://..."""
        issued = Issued(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        request, extensions = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        run(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
            "-keyout", issued.key, "-out", request,
        )  # fmt: skip
        extensions.write_text(f"subjectAltName={','.join(names)}\n")
        run(
            "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial", "-days",
            "2", "-extfile", extensions, "-out", issued.certificate,
        )  # fmt: skip
        return issued


def run(*arguments: object) -> None:
    subprocess.run(["openssl", *(str(one) for one in arguments)], check=True, capture_output=True, timeout=30)
