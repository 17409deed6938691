"""Puts together what serves the calls about the life of orders."""

from __future__ import annotations

import time

from service.adapt import Adaptations, AdaptSettings
from service.guard import Guard
from service.handlers import ACKNOWLEDGEMENTS, StrategyHandlers
from service.mapping.inputs import InputsEncoder
from service.order_desk import OrderDesk
from service.outcomes import Outcomes
from service.server import OrderCalls
from service.settings import Settings
from service.telemetry import Reading, Telemetry
from service.world import World
from store.submission import Acknowledgement, KeeperPort


def order_calls(
    world: World, keeper: KeeperPort, handlers: StrategyHandlers, inputs: InputsEncoder, settings: Settings,
    telemetry: Telemetry, guard: Guard,
) -> OrderCalls:  # fmt: skip
    acknowledgement = Acknowledgement(settings.acknowledgement)
    number = ACKNOWLEDGEMENTS[acknowledgement]
    desk = OrderDesk(
        world, keeper, handlers.recommend_resumed, inputs, clock_ns=time.time_ns, guard=guard,
        capacity=settings.max_open_orders,
    )  # fmt: skip
    adaptations = Adaptations(
        desk, acknowledgement, number, time.time_ns,
        AdaptSettings(settings.max_adapt_streams, settings.adapt_idle_s, settings.adapt_sweep_s),
    )  # fmt: skip
    guard.on_change.append(adaptations.controls_changed)
    for name, unit, text, read in (
        ("ess.adapt.streams", "{stream}", "Adapt streams that are open.", lambda: float(adaptations.streams)),
        ("ess.adapt.orders", "{order}", "Orders that this worker follows.", lambda: float(desk.metrics.followed)),
    ):
        telemetry.add_reading(Reading(name, "gauge", unit, text, read))
    for name, unit, text, read in (
        ("ess.adapt.updates", "{update}", "Updates taken.", lambda: float(desk.metrics.updates)),
        ("ess.adapt.looks", "{look}", "Remainders decided anew.", lambda: float(desk.metrics.looks)),
        ("ess.adapt.advices", "{advice}", "Advices given.", lambda: float(desk.metrics.advices)),
    ):
        telemetry.add_reading(Reading(name, "counter", unit, text, read))
    return OrderCalls(adaptations, Outcomes(keeper, acknowledgement, number, time.time_ns))
