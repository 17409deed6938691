"""Hard limits and throttles against an independent reading of the same words."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import pytest

from engine.limits import FIRM, ControlBook, Controls, Halt, HardLimits, OrderFacts, Scope, breaches_of
from engine.throttle import MINUTE_NS, SECOND_NS, Throttles

FACTS = OrderFacts("AIG", "VWAP", "desk-1", "gw-1", 1.0, 1_000.0, 50.0, 50.5, 0.1, ("XNYS", "XNAS"))
EVERYTHING = HardLimits(
    Scope.FIRM, "", 1_000.0, 50_000.0, 0.1, 100.0, frozenset({"AIG"}), frozenset({"XNYS", "XNAS"})
)


def codes(limits: HardLimits, facts: OrderFacts) -> list[str]:
    return [breach.code for breach in breaches_of(limits, facts)]


def test_an_order_exactly_at_every_limit_passes() -> None:
    assert codes(EVERYTHING, FACTS) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"quantity_shares": 1_001.0, "mid_price": 49.0, "price_limit": 49.0}, "MAX_QUANTITY"),
        ({"mid_price": 50.1}, "MAX_NOTIONAL"),
        ({"participation_rate": 0.1001}, "MAX_PARTICIPATION"),
        ({"price_limit": 50.6}, "PRICE_COLLAR"),
        ({"sign": -1.0, "price_limit": 49.4}, "PRICE_COLLAR"),
        ({"instrument_id": "IBM"}, "INSTRUMENT_NOT_ALLOWED"),
        ({"venues": ("XNYS", "BATS")}, "VENUE_NOT_ALLOWED"),
        ({"venues": ()}, "VENUE_NOT_ALLOWED"),
    ],
)
def test_a_little_beyond_a_limit_is_refused_with_its_code(change: dict[str, Any], code: str) -> None:
    assert codes(EVERYTHING, replace(FACTS, **change)) == [code]


@pytest.mark.parametrize("name", ["quantity_shares", "mid_price", "price_limit", "participation_rate"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused(name: str, value: float) -> None:
    change: dict[str, Any] = {name: value}
    assert codes(EVERYTHING, replace(FACTS, **change))


def test_a_quantity_and_an_amount_just_above_their_limits_are_told_from_them() -> None:
    limits = HardLimits(Scope.FIRM, "", 1_000_000.0, 50_000_000.0)
    facts = replace(FACTS, quantity_shares=1_000_001.0)
    found = [breach.description for breach in breaches_of(limits, facts)]
    assert "quantity 1000001 is above 1000000" in found[0]
    assert "notional 50000050 is above 50000000" in found[1]


def test_a_price_better_than_the_mid_is_within_the_collar() -> None:
    assert "PRICE_COLLAR" not in codes(EVERYTHING, replace(FACTS, price_limit=10.0))
    assert "PRICE_COLLAR" not in codes(EVERYTHING, replace(FACTS, sign=-1.0, price_limit=90.0))


def test_limits_of_every_subject_an_order_belongs_to_count_and_no_others() -> None:
    small = 10.0
    sets = [
        HardLimits(Scope.DESK, "desk-1", small), HardLimits(Scope.INSTRUMENT, "AIG", small),
        HardLimits(Scope.STRATEGY, "VWAP", small), HardLimits(Scope.FIRM, "", small),
        HardLimits(Scope.DESK, "desk-2", small), HardLimits(Scope.INSTRUMENT, "IBM", small),
    ]  # fmt: skip
    book = ControlBook(Controls(limits=tuple(sets)))
    assert {breach.about for breach in book.breaches(FACTS)} == {
        "DESK:desk-1", "INSTRUMENT:AIG", "STRATEGY:VWAP", "FIRM"
    }


@pytest.mark.parametrize("scope", list(Scope))
def test_a_halt_of_any_scope_stops_what_belongs_to_it(scope: Scope) -> None:
    subjects = {"FIRM": "", "DESK": "desk-1", "INSTRUMENT": "AIG", "STRATEGY": "VWAP", "GATEWAY": "gw-1"}
    book = ControlBook(Controls((Halt("h", scope, subjects[scope], "r", "a", 1),)))
    other = OrderFacts("IBM", "TWAP", "desk-2", "gw-2", 1.0, 1.0, 1.0, 1.0, 0.1, ("XNYS",))
    assert book.halt_of(FACTS.keys) is not None
    assert (book.halt_of(other.keys) is not None) == (scope is Scope.FIRM)


def test_of_random_messages_never_more_than_the_rate_pass_in_any_second() -> None:
    random_ = random.Random(3)
    for rate in (0.2, 1.0, 3.0, 7.5):
        limits, throttles = [HardLimits(Scope.FIRM, "", max_messages_per_second=rate)], Throttles()
        now_ns, passed = 0, []
        for number in range(600):
            now_ns += int(random_.expovariate(2.0 * rate) * SECOND_NS)
            if not throttles.count(limits, str(number), None, now_ns).breaches:
                passed.append(now_ns)
        window_ns, most = (SECOND_NS, int(rate)) if rate >= 1 else (int(SECOND_NS / rate), 1)
        within = [sum(at - window_ns < other <= at for other in passed) for at in passed]
        assert max(within) == most, "as many as are allowed, and no more"


def test_too_many_alike_disable_the_subject_until_a_person_says_otherwise() -> None:
    limits, throttles = [HardLimits(Scope.FIRM, "", max_repeats_per_minute=2)], Throttles()
    like, other = ("AIG", 1.0, 100.0), ("IBM", 1.0, 100.0)
    assert not throttles.count(limits, "a", like, 0).breaches
    assert not throttles.count(limits, "b", like, 1).breaches
    assert not throttles.count(limits, "b", like, 2).breaches, "the same order again is a retry"
    tripped = throttles.count(limits, "c", like, 3)
    assert [breach.code for breach in tripped.breaches] == ["REPEAT_THROTTLE"]
    assert tripped.tripped == ((FIRM, 3),)
    assert throttles.count(limits, "d", other, 2 * MINUTE_NS).tripped == ((FIRM, 3),), "time does not heal it"
    throttles.release(FIRM)
    assert not throttles.count(limits, "d", other, 2 * MINUTE_NS).breaches


def test_the_same_order_a_minute_later_is_no_repeat() -> None:
    limits, throttles = [HardLimits(Scope.FIRM, "", max_repeats_per_minute=1)], Throttles()
    like = ("AIG", 1.0, 100.0)
    for number in range(5):
        assert not throttles.count(limits, str(number), like, number * MINUTE_NS).breaches


def test_more_orders_than_can_be_remembered_are_refused() -> None:
    limits = [HardLimits(Scope.FIRM, "", max_repeats_per_minute=5)]
    throttles = Throttles(most_remembered=3)
    answers = [throttles.count(limits, str(n), ("AIG", 1.0, float(n)), n).breaches for n in range(4)]
    assert [bool(breaches) for breaches in answers] == [False, False, False, True]


def test_what_is_old_is_forgotten_a_few_at_a_time_whoever_sends_what() -> None:
    """Looked through at once, half a million orders would hold up every decision of the host for seconds."""
    limits, throttles = [HardLimits(Scope.FIRM, "", max_repeats_per_minute=5)], Throttles(most_remembered=10_000)
    for number in range(10_000):
        throttles.count(limits, str(number), ("AIG", 1.0, float(number)), number)
    assert throttles.remembered == 10_000
    now_ns, steps = 2 * MINUTE_NS, []
    while throttles.remembered > 1_000:
        before = throttles.remembered
        assert not throttles.count(limits, f"n{before}", ("IBM", 1.0, float(before)), now_ns).breaches
        steps.append(before - throttles.remembered)
    assert 0 < min(steps) <= max(steps) < 100
    for number in range(500):
        throttles.count(limits, "last", ("IBM", -1.0, 1.0), 4 * MINUTE_NS + number)
    assert throttles.remembered == 1, "also what came while the old was forgotten"


def test_orders_that_were_released_or_came_again_are_forgotten_once() -> None:
    limits, throttles = [HardLimits(Scope.FIRM, "", max_repeats_per_minute=5)], Throttles()
    like = ("AIG", 1.0, 100.0)
    throttles.count(limits, "a", like, 0)
    throttles.release(FIRM)
    assert throttles.remembered == 0
    throttles.count(limits, "a", like, SECOND_NS)
    throttles.count(limits, "b", ("IBM", 1.0, 1.0), MINUTE_NS)
    assert throttles.remembered == 2, "the first `a` is old, the second is not"
    throttles.count(limits, "b", ("IBM", 1.0, 1.0), MINUTE_NS + 2 * SECOND_NS)
    assert throttles.remembered == 1
