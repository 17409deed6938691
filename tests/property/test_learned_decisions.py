"""Decisions with the shipped models: what must hold of them whatever the trees say."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine import kernel as k
from engine.decide import consider, decide
from engine.decision import Decision, Flip, Refusal
from engine.priced import NO_MULTIPLES, context_of, models_for, run_kernel
from engine.request import OrderRequest
from engine.resolve import Resolved, resolve
from engine.snapshot import Snapshot
from engine.surfaces import scaled, surfaces_from_arrays
from engine.utility import weights_of
from engine.values import Objective, Side
from service.bootstrap import SHIPPED_MODELS, SHIPPED_SURFACES
from service.models import load_models
from store.artifacts import bytes_to_arrays, load_artifact
from tests.helpers import world
from training.contexts import Case, Purpose, base_snapshot, draw_case

CASES = range(50_000, 50_150)


@cache
def learned() -> Snapshot:
    artifact = load_artifact(SHIPPED_SURFACES)
    surfaces = surfaces_from_arrays(bytes_to_arrays(artifact.files["surfaces.npz"]))
    models = load_models(SHIPPED_MODELS, artifact.sha256).models
    return replace(base_snapshot(scaled(surfaces, models.factors)), models=models)


@cache
def cases() -> tuple[Case, ...]:
    return tuple(draw_case(Purpose.PARITY, index) for index in CASES)


def decided(case: Case) -> Decision | Refusal:
    return decide(case.request, case.snapshot(learned()))


def kernel_of(case: Case, **changes: float) -> NDArray[np.float64] | None:
    """Metrics of one kernel call with some of the context's figures multiplied; None where nothing is allowed."""
    snapshot = case.snapshot(learned())
    resolved = resolve(case.request, snapshot)
    if not isinstance(resolved, Resolved):
        return None
    context = context_of(resolved, snapshot, weights_of(case.request.objective, case.request.urgency))
    models, _ = models_for(snapshot, context)
    for name, factor in changes.items():
        context[getattr(k, name)] *= factor
    priced = run_kernel(snapshot, resolved, context, NO_MULTIPLES, models)
    if priced.best < 0:
        return None
    scored: NDArray[np.float64] = np.where((priced.mask == 0)[:, None], priced.metrics, np.nan)
    return scored


def test_nearly_all_orders_are_decided_by_the_models() -> None:
    found = [decided(case) for case in cases()]
    decisions = [one for one in found if isinstance(one, Decision)]
    assert len(decisions) > 0.9 * len(found)
    assert np.mean([not one.structural_only for one in decisions]) > 0.95
    for one in decisions:
        assert one.versions.models_sha256 == load_artifact(SHIPPED_MODELS).sha256
        parts = one.breakdown
        told = parts.spread_bps + parts.impact_bps + parts.fees_bps + parts.dark_saving_bps
        assert told + parts.learned_correction_bps == pytest.approx(parts.expected_cost_bps, abs=1e-6)
        outcomes = one.chosen.outcomes
        assert outcomes.quantile_10_fraction <= outcomes.quantile_90_fraction
        assert 0.0 <= one.confidence <= 1.0


def test_the_same_order_gives_the_same_decision() -> None:
    for case in cases()[:40]:
        assert decided(case) == decided(case)


def test_buy_and_sell_mirror_each_other() -> None:
    for case in cases()[:60]:
        request = case.request
        alpha = request.context.short_term_alpha_bps_per_day
        other = Side.SELL if request.side is Side.BUY else Side.BUY
        context = replace(request.context, short_term_alpha_bps_per_day=-alpha if alpha else alpha)
        mirrored = replace(request, side=other, context=context)
        first, second = decided(case), decide(mirrored, case.snapshot(learned()))
        if isinstance(first, Decision):
            assert isinstance(second, Decision)
            assert second.chosen.outcomes == first.chosen.outcomes


@pytest.mark.parametrize("figure", ["SPREAD_BPS", "SIGMA_BPS"])
def test_no_scored_candidate_gets_cheaper_with_spread_or_volatility(figure: str) -> None:
    """Cost and utility are straight lines in both, whatever the trees say: they cannot fall in spread, and in
    volatility only where trading against a reverting mid gains."""
    for case in cases()[:60]:
        low, high = kernel_of(case), kernel_of(case, **{figure: 1.3})
        if low is None or high is None:
            continue
        both = np.isfinite(low[:, k.UTILITY]) & np.isfinite(high[:, k.UTILITY])
        assert both.any()
        slope = high[both, k.COST] - low[both, k.COST]
        gains = low[both, k.UTILITY_PER_SIGMA] < 0.0 if figure == "SIGMA_BPS" else np.zeros(both.sum(), dtype=bool)
        reverting = case.weights[4] > 0.0
        assert np.all((slope >= -1e-9) | gains | reverting)


