"""How one worker is entered: plaintext or TLS, anybody or whoever the policy names; said aloud at every start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog

from service.access import Access, PolicyWatch
from service.policy import Policy, PolicyError, read_policy
from service.ports import Address
from service.settings import Settings
from service.tls import Certificates
from service.tls_files import TlsError

log = structlog.get_logger(__name__)


class DoorError(Exception):
    """The service cannot be guarded as the settings say, so it does not start."""


class Door:
    """Without arguments: plaintext, open to everybody who can connect."""

    def __init__(
        self, access: Access | None = None, watch: PolicyWatch | None = None, certificates: Certificates | None = None
    ) -> None:
        self.access = access
        self._watch = watch
        self._certificates = certificates

    def credentials(self) -> Any:
        """None: plaintext."""
        return self._certificates.credentials() if self._certificates is not None else None

    def tell(self, adopted: Callable[[Policy | None], None]) -> None:
        """Calls `adopted` with the policy that counts (None: none does), now and whenever it is another."""
        adopted(self.access.policy if self.access is not None else None)
        if self._watch is not None:
            self._watch.on_adopted = adopted

    def start(self) -> None:
        if self._watch is not None:
            self._watch.start()

    async def close(self) -> None:
        if self._watch is not None:
            await self._watch.close()


def open_door(settings: Settings) -> Door:
    """As the settings say. Raises DoorError where a file cannot be used."""
    files = settings.tls_files
    try:
        certificates = Certificates(files) if files is not None else None
        policy = read_policy(settings.policy_file) if settings.policy_file is not None else None
    except (TlsError, PolicyError) as error:
        raise DoorError(str(error)) from error
    say_aloud(settings)
    if policy is None or settings.policy_file is None:
        return Door(certificates=certificates)
    access = Access(policy)
    return Door(access, PolicyWatch(settings.policy_file, access), certificates)


def say_aloud(settings: Settings) -> None:
    """What is not guarded."""
    reach = "loopback" if Address.parse(settings.grpc_address).is_loopback else "the network"
    if settings.tls_files is None:
        log.warning("gRPC is plaintext", listens_on=reach, address=settings.grpc_address)
    if settings.policy_file is None:
        log.warning("everybody who can connect may do everything: there is no ESS_POLICY_FILE", listens_on=reach)
