"""Where an order goes: sums, restrictions, and the edges of every list."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine.catalogue import ALGORITHM_NAMES, CatalogueChoice
from engine.decide import decide
from engine.decision import Decision, Refusal, RefusalKind, SlicePhase
from engine.values import Venue, VenueKind
from engine.venues import PARTS, beyond_of, facts_of, fees_bps, fill_tails, lit_shares, rounded, tails_of
from engine.venues import allocate as allocate_facts
from engine.venues import dark_shares as dark_shares_of
from tests.helpers import world
from tests.helpers.decision_checks import assert_sound


def lit(mic: str, share: float, taker: float = 0.1, maker: float = 0.1) -> Venue:
    return Venue(mic, mic, VenueKind.LIT, share, taker, maker)


def dark(mic: str, share: float, sizes: tuple[float, ...] = (), chances: tuple[float, ...] = ()) -> Venue:
    return Venue(mic, mic, VenueKind.DARK, share, 0.05, 0.05, sizes, chances)


def allocate(lit: tuple[Venue, ...], dark: tuple[Venue, ...], quantity_shares: float, dark_ratio: float, passive: bool,
             auction_ratio: float, primary_mic: str) -> dict[str, float]:
    return allocate_facts(facts_of(lit, dark), quantity_shares, dark_ratio, passive, auction_ratio, primary_mic)


def dark_shares(dark: tuple[Venue, ...], quantity_shares: float) -> dict[str, float]:
    return dark_shares_of(facts_of((), dark), quantity_shares)


A, B = lit("AAAA", 0.6), lit("BBBB", 0.3)
D, E = dark("DDDD", 0.1, (100.0, 1000.0), (0.5, 0.1)), dark("EEEE", 0.05, (100.0, 1000.0), (0.4, 0.3))


def test_one_venue_gets_all() -> None:
    assert allocate((A,), (), 1e4, 0.5, False, 0.0, "AAAA") == {"AAAA": 1.0}


def test_dark_part_is_the_ratio_and_shares_sum_to_one() -> None:
    found = allocate((A, B), (D, E), 1e4, 0.3, False, 0.0, "AAAA")
    assert math.fsum(found.values()) == pytest.approx(1.0, abs=1e-12)
    assert found["DDDD"] + found["EEEE"] == pytest.approx(0.3, abs=2.0 / PARTS)
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_all_dark_venues_restricted_leaves_everything_lit() -> None:
    assert set(allocate((A, B), (), 1e4, 0.5, False, 0.0, "AAAA")) == {"AAAA", "BBBB"}


def test_dark_units_go_to_the_likelier_tail() -> None:
    """Small orders go where something is likeliest, large ones where more is hidden."""
    assert set(dark_shares((D, E), 100.0)) == {"DDDD"}
    large = dark_shares((D, E), 2_000.0)
    assert large["EEEE"] > large["DDDD"]


def test_without_tails_dark_goes_by_share() -> None:
    assert dark_shares((dark("DDDD", 0.2), dark("EEEE", 0.1)), 500.0) == pytest.approx({"DDDD": 2 / 3, "EEEE": 1 / 3})


def test_tails_fall_beyond_what_is_known() -> None:
    sizes = np.array([1.0, 100.0, 316.2277660168379, 1000.0, 4000.0, 1e12])
    tails, table = tails_of((D,)), np.zeros((1, len(sizes)))
    known = (tails.log_sizes, tails.chances, tails.counts, tails.last_sizes)
    fill_tails(*known, sizes, np.log(sizes), beyond_of(tails, sizes), table)
    found = table[0]
    assert found[:2].tolist() == [0.5, 0.5]
    assert found[2] == pytest.approx(0.3)
    assert found[3] == pytest.approx(0.1)
    assert found[4] == pytest.approx(0.1 / 8.0)
    assert np.all(np.diff(found) <= 0.0)
    assert found[5] >= 0.0


def test_auction_goes_to_the_listing() -> None:
    assert allocate((A, B), (), 1e4, 0.0, False, 1.0, "BBBB") == {"BBBB": 1.0}
    half = allocate((A, B), (), 1e4, 0.0, False, 0.5, "BBBB")
    assert half["BBBB"] == pytest.approx(0.5 + 0.5 / 3.0, abs=2.0 / PARTS)
    # A listing that is not allowed cannot be used: the most liquid venue that is.
    assert allocate((A,), (), 1e4, 0.0, False, 0.5, "BBBB") == {"AAAA": 1.0}
    # One that is too small for the day's own trading still holds its auction.
    small = allocate((A, lit("CCCC", 0.001)), (), 1e4, 0.0, False, 0.5, "CCCC")
    assert small == {"AAAA": 0.5, "CCCC": 0.5}


def test_dearer_venues_get_less_and_the_fee_is_that_of_the_style() -> None:
    cheap, dear = lit("AAAA", 0.5, taker=0.0, maker=1.5), lit("BBBB", 0.5, taker=0.75, maker=0.0)
    crossing, resting = lit_shares((cheap, dear), False), lit_shares((cheap, dear), True)
    assert crossing["AAAA"] == pytest.approx(2 / 3)
    assert resting["AAAA"] == pytest.approx(1 / 5)


def test_venues_below_one_per_cent_are_left_out_unless_all_are() -> None:
    assert set(lit_shares((A, lit("CCCC", 0.001)), False)) == {"AAAA"}
    many = tuple(lit(f"V{n:03d}", 1.0) for n in range(200))
    found = allocate(many, (), 1e4, 0.0, False, 0.0, "V000")
    assert len(found) == 200
    assert math.fsum(found.values()) == pytest.approx(1.0, abs=1e-9)


def test_venues_without_a_known_share() -> None:
    found = allocate((lit("AAAA", 0.0), lit("BBBB", 0.0)), (dark("DDDD", 0.0),), 1e4, 0.4, True, 0.0, "AAAA")
    assert math.fsum(found.values()) == pytest.approx(1.0, abs=1e-9)
    assert found == {"DDDD": 0.4, "AAAA": 0.3, "BBBB": 0.3}
    assert fees_bps((), ()) == (0.0, 0.0, 0.0)


def test_rounding_is_exact_in_parts_and_in_order() -> None:
    found = rounded({"C": 1.0, "B": 1.0, "A": 1.0})
    assert sum(round(share * PARTS) for share in found.values()) == PARTS
    assert list(found) == ["A", "B", "C"]
    assert "Z" not in rounded({"A": 1.0, "Z": 1e-12})


@pytest.mark.parametrize("mic", ["XNAS", "BATS"])
def test_one_venue_only(mic: str) -> None:
    answer = decide(world.order(world.US, allowed_venues=frozenset({mic})), world.usual())
    assert isinstance(answer, Decision)
    assert answer.venue_allocation == {mic: 1.0}
    assert answer.chosen.parameters["dark_pool_ratio"] == 0.0


LIT = tuple(venue for venue in world.views()[world.US].instrument.venues if venue.kind is VenueKind.LIT)


@pytest.mark.parametrize("own", [None, 0.1])
@pytest.mark.parametrize("mics", [("BATS",), ("EDGX", "XBOS"), ("XNAS", "ARCX")])
def test_what_can_be_traded_is_bounded_by_the_venues_left(mics: tuple[str, ...], own: float | None) -> None:
    """The limit is a part of their volume, whether they are the ones allowed or what others leave. Impact stays that
    of the whole market, so its volume does too."""
    part = sum(v.volume_share_fraction for v in LIT if v.mic in mics) / sum(v.volume_share_fraction for v in LIT)
    others = frozenset(v.mic for v in LIT if v.mic not in mics)
    lists: tuple[dict[str, Any], ...] = ({"allowed_venues": frozenset(mics)}, {"excluded_venues": others})
    for named in lists:
        order = world.order(share=0.001, max_participation_rate=own, **named)
        answer, usual = decide(order, world.usual()), decide(world.order(share=0.001), world.usual())
        assert isinstance(answer, Decision)
        assert isinstance(usual, Decision)
        assert_sound(answer, order, world.usual())
        limit = part * (own or 0.3)
        assert answer.inputs.max_participation_rate == pytest.approx(limit)
        assert answer.risk_controls.max_participation_rate == pytest.approx(limit)
        assert float(answer.chosen.parameters["participation_rate"]) <= limit * (1.0 + 1e-9)
        assert answer.inputs.average_daily_volume_shares == usual.inputs.average_daily_volume_shares
        assert any(f"{part:.1%} of the volume on lit ones" in text for text in answer.warnings)


def test_venues_that_take_no_lit_volume_away_change_no_limit() -> None:
    """Dark venues are bounded by their own share; a list that names every lit venue leaves them all."""
    lists: tuple[dict[str, Any], ...] = (
        {"excluded_venues": frozenset({"UBSA", "BIDS"})}, {"allowed_venues": frozenset(v.mic for v in LIT)},
        {"excluded_venues": frozenset({"XBSP"})},
    )
    for named in lists:
        answer = decide(world.order(**named), world.usual())
        assert isinstance(answer, Decision)
        assert answer.inputs.max_participation_rate == 0.3
        assert not any("lit venues left" in text for text in answer.warnings)


def test_a_small_venue_alone_does_not_take_what_the_market_would() -> None:
    """Three per cent of the day's volume is little for the market and more than Boston may take: what fits is planned,
    as of any order that is too large; with a limit of its own, or where hardly anything fits, the list is named."""
    boston: dict[str, Any] = {"share": 0.03, "allowed_venues": frozenset({"XBOS"})}
    in_part = decide(world.order(**boston), world.usual())
    refused = decide(world.order(**boston, max_participation_rate=0.25), world.usual())
    assert isinstance(in_part, Decision)
    assert_sound(in_part, world.order(**boston), world.usual())
    assert in_part.schedule.slices[-1].phase is SlicePhase.CARRY_OVER
    assert isinstance(refused, Refusal)
    assert [fault.field for fault in refused.faults] == [
        "constraints.max_participation_rate", "constraints.allowed_venues"
    ]
    assert "4.9% of the volume on lit ones" in refused.faults[1].description
    others = frozenset(venue.mic for venue in LIT if venue.mic != "XPSX")
    tiny = decide(world.order(share=0.03, excluded_venues=others), world.usual())
    assert isinstance(tiny, Refusal)
    assert [fault.field for fault in tiny.faults] == ["constraints.venue_restrictions"]


def test_a_venue_where_nothing_trades_is_refused() -> None:
    view = world.views()[world.US]
    venues = tuple(replace(v, volume_share_fraction=0.0 if v.mic == "XPSX" else v.volume_share_fraction)
                   for v in view.instrument.venues)
    changed = replace(view, instrument=replace(view.instrument, venues=venues))
    answer = decide(world.order(allowed_venues=frozenset({"XPSX"})), world.snapshot(changed={world.US: changed}))
    assert isinstance(answer, Refusal)
    assert [fault.field for fault in answer.faults] == ["constraints.venue_restrictions"]
    assert "nothing trades" in answer.faults[0].description


@pytest.mark.parametrize("named", [{"excluded_venues": frozenset({"XNAS"})}, {"allowed_venues": frozenset({"ARCX"})}])
def test_without_the_primary_venue_there_is_no_closing_auction(named: dict[str, Any]) -> None:
    names = tuple(CatalogueChoice(name, enabled=False) for name in ALGORITHM_NAMES if name != "TARGET_CLOSE")
    only_close = world.snapshot(names)
    order = world.order(share=1e-4, minutes=300.0)
    assert isinstance(decide(order, only_close), Decision)
    without = decide(world.order(share=1e-4, minutes=300.0, **named), only_close)
    assert isinstance(without, Refusal)
    assert [fault.field for fault in without.faults] == [
        f"constraints.{'venue_restrictions' if 'excluded_venues' in named else 'allowed_venues'}"
    ]
    assert "no closing auction" in without.faults[0].description
    answer = decide(world.order(share=1e-4, minutes=300.0, **named), world.usual())
    assert isinstance(answer, Decision)
    assert any("closing auction is out of reach: XNAS" in text for text in answer.warnings)


def test_no_lit_venue_is_a_refusal_naming_the_restrictions() -> None:
    answer = decide(world.order(world.US, allowed_venues=frozenset({"UBSA"})), world.usual())
    assert isinstance(answer, Refusal)
    assert answer.kind is RefusalKind.PRECONDITION
    assert [fault.field for fault in answer.faults] == ["constraints.venue_restrictions"]


def test_dark_preference_where_there_is_no_dark_venue_has_no_effect() -> None:
    answer = decide(world.order(world.NO_DARK, dark_pool_preference=True), world.usual())
    assert isinstance(answer, Decision)
    assert any("dark_pool_preference has no effect" in warning for warning in answer.warnings)
    assert answer.chosen == decide(world.order(world.NO_DARK), world.usual()).chosen  # type: ignore[union-attr]


def test_dark_preference_with_every_dark_venue_restricted() -> None:
    excluded = frozenset({"UBSA", "LEVL", "BIDS"})
    answer = decide(world.order(world.US, dark_pool_preference=True, excluded_venues=excluded), world.usual())
    assert isinstance(answer, Refusal)
    assert [fault.field for fault in answer.faults] == ["constraints.dark_pool_preference"]
