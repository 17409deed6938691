import datetime

from execution_strategy.v1 import enums_pb2 as _enums_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExecutionStrategyResponse(_message.Message):
    __slots__ = ("order_id", "recommended_strategy", "strategy_rationale", "expected_outcomes", "alternative_strategies", "confidence", "selection_id", "created_at", "acknowledgement", "condition", "cost_breakdown", "efficient_frontier", "binding_constraints", "flip_conditions", "resolved_inputs", "versions", "fix", "structural_only", "warnings", "learning")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    RECOMMENDED_STRATEGY_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_RATIONALE_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    ALTERNATIVE_STRATEGIES_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    SELECTION_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGEMENT_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    COST_BREAKDOWN_FIELD_NUMBER: _ClassVar[int]
    EFFICIENT_FRONTIER_FIELD_NUMBER: _ClassVar[int]
    BINDING_CONSTRAINTS_FIELD_NUMBER: _ClassVar[int]
    FLIP_CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    RESOLVED_INPUTS_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    FIX_FIELD_NUMBER: _ClassVar[int]
    STRUCTURAL_ONLY_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    LEARNING_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    recommended_strategy: ExecutionStrategy
    strategy_rationale: str
    expected_outcomes: ExpectedOutcomes
    alternative_strategies: _containers.RepeatedCompositeFieldContainer[AlternativeStrategy]
    confidence: float
    selection_id: str
    created_at: _timestamp_pb2.Timestamp
    acknowledgement: _enums_pb2.AcknowledgementClass
    condition: ConditionAssessment
    cost_breakdown: CostBreakdown
    efficient_frontier: _containers.RepeatedCompositeFieldContainer[FrontierPoint]
    binding_constraints: _containers.RepeatedScalarFieldContainer[str]
    flip_conditions: _containers.RepeatedCompositeFieldContainer[FlipCondition]
    resolved_inputs: ResolvedInputs
    versions: EngineVersions
    fix: FixStrategy
    structural_only: bool
    warnings: _containers.RepeatedScalarFieldContainer[str]
    learning: LearningNote
    def __init__(self, order_id: _Optional[str] = ..., recommended_strategy: _Optional[_Union[ExecutionStrategy, _Mapping]] = ..., strategy_rationale: _Optional[str] = ..., expected_outcomes: _Optional[_Union[ExpectedOutcomes, _Mapping]] = ..., alternative_strategies: _Optional[_Iterable[_Union[AlternativeStrategy, _Mapping]]] = ..., confidence: _Optional[float] = ..., selection_id: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., acknowledgement: _Optional[_Union[_enums_pb2.AcknowledgementClass, str]] = ..., condition: _Optional[_Union[ConditionAssessment, _Mapping]] = ..., cost_breakdown: _Optional[_Union[CostBreakdown, _Mapping]] = ..., efficient_frontier: _Optional[_Iterable[_Union[FrontierPoint, _Mapping]]] = ..., binding_constraints: _Optional[_Iterable[str]] = ..., flip_conditions: _Optional[_Iterable[_Union[FlipCondition, _Mapping]]] = ..., resolved_inputs: _Optional[_Union[ResolvedInputs, _Mapping]] = ..., versions: _Optional[_Union[EngineVersions, _Mapping]] = ..., fix: _Optional[_Union[FixStrategy, _Mapping]] = ..., structural_only: _Optional[bool] = ..., warnings: _Optional[_Iterable[str]] = ..., learning: _Optional[_Union[LearningNote, _Mapping]] = ...) -> None: ...

class LearningNote(_message.Message):
    __slots__ = ("online_correction_bps", "propensity", "explored")
    ONLINE_CORRECTION_BPS_FIELD_NUMBER: _ClassVar[int]
    PROPENSITY_FIELD_NUMBER: _ClassVar[int]
    EXPLORED_FIELD_NUMBER: _ClassVar[int]
    online_correction_bps: float
    propensity: float
    explored: bool
    def __init__(self, online_correction_bps: _Optional[float] = ..., propensity: _Optional[float] = ..., explored: _Optional[bool] = ...) -> None: ...

