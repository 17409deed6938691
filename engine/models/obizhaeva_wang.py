"""Obizhaeva & Wang (2013), "Optimal trading strategy and supply/demand dynamics", J. Financial Markets 16(1).

Linear impact that decays: a trade of n shares moves the price by G(0) n, of which G(u) n is left u days
later. The continuous limit with G(u) = G(0) exp(-resilience u) has a closed form: a block at each end and a
constant rate between. The solver below handles any decay G on any trading times, with an optional aversion to
variance (Gatheral, Schied & Slynko 2012, "Transient linear price impact and Fredholm integral equations",
section 2).

Schedules are unsigned, for an order of either side; the cost functions also take the mirrored one, which
costs the same. Solving is offline work (a dense system, cubic in the number of times), not for the hot path.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from engine.models._arguments import LARGEST_MAGNITUDE, Faults, FloatArray

# G: lags in days (>= 0, any shape) -> currency of price per share traded (same shape).
DecayKernel: TypeAlias = Callable[[FloatArray], FloatArray]

MAX_TIMES = 1_000

# Curvature below this share of the largest diagonal term is rounding, not a minimum.
_FLAT_BELOW = 1e-12


@dataclass(frozen=True, slots=True)
class ContinuousSchedule:
    """block_shares at the start and again at the end, rate_shares_per_day for horizon_days in between."""

    block_shares: float
    rate_shares_per_day: float
    horizon_days: float


@dataclass(frozen=True, slots=True, eq=False)
class PropagatorSolution:
    """trades_shares[k] at times_days[k], both shape (M,) and read-only, with expected cost and variance."""

    times_days: FloatArray
    trades_shares: FloatArray
    cost_currency: float
    variance_currency2: float


def continuous_schedule(
    quantity_shares: float, horizon_days: float, resilience_per_day: float
) -> ContinuousSchedule:
    """Risk-neutral optimum under exponential decay, in continuous time.

    Source: section 6, without risk aversion. Blocks X / (rho T + 2) at both ends, rate rho X / (rho T + 2)
    between. quantity_shares X > 0, horizon_days T > 0, resilience_per_day rho >= 0 (0: nothing recovers, two
    half orders).
    Raises ValueError naming every argument that is NaN, infinite or out of range.
    """
    faults = Faults()
    quantity = faults.positive_scalar("quantity_shares", quantity_shares)
    horizon = faults.positive_scalar("horizon_days", horizon_days)
    resilience = faults.non_negative_scalar("resilience_per_day", resilience_per_day)
    faults.raise_any()
    block = quantity / (resilience * horizon + 2.0)
    return ContinuousSchedule(
        block_shares=block, rate_shares_per_day=resilience * block, horizon_days=horizon
    )


def exponential_decay(impact_currency_per_share2: float, resilience_per_day: float) -> DecayKernel:
    """Decay G(u) = G(0) exp(-rho u) of Obizhaeva & Wang (section 3.2).

    impact_currency_per_share2 G(0) > 0: price move (currency per share) for each share traded;
    resilience_per_day rho >= 0.
    Raises ValueError naming every argument that is NaN, infinite or out of range.
    """
    faults = Faults()
    impact = faults.positive_scalar("impact_currency_per_share2", impact_currency_per_share2)
    resilience = faults.non_negative_scalar("resilience_per_day", resilience_per_day)
    faults.raise_any()
    return lambda lags_days: np.asarray(impact * np.exp(-resilience * lags_days))


def propagator_cost_currency(trades_shares: ArrayLike, times_days: ArrayLike, decay: DecayKernel) -> float:
    """Expected impact cost of a list of trades under linear decaying impact, in currency.

    Source: Gatheral, Schied & Slynko (2012), section 2. C = 1/2 sum_ij n_i G(|t_i - t_j|) n_j: each trade
    pays what is left of the earlier ones and half of its own move.
    trades_shares n has shape (M,), either sign; times_days t has shape (M,), >= 0, strictly rising.
    Raises ValueError naming every argument that is NaN, infinite, of a wrong shape or out of order.
    """
    faults = Faults()
    times = _checked_times(faults, times_days)
    trades = faults.within("trades_shares", trades_shares, -LARGEST_MAGNITUDE, LARGEST_MAGNITUDE, "finite,")
    if trades.shape != times.shape:
        faults.add(f"trades_shares must have the shape of times_days {times.shape}, got {trades.shape}")
    faults.raise_any()
    return 0.5 * float(trades @ _decay_matrix(times, decay) @ trades)


def solve_propagator(
    quantity_shares: float,
    times_days: ArrayLike,
    decay: DecayKernel,
    *,
    risk_aversion_per_currency: float = 0.0,
    sigma_daily_currency: float = 0.0,
) -> PropagatorSolution:
    """Trades that minimise expected impact cost plus risk aversion times variance, on given trading times.

    Source: Gatheral, Schied & Slynko (2012), section 2; variance as in Almgren & Chriss (2000), section 1.4.
        minimise 1/2 n'Gn + lambda sigma^2 sum_k (t_{k+1} - t_k) x_k^2   subject to sum n = X,
    with G_ij = decay(|t_i - t_j|) and x_k = X - n_0 - ... - n_k, solved from its Karush-Kuhn-Tucker
    equations. No bound keeps trades on the order's side; a convex falling decay, without risk, needs none.
    quantity_shares X > 0; times_days shape (M,), 2 <= M <= MAX_TIMES, >= 0, strictly rising;
    decay in currency per share^2; risk_aversion_per_currency lambda >= 0;
    sigma_daily_currency sigma >= 0, currency per share per sqrt(day).
    Raises ValueError naming every bad argument; naming decay if it returns a wrong shape, NaN or infinity, if
    it lets a round trip earn money (price manipulation), or if it leaves the optimum not unique (a flat
    kernel with no risk).
    """
    faults = Faults()
    quantity = faults.positive_scalar("quantity_shares", quantity_shares)
    times = _checked_times(faults, times_days)
    risk_aversion = faults.non_negative_scalar("risk_aversion_per_currency", risk_aversion_per_currency)
    sigma = faults.non_negative_scalar("sigma_daily_currency", sigma_daily_currency)
    faults.raise_any()

    impact = _decay_matrix(times, decay)
    risk, risk_slope = _holding_risk(times)
    weight = 2.0 * risk_aversion * sigma**2
    curvature = impact + weight * risk
    _refuse_bad_curvature(impact, curvature)
    trades = _solve_kkt(curvature, weight * quantity * risk_slope, quantity)

    holdings = quantity - np.cumsum(trades)[:-1]
    trades.setflags(write=False)
    times.setflags(write=False)
    return PropagatorSolution(
        times_days=times,
        trades_shares=trades,
        cost_currency=0.5 * float(trades @ impact @ trades),
        variance_currency2=sigma**2 * float(np.diff(times) @ holdings**2),
    )


def _checked_times(faults: Faults, times_days: ArrayLike) -> FloatArray:
    times = faults.non_negative("times_days", times_days)
    if times.ndim != 1 or not 2 <= times.size <= MAX_TIMES:
        faults.add(f"times_days must have shape (M,) with 2 <= M <= {MAX_TIMES}, got {times.shape}")
    elif not (np.diff(times) > 0.0).all():
        faults.add("times_days must be strictly rising")
    return times


def _decay_matrix(times: FloatArray, decay: DecayKernel) -> FloatArray:
    """G_ij = decay(|t_i - t_j|), shape (M, M)."""
    lags = np.abs(times[:, None] - times[None, :])
    faults = Faults()
    matrix = faults.within("decay", decay(lags), -LARGEST_MAGNITUDE, LARGEST_MAGNITUDE, "finite,")
    if matrix.shape != lags.shape:
        faults.add(f"decay must return the shape it is given {lags.shape}, got {matrix.shape}")
    faults.raise_any()
    return matrix


def _holding_risk(times: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Quadratic and linear parts of sum_k dt_k x_k^2 in the trades: (L'DL, L'D1), with x = X 1 - L n.

    Entry (i, j) of L'DL is the time from the later of both trades to the end.
    """
    to_end = times[-1] - times
    return np.minimum(to_end[:, None], to_end[None, :]), to_end


