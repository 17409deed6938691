"""Who is calling: set where a call enters, read wherever it matters who it is."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What somebody may do; the methods of each are in service/access.py."""

    GATEWAY = "gateway"
    TRADER = "trader"
    VIEWER = "viewer"
    OPERATOR = "operator"
    RISK = "risk"


@dataclass(frozen=True, slots=True)
class Identity:
    """`name` is what records say. `desk`: whatever its requests say, its orders are of this desk; empty: what they say.
    `is_known` is false where nobody asked who is calling."""

    name: str
    roles: frozenset[Role]
    desk: str = ""
    is_known: bool = True

    def has(self, role: Role) -> bool:
        return role in self.roles


# Without a policy everybody on this host may do everything, and nothing tells one caller from another.
ANYBODY = Identity("", frozenset(Role), is_known=False)
CALLER: ContextVar[Identity] = ContextVar("caller", default=ANYBODY)


def caller() -> Identity:
    return CALLER.get()


def is_limited_to_own() -> bool:
    """Whether the caller may touch only orders that it made itself: a gateway that is nothing else."""
    who = CALLER.get()
    return who.is_known and not who.roles - {Role.GATEWAY}


def is_own(owner: str) -> bool:
    """Whether the caller may see an order that this gateway made."""
    return not is_limited_to_own() or CALLER.get().name == owner


def may_change(owner: str) -> bool:
    """Whether the caller may change an order that this gateway made: nobody else's word about fills counts."""
    who = CALLER.get()
    return not who.is_known or who.name == owner
