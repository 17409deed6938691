"""Rebuilds the seed from the real data, where they are at hand, and compares it with what is committed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pandas", reason="the training extra is not installed")
pytest.importorskip("pyarrow", reason="the training extra is not installed")
pytest.importorskip("scipy", reason="the training extra is not installed")

from training import impact_fit, measures, noise_fit, readers
from training.instruments import brazil, china, us, us_ticks
from training.instruments.dark import DarkShare, dark_share
from training.instruments.day_stats import DayStats
from training.instruments.draft import Draft
from training.instruments.seed import instrument_json
from training.instruments.venues import directory_json

ROOT = Path(__file__).parents[2]
SEED = ROOT / "store" / "seed"
DATA = readers.find_root(ROOT) or ROOT  # which has no such folders: all here is skipped
# Sums in another order (another numpy, another processor) may move the sixth digit.
TOLERANCE = 2e-5

pytestmark = pytest.mark.skipif(
    not (DATA / readers.TICK_FOLDER).is_dir(),
    reason="no market data folder (ESS_MARKET_DATA, or ../shared/data beside the project)",
)


def committed(identifier: str) -> dict[str, Any]:
    rows = json.loads((SEED / "instruments.json").read_text())["instruments"]
    return next(r for r in rows if r["instrument_id"] == identifier)


def assert_same(built: Any, stored: Any, where: str) -> None:
    """Equal in structure and text, and in numbers within the tolerance."""
    if isinstance(stored, dict):
        assert sorted(built) == sorted(stored), where
        for key, value in stored.items():
            assert_same(built[key], value, f"{where}.{key}")
    elif isinstance(stored, list):
        assert len(built) == len(stored), where
        for index, value in enumerate(stored):
            assert_same(built[index], value, f"{where}[{index}]")
    elif isinstance(stored, float):
        assert built == pytest.approx(stored, rel=TOLERANCE, abs=1e-9), where
    else:
        assert built == stored, where


@pytest.fixture(scope="module")
def chinese() -> tuple[dict[str, DayStats], china.CnMarket]:
    stats = china.cn_all_stats(china.cn_panel(DATA))
    return stats, china.cn_market(list(stats.values()))


@pytest.fixture(scope="module")
def dark() -> DarkShare:
    return dark_share(DATA)


def check(drafts: list[Draft], dark: DarkShare) -> None:
    for draft in drafts:
        built = json.loads(json.dumps(instrument_json(draft, dark)))
        assert_same(built, committed(draft.instrument_id), draft.instrument_id)


def test_chinese_names_are_rebuilt(chinese: Any, dark: DarkShare) -> None:
    stats, market = chinese
    check(china.cn_minute_drafts(DATA, stats, market), dark)
    check(china.cn_snapshot_drafts(DATA, market), dark)


def test_brazilian_names_are_rebuilt(chinese: Any, dark: DarkShare) -> None:
    check(brazil.br_drafts(DATA, chinese[1].prior_days), dark)


def test_american_names_are_rebuilt(chinese: Any, dark: DarkShare) -> None:
    trades = us_ticks.tick_trades(DATA)
    shared = us.us_market(DATA, trades, chinese[1].prior_days)
    check(us.us_tick_drafts(DATA, trades, shared), dark)
    check([us.amzn_draft(DATA, shared), *us.us_impact_drafts(shared)], dark)


def test_directory_is_rebuilt() -> None:
    stored = json.loads((SEED / "venues.json").read_text())
    assert_same(json.loads(json.dumps(directory_json())), stored, "venues")


def test_impact_is_rebuilt() -> None:
    stored = json.loads((SEED / "impact.json").read_text())
    assert_same(json.loads(json.dumps(impact_fit.impact_of_2007(DATA))), stored["impact_2007"], "impact_2007")
    assert_same(json.loads(json.dumps(noise_fit.noise_figures(DATA))), stored["noise"], "noise")


def test_tick_quotes_are_the_national_best_and_agree_with_the_second_bars() -> None:
    """The rows look like each exchange's own quotes; the spreads rest on their not being that."""
    columns = ("symbol", "date", "ms", "bid", "ask")
    quotes = readers.read(DATA / readers.TICK_FOLDER / "quotes_tick.parquet", columns)
    quotes = quotes[(quotes["symbol"] == "BAC") & (quotes["date"] == 20131008)]
    bid, ask = us_ticks.nbbo_grid_from_bars(DATA, "BAC")[20131008]
    grid = us_ticks.second_grid()
    for side, bars in (("bid", bid), ("ask", ask)):
        rows = quotes[quotes[side] > 0]
        times = rows["ms"].to_numpy(dtype="float64")
        # A bar closes at the end of its second.
        last = measures.sample_last(times, rows[side].to_numpy(dtype="float64") / 1e4, grid + 999.0)
        assert last == pytest.approx(bars)
