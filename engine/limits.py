"""Halts and hard limits: what no decision may pass, whatever a model says. The last look before a decision leaves.

After SEC rule 15c3-5 and RTS 6 article 15 in spirit: quantity, notional, participation, price collar, instruments and
venues. Every comparison is written so that NaN counts as broken. Of several that apply the strictest holds, since each
of them is asked. Throttles need a memory and are in `engine/throttle.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

from engine.decision import Decision
from engine.request import OrderRequest
from engine.words import exact

# A limit met exactly is met; sums of floats may be off by so much.
ROUNDING: Final = 1e-9


class Scope(StrEnum):
    """What a halt or a limit is about; names of the contract."""

    FIRM = "FIRM"
    DESK = "DESK"
    INSTRUMENT = "INSTRUMENT"
    STRATEGY = "STRATEGY"
    GATEWAY = "GATEWAY"


Key: TypeAlias = tuple[Scope, str]
FIRM: Final[Key] = (Scope.FIRM, "")


@dataclass(frozen=True, slots=True)
class Halt:
    """No new decision for its subject until somebody with the risk role ends it."""

    halt_id: str
    scope: Scope
    subject: str
    reason: str
    actor: str
    created_at_ns: int

    @property
    def key(self) -> Key:
        return (self.scope, self.subject)


@dataclass(frozen=True, slots=True)
class HardLimits:
    """Of one subject; None and empty sets are "no limit of this kind here". Venues are MICs, strategies the names of
    algorithms. Messages a second are recommendations asked for; repeats are orders of the same instrument, side and
    quantity within a minute."""

    scope: Scope
    subject: str
    max_quantity_shares: float | None = None
    max_notional: float | None = None
    max_participation_rate: float | None = None
    price_collar_bps: float | None = None
    allowed_instruments: frozenset[str] = frozenset()
    allowed_venues: frozenset[str] = frozenset()
    max_messages_per_second: float | None = None
    max_repeats_per_minute: int | None = None

    @property
    def key(self) -> Key:
        return (self.scope, self.subject)

    @property
    def is_empty(self) -> bool:
        return self == HardLimits(self.scope, self.subject)

    @property
    def counts(self) -> bool:
        """Whether it needs somebody who counts."""
        return self.max_messages_per_second is not None or self.max_repeats_per_minute is not None


@dataclass(frozen=True, slots=True)
class Controls:
    """Everything in force at one moment."""

    halts: tuple[Halt, ...] = ()
    limits: tuple[HardLimits, ...] = ()


@dataclass(frozen=True, slots=True)
class Breach:
    """One reason for a refusal. `code` is for programs and never changes its meaning."""

    code: str
    scope: Scope
    subject: str
    description: str

    @property
    def about(self) -> str:
        return f"{self.scope}:{self.subject}" if self.subject else str(self.scope)


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """What a decided order is measured by. `price_limit` and `mid_price` in the instrument's currency."""

    instrument_id: str
    algorithm: str
    desk: str
    gateway: str
    sign: float
    quantity_shares: float
    mid_price: float
    price_limit: float
    participation_rate: float
    venues: tuple[str, ...] = field(default=())

    @property
    def keys(self) -> tuple[Key, ...]:
        return keys_of(self.instrument_id, self.algorithm, self.desk, self.gateway)


def keys_of(instrument_id: str, algorithm: str, desk: str, gateway: str) -> tuple[Key, ...]:
    """Everything that halts and limits may call an order by; what is not known of it is left out."""
    named = (
        (Scope.INSTRUMENT, instrument_id), (Scope.STRATEGY, algorithm), (Scope.DESK, desk), (Scope.GATEWAY, gateway),
    )
    return (FIRM, *((scope, subject) for scope, subject in named if subject))


