"""Random decisions against random limits: by the engine's own check, and some of them through the call; each is judged
by a second reading of the limits that shares no code with the first."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any, Final

from execution_strategy.v1 import admin_pb2, response_pb2

from engine.limits import ControlBook, Controls, HardLimits, OrderFacts, Scope
from tests.helpers.live_service import ADMIN, Gateway, live_service, order, seed_reference

NAME: Final = "limits"
TARGETS: Final = {"limits_passed": 0, "refused_without_reason": 0}
DECISIONS, SHORT_DECISIONS = 100_000, 20_000
CALLS, SHORT_CALLS = 400, 60
CALLS_A_SET: Final = 20
VENUES: Final = ("XNYS", "XNAS", "BATS", "ARCX", "IEXG")
NAMES: Final = ("AIG", "AAPL", "IBM")
DESKS: Final = ("", "a", "b")
ALGORITHMS: Final = ("VWAP", "TWAP", "POV")
# Two decimal readings of the same bound may differ by so much.
CLOSE: Final = 1e-6


def random_limits(source: random.Random, scope: Scope, subject: str) -> HardLimits:
    def maybe(low: float, high: float) -> float | None:
        return math.exp(source.uniform(math.log(low), math.log(high))) if source.random() < 0.5 else None

    venues = frozenset(source.sample(VENUES, source.randint(2, 5))) if source.random() < 0.3 else frozenset()
    names = frozenset(source.sample(NAMES, source.randint(1, 3))) if source.random() < 0.3 else frozenset()
    bounds = maybe(1e2, 1e6), maybe(1e3, 1e8), maybe(0.01, 0.5), maybe(5.0, 800.0)
    return HardLimits(scope, subject, *bounds, names, venues)


def random_facts(source: random.Random) -> OrderFacts:
    """Now and then a figure is no number."""
    mid, sign = math.exp(source.uniform(0.0, 7.0)), source.choice((1.0, -1.0))
    figures = [math.exp(source.uniform(4.0, 14.0)), mid, mid * (1.0 + sign * source.uniform(-0.01, 0.06)),
               source.uniform(0.005, 0.5)]  # fmt: skip
    if source.random() < 0.02:
        figures[source.randrange(4)] = source.choice((math.nan, math.inf, -math.inf))
    quantity, mid, price, rate = figures
    venues = tuple(source.sample(VENUES, source.randint(1, 3)))
    return OrderFacts(source.choice(NAMES), source.choice(ALGORITHMS), source.choice(DESKS), "", sign, quantity, mid,
                      price, rate, venues)  # fmt: skip


def breaks(limits: HardLimits, facts: OrderFacts) -> bool | None:
    """The second reading; None where it is too close to say."""
    marks = [
        (limits.max_quantity_shares, facts.quantity_shares),
        (limits.max_notional, facts.quantity_shares * facts.mid_price),
        (limits.max_participation_rate, facts.participation_rate),
        (limits.price_collar_bps, 1e4 * max(0.0, facts.sign * (facts.price_limit / facts.mid_price - 1.0))
         if 0.0 < facts.mid_price < math.inf and math.isfinite(facts.price_limit) else math.nan),
    ]  # fmt: skip
    bounded = [(bound, value) for bound, value in marks if bound is not None]
    if any(math.isfinite(value) and abs(value - bound) < CLOSE * bound for bound, value in bounded):
        return None
    over = any(not math.isfinite(value) or value > bound for bound, value in bounded)
    stranger = bool(limits.allowed_instruments) and facts.instrument_id not in limits.allowed_instruments
    return over or stranger or bool(limits.allowed_venues and set(facts.venues) - limits.allowed_venues)


def belongs(limits: HardLimits, facts: OrderFacts) -> bool:
    mine = {Scope.FIRM: "", Scope.DESK: facts.desk, Scope.INSTRUMENT: facts.instrument_id,
            Scope.STRATEGY: facts.algorithm}  # fmt: skip
    return mine[limits.scope] == limits.subject and (limits.scope is Scope.FIRM or limits.subject != "")


def by_engine(source: random.Random, count: int) -> dict[str, int]:
    """Decisions that broke a limit and passed, and the other way round."""
    passed = wrongly = refused = 0
    limits: list[HardLimits] = []
    book = ControlBook(Controls())
    for number in range(count):
        if number % 100 == 0:
            subjects = [(Scope.FIRM, ""), (Scope.DESK, "a"), (Scope.INSTRUMENT, "AIG"), (Scope.STRATEGY, "VWAP")]
            limits = [random_limits(source, *subject) for subject in subjects if source.random() < 0.6]
            book = ControlBook(Controls(limits=tuple(limits)))
        facts = random_facts(source)
        verdicts = [breaks(one, facts) for one in limits if belongs(one, facts)]
        is_refused = bool(book.breaches(facts))
        refused += is_refused
        passed += not is_refused and any(verdicts)
        wrongly += is_refused and not any(verdict is not False for verdict in verdicts)
    return {"limits_passed": passed, "refused_without_reason": wrongly, "refused": refused, "decisions": count}


def message_of(limits: HardLimits) -> admin_pb2.HardLimits:
    bounds = {
        "max_quantity": limits.max_quantity_shares, "max_notional": limits.max_notional,
        "max_participation_rate": limits.max_participation_rate, "price_collar_bps": limits.price_collar_bps,
    }  # fmt: skip
    given: dict[str, Any] = {name: value for name, value in bounds.items() if value is not None}
    number: Any = 1 if limits.scope is Scope.FIRM else 3
    return admin_pb2.HardLimits(scope=number, subject=limits.subject, **given)


def facts_in(response: response_pb2.ExecutionStrategyResponse, name: str, quantity: float) -> OrderFacts:
    """Of an answer: what the gateway would enforce."""
    strategy = response.recommended_strategy
    controls = strategy.risk_controls
    return OrderFacts(name, strategy.algorithm, "", "", 1.0, quantity, response.resolved_inputs.mid_price,
                      controls.price_limit, controls.max_participation_rate,
                      tuple(strategy.venue_allocation))  # fmt: skip


def by_call(source: random.Random, count: int) -> dict[str, int]:
    """Through SetLimits and Recommend of a running service."""
    _, market = seed_reference()
    volume = {name: market[name].average_daily_volume_shares or 1e6 for name in ("AIG", "AAPL")}
    passed = refused = decided = 0
    limits: list[HardLimits] = []
    with live_service() as service, Gateway(service.target) as gateway:
        for number in range(count):
            if number % CALLS_A_SET == 0:
                drawn = [random_limits(source, *key) for key in ((Scope.FIRM, ""), (Scope.INSTRUMENT, "AIG"))]
                limits = [replace(one, allowed_venues=frozenset(), allowed_instruments=frozenset()) for one in drawn]
                asked = admin_pb2.SetLimitsRequest(limits=[message_of(one) for one in limits], reason="benchmark")
                assert gateway.call("SetLimits", asked, 20.0, ADMIN).code == "OK"
            name = source.choice(sorted(volume))
            quantity = float(max(100, int(volume[name] * math.exp(source.uniform(-9.0, -3.0)) / 100) * 100))
            reply = gateway.recommend(order(instrument_id=name, quantity=quantity), 20.0)
            if reply.code == "OK":
                decided += 1
                facts = facts_in(reply.response, name, quantity)
                passed += any(breaks(one, facts) for one in limits if belongs(one, facts))
            else:
                refused += 1
    return {"limits_passed": passed, "calls_decided": decided, "calls_refused": refused}


def measure(short: bool, seed: int) -> dict[str, Any]:
    source = random.Random(seed)
    found = by_engine(source, SHORT_DECISIONS if short else DECISIONS)
    called = by_call(source, SHORT_CALLS if short else CALLS)
    return {**found, **called, "limits_passed": found["limits_passed"] + called["limits_passed"]}
