"""What the sections share: a service that is guarded by mTLS and a policy, and clients with a role."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc

from service.identity import Role
from tests.helpers.certificates import Authority, Issued
from tests.helpers.live_service import LiveService, live_service

SERVER: Final = "localhost"
# Any token of enough random bits would do; this one guards a service on loopback for a minute.
TOKEN: Final = "6d1f0a52c7e94b0f8a33d2f1b7c8e905"


@dataclass(frozen=True, slots=True)
class Guarded:
    """A running service, who signs for it, and a certificate for each role (and "stranger", whom no policy names)."""

    service: LiveService
    authority: Authority
    files: Issued
    clients: dict[str, Issued]
    policy: Path

    def channel(self, who: str | None) -> grpc.Channel:
        """A connection of its own; None shows no certificate."""
        roots = self.authority.certificate.read_bytes()
        shown = self.clients[who] if who is not None else None
        pair = (shown.key.read_bytes(), shown.certificate.read_bytes()) if shown is not None else (None, None)
        options = (("grpc.ssl_target_name_override", SERVER), ("grpc.use_local_subchannel_pool", 1))
        return grpc.secure_channel(self.service.target, grpc.ssl_channel_credentials(roots, *pair), options=options)


def policy_text() -> str:
    """An identity for each role by the SPIFFE id of its certificate; the trader by a token too."""
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    return "\n".join(
        f'[identities.{role}-1]\nroles = ["{role}"]\nspiffe = ["spiffe://bench/{role}"]\n'
        + (f'token_sha256 = ["{digest}"]\n' if role is Role.TRADER else "")
        for role in Role
    ) + '[identities.gateway-2]\nroles = ["gateway"]\nsans = ["gateway-2.bench"]\n'


@contextmanager
def guarded_service(**variables: str) -> Iterator[Guarded]:
    """With mTLS and the policy above."""
    folder = Path(tempfile.mkdtemp(prefix="ess-ops-"))
    try:
        authority = Authority(folder / "ca")
        files = authority.issue("server", f"DNS:{SERVER}", "IP:127.0.0.1")
        clients = {str(role): authority.issue(str(role), f"URI:spiffe://bench/{role}") for role in Role}
        clients["gateway-2"] = authority.issue("gateway-2", "DNS:gateway-2.bench")
        clients["stranger"] = authority.issue("stranger", "DNS:nobody.bench")
        policy = folder / "policy.toml"
        policy.write_text(policy_text())
        given = {
            "ESS_TLS_CERTIFICATE": str(files.certificate), "ESS_TLS_KEY": str(files.key),
            "ESS_TLS_CLIENT_CA": str(authority.certificate), "ESS_POLICY_FILE": str(policy), "ESS_ECHO": "true",
        } | variables  # fmt: skip
        with live_service(folder / "var", **given) as service:
            yield Guarded(service, authority, files, clients, policy)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def code_of(channel: grpc.Channel, path: str, data: bytes, timeout_s: float, metadata: Any = None) -> str:
    """How a call ends, whatever its kind; a stream that goes on until the time-out was let in."""
    try:
        ask: Any = channel.stream_stream(path)
        for _ in ask(iter([data]), timeout=timeout_s, metadata=metadata):
            pass
    except grpc.RpcError as error:
        failed: Any = error
        return str(failed.code().name)
    return "OK"
