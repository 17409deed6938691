"""The square-root law of metaorder impact.

Toth, Lemperiere, Deremble, de Lataillade, Kockelkoren & Bouchaud (2011), "Anomalous price impact and the
critical nature of liquidity in financial markets", Phys. Rev. X 1, 021006: I = Y sigma (X/V)^delta with Y of
order one and delta near 1/2. Sato & Kanazawa (arXiv 2411.13965), every account of the Tokyo exchange over
eight years, measure delta = 0.489 +- 0.0015.

It disagrees with the 3/5 of `almgren_2005` on purpose: both are offered, and a deployment's calibration says
which one it uses. Sizes are unsigned and the result is a cost, so a sell costs what its mirrored buy costs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from engine.models._arguments import BPS_PER_UNIT, FloatArray, checked_arrays

# The measured exponent is the default; the round one is for those who hold the law to be strictly universal.
TOKYO_EXPONENT = 0.489
SQUARE_ROOT_EXPONENT = 0.5


def impact_bps(
    quantity_shares: ArrayLike,
    daily_volume_shares: ArrayLike,
    sigma_daily_fraction: ArrayLike,
    *,
    prefactor: ArrayLike = 1.0,
    exponent: ArrayLike = TOKYO_EXPONENT,
) -> FloatArray:
    """Peak impact I of a whole order, in bps of the arrival price.

    Source: Toth et al. (2011), eq. 1. I = Y sigma (X/V)^delta.
    quantity_shares X >= 0, daily_volume_shares V > 0, sigma_daily_fraction sigma >= 0,
    prefactor Y >= 0 (dimensionless; 1 is "of order one", a deployment calibrates it), exponent delta in
    (0, 1].
    I is the price move at the end of the order, not its average cost: that one is I / (1 + delta) when the
    order is worked at a constant rate.
    Arguments broadcast; the result has their common shape (0-d for scalars).
    Raises ValueError naming every argument that is NaN, infinite, out of range or does not broadcast.
    """
    checked = checked_arrays(
        non_negative={
            "quantity_shares": quantity_shares,
            "sigma_daily_fraction": sigma_daily_fraction,
            "prefactor": prefactor,
        },
        positive={"daily_volume_shares": daily_volume_shares},
        fraction={"exponent": exponent},
    )
    relative_size = checked["quantity_shares"] / checked["daily_volume_shares"]
    sigma_bps = BPS_PER_UNIT * checked["sigma_daily_fraction"]
    return np.asarray(checked["prefactor"] * sigma_bps * relative_size ** checked["exponent"])
