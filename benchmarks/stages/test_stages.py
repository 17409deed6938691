"""What each stage of a decision costs in CPU time, on plain orders of the shipped world. See __main__.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
import pytest
from execution_strategy.v1 import request_pb2

from benchmarks.stages.world import Orders, ShippedWorld, shipped_world
from engine.assemble import assemble
from engine.decide import decide
from engine.decision import Decision
from engine.priced import context_of, models_for, run_kernel, size_multiples
from engine.resolve import Resolved, resolve
from engine.scoring.features import FEATURES
from engine.utility import weights_of
from service.bootstrap import SHIPPED_MODELS
from service.mapping.contract_messages import ECHO
from service.mapping.requests import MappedRequest, map_request
from service.mapping.responses import Naming, answer_of, record_of
from service.mapping.validation import parse, rule_faults
from service.mapping.wire import ToldWriter
from service.warmup import warm
from store.artifacts import load_artifact
from store.payload import encode

ORDERS: Final = 64
EFFECTIVE_TIME: Final = "2026-11-30T08:00:00Z"
NOW_NS: Final = 1_795_766_400_000_000_000  # 2026-11-27T08:00Z: before any exchange of the seed opens
SCORED_ROWS: Final = 36  # candidates that all trees score
ACKNOWLEDGEMENT: Final = 2
SELECTION_ID: Final = "5a1c6d5e-3f0b-4a86-9d0c-6c4f4e2b7a10"


@dataclass(frozen=True)
class Case:
    """One order, at every stage's start."""

    data: bytes
    message: request_pb2.ExecutionStrategyRequest
    mapped: MappedRequest
    resolved: Resolved
    decision: Decision


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> ShippedWorld:
    found = shipped_world(tmp_path_factory.mktemp("world"))
    warm(found.snapshot)
    return found


@pytest.fixture(scope="module")
def cases(world: ShippedWorld) -> list[Case]:
    orders = Orders(world.snapshot, EFFECTIVE_TIME)
    found: list[Case] = []
    while len(found) < ORDERS:
        data = orders.plain()
        message = parse(request_pb2.ExecutionStrategyRequest, data)
        mapped = map_request(message, world.snapshot, NOW_NS)
        assert isinstance(mapped, MappedRequest)
        resolved = resolve(mapped.order, world.snapshot)
        decision = decide(mapped.order, world.snapshot)
        if isinstance(resolved, Resolved) and isinstance(decision, Decision):
            found.append(Case(data, message, mapped, resolved, decision))
    return found


def each(benchmark: Any, work: Callable[[Any], object], inputs: list[Any]) -> None:
    """Every input in turn, so that no stage is measured on one lucky order."""
    turn: Iterator[Any] = cycle(inputs)
    benchmark.pedantic(lambda: work(next(turn)), rounds=400, iterations=4, warmup_rounds=20)


def test_null(benchmark: Any, world: ShippedWorld, cases: list[Case]) -> None:
    """What an Echo of the same sizes does to its bytes."""
    naming = Naming(world.snapshot.directory, world.snapshot.venue_names)
    answer = answer_of(cases[0].decision, naming, SELECTION_ID, NOW_NS, ACKNOWLEDGEMENT, ToldWriter())
    requests = [
        ECHO.request(payload=case.data, response_bytes=len(answer)).SerializeToString() for case in cases
    ]

    def echo(data: bytes) -> bytes:
        message = ECHO.request.FromString(data)
        rule_faults(message)
        return bytes(ECHO.response(payload=bytes(message.response_bytes)).SerializeToString())

    each(benchmark, echo, requests)


def test_map(benchmark: Any, world: ShippedWorld, cases: list[Case]) -> None:
    def work(data: bytes) -> object:
        return map_request(parse(request_pb2.ExecutionStrategyRequest, data), world.snapshot, NOW_NS)

    each(benchmark, work, [case.data for case in cases])


def test_resolve(benchmark: Any, world: ShippedWorld, cases: list[Case]) -> None:
    each(benchmark, lambda order: resolve(order, world.snapshot), [case.mapped.order for case in cases])


def priced_of(world: ShippedWorld, case: Case) -> Any:
    order = case.mapped.order
    context = context_of(case.resolved, world.snapshot, weights_of(order.objective, order.urgency))
    models, _ = models_for(world.snapshot, context)
    return run_kernel(world.snapshot, case.resolved, context, size_multiples(case.resolved), models)


def test_price_and_choose(benchmark: Any, world: ShippedWorld, cases: list[Case]) -> None:
    """The compiled call and its context: every candidate, masks, trees, frontier, flips, two other sizes."""
    each(benchmark, lambda case: priced_of(world, case), cases)


def test_assemble(benchmark: Any, world: ShippedWorld, cases: list[Case]) -> None:
    def work(pair: Any) -> object:
        case, priced = pair
        return assemble(case.resolved, world.snapshot, priced)

    each(benchmark, work, [(case, priced_of(world, case)) for case in cases])


def test_engine(benchmark: Any, world: ShippedWorld, cases: list[Case]) -> None:
    """From an order to a decision, the whole catalogue with learned models."""
    each(benchmark, lambda order: decide(order, world.snapshot), [case.mapped.order for case in cases])


def test_respond(benchmark: Any, world: ShippedWorld, cases: list[Case]) -> None:
    """The answer, its record, and the record's canonical bytes."""
    naming = Naming(world.snapshot.directory, world.snapshot.venue_names)

    writer = ToldWriter()

    def work(case: Case) -> object:
        answer = answer_of(case.decision, naming, SELECTION_ID, NOW_NS, ACKNOWLEDGEMENT, writer)
        order = case.mapped.order
        inputs = world.inputs.encode(world.snapshot, order.instrument_id, NOW_NS, ACKNOWLEDGEMENT, False)
        record = record_of(
            case.decision, case.mapped, naming, answer, SELECTION_ID, NOW_NS, "", inputs, world.inputs.build_id
        )
        return encode(record)

    each(benchmark, work, cases)


def test_turn(benchmark: Any) -> None:
    """A turn of the loop for a call that comes alone."""
    from service.turns import Turns

    async def turn() -> None:
        await Turns(8).take()

    with asyncio.Runner() as runner:
        benchmark.pedantic(lambda: runner.run(turn()), rounds=200, iterations=4, warmup_rounds=20)


@pytest.mark.parametrize("group", ["ADAPTIVE_TWAP"])
def test_session_run(benchmark: Any, group: str) -> None:
    """ONNX Runtime on as many rows as the decision call scores, all heads of one algorithm: what the compiled call is
    instead of."""
    model = load_artifact(Path(SHIPPED_MODELS)).files[f"ranking_{group}.onnx"]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    rows = np.random.default_rng(1).standard_normal((SCORED_ROWS, FEATURES)).astype(np.float32)
    name = session.get_inputs()[0].name
    benchmark.pedantic(lambda: session.run(None, {name: rows}), rounds=400, iterations=4, warmup_rounds=20)
