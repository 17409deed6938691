"""How long a process may take until it is ready. What waits in the journal is read again at every start: a host whose
PostgreSQL was away for hours has a start of minutes, and a limit that did not know would end each in the middle."""

from __future__ import annotations

from pathlib import Path
from typing import Final

# A third of what a start read beside other work on two slow cores: 264,000 updates, 84 MB, in 25 s.
REBUILT_BYTES_PER_S: Final = 1_000_000


def start_limit_s(startup_timeout_s: float, journal_folder: Path) -> float:
    """Seconds: the setting, and as long as reading the journal may take."""
    return startup_timeout_s + _size_bytes(journal_folder) / REBUILT_BYTES_PER_S


def _size_bytes(folder: Path) -> int:
    """Of its segments, what is laid out ahead included. One that goes meanwhile counts nothing, nor does a folder that
    is not there yet."""
    total = 0
    for path in folder.glob("*.segment"):
        try:
            total += path.stat().st_size
        except OSError:
            continue
    return total
