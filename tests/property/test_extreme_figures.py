"""Market figures that the rules allow, however mad, end in a decision or a refusal, with models and without."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from engine.decide import decide
from engine.decision import Decision, Refusal
from engine.snapshot import Snapshot, prepare_view
from engine.surfaces import scaled, surfaces_from_arrays
from engine.values import Bar, MarketState
from service.bootstrap import SHIPPED_MODELS, SHIPPED_SURFACES
from service.models import load_models
from store.artifacts import bytes_to_arrays, load_artifact
from tests.helpers import world

EXTREMES: dict[str, tuple[float, ...]] = {
    "mid_price": (5e-324, 1e-300, 1e-9, 0.01, 1e6, 1e12),
    "spread_bps": (0.0, 5e-324, 1e-9, 1.0, 5000.0),
    "daily_volatility_fraction": (5e-324, 1e-300, 1e-9, 0.01, 2.0),
    "average_daily_volume_shares": (5e-324, 1e-300, 1.0, 1e3, 1e6, 1e15),
    "short_term_alpha_bps_per_day": (-1e4, -5e-324, 0.0, 30.0, 1e4),
}
VOLUMES = (0.0, 5e-324, 1e4, 1e15)
ROUNDS = 1_500


@cache
def shipped() -> Snapshot:
    """The world under the surfaces and models that are shipped."""
    artifact = load_artifact(SHIPPED_SURFACES)
    models = load_models(SHIPPED_MODELS, artifact.sha256).models
    surfaces = scaled(surfaces_from_arrays(bytes_to_arrays(artifact.files["surfaces.npz"])), models.factors)
    return replace(world.usual(), surfaces=surfaces, models=models)


def mad_market(pick: random.Random, usual: MarketState, now_ns: int) -> MarketState:
    changed: dict[str, Any] = {
        name: pick.choice(EXTREMES[name]) for name in pick.sample(sorted(EXTREMES), pick.randint(1, 5))
    }
    count = pick.choice((0, 0, 1, 30, 60))
    bars = tuple(
        Bar(
            now_ns - (count - number) * world.MINUTE_NS, pick.choice(EXTREMES["mid_price"]), pick.choice(VOLUMES),
            pick.choice(EXTREMES["spread_bps"]),
        )
        for number in range(count)
    )
    return replace(usual, **changed, bars=bars, as_of_ns=now_ns)


@pytest.mark.parametrize("seed", range(3))
def test_every_order_gets_an_answer(seed: int) -> None:
    pick = random.Random(seed)
    ended: set[type] = set()
    for _ in range(ROUNDS):
        name = pick.choice(("AIG", "AAPL", "PETR4"))
        view = shipped().views[name]
        minutes = pick.choice((1.0, 100.0, 380.0))
        market = mad_market(pick, view.market, world.at(name, minutes))
        changed = prepare_view(view.instrument, market, view.sessions, view.open_local_minute)
        lots = pick.choice((1.0, 40.0, 1e5, 1e9))
        request = replace(world.order(name, minutes=minutes), quantity_shares=lots * view.instrument.lot_size_shares)
        answer = decide(request, replace(shipped(), views={name: changed}))
        ended.add(type(answer))
    assert ended == {Decision, Refusal}