class ExecutionStrategy(_message.Message):
    __slots__ = ("strategy_name", "algorithm", "parameters", "venue_allocation", "time_allocation", "risk_controls")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _struct_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...
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
    TIME_ALLOCATION_FIELD_NUMBER: _ClassVar[int]
    RISK_CONTROLS_FIELD_NUMBER: _ClassVar[int]
    strategy_name: str
    algorithm: str
    parameters: _containers.MessageMap[str, _struct_pb2.Value]
    venue_allocation: _containers.ScalarMap[str, float]
    time_allocation: TimeAllocation
    risk_controls: RiskControls
    def __init__(self, strategy_name: _Optional[str] = ..., algorithm: _Optional[str] = ..., parameters: _Optional[_Mapping[str, _struct_pb2.Value]] = ..., venue_allocation: _Optional[_Mapping[str, float]] = ..., time_allocation: _Optional[_Union[TimeAllocation, _Mapping]] = ..., risk_controls: _Optional[_Union[RiskControls, _Mapping]] = ...) -> None: ...

class TimeAllocation(_message.Message):
    __slots__ = ("start_time", "end_time", "horizon_minutes", "slices")
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    HORIZON_MINUTES_FIELD_NUMBER: _ClassVar[int]
    SLICES_FIELD_NUMBER: _ClassVar[int]
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    horizon_minutes: float
    slices: _containers.RepeatedCompositeFieldContainer[ScheduleSlice]
    def __init__(self, start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., horizon_minutes: _Optional[float] = ..., slices: _Optional[_Iterable[_Union[ScheduleSlice, _Mapping]]] = ...) -> None: ...

class ScheduleSlice(_message.Message):
    __slots__ = ("start_time", "duration_seconds", "quantity", "phase")
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    DURATION_SECONDS_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    start_time: _timestamp_pb2.Timestamp
    duration_seconds: float
    quantity: float
    phase: _enums_pb2.SlicePhase
    def __init__(self, start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., duration_seconds: _Optional[float] = ..., quantity: _Optional[float] = ..., phase: _Optional[_Union[_enums_pb2.SlicePhase, str]] = ...) -> None: ...

class RiskControls(_message.Message):
    __slots__ = ("max_participation_rate", "max_slice_quantity", "price_limit", "price_collar_bps", "max_spread_bps", "volatility_trigger_ratio", "schedule_shortfall_trigger_fraction")
    MAX_PARTICIPATION_RATE_FIELD_NUMBER: _ClassVar[int]
    MAX_SLICE_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    PRICE_LIMIT_FIELD_NUMBER: _ClassVar[int]
    PRICE_COLLAR_BPS_FIELD_NUMBER: _ClassVar[int]
    MAX_SPREAD_BPS_FIELD_NUMBER: _ClassVar[int]
    VOLATILITY_TRIGGER_RATIO_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_SHORTFALL_TRIGGER_FRACTION_FIELD_NUMBER: _ClassVar[int]
    max_participation_rate: float
    max_slice_quantity: float
    price_limit: float
    price_collar_bps: float
    max_spread_bps: float
    volatility_trigger_ratio: float
    schedule_shortfall_trigger_fraction: float
    def __init__(self, max_participation_rate: _Optional[float] = ..., max_slice_quantity: _Optional[float] = ..., price_limit: _Optional[float] = ..., price_collar_bps: _Optional[float] = ..., max_spread_bps: _Optional[float] = ..., volatility_trigger_ratio: _Optional[float] = ..., schedule_shortfall_trigger_fraction: _Optional[float] = ...) -> None: ...

