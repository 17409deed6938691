import datetime

from buf.validate import validate_pb2 as _validate_pb2
from execution_strategy.v1 import adaptation_pb2 as _adaptation_pb2
from execution_strategy.v1 import enums_pb2 as _enums_pb2
from execution_strategy.v1 import request_pb2 as _request_pb2
from execution_strategy.v1 import response_pb2 as _response_pb2
from execution_strategy.v1 import status_pb2 as _status_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListOrdersRequest(_message.Message):
    __slots__ = ("open_only", "page_size", "page_token", "changed_after", "journal_id")
    OPEN_ONLY_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CHANGED_AFTER_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_ID_FIELD_NUMBER: _ClassVar[int]
    open_only: bool
    page_size: int
    page_token: str
    changed_after: int
    journal_id: str
    def __init__(self, open_only: _Optional[bool] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., changed_after: _Optional[int] = ..., journal_id: _Optional[str] = ...) -> None: ...

class ListOrdersResponse(_message.Message):
    __slots__ = ("orders", "next_page_token", "journal_id", "revision")
    ORDERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    orders: _containers.RepeatedCompositeFieldContainer[OrderSummary]
    next_page_token: str
    journal_id: str
    revision: int
    def __init__(self, orders: _Optional[_Iterable[_Union[OrderSummary, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., journal_id: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...

class OrderSummary(_message.Message):
    __slots__ = ("order_id", "instrument_id", "side", "objective", "urgency", "state", "algorithm", "strategy_name", "progress", "scheduled_fraction", "filled_fraction", "expected_cost_bps", "cost_so_far_bps", "average_price", "confidence", "created_at", "plan_end_time", "advice_number", "action", "trigger", "rationale", "advised_at", "revision")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    INSTRUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    URGENCY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_NAME_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    SCHEDULED_FRACTION_FIELD_NUMBER: _ClassVar[int]
    FILLED_FRACTION_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_COST_BPS_FIELD_NUMBER: _ClassVar[int]
    COST_SO_FAR_BPS_FIELD_NUMBER: _ClassVar[int]
    AVERAGE_PRICE_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    PLAN_END_TIME_FIELD_NUMBER: _ClassVar[int]
    ADVICE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    TRIGGER_FIELD_NUMBER: _ClassVar[int]
    RATIONALE_FIELD_NUMBER: _ClassVar[int]
    ADVISED_AT_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    instrument_id: str
    side: _enums_pb2.OrderSide
    objective: _enums_pb2.ExecutionObjective
    urgency: _enums_pb2.ExecutionUrgency
    state: _enums_pb2.ExecutionState
    algorithm: str
    strategy_name: str
    progress: _adaptation_pb2.OrderProgress
    scheduled_fraction: float
    filled_fraction: float
    expected_cost_bps: float
    cost_so_far_bps: float
    average_price: float
    confidence: float
    created_at: _timestamp_pb2.Timestamp
    plan_end_time: _timestamp_pb2.Timestamp
    advice_number: int
    action: _enums_pb2.AdaptationAction
    trigger: _enums_pb2.AdaptationTrigger
    rationale: str
    advised_at: _timestamp_pb2.Timestamp
    revision: int
    def __init__(self, order_id: _Optional[str] = ..., instrument_id: _Optional[str] = ..., side: _Optional[_Union[_enums_pb2.OrderSide, str]] = ..., objective: _Optional[_Union[_enums_pb2.ExecutionObjective, str]] = ..., urgency: _Optional[_Union[_enums_pb2.ExecutionUrgency, str]] = ..., state: _Optional[_Union[_enums_pb2.ExecutionState, str]] = ..., algorithm: _Optional[str] = ..., strategy_name: _Optional[str] = ..., progress: _Optional[_Union[_adaptation_pb2.OrderProgress, _Mapping]] = ..., scheduled_fraction: _Optional[float] = ..., filled_fraction: _Optional[float] = ..., expected_cost_bps: _Optional[float] = ..., cost_so_far_bps: _Optional[float] = ..., average_price: _Optional[float] = ..., confidence: _Optional[float] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., plan_end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., advice_number: _Optional[int] = ..., action: _Optional[_Union[_enums_pb2.AdaptationAction, str]] = ..., trigger: _Optional[_Union[_enums_pb2.AdaptationTrigger, str]] = ..., rationale: _Optional[str] = ..., advised_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class OrderHistoryRequest(_message.Message):
    __slots__ = ("order_id",)
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    def __init__(self, order_id: _Optional[str] = ...) -> None: ...

class OrderHistory(_message.Message):
    __slots__ = ("order_id", "request", "first", "events", "events_left_out", "outcome", "performance_score")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    EVENTS_LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    PERFORMANCE_SCORE_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    request: _request_pb2.ExecutionStrategyRequest
    first: _response_pb2.ExecutionStrategyResponse
    events: _containers.RepeatedCompositeFieldContainer[OrderEvent]
    events_left_out: int
    outcome: _status_pb2.ActualOutcomes
    performance_score: float
    def __init__(self, order_id: _Optional[str] = ..., request: _Optional[_Union[_request_pb2.ExecutionStrategyRequest, _Mapping]] = ..., first: _Optional[_Union[_response_pb2.ExecutionStrategyResponse, _Mapping]] = ..., events: _Optional[_Iterable[_Union[OrderEvent, _Mapping]]] = ..., events_left_out: _Optional[int] = ..., outcome: _Optional[_Union[_status_pb2.ActualOutcomes, _Mapping]] = ..., performance_score: _Optional[float] = ...) -> None: ...

class OrderEvent(_message.Message):
    __slots__ = ("time", "kind", "sequence", "quantity", "price", "venue", "detail", "action", "trigger")
    TIME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    VENUE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    TRIGGER_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    kind: str
    sequence: int
    quantity: float
    price: float
    venue: str
    detail: str
    action: _enums_pb2.AdaptationAction
    trigger: _enums_pb2.AdaptationTrigger
    def __init__(self, time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., kind: _Optional[str] = ..., sequence: _Optional[int] = ..., quantity: _Optional[float] = ..., price: _Optional[float] = ..., venue: _Optional[str] = ..., detail: _Optional[str] = ..., action: _Optional[_Union[_enums_pb2.AdaptationAction, str]] = ..., trigger: _Optional[_Union[_enums_pb2.AdaptationTrigger, str]] = ...) -> None: ...

class ListInstrumentsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListInstrumentsResponse(_message.Message):
    __slots__ = ("instruments",)
    INSTRUMENTS_FIELD_NUMBER: _ClassVar[int]
    instruments: _containers.RepeatedCompositeFieldContainer[InstrumentFigures]
    def __init__(self, instruments: _Optional[_Iterable[_Union[InstrumentFigures, _Mapping]]] = ...) -> None: ...

class InstrumentFigures(_message.Message):
    __slots__ = ("instrument_id", "description", "primary_mic", "currency", "lot_size", "mid_price", "spread_bps", "daily_volatility", "average_daily_volume", "as_of")
    INSTRUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    PRIMARY_MIC_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    LOT_SIZE_FIELD_NUMBER: _ClassVar[int]
    MID_PRICE_FIELD_NUMBER: _ClassVar[int]
    SPREAD_BPS_FIELD_NUMBER: _ClassVar[int]
    DAILY_VOLATILITY_FIELD_NUMBER: _ClassVar[int]
    AVERAGE_DAILY_VOLUME_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    instrument_id: str
    description: str
    primary_mic: str
    currency: str
    lot_size: float
    mid_price: float
    spread_bps: float
    daily_volatility: float
    average_daily_volume: float
    as_of: _timestamp_pb2.Timestamp
    def __init__(self, instrument_id: _Optional[str] = ..., description: _Optional[str] = ..., primary_mic: _Optional[str] = ..., currency: _Optional[str] = ..., lot_size: _Optional[float] = ..., mid_price: _Optional[float] = ..., spread_bps: _Optional[float] = ..., daily_volatility: _Optional[float] = ..., average_daily_volume: _Optional[float] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class DescribeServiceRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ServiceDescription(_message.Message):
    __slots__ = ("host_id", "environment", "versions", "build_sha256", "started_at", "workers", "worker_index", "acknowledgement", "keeper_condition", "keeper_reason", "figures", "calls", "artifacts", "catalogue")
    HOST_ID_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    BUILD_SHA256_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    WORKER_INDEX_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGEMENT_FIELD_NUMBER: _ClassVar[int]
    KEEPER_CONDITION_FIELD_NUMBER: _ClassVar[int]
    KEEPER_REASON_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    ARTIFACTS_FIELD_NUMBER: _ClassVar[int]
    CATALOGUE_FIELD_NUMBER: _ClassVar[int]
    host_id: str
    environment: str
    versions: _response_pb2.EngineVersions
    build_sha256: str
    started_at: _timestamp_pb2.Timestamp
    workers: int
    worker_index: int
    acknowledgement: _enums_pb2.AcknowledgementClass
    keeper_condition: str
    keeper_reason: str
    figures: _containers.RepeatedCompositeFieldContainer[ServiceFigure]
    calls: _containers.RepeatedCompositeFieldContainer[CallFigures]
    artifacts: _containers.RepeatedCompositeFieldContainer[ArtifactDescription]
    catalogue: _containers.RepeatedCompositeFieldContainer[CatalogueEntry]
    def __init__(self, host_id: _Optional[str] = ..., environment: _Optional[str] = ..., versions: _Optional[_Union[_response_pb2.EngineVersions, _Mapping]] = ..., build_sha256: _Optional[str] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., workers: _Optional[int] = ..., worker_index: _Optional[int] = ..., acknowledgement: _Optional[_Union[_enums_pb2.AcknowledgementClass, str]] = ..., keeper_condition: _Optional[str] = ..., keeper_reason: _Optional[str] = ..., figures: _Optional[_Iterable[_Union[ServiceFigure, _Mapping]]] = ..., calls: _Optional[_Iterable[_Union[CallFigures, _Mapping]]] = ..., artifacts: _Optional[_Iterable[_Union[ArtifactDescription, _Mapping]]] = ..., catalogue: _Optional[_Iterable[_Union[CatalogueEntry, _Mapping]]] = ...) -> None: ...

class ServiceFigure(_message.Message):
    __slots__ = ("name", "description", "unit", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    unit: str
    value: float
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., unit: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...

class CallFigures(_message.Message):
    __slots__ = ("method", "count", "refused", "median_seconds", "p99_seconds")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    MEDIAN_SECONDS_FIELD_NUMBER: _ClassVar[int]
    P99_SECONDS_FIELD_NUMBER: _ClassVar[int]
    method: str
    count: int
    refused: int
    median_seconds: float
    p99_seconds: float
    def __init__(self, method: _Optional[str] = ..., count: _Optional[int] = ..., refused: _Optional[int] = ..., median_seconds: _Optional[float] = ..., p99_seconds: _Optional[float] = ...) -> None: ...

class ArtifactDescription(_message.Message):
    __slots__ = ("kind", "manifest_sha256", "created_by", "files", "card", "evaluation_json")
    class FilesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    KIND_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_SHA256_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    CARD_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_JSON_FIELD_NUMBER: _ClassVar[int]
    kind: str
    manifest_sha256: str
    created_by: str
    files: _containers.ScalarMap[str, str]
    card: str
    evaluation_json: str
    def __init__(self, kind: _Optional[str] = ..., manifest_sha256: _Optional[str] = ..., created_by: _Optional[str] = ..., files: _Optional[_Mapping[str, str]] = ..., card: _Optional[str] = ..., evaluation_json: _Optional[str] = ...) -> None: ...

class CatalogueEntry(_message.Message):
    __slots__ = ("algorithm", "strategy_name", "strategy_type", "description", "target_strategy", "candidates", "parameters")
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_NAME_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_TYPE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    TARGET_STRATEGY_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    algorithm: str
    strategy_name: str
    strategy_type: str
    description: str
    target_strategy: int
    candidates: int
    parameters: _containers.RepeatedCompositeFieldContainer[CatalogueParameter]
    def __init__(self, algorithm: _Optional[str] = ..., strategy_name: _Optional[str] = ..., strategy_type: _Optional[str] = ..., description: _Optional[str] = ..., target_strategy: _Optional[int] = ..., candidates: _Optional[int] = ..., parameters: _Optional[_Iterable[_Union[CatalogueParameter, _Mapping]]] = ...) -> None: ...

class CatalogueParameter(_message.Message):
    __slots__ = ("name", "unit", "meaning", "minimum", "maximum")
    NAME_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    MEANING_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    name: str
    unit: str
    meaning: str
    minimum: float
    maximum: float
    def __init__(self, name: _Optional[str] = ..., unit: _Optional[str] = ..., meaning: _Optional[str] = ..., minimum: _Optional[float] = ..., maximum: _Optional[float] = ...) -> None: ...
