import datetime

from buf.validate import validate_pb2 as _validate_pb2
from execution_strategy.v1 import adaptation_pb2 as _adaptation_pb2
from execution_strategy.v1 import enums_pb2 as _enums_pb2
from execution_strategy.v1 import response_pb2 as _response_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StatusRequest(_message.Message):
    __slots__ = ("order_id",)
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    def __init__(self, order_id: _Optional[str] = ...) -> None: ...

class StrategyExecutionStatus(_message.Message):
    __slots__ = ("order_id", "state", "current", "progress", "scheduled_fraction", "filled_fraction", "cost_so_far", "selections", "acknowledged_sequence", "market_data_age_seconds", "update_age_seconds", "selected_at")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    SCHEDULED_FRACTION_FIELD_NUMBER: _ClassVar[int]
    FILLED_FRACTION_FIELD_NUMBER: _ClassVar[int]
    COST_SO_FAR_FIELD_NUMBER: _ClassVar[int]
    SELECTIONS_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MARKET_DATA_AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    UPDATE_AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SELECTED_AT_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    state: _enums_pb2.ExecutionState
    current: _response_pb2.ExecutionStrategyResponse
    progress: _adaptation_pb2.OrderProgress
    scheduled_fraction: float
    filled_fraction: float
    cost_so_far: ShortfallBreakdown
    selections: _containers.RepeatedCompositeFieldContainer[SelectionSummary]
    acknowledged_sequence: int
    market_data_age_seconds: float
    update_age_seconds: float
    selected_at: _timestamp_pb2.Timestamp
    def __init__(self, order_id: _Optional[str] = ..., state: _Optional[_Union[_enums_pb2.ExecutionState, str]] = ..., current: _Optional[_Union[_response_pb2.ExecutionStrategyResponse, _Mapping]] = ..., progress: _Optional[_Union[_adaptation_pb2.OrderProgress, _Mapping]] = ..., scheduled_fraction: _Optional[float] = ..., filled_fraction: _Optional[float] = ..., cost_so_far: _Optional[_Union[ShortfallBreakdown, _Mapping]] = ..., selections: _Optional[_Iterable[_Union[SelectionSummary, _Mapping]]] = ..., acknowledged_sequence: _Optional[int] = ..., market_data_age_seconds: _Optional[float] = ..., update_age_seconds: _Optional[float] = ..., selected_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ShortfallBreakdown(_message.Message):
    __slots__ = ("total_bps", "delay_bps", "impact_bps", "timing_bps", "spread_bps", "opportunity_bps", "fees_bps", "interval_vwap_bps", "average_price")
    TOTAL_BPS_FIELD_NUMBER: _ClassVar[int]
    DELAY_BPS_FIELD_NUMBER: _ClassVar[int]
    IMPACT_BPS_FIELD_NUMBER: _ClassVar[int]
    TIMING_BPS_FIELD_NUMBER: _ClassVar[int]
    SPREAD_BPS_FIELD_NUMBER: _ClassVar[int]
    OPPORTUNITY_BPS_FIELD_NUMBER: _ClassVar[int]
    FEES_BPS_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_VWAP_BPS_FIELD_NUMBER: _ClassVar[int]
    AVERAGE_PRICE_FIELD_NUMBER: _ClassVar[int]
    total_bps: float
    delay_bps: float
    impact_bps: float
    timing_bps: float
    spread_bps: float
    opportunity_bps: float
    fees_bps: float
    interval_vwap_bps: float
    average_price: float
    def __init__(self, total_bps: _Optional[float] = ..., delay_bps: _Optional[float] = ..., impact_bps: _Optional[float] = ..., timing_bps: _Optional[float] = ..., spread_bps: _Optional[float] = ..., opportunity_bps: _Optional[float] = ..., fees_bps: _Optional[float] = ..., interval_vwap_bps: _Optional[float] = ..., average_price: _Optional[float] = ...) -> None: ...

class SelectionSummary(_message.Message):
    __slots__ = ("selection_id", "created_at", "algorithm", "strategy_name", "trigger", "rationale")
    SELECTION_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_NAME_FIELD_NUMBER: _ClassVar[int]
    TRIGGER_FIELD_NUMBER: _ClassVar[int]
    RATIONALE_FIELD_NUMBER: _ClassVar[int]
    selection_id: str
    created_at: _timestamp_pb2.Timestamp
    algorithm: str
    strategy_name: str
    trigger: _enums_pb2.AdaptationTrigger
    rationale: str
    def __init__(self, selection_id: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., algorithm: _Optional[str] = ..., strategy_name: _Optional[str] = ..., trigger: _Optional[_Union[_enums_pb2.AdaptationTrigger, str]] = ..., rationale: _Optional[str] = ...) -> None: ...

class ReportOutcomeRequest(_message.Message):
    __slots__ = ("order_id", "selection_id", "actual_outcomes")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    SELECTION_ID_FIELD_NUMBER: _ClassVar[int]
    ACTUAL_OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    selection_id: str
    actual_outcomes: ActualOutcomes
    def __init__(self, order_id: _Optional[str] = ..., selection_id: _Optional[str] = ..., actual_outcomes: _Optional[_Union[ActualOutcomes, _Mapping]] = ...) -> None: ...

class ActualOutcomes(_message.Message):
    __slots__ = ("cost", "time_minutes", "market_impact", "filled_quantity", "average_price", "arrival_mid_price", "interval_vwap", "interval_volume", "final_mid_price", "dark_quantity")
    COST_FIELD_NUMBER: _ClassVar[int]
    TIME_MINUTES_FIELD_NUMBER: _ClassVar[int]
    MARKET_IMPACT_FIELD_NUMBER: _ClassVar[int]
    FILLED_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    AVERAGE_PRICE_FIELD_NUMBER: _ClassVar[int]
    ARRIVAL_MID_PRICE_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_VWAP_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_VOLUME_FIELD_NUMBER: _ClassVar[int]
    FINAL_MID_PRICE_FIELD_NUMBER: _ClassVar[int]
    DARK_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    cost: float
    time_minutes: float
    market_impact: float
    filled_quantity: float
    average_price: float
    arrival_mid_price: float
    interval_vwap: float
    interval_volume: float
    final_mid_price: float
    dark_quantity: float
    def __init__(self, cost: _Optional[float] = ..., time_minutes: _Optional[float] = ..., market_impact: _Optional[float] = ..., filled_quantity: _Optional[float] = ..., average_price: _Optional[float] = ..., arrival_mid_price: _Optional[float] = ..., interval_vwap: _Optional[float] = ..., interval_volume: _Optional[float] = ..., final_mid_price: _Optional[float] = ..., dark_quantity: _Optional[float] = ...) -> None: ...

class ReportOutcomeResponse(_message.Message):
    __slots__ = ("selection_id", "performance_score", "acknowledgement")
    SELECTION_ID_FIELD_NUMBER: _ClassVar[int]
    PERFORMANCE_SCORE_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGEMENT_FIELD_NUMBER: _ClassVar[int]
    selection_id: str
    performance_score: float
    acknowledgement: _enums_pb2.AcknowledgementClass
    def __init__(self, selection_id: _Optional[str] = ..., performance_score: _Optional[float] = ..., acknowledgement: _Optional[_Union[_enums_pb2.AcknowledgementClass, str]] = ...) -> None: ...

class PerformanceRequest(_message.Message):
    __slots__ = ("start_date", "end_date", "algorithm")
    START_DATE_FIELD_NUMBER: _ClassVar[int]
    END_DATE_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    start_date: str
    end_date: str
    algorithm: str
    def __init__(self, start_date: _Optional[str] = ..., end_date: _Optional[str] = ..., algorithm: _Optional[str] = ...) -> None: ...

class StrategyPerformanceReport(_message.Message):
    __slots__ = ("start_date", "end_date", "by_strategy", "by_objective", "by_condition", "by_size", "by_venue", "daily")
    START_DATE_FIELD_NUMBER: _ClassVar[int]
    END_DATE_FIELD_NUMBER: _ClassVar[int]
    BY_STRATEGY_FIELD_NUMBER: _ClassVar[int]
    BY_OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    BY_CONDITION_FIELD_NUMBER: _ClassVar[int]
    BY_SIZE_FIELD_NUMBER: _ClassVar[int]
    BY_VENUE_FIELD_NUMBER: _ClassVar[int]
    DAILY_FIELD_NUMBER: _ClassVar[int]
    start_date: str
    end_date: str
    by_strategy: _containers.RepeatedCompositeFieldContainer[PerformanceLine]
    by_objective: _containers.RepeatedCompositeFieldContainer[PerformanceLine]
    by_condition: _containers.RepeatedCompositeFieldContainer[PerformanceLine]
    by_size: _containers.RepeatedCompositeFieldContainer[PerformanceLine]
    by_venue: _containers.RepeatedCompositeFieldContainer[PerformanceLine]
    daily: _containers.RepeatedCompositeFieldContainer[DailyPerformance]
    def __init__(self, start_date: _Optional[str] = ..., end_date: _Optional[str] = ..., by_strategy: _Optional[_Iterable[_Union[PerformanceLine, _Mapping]]] = ..., by_objective: _Optional[_Iterable[_Union[PerformanceLine, _Mapping]]] = ..., by_condition: _Optional[_Iterable[_Union[PerformanceLine, _Mapping]]] = ..., by_size: _Optional[_Iterable[_Union[PerformanceLine, _Mapping]]] = ..., by_venue: _Optional[_Iterable[_Union[PerformanceLine, _Mapping]]] = ..., daily: _Optional[_Iterable[_Union[DailyPerformance, _Mapping]]] = ...) -> None: ...

class PerformanceLine(_message.Message):
    __slots__ = ("label", "orders_executed", "avg_cost", "avg_cost_lower", "avg_cost_upper", "avg_market_impact", "success_rate", "predicted_cost", "interval_coverage", "not_distinguishable")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    ORDERS_EXECUTED_FIELD_NUMBER: _ClassVar[int]
    AVG_COST_FIELD_NUMBER: _ClassVar[int]
    AVG_COST_LOWER_FIELD_NUMBER: _ClassVar[int]
    AVG_COST_UPPER_FIELD_NUMBER: _ClassVar[int]
    AVG_MARKET_IMPACT_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_RATE_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_COST_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_COVERAGE_FIELD_NUMBER: _ClassVar[int]
    NOT_DISTINGUISHABLE_FIELD_NUMBER: _ClassVar[int]
    label: str
    orders_executed: int
    avg_cost: float
    avg_cost_lower: float
    avg_cost_upper: float
    avg_market_impact: float
    success_rate: float
    predicted_cost: float
    interval_coverage: float
    not_distinguishable: bool
    def __init__(self, label: _Optional[str] = ..., orders_executed: _Optional[int] = ..., avg_cost: _Optional[float] = ..., avg_cost_lower: _Optional[float] = ..., avg_cost_upper: _Optional[float] = ..., avg_market_impact: _Optional[float] = ..., success_rate: _Optional[float] = ..., predicted_cost: _Optional[float] = ..., interval_coverage: _Optional[float] = ..., not_distinguishable: _Optional[bool] = ...) -> None: ...

class DailyPerformance(_message.Message):
    __slots__ = ("strategy_name", "execution_date", "orders_executed", "avg_cost", "avg_market_impact", "success_rate")
    STRATEGY_NAME_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_DATE_FIELD_NUMBER: _ClassVar[int]
    ORDERS_EXECUTED_FIELD_NUMBER: _ClassVar[int]
    AVG_COST_FIELD_NUMBER: _ClassVar[int]
    AVG_MARKET_IMPACT_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_RATE_FIELD_NUMBER: _ClassVar[int]
    strategy_name: str
    execution_date: str
    orders_executed: int
    avg_cost: float
    avg_market_impact: float
    success_rate: float
    def __init__(self, strategy_name: _Optional[str] = ..., execution_date: _Optional[str] = ..., orders_executed: _Optional[int] = ..., avg_cost: _Optional[float] = ..., avg_market_impact: _Optional[float] = ..., success_rate: _Optional[float] = ...) -> None: ...
