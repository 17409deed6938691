"""Halts and hard limits for orders under way: whom an order belongs to, what stops it, what its changes would break."""

from __future__ import annotations

from dataclasses import dataclass

from engine.limits import Breach, Key, facts_of, halted, keys_of
from engine.order_life.updates import Amend, Change, shares_of
from engine.order_life.watch import Watched
from service.guard import DESK_TAG, Guard
from service.identity import caller, may_change
from store.order_port import OrderBasis


@dataclass(frozen=True, slots=True)
class Owner:
    """Who made an order: its gateway, and the desk that it is of."""

    instrument_id: str
    gateway: str
    desk: str


def owner_of(basis: OrderBasis) -> Owner:
    """As whoever asks sees it: an identity that has a desk decides the desk, else the request's tag."""
    return Owner(basis.instrument_id, basis.gateway, caller().desk or basis.tags.get(DESK_TAG, ""))


class OrderGuard:
    """What an order desk asks of the worker's guard. `algorithm` is that of the plan in force."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def may_change(self, owner: Owner) -> bool:
        return may_change(owner.gateway)

    def stop_of(self, owner: Owner, algorithm: str) -> Breach | None:
        """Only a halt stops an order under way: a host that hears nothing of PostgreSQL takes no new orders, and goes
        on with those that it has."""
        if not self._guard.has_halts:
            return None
        halt = self._guard.halt_of(_keys(owner, algorithm))
        return halted(halt) if halt is not None else None

    def too_large(
        self, owner: Owner, algorithm: str, change: Change, parent_units: int, mid_price: float
    ) -> str:
        """Why an order may not grow so far: not beyond what a new one may be. Empty where it may."""
        if not isinstance(change, Amend) or change.units is None or change.units <= parent_units:
            return ""
        return _words(self._guard.too_large(_keys(owner, algorithm), shares_of(change.units), mid_price))

    def broken(self, owner: Owner, watched: Watched) -> str:
        """The hard limits that the new plan of a remainder would break, in words."""
        advice, remainder = watched.advice, watched.remainder
        if advice is None or advice.decision is None or remainder is None:
            return ""
        return _words(self._guard.breaches(facts_of(remainder, advice.decision, owner.desk, owner.gateway)))


def _keys(owner: Owner, algorithm: str) -> tuple[Key, ...]:
    return keys_of(owner.instrument_id, algorithm, owner.desk, owner.gateway)


def _words(breaches: list[Breach]) -> str:
    return "; ".join(f"{one.code} ({one.about}): {one.description}" for one in breaches)
