"""The shipped world in one process, without a database: the seed's reference data, the artifacts' surfaces and models.

Orders are drawn from a seed, so that two versions of the code can be given the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.snapshot import Snapshot
from service.bootstrap import load_snapshot
from service.engine_build import this_build
from service.mapping.contract_json import from_object
from service.mapping.contract_messages import RECOMMEND
from service.mapping.inputs import InputsEncoder
from service.prepare import catalogue_rows, write_reference
from service.settings import Settings
from store.instruments import read_seed

SEED: Final = 20261125
OBJECTIVES: Final = (
    "MINIMIZE_COST", "MINIMIZE_RISK", "MINIMIZE_TIME", "MAXIMIZE_ALPHA_CAPTURE", "BALANCED_EXECUTION",
)  # fmt: skip
URGENCIES: Final = ("LOW", "NORMAL", "HIGH", "URGENT")
SIDES: Final = ("BUY", "SELL", "SELL_SHORT")
TIMES: Final = ("OPEN", "MORNING", "MIDDAY", "AFTERNOON", "CLOSE")
CONDITIONS: Final = (
    "NORMAL", "HIGH_VOLATILITY", "LOW_LIQUIDITY", "TRENDING", "MEAN_REVERTING", "NEWS_DRIVEN",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ShippedWorld:
    """What a worker decides from, with the encoder of its records' inputs."""

    snapshot: Snapshot
    inputs: InputsEncoder


def shipped_world(folder: Path, models: bool = True) -> ShippedWorld:
    """Loaded from files in `folder` that are written there first, as `ess serve` does."""
    settings = Settings(data_dir=folder, models="on" if models else "off")
    write_reference(settings, read_seed().data, tuple(catalogue_rows()))
    snapshot = load_snapshot(settings)
    return ShippedWorld(snapshot, InputsEncoder(this_build().build_id, snapshot))


class Orders:
    """Requests as bytes. `plain` ones have no constraints and are planned for a session to come, as the latency
    benchmark's are; the others have whatever a gateway may send."""

    def __init__(self, snapshot: Snapshot, effective_time: str, seed: int = SEED) -> None:
        self._views = snapshot.views
        self._names = sorted(snapshot.views)
        self._effective_time = effective_time
        self._random = np.random.default_rng(seed)
        self._count = 0

    def plain(self) -> bytes:
        """Any instrument, objective and urgency, 0.05 % to 10 % of daily volume."""
        return _bytes_of(self._base(5e-4, 0.1))

    def any(self) -> bytes:
        """Constraints, contexts and bars too; some cannot be decided."""
        random, fields = self._random, self._base(1e-4, 0.4)
        view = self._views[fields["instrument_id"]]
        context: dict[str, Any] = fields["market_context"]
        context["time_of_day"] = str(random.choice(TIMES))
        if random.random() < 0.4:
            context["current_conditions"] = str(random.choice(CONDITIONS))
        for name, chance, low, high in (
            ("spread_bps", 0.3, 0.5, 60.0), ("daily_volatility", 0.3, 3e-3, 0.1), ("liquidity_score", 0.2, 0.05, 1.0),
            ("news_impact_score", 0.2, 0.05, 1.0),
        ):  # fmt: skip
            if random.random() < chance:
                context[name] = float(np.exp(random.uniform(np.log(low), np.log(high))))
        if random.random() < 0.3:
            context["short_term_alpha_bps_per_day"] = float(random.normal(0.0, 60.0))
        fields["constraints"] = self._constraints(view, fields["side"])
        if random.random() < 0.1:
            fields["tags"] = {"desk": "nine", "book": str(self._count)}
        return _bytes_of(fields)

    def _base(self, least: float, most: float) -> dict[str, Any]:
        random = self._random
        name = self._names[int(random.integers(len(self._names)))]
        view = self._views[name]
        volume, lot = view.market.average_daily_volume_shares or 0.0, view.instrument.lot_size_shares
        size = float(np.exp(random.uniform(np.log(least), np.log(most))))
        self._count += 1
        return {
            "order_id": f"stage-{self._count:07d}", "instrument_id": name, "side": SIDES[self._count % 2],
            "quantity": max(1, int(size * volume / lot)) * lot, "objective": OBJECTIVES[self._count % 5],
            "urgency": URGENCIES[self._count % 4], "market_context": {"time_of_day": "MORNING"},
            "effective_time": self._effective_time,
        }  # fmt: skip

    def _constraints(self, view: Any, side: str) -> dict[str, Any]:
        random = self._random
        found: dict[str, Any] = {}
        if random.random() < 0.3:
            found["max_participation_rate"] = float(np.exp(random.uniform(np.log(0.01), np.log(0.6))))
        if random.random() < 0.25:
            found["time_limit_minutes"] = int(random.integers(1, 420))
        if random.random() < 0.2:
            room_bps = float(random.uniform(-40.0, 500.0)) * (1.0 if side == "BUY" else -1.0)
            found["price_limit"] = (view.market.mid_price or 1.0) * (1.0 + room_bps / 1e4)
        if random.random() < 0.2:
            found["venue_restrictions"] = [v.mic for v in view.instrument.venues if random.random() < 0.25]
        if random.random() < 0.1:
            found["dark_pool_preference"] = True
        if random.random() < 0.2:
            found["min_completion_probability"] = float(random.uniform(0.2, 1.0))
        return found


def _bytes_of(fields: dict[str, Any]) -> bytes:
    message = RECOMMEND.request()
    faults = from_object(fields, message)
    if faults:
        raise ValueError(faults)
    return bytes(message.SerializeToString())
