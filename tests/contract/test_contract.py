"""The contract's own law, read from the image that protoc wrote: names of the specification, comments with units,
enums, paths, compatibility with what was released, and generated code that is what the .proto files say."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from execution_strategy.v1 import admin_pb2, service_pb2
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "execution_strategy.v1"
FieldProto = descriptor_pb2.FieldDescriptorProto

# The specification's structures with its names, in its order. Fields that were added stand behind these.
SPECIFICATION: dict[str, tuple[str, ...]] = {
    "ExecutionStrategyRequest": (
        "order_id", "instrument_id", "side", "quantity", "objective", "urgency", "constraints", "market_context",
    ),
    "ExecutionConstraints": (
        "max_participation_rate", "time_limit_minutes", "price_limit", "venue_restrictions", "dark_pool_preference",
    ),
    "MarketContext": (
        "current_conditions", "volatility_regime", "liquidity_score", "news_impact_score", "time_of_day",
    ),
    "ExecutionStrategyResponse": (
        "order_id", "recommended_strategy", "strategy_rationale", "expected_outcomes", "alternative_strategies",
        "confidence",
    ),
    "ExecutionStrategy": (
        "strategy_name", "algorithm", "parameters", "venue_allocation", "time_allocation", "risk_controls",
    ),
    "ExpectedOutcomes": (
        "estimated_cost", "estimated_time_minutes", "market_impact", "completion_probability", "risk_score",
    ),
    "ExecutionStrategySelectedData": (
        "order_id", "recommended_strategy", "strategy_rationale", "expected_outcomes", "confidence",
    ),
    "RecommendedStrategyData": ("strategy_name", "algorithm", "parameters", "venue_allocation"),
    "StrategyParametersData": ("participation_rate", "dark_pool_ratio", "volatility_adjustment"),
    "ExpectedOutcomesData": (
        "estimated_cost", "estimated_time_minutes", "market_impact", "completion_probability",
    ),
    # Named there without fields, or with the fields of a table or a query.
    "AlternativeStrategy": (),
    "TimeAllocation": (),
    "RiskControls": (),
    "StrategyExecutionStatus": (),
    "StrategyAdaptationRequest": (),
    "StrategyPerformanceReport": (),
    "PerformanceRequest": ("start_date", "end_date"),
    "DailyPerformance": (
        "strategy_name", "execution_date", "orders_executed", "avg_cost", "avg_market_impact", "success_rate",
    ),
}
SPECIFIED_ENUMS: dict[str, tuple[str, ...]] = {
    "ExecutionObjective": (
        "MINIMIZE_COST", "MINIMIZE_RISK", "MINIMIZE_TIME", "MAXIMIZE_ALPHA_CAPTURE", "BALANCED_EXECUTION",
    ),
    "MarketCondition": (
        "NORMAL", "HIGH_VOLATILITY", "LOW_LIQUIDITY", "TRENDING", "MEAN_REVERTING", "NEWS_DRIVEN",
    ),
    "ExecutionUrgency": ("LOW", "NORMAL", "HIGH", "URGENT"),
    "OrderSide": (),
}
SPECIFIED_TYPES: dict[tuple[str, str], str] = {
    ("ExecutionStrategyRequest", "side"): "OrderSide",
    ("ExecutionStrategyRequest", "objective"): "ExecutionObjective",
    ("ExecutionStrategyRequest", "urgency"): "ExecutionUrgency",
    ("ExecutionStrategyRequest", "constraints"): "ExecutionConstraints",
    ("ExecutionStrategyRequest", "market_context"): "MarketContext",
    ("MarketContext", "current_conditions"): "MarketCondition",
    ("ExecutionStrategyResponse", "recommended_strategy"): "ExecutionStrategy",
    ("ExecutionStrategyResponse", "expected_outcomes"): "ExpectedOutcomes",
    ("ExecutionStrategyResponse", "alternative_strategies"): "AlternativeStrategy",
    ("ExecutionStrategy", "time_allocation"): "TimeAllocation",
    ("ExecutionStrategy", "risk_controls"): "RiskControls",
    ("ExecutionStrategyEvent", "execution_strategy_selected"): "ExecutionStrategySelectedData",
    ("ExecutionStrategySelectedData", "recommended_strategy"): "RecommendedStrategyData",
    ("ExecutionStrategySelectedData", "expected_outcomes"): "ExpectedOutcomesData",
    ("RecommendedStrategyData", "parameters"): "StrategyParametersData",
}
SERVICE_METHODS = {
    "Recommend", "RecommendBatch", "Adapt", "AdaptOnce", "Status", "ReportOutcome", "Performance", "Replay",
    "StreamEvents", "UpdateMarketData", "Echo", "EchoStream", "ListOrders", "GetOrderHistory", "ListInstruments",
    "DescribeService",
}
ADMIN_METHODS = {"Halt", "Resume", "SetLimits", "ListControls", "ListArtifacts", "ActivateArtifact"}
PATHS = {
    "Recommend": ("post", "/api/v1/execution-strategy/recommend"),
    "Status": ("get", "/api/v1/execution-strategy/{order_id}/status"),
    "AdaptOnce": ("post", "/api/v1/execution-strategy/{order_id}/adapt"),
    "Performance": ("get", "/api/v1/execution-strategy/performance"),
    "Replay": ("get", "/api/v1/execution-strategy/selections/{selection_id}/replay"),
    "ListOrders": ("get", "/api/v1/execution-strategy/orders"),
    "GetOrderHistory": ("get", "/api/v1/execution-strategy/{order_id}/history"),
    "ListInstruments": ("get", "/api/v1/execution-strategy/instruments"),
    "DescribeService": ("get", "/api/v1/execution-strategy/service"),
}

INTEGERS = {FieldProto.TYPE_INT32, FieldProto.TYPE_INT64, FieldProto.TYPE_UINT32, FieldProto.TYPE_UINT64}
NUMBERS = INTEGERS | {FieldProto.TYPE_DOUBLE, FieldProto.TYPE_FLOAT}
UNIT_IN_NAME = re.compile(r"_(bps|minutes|seconds|days|bps_per_day|fraction|ratio|bytes)$")
UNIT_IN_WORDS = re.compile(
    r"\b(shares|bps|fractions?|minutes|seconds|currency|bytes|notional|probability|requests a second|orders|0 to 1"
    r"|own unit|same unit|SHA-256|FIX \d+)\b|\[0, 1\]|^0 \(none\)|\bshare of",
    re.IGNORECASE,
)
# Whole numbers that count or name something and so have no unit; their comments say what they count.
COUNTERS = {
    "Artifact.shadow_same_choice", "Artifact.shadow_scores", "WorkerArtifactState.worker_index",
    "BatchResult.index", "BasketSummary.decided", "BasketSummary.refused", "EngineVersions.seed",
    "EventCursor.sequence", "FixStrategy.target_strategy", "FixStrategyParameter.strategy_parameter_type",
    "ListControlsResponse.limits_version", "ResumeUpdate.acknowledged_sequence", "ResumeUpdate.epoch",
    "SetLimitsResponse.version",
    "StrategyAdaptation.acknowledged_sequence", "StrategyAdaptation.advice_number",
    "StrategyAdaptation.advices_skipped", "StrategyAdaptation.epoch", "StrategyAdaptationRequest.sequence",
    "StrategyExecutionStatus.acknowledged_sequence", "UpdateMarketDataResponse.accepted",
    "UpdateMarketDataResponse.rejected", "UpdateMarketDataResponse.stale",
    "CallFigures.count", "CallFigures.refused", "CatalogueEntry.candidates", "ListOrdersRequest.changed_after",
    "ListOrdersResponse.revision", "OrderEvent.sequence", "OrderHistory.events_left_out", "OrderSummary.advice_number",
    "OrderSummary.revision", "ServiceDescription.worker_index", "ServiceDescription.workers",
}


@dataclass(frozen=True, slots=True)
class Field:
    message: str
    message_comment: str
    proto: descriptor_pb2.FieldDescriptorProto
    comment: str

    @property
    def name(self) -> str:
        return f"{self.message}.{self.proto.name}"


def ours() -> list[descriptor_pb2.FileDescriptorProto]:
    image = descriptor_pb2.FileDescriptorSet.FromString((ROOT / "generated" / "contract.binpb").read_bytes())
    return [file for file in image.file if file.package == PACKAGE]


def comments(file: descriptor_pb2.FileDescriptorProto) -> dict[tuple[int, ...], str]:
    """Comment by path in the file; [4, 0, 2, 1] is field 1 of message 0 (see SourceCodeInfo in descriptor.proto)."""
    return {tuple(place.path): place.leading_comments.strip() for place in file.source_code_info.location}


def all_fields() -> Iterator[Field]:
    for file in ours():
        said = comments(file)
        for m, message in enumerate(file.message_type):
            # The entries that stand for a map have neither a place in the file nor a comment.
            assert all(nested.options.map_entry for nested in message.nested_type), message.name
            for f, field in enumerate(message.field):
                yield Field(message.name, said.get((4, m), ""), field, said.get((4, m, 2, f), ""))


FIELDS = list(all_fields())
MESSAGES = {message.name: message for file in ours() for message in file.message_type}
ENUMS = {enum.name: enum for file in ours() for enum in file.enum_type}


def prefix_of(enum: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", enum).upper() + "_"


def test_every_field_has_a_comment() -> None:
    assert [field.name for field in FIELDS if not field.comment] == []


def test_every_message_enum_service_and_call_has_a_comment() -> None:
    bare = []
    for file in ours():
        said = comments(file)
        bare += [m.name for n, m in enumerate(file.message_type) if not said.get((4, n))]
        bare += [e.name for n, e in enumerate(file.enum_type) if not said.get((5, n))]
        for n, service in enumerate(file.service):
            bare += [] if said.get((6, n)) else [service.name]
            bare += [call.name for c, call in enumerate(service.method) if not said.get((6, n, 2, c))]
    assert bare == []


def test_every_number_says_its_unit() -> None:
    """In its own comment, in its name, or in the message's comment where all fields share one."""

    def says(field: Field) -> bool:
        if UNIT_IN_NAME.search(field.proto.name) or UNIT_IN_WORDS.search(field.comment):
            return True
        if UNIT_IN_WORDS.search(field.message_comment):
            return True
        return field.proto.type in INTEGERS and field.name in COUNTERS

    numbers = [field for field in FIELDS if field.proto.type in NUMBERS]
    assert len(numbers) > 100
    assert [f"{field.name}: {field.comment}" for field in numbers if not says(field)] == []