def test_a_least_completion_is_kept() -> None:
    kept = 0
    for case in cases():
        constraints = replace(case.request.constraints, min_completion_probability=0.9)
        found = decide(replace(case.request, constraints=constraints), case.snapshot(learned()))
        if isinstance(found, Decision):
            kept += 1
            assert found.chosen.outcomes.completion_probability >= 0.9
    assert kept > 30


def limited(case: Case, room_bps: float) -> OrderRequest:
    """The order with a price limit so far from the mid."""
    request = case.request
    market = case.snapshot(learned()).views[request.instrument_id].market
    mid = request.context.mid_price or market.mid_price or 0.0
    limit = mid * (1.0 + request.side.sign * room_bps / 1e4)
    return replace(request, constraints=replace(request.constraints, price_limit=limit))


def test_a_least_completion_is_held_against_what_is_told_under_a_price_limit() -> None:
    """What a strategy is told to complete may be asked for: it is chosen as before, and refused only for more."""
    kept = refused = 0
    for case, room_bps in product(cases()[::2], (-5.0, 10.0, 40.0)):
        request = limited(case, room_bps)
        own = decide(request, case.snapshot(learned()))
        if not isinstance(own, Decision) or own.structural_only:
            continue
        told = own.chosen.outcomes.completion_probability
        for least in (told, 0.5 * (1.0 + told)):
            constraints = replace(request.constraints, min_completion_probability=least)
            found = decide(replace(request, constraints=constraints), case.snapshot(learned()))
            if isinstance(found, Refusal):
                assert least > told
                assert "decision" not in {fault.field for fault in found.faults}, found
                refused += 1
                continue
            kept += 1
            choices = (found.chosen, *(alternative.choice for alternative in found.alternatives))
            assert all(choice.outcomes.completion_probability >= least for choice in choices)
            if least == told:
                assert found.chosen == own.chosen
    assert kept > 100
    assert refused > 20


def test_what_alone_is_in_the_way_is_named_as_the_models_see_it() -> None:
    """Of a price limit and a least completion that clash."""
    seen: Counter[frozenset[str]] = Counter()
    for case, room_bps in product(cases()[::2], (-5.0, 10.0, 40.0)):
        request = limited(case, room_bps)
        constraints = replace(request.constraints, min_completion_probability=0.95)
        snapshot = case.snapshot(learned())
        found = decide(replace(request, constraints=constraints), snapshot)
        if not isinstance(found, Refusal):
            continue
        without = {
            "constraints.price_limit": replace(constraints, price_limit=None),
            "constraints.min_completion_probability": replace(constraints, min_completion_probability=None),
        }
        freed = {
            name
            for name, left in without.items()
            if isinstance(decide(replace(request, constraints=left), snapshot), Decision)
        }
        if freed:
            assert freed <= {fault.field for fault in found.faults}, found
            seen[frozenset(freed)] += 1
    assert sum(seen.values()) > 30, seen
    assert len(seen) > 1, seen


def test_a_foreign_order_is_left_to_the_surfaces_and_says_so() -> None:
    case = next(case for case in cases() if isinstance(decided(case), Decision))
    wild = replace(case.request.context, daily_volatility_fraction=3.0)
    found = decide(replace(case.request, context=wild), case.snapshot(learned()))
    assert isinstance(found, Decision)
    assert found.structural_only
    assert any("never saw an order like this" in text for text in found.warnings)
    assert "volatility of 3" in found.rationale


def test_only_what_was_scored_can_be_chosen() -> None:
    for case in cases()[:40]:
        snapshot = case.snapshot(learned())
        resolved = resolve(case.request, snapshot)
        assert isinstance(resolved, Resolved)
        context = context_of(resolved, snapshot, weights_of(case.request.objective, case.request.urgency))
        models, _ = models_for(snapshot, context)
        if models is None:
            continue
        priced = run_kernel(snapshot, resolved, context, NO_MULTIPLES, models)
        if priced.best < 0:
            continue
        left = np.flatnonzero(priced.mask == 0)
        assert len(left) <= max(int(models.keep[0]), 12)
        assert priced.best in left
        best = np.flatnonzero(priced.mask == 0)[np.argmin(priced.metrics[left, k.UTILITY])]
        assert priced.metrics[best, k.UTILITY] >= priced.metrics[priced.best, k.UTILITY] - k.TIE_BPS


