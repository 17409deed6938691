"""`SelectionRecord.inputs`: all that a decision was made from beside the request, so that it can be made again.

Canonical msgpack: [version, now_ns, acknowledgement, settled, market]. `settled` holds the hashes of reference data,
artifacts, build and corrections, the limits, and how venues are named; `market` the instrument's market state. Both are
encoded once a snapshot, not once a decision.

    InputsUnreadable    bytes that no version of this module wrote, or a later one did
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, cast

import msgspec
import numpy as np

from engine.resolve import BARS_VALID_NS
from engine.sessions import Sessions
from engine.snapshot import InstrumentView, Limits, Snapshot, same_session
from engine.values import Bar, MarketFigure, MarketState
from service.reference import instrument_bytes, sessions_bytes, sha256_of, shared_bytes

VERSION: Final = 3
# Version 1 had no corrections, version 2 one time for all of a market's figures.
KNOWN_VERSIONS: Final = (1, 2, 3)
# Half the size for a twentieth of the time that preparing a view with bars takes; higher levels gain a tenth more.
COMPRESSION_LEVEL: Final = 1
# A session has 390 bars; what unpacks to more than this is none of ours.
MOST_BARS_BYTES: Final = 1024 * 1024
_BAR_COLUMNS: Final = 3

_ENCODER: Final = msgspec.msgpack.Encoder(order="sorted")


class InputsUnreadable(Exception):
    """The bytes are damaged, or of a later version."""


@dataclass(frozen=True, slots=True)
class DecisionInputs:
    """Hashes are hex; `models_sha256` is empty where no models were loaded. `market` has the bars that were read."""

    now_ns: int
    acknowledgement: int
    build_id: str
    reference_sha256: str
    instrument_sha256: str
    sessions_sha256: str
    surfaces_sha256: str
    models_sha256: str
    utility_sha256: str
    limits: Limits
    venue_names: bool
    market: MarketState
    learned_sha256: str = ""


class _Limits(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    max_participation_rate: float
    price_collar_bps: float
    stale_market_data_minutes: float

    @classmethod
    def of(cls, limits: Limits) -> _Limits:
        return cls(limits.max_participation_rate, limits.price_collar_bps, limits.stale_market_data_minutes)


class _Settled(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    build: bytes
    reference: bytes
    instrument: bytes
    sessions: bytes
    surfaces: bytes
    models: bytes
    utility: bytes
    limits: _Limits
    venue_names: bool
    # Since version 2.
    learned: bytes = b""


class _Market(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """`bars`: compressed columns of 8 bytes little-endian: ends (int64), mids, volumes, spreads (float64)."""

    as_of_ns: int
    mid_price: float | None
    spread_bps: float | None
    daily_volatility_fraction: float | None
    average_daily_volume_shares: float | None
    short_term_alpha_bps_per_day: float | None
    bars: bytes
    # Since version 3.
    figure_times_ns: tuple[int, ...] = ()


class _Inputs(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    version: int
    now_ns: int
    acknowledgement: int
    settled: _Settled
    market: _Market


def encode_inputs(inputs: DecisionInputs) -> bytes:
    """The bytes of some inputs; for a decision under way `InputsEncoder` makes the same ones faster."""
    settled = _Settled(
        build=bytes.fromhex(inputs.build_id), reference=bytes.fromhex(inputs.reference_sha256),
        instrument=bytes.fromhex(inputs.instrument_sha256), sessions=bytes.fromhex(inputs.sessions_sha256),
        surfaces=bytes.fromhex(inputs.surfaces_sha256), models=bytes.fromhex(inputs.models_sha256),
        utility=bytes.fromhex(inputs.utility_sha256), limits=_Limits.of(inputs.limits), venue_names=inputs.venue_names,
        learned=bytes.fromhex(inputs.learned_sha256),
    )
    return _ENCODER.encode(
        _Inputs(VERSION, inputs.now_ns, inputs.acknowledgement, settled, _market(inputs.market, inputs.market.bars))
    )


def decode_inputs(data: bytes) -> DecisionInputs:
    """Raises InputsUnreadable."""
    try:
        version = msgspec.msgpack.decode(data, type=tuple[int, msgspec.Raw, msgspec.Raw, msgspec.Raw, msgspec.Raw])[0]
        if version not in KNOWN_VERSIONS:
            raise InputsUnreadable(f"inputs of version {version}; this build knows {VERSION}")
        found = msgspec.msgpack.decode(data, type=_Inputs)
        bars = _bars_from(found.market.bars)
        if len(found.market.figure_times_ns) not in (0, len(MarketFigure)):
            raise ValueError(f"{len(found.market.figure_times_ns)} times of {len(MarketFigure)} figures")
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, zlib.error) as error:
        raise InputsUnreadable(f"the inputs are damaged: {error}") from None
    settled, market = found.settled, found.market
    return DecisionInputs(
        found.now_ns, found.acknowledgement, settled.build.hex(), settled.reference.hex(), settled.instrument.hex(),
        settled.sessions.hex(), settled.surfaces.hex(), settled.models.hex(), settled.utility.hex(),
        Limits(*msgspec.structs.astuple(settled.limits)), settled.venue_names,
        MarketState(
            market.as_of_ns, market.mid_price, market.spread_bps, market.daily_volatility_fraction,
            market.average_daily_volume_shares, market.short_term_alpha_bps_per_day, bars, market.figure_times_ns,
        ),
        settled.learned.hex(),
    )


@dataclass(slots=True)
class _Known:
    """What was encoded of one view. `newest_bar_ns` is 0 where the bars say nothing."""

    view: InstrumentView
    settled: msgspec.Raw
    settled_without_models: msgspec.Raw
    bare: msgspec.Raw
    with_bars: msgspec.Raw
    newest_bar_ns: int


class InputsEncoder:
    """Makes the inputs of decisions. Belongs to one event loop, like the world whose snapshots it follows."""

    def __init__(self, build_id: str, snapshot: Snapshot) -> None:
        self.build_id = build_id
        self._build = bytes.fromhex(build_id)
        self._encoder = msgspec.msgpack.Encoder()
        self._known: dict[str, _Known] = {}
        self._instruments: dict[str, tuple[InstrumentView, bytes]] = {}
        self._sessions: dict[str, tuple[Sessions, bytes]] = {}
        self._snapshot = snapshot
        self._reference = bytes.fromhex(sha256_of(shared_bytes(snapshot)))
        self.prepare(snapshot, snapshot.views)

    def prepare(self, snapshot: Snapshot, names: Iterable[str]) -> None:
        """Encodes views ahead, off the path of any decision: called with every snapshot that is swapped in."""
        self._adopt(snapshot)
        for name in names:
            self._prepare(name, snapshot.views[name])

    def encode(self, snapshot: Snapshot, instrument_id: str, now_ns: int, acknowledgement: int,
               own_bars: bool, without_models: bool = False) -> bytes:
        """The inputs of a decision of this moment. `own_bars`: bars of the request were read and the market's were not;
        nor are they when they are too old at `now_ns`, which no plan starts before (engine.resolve.assess).
        `without_models`: the surfaces decided alone, though the snapshot has models; corrections were not used."""
        if snapshot is not self._snapshot:
            self._adopt(snapshot)
        view = snapshot.views[instrument_id]
        known = self._known.get(instrument_id)
        if known is None or known.view is not view:
            known = self._prepare(instrument_id, view)
        unread = own_bars or now_ns - known.newest_bar_ns > BARS_VALID_NS
        market = known.bare if unread else known.with_bars
        settled = known.settled_without_models if without_models else known.settled
        return self._encoder.encode((VERSION, now_ns, acknowledgement, settled, market))

    def _adopt(self, snapshot: Snapshot) -> None:
        """Follows to another snapshot; forgets what was encoded where more than views changed."""
        old, self._snapshot = self._snapshot, snapshot
        if _shared_parts(old) != _shared_parts(snapshot):
            self._reference = bytes.fromhex(sha256_of(shared_bytes(snapshot)))
            self._known.clear()
        elif _settings(old) != _settings(snapshot):
            self._known.clear()

    def _prepare(self, name: str, view: InstrumentView) -> _Known:
        market, snapshot = view.market, self._snapshot
        # The classifier looks at the newest session only.
        bars = same_session(market.bars, view.sessions) if view.estimate is not None else ()
        bare, with_bars = _market(market, ()), _market(market, bars)
        settled = _Settled(
            self._build, self._reference, self._instrument_hash(name, view), self._sessions_hash(view),
            bytes.fromhex(snapshot.surfaces_sha256), bytes.fromhex(snapshot.models.sha256 if snapshot.models else ""),
            bytes.fromhex(snapshot.utility_sha256), _Limits.of(snapshot.limits), snapshot.venue_names,
            bytes.fromhex(snapshot.learned.sha256 if snapshot.learned else ""),
        )
        known = _Known(
            view, msgspec.Raw(_ENCODER.encode(settled)),
            msgspec.Raw(_ENCODER.encode(msgspec.structs.replace(settled, models=b"", learned=b""))),
            msgspec.Raw(_ENCODER.encode(bare)), msgspec.Raw(_ENCODER.encode(with_bars)),
            view.estimate_as_of_ns if bars else 0,
        )
        self._known[name] = known
        return known

    def _instrument_hash(self, name: str, view: InstrumentView) -> bytes:
        kept = self._instruments.get(name)
        same = kept is not None and (
            kept[0].instrument is view.instrument and kept[0].open_local_minute == view.open_local_minute
        )
        if kept is None or not same:
            kept = view, bytes.fromhex(sha256_of(instrument_bytes(view)))
            self._instruments[name] = kept
        return kept[1]

    def _sessions_hash(self, view: InstrumentView) -> bytes:
        kept = self._sessions.get(view.instrument.calendar)
        if kept is None or kept[0] is not view.sessions:
            kept = view.sessions, bytes.fromhex(sha256_of(sessions_bytes(view.sessions)))
            self._sessions[view.instrument.calendar] = kept
        return kept[1]


def _shared_parts(snapshot: Snapshot) -> tuple[int, ...]:
    """Identities: what is swapped is another object, and arrays have no plain equality. The old snapshot is held while
    it is compared, so no identity is used twice."""
    return id(snapshot.catalogue), id(snapshot.directory), id(snapshot.assumptions)


def _settings(snapshot: Snapshot) -> tuple[object, ...]:
    models = snapshot.models.sha256 if snapshot.models else ""
    return (
        snapshot.limits, snapshot.venue_names, snapshot.surfaces_sha256, models, snapshot.utility_sha256,
        snapshot.learned.sha256 if snapshot.learned else "",
    )


def _market(market: MarketState, bars: tuple[Bar, ...]) -> _Market:
    return _Market(
        market.as_of_ns, market.mid_price, market.spread_bps, market.daily_volatility_fraction,
        market.average_daily_volume_shares, market.short_term_alpha_bps_per_day, _bars_bytes(bars),
        market.figure_times_ns,
    )


def _bars_bytes(bars: tuple[Bar, ...]) -> bytes:
    if not bars:
        return b""
    ends = np.array([bar.end_ns for bar in bars], dtype="<i8")
    figures = np.array([(bar.mid_price, bar.volume_shares, bar.spread_bps) for bar in bars], dtype="<f8")
    return zlib.compress(ends.tobytes() + np.ascontiguousarray(figures.T).tobytes(), COMPRESSION_LEVEL)


def _bars_from(data: bytes) -> tuple[Bar, ...]:
    """Raises ValueError or zlib.error."""
    if not data:
        return ()
    unpacker = zlib.decompressobj()
    plain = unpacker.decompress(data, MOST_BARS_BYTES)
    width = 8 * (1 + _BAR_COLUMNS)
    if not unpacker.eof or len(plain) % width:
        raise ValueError(f"{len(plain)} bytes are no bars")
    count = len(plain) // width
    ends = np.frombuffer(plain, dtype="<i8", count=count).tolist()
    columns = np.frombuffer(plain, dtype="<f8", offset=8 * count).reshape(_BAR_COLUMNS, count).tolist()
    return tuple(Bar(*row) for row in zip(cast(list[int], ends), *columns, strict=True))