def test_every_optional_field_says_what_its_absence_means() -> None:
    words = re.compile(r"default|absent|without|only (if|where|with|in)|unknown|unspecified", re.IGNORECASE)
    silent = [
        field.name
        for field in FIELDS
        if field.proto.proto3_optional and not words.search(field.comment + " " + field.message_comment)
    ]
    assert silent == []


def test_every_enum_starts_with_its_unspecified_value_and_prefixes_all() -> None:
    assert len(ENUMS) >= 10
    for name, enum in ENUMS.items():
        prefix = prefix_of(name)
        assert (enum.value[0].number, enum.value[0].name) == (0, f"{prefix}UNSPECIFIED")
        assert all(value.name.startswith(prefix) for value in enum.value), name


@pytest.mark.parametrize(("message", "names"), SPECIFICATION.items(), ids=SPECIFICATION)
def test_the_specification_s_fields_stand_first_and_in_order(message: str, names: tuple[str, ...]) -> None:
    assert message in MESSAGES
    numbered = {field.name: field.number for field in MESSAGES[message].field}
    assert [numbered.get(name) for name in names] == list(range(1, len(names) + 1))


@pytest.mark.parametrize(("enum", "values"), SPECIFIED_ENUMS.items(), ids=SPECIFIED_ENUMS)
def test_the_specification_s_enums(enum: str, values: tuple[str, ...]) -> None:
    names = [value.name for value in ENUMS[enum].value]
    assert names[1 : len(values) + 1] == [prefix_of(enum) + value for value in values]
    # Nothing was added to the closed sets; the side's values are not the specification's but FIX's.
    assert not values or len(names) == len(values) + 1


