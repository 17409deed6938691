"""`UpdateRecord.request`: an update of an order as canonical bytes, with what the order's life began with.

A msgpack array: [version, kind, sequence, event_ns, epoch, mid_price, spread_bps, change, opening], and behind them
[is_assigned, after] where a number was given away (see `Update`). The opening stands in every update that may be the
first that somebody reads (the first of the life, and every resume), so that a life is rebuilt from its updates alone.
"""

from __future__ import annotations

from typing import Any, Final, cast

import msgspec

from engine.order_life.state import Opening
from engine.order_life.updates import (
    Amend,
    Cancel,
    Change,
    Fill,
    Market,
    Pause,
    Resume,
    Terminal,
    Unpause,
    Update,
    Working,
)
from store.errors import RecordInvalid

VERSION: Final = 1
# The names are stored and never change.
KINDS: Final[dict[str, type[Any]]] = {
    "FILL": Fill,
    "CANCEL": Cancel,
    "WORKING": Working,
    "MARKET": Market,
    "AMEND": Amend,
    "PAUSE": Pause,
    "UNPAUSE": Unpause,
    "TERMINAL": Terminal,
    "RESUME": Resume,
}
_NAMES: Final = {kind: name for name, kind in KINDS.items()}


class _Envelope(msgspec.Struct, array_like=True, frozen=True):
    version: int
    kind: str
    sequence: int
    event_ns: int
    epoch: int
    mid_price: float
    spread_bps: float
    change: msgspec.Raw
    opening: Opening | None
    is_assigned: bool = False
    after: int = 0


_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_decode_envelope = msgspec.msgpack.Decoder(_Envelope).decode
_decoders: Final = {name: msgspec.msgpack.Decoder(kind).decode for name, kind in KINDS.items()}


def kind_name(change: Change) -> str:
    return _NAMES[type(change)]


def pack_update(update: Update, opening: Opening | None) -> bytes:
    """Raises RecordInvalid for what msgpack cannot hold."""
    change = update.change
    try:
        # As an array of _Envelope's fields, in one go.
        fields = (
            VERSION, _NAMES[type(change)], update.sequence, update.event_ns, update.epoch, update.mid_price,
            update.spread_bps, change, opening,
        )  # fmt: skip
        is_plain = not update.is_assigned and not update.after
        return _encode(fields if is_plain else (*fields, update.is_assigned, update.after))
    except (TypeError, ValueError, OverflowError) as error:
        raise RecordInvalid(f"the update cannot be kept: {error}") from error


def unpack_update(data: bytes) -> tuple[Update, Opening | None]:
    """Raises RecordInvalid for bytes that no `pack_update` of this or an older version wrote."""
    try:
        envelope = _decode_envelope(data)
        if envelope.version != VERSION:
            raise RecordInvalid(f"an update has version {envelope.version}, known is {VERSION}")
        change = cast(Change, _decoders[envelope.kind](envelope.change))
    except (msgspec.DecodeError, KeyError) as error:
        raise RecordInvalid(f"an update cannot be read: {error}") from error
    update = Update(
        envelope.sequence, envelope.event_ns, change, envelope.epoch, envelope.mid_price, envelope.spread_bps,
        envelope.is_assigned, envelope.after,
    )  # fmt: skip
    return update, envelope.opening
