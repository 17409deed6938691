"""What a keeper says of itself. Apart from the keeper, so that workers can be told without loading one."""

from __future__ import annotations

from dataclasses import dataclass

from store.controls_port import HostState
from store.drainer import DrainerMetrics
from store.journal.port import JournalMetrics
from store.orders import OrdersMetrics
from store.submission import KeeperState


@dataclass(frozen=True, slots=True)
class KeeperMetrics:
    """One moment of the keeper. `orders_loaded` is false while orders of earlier runs may be unknown."""

    state: KeeperState
    journal: JournalMetrics
    drainer: DrainerMetrics
    claims: int
    orders_loaded: bool
    questions: int
    unanswered: int
    subscribers: int
    orders: OrdersMetrics
    hosts: tuple[HostState, ...] = ()  # which hold to the halts and limits in force
    lease_used: float = 0.0  # see ControlBoard
    has_twin: bool = False  # see ControlDesk
    clock_ahead_s: float = 0.0  # see ControlDesk
