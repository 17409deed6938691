import datetime

from buf.validate import validate_pb2 as _validate_pb2
from execution_strategy.v1 import enums_pb2 as _enums_pb2
from execution_strategy.v1 import request_pb2 as _request_pb2
from execution_strategy.v1 import response_pb2 as _response_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StrategyAdaptationRequest(_message.Message):
    __slots__ = ("order_id", "sequence", "event_time", "fill", "cancel", "working", "market_context", "amend", "pause", "unpause", "terminal", "resume", "force")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    FILL_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    WORKING_FIELD_NUMBER: _ClassVar[int]
    MARKET_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    AMEND_FIELD_NUMBER: _ClassVar[int]
    PAUSE_FIELD_NUMBER: _ClassVar[int]
    UNPAUSE_FIELD_NUMBER: _ClassVar[int]
    TERMINAL_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    sequence: int
    event_time: _timestamp_pb2.Timestamp
    fill: FillUpdate
    cancel: CancelUpdate
    working: WorkingUpdate
    market_context: _request_pb2.MarketContext
    amend: AmendUpdate
    pause: PauseUpdate
    unpause: UnpauseUpdate
    terminal: TerminalUpdate
    resume: ResumeUpdate
    force: bool
    def __init__(self, order_id: _Optional[str] = ..., sequence: _Optional[int] = ..., event_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., fill: _Optional[_Union[FillUpdate, _Mapping]] = ..., cancel: _Optional[_Union[CancelUpdate, _Mapping]] = ..., working: _Optional[_Union[WorkingUpdate, _Mapping]] = ..., market_context: _Optional[_Union[_request_pb2.MarketContext, _Mapping]] = ..., amend: _Optional[_Union[AmendUpdate, _Mapping]] = ..., pause: _Optional[_Union[PauseUpdate, _Mapping]] = ..., unpause: _Optional[_Union[UnpauseUpdate, _Mapping]] = ..., terminal: _Optional[_Union[TerminalUpdate, _Mapping]] = ..., resume: _Optional[_Union[ResumeUpdate, _Mapping]] = ..., force: _Optional[bool] = ...) -> None: ...

class FillUpdate(_message.Message):
    __slots__ = ("execution_id", "quantity", "price", "venue", "fee")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    VENUE_FIELD_NUMBER: _ClassVar[int]
    FEE_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    quantity: float
    price: float
    venue: str
    fee: float
    def __init__(self, execution_id: _Optional[str] = ..., quantity: _Optional[float] = ..., price: _Optional[float] = ..., venue: _Optional[str] = ..., fee: _Optional[float] = ...) -> None: ...

class CancelUpdate(_message.Message):
    __slots__ = ("quantity", "final")
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    quantity: float
    final: bool
    def __init__(self, quantity: _Optional[float] = ..., final: _Optional[bool] = ...) -> None: ...

class WorkingUpdate(_message.Message):
    __slots__ = ("quantity",)
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    quantity: float
    def __init__(self, quantity: _Optional[float] = ...) -> None: ...

class AmendUpdate(_message.Message):
    __slots__ = ("quantity", "constraints", "urgency")
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    CONSTRAINTS_FIELD_NUMBER: _ClassVar[int]
    URGENCY_FIELD_NUMBER: _ClassVar[int]
    quantity: float
    constraints: _request_pb2.ExecutionConstraints
    urgency: _enums_pb2.ExecutionUrgency
    def __init__(self, quantity: _Optional[float] = ..., constraints: _Optional[_Union[_request_pb2.ExecutionConstraints, _Mapping]] = ..., urgency: _Optional[_Union[_enums_pb2.ExecutionUrgency, str]] = ...) -> None: ...