@pytest.mark.parametrize(("place", "kind"), SPECIFIED_TYPES.items(), ids=[".".join(p) for p in SPECIFIED_TYPES])
def test_the_specification_s_types(place: tuple[str, str], kind: str) -> None:
    message, name = place
    (field,) = [field for field in MESSAGES[message].field if field.name == name]
    assert field.type_name == f".{PACKAGE}.{kind}"


@pytest.mark.parametrize("name", ["max_participation_rate", "time_limit_minutes", "price_limit"])
def test_the_specification_s_optional_constraints_have_presence(name: str) -> None:
    (field,) = [field for field in MESSAGES["ExecutionConstraints"].field if field.name == name]
    assert field.proto3_optional


def test_the_calls() -> None:
    calls = {service.name: {m.name for m in service.method} for file in ours() for service in file.service}
    assert calls == {"ExecutionStrategyService": SERVICE_METHODS, "ExecutionStrategyAdmin": ADMIN_METHODS}
    assert "ExecutionStrategyAdmin" in admin_pb2.DESCRIPTOR.services_by_name


def test_the_http_paths_are_the_specification_s() -> None:
    found = {}
    for method in service_pb2.DESCRIPTOR.services_by_name["ExecutionStrategyService"].methods:
        if method.GetOptions().HasExtension(annotations_pb2.http):
            rule = method.GetOptions().Extensions[annotations_pb2.http]
            verb = rule.WhichOneof("pattern")
            found[method.name] = (verb, getattr(rule, verb))
            assert rule.body == ("*" if verb == "post" else "")
    assert found == PATHS


