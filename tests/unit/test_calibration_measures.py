"""The measures on data whose answer is known, and the bounds, tables and pictures that are made of them."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import numpy as np
import pytest

from engine.assumptions import DEFAULT_ASSUMPTIONS, StructuralAssumptions
from engine.simulator.world import DEFAULT_WORLD, WorldParameters
from reports import svg
from training.calibration import (
    compare,
    fills,
    follow,
    resiliency,
    returns,
    spreads,
    stays,
    touch,
    volumes,
)
from training.calibration.clocks import UNITED_STATES
from training.calibration.command import MEASURED
from training.calibration.days import (
    ADD,
    CANCEL,
    EXECUTE,
    MID_OF_QUOTES,
    DepthStream,
    MarketDay,
    OrderFlow,
    QuoteDay,
    TouchDay,
    split_first_minute,
)
from training.calibration.fields import STRUCTURAL_SOURCES, WORLD_SOURCES
from training.calibration.matching import MATCHES, match, simulated_measures
from training.calibration.orders import rebuild
from training.calibration.proposals import Proposal, agrees, world_table
from training.calibration.simulated import (
    Alike,
    impact_curve,
    rest_in_queue,
    simulate_days,
    simulated_fills,
    stationary,
)
from training.calibration.stats import bin_means, figure, mean, ratio, resampled, root_ratio

MINUTES = UNITED_STATES.minutes


def day(seed: int = 1, moves: Any = None, volume: Any = None, date: int = 20160502, symbol: str = "ABC") -> MarketDay:
    rng = np.random.default_rng(seed)
    moves = rng.normal(0.0, 8e-4, MINUTES) if moves is None else moves
    volume = rng.lognormal(9.0, 0.5, MINUTES) if volume is None else volume
    price = 100.0 * np.exp(np.concatenate(([0.0], np.cumsum(moves))))
    return MarketDay(symbol, date, UNITED_STATES, price, volume, np.full(MINUTES, np.nan), MID_OF_QUOTES, "test")


def quotes(bid: Any, ask: Any, step_s: float = 1.0, size: Any = 100.0) -> QuoteDay:
    shape = np.broadcast(bid, ask).shape
    full = [np.broadcast_to(np.asarray(x, dtype=np.float64), shape).copy() for x in (bid, ask, size, size)]
    return QuoteDay("ABC", 20160502, UNITED_STATES, step_s, full[0], full[1], full[2], full[3], "test")


# ---- returns


def test_normal_returns_have_kurtosis_three_and_no_clustering() -> None:
    days = [day(seed) for seed in range(60)]
    curve = mean(np.stack([returns.day_variance_curve(d) for d in days]))
    assert curve == pytest.approx(1.0, abs=0.15)
    rows = [returns.standardised(d, curve) for d in days]
    terms = np.stack([returns.kurtosis_terms(row) for row in rows])
    assert returns.pooled_kurtosis(terms) == pytest.approx(3.0, abs=0.15)
    assert returns.median_kurtosis(terms) == pytest.approx(3.0, abs=0.25)
    assert returns.clustering(np.stack([returns.clustering_terms(row) for row in rows])) == pytest.approx(0.0, abs=0.03)


def test_volatility_that_lasts_is_seen_as_clustering() -> None:
    rows = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        level = np.repeat(rng.choice([0.5, 2.0], MINUTES // 30), 30)
        rows.append(rng.normal(0.0, 1.0, MINUTES) * level)
    found = returns.clustering(np.stack([returns.clustering_terms(row) for row in rows]))
    assert found[0] > 0.25
    assert found[0] > found[2] > abs(found[4])


def test_a_day_whose_tick_hides_its_returns_is_left_out() -> None:
    assert returns.is_fine(day())
    assert not returns.is_fine(day(moves=np.random.default_rng(1).normal(0.0, 5e-5, MINUTES)))
    assert not returns.is_fine(dataclasses.replace(day(), width_minutes=5))
    stuck = np.where(np.arange(MINUTES) % 2, 0.0, 8e-4)
    assert not returns.is_fine(day(moves=stuck))


def test_the_curve_of_variance_is_found() -> None:
    shape = np.linspace(2.0, 0.5, MINUTES)
    days = [day(moves=np.random.default_rng(s).normal(0.0, 8e-4, MINUTES) * np.sqrt(shape)) for s in range(200)]
    found = mean(np.stack([returns.day_variance_curve(d) for d in days]))
    wanted = bin_means(shape, 13) / shape.mean()
    assert found == pytest.approx(wanted, rel=0.1)


# ---- volumes


def test_noise_of_volume_and_its_memory_are_found() -> None:
    days = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        noise = np.zeros(MINUTES)
        for t in range(1, MINUTES):
            noise[t] = 0.8 * noise[t - 1] + 0.6 * rng.standard_normal()
        shape = 1.0 + 2.0 * np.exp(-np.arange(MINUTES) / 30.0)
        days.append(day(volume=np.round(1e5 * shape * np.exp(0.5 * noise))))
    left = volumes.residual_logs(days)
    assert root_ratio(np.array([volumes.square_terms(row) for row in left])) == pytest.approx(0.5, rel=0.06)
    found = volumes.memory(np.stack([volumes.memory_terms(row) for row in left]))
    assert found[0] == pytest.approx(0.8, abs=0.04)
    assert found[1] == pytest.approx(0.8**5, abs=0.06)
    wide = volumes.residual_logs(days, 15)
    assert root_ratio(np.array([volumes.square_terms(row) for row in wide])) < 0.4


def test_day_to_day_noise_is_around_the_symbols_own_level_and_its_own_month() -> None:
    rng = np.random.default_rng(2)
    values = [
        (symbol, 20160500 + d, level * float(np.exp(0.3 * rng.standard_normal())))
        for symbol, level in (("A", 1e3), ("B", 1e7)) for d in range(1, 29)
    ]  # fmt: skip
    assert root_ratio(np.array(volumes.within_symbol_terms(values))) == pytest.approx(0.3, rel=0.2)
    later = [(s, d + 10_000, 50.0 * v) for s, d, v in values]
    assert root_ratio(np.array(volumes.within_symbol_terms(values + later))) == pytest.approx(0.3, rel=0.2)
    assert volumes.within_symbol_terms([("A", 20160501, 1.0), ("A", 20160502, 2.0), ("A", 20160503, 0.0)]) == []


def test_the_opening_auction_is_cut_out_of_the_first_minute() -> None:
    volume = np.array([900.0, 100.0, 120.0, 80.0, 90.0, 110.0, 70.0])
    without, opening = split_first_minute(volume)
    assert (without[0], opening) == (120.0, 780.0)
    assert without[1:].tolist() == volume[1:].tolist()


def test_slopes_on_volatility_are_free_of_its_errors() -> None:
    days = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        log_volatility = np.repeat(0.4 * rng.standard_normal(MINUTES // 15), 15)
        moves = 8e-4 * np.exp(log_volatility) * rng.standard_normal(MINUTES)
        days.append(day(moves=moves, volume=1e4 * np.exp(0.9 * log_volatility + 0.2 * rng.standard_normal(MINUTES))))
    pairs = follow.bar_pairs(days)
    terms = np.array([follow.slope_terms(p, "log_volume") for p in pairs])
    assert float(ratio(terms)) == pytest.approx(0.9, abs=0.08)
    squares = np.array([follow.variance_terms(p) for p in pairs])
    assert float(root_ratio(squares)) == pytest.approx(0.4, abs=0.04)


# ---- quotes and the touch


def test_spread_in_ticks_and_depth() -> None:
    seconds = MINUTES * 60
    ask = np.where(np.arange(seconds) % 4 == 0, 10.03, 10.01)
    found = quotes(np.full(seconds, 10.0), ask, size=200.0)
    shares = spreads.tick_shares(found)
    assert shares[[0, 2]] == pytest.approx([0.75, 0.25])
    assert spreads.depth_share(found, 1e6) == pytest.approx(2e-4)
    assert np.isnan(spreads.depth_share(found, float("nan")))
    assert np.exp(spreads.minute_log_spread(found)) == pytest.approx(1.5)
    crossed = quotes(np.full(seconds, 10.0), np.full(seconds, 9.9))
    assert np.isnan(spreads.median_spread_bps(crossed))


def test_touch_lean_and_what_it_tells() -> None:
    rng = np.random.default_rng(4)
    lean = rng.uniform(-0.8, 0.8, MINUTES)
    both = np.full(MINUTES, 6_000.0)
    own = TouchDay(
        "ABC", 20160502, UNITED_STATES, np.full(MINUTES, 10_000.0), both * (1 - lean) / 2, both * (1 + lean) / 2,
        np.full(MINUTES, 2_500.0), "test",
    )
    half = 0.01
    mid = 100.0 + half * np.concatenate(([0.0], np.cumsum(3.0 * lean)))
    grid = np.repeat(mid[:-1], 60)
    shown = quotes(grid - half, grid + half)
    shown.bid[-1], shown.ask[-1] = mid[-1] - half, mid[-1] + half
    terms = touch.minute_blocks(touch.touch_minutes(own, shown))
    assert float(ratio(np.array([touch.side_share_terms(own)]))) == pytest.approx(0.3)
    assert float(ratio(np.array([touch.off_exchange_terms(own)]))) == pytest.approx(0.25)
    assert touch.lean_sd(terms) == pytest.approx(lean.std(), rel=1e-3)
    assert touch.information(terms) == pytest.approx(3.0 * lean.std(), rel=0.01)
    assert touch.share_log_sd(terms) == pytest.approx(0.0, abs=1e-6)


# ---- passive fills


def flow_of(rows: list[tuple[float, int, int, int, int, int, int, int, int, int]]) -> OrderFlow:
    """Rows: second of the session, kind, order, price, shares, side, bid, ask, shares at the bid, at the ask."""
    columns: list[Any] = [np.array(c) for c in zip(*rows, strict=True)]
    second, kind, order, price, shares, side, bid, ask, at_bid, at_ask = columns
    return OrderFlow(
        "ABC", 20160502, UNITED_STATES, second + 34_200.0, kind.astype(np.int8), order, price, shares,
        side.astype(np.int8), bid, ask, at_bid, at_ask, "test",
    )  # fmt: skip


def waited(rows: list[tuple[float, int, int, int, int, int, int, int, int, int]], side: int = 1,
           pegged: bool = False) -> float:
    """Minutes that an order which joins at second 60 (after the first row) waits; the queue ahead is 100 shares."""
    flow = flow_of([(0.0, ADD, 1, 100, 100, 1, 100, 102, 100, 100), *rows])
    out = fills.join_queue(
        np.array([1.0]), np.array([0]), side, 10.0, pegged, UNITED_STATES.elapsed(flow.time_s / 60.0),
        flow.kind.astype(np.int64), flow.order, flow.price, flow.shares, flow.side.astype(np.int64), flow.bid, flow.ask,
        flow.bid_shares, flow.ask_shares, fills.first_added(flow),
    )  # fmt: skip
    return float(out[0, 0])


def test_a_fill_needs_more_than_what_is_ahead() -> None:
    assert waited([(120.0, EXECUTE, 1, 100, 100, 1, 100, 102, 50, 100)]) == np.inf
    assert waited([(120.0, EXECUTE, 1, 100, 101, 1, 100, 102, 50, 100)]) == pytest.approx(1.0)


def test_cancellations_ahead_help_and_later_ones_do_not() -> None:
    ahead = [(70.0, CANCEL, 1, 100, 100, 1, 100, 102, 300, 100), (180.0, EXECUTE, 9, 100, 1, 1, 100, 102, 299, 100)]
    assert waited(ahead) == pytest.approx(2.0)
    behind = [
        (65.0, ADD, 2, 100, 300, 1, 100, 102, 400, 100), (70.0, CANCEL, 2, 100, 300, 1, 100, 102, 100, 100),
        (180.0, EXECUTE, 1, 100, 1, 1, 100, 102, 99, 100),
    ]  # fmt: skip
    assert waited(behind) == np.inf


def test_what_the_book_shows_bounds_what_is_ahead() -> None:
    rows = [(70.0, ADD, 3, 99, 5, 1, 100, 102, 20, 100), (180.0, EXECUTE, 1, 100, 21, 1, 100, 102, 50, 100)]
    assert waited(rows) == pytest.approx(2.0)


def test_a_trade_through_or_an_opposite_quote_fills() -> None:
    assert waited([(90.0, EXECUTE, 7, 99, 10, 1, 99, 102, 50, 100)]) == pytest.approx(0.5)
    assert waited([(90.0, ADD, 8, 100, 10, -1, 99, 100, 50, 10)]) == pytest.approx(0.5)
    assert waited([(90.0, EXECUTE, 7, 99, 10, -1, 100, 102, 50, 100)]) == np.inf


def test_a_sell_order_mirrors_a_buy_order() -> None:
    assert waited([(90.0, EXECUTE, 7, 103, 10, -1, 100, 103, 50, 100)], side=-1) == pytest.approx(0.5)
    assert waited([(90.0, EXECUTE, 7, 102, 101, -1, 100, 102, 50, 1)], side=-1) == pytest.approx(0.5)


def test_a_pegged_order_follows_the_touch_and_joins_its_end() -> None:
    rows = [
        (80.0, ADD, 4, 101, 40, 1, 101, 103, 40, 100), (130.0, ADD, 5, 101, 10, 1, 101, 103, 50, 100),
        (200.0, EXECUTE, 4, 101, 45, 1, 101, 103, 10, 100),
    ]  # fmt: skip
    assert waited(rows) == np.inf
    assert waited(rows, pegged=True) == pytest.approx(140.0 / 60.0)


def test_fills_of_a_whole_flow_and_what_the_mid_did() -> None:
    """A seller takes the whole bid once a minute, and the market falls by one tick with each: fills lose."""
    rows = []
    for minute in range(60):
        bid = 1_000 - minute
        second = 60.0 * minute
        rows.append((second + 1.0, ADD, 2 * minute, bid, 10, 1, bid, bid + 2, 10, 10))
        rows.append((second + 58.0, EXECUTE, 2 * minute, bid, 11, 1, bid - 1, bid + 1, 10, 10))
    found = fills.passive_fills(flow_of(rows))
    terms = fills.block_terms(found)
    buys = found.waited_minutes.size // 2
    assert np.isfinite(found.waited_minutes[:buys]).mean() > 0.9
    assert fills.fill_rates(terms)[0] <= fills.fill_rates(terms)[2] <= 1.0
    one, five = fills.moved_half_spreads(terms)
    assert 0.0 < one < five
    assert fills.first_added(flow_of(rows))[1] == 0


def test_an_order_keeps_its_own_price_whatever_a_trade_prints_at() -> None:
    kind = np.array([0, 0, 2, 2, 1])
    order = np.array([0, 1, 0, 1, 0])
    price = np.array([100, 103, 101, 101, 100])
    shares = np.array([50, 30, 20, 30, 99])
    side = np.array([1, -1, 1, -1, 1])
    best, own = rebuild(kind, order, price, shares, side, 2, 95, 20)
    assert best[1].tolist() == [100, 103, 50, 30]
    assert best[3].tolist() == [100, 0, 30, 0]
    assert best[4].tolist() == [0, 0, 0, 0]
    assert own.tolist() == [100, 103, 100, 103, 100]


# ---- the rest


def test_a_book_that_fills_again() -> None:
    seconds = np.arange(0.0, 4_000.0, 0.1)
    large = np.arange(100.0, 3_900.0, 100.0)
    since = seconds[:, None] - large[None, :]
    since = np.where(since < 0, np.inf, since).min(axis=1)
    spread = 1.0 + 4.0 * 0.5 ** (since / 2.0)
    size = np.full(seconds.size, 50.0)
    shown = np.stack([100.0 - spread / 2, 100.0 + spread / 2, size, size], axis=1)
    small = np.arange(1.0, 3_999.0, 1.0)
    times = np.concatenate((large, small + 0.5))
    sizes = np.concatenate((np.full(large.size, 1_000.0), np.ones(small.size)))
    order = np.argsort(times)
    stream = DepthStream("x", seconds, shown, times[order], np.stack([sizes[order], sizes[order]], axis=1))
    found = resiliency.recovery(stream)
    assert found is not None
    assert len(found.spread) == large.size
    assert resiliency.half_life_s(mean(found.spread)) == pytest.approx(2.0, abs=0.4)
    assert resiliency.recovery(dataclasses.replace(stream, trade_s=times[:5], trades=stream.trades[:5])) is None


def test_stays_come_from_the_rate_of_leaving() -> None:
    table = np.zeros((1, 6, 6))
    table[0, 0, 0], table[0, 0, 1], table[0, 1, 1], table[0, 1, 0] = 90, 10, 30, 10
    assert stays.mean_stays(table)[:2].tolist() == [50.0, 20.0]
    assert np.isnan(stays.mean_stays(table)[2:]).all()
    assert stays.overall_stay(table) == pytest.approx(5 * 140 / 20)
    assert stays.time_shares(table)[0] == pytest.approx(100 / 140)
    assert stays.next_shares(table)[0, 1] == 1.0
    assert len(stays.condition_counts([day(s, date=20160500 + s) for s in range(1, 5)])) == 4


def test_intervals_hold_the_truth_and_are_not_made_of_two_days() -> None:
    terms = np.random.default_rng(3).normal(5.0, 1.0, (200, 1))
    pair = resampled(terms, mean)
    assert pair is not None
    assert pair[0] < 5.0 < pair[1]
    assert resampled(terms[:2], mean) is None
    assert figure([], mean, "", "days", "") is None
    assert figure([[np.nan]], mean, "", "days", "") is None
    curve = figure(np.ones((5, 3)), mean, "", "days", "")
    assert curve is not None
    assert curve.as_json()["value"] == [1.0, 1.0, 1.0]
    assert json.dumps(curve.as_json())


def test_every_field_of_both_tables_says_where_it_comes_from() -> None:
    world = {f.name for f in dataclasses.fields(WorldParameters)} - {"assumptions"}
    structural = {f.name for f in dataclasses.fields(StructuralAssumptions)}
    assert world <= set(WORLD_SOURCES)
    assert structural <= set(STRUCTURAL_SOURCES)
    assert DEFAULT_WORLD.assumptions == DEFAULT_ASSUMPTIONS


def test_a_number_that_the_data_contradict_is_not_called_measured() -> None:
    far = [Proposal("spread_persistence_minutes", 30.0, 25.0, 40.0, "test")]
    near = [Proposal("spread_persistence_minutes", DEFAULT_WORLD.spread_persistence_minutes, None, None, "test")]
    rows = {r["field"]: r for r in world_table(DEFAULT_WORLD, far)}
    assert rows["spread_persistence_minutes"]["status"] == "assumed"
    assert "data differ" in rows["spread_persistence_minutes"]["source"]
    rows = {r["field"]: r for r in world_table(DEFAULT_WORLD, near)}
    assert rows["spread_persistence_minutes"]["status"] == "measured"
    assert agrees((1.0, 2.0), Proposal("x", (1.05, 1.9), (1.0, 1.8), (1.1, 2.0), "test"))
    assert not agrees((1.0, 3.0), Proposal("x", (1.05, 1.9), (1.0, 1.8), (1.1, 2.0), "test"))


def test_the_committed_figures_are_those_of_the_split_and_name_no_place() -> None:
    kept = json.loads(MEASURED.read_text())
    assert kept["format"] == 1
    assert not re.search(r"/(work|home|opt|root|tmp)/", MEASURED.read_text())
    assert {"variance_curve", "fill_rate_resting", "touch_share", "spread_memory"} <= set(kept["measures"])
    for groups in kept["measures"].values():
        for found in groups.values():
            assert {"value", "unit", "interval95", "samples", "origin"} <= set(found)
    assert {r["field"] for r in kept["world"]} <= set(WORLD_SOURCES)


# ---- the simulated side


def test_a_queue_is_waited_in_and_lost_when_the_price_moves() -> None:
    touched = np.array([[0.5, 0.6, 0.0, 0.0]])
    queue = np.array([[1.0, 9.0, 9.0, 9.0]])
    still, half = np.zeros((1, 4)), np.ones((1, 4))
    found, _, _ = rest_in_queue(touched, queue, still, half, 3)
    assert found[0, 0] == 2.0
    moved = np.array([[0.0, 2.0, 0.0, 0.0]])
    assert rest_in_queue(touched, queue, moved, half, 3)[0][0, 0] == np.inf


def test_simulated_days_are_measured_like_real_ones() -> None:
    market = simulate_days(DEFAULT_WORLD, 40)
    assert stationary(DEFAULT_WORLD).sum() == pytest.approx(1.0)
    found = simulated_measures(market)
    assert {m.measure for m in MATCHES} <= set(found)
    assert found["volume_curve"] == pytest.approx(found["volume_curve"].mean(), rel=2.0)
    assert 3.0 < found["kurtosis_of_a_day"][0] < 12.0
    again = simulated_measures(simulate_days(DEFAULT_WORLD, 40))
    assert found["volume_noise_log_sd"].tolist() == again["volume_noise_log_sd"].tolist()


def test_matching_finds_the_parameter_that_made_the_data() -> None:
    made = dataclasses.replace(DEFAULT_WORLD, volume_log_sd=0.9, volume_on_shock=0.1)
    wanted = simulated_measures(simulate_days(made, 80))
    targets = {
        "volume_log_sd": float(wanted["volume_noise_log_sd"][0]), "volume_on_shock": float(wanted["volume_on_move"][0]),
    }
    found = match(DEFAULT_WORLD, targets, days=80)
    assert found.volume_log_sd == pytest.approx(0.9, rel=0.1)
    assert found.volume_on_shock == pytest.approx(0.1, abs=0.05)


def test_shorter_queues_fill_sooner() -> None:
    short, long = (
        simulated_fills(simulate_days(DEFAULT_WORLD, 30, Alike(200.0, spread, 2.0))) for spread in (2.0, 15.0)
    )
    assert short.rates[0] > long.rates[0]
    assert (np.diff(short.rates) >= 0.0).all()
    assert short.moved_half_spreads > 0.0


def test_impact_is_concave_within_the_bound() -> None:
    found = impact_curve(DEFAULT_WORLD, pairs=40)
    assert (np.diff(found.cost) > 0.0).all()
    assert compare.EXPONENT_BOUND[0] <= found.exponent <= compare.EXPONENT_BOUND[1]


# ---- pictures


@pytest.mark.parametrize(("low", "high", "log", "wanted"), [
    (0.0, 1.0, False, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]), (0.001, 0.02, True, [0.001, 0.002, 0.005, 0.01, 0.02]),
    (3.0, 3.0, False, [3.0]),
])  # fmt: skip
def test_axes_have_round_numbers(low: float, high: float, log: bool, wanted: list[float]) -> None:
    assert svg.ticks(low, high, log) == pytest.approx(wanted)


def test_pictures_have_words_and_no_markup_from_names() -> None:
    series = [svg.Series("<b>&", (0.0, 1.0), (1.0, None), "real1", [(0.5, 1.5), (0.5, 1.5)])]
    bars = svg.bar_chart("a", "what <it> shows", "y", ("one", "two"), series)
    lines = svg.line_chart("b", "what it shows", "x", "y", [svg.Series("s", (1.0, 2.0), (1.0, 2.0), "sim1")], log=True)
    assert 'aria-labelledby="a-what"' in bars
    assert "<title id=\"a-what\">what &lt;it&gt; shows</title>" in bars
    assert "<b>" not in bars
    assert bars.count("<rect") == 1
    assert "M" in lines
