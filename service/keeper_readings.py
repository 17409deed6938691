"""The keeper's figures as metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from service.telemetry import Reading
from store.keeper import Keeper
from store.keeper_metrics import KeeperMetrics
from store.submission import Condition

Kind = Literal["gauge", "counter"]
_ROWS: Final[tuple[tuple[str, Kind, str, str, Callable[[KeeperMetrics], float]], ...]] = (
    ("ess.journal.used", "gauge", "By", "Bytes of the journal that are not in PostgreSQL yet.",
     lambda found: found.journal.used_bytes),
    ("ess.journal.limit", "gauge", "By", "Bytes at which new requests are refused.",
     lambda found: found.journal.limit_bytes),
    ("ess.journal.entries", "counter", "{entry}", "Entries of the journal's chain.",
     lambda found: found.journal.head_sequence),
    ("ess.journal.commits", "counter", "{commit}", "Groups of entries synced to the disk.",
     lambda found: found.journal.commits),
    ("ess.journal.refusing", "gauge", "1", "1 while the journal is full or failed and records are refused.",
     lambda found: float(found.state.condition is not Condition.READY)),
    ("ess.drain.pending", "gauge", "{entry}", "Entries of the journal that are not in PostgreSQL yet.",
     lambda found: found.drainer.pending),
    ("ess.drain.lag", "gauge", "s", "How long the oldest of them has waited.",
     lambda found: found.drainer.oldest_pending_age_s),
    ("ess.drain.written", "counter", "{entry}", "Entries written to PostgreSQL.",
     lambda found: found.drainer.written),
    ("ess.drain.batches", "counter", "{batch}", "Transactions that wrote them.",
     lambda found: found.drainer.batches),
    ("ess.drain.failures", "counter", "{attempt}", "Attempts that PostgreSQL did not take.",
     lambda found: found.drainer.failures),
    ("ess.drain.set_aside", "counter", "{entry}", "Entries that PostgreSQL refuses whatever is tried.",
     lambda found: found.drainer.set_aside),
    ("ess.drain.conflicted", "counter", "{decision}", "Decisions of orders that another host had decided before.",
     lambda found: found.drainer.conflicted),
    ("ess.controls.lease_used", "gauge", "1",
     "Part of its lease that this host has gone without hearing of halts; at 1 it answers no new order.",
     lambda found: found.lease_used),
    ("ess.controls.host_id_shared", "gauge", "1", "1 while another service on the database has the same ESS_HOST_ID.",
     lambda found: float(found.has_twin)),
    ("ess.controls.clock_ahead", "gauge", "s", "How far this host's clock is ahead of PostgreSQL's; negative: behind.",
     lambda found: found.clock_ahead_s),
    ("ess.orders.claimed", "gauge", "{order}", "Order ids held in memory.", lambda found: found.claims),
    ("ess.orders.unanswered", "counter", "{question}", "Questions about orders that PostgreSQL did not answer.",
     lambda found: found.unanswered),
)  # fmt: skip


def keeper_readings(keeper: Keeper) -> list[Reading]:
    """What to export of a keeper. Read on telemetry's thread: every figure is one attribute of a moment."""
    found = [_reading(keeper, *row) for row in _ROWS]
    latencies = keeper.commit_latencies
    total = "Seconds that records waited until they were on the disk, summed; over the commit waits it is their mean."
    worst = "Longest wait of a record until it was on the disk, since the export before."
    return [
        *found,
        Reading("ess.journal.commit_waits", "counter", "{entry}", "Records that got to the disk.",
                lambda: float(latencies.count)),
        Reading("ess.journal.commit_time", "counter", "s", total, lambda: latencies.total_ns / 1e9),
        Reading("ess.journal.commit_time_max", "gauge", "s", worst, lambda: latencies.take_worst_ns() / 1e9),
    ]  # fmt: skip


def keeper_values(metrics: KeeperMetrics) -> list[tuple[str, str, str, float]]:
    """(name, description, unit, value) of the same figures at one moment, for a person."""
    return [(name, text, unit, float(read(metrics))) for name, _, unit, text, read in _ROWS]


def _reading(
    keeper: Keeper, name: str, kind: Kind, unit: str, description: str, read: Callable[[KeeperMetrics], float]
) -> Reading:
    return Reading(name, kind, unit, description, lambda: float(read(keeper.metrics)))
