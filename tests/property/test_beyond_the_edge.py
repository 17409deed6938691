"""Orders and instruments beyond any that the models learned from, as far as such were judged (docs/adr/0051)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks.judge.service import decided, load_service
from engine import kernel as k
from engine.assemble import RIGHT_BEYOND, RIGHT_OF_STRUCTURAL
from engine.confidence import domain_figures
from engine.decide import decide
from engine.decision import Decision
from engine.request import Constraints
from engine.scoring.models import Models
from engine.simulator.world import DEFAULT_WORLD
from engine.values import Instrument, VenueKind
from training.contexts import Case, Purpose, draw_case, scene_of
from training.grid_runs import influences_bps, run_pairs, same_here

FIRST, ORDERS, PAIRS = 710_000, 60, 128


def with_size(case: Case, share: float) -> Case:
    """The case with another part of a day's volume, in whole lots."""
    lot = case.view.instrument.lot_size_shares
    volume = case.request.context.average_daily_volume_shares
    assert volume is not None
    lots = max(1, math.floor(share * volume / lot))
    return replace(case, request=replace(case.request, quantity_shares=lots * lot))


def with_limits(case: Case, **limits: Any) -> Case:
    constraints = replace(case.request.constraints, **limits)
    return replace(case, request=replace(case.request, constraints=constraints))


def with_market(case: Case, **figures: Any) -> Case:
    return replace(case, request=replace(case.request, context=replace(case.request.context, **figures)))


def with_instrument(case: Case, instrument: Instrument) -> Case:
    return replace(case, view=replace(case.view, instrument=instrument))


def tiny(case: Case) -> Case:
    return with_size(case, 1e-6 * 20.0 ** (case.index % 7 / 6.0))


def brief(case: Case) -> Case:
    return with_limits(with_size(case, 3e-4), time_limit_minutes=1 + case.index % 6)


def capped(case: Case) -> Case:
    return with_limits(with_size(case, 1e-3), max_participation_rate=0.025 + 0.015 * (case.index % 7 / 6.0))


def of_many_ticks(case: Case) -> Case:
    """A usual spread of 100 to 400 ticks: those of an expensive or a thin stock."""
    mid = case.request.context.mid_price
    assert mid is not None
    instrument = case.view.instrument
    ticks = 100.0 * 4.0 ** (case.index % 7 / 6.0)
    return with_instrument(case, replace(instrument, tick_size=instrument.typical_spread_bps * mid / 1e4 / ticks))


def of_a_large_close(case: Case) -> Case:
    share = 0.2 + 0.15 * (case.index % 7 / 6.0)
    return with_instrument(case, replace(case.view.instrument, close_auction_fraction=share))


def traded_in_the_dark(case: Case) -> Case:
    """What is left of a case whose instrument has no dark venue: tiny, so that it lies beyond the edge as well."""
    venues = case.view.instrument.venues
    dark = sum(venue.kind is VenueKind.DARK for venue in venues)
    if dark == 0:
        return tiny(case)
    share = (0.16 + 0.19 * (case.index % 7 / 6.0)) / dark
    changed = [replace(v, volume_share_fraction=share) if v.kind is VenueKind.DARK else v for v in venues]
    return with_instrument(case, replace(case.view.instrument, venues=tuple(changed)))


def wild(case: Case) -> Case:
    return with_market(case, daily_volatility_fraction=0.35 * 2.8 ** (case.index % 7 / 6.0))


def locked(case: Case) -> Case:
    return with_market(case, spread_bps=0.0)


EDGES = (
    (tiny, 0.4), (brief, 0.4), (capped, 0.8), (of_many_ticks, 1.5), (of_a_large_close, 1.5), (traded_in_the_dark, 0.4),
    (wild, 20.0), (locked, 1.0),
)


def shipped() -> Models:
    models = load_service().served.models
    assert models is not None
    return models


@pytest.mark.parametrize(("change", "least_saved_bps"), EDGES, ids=[change.__name__ for change, _ in EDGES])
def test_the_models_decide_there_and_better_than_the_surfaces(change: Callable[[Case], Case],
                                                              least_saved_bps: float) -> None:
    """Utility of both choices on the same simulated paths, orders that nothing else looks at."""
    service, models = load_service(), shipped()
    saved, beyond = [], 0
    for index in range(FIRST, FIRST + ORDERS):
        case = change(draw_case(Purpose.JUDGE, index))
        found, scene = decided(case, service), scene_of(case, service.served)
        if found is None or scene is None:
            continue
        assert found.by_models
        assert not found.decision.structural_only
        assert not [text for text in found.decision.warnings if "never saw" in text]
        if models.beyond(domain_figures(scene.context)):  # a lot may be more than what is tiny elsewhere
            assert found.decision.confidence <= RIGHT_BEYOND
            beyond += 1
        both = same_here(np.array([found.chosen, found.structural]), found.resolved.inputs.available_minutes)
        if both[0] == both[1]:
            saved.append(0.0)
            continue
        utilities = influences_bps(scene, run_pairs(scene, DEFAULT_WORLD, both, case.seed(9), PAIRS)).mean(axis=1)
        saved.append(float(utilities[1] - utilities[0]))
    assert len(saved) >= 50
    assert beyond >= 45
    assert float(np.mean(saved)) > least_saved_bps


def test_inside_the_edge_confidence_is_as_calibrated() -> None:
    service, models = load_service(), shipped()
    scene = scene_of(draw_case(Purpose.JUDGE, FIRST), service.served)
    assert scene is not None

    def at(size: float = 3.1e-5, minutes: float = 7.0, limit: float = 0.042, sigma_bps: float = 200.0) -> Any:
        context = scene.context.copy()
        context[k.QUANTITY] = size * context[k.DAILY_VOLUME]
        context[k.AVAILABLE_MINUTES], context[k.MAX_PARTICIPATION], context[k.SIGMA_BPS] = minutes, limit, sigma_bps
        return context

    assert not models.beyond(domain_figures(at()))
    for context in (at(size=2.9e-5), at(minutes=6.8), at(limit=0.0415), at(sigma_bps=5.0)):
        assert models.beyond(domain_figures(context))
        assert not models.foreign(domain_figures(context))
    assert models.foreign(domain_figures(at(sigma_bps=30_000.0))) == ("log_sigma_bps",)


def test_a_limit_far_below_is_left_to_the_surfaces_which_are_right_half_the_time() -> None:
    service = load_service()
    seen = 0
    for index in range(FIRST, FIRST + 10):
        case = with_limits(with_size(draw_case(Purpose.JUDGE, index), 1e-5), max_participation_rate=0.02)
        found = decided(case, service)
        if found is not None:
            assert found.decision.structural_only
            assert [text for text in found.decision.warnings if "a participation limit of 0.02" in text]
            assert found.decision.confidence <= RIGHT_OF_STRUCTURAL
            seen += 1
    assert seen > 3


def test_where_one_algorithm_is_left_the_surfaces_are_not_doubted() -> None:
    """An order too large for its session is planned in part, at a rate: their rates were right in 59 of 60."""
    service = load_service()
    seen = 0
    for index in range(FIRST, FIRST + 10):
        case = with_size(draw_case(Purpose.JUDGE, index), 0.9)
        case = replace(case, request=replace(case.request, constraints=Constraints()))
        found = decide(case.request, case.snapshot(service.served))
        if isinstance(found, Decision) and not found.alternatives:
            assert found.structural_only
            assert found.chosen.algorithm == "POV"
            assert found.confidence == pytest.approx(0.6 + 0.4 * found.assessment.probability)
            seen += 1
    assert seen > 3
