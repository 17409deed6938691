"""Reference data of instruments and venues from plain JSON values, with every fault found, not only the first."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar, cast, get_type_hints

import msgspec

from engine.values import Instrument, Venue, VenueKind

T = TypeVar("T")

# The files are rounded to seven digits; what is farther from 1 is an error, not rounding.
_SUM_TOLERANCE = 1e-4
_MIC = re.compile(r"^[A-Z0-9]{4}$")


@dataclass(frozen=True, slots=True)
class VenueEntry:
    """One venue of the directory: its MIC and the names that requests may use for it."""

    mic: str
    kind: VenueKind
    name: str
    aliases: tuple[str, ...] = ()
    country: str = ""
    origin: str = ""


def venue_entry_from(raw: Any, where: str, faults: list[str]) -> VenueEntry | None:
    entry = convert_fields(VenueEntry, raw, where, faults)
    if entry is not None and not _MIC.match(entry.mic):
        faults.append(f"{where}.mic {entry.mic!r} is no market identifier code")
    return entry


def instrument_from(raw: Any, where: str, faults: list[str]) -> Instrument | None:
    """The instrument, its volume curve normalised to sum to 1; None when a field cannot be read."""
    if not isinstance(raw, Mapping):
        faults.append(f"{where} is not an object")
        return None
    listed = raw.get("venues")
    rows = listed if isinstance(listed, list) else []
    if listed is not None and not isinstance(listed, list):
        faults.append(f"{where}.venues is not a list")
    venues = [
        convert_fields(Venue, row, f"{where}.venues[{index}]", faults) for index, row in enumerate(rows)
    ]
    known = tuple(venue for venue in venues if venue is not None)
    # The venues were read above, with a fault each; the rest must not report them again.
    instrument = convert_fields(Instrument, {**raw, "venues": ()}, where, faults)
    if instrument is None:
        return None
    instrument = dataclasses.replace(instrument, venues=known)
    before = len(faults)
    faults.extend(f"{where}{fault}" for fault in _instrument_faults(instrument))
    faults.extend(f"{where}.venues.{venue.mic}{fault}" for venue in known for fault in _venue_faults(venue))
    if len(faults) > before:
        return instrument
    total = math.fsum(instrument.volume_curve_fraction)
    curve = tuple(share / total for share in instrument.volume_curve_fraction)
    return dataclasses.replace(instrument, volume_curve_fraction=curve)


def convert_fields(kind: type[T], raw: Any, where: str, faults: list[str]) -> T | None:
    """A frozen dataclass from a JSON object, field by field, so that each bad one is named; extras are left out."""
    if not isinstance(raw, Mapping):
        faults.append(f"{where} is not an object")
        return None
    hints = _hints(cast(type, kind))
    values: dict[str, Any] = {}
    sound = True
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        if field.name not in raw:
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                faults.append(f"{where}.{field.name} is missing")
                sound = False
            continue
        try:
            values[field.name] = _convert(raw[field.name], hints[field.name])
        except (msgspec.ValidationError, KeyError) as error:
            faults.append(f"{where}.{field.name}: {error}")
            sound = False
    return kind(**values) if sound else None


@cache
def _hints(kind: type) -> dict[str, Any]:
    """Evaluating the annotations of a class costs as much as converting a row, and there are hundreds of rows."""
    return get_type_hints(kind)


def _convert(value: Any, hint: Any) -> Any:
    if hint is VenueKind and isinstance(value, str):
        if value not in VenueKind.__members__:
            raise msgspec.ValidationError(f"{value!r} is neither LIT nor DARK")
        return VenueKind[value]
    return msgspec.convert(value, hint)


def _instrument_faults(instrument: Instrument) -> list[str]:
    faults = []
    for name in ("tick_size", "lot_size_shares", "shares_outstanding", "typical_spread_bps"):
        value = getattr(instrument, name)
        if not (math.isfinite(value) and value > 0):
            faults.append(f".{name} {value} is not positive")
    for name in ("open_auction_fraction", "close_auction_fraction"):
        value = getattr(instrument, name)
        if not 0 <= value < 1:
            faults.append(f".{name} {value} is not in [0, 1)")
    curve = instrument.volume_curve_fraction
    if not curve or not all(share >= 0 for share in curve) or abs(math.fsum(curve) - 1) > _SUM_TOLERANCE:
        faults.append(
            f".volume_curve_fraction has {len(curve)} shares that sum to {math.fsum(curve)}, not to 1"
        )
    if not instrument.instrument_id:
        faults.append(".instrument_id is empty")
    mics = [venue.mic for venue in instrument.venues]
    if not mics:
        faults.append(".venues is empty")
    if len(set(mics)) != len(mics):
        faults.append(f".venues names a MIC twice: {sorted(mic for mic in set(mics) if mics.count(mic) > 1)}")
    if math.fsum(venue.volume_share_fraction for venue in instrument.venues) > 1 + _SUM_TOLERANCE:
        faults.append(".venues have volume shares that sum to more than 1")
    return faults


def _venue_faults(venue: Venue) -> list[str]:
    faults = []
    if not 0 <= venue.volume_share_fraction <= 1:
        faults.append(f".volume_share_fraction {venue.volume_share_fraction} is not in [0, 1]")
    if not (math.isfinite(venue.taker_fee_bps) and math.isfinite(venue.maker_fee_bps)):
        faults.append(" has a fee that is not finite")
    sizes, chances = venue.tail_size_shares, venue.tail_probability
    if len(sizes) != len(chances):
        faults.append(f" has {len(sizes)} tail sizes and {len(chances)} probabilities")
    if any(not 0 <= chance <= 1 for chance in chances) or any(
        later > sooner for sooner, later in itertools.pairwise(chances)
    ):
        faults.append(".tail_probability does not fall within [0, 1]")
    if any(size <= 0 for size in sizes) or any(
        later <= sooner for sooner, later in itertools.pairwise(sizes)
    ):
        faults.append(".tail_size_shares is not positive and ascending")
    if venue.kind is VenueKind.LIT and sizes:
        faults.append(" is lit and has a dark tail")
    return faults
