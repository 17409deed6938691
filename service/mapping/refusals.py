"""Refused updates on a stream: each with its number, and what becomes of that."""

from __future__ import annotations

from typing import Final

from execution_strategy.v1 import adaptation_pb2, enums_pb2

from engine.order_life.updates import Resume, Update
from store.order_port import UpdateAnswer, UpdateVerdict

MAX_ERROR: Final = 1_000
MAX_REASON: Final = 500  # of one update; thousands of them still make a message that clients take
USED: Final = enums_pb2.REFUSED_NUMBER_USED
FREE: Final = enums_pb2.REFUSED_NUMBER_FREE
UNCERTAIN: Final = enums_pb2.REFUSED_NUMBER_UNCERTAIN
AHEAD: Final = enums_pb2.REFUSED_NUMBER_AHEAD
FENCED: Final = enums_pb2.REFUSED_NUMBER_FENCED


def refused_update(
    order_id: str, error: str, sequence: int, number: enums_pb2.RefusedNumber
) -> adaptation_pb2.StrategyAdaptation:
    """An update that never reached an order's life. `sequence`: its own, 0 where it has none."""
    message = adaptation_pb2.StrategyAdaptation(order_id=order_id, error=error[:MAX_ERROR])
    _add(message, sequence, error, number)
    return message


def add_refusals(message: adaptation_pb2.StrategyAdaptation, update: Update, answer: UpdateAnswer) -> None:
    """What an order's life refused: the update itself, and those that it let go on and that had no effect."""
    if answer.verdict is UpdateVerdict.REFUSED:
        _add(message, update.sequence, answer.reason, _number_of(update, answer))
    for sequence, reason in answer.without_effect:
        _add(message, sequence, reason, USED)


def _number_of(update: Update, answer: UpdateAnswer) -> enums_pb2.RefusedNumber:
    state = answer.state
    if isinstance(update.change, Resume) or 0 < update.epoch < state.epoch:
        return FENCED
    return USED if update.sequence <= state.sequence else AHEAD


def _add(
    message: adaptation_pb2.StrategyAdaptation, sequence: int, error: str, number: enums_pb2.RefusedNumber
) -> None:
    has_none = number == FREE and not sequence
    message.refusals.add(
        sequence=sequence, error=error[:MAX_REASON],
        number=enums_pb2.REFUSED_NUMBER_UNSPECIFIED if has_none else number,
    )  # fmt: skip
