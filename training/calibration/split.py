"""Which real days calibrate the simulated market, and which are kept to replay orders on.

One fixed rule for everybody, by symbol and date, so that no figure is judged on a day that it was taken from.
About a third of the symbol-days is kept for replay. Days that cannot be replayed, or that are the only ones
of their kind, always calibrate: they are listed here.
"""

from __future__ import annotations

import hashlib

# Another salt is another split, and makes figures taken before and after it incomparable.
SALT = "execution-strategy replay 1"
REPLAY_ONE_IN = 3

# Dates that always calibrate, whatever the symbol, since nothing else tells what their files do:
# AMZN's order book of 2012 (its trades begin at 12:22, so it has no full day to replay), Shanghai's snapshots
# of one morning of 2021, Shenzhen's of 2022, Shanghai's order-by-order flow of 2023.
ALWAYS_CALIBRATION_DATES = frozenset({20120621, 20211201, 20220601, 20230711})


def is_replay_day(symbol: str, date: int) -> bool:
    """Whether the day (20240301) of this symbol is kept for replay; calibration must not read it then.

    Symbols are told apart as the data spell them, but for the case of letters and blanks around them.
    """
    if date in ALWAYS_CALIBRATION_DATES:
        return False
    name = symbol.strip().upper()
    digest = hashlib.sha256(f"{SALT}|{name}|{date}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % REPLAY_ONE_IN == 0
