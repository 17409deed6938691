"""Almgren & Chriss (2000), "Optimal execution of portfolio transactions", J. Risk 3(2), section 2.

An order of X shares is worked in N equal periods of tau = T/N days. Holdings x_0 = X, ..., x_N = 0 and trades
n_k = x_{k-1} - x_k. Impact is linear: permanent gamma, temporary eta, and epsilon a share for crossing.
The paper's drift is left out on purpose: alpha is charged once, by the utility that compares candidates.

Holdings are unsigned for an order of either side; cost and variance also take the mirror image (a short
position bought back), where every figure is the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from engine.models._arguments import LARGEST_MAGNITUDE, Faults, FloatArray

MAX_PERIODS = 100_000

# Below this kappa*T the hyperbolic sines differ from their arguments by less than one part in 1e16.
_LINEAR_BELOW = 1e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class AlmgrenChrissParameters:
    """One liquidation problem in the paper's units (currency, shares, days).

    Source: sections 1.1-1.5 and table 1.

    quantity_shares                    X, > 0
    horizon_days                       T, > 0
    periods                            N, 1 to MAX_PERIODS
    sigma_daily_currency               sigma, currency per share per sqrt(day), >= 0
    half_spread_currency               epsilon, currency per share, >= 0
    permanent_currency_per_share2      gamma, >= 0
    temporary_currency_day_per_share2  eta, with eta - gamma*tau/2 > 0 (section 2: otherwise E is not convex)

    Raises ValueError naming every argument that is NaN, infinite or out of range.
    """

    quantity_shares: float
    horizon_days: float
    periods: int
    sigma_daily_currency: float
    half_spread_currency: float
    permanent_currency_per_share2: float
    temporary_currency_day_per_share2: float

    def __post_init__(self) -> None:
        faults = Faults()
        for name in ("quantity_shares", "horizon_days", "temporary_currency_day_per_share2"):
            faults.positive_scalar(name, getattr(self, name))
        for name in ("sigma_daily_currency", "half_spread_currency", "permanent_currency_per_share2"):
            faults.non_negative_scalar(name, getattr(self, name))
        faults.count("periods", self.periods, 1, MAX_PERIODS)
        faults.raise_any()
        if self.eta_tilde <= 0.0:
            raise ValueError(
                "temporary_currency_day_per_share2 must exceed permanent_currency_per_share2 * "
                f"period_days / 2, got a difference of {self.eta_tilde!r}"
            )

    @property
    def period_days(self) -> float:
        """tau = T / N."""
        return self.horizon_days / self.periods

    @property
    def eta_tilde(self) -> float:
        """eta - gamma * tau / 2, the temporary coefficient net of what permanent impact already charges."""
        charged_twice = self.permanent_currency_per_share2 * self.period_days / 2.0
        return self.temporary_currency_day_per_share2 - charged_twice


def kappa_per_day(parameters: AlmgrenChrissParameters, risk_aversion_per_currency: float) -> float:
    """Urgency kappa of the optimal trajectory, per day.

    Source: section 2.2. cosh(kappa tau) = 1 + kappa_tilde^2 tau^2 / 2,
    where kappa_tilde^2 = lambda sigma^2 / eta_tilde.
    Solved as kappa = (2/tau) asinh(kappa_tilde tau / 2), the same root without cancellation at small lambda.
    risk_aversion_per_currency is lambda, in [0, 1e15]; 0 gives 0.
    Raises ValueError if risk_aversion_per_currency is negative, NaN or infinite.
    """
    faults = Faults()
    risk_aversion = faults.non_negative_scalar("risk_aversion_per_currency", risk_aversion_per_currency)
    faults.raise_any()
    kappa_tilde = math.sqrt(risk_aversion) * parameters.sigma_daily_currency / math.sqrt(parameters.eta_tilde)
    tau = parameters.period_days
    return 2.0 / tau * math.asinh(kappa_tilde * tau / 2.0)


def half_life_days(parameters: AlmgrenChrissParameters, risk_aversion_per_currency: float) -> float:
    """Half-life 1/kappa of the order in days: how long until a long order has shrunk by a factor e.

    Source: section 2.3. Infinite, by definition, when kappa is 0 (no risk aversion or no volatility).
    Raises ValueError as `kappa_per_day` does.
    """
    kappa = kappa_per_day(parameters, risk_aversion_per_currency)
    return 1.0 / kappa if kappa > 0.0 else math.inf


def holdings_shares(parameters: AlmgrenChrissParameters, risk_aversion_per_currency: float) -> FloatArray:
    """Optimal holdings x_0..x_N in shares, shape (N + 1,), from X down to 0.

    Source: section 2.2. x_j = X sinh(kappa (T - t_j)) / sinh(kappa T); kappa -> 0 gives the linear
    trajectory. Evaluated with decaying exponentials, since sinh(kappa T) overflows for an urgent order.
    Raises ValueError as `kappa_per_day` does.
    """
    kappa = kappa_per_day(parameters, risk_aversion_per_currency)
    if kappa * parameters.horizon_days < _LINEAR_BELOW:
        return linear_holdings_shares(parameters)
    j = np.arange(parameters.periods + 1)
    elapsed = kappa * parameters.period_days * j
    # Counted from the end, so that the last holding is exactly zero.
    remaining = kappa * parameters.period_days * (parameters.periods - j)
    share_left = np.exp(-elapsed) * np.expm1(-2.0 * remaining) / np.expm1(-2.0 * remaining[0])
    return np.asarray(parameters.quantity_shares * share_left, dtype=np.float64)


def linear_holdings_shares(parameters: AlmgrenChrissParameters) -> FloatArray:
    """Holdings of the least-cost trajectory (lambda = 0): equal trades, shape (N + 1,), shares.

    Source: section 1.5, "minimum impact": n_k = X / N.
    """
    j = np.arange(parameters.periods + 1)
    share_left = (parameters.periods - j) / parameters.periods
    return np.asarray(parameters.quantity_shares * share_left, dtype=np.float64)


def immediate_holdings_shares(parameters: AlmgrenChrissParameters) -> FloatArray:
    """Holdings of the least-variance trajectory (lambda -> infinity): shape (N + 1,), shares.

    Source: section 1.5, "minimum variance": n_1 = X.
    """
    holdings = np.zeros(parameters.periods + 1)
    holdings[0] = parameters.quantity_shares
    return holdings


def expected_cost_currency(parameters: AlmgrenChrissParameters, holdings: ArrayLike) -> float:
    """Expected shortfall E of any trajectory, in currency; positive hurts the order.

    Source: sections 1.4-1.5. E = gamma X^2 / 2 + epsilon sum|n_k| + (eta_tilde / tau) sum n_k^2.
    `holdings` has shape (N + 1,), in shares, from X (or -X for the mirrored side) to 0.
    Raises ValueError if `holdings` has another shape, other ends, or a NaN or infinity.
    """
    trades = -np.diff(_checked_holdings(parameters, holdings))
    permanent = 0.5 * parameters.permanent_currency_per_share2 * parameters.quantity_shares**2
    crossing = parameters.half_spread_currency * float(np.abs(trades).sum())
    temporary = parameters.eta_tilde / parameters.period_days * float(trades @ trades)
    return permanent + crossing + temporary


def variance_currency2(parameters: AlmgrenChrissParameters, holdings: ArrayLike) -> float:
    """Variance of the shortfall of any trajectory, in currency squared.

    Source: sections 1.4-1.5. Var = sigma^2 tau sum_{k=1..N} x_k^2.
    `holdings` and errors as in `expected_cost_currency`.
    """
    left = _checked_holdings(parameters, holdings)[1:]
    return parameters.sigma_daily_currency**2 * parameters.period_days * float(left @ left)


def _checked_holdings(parameters: AlmgrenChrissParameters, holdings: ArrayLike) -> FloatArray:
    faults = Faults()
    path = faults.within("holdings", holdings, -LARGEST_MAGNITUDE, LARGEST_MAGNITUDE, "finite,")
    faults.raise_any()
    if path.shape != (parameters.periods + 1,):
        raise ValueError(f"holdings must have shape ({parameters.periods + 1},), got {path.shape}")
    # A trajectory that ends elsewhere prices another order; a billionth of it is rounding.
    slack = 1e-9 * parameters.quantity_shares
    if abs(abs(path[0]) - parameters.quantity_shares) > slack or abs(path[-1]) > slack:
        raise ValueError(f"holdings must run from quantity_shares to 0, got {path[0]!r} to {path[-1]!r}")
    return path
