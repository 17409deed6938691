"""What the supervisor does before the service can run: a database that is migrated and seeded, and everything that a
worker needs as files.

Imports nothing that decides or serves: workers load that meanwhile, on a processor that this one should not take.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec
import structlog
from pydantic import SecretStr

from engine.catalogue import CATALOGUE, algorithm_mapping_json, parameter_ranges_json
from engine.sessions import Sessions
from service.calendar_notes import holidays_that_end
from service.connections import most_connections
from service.data_dir import REFERENCE_FILE
from service.embedded_watch import EmbeddedWatch
from service.prepare_later import PrepareLater
from service.reference_file import SESSIONS_FOLDER, Reference, load_sessions_of
from service.settings import Settings
from service.supervisor import PreparedHost, PrepareError
from store.calendars import load_zone, renew_sessions
from store.catalogue import CatalogueRow, load_catalogue, sync_catalogue
from store.embedded import EmbeddedPostgres, EmbeddedSettings
from store.errors import StoreError
from store.instruments import ReferenceData, load_reference, read_seed, seed
from store.mics import mic_faults
from store.migrate import migrate
from store.reachable import database_is_away
from store.server_checks import faults_of_server

log = structlog.get_logger(__name__)


def prepare(settings: Settings) -> PreparedHost:
    """A database that is migrated and seeded, and files with all that workers load at start.

    A database of the user's own may be away: decisions go to the journal meanwhile, and what is left out here is done
    when it is back. One that answers but is wrong stops the start.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    url = settings.database_url.get_secret_value()
    server: EmbeddedPostgres | None = None
    try:
        if not url:
            server = EmbeddedPostgres(settings.data_dir, embedded_settings(settings))
            url = server.start()
        elif database_is_away(url):
            return prepare_without_database(settings, url)
        prepare_database(settings, url)
    except StoreError as error:
        if server is not None:
            server.stop()
        raise PrepareError(str(error)) from error
    close = EmbeddedWatch(server).close if server is not None else lambda: None
    return PreparedHost(database_url=SecretStr(url), close=close)


def embedded_settings(settings: Settings) -> EmbeddedSettings:
    """With room for every connection that this service may open."""
    usual = EmbeddedSettings()
    return replace(usual, max_connections=max(usual.max_connections, most_connections(settings)))


def prepare_database(settings: Settings, url: str) -> None:
    """Migrations, seed, catalogue, and the files that workers start from. Raises StoreError for a server whose commits
    are not safe: COMMITTED would be a lie."""
    faults = faults_of_server(url)
    if faults:
        raise StoreError("this PostgreSQL is not fit to keep decisions: " + "; ".join(faults))
    owner = settings.database_owner_url.get_secret_value() or url
    applied = migrate(owner)
    seeded = seed(owner)
    sync_catalogue(owner, catalogue_rows())
    data = load_reference(url)
    for fault in mic_faults(data.venues):
        # ISO's list changes monthly, and an operator may know better than the one that is installed.
        log.warning("a venue of the directory has no code of ISO 10383", fault=fault)
    write_reference(settings, data, load_catalogue(url))
    log.info("host prepared", migrations=len(applied), instruments_seeded=seeded.instruments)


def prepare_without_database(settings: Settings, url: str) -> PreparedHost:
    """From the files of an earlier start, or the seed where there was none."""
    log.warning("PostgreSQL does not answer; starting without it, decisions wait in the journal")
    if not (settings.data_dir / REFERENCE_FILE).exists():
        write_reference(settings, read_seed().data, tuple(catalogue_rows()))
    later = PrepareLater(lambda: database_is_away(url), lambda: prepare_database(settings, url))
    return PreparedHost(database_url=SecretStr(url), close=later.close)


def catalogue_rows() -> list[CatalogueRow]:
    """The built-in catalogue as rows of execution_strategies."""
    return [
        CatalogueRow(spec.strategy_name, spec.strategy_type, algorithm_mapping_json(spec), parameter_ranges_json(spec))
        for spec in CATALOGUE
    ]


def write_reference(settings: Settings, data: ReferenceData, catalogue: tuple[CatalogueRow, ...]) -> None:
    """Reference data, catalogue and sessions as files: a worker that starts while PostgreSQL is away can still load."""
    calendars = sorted({instrument.calendar for instrument in data.instruments.values()})
    folder = settings.data_dir / SESSIONS_FOLDER
    today = datetime.now(tz=UTC).date()
    renew_sessions(folder, calendars, today)
    zones = {name: load_zone(folder, name) for name in calendars}
    sessions = {name: load_sessions_of(settings, name) for name in calendars}
    for end in holidays_that_end(sessions, zones, today):
        log.warning(
            "from that day on no holidays are known: every weekday is taken for a usual session, and decisions say so; "
            "a newer exchange-calendars may know more",
            calendar=end.calendar, assumed_from=end.assumed_from.isoformat(),
        )  # fmt: skip
    opens = {name: open_local_minute(sessions[name], zones[name]) for name in calendars}
    reference = Reference(data.instruments, data.market, data.venues, catalogue, opens)
    path = settings.data_dir / REFERENCE_FILE
    partial = path.with_suffix(".partial")
    partial.write_bytes(msgspec.msgpack.encode(reference))
    # A process that starts meanwhile reads the old file or the new one.
    partial.replace(path)


def open_local_minute(sessions: Sessions, zone: str) -> float:
    """Minute of the exchange's own day at which its sessions open."""
    opens = datetime.fromtimestamp(int(sessions.open_ns[-1]) / 1e9, tz=ZoneInfo(zone))
    return float(opens.hour * 60 + opens.minute)
