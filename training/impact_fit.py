"""What execution costs, fitted on the real data: `store/seed/impact.json`.

Price impact across stocks (Almgren et al. 2005 style, 2007), and fills and adverse selection of limit orders
(SEC Rule 605, 2016), each with its origin. `impact_json` adds the noise of `noise_fit`, and
`training.instruments` writes it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd  # type: ignore[import-untyped, unused-ignore]

from training.measures import Array, round_figure
from training.noise_fit import noise_figures
from training.readers import read
from training.summer_2007 import IMPACT_SOURCE, StockDays, stock_days

BOOTSTRAP_DRAWS = 2_000
BOOTSTRAP_SEED = 20_070_703
FLOW_HORIZON_DAYS = 6.0 / 6.5  # the imbalance runs from 09:30 to 15:30


# --------------------------------------------------------------------------------------------------------
# Power-law fit with a day effect


@dataclass(frozen=True)
class PowerFit:
    """y = a_day + coefficient * sign(x) * |x|**exponent, 95 % intervals from resampling whole days."""

    coefficient: float
    coefficient_interval: tuple[float, float]
    exponent: float
    exponent_interval: tuple[float, float]
    explained_fraction: float


def within(values: Array, day: npt.NDArray[np.int64]) -> Array:
    """Values less their day's mean: takes the market's common move out."""
    codes = np.unique(day, return_inverse=True)[1]
    mean = np.bincount(codes, weights=values) / np.bincount(codes)
    centred: Array = values - mean[codes]
    return centred


def day_sums(
    flow: Array, response: Array, day: npt.NDArray[np.int64], exponents: Array
) -> tuple[Array, Array, Array]:
    """By exponent and day: sums of regressor squared and regressor times response; response squared."""
    codes = np.unique(day, return_inverse=True)[1]
    y = within(response, day)
    squares, crosses = [], []
    for exponent in exponents:
        f = within(np.sign(flow) * np.abs(flow) ** exponent, day)
        squares.append(np.bincount(codes, weights=f * f))
        crosses.append(np.bincount(codes, weights=f * y))
    return (
        np.array(squares),
        np.array(crosses),
        np.asarray(np.bincount(codes, weights=y * y), dtype=np.float64),
    )


def power_fit(flow: Array, response: Array, day: npt.NDArray[np.int64], exponents: Array) -> PowerFit:
    """Least squares over a grid of exponents (the coefficient is closed form), bootstrap over days.

    Days are resampled whole because the stocks of one day move together.
    """
    squares, crosses, total = day_sums(flow, response, day, exponents)
    fit = squares.sum(axis=1), crosses.sum(axis=1)
    gain = fit[1] ** 2 / fit[0]
    best = int(np.argmax(gain))
    random = np.random.default_rng(BOOTSTRAP_SEED)
    days = total.size
    drawn = []
    for _ in range(BOOTSTRAP_DRAWS):
        count = np.bincount(random.integers(0, days, days), minlength=days)
        s, c = squares @ count, crosses @ count
        at = int(np.argmax(c**2 / s))
        drawn.append((c[at] / s[at], exponents[at]))
    low, high = np.percentile(np.array(drawn), [2.5, 97.5], axis=0)
    return PowerFit(
        float(fit[1][best] / fit[0][best]),
        (float(low[0]), float(high[0])),
        float(exponents[best]),
        (float(low[1]), float(high[1])),
        float(gain[best] / total.sum()),
    )


def fit_json(fit: PowerFit) -> dict[str, Any]:
    """A fit as JSON."""
    return {
        "coefficient": round_figure(fit.coefficient, 4),
        "coefficient_interval95": [round_figure(x, 4) for x in fit.coefficient_interval],
        "exponent": round_figure(fit.exponent, 4),
        "exponent_interval95": [round_figure(x, 4) for x in fit.exponent_interval],
        "explained_fraction": round_figure(fit.explained_fraction, 4),
    }


def binned_response(days: StockDays, bins: int = 12) -> list[dict[str, float]]:
    """Mean signed response by size of flow, with its standard error: the picture behind the fit."""
    size = np.abs(days.flow)
    signed = np.sign(days.flow) * within(days.realised, days.day)
    edges = np.quantile(size, np.linspace(0, 1, bins + 1))
    which = np.clip(np.searchsorted(edges, size, side="right") - 1, 0, bins - 1)
    return [
        {
            "flow_of_adv": round_figure(float(size[which == b].mean()), 4),
            "response_of_daily_sigma": round_figure(float(signed[which == b].mean()), 4),
            "standard_error": round_figure(
                float(signed[which == b].std() / math.sqrt((which == b).sum())), 4
            ),
        }
        for b in range(bins)
    ]


def impact_sensitivity(days: StockDays, grid: Array) -> dict[str, Any]:
    """The realised fit under other choices: the same day's value, and without the largest flows."""
    small = np.abs(days.flow) < 0.3
    return {
        "flow over the same day's value": fit_json(
            power_fit(days.flow_of_day, days.realised, days.day, grid)
        ),
        "flow under 30 % of ADV": fit_json(
            power_fit(days.flow[small], days.realised[small], days.day[small], grid)
        ),
        "exponent held at 0.5": fit_json(power_fit(days.flow, days.realised, days.day, np.array([0.5]))),
    }


