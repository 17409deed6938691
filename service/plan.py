"""What `ess serve` and `ess migrate` run."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from service.settings import Settings

if TYPE_CHECKING:
    from service.supervisor import PreparedHost


def run(settings: Settings) -> int:
    """The service, until it is told to stop."""
    from service.supervisor import ServicePlan, serve

    build, keeper = "service.bootstrap:build", "service.keeper_host:run_keeper"
    return serve(settings, ServicePlan(_prepare, build, keeper, "service.preload:preload"))


def _prepare(settings: Settings) -> PreparedHost:
    # Imported here: the workers' processes are under way by then.
    from service.prepare import prepare
    from service.start_files import check_start_files

    check_start_files(settings)
    return prepare(settings)


def migrate_database(settings: Settings, as_json: bool = False) -> int:
    """Migrates the configured database; the embedded one is started for it and stopped again."""
    from store.embedded import EmbeddedPostgres
    from store.errors import StoreError
    from store.migrate import migrate

    url = settings.database_owner_url.get_secret_value() or settings.database_url.get_secret_value()
    try:
        if url:
            applied = migrate(url)
        else:
            settings.data_dir.mkdir(parents=True, exist_ok=True)
            with EmbeddedPostgres(settings.data_dir) as conninfo:
                applied = migrate(conninfo)
    except StoreError as error:
        print(f"ess: {error}", file=sys.stderr)
        return 1
    if as_json:
        rows = [{"version": migration.version, "name": migration.name} for migration in applied]
        print(json.dumps({"applied": rows}))
        return 0
    for migration in applied:
        print(f"applied {migration.version:04d} {migration.name}")
    print(f"{len(applied)} migrations applied; the database is up to date")
    return 0
