"""Files of a host that its workers start from: what they hold, and how sessions are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from engine.sessions import Sessions
from engine.values import Instrument, MarketState
from service.settings import Settings
from store.calendars import load_sessions
from store.catalogue import CatalogueRow
from store.reference_rows import VenueEntry

SESSIONS_FOLDER: Final = "sessions"


@dataclass(frozen=True, slots=True)
class Reference:
    """What a worker loads at start: no database is asked for it."""

    instruments: dict[str, Instrument]
    market: dict[str, MarketState]
    venues: dict[str, VenueEntry]
    catalogue: tuple[CatalogueRow, ...]
    zone_open_minute: dict[str, float]


def load_sessions_of(settings: Settings, calendar: str) -> Sessions:
    return Sessions(*load_sessions(settings.data_dir / SESSIONS_FOLDER, calendar))