def test_no_order_is_told_to_be_done_before_its_first_minute() -> None:
    """Small orders that rest fill at once by the models' word, where it even falls below nothing."""
    models = learned()
    snapshot = replace(world.usual(), surfaces=models.surfaces, models=models.models)
    clipped = 0
    for instrument_id in sorted(world.views()):
        request = world.order(instrument_id, share=0.001, minutes=5.0, objective=Objective.MINIMIZE_COST)
        found = decide(request, snapshot)
        assert isinstance(found, Decision)
        choices = (found.chosen, *(alternative.choice for alternative in found.alternatives))
        told = [choice.outcomes.mean_execution_minutes for choice in choices]
        assert min(told) >= 0.5
        clipped += told.count(0.5)
    assert clipped > 5


ALPHA = "short_term_alpha_bps_per_day"
FIELDS = {
    "spread_bps": "spread_bps", "daily_volatility": "daily_volatility_fraction",
    "short_term_alpha_bps_per_day": "short_term_alpha_bps_per_day",
}


def decided_beyond(case: Case, flip: Flip) -> Decision | Refusal:
    """The order at what a flip names, a little farther away from what it was."""
    if flip.input_name == "quantity":
        return decide(replace(case.request, quantity_shares=flip.flip_value), case.snapshot(learned()))
    value = flip.flip_value + 1e-4 * (flip.flip_value - flip.current_value)
    said: dict[str, Any] = {FIELDS[flip.input_name]: value}
    context = replace(case.request.context, **said)
    return decide(replace(case.request, context=context), case.snapshot(learned()))


def decided_before(case: Case, flip: Flip) -> Decision | Refusal:
    """The order a little this side of what a flip of the market names."""
    value = flip.flip_value - 1e-3 * (flip.flip_value - flip.current_value)
    said: dict[str, Any] = {FIELDS[flip.input_name]: value}
    context = replace(case.request.context, **said)
    return decide(replace(case.request, context=context), case.snapshot(learned()))


def test_what_would_change_the_choice_mostly_does() -> None:
    """Candidates that were pruned are not followed to another point, so that a few of the words are wrong. But none
    speaks of where the models would not decide."""
    told: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for case in cases():
        own = decided(case)
        if not isinstance(own, Decision) or own.structural_only:
            continue
        for flip in own.flips:
            there = decided_beyond(case, flip)
            told[flip.input_name] += 1
            if isinstance(there, Decision):
                assert not there.structural_only, flip
                right[flip.input_name] += there.chosen.algorithm == flip.algorithm
    for name, least in (("quantity", 0.75), ("daily_volatility", 0.85), ("spread_bps", 0.8), (ALPHA, 0.8)):
        assert told[name] > 20, told
        assert right[name] >= least * told[name], (name, told, right)


def test_no_other_algorithm_comes_before_what_alpha_would_choose() -> None:
    """What another alpha ranks among the best is scored for that (kernel_learned._score_rivals): without it an
    algorithm that nobody named comes first in a third."""
    told = alike = 0
    for case in cases():
        own = decided(case)
        if not isinstance(own, Decision) or own.structural_only:
            continue
        for flip in own.flips:
            if flip.input_name == ALPHA:
                before = decided_before(case, flip)
                told += 1
                alike += isinstance(before, Decision) and before.chosen.algorithm == own.chosen.algorithm
    assert told > 100
    assert alike >= 0.71 * told, (alike, told)


def test_what_is_scored_for_another_alpha_is_not_chosen_from() -> None:
    found = 0
    for case in cases():
        considered = consider(case.request, case.snapshot(learned()))
        if considered.priced is None or considered.priced.models is None:
            continue
        rivals = considered.priced.mask == k.MASK_LEFT_OUT
        found += int(np.sum(rivals))
        assert not rivals[considered.priced.best]
        bests = considered.priced.best_of_algorithm
        assert not np.any(rivals[bests[bests >= 0]])
        assert not np.any(rivals[considered.priced.hull])
        # Scored, so that its row is the models' own.
        assert np.all(np.isfinite(considered.priced.metrics[rivals, k.UTILITY]))
    assert found > 50


def leave_behind(value: float) -> None:
    """Frees arrays full of it, as large as those that a decision makes: it finds them where it makes its own."""
    kept = [np.full(length, value) for length in (*range(100, 3_000, 37), *[288 * n for n in (1, 2, 3)])]
    del kept


def test_what_lies_in_memory_before_a_decision_changes_nothing() -> None:
    for case in cases():
        own = decided(case)
        leave_behind(math.nan)
        again = decided(case)
        if isinstance(own, Decision):
            assert isinstance(again, Decision)
            assert (again.flips, again.told, again.confidence) == (own.flips, own.told, own.confidence)
