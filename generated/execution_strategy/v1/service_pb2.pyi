from buf.validate import validate_pb2 as _validate_pb2
from execution_strategy.v1 import adaptation_pb2 as _adaptation_pb2
from execution_strategy.v1 import events_pb2 as _events_pb2
from execution_strategy.v1 import market_data_pb2 as _market_data_pb2
from execution_strategy.v1 import overview_pb2 as _overview_pb2
from execution_strategy.v1 import replay_pb2 as _replay_pb2
from execution_strategy.v1 import request_pb2 as _request_pb2
from execution_strategy.v1 import response_pb2 as _response_pb2
from execution_strategy.v1 import status_pb2 as _status_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class EchoRequest(_message.Message):
    __slots__ = ("payload", "response_bytes")
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_BYTES_FIELD_NUMBER: _ClassVar[int]
    payload: bytes
    response_bytes: int
    def __init__(self, payload: _Optional[bytes] = ..., response_bytes: _Optional[int] = ...) -> None: ...

class EchoResponse(_message.Message):
    __slots__ = ("payload",)
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    payload: bytes
    def __init__(self, payload: _Optional[bytes] = ...) -> None: ...
