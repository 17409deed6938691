"""The committed seed files: complete, consistent with each other, and within what markets look like."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import exchange_calendars
import iso10383
import msgspec
import pytest

from engine.values import Instrument, MarketState, VenueKind

SEED = Path(__file__).parents[2] / "store" / "seed"
FIGURES = {
    "mid_price",
    "spread_bps",
    "daily_volatility_fraction",
    "average_daily_volume_shares",
    "volume_curve_fraction",
    "auctions",
    "venue_shares",
    "fees",
    "dark_tails",
    "shares_outstanding",
    "tick_size",
    "lot_size_shares",
}
BINS_BY_CALENDAR = {"XNYS": 26, "XSHG": 24, "BVMF": 24}
ISO_MICS = {str(entry.value.mic) for entry in iso10383.MIC}


def load(name: str) -> Any:
    return json.loads((SEED / name).read_text())


ROWS: list[dict[str, Any]] = load("instruments.json")["instruments"]
VENUES: list[dict[str, Any]] = load("venues.json")["venues"]
every_row = pytest.mark.parametrize("row", ROWS, ids=[r["instrument_id"] for r in ROWS])


def instrument_of(row: dict[str, Any]) -> Instrument:
    """The row without what is not a field of Instrument; unknown or missing fields fail."""
    fields = {k: v for k, v in row.items() if k not in ("market", "provenance")}
    assert set(fields) == set(Instrument.__dataclass_fields__)
    return msgspec.convert(fields, Instrument)


def test_the_specification_s_names_and_each_market_are_there() -> None:
    identifiers = {r["instrument_id"] for r in ROWS}
    assert len(identifiers) == len(ROWS)
    assert 25 <= len(ROWS) <= 45
    assert {
        "AIG",
        "BAC",
        "SPY",
        "AAPL",
        "MSFT",
        "AMZN",
        "PLTR",
        "PETR4",
        "600000.SH",
        "300122.SZ",
    } <= identifiers


@every_row
def test_row_is_an_instrument_with_positive_units(row: dict[str, Any]) -> None:
    instrument = instrument_of(row)
    assert instrument.tick_size > 0
    assert instrument.lot_size_shares >= 1
    assert instrument.shares_outstanding > row["market"]["average_daily_volume_shares"]
    assert instrument.calendar in exchange_calendars.get_calendar_names()
    assert {"BVMF": "BRL", "XSHG": "CNY", "XNYS": "USD"}[instrument.calendar] == instrument.currency


@every_row
def test_curve_sums_to_one(row: dict[str, Any]) -> None:
    curve = row["volume_curve_fraction"]
    assert len(curve) == BINS_BY_CALENDAR[row["calendar"]]
    assert abs(math.fsum(curve) - 1.0) < 1e-9
    assert min(curve) > 0
    assert max(curve) < 0.25
    # Up to the closing auction, or call, trading is busy in every market.
    assert curve[-1] > max(curve[-2], 1.0 / len(curve))
    assert 0 <= row["open_auction_fraction"] < 0.05
    assert 0 <= row["close_auction_fraction"] < 0.25


@every_row
def test_market_is_within_what_markets_look_like(row: dict[str, Any]) -> None:
    market = row["market"]
    msgspec.convert(market, MarketState)
    without = {"bars", "short_term_alpha_bps_per_day", "figure_times_ns"}
    assert set(market) == set(MarketState.__dataclass_fields__) - without
    assert 0.003 <= market["daily_volatility_fraction"] <= 0.15
    assert 0.3 <= market["spread_bps"] <= 300
    assert 0.5 <= market["spread_bps"] / row["typical_spread_bps"] <= 2
    # A quoted spread is at least a tick; the mid may have moved a little since the median was taken.
    assert row["typical_spread_bps"] >= 0.9 * row["tick_size"] / market["mid_price"] * 1e4
    adv = market["average_daily_volume_shares"]
    assert 1e4 <= adv <= 1e9
    assert 4e5 < adv * market["mid_price"] < 1e11
    # Between 1 January 2007 and 1 January 2026.
    assert 1_167_609_600_000_000_000 < market["as_of_ns"] < 1_767_225_600_000_000_000


@every_row
def test_every_figure_says_where_it_comes_from(row: dict[str, Any]) -> None:
    assert set(row["provenance"]) == FIGURES
    for origin in row["provenance"].values():
        assert origin.startswith(("measured: ", "assumed: "))
        assert len(origin) > 25


@every_row
def test_venues_share_no_more_than_the_whole(row: dict[str, Any]) -> None:
    venues = instrument_of(row).venues
    directory = {v["mic"]: v for v in VENUES}
    assert len({v.mic for v in venues}) == len(venues)
    assert row["primary_mic"] in {v.mic for v in venues}
    assert all(v.volume_share_fraction > 0 for v in venues)
    assert 0.7 < math.fsum(v.volume_share_fraction for v in venues) <= 1.0
    for venue in venues:
        assert directory[venue.mic]["kind"] == venue.kind.name
        assert directory[venue.mic]["name"] == venue.name
        assert -15 < venue.maker_fee_bps < 15
        assert -15 < venue.taker_fee_bps < 35  # 30 mils a share of a 9-dollar stock


@every_row
def test_only_dark_venues_have_a_tail_and_it_falls(row: dict[str, Any]) -> None:
    for venue in instrument_of(row).venues:
        if venue.kind is VenueKind.LIT:
            assert venue.tail_size_shares == venue.tail_probability == ()
            continue
        sizes, tail = venue.tail_size_shares, venue.tail_probability
        assert len(sizes) == len(tail) == 8
        assert all(a < b for a, b in pairwise(sizes))
        assert all(a >= b for a, b in pairwise(tail))
        assert 0 < tail[-1] <= tail[0] < 1


def test_dark_venues_are_american_only() -> None:
    with_dark = {
        r["calendar"] for r in ROWS if any(v.kind is VenueKind.DARK for v in instrument_of(r).venues)
    }
    assert with_dark == {"XNYS"}


def test_every_mic_is_in_the_iso_list() -> None:
    assert {v["mic"] for v in VENUES} <= ISO_MICS
    used = {r["primary_mic"] for r in ROWS} | {v["mic"] for r in ROWS for v in r["venues"]}
    assert used == {v["mic"] for v in VENUES}


def test_directory_names_each_venue_once_as_users_know_it() -> None:
    names = [name for v in VENUES for name in {v["mic"], *v["aliases"]}]
    assert len(names) == len(set(names))
    alias = {name: v["mic"] for v in VENUES for name in v["aliases"]}
    assert {"NYSE": "XNYS", "NASDAQ": "XNAS"}.items() <= alias.items()
    assert all(v["kind"] in ("LIT", "DARK") for v in VENUES)
    for number in (1, 2, 3):
        mic = alias[f"DARK_POOL_{number}"]
        assert next(v for v in VENUES if v["mic"] == mic)["kind"] == "DARK"


def test_impact_figures_have_intervals_that_hold_them() -> None:
    impact = load("impact.json")
    for part in ("impact_2007", "rule605_2016", "noise"):
        assert impact[part]["origin"].startswith("measured: ")
    for name in ("realised", "arrival_to_close"):
        fit = impact["impact_2007"][name]
        assert 0.4 < fit["exponent"] < 0.65
        for figure in ("coefficient", "exponent"):
            low, high = fit[f"{figure}_interval95"]
            assert low < fit[figure] < high
    assert impact["impact_2007"]["stock_days_used"] > 10_000
    assert min(impact["impact_2007"]["stock_days_dropped"].values()) >= 0


def test_rule605_ratios_are_ratios() -> None:
    figures = load("impact.json")["rule605_2016"]
    for by_size in figures["fill_probability"].values():
        assert all(0 <= f["value"] <= 1 for f in by_size.values())
    assert 0 < figures["realised_over_effective_spread"]["marketable_limit"]["all"]["value"] < 1
    assert 0.5 < figures["passive_adverse_selection_of_spread"]["at_the_quote"]["all"]["value"] < 1.5


@pytest.mark.parametrize("name", ["instruments.json", "venues.json", "impact.json"])
def test_files_are_written_in_their_canonical_form(name: str) -> None:
    text = (SEED / name).read_text()
    assert text == json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n"


def test_readme_names_the_command_and_every_file() -> None:
    text = (SEED / "README.md").read_text()
    for word in ("python -m training.instruments", "instruments.json", "venues.json", "impact.json"):
        assert word in text
