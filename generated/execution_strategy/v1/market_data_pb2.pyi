import datetime

from buf.validate import validate_pb2 as _validate_pb2
from execution_strategy.v1 import request_pb2 as _request_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class UpdateMarketDataRequest(_message.Message):
    __slots__ = ("instrument_id", "as_of", "mid_price", "spread_bps", "daily_volatility", "average_daily_volume", "short_term_alpha_bps_per_day", "bars")
    INSTRUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    MID_PRICE_FIELD_NUMBER: _ClassVar[int]
    SPREAD_BPS_FIELD_NUMBER: _ClassVar[int]
    DAILY_VOLATILITY_FIELD_NUMBER: _ClassVar[int]
    AVERAGE_DAILY_VOLUME_FIELD_NUMBER: _ClassVar[int]
    SHORT_TERM_ALPHA_BPS_PER_DAY_FIELD_NUMBER: _ClassVar[int]
    BARS_FIELD_NUMBER: _ClassVar[int]
    instrument_id: str
    as_of: _timestamp_pb2.Timestamp
    mid_price: float
    spread_bps: float
    daily_volatility: float
    average_daily_volume: float
    short_term_alpha_bps_per_day: float
    bars: _containers.RepeatedCompositeFieldContainer[_request_pb2.MarketBar]
    def __init__(self, instrument_id: _Optional[str] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., mid_price: _Optional[float] = ..., spread_bps: _Optional[float] = ..., daily_volatility: _Optional[float] = ..., average_daily_volume: _Optional[float] = ..., short_term_alpha_bps_per_day: _Optional[float] = ..., bars: _Optional[_Iterable[_Union[_request_pb2.MarketBar, _Mapping]]] = ...) -> None: ...

class UpdateMarketDataResponse(_message.Message):
    __slots__ = ("accepted", "stale", "rejected", "rejections")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    REJECTIONS_FIELD_NUMBER: _ClassVar[int]
    accepted: int
    stale: int
    rejected: int
    rejections: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, accepted: _Optional[int] = ..., stale: _Optional[int] = ..., rejected: _Optional[int] = ..., rejections: _Optional[_Iterable[str]] = ...) -> None: ...
