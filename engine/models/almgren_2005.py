"""Almgren, Thum, Hauptmann & Li (2005), "Direct estimation of equity market impact", Risk 18(7).

Permanent impact I stays in the price, temporary impact K is paid while trading; the order's own cost is
J = I/2 + K, since its average share meets half of the permanent move. Sizes are unsigned and every result is
a cost (positive hurts), so a sell costs what its mirrored buy costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from engine.models._arguments import BPS_PER_UNIT, Faults, FloatArray, checked_arrays


@dataclass(frozen=True, slots=True, kw_only=True)
class Almgren2005Coefficients:
    """Fitted coefficients, dimensionless; the defaults are the paper's for large US stocks.

    Source: section 4 (gamma 0.314 +- 0.041, eta 0.142 +- 0.0062, beta 0.600 +- 0.038, delta 1/4).
    The size exponent of the permanent part is fixed at 1: any other lets a round trip earn money.
    gamma, eta >= 0; beta in (0, 2]; delta in [0, 2]. Raises ValueError naming every bad one.
    """

    permanent_gamma: float = 0.314
    temporary_eta: float = 0.142
    temporary_beta: float = 0.6
    turnover_delta: float = 0.25

    def __post_init__(self) -> None:
        faults = Faults()
        for name in ("permanent_gamma", "temporary_eta"):
            faults.non_negative_scalar(name, getattr(self, name))
        faults.scalar("temporary_beta", faults.within("temporary_beta", self.temporary_beta, 1e-6, 2.0))
        faults.scalar("turnover_delta", faults.within("turnover_delta", self.turnover_delta, 0.0, 2.0))
        faults.raise_any()


PAPER_COEFFICIENTS = Almgren2005Coefficients()


def permanent_impact_bps(
    quantity_shares: ArrayLike,
    daily_volume_shares: ArrayLike,
    shares_outstanding: ArrayLike,
    sigma_daily_fraction: ArrayLike,
    coefficients: Almgren2005Coefficients = PAPER_COEFFICIENTS,
) -> FloatArray:
    """Permanent impact I in bps of the arrival price.

    Source: sections 3-4. I = gamma sigma (X/V) (Theta/V)^delta.
    quantity_shares X >= 0, daily_volume_shares V > 0, shares_outstanding Theta > 0,
    sigma_daily_fraction sigma >= 0.
    Arguments broadcast; the result has their common shape (0-d for scalars).
    Raises ValueError naming every argument that is NaN, infinite, out of range or does not broadcast.
    """
    checked = checked_arrays(
        non_negative={"quantity_shares": quantity_shares, "sigma_daily_fraction": sigma_daily_fraction},
        positive={"daily_volume_shares": daily_volume_shares, "shares_outstanding": shares_outstanding},
    )
    return _permanent_bps(checked, coefficients)


def temporary_impact_bps(
    quantity_shares: ArrayLike,
    daily_volume_shares: ArrayLike,
    sigma_daily_fraction: ArrayLike,
    horizon_days: ArrayLike,
    coefficients: Almgren2005Coefficients = PAPER_COEFFICIENTS,
) -> FloatArray:
    """Temporary impact K in bps of the arrival price, at a constant rate over the horizon.

    Source: sections 3-4. K = eta sigma |X / (V T)|^beta.
    horizon_days T > 0 is a share of a trading day in volume time; the others as in `permanent_impact_bps`.
    Arguments broadcast; the result has their common shape (0-d for scalars).
    Raises ValueError naming every argument that is NaN, infinite, out of range or does not broadcast.
    """
    checked = checked_arrays(
        non_negative={"quantity_shares": quantity_shares, "sigma_daily_fraction": sigma_daily_fraction},
        positive={"daily_volume_shares": daily_volume_shares, "horizon_days": horizon_days},
    )
    return _temporary_bps(checked, coefficients)


def cost_bps(
    quantity_shares: ArrayLike,
    daily_volume_shares: ArrayLike,
    shares_outstanding: ArrayLike,
    sigma_daily_fraction: ArrayLike,
    horizon_days: ArrayLike,
    coefficients: Almgren2005Coefficients = PAPER_COEFFICIENTS,
) -> FloatArray:
    """Expected cost of the order, J = I/2 + K, in bps of the arrival price.

    Source: section 3. Arguments, shapes and units as in `permanent_impact_bps` and `temporary_impact_bps`.
    Raises ValueError naming every argument that is NaN, infinite, out of range or does not broadcast.
    """
    checked = checked_arrays(
        non_negative={"quantity_shares": quantity_shares, "sigma_daily_fraction": sigma_daily_fraction},
        positive={
            "daily_volume_shares": daily_volume_shares,
            "shares_outstanding": shares_outstanding,
            "horizon_days": horizon_days,
        },
    )
    return np.asarray(_permanent_bps(checked, coefficients) / 2.0 + _temporary_bps(checked, coefficients))


def _permanent_bps(checked: Mapping[str, FloatArray], coefficients: Almgren2005Coefficients) -> FloatArray:
    volume = checked["daily_volume_shares"]
    turnover = (checked["shares_outstanding"] / volume) ** coefficients.turnover_delta
    sigma_bps = BPS_PER_UNIT * checked["sigma_daily_fraction"]
    relative_size = checked["quantity_shares"] / volume
    return np.asarray(coefficients.permanent_gamma * sigma_bps * relative_size * turnover)


def _temporary_bps(checked: Mapping[str, FloatArray], coefficients: Almgren2005Coefficients) -> FloatArray:
    rate = checked["quantity_shares"] / checked["daily_volume_shares"] / checked["horizon_days"]
    sigma_bps = BPS_PER_UNIT * checked["sigma_daily_fraction"]
    return np.asarray(coefficients.temporary_eta * sigma_bps * rate**coefficients.temporary_beta)