def facts_of(request: OrderRequest, decision: Decision, desk: str, gateway: str) -> OrderFacts:
    """The rate is the highest that the gateway is allowed, and the price the worst: both are what it enforces."""
    controls = decision.risk_controls
    planned = decision.chosen.parameters.get("participation_rate")
    rates = [controls.max_participation_rate, float(planned) if planned is not None else 0.0]
    return OrderFacts(
        request.instrument_id, decision.chosen.algorithm, desk, gateway, request.side.sign, request.quantity_shares,
        decision.inputs.mid_price, controls.price_limit, largest(rates), tuple(decision.venue_allocation),
    )


def largest(values: Iterable[float]) -> float:
    """NaN where any is: `max` would depend on the order."""
    found = list(values)
    return next((value for value in found if value != value), max(found))


class ControlBook:
    """Controls by what they are about: a decision asks five keys, and nothing at all where nothing is in force."""

    def __init__(self, controls: Controls) -> None:
        self.controls = controls
        self.halts: Mapping[Key, Halt] = {halt.key: halt for halt in reversed(controls.halts)}
        self.limits: Mapping[Key, HardLimits] = {limits.key: limits for limits in controls.limits}

    def halt_of(self, keys: Iterable[Key]) -> Halt | None:
        if not self.halts:
            return None
        return next((self.halts[key] for key in keys if key in self.halts), None)

    def limits_of(self, keys: Iterable[Key]) -> list[HardLimits]:
        return [self.limits[key] for key in keys if key in self.limits] if self.limits else []

    def breaches(self, facts: OrderFacts) -> list[Breach]:
        """Every limit that the order breaks, of every subject that it belongs to."""
        return [breach for limits in self.limits_of(facts.keys) for breach in breaches_of(limits, facts)]


def halted(halt: Halt) -> Breach:
    return Breach("HALTED", halt.scope, halt.subject, f"halted by {halt.actor} ({halt.halt_id}): {halt.reason}")


def breaches_of(limits: HardLimits, facts: OrderFacts) -> list[Breach]:
    """What the order breaks of one subject's limits."""
    bounds = (
        ("MAX_QUANTITY", limits.max_quantity_shares, facts.quantity_shares, quantity_words),
        ("MAX_NOTIONAL", limits.max_notional, facts.quantity_shares * facts.mid_price, notional_words),
        ("MAX_PARTICIPATION", limits.max_participation_rate, facts.participation_rate, participation_words),
        ("PRICE_COLLAR", limits.price_collar_bps, beyond_mid_bps(facts), collar_words),
    )
    found = [
        (code, words(value, bound))
        for code, bound, value, words in bounds
        if bound is not None and not 0.0 <= value <= bound * (1.0 + ROUNDING)
    ]
    if limits.allowed_instruments and facts.instrument_id not in limits.allowed_instruments:
        found.append(("INSTRUMENT_NOT_ALLOWED", f"{facts.instrument_id} is not among the instruments allowed"))
    if limits.allowed_venues:
        others = sorted(set(facts.venues) - limits.allowed_venues)
        if others or not facts.venues:
            found.append(("VENUE_NOT_ALLOWED", f"venues outside those allowed: {', '.join(others) or 'none known'}"))
    return [Breach(code, limits.scope, limits.subject, text) for code, text in found]


def beyond_mid_bps(facts: OrderFacts) -> float:
    """How far the worst price lies beyond the mid on the side that hurts, in bps; 0 where it is better than the mid.
    NaN without a mid, or where either is no number."""
    if not 0.0 < facts.mid_price < math.inf or not math.isfinite(facts.price_limit):
        return math.nan
    beyond = facts.sign * (facts.price_limit - facts.mid_price) / facts.mid_price * 1e4
    return 0.0 if beyond < 0.0 else beyond


def quantity_words(value: float, bound: float) -> str:
    return f"quantity {exact(value)} is above {exact(bound)}"


def notional_words(value: float, bound: float) -> str:
    return f"notional {exact(value)} is above {exact(bound)}"


def participation_words(value: float, bound: float) -> str:
    return f"participation up to {exact(value)} is above {exact(bound)}; ask with constraints.max_participation_rate"


def collar_words(value: float, bound: float) -> str:
    return f"a price limit {value:.1f} bps beyond the mid is outside {bound:g} bps; ask with constraints.price_limit"
