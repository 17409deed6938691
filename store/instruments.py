"""Instruments, venues and market states: from the seed files into PostgreSQL where it has none, and out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from engine.values import Instrument, MarketState
from store.errors import SeedInvalid, StoreError, StoreUnavailable
from store.market_rows import bars_json, figures_json, state_from, time_of
from store.mics import mic_faults
from store.reference_rows import VenueEntry, instrument_from, venue_entry_from

SEED_DIR = Path(__file__).parent / "seed"

_CONNECT_TIMEOUT_S = 10
_NOT_REFERENCE = ("market", "instrument_id")


@dataclass(frozen=True, slots=True)
class ReferenceData:
    """What the database holds, by instrument id and by MIC. Every instrument has a market state."""

    instruments: dict[str, Instrument]
    market: dict[str, MarketState]
    venues: dict[str, VenueEntry]


@dataclass(frozen=True, slots=True)
class SeedReport:
    """How many rows were inserted; rows that were there are left alone."""

    instruments: int
    market: int
    venues: int


@dataclass(frozen=True, slots=True)
class SeedFiles:
    """The checked content of the two files; `references` are the JSON columns."""

    data: ReferenceData
    references: dict[str, dict[str, Any]]


def read_seed(seed_dir: Path | str = SEED_DIR) -> SeedFiles:
    """Reads and checks both files; raises SeedInvalid with every fault."""
    folder = Path(seed_dir)
    faults: list[str] = []
    venues = _seed_venues(_seed_list(folder / "venues.json", "venues", faults), faults)
    rows = _seed_list(folder / "instruments.json", "instruments", faults)
    instruments: dict[str, Instrument] = {}
    market: dict[str, MarketState] = {}
    references: dict[str, dict[str, Any]] = {}
    for index, raw in enumerate(rows):
        name = raw.get("instrument_id") if isinstance(raw, Mapping) else None
        where = f"instruments[{index}]" if name is None else f"instruments[{index}] {name}"
        instrument = instrument_from(raw, where, faults)
        if instrument is None:
            continue
        if instrument.instrument_id in instruments:
            faults.append(f"{where} is there twice")
        faults.extend(f"{where}{fault}" for fault in _directory_faults(instrument, venues))
        instruments[instrument.instrument_id] = instrument
        references[instrument.instrument_id] = _reference(raw, instrument)
        market[instrument.instrument_id] = _seed_market(raw, where, faults)
    if faults:
        raise SeedInvalid(str(folder), tuple(faults))
    return SeedFiles(ReferenceData(instruments, market, venues), references)


def seed(conninfo: str, seed_dir: Path | str = SEED_DIR) -> SeedReport:
    """Inserts what the database does not have; never overwrites."""
    files = read_seed(seed_dir)
    try:
        with psycopg.connect(
            conninfo, connect_timeout=_CONNECT_TIMEOUT_S, application_name="ess-seed"
        ) as connection:
            return SeedReport(
                instruments=_insert_instruments(connection, files),
                market=_insert_market(connection, files.data.market),
                venues=_insert_venues(connection, files.data.venues),
            )
    except psycopg.OperationalError as error:
        raise StoreUnavailable(f"the database could not be seeded: {error}") from error


def load_reference(conninfo: str) -> ReferenceData:
    """Everything, in one snapshot. An instrument without a market row gets a state in which nothing is known."""
    try:
        with psycopg.connect(
            conninfo, connect_timeout=_CONNECT_TIMEOUT_S, application_name="ess-load"
        ) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            return load_reference_from(connection)
    except psycopg.OperationalError as error:
        raise StoreUnavailable(f"the reference data could not be loaded: {error}") from error


def load_reference_from(connection: psycopg.Connection[tuple[Any, ...]]) -> ReferenceData:
    """As `load_reference`, on a connection that is open."""
    faults: list[str] = []
    instruments: dict[str, Instrument] = {}
    query = "SELECT instrument_id, reference FROM instruments ORDER BY instrument_id"
    for name, reference in connection.execute(query):
        instrument = instrument_from({**reference, "instrument_id": name}, f"instruments {name}", faults)
        if instrument is not None:
            instruments[name] = instrument
    market = {name: MarketState(as_of_ns=0) for name in instruments}
    for name, figures, bars in connection.execute(
        "SELECT instrument_id, figures, bars FROM instrument_market"
    ):
        try:
            if name in market:
                market[name] = state_from(figures, bars)
        except (msgspec.ValidationError, TypeError) as error:
            faults.append(f"instrument_market {name}: {error}")
    venues: dict[str, VenueEntry] = {}
    query = "SELECT mic, kind, name, aliases, country, origin FROM venues ORDER BY mic"
    for mic, kind, name, aliases, country, origin in connection.execute(query):
        raw = {
            "mic": mic,
            "kind": kind,
            "name": name,
            "aliases": aliases,
            "country": country,
            "origin": origin,
        }
        entry = venue_entry_from(raw, f"venues {mic}", faults)
        if entry is not None:
            venues[mic] = entry
    if faults:
        raise StoreError("the reference data in the database is unsound: " + "; ".join(faults))
    return ReferenceData(instruments, market, venues)


def _seed_list(path: Path, key: str, faults: list[str]) -> list[Any]:
    try:
        content = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        faults.append(f"{path.name} cannot be read ({error.strerror})")
        return []
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        faults.append(f"{path.name} is no JSON ({error})")
        return []
    rows = content.get(key) if isinstance(content, dict) else None
    if not isinstance(rows, list):
        faults.append(f"{path.name} has no list {key!r}")
        return []
    return rows


def _seed_venues(rows: Sequence[Any], faults: list[str]) -> dict[str, VenueEntry]:
    venues: dict[str, VenueEntry] = {}
    names: dict[str, str] = {}
    for index, raw in enumerate(rows):
        entry = venue_entry_from(raw, f"venues[{index}]", faults)
        if entry is None:
            continue
        if entry.mic in venues:
            faults.append(f"venues[{index}] {entry.mic} is there twice")
        for name in (entry.mic, *entry.aliases):
            if names.setdefault(name, entry.mic) != entry.mic:
                faults.append(f"venues[{index}] {entry.mic}: the name {name!r} is also that of {names[name]}")
        venues[entry.mic] = entry
    faults.extend(f"venues.json: {fault}" for fault in mic_faults(venues))
    return venues


def _directory_faults(instrument: Instrument, venues: Mapping[str, VenueEntry]) -> list[str]:
    faults = []
    if instrument.primary_mic not in venues:
        faults.append(f".primary_mic {instrument.primary_mic} is not in venues.json")
    for venue in instrument.venues:
        entry = venues.get(venue.mic)
        if entry is None:
            faults.append(f".venues.{venue.mic} is not in venues.json")
        elif entry.kind is not venue.kind:
            faults.append(
                f".venues.{venue.mic} is {venue.kind.name} here and {entry.kind.name} in venues.json"
            )
    return faults


def _reference(raw: Mapping[str, Any], instrument: Instrument) -> dict[str, Any]:
    """The JSON column: all of the file's object, kinds by name, without what has a column of its own."""
    reference = {key: value for key, value in raw.items() if key not in _NOT_REFERENCE}
    kinds = [venue.kind.name for venue in instrument.venues]
    reference["venues"] = [
        {**venue, "kind": kind} for venue, kind in zip(raw.get("venues", ()), kinds, strict=False)
    ]
    return reference


