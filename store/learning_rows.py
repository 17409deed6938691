"""What the learner reads and writes in PostgreSQL: the statements, and rows as values.

An outcome counts once, with its selection's first report. Only decisions by one pair of artifacts are read together:
what is learned is how far those are off. The forecast is taken as the artifacts made it: what a correction had added is
taken off again, or corrections would be learned from themselves. And it is of the whole quantity: what became of an
order that was cancelled, amended or left undone says little of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from engine.assumptions import DEFAULT_ASSUMPTIONS
from engine.catalogue import ALGORITHM_NAMES
from engine.learning.effects import leakage_bps
from engine.learning.outcomes import Outcome

CHANNEL: Final = "ess_learning"
# The newest: a market of years ago teaches little, and a fit takes 0.1 s.
MOST_OUTCOMES: Final = 20_000

# Outcomes are looked for as far back as this: a market of long ago teaches little.
WINDOW_DAYS: Final = 180

# A forecast is held against what was filled of its quantity, give or take this part of it. Assumed.
FILLED_TOLERANCE: Final = 0.1
# A final mid that is so many daily volatilities from the arrival mid is in another unit, or a typing error.
MOST_MOVE_DAYS: Final = 6.0

# Whether anything new may have come: told by the index alone, over what hosts may still drain late.
RECENT: Final = """
SELECT count(*), max(inserted_at)::text FROM outcomes WHERE created_at > now() - interval '2 days'
"""

# `orders` tells when a selection was made, so that only partitions near that time are looked at. A second report of a
# selection is the same row twice here, and counts once (`once`).
OUTCOMES: Final = """
SELECT made.id::text, (extract(epoch FROM told.created_at) * 1000)::bigint, made.algorithm, made.objective,
  coalesce(made.market_conditions ->> 'condition', ''), made.side, made.quantity,
  (made.market_conditions ->> 'average_daily_volume')::float8, (made.market_conditions ->> 'daily_volatility')::float8,
  (made.market_conditions ->> 'mid_price')::float8,
  made.expected_outcomes::text, made.actual_outcomes::text, (made.parameters ->> 'dark_pool_ratio')::float8,
  made.versions ->> 'models_sha256'
FROM outcomes AS told
JOIN orders ON orders.order_id = told.order_id
JOIN strategy_selections AS made ON made.id = told.selection_id
  AND made.created_at BETWEEN orders.created_at - interval '1 day' AND orders.created_at + interval '1 day'
WHERE told.created_at > now() - make_interval(days => %(days)s)
  AND made.actual_outcomes IS NOT NULL AND made.versions ->> 'surfaces_sha256' = %(surfaces)s
  AND made.versions ->> 'models_sha256' = %(models)s
ORDER BY told.created_at DESC, told.id
LIMIT %(most)s
"""

LATEST: Final = """
SELECT number, content FROM corrections
WHERE surfaces_sha256 = %(surfaces)s AND models_sha256 = %(models)s ORDER BY number DESC LIMIT 1
"""

ADD: Final = """
INSERT INTO corrections (host_id, surfaces_sha256, models_sha256, outcomes, alarms, content)
VALUES (%(host)s, %(surfaces)s, %(models)s, %(outcomes)s, %(alarms)s::text::jsonb, %(content)s)
"""

# One host computes at a time; the others take what it wrote.
LOCK: Final = "SELECT pg_try_advisory_xact_lock(hashtextextended('ess_learning', 0))"


@dataclass(frozen=True, slots=True)
class Pair:
    """The artifacts that decide; `models_sha256` empty without models."""

    surfaces_sha256: str
    models_sha256: str

    def values(self) -> dict[str, object]:
        return {"surfaces": self.surfaces_sha256, "models": self.models_sha256}


def once(outcomes: Iterable[Outcome | None]) -> list[Outcome]:
    """Each selection's outcome once."""
    return list({outcome.selection_id: outcome for outcome in outcomes if outcome is not None}.values())


def outcome_from(row: tuple[Any, ...], parse: Any) -> Outcome | None:
    """None for a row of another build's algorithms, or without the figures. `parse`: JSON text to a value."""
    algorithm, side, quantity, volume, sigma, mid = row[2], row[5], row[6], row[7], row[8], row[9]
    if algorithm not in ALGORITHM_NAMES or not volume or not sigma:
        return None
    expected: Mapping[str, Any] = parse(row[10])
    actual: Mapping[str, Any] = parse(row[11])
    if "cost" not in actual or "estimated_cost" not in expected:
        return None
    # Where models were loaded and had no say, the forecast is not theirs.
    if row[13] and expected.get("structural_only", False):
        return None
    if not is_of_forecast(actual, quantity):
        return None
    size_days, sigma_bps = quantity / volume, 1e4 * sigma
    sign = 1.0 if side == "BUY" else -1.0
    return Outcome(
        selection_id=row[0], reported_ns=row[1] * 1_000_000, algorithm=ALGORITHM_NAMES.index(algorithm),
        objective=row[3], condition=row[4], size_days=size_days,
        predicted_bps=1e4 * (expected["estimated_cost"] - expected.get("online_correction", 0.0)),
        deviation_bps=1e4 * expected.get("cost_standard_deviation", 0.0),
        impact_bps=1e4 * expected.get("market_impact", 0.0),
        leakage_bps=leakage_bps(sigma_bps, size_days, DEFAULT_ASSUMPTIONS) * (row[12] or 0.0) ** 2,
        cost_bps=1e4 * actual["cost"], market_move_bps=move_bps(actual, sign, mid, sigma_bps),
        vwap_slippage_bps=vwap_slippage_bps(actual, sign),
        propensity=float(expected.get("propensity", 1.0)), explored=bool(expected.get("explored", False)),
    )


def is_of_forecast(actual: Mapping[str, Any], quantity_shares: float) -> bool:
    """Whether about as much was filled as the forecast was for. An order that is cancelled early costs next to nothing:
    it would teach that trading is cheap."""
    filled = actual.get("filled_quantity", 0.0)
    return bool(abs(filled - quantity_shares) <= FILLED_TOLERANCE * quantity_shares)


def move_bps(
    actual: Mapping[str, Any], sign: float, decision_mid: float | None, sigma_bps: float
) -> float | None:
    """From the arrival mid to the mid at the end, against the order; None where the report does not tell, or tells one
    that no market makes: a single mid in cents would else stand for what all orders' markets did."""
    arrival, final = actual.get("arrival_mid_price") or decision_mid, actual.get("final_mid_price")
    if not arrival or not final:
        return None
    found = sign * 1e4 * (math.log(final) - math.log(arrival))
    return found if abs(found) <= MOST_MOVE_DAYS * sigma_bps else None


def vwap_slippage_bps(actual: Mapping[str, Any], sign: float) -> float | None:
    """Average price against the market's VWAP of the order's life. It moves with our own trading, so that it may only
    compare what took equally long."""
    vwap, price = actual.get("interval_vwap"), actual.get("average_price")
    if not vwap or not price:
        return None
    return sign * 1e4 * (math.log(price) - math.log(vwap))
