from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class OrderSide(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ORDER_SIDE_UNSPECIFIED: _ClassVar[OrderSide]
    ORDER_SIDE_BUY: _ClassVar[OrderSide]
    ORDER_SIDE_SELL: _ClassVar[OrderSide]
    ORDER_SIDE_SELL_SHORT: _ClassVar[OrderSide]

class ExecutionObjective(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXECUTION_OBJECTIVE_UNSPECIFIED: _ClassVar[ExecutionObjective]
    EXECUTION_OBJECTIVE_MINIMIZE_COST: _ClassVar[ExecutionObjective]
    EXECUTION_OBJECTIVE_MINIMIZE_RISK: _ClassVar[ExecutionObjective]
    EXECUTION_OBJECTIVE_MINIMIZE_TIME: _ClassVar[ExecutionObjective]
    EXECUTION_OBJECTIVE_MAXIMIZE_ALPHA_CAPTURE: _ClassVar[ExecutionObjective]
    EXECUTION_OBJECTIVE_BALANCED_EXECUTION: _ClassVar[ExecutionObjective]

class MarketCondition(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MARKET_CONDITION_UNSPECIFIED: _ClassVar[MarketCondition]
    MARKET_CONDITION_NORMAL: _ClassVar[MarketCondition]
    MARKET_CONDITION_HIGH_VOLATILITY: _ClassVar[MarketCondition]
    MARKET_CONDITION_LOW_LIQUIDITY: _ClassVar[MarketCondition]
    MARKET_CONDITION_TRENDING: _ClassVar[MarketCondition]
    MARKET_CONDITION_MEAN_REVERTING: _ClassVar[MarketCondition]
    MARKET_CONDITION_NEWS_DRIVEN: _ClassVar[MarketCondition]

class ExecutionUrgency(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXECUTION_URGENCY_UNSPECIFIED: _ClassVar[ExecutionUrgency]
    EXECUTION_URGENCY_LOW: _ClassVar[ExecutionUrgency]
    EXECUTION_URGENCY_NORMAL: _ClassVar[ExecutionUrgency]
    EXECUTION_URGENCY_HIGH: _ClassVar[ExecutionUrgency]
    EXECUTION_URGENCY_URGENT: _ClassVar[ExecutionUrgency]

class AcknowledgementClass(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACKNOWLEDGEMENT_CLASS_UNSPECIFIED: _ClassVar[AcknowledgementClass]
    ACKNOWLEDGEMENT_CLASS_BUFFERED: _ClassVar[AcknowledgementClass]
    ACKNOWLEDGEMENT_CLASS_JOURNALED: _ClassVar[AcknowledgementClass]
    ACKNOWLEDGEMENT_CLASS_COMMITTED: _ClassVar[AcknowledgementClass]

class VenueKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VENUE_KIND_UNSPECIFIED: _ClassVar[VenueKind]
    VENUE_KIND_LIT: _ClassVar[VenueKind]
    VENUE_KIND_DARK: _ClassVar[VenueKind]

class SlicePhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SLICE_PHASE_UNSPECIFIED: _ClassVar[SlicePhase]
    SLICE_PHASE_CONTINUOUS: _ClassVar[SlicePhase]
    SLICE_PHASE_CLOSING_AUCTION: _ClassVar[SlicePhase]
    SLICE_PHASE_CARRY_OVER: _ClassVar[SlicePhase]

class ExecutionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXECUTION_STATE_UNSPECIFIED: _ClassVar[ExecutionState]
    EXECUTION_STATE_RECOMMENDED: _ClassVar[ExecutionState]
    EXECUTION_STATE_WORKING: _ClassVar[ExecutionState]
    EXECUTION_STATE_PAUSED: _ClassVar[ExecutionState]
    EXECUTION_STATE_HALTED: _ClassVar[ExecutionState]
    EXECUTION_STATE_COMPLETED: _ClassVar[ExecutionState]
    EXECUTION_STATE_CANCELLED: _ClassVar[ExecutionState]
    EXECUTION_STATE_EXPIRED: _ClassVar[ExecutionState]

class AdaptationTrigger(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ADAPTATION_TRIGGER_UNSPECIFIED: _ClassVar[AdaptationTrigger]
    ADAPTATION_TRIGGER_CONDITION_CHANGED: _ClassVar[AdaptationTrigger]
    ADAPTATION_TRIGGER_VOLATILITY: _ClassVar[AdaptationTrigger]
    ADAPTATION_TRIGGER_PARTICIPATION_DRIFT: _ClassVar[AdaptationTrigger]
    ADAPTATION_TRIGGER_SCHEDULE_SHORTFALL: _ClassVar[AdaptationTrigger]
    ADAPTATION_TRIGGER_PRICE_LIMIT: _ClassVar[AdaptationTrigger]
    ADAPTATION_TRIGGER_NEWS: _ClassVar[AdaptationTrigger]
    ADAPTATION_TRIGGER_AMENDED: _ClassVar[AdaptationTrigger]
    ADAPTATION_TRIGGER_DEADLINE: _ClassVar[AdaptationTrigger]
    ADAPTATION_TRIGGER_HALT: _ClassVar[AdaptationTrigger]
    ADAPTATION_TRIGGER_LIQUIDITY: _ClassVar[AdaptationTrigger]
    ADAPTATION_TRIGGER_REQUESTED: _ClassVar[AdaptationTrigger]

class AdaptationAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ADAPTATION_ACTION_UNSPECIFIED: _ClassVar[AdaptationAction]
    ADAPTATION_ACTION_KEEP: _ClassVar[AdaptationAction]
    ADAPTATION_ACTION_RETUNE: _ClassVar[AdaptationAction]
    ADAPTATION_ACTION_SWITCH: _ClassVar[AdaptationAction]
    ADAPTATION_ACTION_PAUSE: _ClassVar[AdaptationAction]
    ADAPTATION_ACTION_STOP: _ClassVar[AdaptationAction]

class RefusedNumber(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REFUSED_NUMBER_UNSPECIFIED: _ClassVar[RefusedNumber]
    REFUSED_NUMBER_USED: _ClassVar[RefusedNumber]
    REFUSED_NUMBER_FREE: _ClassVar[RefusedNumber]
    REFUSED_NUMBER_UNCERTAIN: _ClassVar[RefusedNumber]
    REFUSED_NUMBER_AHEAD: _ClassVar[RefusedNumber]
    REFUSED_NUMBER_FENCED: _ClassVar[RefusedNumber]

class Scope(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCOPE_UNSPECIFIED: _ClassVar[Scope]
    SCOPE_FIRM: _ClassVar[Scope]
    SCOPE_DESK: _ClassVar[Scope]
    SCOPE_INSTRUMENT: _ClassVar[Scope]
    SCOPE_STRATEGY: _ClassVar[Scope]
    SCOPE_GATEWAY: _ClassVar[Scope]

class ReplayVerdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REPLAY_VERDICT_UNSPECIFIED: _ClassVar[ReplayVerdict]
    REPLAY_VERDICT_IDENTICAL: _ClassVar[ReplayVerdict]
    REPLAY_VERDICT_DIFFERENT: _ClassVar[ReplayVerdict]
    REPLAY_VERDICT_ENGINE_CHANGED: _ClassVar[ReplayVerdict]
ORDER_SIDE_UNSPECIFIED: OrderSide
ORDER_SIDE_BUY: OrderSide
ORDER_SIDE_SELL: OrderSide
ORDER_SIDE_SELL_SHORT: OrderSide
EXECUTION_OBJECTIVE_UNSPECIFIED: ExecutionObjective
EXECUTION_OBJECTIVE_MINIMIZE_COST: ExecutionObjective
EXECUTION_OBJECTIVE_MINIMIZE_RISK: ExecutionObjective
EXECUTION_OBJECTIVE_MINIMIZE_TIME: ExecutionObjective
EXECUTION_OBJECTIVE_MAXIMIZE_ALPHA_CAPTURE: ExecutionObjective
EXECUTION_OBJECTIVE_BALANCED_EXECUTION: ExecutionObjective
MARKET_CONDITION_UNSPECIFIED: MarketCondition
MARKET_CONDITION_NORMAL: MarketCondition
MARKET_CONDITION_HIGH_VOLATILITY: MarketCondition
MARKET_CONDITION_LOW_LIQUIDITY: MarketCondition
MARKET_CONDITION_TRENDING: MarketCondition
MARKET_CONDITION_MEAN_REVERTING: MarketCondition
MARKET_CONDITION_NEWS_DRIVEN: MarketCondition
EXECUTION_URGENCY_UNSPECIFIED: ExecutionUrgency
EXECUTION_URGENCY_LOW: ExecutionUrgency
EXECUTION_URGENCY_NORMAL: ExecutionUrgency
EXECUTION_URGENCY_HIGH: ExecutionUrgency
EXECUTION_URGENCY_URGENT: ExecutionUrgency
ACKNOWLEDGEMENT_CLASS_UNSPECIFIED: AcknowledgementClass
ACKNOWLEDGEMENT_CLASS_BUFFERED: AcknowledgementClass
ACKNOWLEDGEMENT_CLASS_JOURNALED: AcknowledgementClass
ACKNOWLEDGEMENT_CLASS_COMMITTED: AcknowledgementClass
VENUE_KIND_UNSPECIFIED: VenueKind
VENUE_KIND_LIT: VenueKind
VENUE_KIND_DARK: VenueKind
SLICE_PHASE_UNSPECIFIED: SlicePhase
SLICE_PHASE_CONTINUOUS: SlicePhase
SLICE_PHASE_CLOSING_AUCTION: SlicePhase
SLICE_PHASE_CARRY_OVER: SlicePhase
EXECUTION_STATE_UNSPECIFIED: ExecutionState
EXECUTION_STATE_RECOMMENDED: ExecutionState
EXECUTION_STATE_WORKING: ExecutionState
EXECUTION_STATE_PAUSED: ExecutionState
EXECUTION_STATE_HALTED: ExecutionState
EXECUTION_STATE_COMPLETED: ExecutionState
EXECUTION_STATE_CANCELLED: ExecutionState
EXECUTION_STATE_EXPIRED: ExecutionState
ADAPTATION_TRIGGER_UNSPECIFIED: AdaptationTrigger
ADAPTATION_TRIGGER_CONDITION_CHANGED: AdaptationTrigger
ADAPTATION_TRIGGER_VOLATILITY: AdaptationTrigger
ADAPTATION_TRIGGER_PARTICIPATION_DRIFT: AdaptationTrigger
ADAPTATION_TRIGGER_SCHEDULE_SHORTFALL: AdaptationTrigger
ADAPTATION_TRIGGER_PRICE_LIMIT: AdaptationTrigger
ADAPTATION_TRIGGER_NEWS: AdaptationTrigger
ADAPTATION_TRIGGER_AMENDED: AdaptationTrigger
ADAPTATION_TRIGGER_DEADLINE: AdaptationTrigger
ADAPTATION_TRIGGER_HALT: AdaptationTrigger
ADAPTATION_TRIGGER_LIQUIDITY: AdaptationTrigger
ADAPTATION_TRIGGER_REQUESTED: AdaptationTrigger
ADAPTATION_ACTION_UNSPECIFIED: AdaptationAction
ADAPTATION_ACTION_KEEP: AdaptationAction
ADAPTATION_ACTION_RETUNE: AdaptationAction
ADAPTATION_ACTION_SWITCH: AdaptationAction
ADAPTATION_ACTION_PAUSE: AdaptationAction
ADAPTATION_ACTION_STOP: AdaptationAction
REFUSED_NUMBER_UNSPECIFIED: RefusedNumber
REFUSED_NUMBER_USED: RefusedNumber
REFUSED_NUMBER_FREE: RefusedNumber
REFUSED_NUMBER_UNCERTAIN: RefusedNumber
REFUSED_NUMBER_AHEAD: RefusedNumber
REFUSED_NUMBER_FENCED: RefusedNumber
SCOPE_UNSPECIFIED: Scope
SCOPE_FIRM: Scope
SCOPE_DESK: Scope
SCOPE_INSTRUMENT: Scope
SCOPE_STRATEGY: Scope
SCOPE_GATEWAY: Scope
REPLAY_VERDICT_UNSPECIFIED: ReplayVerdict
REPLAY_VERDICT_IDENTICAL: ReplayVerdict
REPLAY_VERDICT_DIFFERENT: ReplayVerdict
REPLAY_VERDICT_ENGINE_CHANGED: ReplayVerdict
