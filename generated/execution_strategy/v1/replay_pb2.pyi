from buf.validate import validate_pb2 as _validate_pb2
from execution_strategy.v1 import adaptation_pb2 as _adaptation_pb2
from execution_strategy.v1 import enums_pb2 as _enums_pb2
from execution_strategy.v1 import response_pb2 as _response_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReplayRequest(_message.Message):
    __slots__ = ("selection_id",)
    SELECTION_ID_FIELD_NUMBER: _ClassVar[int]
    selection_id: str
    def __init__(self, selection_id: _Optional[str] = ...) -> None: ...

class ReplayResponse(_message.Message):
    __slots__ = ("verdict", "recorded", "replayed", "differences", "recorded_advice", "replayed_advice")
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCES_FIELD_NUMBER: _ClassVar[int]
    RECORDED_ADVICE_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_ADVICE_FIELD_NUMBER: _ClassVar[int]
    verdict: _enums_pb2.ReplayVerdict
    recorded: _response_pb2.ExecutionStrategyResponse
    replayed: _response_pb2.ExecutionStrategyResponse
    differences: _containers.RepeatedCompositeFieldContainer[FieldDifference]
    recorded_advice: _adaptation_pb2.StrategyAdaptation
    replayed_advice: _adaptation_pb2.StrategyAdaptation
    def __init__(self, verdict: _Optional[_Union[_enums_pb2.ReplayVerdict, str]] = ..., recorded: _Optional[_Union[_response_pb2.ExecutionStrategyResponse, _Mapping]] = ..., replayed: _Optional[_Union[_response_pb2.ExecutionStrategyResponse, _Mapping]] = ..., differences: _Optional[_Iterable[_Union[FieldDifference, _Mapping]]] = ..., recorded_advice: _Optional[_Union[_adaptation_pb2.StrategyAdaptation, _Mapping]] = ..., replayed_advice: _Optional[_Union[_adaptation_pb2.StrategyAdaptation, _Mapping]] = ...) -> None: ...

class FieldDifference(_message.Message):
    __slots__ = ("field", "recorded", "replayed")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    field: str
    recorded: str
    replayed: str
    def __init__(self, field: _Optional[str] = ..., recorded: _Optional[str] = ..., replayed: _Optional[str] = ...) -> None: ...