def _refuse_bad_curvature(impact: FloatArray, curvature: FloatArray) -> None:
    """Refuse a kernel that pays for some round trip, or one whose optimum is not unique.

    Only round trips (sum n = 0) count, as the order's size is fixed; differences of neighbours span them.
    """
    if _least_round_trip(impact) < -_FLAT_BELOW:
        raise ValueError("decay must not let a round trip on these times_days earn money (manipulation)")
    if _least_round_trip(curvature) < _FLAT_BELOW:
        raise ValueError("decay must fall between these times_days: without risk the optimum is not unique")


def _least_round_trip(matrix: FloatArray) -> float:
    """Smallest eigenvalue over round trips between neighbouring times, as a share of the largest diagonal."""
    rows = matrix[:-1] - matrix[1:]
    reduced = rows[:, :-1] - rows[:, 1:]
    scale = float(np.abs(np.diag(matrix)).max())
    return float(np.linalg.eigvalsh(reduced)[0]) / scale if scale > 0.0 else 0.0


def _solve_kkt(curvature: FloatArray, slope: FloatArray, quantity: float) -> FloatArray:
    """Solve  H n - mu 1 = slope,  1'n = quantity  for n."""
    size = slope.size
    # Divided by its size, so that the row of ones weighs as much as the curvature does.
    scale = float(np.abs(np.diag(curvature)).max())
    system = np.ones((size + 1, size + 1))
    system[:size, :size] = curvature / scale
    system[size, size] = 0.0
    right = np.append(slope / scale, quantity)
    return np.asarray(np.linalg.solve(system, right)[:size], dtype=np.float64)