class PauseUpdate(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class UnpauseUpdate(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TerminalUpdate(_message.Message):
    __slots__ = ("state",)
    STATE_FIELD_NUMBER: _ClassVar[int]
    state: _enums_pb2.ExecutionState
    def __init__(self, state: _Optional[_Union[_enums_pb2.ExecutionState, str]] = ...) -> None: ...

class ResumeUpdate(_message.Message):
    __slots__ = ("acknowledged_sequence", "epoch", "filled_quantity", "average_price", "working_quantity", "cancelled_quantity", "arrival_mid_price", "request")
    ACKNOWLEDGED_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FILLED_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    AVERAGE_PRICE_FIELD_NUMBER: _ClassVar[int]
    WORKING_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    ARRIVAL_MID_PRICE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    acknowledged_sequence: int
    epoch: int
    filled_quantity: float
    average_price: float
    working_quantity: float
    cancelled_quantity: float
    arrival_mid_price: float
    request: _request_pb2.ExecutionStrategyRequest
    def __init__(self, acknowledged_sequence: _Optional[int] = ..., epoch: _Optional[int] = ..., filled_quantity: _Optional[float] = ..., average_price: _Optional[float] = ..., working_quantity: _Optional[float] = ..., cancelled_quantity: _Optional[float] = ..., arrival_mid_price: _Optional[float] = ..., request: _Optional[_Union[_request_pb2.ExecutionStrategyRequest, _Mapping]] = ...) -> None: ...

class StrategyAdaptation(_message.Message):
    __slots__ = ("order_id", "acknowledged_sequence", "acknowledgement", "epoch", "advice_number", "advices_skipped", "action", "trigger", "rationale", "expected_gain_bps", "response", "progress", "cannot_complete", "error", "refusals")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGEMENT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ADVICE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    ADVICES_SKIPPED_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    TRIGGER_FIELD_NUMBER: _ClassVar[int]
    RATIONALE_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_GAIN_BPS_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    CANNOT_COMPLETE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    REFUSALS_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    acknowledged_sequence: int
    acknowledgement: _enums_pb2.AcknowledgementClass
    epoch: int
    advice_number: int
    advices_skipped: int
    action: _enums_pb2.AdaptationAction
    trigger: _enums_pb2.AdaptationTrigger
    rationale: str
    expected_gain_bps: float
    response: _response_pb2.ExecutionStrategyResponse
    progress: OrderProgress
    cannot_complete: bool
    error: str
    refusals: _containers.RepeatedCompositeFieldContainer[UpdateRefusal]
    def __init__(self, order_id: _Optional[str] = ..., acknowledged_sequence: _Optional[int] = ..., acknowledgement: _Optional[_Union[_enums_pb2.AcknowledgementClass, str]] = ..., epoch: _Optional[int] = ..., advice_number: _Optional[int] = ..., advices_skipped: _Optional[int] = ..., action: _Optional[_Union[_enums_pb2.AdaptationAction, str]] = ..., trigger: _Optional[_Union[_enums_pb2.AdaptationTrigger, str]] = ..., rationale: _Optional[str] = ..., expected_gain_bps: _Optional[float] = ..., response: _Optional[_Union[_response_pb2.ExecutionStrategyResponse, _Mapping]] = ..., progress: _Optional[_Union[OrderProgress, _Mapping]] = ..., cannot_complete: _Optional[bool] = ..., error: _Optional[str] = ..., refusals: _Optional[_Iterable[_Union[UpdateRefusal, _Mapping]]] = ...) -> None: ...

class UpdateRefusal(_message.Message):
    __slots__ = ("sequence", "error", "number")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    error: str
    number: _enums_pb2.RefusedNumber
    def __init__(self, sequence: _Optional[int] = ..., error: _Optional[str] = ..., number: _Optional[_Union[_enums_pb2.RefusedNumber, str]] = ...) -> None: ...

class OrderProgress(_message.Message):
    __slots__ = ("parent_quantity", "filled_quantity", "working_quantity", "unscheduled_quantity", "cancelled_quantity", "overfill_quantity")
    PARENT_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    FILLED_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    WORKING_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    UNSCHEDULED_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    OVERFILL_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    parent_quantity: float
    filled_quantity: float
    working_quantity: float
    unscheduled_quantity: float
    cancelled_quantity: float
    overfill_quantity: float
    def __init__(self, parent_quantity: _Optional[float] = ..., filled_quantity: _Optional[float] = ..., working_quantity: _Optional[float] = ..., unscheduled_quantity: _Optional[float] = ..., cancelled_quantity: _Optional[float] = ..., overfill_quantity: _Optional[float] = ...) -> None: ...
