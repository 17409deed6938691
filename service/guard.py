"""What stands between a decision and the gateway: halts, the host's lease, hard limits, throttles.

Asked last, when the decision is made and before it is recorded. Between `refuse_stopped` and handing the record over
nothing is awaited, so a change that this worker has taken holds for everything that it hands over afterwards.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from engine.limits import (
    Breach,
    ControlBook,
    Halt,
    HardLimits,
    Key,
    OrderFacts,
    Scope,
    breaches_of,
    halted,
    keys_of,
)
from engine.throttle import Counted
from service.errors import limited, throttled
from service.identity import caller
from service.mapping.controls import halt_of_throttle
from store.controls_port import ControlView, CountCall
from store.errors import StoreError
from store.submission import KeeperPort

# Tags of a request that say whom it belongs to, where nobody knows better.
DESK_TAG: Final = "desk"
GATEWAY_TAG: Final = "gateway"
# Who halts where a throttle does.
SERVICE: Final = "service"
# Ids of halts by throttles: two workers that see the same begin of one make the same halt.
NAMESPACE: Final = uuid.UUID("9d3f6f0e-9f5a-4f0b-8f0e-3a1a7c1d5b52")
UNKNOWN: Final = Breach("CONTROLS_UNKNOWN", Scope.FIRM, "", "nobody can say now what is halted; no order is answered")
LEASE: Final = Breach(
    "LEASE_EXPIRED", Scope.FIRM, "",
    "this host has not heard from PostgreSQL for too long to know what is halted (ESS_HALT_LEASE_S)",
)  # fmt: skip

log = structlog.get_logger(__name__)


def desk_of(tags: Mapping[str, str]) -> str:
    return caller().desk or tags.get(DESK_TAG, "")


def gateway_of(tags: Mapping[str, str]) -> str:
    who = caller()
    return who.name if who.is_known else tags.get(GATEWAY_TAG, "")


class Guard:
    """One worker's. `on_change` is told of every change after it holds here."""

    def __init__(
        self, keeper: KeeperPort, *, clock_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:  # fmt: skip
        self._keeper = keeper
        self._clock_ns = clock_ns
        self._monotonic_ns = monotonic_ns
        self._view = ControlView(is_known=False)
        self._book = ControlBook(self._view.controls)
        self.on_change: list[Callable[[], None]] = []
        keeper.watch_controls(self._changed)

    @property
    def view(self) -> ControlView:
        return self._view

    @property
    def firm_limits(self) -> HardLimits | None:
        return self._book.limits.get((Scope.FIRM, ""))

    def _changed(self, view: ControlView) -> None:
        is_new = view.controls is not self._view.controls
        self._view = view
        if is_new:
            self._book = ControlBook(view.controls)
            for told in self.on_change:
                told()

    def _stop_of(self, instrument_id: str, algorithm: str, desk: str, gateway: str) -> Breach | None:
        """Why nothing may be decided for these, if so."""
        view = self._view
        if not view.is_known:
            return UNKNOWN
        if view.lease_until_ns and self._monotonic_ns() > view.lease_until_ns:
            return LEASE
        if not self._book.halts:
            return None
        halt = self._book.halt_of(keys_of(instrument_id, algorithm, desk, gateway))
        return halted(halt) if halt is not None else None

    def halt_of(self, keys: tuple[Key, ...]) -> Halt | None:
        """The halt that covers these, if one does."""
        return self._book.halt_of(keys)

    @property
    def has_halts(self) -> bool:
        return bool(self._book.halts)

    @property
    def has_limits(self) -> bool:
        return bool(self._book.limits)

    def refuse_stopped(self, instrument_id: str, algorithm: str, desk: str, gateway: str) -> None:
        """Raises RpcError for what is halted. Where nothing is, it costs a look at the clock."""
        breach = self._stop_of(instrument_id, algorithm, desk, gateway)
        if breach is not None:
            raise limited([breach])

    def breaches(self, facts: OrderFacts) -> list[Breach]:
        return self._book.breaches(facts)

    def too_large(self, keys: tuple[Key, ...], quantity_shares: float, mid_price: float) -> list[Breach]:
        """The limits that an order of another quantity would break by that alone."""
        facts = OrderFacts("", "", "", "", 1.0, quantity_shares, mid_price, mid_price, 0.0)
        found = [breach for limits in self._book.limits_of(keys) for breach in breaches_of(limits, facts)]
        return [breach for breach in found if breach.code in ("MAX_QUANTITY", "MAX_NOTIONAL")]

    async def check(self, facts: OrderFacts, order_id: str, is_trial: bool) -> None:
        """Raises RpcError for what breaks a limit or comes too often. A trial is a message, but no order. What is
        halted is asked before, so that it does not count as a message, and after."""
        keys = facts.keys
        self.refuse_stopped(facts.instrument_id, facts.algorithm, facts.desk, facts.gateway)
        counted: list[Breach] = []
        if any(one.counts for one in self._book.limits_of(keys)):
            counted = await self._count(facts, keys, order_id, is_trial)
        # The limits of now: others may have come while it was counted.
        breaches = self._book.breaches(facts) + counted
        if breaches:
            raise throttled(breaches) if all(one.code == "MESSAGE_THROTTLE" for one in breaches) else limited(breaches)

    async def _count(self, facts: OrderFacts, keys: tuple[Key, ...], order_id: str, is_trial: bool) -> list[Breach]:
        """Counted by the keeper, who sees every worker's. Where nobody counts, nothing passes."""
        likeness = None if is_trial else (facts.instrument_id, facts.sign, facts.quantity_shares)
        try:
            counted = await self._keeper.count(CountCall(keys, order_id, likeness, self._clock_ns()))
            await self._disable(counted)
        except StoreError as error:
            return [Breach("CONTROLS_UNKNOWN", Scope.FIRM, "", f"the throttles cannot be asked: {error}")]
        return list(counted.breaches)

    async def _disable(self, counted: Counted) -> None:
        """Halts what repeated itself too often, until a person resumes it."""
        for key, since_ns in counted.tripped:
            if key in self._book.halts:
                continue
            breach = next(one for one in counted.breaches if (one.scope, one.subject) == key)
            halt_id = str(uuid.uuid5(NAMESPACE, f"{key[0]}:{key[1]}:{since_ns}"))
            log.error("a subject repeats itself and is disabled", scope=key[0], subject=key[1], halt_id=halt_id)
            await self._keeper.operate(halt_of_throttle(breach, SERVICE, halt_id, self._clock_ns()), 0.0)
