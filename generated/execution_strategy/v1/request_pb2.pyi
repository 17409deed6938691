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

class ExecutionStrategyRequest(_message.Message):
    __slots__ = ("order_id", "instrument_id", "side", "quantity", "objective", "urgency", "constraints", "market_context", "effective_time", "dry_run", "acknowledgement", "tags")
    class TagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    INSTRUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    URGENCY_FIELD_NUMBER: _ClassVar[int]
    CONSTRAINTS_FIELD_NUMBER: _ClassVar[int]
    MARKET_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_TIME_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGEMENT_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    instrument_id: str
    side: _enums_pb2.OrderSide
    quantity: float
    objective: _enums_pb2.ExecutionObjective
    urgency: _enums_pb2.ExecutionUrgency
    constraints: ExecutionConstraints
    market_context: MarketContext
    effective_time: _timestamp_pb2.Timestamp
    dry_run: bool
    acknowledgement: _enums_pb2.AcknowledgementClass
    tags: _containers.ScalarMap[str, str]
    def __init__(self, order_id: _Optional[str] = ..., instrument_id: _Optional[str] = ..., side: _Optional[_Union[_enums_pb2.OrderSide, str]] = ..., quantity: _Optional[float] = ..., objective: _Optional[_Union[_enums_pb2.ExecutionObjective, str]] = ..., urgency: _Optional[_Union[_enums_pb2.ExecutionUrgency, str]] = ..., constraints: _Optional[_Union[ExecutionConstraints, _Mapping]] = ..., market_context: _Optional[_Union[MarketContext, _Mapping]] = ..., effective_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., dry_run: _Optional[bool] = ..., acknowledgement: _Optional[_Union[_enums_pb2.AcknowledgementClass, str]] = ..., tags: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ExecutionConstraints(_message.Message):
    __slots__ = ("max_participation_rate", "time_limit_minutes", "price_limit", "venue_restrictions", "dark_pool_preference", "allowed_venues", "min_completion_probability")
    MAX_PARTICIPATION_RATE_FIELD_NUMBER: _ClassVar[int]
    TIME_LIMIT_MINUTES_FIELD_NUMBER: _ClassVar[int]
    PRICE_LIMIT_FIELD_NUMBER: _ClassVar[int]
    VENUE_RESTRICTIONS_FIELD_NUMBER: _ClassVar[int]
    DARK_POOL_PREFERENCE_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_VENUES_FIELD_NUMBER: _ClassVar[int]
    MIN_COMPLETION_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    max_participation_rate: float
    time_limit_minutes: int
    price_limit: float
    venue_restrictions: _containers.RepeatedScalarFieldContainer[str]
    dark_pool_preference: bool
    allowed_venues: _containers.RepeatedScalarFieldContainer[str]
    min_completion_probability: float
    def __init__(self, max_participation_rate: _Optional[float] = ..., time_limit_minutes: _Optional[int] = ..., price_limit: _Optional[float] = ..., venue_restrictions: _Optional[_Iterable[str]] = ..., dark_pool_preference: _Optional[bool] = ..., allowed_venues: _Optional[_Iterable[str]] = ..., min_completion_probability: _Optional[float] = ...) -> None: ...

class MarketContext(_message.Message):
    __slots__ = ("current_conditions", "volatility_regime", "liquidity_score", "news_impact_score", "time_of_day", "mid_price", "spread_bps", "daily_volatility", "average_daily_volume", "short_term_alpha_bps_per_day", "recent_bars")
    CURRENT_CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    VOLATILITY_REGIME_FIELD_NUMBER: _ClassVar[int]
    LIQUIDITY_SCORE_FIELD_NUMBER: _ClassVar[int]
    NEWS_IMPACT_SCORE_FIELD_NUMBER: _ClassVar[int]
    TIME_OF_DAY_FIELD_NUMBER: _ClassVar[int]
    MID_PRICE_FIELD_NUMBER: _ClassVar[int]
    SPREAD_BPS_FIELD_NUMBER: _ClassVar[int]
    DAILY_VOLATILITY_FIELD_NUMBER: _ClassVar[int]
    AVERAGE_DAILY_VOLUME_FIELD_NUMBER: _ClassVar[int]
    SHORT_TERM_ALPHA_BPS_PER_DAY_FIELD_NUMBER: _ClassVar[int]
    RECENT_BARS_FIELD_NUMBER: _ClassVar[int]
    current_conditions: _enums_pb2.MarketCondition
    volatility_regime: str
    liquidity_score: float
    news_impact_score: float
    time_of_day: str
    mid_price: float
    spread_bps: float
    daily_volatility: float
    average_daily_volume: float
    short_term_alpha_bps_per_day: float
    recent_bars: _containers.RepeatedCompositeFieldContainer[MarketBar]
    def __init__(self, current_conditions: _Optional[_Union[_enums_pb2.MarketCondition, str]] = ..., volatility_regime: _Optional[str] = ..., liquidity_score: _Optional[float] = ..., news_impact_score: _Optional[float] = ..., time_of_day: _Optional[str] = ..., mid_price: _Optional[float] = ..., spread_bps: _Optional[float] = ..., daily_volatility: _Optional[float] = ..., average_daily_volume: _Optional[float] = ..., short_term_alpha_bps_per_day: _Optional[float] = ..., recent_bars: _Optional[_Iterable[_Union[MarketBar, _Mapping]]] = ...) -> None: ...

class MarketBar(_message.Message):
    __slots__ = ("end_time", "mid_price", "volume", "spread_bps")
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    MID_PRICE_FIELD_NUMBER: _ClassVar[int]
    VOLUME_FIELD_NUMBER: _ClassVar[int]
    SPREAD_BPS_FIELD_NUMBER: _ClassVar[int]
    end_time: _timestamp_pb2.Timestamp
    mid_price: float
    volume: float
    spread_bps: float
    def __init__(self, end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., mid_price: _Optional[float] = ..., volume: _Optional[float] = ..., spread_bps: _Optional[float] = ...) -> None: ...

class RecommendBatchRequest(_message.Message):
    __slots__ = ("requests", "basket_id")
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    BASKET_ID_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[ExecutionStrategyRequest]
    basket_id: str
    def __init__(self, requests: _Optional[_Iterable[_Union[ExecutionStrategyRequest, _Mapping]]] = ..., basket_id: _Optional[str] = ...) -> None: ...