class ExpectedOutcomes(_message.Message):
    __slots__ = ("estimated_cost", "estimated_time_minutes", "market_impact", "completion_probability", "risk_score", "cost_standard_deviation", "cost_quantile_10", "cost_quantile_90", "mean_execution_minutes", "utility_bps")
    ESTIMATED_COST_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_TIME_MINUTES_FIELD_NUMBER: _ClassVar[int]
    MARKET_IMPACT_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    RISK_SCORE_FIELD_NUMBER: _ClassVar[int]
    COST_STANDARD_DEVIATION_FIELD_NUMBER: _ClassVar[int]
    COST_QUANTILE_10_FIELD_NUMBER: _ClassVar[int]
    COST_QUANTILE_90_FIELD_NUMBER: _ClassVar[int]
    MEAN_EXECUTION_MINUTES_FIELD_NUMBER: _ClassVar[int]
    UTILITY_BPS_FIELD_NUMBER: _ClassVar[int]
    estimated_cost: float
    estimated_time_minutes: int
    market_impact: float
    completion_probability: float
    risk_score: float
    cost_standard_deviation: float
    cost_quantile_10: float
    cost_quantile_90: float
    mean_execution_minutes: float
    utility_bps: float
    def __init__(self, estimated_cost: _Optional[float] = ..., estimated_time_minutes: _Optional[int] = ..., market_impact: _Optional[float] = ..., completion_probability: _Optional[float] = ..., risk_score: _Optional[float] = ..., cost_standard_deviation: _Optional[float] = ..., cost_quantile_10: _Optional[float] = ..., cost_quantile_90: _Optional[float] = ..., mean_execution_minutes: _Optional[float] = ..., utility_bps: _Optional[float] = ...) -> None: ...

class CostBreakdown(_message.Message):
    __slots__ = ("spread_bps", "impact_bps", "fees_bps", "dark_saving_bps", "learned_correction_bps", "expected_cost_bps", "timing_risk_bps", "alpha_bps", "time_bps", "utility_bps", "standard_deviation_bps")
    SPREAD_BPS_FIELD_NUMBER: _ClassVar[int]
    IMPACT_BPS_FIELD_NUMBER: _ClassVar[int]
    FEES_BPS_FIELD_NUMBER: _ClassVar[int]
    DARK_SAVING_BPS_FIELD_NUMBER: _ClassVar[int]
    LEARNED_CORRECTION_BPS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_COST_BPS_FIELD_NUMBER: _ClassVar[int]
    TIMING_RISK_BPS_FIELD_NUMBER: _ClassVar[int]
    ALPHA_BPS_FIELD_NUMBER: _ClassVar[int]
    TIME_BPS_FIELD_NUMBER: _ClassVar[int]
    UTILITY_BPS_FIELD_NUMBER: _ClassVar[int]
    STANDARD_DEVIATION_BPS_FIELD_NUMBER: _ClassVar[int]
    spread_bps: float
    impact_bps: float
    fees_bps: float
    dark_saving_bps: float
    learned_correction_bps: float
    expected_cost_bps: float
    timing_risk_bps: float
    alpha_bps: float
    time_bps: float
    utility_bps: float
    standard_deviation_bps: float
    def __init__(self, spread_bps: _Optional[float] = ..., impact_bps: _Optional[float] = ..., fees_bps: _Optional[float] = ..., dark_saving_bps: _Optional[float] = ..., learned_correction_bps: _Optional[float] = ..., expected_cost_bps: _Optional[float] = ..., timing_risk_bps: _Optional[float] = ..., alpha_bps: _Optional[float] = ..., time_bps: _Optional[float] = ..., utility_bps: _Optional[float] = ..., standard_deviation_bps: _Optional[float] = ...) -> None: ...

class AlternativeStrategy(_message.Message):
    __slots__ = ("strategy_name", "algorithm", "parameters", "expected_outcomes", "utility_difference_bps", "cost_difference_bps", "reason")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _struct_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...
    STRATEGY_NAME_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    UTILITY_DIFFERENCE_BPS_FIELD_NUMBER: _ClassVar[int]
    COST_DIFFERENCE_BPS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    strategy_name: str
    algorithm: str
    parameters: _containers.MessageMap[str, _struct_pb2.Value]
    expected_outcomes: ExpectedOutcomes
    utility_difference_bps: float
    cost_difference_bps: float
    reason: str
    def __init__(self, strategy_name: _Optional[str] = ..., algorithm: _Optional[str] = ..., parameters: _Optional[_Mapping[str, _struct_pb2.Value]] = ..., expected_outcomes: _Optional[_Union[ExpectedOutcomes, _Mapping]] = ..., utility_difference_bps: _Optional[float] = ..., cost_difference_bps: _Optional[float] = ..., reason: _Optional[str] = ...) -> None: ...