def buf(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "buf"
    return subprocess.run(
        [program, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def test_nothing_that_was_released_is_broken() -> None:
    done = buf(
        "breaking", "generated/contract.binpb", "--against", "proto/released.binpb", "--config", "buf.yaml"
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_compatibility_check_can_fail(tmp_path: Path) -> None:
    """A field of another type under a released number is found: the check above is not empty."""
    image = descriptor_pb2.FileDescriptorSet.FromString((ROOT / "proto" / "released.binpb").read_bytes())
    (request,) = [
        m for file in image.file for m in file.message_type if m.name == "ExecutionStrategyRequest"
        if file.package == PACKAGE
    ]
    (quantity,) = [field for field in request.field if field.name == "quantity"]
    quantity.type = FieldProto.TYPE_STRING
    quantity.ClearField("options")
    changed = tmp_path / "changed.binpb"
    changed.write_bytes(image.SerializeToString())
    done = buf("breaking", str(changed), "--against", "proto/released.binpb", "--config", "buf.yaml")
    assert done.returncode != 0
    assert "quantity" in done.stdout


def test_generated_code_is_what_the_contract_says() -> None:
    done = subprocess.run(
        [sys.executable, "proto/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_readme_beside_the_contract_defines_what_the_specification_only_names() -> None:
    text = (ROOT / "proto" / "execution_strategy" / "v1" / "README.md").read_text()
    names = (
        "risk_score", "performance_score", "success_rate", "liquidity_score", "news_impact_score",
        "volatility_regime", "time_of_day", "lot", "StrategyExecutionStatus", "StrategyAdaptationRequest",
        "StrategyPerformanceReport", "TimeAllocation", "RiskControls", "confidence", "standard deviation of a basket",
    )
    assert [name for name in names if name.lower() not in text.lower()] == []


def test_the_readme_s_utility_table_is_the_engine_s() -> None:
    from engine.utility import weights_of
    from engine.values import Objective, Urgency

    text = (ROOT / "proto" / "execution_strategy" / "v1" / "README.md").read_text()
    for objective in Objective:
        (row,) = re.findall(rf"^\| {objective.name} \|(.*)\|$", text, re.MULTILINE)
        cells = [tuple(float(x) for x in cell.split("/")) for cell in row.split("|")]
        expected = [weights_of(objective, urgency) for urgency in Urgency]
        assert cells == [
            (pytest.approx(w.risk_aversion), pytest.approx(w.time_price_bps_per_day)) for w in expected
        ], objective.name
