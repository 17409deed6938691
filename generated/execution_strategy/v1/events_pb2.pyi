import datetime

from buf.validate import validate_pb2 as _validate_pb2
from execution_strategy.v1 import enums_pb2 as _enums_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExecutionStrategyEvent(_message.Message):
    __slots__ = ("event_id", "timestamp", "execution_strategy_selected", "execution_strategy_adapted", "execution_outcome_reported", "execution_strategy_conflicted", "operations", "heartbeat", "cursor")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_STRATEGY_SELECTED_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_STRATEGY_ADAPTED_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_OUTCOME_REPORTED_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_STRATEGY_CONFLICTED_FIELD_NUMBER: _ClassVar[int]
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    timestamp: _timestamp_pb2.Timestamp
    execution_strategy_selected: ExecutionStrategySelectedData
    execution_strategy_adapted: ExecutionStrategyAdaptedData
    execution_outcome_reported: ExecutionOutcomeReportedData
    execution_strategy_conflicted: ExecutionStrategyConflictedData
    operations: OperationsData
    heartbeat: Heartbeat
    cursor: EventCursor
    def __init__(self, event_id: _Optional[str] = ..., timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., execution_strategy_selected: _Optional[_Union[ExecutionStrategySelectedData, _Mapping]] = ..., execution_strategy_adapted: _Optional[_Union[ExecutionStrategyAdaptedData, _Mapping]] = ..., execution_outcome_reported: _Optional[_Union[ExecutionOutcomeReportedData, _Mapping]] = ..., execution_strategy_conflicted: _Optional[_Union[ExecutionStrategyConflictedData, _Mapping]] = ..., operations: _Optional[_Union[OperationsData, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., cursor: _Optional[_Union[EventCursor, _Mapping]] = ...) -> None: ...

class EventCursor(_message.Message):
    __slots__ = ("journal_id", "sequence")
    JOURNAL_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    journal_id: str
    sequence: int
    def __init__(self, journal_id: _Optional[str] = ..., sequence: _Optional[int] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ExecutionStrategySelectedData(_message.Message):
    __slots__ = ("order_id", "recommended_strategy", "strategy_rationale", "expected_outcomes", "confidence")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    RECOMMENDED_STRATEGY_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_RATIONALE_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    recommended_strategy: RecommendedStrategyData
    strategy_rationale: str
    expected_outcomes: ExpectedOutcomesData
    confidence: float
    def __init__(self, order_id: _Optional[str] = ..., recommended_strategy: _Optional[_Union[RecommendedStrategyData, _Mapping]] = ..., strategy_rationale: _Optional[str] = ..., expected_outcomes: _Optional[_Union[ExpectedOutcomesData, _Mapping]] = ..., confidence: _Optional[float] = ...) -> None: ...

class RecommendedStrategyData(_message.Message):
    __slots__ = ("strategy_name", "algorithm", "parameters", "venue_allocation")
    class VenueAllocationEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    STRATEGY_NAME_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    VENUE_ALLOCATION_FIELD_NUMBER: _ClassVar[int]
    strategy_name: str
    algorithm: str
    parameters: StrategyParametersData
    venue_allocation: _containers.ScalarMap[str, float]
    def __init__(self, strategy_name: _Optional[str] = ..., algorithm: _Optional[str] = ..., parameters: _Optional[_Union[StrategyParametersData, _Mapping]] = ..., venue_allocation: _Optional[_Mapping[str, float]] = ...) -> None: ...

class StrategyParametersData(_message.Message):
    __slots__ = ("participation_rate", "dark_pool_ratio", "volatility_adjustment")
    PARTICIPATION_RATE_FIELD_NUMBER: _ClassVar[int]
    DARK_POOL_RATIO_FIELD_NUMBER: _ClassVar[int]
    VOLATILITY_ADJUSTMENT_FIELD_NUMBER: _ClassVar[int]
    participation_rate: float
    dark_pool_ratio: float
    volatility_adjustment: bool
    def __init__(self, participation_rate: _Optional[float] = ..., dark_pool_ratio: _Optional[float] = ..., volatility_adjustment: _Optional[bool] = ...) -> None: ...

class ExpectedOutcomesData(_message.Message):
    __slots__ = ("estimated_cost", "estimated_time_minutes", "market_impact", "completion_probability")
    ESTIMATED_COST_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_TIME_MINUTES_FIELD_NUMBER: _ClassVar[int]
    MARKET_IMPACT_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    estimated_cost: float
    estimated_time_minutes: int
    market_impact: float
    completion_probability: float
    def __init__(self, estimated_cost: _Optional[float] = ..., estimated_time_minutes: _Optional[int] = ..., market_impact: _Optional[float] = ..., completion_probability: _Optional[float] = ...) -> None: ...

class ExecutionStrategyAdaptedData(_message.Message):
    __slots__ = ("order_id", "selection_id", "action", "trigger", "recommended_strategy", "rationale", "expected_gain_bps")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    SELECTION_ID_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    TRIGGER_FIELD_NUMBER: _ClassVar[int]
    RECOMMENDED_STRATEGY_FIELD_NUMBER: _ClassVar[int]
    RATIONALE_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_GAIN_BPS_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    selection_id: str
    action: _enums_pb2.AdaptationAction
    trigger: _enums_pb2.AdaptationTrigger
    recommended_strategy: RecommendedStrategyData
    rationale: str
    expected_gain_bps: float
    def __init__(self, order_id: _Optional[str] = ..., selection_id: _Optional[str] = ..., action: _Optional[_Union[_enums_pb2.AdaptationAction, str]] = ..., trigger: _Optional[_Union[_enums_pb2.AdaptationTrigger, str]] = ..., recommended_strategy: _Optional[_Union[RecommendedStrategyData, _Mapping]] = ..., rationale: _Optional[str] = ..., expected_gain_bps: _Optional[float] = ...) -> None: ...

class ExecutionOutcomeReportedData(_message.Message):
    __slots__ = ("order_id", "selection_id", "cost", "performance_score")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    SELECTION_ID_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    PERFORMANCE_SCORE_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    selection_id: str
    cost: float
    performance_score: float
    def __init__(self, order_id: _Optional[str] = ..., selection_id: _Optional[str] = ..., cost: _Optional[float] = ..., performance_score: _Optional[float] = ...) -> None: ...

class ExecutionStrategyConflictedData(_message.Message):
    __slots__ = ("order_id", "kept_selection_id", "conflicted_selection_id")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    KEPT_SELECTION_ID_FIELD_NUMBER: _ClassVar[int]
    CONFLICTED_SELECTION_ID_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    kept_selection_id: str
    conflicted_selection_id: str
    def __init__(self, order_id: _Optional[str] = ..., kept_selection_id: _Optional[str] = ..., conflicted_selection_id: _Optional[str] = ...) -> None: ...

class OperationsData(_message.Message):
    __slots__ = ("kind", "scope", "subject", "actor", "detail")
    KIND_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    kind: str
    scope: _enums_pb2.Scope
    subject: str
    actor: str
    detail: str
    def __init__(self, kind: _Optional[str] = ..., scope: _Optional[_Union[_enums_pb2.Scope, str]] = ..., subject: _Optional[str] = ..., actor: _Optional[str] = ..., detail: _Optional[str] = ...) -> None: ...

class StreamEventsRequest(_message.Message):
    __slots__ = ("resume_after", "heartbeat_seconds", "from_now")
    RESUME_AFTER_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    FROM_NOW_FIELD_NUMBER: _ClassVar[int]
    resume_after: _containers.RepeatedCompositeFieldContainer[EventCursor]
    heartbeat_seconds: int
    from_now: bool
    def __init__(self, resume_after: _Optional[_Iterable[_Union[EventCursor, _Mapping]]] = ..., heartbeat_seconds: _Optional[int] = ..., from_now: _Optional[bool] = ...) -> None: ...
