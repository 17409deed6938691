"""Answers written as bytes are those that the contract's messages give."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
from execution_strategy.v1 import request_pb2, response_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.stages.world import Orders, ShippedWorld, shipped_world
from engine import telling as at
from engine.catalogue import candidate_set
from engine.decide import decide
from engine.decision import Decision
from engine.told import CAUSE_NAMES, Told
from service.mapping.requests import MappedRequest, map_request
from service.mapping.responses import Naming, answer_of, fill_alternative, response_of
from service.mapping.validation import parse
from service.mapping.wire import ToldWriter, rounded_hundredths

NOW_NS = 1_795_766_400_000_000_000  # 2026-11-27T08:00Z
TIMES = ("2026-11-30T08:00:00Z", "2026-11-30T15:40:00Z")
ORDERS = 120
CATALOGUE = candidate_set()
WRITER = ToldWriter()
# Zeros are left out, and a negative zero is not one of them.
FIGURES = st.one_of(
    st.sampled_from((0.0, -0.0, 1.0, 1e-310, -1e300)), st.floats(allow_nan=False, allow_infinity=False)
)


@pytest.fixture(scope="module", params=[True, False], ids=["models", "surfaces"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ShippedWorld:
    folder: Path = tmp_path_factory.mktemp("world")
    return shipped_world(folder, models=request.param)


@pytest.mark.parametrize("by_name", [False, True])
@pytest.mark.parametrize("time", TIMES)
def test_an_answer_is_its_message_serialised(world: ShippedWorld, time: str, by_name: bool) -> None:
    orders, naming = Orders(world.snapshot, time), Naming(world.snapshot.directory, by_name)
    decided = 0
    for number in range(ORDERS):
        message = parse(request_pb2.ExecutionStrategyRequest, orders.any())
        mapped = map_request(message, world.snapshot, NOW_NS)
        decision = decide(mapped.order, world.snapshot) if isinstance(mapped, MappedRequest) else None
        if not isinstance(decision, Decision):
            continue
        decided += 1
        what = (decision, naming, f"selection-{number}", NOW_NS + number, number % 4)
        expected = response_of(*what).SerializeToString(deterministic=True)
        assert answer_of(*what, WRITER) == expected
    assert decided > ORDERS // 2


@st.composite
def anything_told(draw: st.DrawFn) -> Told:
    """Any figures of any candidates."""
    count = len(CATALOGUE.candidates)
    rows = draw(st.integers(1, 6))
    told = np.array([[draw(FIGURES) for _ in range(at.TOLD)] for _ in range(rows)])
    told[:, 1] = [draw(st.integers(0, 400)) for _ in range(rows)]
    told[:, at.TOLD_INDEX] = [draw(st.integers(0, count - 1)) for _ in range(rows)]
    for column in (at.TOLD_WORST, at.TOLD_BEST):
        told[:, column] = [draw(st.integers(0, len(CAUSE_NAMES) - 1)) for _ in range(rows)]
    # Wider figures are not written here.
    told[:, at.TOLD_WORST_GAP] = np.clip(told[:, at.TOLD_WORST_GAP], -9e14, 9e14)
    told[:, at.TOLD_BEST_GAP] = np.clip(told[:, at.TOLD_BEST_GAP], -9e14, 9e14)
    points = np.array([[draw(FIGURES) for _ in range(4)] for _ in range(draw(st.integers(1, 9)))])
    points[:, at.POINT_INDEX] = [draw(st.integers(0, count - 1)) for _ in points]
    return Told(CATALOGUE, told, points)


@given(anything_told())
@settings(max_examples=150, deadline=None)
def test_any_figures_are_written_as_the_messages_are(told: Told) -> None:
    message = response_pb2.ExecutionStrategyResponse()
    for alternative in told.alternatives:
        fill_alternative(message.alternative_strategies.add(), alternative)
    alternatives = message.SerializeToString(deterministic=True)
    message = response_pb2.ExecutionStrategyResponse()
    for point in told.frontier:
        message.efficient_frontier.add(
            strategy_name=point.strategy_name, algorithm=point.algorithm, expected_cost_bps=point.expected_cost_bps,
            standard_deviation_bps=point.standard_deviation_bps, horizon_minutes=point.horizon_minutes,
            chosen=point.chosen,
        )  # fmt: skip
    assert WRITER.write(told) == (alternatives, message.SerializeToString(deterministic=True))


HUNDREDTHS = st.one_of(
    st.floats(0.0, 1e15, exclude_max=True),
    # Exact ties, and what lies next to one.
    st.builds(
        lambda eighths, step: abs(math.nextafter(eighths / 8.0, math.inf * step) if step else eighths / 8.0),
        st.integers(0, 10**9), st.integers(-1, 1),
    ),
    st.builds(lambda whole, cents: whole + (cents + 0.5) / 100.0, st.integers(0, 10**9), st.integers(0, 99)),
)


@given(HUNDREDTHS)
@settings(max_examples=2_000, deadline=None)
def test_hundredths_are_rounded_as_python_writes_them(value: float) -> None:
    whole, hundredths = rounded_hundredths(value)
    assert f"{whole}.{hundredths:02d}" == f"{value:.2f}"


def test_figures_too_large_for_the_writer_are_left_to_the_messages(world: ShippedWorld) -> None:
    orders, naming = Orders(world.snapshot, TIMES[0]), Naming(world.snapshot.directory, False)
    mapped = map_request(parse(request_pb2.ExecutionStrategyRequest, orders.plain()), world.snapshot, NOW_NS)
    assert isinstance(mapped, MappedRequest)
    decision = decide(mapped.order, world.snapshot)
    assert isinstance(decision, Decision)
    assert isinstance(decision.told, Told)
    figures = decision.told.told.copy()
    figures[1, at.TOLD_WORST_GAP] = 1e15
    large = msgspec.structs.replace(decision, told=Told(decision.told.catalogue, figures, decision.told.points))
    assert WRITER.write(Told(decision.told.catalogue, figures, decision.told.points)) is None
    expected = response_of(large, naming, "selection", NOW_NS, 1).SerializeToString(deterministic=True)
    assert answer_of(large, naming, "selection", NOW_NS, 1, WRITER) == expected
