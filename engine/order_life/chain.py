"""How conditions follow one another and how noisy a minute is: what the filter of `reading.py` weighs bars with.

The figures are those of the simulated market (engine/simulator/world.py, where each says whether it is measured or
assumed; tests/unit/test_condition_filter.py holds the two together): `engine` depends on nothing outside itself.
Conditions are in the order of CONDITIONS.
"""

from __future__ import annotations

from typing import Final

MEAN_STAY_MINUTES: Final = (240.0, 90.0, 120.0, 75.0, 120.0, 40.0)
NEXT_CONDITION: Final = (
    (0.00, 0.25, 0.20, 0.25, 0.20, 0.10),
    (0.70, 0.00, 0.10, 0.15, 0.00, 0.05),
    (0.80, 0.10, 0.00, 0.00, 0.10, 0.00),
    (0.60, 0.20, 0.00, 0.00, 0.20, 0.00),
    (0.70, 0.10, 0.00, 0.20, 0.00, 0.00),
    (0.30, 0.50, 0.00, 0.20, 0.00, 0.00),
)
# Variance of one minute over the session's mean, at 13 even points of the session.
VARIANCE_CURVE: Final = (3.71, 1.74, 1.17, 0.914, 0.737, 0.673, 0.643, 0.656, 0.566, 0.591, 0.534, 0.503, 0.564)
# The day's error of forecast and the hour's walk around it, log-sds, and how volume follows volatility and moves.
VOLATILITY_DAY_LOG_SD: Final = 0.22
VOLATILITY_LOG_SD: Final = 0.14
VOLUME_DAY_LOG_SD: Final = 0.28
VOLUME_LOG_SD: Final = 0.69
VOLUME_PERSISTENCE_MINUTES: Final = 1.3
VOLUME_ON_LOG_VOLATILITY: Final = 1.2
VOLUME_ON_SHOCK: Final = 0.34
SPREAD_PERSISTENCE_MINUTES: Final = 1.15
SPREAD_ON_LOG_VOLATILITY: Final = 0.41
FREE_SPREAD_TICKS: Final = 1.15