def impact_of_2007(data: Path) -> dict[str, Any]:
    """Impact of signed flow: concave fit of the realised part, linear permanent part, temporary remainder."""
    days = stock_days(data)
    grid = np.arange(0.10, 1.5001, 0.005)
    remainder = days.realised - days.lasting / 2
    rate = days.flow / FLOW_HORIZON_DAYS
    temporary = power_fit(rate, remainder, days.day, np.array([0.6]))
    return {
        "origin": f"measured: {IMPACT_SOURCE}; day effects taken out, 95 % intervals by {BOOTSTRAP_DRAWS} "
        f"bootstrap draws of whole days (seed {BOOTSTRAP_SEED})",
        "meaning": "arrival-to-VWAP (09:30-15:30) return over daily volatility = coefficient * sign * "
        "|signed flow / ADV| ** exponent; the flow is the market's whole imbalance, not one order",
        "stock_days_used": int(days.flow.size),
        "stock_days_dropped": days.dropped,
        "realised": fit_json(power_fit(days.flow, days.realised, days.day, grid)),
        "arrival_to_close": fit_json(power_fit(days.flow, days.lasting, days.day, grid)),
        "sensitivity_of_realised": impact_sensitivity(days, grid),
        "almgren_permanent_linear": fit_json(power_fit(days.flow, days.lasting, days.day, np.array([1.0]))),
        "almgren_temporary": fit_json(temporary)
        | {
            "identified": bool(temporary.coefficient_interval[0] > 0),
            "free_exponent": fit_json(power_fit(rate, remainder, days.day, grid)),
            "meaning": "realised less half of arrival-to-close, on |X/(V T)| ** 0.6 with T = 6/6.5 day",
        },
        "binned_realised_response": binned_response(days),
    }


# --------------------------------------------------------------------------------------------------------
# Rule 605, December 2016

RULE605_SOURCE = "rule605_virtu, SEC Rule 605 report of one wholesaler, December 2016"
ORDER_TYPES = {
    11: "market",
    12: "marketable_limit",
    13: "inside_the_quote",
    14: "at_the_quote",
    15: "near_the_quote",
}
SIZE_BUCKETS = {21: "100-499", 22: "500-1999", 23: "2000-4999", 24: "5000+"}
TIME_COLUMNS = ("exec_0_9s", "exec_10_29s", "exec_30_59s", "exec_60_299s", "exec_5_30m")


def rule605(data: Path) -> Any:
    """The report with executed shares and, in every row, the symbol's spread paid by marketable orders."""
    frame = read(
        data / "rule605_virtu" / "rule605_virtu.parquet",
        (
            "symbol",
            "order_type",
            "size_bucket",
            "covered_shares",
            "exec_here_shares",
            "exec_away_shares",
            *TIME_COLUMNS,
            "avg_realized_spread",
            "avg_effective_spread",
        ),
    )
    frame = frame.assign(executed=frame["exec_here_shares"] + frame["exec_away_shares"])
    crossing = frame[
        frame["order_type"].isin((11, 12)) & (frame["executed"] > 0) & (frame["avg_effective_spread"] > 0)
    ]
    paid = (crossing["avg_effective_spread"] * crossing["executed"]).groupby(crossing["symbol"]).sum()
    spread = paid / crossing.groupby("symbol")["executed"].sum()
    return frame.assign(symbol_spread=frame["symbol"].map(spread))