def _seed_market(raw: Mapping[str, Any], where: str, faults: list[str]) -> MarketState:
    try:
        state = state_from(raw["market"])
    except (KeyError, TypeError, msgspec.ValidationError) as error:
        faults.append(f"{where}.market: {error}")
        return MarketState(as_of_ns=0)
    for name in ("mid_price", "spread_bps", "daily_volatility_fraction", "average_daily_volume_shares"):
        value = getattr(state, name)
        if value is not None and not value > 0:
            faults.append(f"{where}.market.{name} {value} is not positive")
    return state


def _insert_instruments(connection: psycopg.Connection[Any], files: SeedFiles) -> int:
    rows = [(name, msgspec.json.encode(content).decode()) for name, content in files.references.items()]
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO instruments (instrument_id, reference) VALUES (%s, %s::jsonb) ON CONFLICT DO NOTHING",
            rows,
        )
        return max(cursor.rowcount, 0)


def _insert_market(connection: psycopg.Connection[Any], market: Mapping[str, MarketState]) -> int:
    rows = [
        (name, time_of(state.as_of_ns), figures_json(state), bars_json(state))
        for name, state in market.items()
    ]
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO instrument_market (instrument_id, as_of, figures, bars)"
            " VALUES (%s, %s, %s::jsonb, %s::jsonb) ON CONFLICT DO NOTHING",
            rows,
        )
        return max(cursor.rowcount, 0)


def _insert_venues(connection: psycopg.Connection[Any], venues: Mapping[str, VenueEntry]) -> int:
    rows = [
        (
            entry.mic,
            entry.kind.name,
            entry.name,
            msgspec.json.encode(entry.aliases).decode(),
            entry.country,
            entry.origin,
        )
        for entry in venues.values()
    ]
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO venues (mic, kind, name, aliases, country, origin)"
            " VALUES (%s, %s, %s, %s::jsonb, %s, %s) ON CONFLICT DO NOTHING",
            rows,
        )
        return max(cursor.rowcount, 0)
