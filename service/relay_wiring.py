"""The relay beside the keeper: everything it needs, opened and closed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from service.connections import RELAY
from service.relay import Relay, RelaySettings
from service.settings import Settings
from store.outbox_bell import OutboxBell
from store.outbox_reader import OutboxReader
from store.pool import PoolSettings, make_pool
from store.relay_lease import AdvisoryLease


@asynccontextmanager
async def open_relay(settings: Settings, pool_settings: PoolSettings) -> AsyncIterator[Relay | None]:
    """A relay to the NATS of the settings, over connections of its own; None where they name none."""
    urls = tuple(filter(None, settings.nats_url.get_secret_value().split(",")))
    if not urls:
        yield None
        return
    # Only here: a service without NATS need not load its client.
    from service.relay_nats import NatsPublisher, NatsSettings

    own = replace(pool_settings, max_size=RELAY, application_name="ess-relay")
    relay_settings = RelaySettings()
    publisher = NatsPublisher(NatsSettings(urls, settings.nats_stream, settings.nats_subject_prefix))
    pool, bell = make_pool(own), OutboxBell(own)
    await pool.open(wait=False)
    relay = Relay(
        publisher, OutboxReader(pool), AdvisoryLease(own, relay_settings.name), bell,
        host_id=settings.host_id, settings=relay_settings,
    )
    bell.start()
    relay.start()
    try:
        yield relay
    finally:
        await relay.stop()
        await bell.stop()
        await pool.close(timeout=1.0)
