"""Kissell's I-Star market impact model.

Kissell, R. (2013), "The Science of Algorithmic Trading and Portfolio Management", chapter 4; Kissell &
Malamut (2006). I* is the cost of demanding the whole order at once; MI spreads it by the participation the
order is worked at, a share b1 of it temporary. Sizes are unsigned and every result is a cost (positive
hurts), so a sell costs what its mirrored buy costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from engine.models._arguments import BPS_PER_UNIT, Faults, FloatArray, checked_arrays

TRADING_DAYS_PER_YEAR = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class IStarParameters:
    """Fitted parameters, named as in the book; the defaults are its published estimate.

    a1_bps >= 0; exponents a2 (size), a3 (volatility), a4 (participation) in [0, 2]; b1, the temporary share,
    in [0, 1].
    Raises ValueError naming every bad one.
    """

    a1_bps: float = 708.0
    a2: float = 0.55
    a3: float = 0.71
    a4: float = 0.50
    b1: float = 0.98

    def __post_init__(self) -> None:
        faults = Faults()
        faults.non_negative_scalar("a1_bps", self.a1_bps)
        for name in ("a2", "a3", "a4"):
            faults.scalar(name, faults.within(name, getattr(self, name), 0.0, 2.0))
        faults.scalar("b1", faults.within("b1", self.b1, 0.0, 1.0))
        faults.raise_any()


BOOK_PARAMETERS = IStarParameters()


def instantaneous_impact_bps(
    size_adv_fraction: ArrayLike,
    sigma_annual_fraction: ArrayLike,
    parameters: IStarParameters = BOOK_PARAMETERS,
) -> FloatArray:
    """Instantaneous cost I* of the whole order at once, in bps.

    Source: chapter 4. I* = a1 (Q/ADV)^a2 sigma^a3.
    size_adv_fraction Q/ADV >= 0, sigma_annual_fraction sigma >= 0 (annual, not daily).
    Arguments broadcast; the result has their common shape (0-d for scalars).
    Raises ValueError naming every argument that is NaN, infinite, negative or does not broadcast.
    """
    checked = checked_arrays(
        non_negative={"size_adv_fraction": size_adv_fraction, "sigma_annual_fraction": sigma_annual_fraction},
        positive={},
    )
    return _instantaneous_bps(checked, parameters)


def market_impact_bps(
    size_adv_fraction: ArrayLike,
    sigma_annual_fraction: ArrayLike,
    participation_fraction: ArrayLike,
    parameters: IStarParameters = BOOK_PARAMETERS,
) -> FloatArray:
    """Market impact MI of the order worked at a participation rate, in bps.

    Source: chapter 4. MI = b1 I* POV^a4 + (1 - b1) I*.
    participation_fraction POV in (0, 1]: our volume over all volume, ours included, while we trade.
    Other arguments, shapes and errors as in `instantaneous_impact_bps`.
    """
    checked = checked_arrays(
        non_negative={"size_adv_fraction": size_adv_fraction, "sigma_annual_fraction": sigma_annual_fraction},
        positive={},
        fraction={"participation_fraction": participation_fraction},
    )
    temporary_share = parameters.b1 * checked["participation_fraction"] ** parameters.a4
    return np.asarray(_instantaneous_bps(checked, parameters) * (temporary_share + 1.0 - parameters.b1))


def timing_risk_bps(
    size_adv_fraction: ArrayLike, sigma_annual_fraction: ArrayLike, participation_fraction: ArrayLike
) -> FloatArray:
    """Timing risk: one standard deviation of the cost of working the order at a participation rate, in bps.

    Source: Kissell (2013), timing risk of a constant participation rate.
    TR = sigma sqrt(1/3 * 1/250 * (Q/ADV) * (1 - POV) / POV): holdings fall linearly over (Q/ADV)(1 - POV)/POV
    days. POV = 1 gives 0, as the order is then done at once.
    Arguments, shapes and errors as in `market_impact_bps`.
    """
    checked = checked_arrays(
        non_negative={"size_adv_fraction": size_adv_fraction, "sigma_annual_fraction": sigma_annual_fraction},
        positive={},
        fraction={"participation_fraction": participation_fraction},
    )
    participation = checked["participation_fraction"]
    horizon_days = checked["size_adv_fraction"] * (1.0 - participation) / participation
    risk_fraction = np.sqrt(horizon_days / (3.0 * TRADING_DAYS_PER_YEAR))
    return np.asarray(BPS_PER_UNIT * checked["sigma_annual_fraction"] * risk_fraction)


def _instantaneous_bps(checked: Mapping[str, FloatArray], parameters: IStarParameters) -> FloatArray:
    size_term = checked["size_adv_fraction"] ** parameters.a2
    return np.asarray(parameters.a1_bps * size_term * checked["sigma_annual_fraction"] ** parameters.a3)
