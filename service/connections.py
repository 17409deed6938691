"""How many connections to PostgreSQL a service opens at most, so that a server of its own has room for them.

Of every pool the size stands here. Imports nothing but settings: whoever prepares the host asks it.
"""

from __future__ import annotations

from typing import Final

from service.settings import Settings

# A worker's: what it follows (corrections, artifacts, catalogue), events that are streamed, reports, replays.
FOLLOWING: Final = 4
EVENTS: Final = 2
REPORTS: Final = 2
REPLAYS: Final = 2
# It listens for changes, for reports while it activates models, and for events.
_WORKER_LISTENS: Final = 3
# The keeper's, beside its pool: relay, days of strategy_performance. It listens for halts and for events, and holds the
# relay's locks.
RELAY: Final = 2
DAYS: Final = 1
_KEEPER_SESSIONS: Final = 3
# Commands, whoever looks at the database, and what PostgreSQL keeps for its superuser.
_OTHERS: Final = 20


def most_connections(settings: Settings) -> int:
    """Of all processes of a service together, and some to spare."""
    worker = FOLLOWING + EVENTS + REPORTS + REPLAYS + _WORKER_LISTENS
    # With one worker a process of its own writes to PostgreSQL, over a pool of the same size.
    keeper = 2 * settings.database_pool_size + RELAY + DAYS + _KEEPER_SESSIONS
    return settings.workers * worker + keeper + _OTHERS
