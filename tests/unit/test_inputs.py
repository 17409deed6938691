"""What is recorded of a decision's inputs: whole, the same from any path, read back, and refused where damaged."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from engine.catalogue import CatalogueChoice
from engine.snapshot import Limits, Snapshot, prepare_view
from engine.values import MarketState
from service.mapping.inputs import InputsEncoder, InputsUnreadable, decode_inputs, encode_inputs
from service.reference import instrument_bytes, sessions_bytes, sha256_of, shared_bytes
from tests.helpers import world
from tests.helpers.replay_world import with_bars

BUILD = "ab" * 32
NOW_NS = world.at(world.US, 60.0)


def snapshot() -> Snapshot:
    return replace(world.usual(), surfaces_sha256="cd" * 32)


def barred(count: int = 60, until_ns: int = NOW_NS) -> Snapshot:
    return with_bars(snapshot(), world.US, np.random.default_rng(3), until_ns, count)


def encoded(given: Snapshot, own_bars: bool = False, now_ns: int = NOW_NS) -> bytes:
    return InputsEncoder(BUILD, given).encode(given, world.US, now_ns, 2, own_bars)


def test_everything_comes_back() -> None:
    given = barred()
    view = given.views[world.US]
    found = decode_inputs(encoded(given))
    assert (found.now_ns, found.acknowledgement, found.build_id) == (NOW_NS, 2, BUILD)
    assert found.market == view.market
    assert (found.limits, found.venue_names) == (given.limits, False)
    assert (found.surfaces_sha256, found.models_sha256) == ("cd" * 32, "")
    assert found.utility_sha256 == given.utility_sha256
    assert found.reference_sha256 == sha256_of(shared_bytes(given))
    assert found.instrument_sha256 == sha256_of(instrument_bytes(view))
    assert found.sessions_sha256 == sha256_of(sessions_bytes(view.sessions))


def test_there_is_one_form_only() -> None:
    for data in (encoded(snapshot()), encoded(barred()), encoded(barred(1))):
        assert encode_inputs(decode_inputs(data)) == data


def test_a_limit_or_a_fact_of_the_market_that_is_added_must_be_recorded_too() -> None:
    limits = Limits(0.125, 77.0, 3.5)
    assert [each.name for each in dataclasses.fields(Limits)] == [
        "max_participation_rate", "price_collar_bps", "stale_market_data_minutes",
    ]
    assert decode_inputs(encoded(replace(snapshot(), limits=limits))).limits == limits
    names = [each.name for each in dataclasses.fields(MarketState)]
    assert names == [
        "as_of_ns", "mid_price", "spread_bps", "daily_volatility_fraction", "average_daily_volume_shares",
        "short_term_alpha_bps_per_day", "bars", "figure_times_ns",
    ]
    odd = MarketState(5, None, 0.0, 1e-300, None, -1.5, (), (5, 4, 3, 5, 2))
    view = snapshot().views[world.US]
    changed = prepare_view(view.instrument, odd, view.sessions, view.open_local_minute)
    assert decode_inputs(encoded(replace(snapshot(), views={world.US: changed}))).market == odd


@pytest.mark.parametrize(("age_minutes", "read"), [(0.0, True), (60.0, True), (60.1, False)])
def test_bars_that_a_decision_does_not_read_are_left_out(age_minutes: float, read: bool) -> None:
    given = barred(until_ns=NOW_NS - round(age_minutes * world.MINUTE_NS))
    assert bool(decode_inputs(encoded(given)).market.bars) is read
    assert decode_inputs(encoded(given, own_bars=True)).market.bars == ()


def test_bars_of_yesterday_are_left_out() -> None:
    given = barred(20, until_ns=world.at(world.US, 20.0, day=1))
    view = given.views[world.US]
    yesterday = barred(100, until_ns=world.at(world.US, 380.0)).views[world.US].market.bars
    market = replace(view.market, bars=yesterday + view.market.bars)
    both = prepare_view(view.instrument, market, view.sessions, view.open_local_minute)
    given = replace(given, views={**given.views, world.US: both})
    found = decode_inputs(encoded(given, now_ns=world.at(world.US, 21.0, day=1)))
    assert found.market == view.market
    assert prepare_view(view.instrument, found.market, view.sessions, 570.0).estimate == both.estimate


def test_the_encoder_follows_every_swap() -> None:
    first = snapshot()
    encoder = InputsEncoder(BUILD, first)
    before = decode_inputs(encoder.encode(first, world.US, NOW_NS, 1, False))
    moved = barred()
    assert decode_inputs(encoder.encode(moved, world.US, NOW_NS, 1, False)).market == moved.views[world.US].market
    tighter = replace(moved, limits=Limits(max_participation_rate=0.1))
    assert decode_inputs(encoder.encode(tighter, world.US, NOW_NS, 1, False)).limits.max_participation_rate == 0.1
    named = replace(tighter, venue_names=True)
    assert decode_inputs(encoder.encode(named, world.US, NOW_NS, 1, False)).venue_names
    other = world.snapshot((CatalogueChoice("POV", enabled=False),))
    narrowed = replace(named, catalogue=other.catalogue)
    after = decode_inputs(encoder.encode(narrowed, world.US, NOW_NS, 1, False))
    assert after.reference_sha256 == sha256_of(shared_bytes(narrowed)) != before.reference_sha256
    view = narrowed.views[world.US]
    larger = replace(view.instrument, lot_size_shares=10.0)
    relisted = replace(narrowed, views={**narrowed.views, world.US: replace(view, instrument=larger)})
    last = decode_inputs(encoder.encode(relisted, world.US, NOW_NS, 1, False))
    assert last.instrument_sha256 == sha256_of(instrument_bytes(relisted.views[world.US])) != after.instrument_sha256
    back = decode_inputs(encoder.encode(first, world.US, NOW_NS, 1, False))
    assert back == before


def test_inputs_of_before_figures_had_times_of_their_own_are_read() -> None:
    """Version 2, as records have it: all of a market's figures are of one time."""
    plain = msgspec.msgpack.decode(encoded(barred()))
    before = [2, *plain[1:4], plain[4][:-1]]
    assert decode_inputs(msgspec.msgpack.encode(before)) == decode_inputs(encoded(barred()))


def test_times_of_some_figures_only_are_damage() -> None:
    plain = msgspec.msgpack.decode(encoded(snapshot()))
    plain[4][-1] = [1, 2, 3]
    with pytest.raises(InputsUnreadable, match="3 times of 5 figures"):
        decode_inputs(msgspec.msgpack.encode(plain))


def test_damaged_and_later_inputs_are_refused() -> None:
    data = encoded(barred())
    for cut in range(len(data)):
        with pytest.raises(InputsUnreadable):
            decode_inputs(data[:cut])
    later = msgspec.msgpack.encode([4, *msgspec.msgpack.decode(data)[1:]])
    with pytest.raises(InputsUnreadable, match="version 4; this build knows 3"):
        decode_inputs(later)


def test_a_flipped_bit_is_refused_or_read_as_something_else() -> None:
    data = encoded(barred(5))
    read = decode_inputs(data)
    unseen = 0
    for position in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        try:
            unseen += decode_inputs(bytes(flipped)) == read
        except InputsUnreadable:
            continue
    # What fills up the last byte of the compressed bars means nothing.
    assert unseen <= 7