class FrontierPoint(_message.Message):
    __slots__ = ("strategy_name", "algorithm", "expected_cost_bps", "standard_deviation_bps", "horizon_minutes", "chosen")
    STRATEGY_NAME_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_COST_BPS_FIELD_NUMBER: _ClassVar[int]
    STANDARD_DEVIATION_BPS_FIELD_NUMBER: _ClassVar[int]
    HORIZON_MINUTES_FIELD_NUMBER: _ClassVar[int]
    CHOSEN_FIELD_NUMBER: _ClassVar[int]
    strategy_name: str
    algorithm: str
    expected_cost_bps: float
    standard_deviation_bps: float
    horizon_minutes: float
    chosen: bool
    def __init__(self, strategy_name: _Optional[str] = ..., algorithm: _Optional[str] = ..., expected_cost_bps: _Optional[float] = ..., standard_deviation_bps: _Optional[float] = ..., horizon_minutes: _Optional[float] = ..., chosen: _Optional[bool] = ...) -> None: ...

class ConditionAssessment(_message.Message):
    __slots__ = ("condition", "detected", "probability", "data_condition", "evidence")
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    DETECTED_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    DATA_CONDITION_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    condition: _enums_pb2.MarketCondition
    detected: bool
    probability: float
    data_condition: _enums_pb2.MarketCondition
    evidence: str
    def __init__(self, condition: _Optional[_Union[_enums_pb2.MarketCondition, str]] = ..., detected: _Optional[bool] = ..., probability: _Optional[float] = ..., data_condition: _Optional[_Union[_enums_pb2.MarketCondition, str]] = ..., evidence: _Optional[str] = ...) -> None: ...

class FlipCondition(_message.Message):
    __slots__ = ("input", "current_value", "flip_value", "algorithm", "strategy_name")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    CURRENT_VALUE_FIELD_NUMBER: _ClassVar[int]
    FLIP_VALUE_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_NAME_FIELD_NUMBER: _ClassVar[int]
    input: str
    current_value: float
    flip_value: float
    algorithm: str
    strategy_name: str
    def __init__(self, input: _Optional[str] = ..., current_value: _Optional[float] = ..., flip_value: _Optional[float] = ..., algorithm: _Optional[str] = ..., strategy_name: _Optional[str] = ...) -> None: ...

class ResolvedInputs(_message.Message):
    __slots__ = ("mid_price", "spread_bps", "daily_volatility", "average_daily_volume", "short_term_alpha_bps_per_day", "available_minutes", "expected_market_volume", "max_participation_rate", "snapshot_as_of", "from_snapshot")
    MID_PRICE_FIELD_NUMBER: _ClassVar[int]
    SPREAD_BPS_FIELD_NUMBER: _ClassVar[int]
    DAILY_VOLATILITY_FIELD_NUMBER: _ClassVar[int]
    AVERAGE_DAILY_VOLUME_FIELD_NUMBER: _ClassVar[int]
    SHORT_TERM_ALPHA_BPS_PER_DAY_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_MINUTES_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_MARKET_VOLUME_FIELD_NUMBER: _ClassVar[int]
    MAX_PARTICIPATION_RATE_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_AS_OF_FIELD_NUMBER: _ClassVar[int]
    FROM_SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    mid_price: float
    spread_bps: float
    daily_volatility: float
    average_daily_volume: float
    short_term_alpha_bps_per_day: float
    available_minutes: float
    expected_market_volume: float
    max_participation_rate: float
    snapshot_as_of: _timestamp_pb2.Timestamp
    from_snapshot: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, mid_price: _Optional[float] = ..., spread_bps: _Optional[float] = ..., daily_volatility: _Optional[float] = ..., average_daily_volume: _Optional[float] = ..., short_term_alpha_bps_per_day: _Optional[float] = ..., available_minutes: _Optional[float] = ..., expected_market_volume: _Optional[float] = ..., max_participation_rate: _Optional[float] = ..., snapshot_as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., from_snapshot: _Optional[_Iterable[str]] = ...) -> None: ...