def symbol_bootstrap(frame: Any, statistic: Callable[[Array], float]) -> tuple[float, float]:
    """95 % interval of a statistic of sums; `frame` holds the terms by symbol, symbols are resampled."""
    sums = frame.to_numpy(dtype=np.float64)
    random = np.random.default_rng(BOOTSTRAP_SEED)
    drawn = [
        statistic(sums[random.integers(0, len(sums), len(sums))].sum(axis=0)) for _ in range(BOOTSTRAP_DRAWS)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def ratio_json(rows: Any, numerator: Any, denominator: Any, offset: float = 0.0) -> dict[str, Any]:
    """offset + sum(numerator) / sum(denominator), with its interval over symbols and the shares behind it."""
    sums = pd.DataFrame({"n": numerator, "d": denominator}).groupby(rows["symbol"]).sum()

    def ratio(total: Array) -> float:
        return offset + float(total[0] / total[1]) if total[1] else 0.0

    value = ratio(sums.to_numpy(dtype=np.float64).sum(axis=0))
    low, high = symbol_bootstrap(sums, ratio)
    return {
        "value": round_figure(value, 4),
        "interval95": [round_figure(low, 4), round_figure(high, 4)],
        "executed_shares": int(rows["executed"].sum()),
        "symbols": len(sums),
    }


def rows_of(frame: Any, order_type: int, buckets: Sequence[int]) -> Any:
    """The report's rows of one order type and some size buckets."""
    return frame[(frame["order_type"] == order_type) & frame["size_bucket"].isin(buckets)]


def realised_over_effective(frame: Any, order_type: int, buckets: Sequence[int]) -> dict[str, Any] | None:
    """Realised over effective spread of marketable orders: what the other side keeps after five minutes."""
    rows = rows_of(frame, order_type, buckets)
    rows = rows[rows["executed"] > 0]
    rows = rows[rows["avg_effective_spread"] > 0]
    if rows["executed"].sum() < 20_000:
        return None
    # One odd lot in a halted stock can move the mean: realised spreads are held within five effective ones.
    bound = 5 * rows["avg_effective_spread"]
    realised = rows["avg_realized_spread"].clip(-bound, bound)
    return ratio_json(rows, realised * rows["executed"], rows["avg_effective_spread"] * rows["executed"])


def passive_adverse_selection(frame: Any, order_type: int, buckets: Sequence[int]) -> dict[str, Any] | None:
    """Share of the earned half-spread that a resting order loses within five minutes of its fill.

    The report gives resting orders no effective spread. A fill at the quote earns the spread of its symbol,
    taken from the marketable orders; a realised spread of minus that means nothing was lost, zero that all
    was: adverse share = 1 + realised / spread. Above 1 the fill lost more than it earned.
    """
    rows = rows_of(frame, order_type, buckets)
    rows = rows[rows["executed"] > 0]
    rows = rows[rows["symbol_spread"] > 0]
    if rows["executed"].sum() < 20_000:
        return None
    bound = 5 * rows["symbol_spread"]
    realised = rows["avg_realized_spread"].clip(-bound, bound)
    return ratio_json(rows, realised * rows["executed"], rows["symbol_spread"] * rows["executed"], offset=1.0)


def fill_probability(frame: Any, order_type: int, buckets: Sequence[int]) -> dict[str, Any]:
    """Executed over covered shares of a type of limit order, and how long the filled ones waited."""
    rows = rows_of(frame, order_type, buckets)
    waits = rows[list(TIME_COLUMNS)].sum()
    total = max(float(waits.sum()), 1.0)
    return ratio_json(rows, rows["executed"], rows["covered_shares"]) | {
        "waited_fraction": {
            name.removeprefix("exec_"): round_figure(float(waits[name]) / total, 4) for name in TIME_COLUMNS
        }
    }


def rule605_figures(data: Path) -> dict[str, Any]:
    """Spread ratios, adverse selection and fill probabilities by order type and size bucket."""
    frame = rule605(data)
    buckets = {label: (bucket,) for bucket, label in SIZE_BUCKETS.items()} | {"all": tuple(SIZE_BUCKETS)}
    by_size: dict[str, dict[str, Any]] = {}
    for order_type, name in ORDER_TYPES.items():
        figure = realised_over_effective if order_type in (11, 12) else fill_probability
        by_size[name] = {label: figure(frame, order_type, chosen) for label, chosen in buckets.items()}
    adverse = {label: passive_adverse_selection(frame, 14, chosen) for label, chosen in buckets.items()}
    return {
        "origin": f"measured: {RULE605_SOURCE}; share-weighted, spreads held within five effective ones, "
        f"95 % intervals by {BOOTSTRAP_DRAWS} bootstrap draws of symbols",
        "caveat": "retail-like flow of one market centre; a cancelled share counts as not filled, and most "
        "are cancelled at once, so fill probability is a floor for an order that waits; null = under 20,000 "
        "executed shares",
        "realised_over_effective_spread": {n: by_size[n] for n in ("market", "marketable_limit")},
        "passive_adverse_selection_of_spread": {"at_the_quote": adverse},
        "fill_probability": {n: by_size[n] for n in ("inside_the_quote", "at_the_quote", "near_the_quote")},
    }


def impact_json(data: Path) -> dict[str, Any]:
    """The whole of impact.json."""
    return {
        "impact_2007": impact_of_2007(data),
        "rule605_2016": rule605_figures(data),
        "noise": noise_figures(data),
    }
