"""Every method of the contract × every role, over mTLS: nothing is accepted that the role does not have."""

from __future__ import annotations

from typing import Any, Final

from execution_strategy.v1 import admin_pb2, service_pb2

from benchmarks.operations.common import code_of, guarded_service
from service.access import METHODS
from service.identity import Role

NAME: Final = "roles"
TARGETS: Final = {"unauthorised_accepted": 0, "authorised_refused": 0}
REFUSED: Final = ("UNAUTHENTICATED", "PERMISSION_DENIED")
# A stream that was let in is left after so long; a refusal comes at once, however busy the machine.
LET_IN_S: Final = 2.0
UNKNOWN_TOKEN: Final = (("authorization", "Bearer 00000000000000000000000000000000"),)


def paths() -> list[tuple[str, str]]:
    """(method, its path) of both services."""
    services = (
        service_pb2.DESCRIPTOR.services_by_name["ExecutionStrategyService"],
        admin_pb2.DESCRIPTOR.services_by_name["ExecutionStrategyAdmin"],
    )
    return [(method.name, f"/{one.full_name}/{method.name}") for one in services for method in one.methods]


def measure(short: bool, seed: int) -> dict[str, Any]:
    """Empty messages: whether they are sound is asked after whether the caller may."""
    accepted, refused, tried = [], [], 0
    with guarded_service() as guarded:
        for who in [*(str(role) for role in Role), "stranger", "token", "none"]:
            shown = {"token": str(Role.RISK), "none": None}.get(who, who)
            with guarded.channel(shown) as channel:
                for method, path in paths():
                    metadata = UNKNOWN_TOKEN if who == "token" else None
                    code = code_of(channel, path, b"", LET_IN_S, metadata)
                    may = who in set(Role) and method in METHODS[Role(who)]
                    # Without a certificate there is no connection to refuse anything on.
                    is_refused = code in (*REFUSED, "UNAVAILABLE") if who == "none" else code in REFUSED
                    tried += 1
                    if not may and not is_refused:
                        accepted.append(f"{who} {method} {code}")
                    if may and is_refused:
                        refused.append(f"{who} {method} {code}")
    return {
        "unauthorised_accepted": len(accepted), "authorised_refused": len(refused), "calls": tried,
        "faults": [*accepted, *refused],
    }  # fmt: skip
