"""What is asked about halts and limits, and answered, wherever the keeper runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from engine.limits import Controls, Key
from engine.throttle import Likeness


@dataclass(frozen=True, slots=True)
class ControlView:
    """What a worker must know. `number` grows with every change. `lease_until_ns` on the host's monotonic clock: after
    it no new order may be answered; 0: no such rule. `is_known` is false while nobody can say what is in force."""

    controls: Controls = field(default_factory=Controls)
    number: int = 0
    lease_until_ns: int = 0
    is_known: bool = True
    limits_version: int = 0


@dataclass(frozen=True, slots=True)
class HostState:
    """A host's answer to a change: confirmed, or pending until its lease runs out (Unix ns; 0: it has none)."""

    host_id: str
    confirmed: bool
    lease_expires_at_ns: int = 0


@dataclass(frozen=True, slots=True)
class ControlAnswer:
    """What became of an operation. `is_new` is false where it was in force already. `is_shared`: PostgreSQL has it, so
    that hosts which start later find it."""

    hosts: tuple[HostState, ...]
    limits_version: int
    is_new: bool = True
    is_shared: bool = True


@dataclass(frozen=True, slots=True)
class CountCall:
    """One message to be counted; see engine.throttle. `likeness` None: a trial that records nothing."""

    keys: tuple[Key, ...]
    order_id: str
    likeness: Likeness | None
    now_ns: int


ControlCallback: TypeAlias = Callable[[ControlView], None]
Unsubscribe: TypeAlias = Callable[[], None]
