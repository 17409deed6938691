"""Two answers, field by field: by path, with both values as text."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from execution_strategy.v1 import enums_pb2, response_pb2

from service.mapping.field_differences import ABSENT, MOST_DIFFERENCES, Difference, differences

Response = response_pb2.ExecutionStrategyResponse


def answer() -> Response:
    message = Response(order_id="o", confidence=0.5, warnings=["one", "two"], structural_only=True)
    message.recommended_strategy.parameters["participation_rate"].number_value = 0.1
    message.recommended_strategy.parameters["volatility_adjustment"].bool_value = True
    message.recommended_strategy.venue_allocation["XNYS"] = 0.6
    message.recommended_strategy.venue_allocation["XNAS"] = 0.4
    message.expected_outcomes.estimated_cost = 0.0025
    message.created_at.seconds, message.created_at.nanos = 1_750_500_000, 7
    message.alternative_strategies.add(algorithm="TWAP", reason="dearer")
    message.condition.condition = enums_pb2.MARKET_CONDITION_NORMAL
    return message


Change = Callable[[Response], object]


def first_alternative(message: Response) -> None:
    message.alternative_strategies[0].reason = "cheaper"


def condition(message: Response) -> None:
    message.condition.condition = enums_pb2.MARKET_CONDITION_TRENDING


def allocation(message: Response) -> None:
    del message.recommended_strategy.venue_allocation["XNAS"]


def parameter(message: Response) -> None:
    message.recommended_strategy.parameters["volatility_adjustment"].bool_value = False


CHANGES: dict[str, tuple[Change, Difference]] = {
    "text": (lambda m: setattr(m, "order_id", "p"), Difference("order_id", "o", "p")),
    "the last bit of a figure": (
        lambda m: setattr(m.expected_outcomes, "estimated_cost", 0.0025000000000000005),
        Difference("expected_outcomes.estimated_cost", "0.0025", "0.0025000000000000005"),
    ),
    "a sign of zero": (
        lambda m: setattr(m.expected_outcomes, "market_impact", -0.0),
        Difference("expected_outcomes.market_impact", "0.0", "-0.0"),
    ),
    "truth": (lambda m: setattr(m, "structural_only", False), Difference("structural_only", "true", "false")),
    "an enum": (
        condition,
        Difference("condition.condition", "MARKET_CONDITION_NORMAL", "MARKET_CONDITION_TRENDING"),
    ),
    "a time": (
        lambda m: setattr(m.created_at, "nanos", 8),
        Difference("created_at", "2025-06-21T10:00:00.000000007Z", "2025-06-21T10:00:00.000000008Z"),
    ),
    "a time that is gone": (
        lambda m: m.ClearField("created_at"), Difference("created_at", "2025-06-21T10:00:00.000000007Z", ABSENT),
    ),
    "an entry's field": (
        first_alternative, Difference("alternative_strategies[0].reason", "dearer", "cheaper"),
    ),
    "an entry more": (lambda m: m.warnings.append("three"), Difference("warnings[2]", ABSENT, "three")),
    "an entry less": (lambda m: m.warnings.pop(), Difference("warnings[1]", "two", ABSENT)),
    "a venue less": (allocation, Difference("recommended_strategy.venue_allocation.XNAS", "0.4", ABSENT)),
    "a parameter": (
        parameter, Difference("recommended_strategy.parameters.volatility_adjustment", "true", "false"),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_kind_of_field(name: str) -> None:
    change, expected = CHANGES[name]
    other = answer()
    change(other)
    assert differences(answer(), other) == (expected,)
    swapped = Difference(expected.field, expected.replayed, expected.recorded)
    assert differences(other, answer()) == (swapped,)


def test_equal_answers_and_equal_oddities_do_not_differ() -> None:
    odd = answer()
    odd.confidence = float("nan")
    assert differences(answer(), answer()) == ()
    assert differences(odd, odd) == ()


def test_a_message_that_is_gone_is_told_whole() -> None:
    other = answer()
    other.ClearField("condition")
    (found,) = differences(answer(), other)
    assert (found.field, found.replayed) == ("condition", ABSENT)
    assert "MARKET_CONDITION_NORMAL" in found.recorded


def test_too_many_are_counted_not_listed() -> None:
    other = answer()
    other.warnings.extend(str(n) for n in range(MOST_DIFFERENCES + 9))
    found = differences(answer(), other)
    assert len(found) == MOST_DIFFERENCES + 1
    assert found[-1].field == "(and 9 more fields)"