class EngineVersions(_message.Message):
    __slots__ = ("engine", "surfaces_sha256", "models_sha256", "utility_sha256", "seed", "learned_sha256")
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    SURFACES_SHA256_FIELD_NUMBER: _ClassVar[int]
    MODELS_SHA256_FIELD_NUMBER: _ClassVar[int]
    UTILITY_SHA256_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    LEARNED_SHA256_FIELD_NUMBER: _ClassVar[int]
    engine: str
    surfaces_sha256: str
    models_sha256: str
    utility_sha256: str
    seed: int
    learned_sha256: str
    def __init__(self, engine: _Optional[str] = ..., surfaces_sha256: _Optional[str] = ..., models_sha256: _Optional[str] = ..., utility_sha256: _Optional[str] = ..., seed: _Optional[int] = ..., learned_sha256: _Optional[str] = ...) -> None: ...

class FixStrategy(_message.Message):
    __slots__ = ("target_strategy", "strategy_parameters", "ex_destinations")
    TARGET_STRATEGY_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    EX_DESTINATIONS_FIELD_NUMBER: _ClassVar[int]
    target_strategy: int
    strategy_parameters: _containers.RepeatedCompositeFieldContainer[FixStrategyParameter]
    ex_destinations: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, target_strategy: _Optional[int] = ..., strategy_parameters: _Optional[_Iterable[_Union[FixStrategyParameter, _Mapping]]] = ..., ex_destinations: _Optional[_Iterable[str]] = ...) -> None: ...

class FixStrategyParameter(_message.Message):
    __slots__ = ("strategy_parameter_name", "strategy_parameter_type", "strategy_parameter_value")
    STRATEGY_PARAMETER_NAME_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_PARAMETER_TYPE_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_PARAMETER_VALUE_FIELD_NUMBER: _ClassVar[int]
    strategy_parameter_name: str
    strategy_parameter_type: int
    strategy_parameter_value: str
    def __init__(self, strategy_parameter_name: _Optional[str] = ..., strategy_parameter_type: _Optional[int] = ..., strategy_parameter_value: _Optional[str] = ...) -> None: ...

class RecommendBatchResponse(_message.Message):
    __slots__ = ("results", "summary")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchResult]
    summary: BasketSummary
    def __init__(self, results: _Optional[_Iterable[_Union[BatchResult, _Mapping]]] = ..., summary: _Optional[_Union[BasketSummary, _Mapping]] = ...) -> None: ...

class BatchResult(_message.Message):
    __slots__ = ("index", "order_id", "response", "error")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    index: int
    order_id: str
    response: ExecutionStrategyResponse
    error: _status_pb2.Status
    def __init__(self, index: _Optional[int] = ..., order_id: _Optional[str] = ..., response: _Optional[_Union[ExecutionStrategyResponse, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class BasketSummary(_message.Message):
    __slots__ = ("decided", "refused", "notional", "expected_cost_bps", "standard_deviation_bps")
    class NotionalEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    DECIDED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    NOTIONAL_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_COST_BPS_FIELD_NUMBER: _ClassVar[int]
    STANDARD_DEVIATION_BPS_FIELD_NUMBER: _ClassVar[int]
    decided: int
    refused: int
    notional: _containers.ScalarMap[str, float]
    expected_cost_bps: float
    standard_deviation_bps: float
    def __init__(self, decided: _Optional[int] = ..., refused: _Optional[int] = ..., notional: _Optional[_Mapping[str, float]] = ..., expected_cost_bps: _Optional[float] = ..., standard_deviation_bps: _Optional[float] = ...) -> None: ...
