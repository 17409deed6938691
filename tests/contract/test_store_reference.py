"""Reference data and the catalogue: into PostgreSQL once, and out of it as it went in."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

from engine.records import MarketUpdate
from engine.values import Bar, MarketState
from store.catalogue import CatalogueRow, load_catalogue, sync_catalogue
from store.errors import StoreError, StoreUnavailable
from store.instruments import SEED_DIR, load_reference, read_seed, seed
from store.market import merge
from store.market_persister import MarketPersister
from store.pool import PoolSettings, make_pool

INSTRUMENT = {
    "instrument_id": "IBM", "description": "IBM", "primary_mic": "XNYS", "calendar": "XNYS", "currency": "USD",
    "tick_size": 0.01, "lot_size_shares": 1, "shares_outstanding": 9e8,
    "venues": [{"mic": "XNYS", "name": "NYSE", "kind": 1, "volume_share_fraction": 1, "taker_fee_bps": 0.3,
                "maker_fee_bps": -0.2}],
    "volume_curve_fraction": [0.5, 0.5], "open_auction_fraction": 0.01, "close_auction_fraction": 0.08,
    "typical_spread_bps": 2.0, "origin": "test", "provenance": {"all": "invented"},
    "market": {"as_of_ns": 1_700_000_000_123_456_789, "mid_price": 150.0},
}  # fmt: skip
VENUE = {"mic": "XNYS", "kind": "LIT", "name": "NYSE", "aliases": ["NYSE"], "country": "US", "origin": "ISO"}


@pytest.fixture
def seed_dir(tmp_path: Path) -> Path:
    (tmp_path / "instruments.json").write_text(json.dumps({"instruments": [INSTRUMENT]}))
    (tmp_path / "venues.json").write_text(json.dumps({"venues": [VENUE]}))
    return tmp_path


def test_a_seed_comes_back_as_it_was_read_and_is_inserted_once(database: str, seed_dir: Path) -> None:
    first, second = seed(database, seed_dir), seed(database, seed_dir)
    assert (first.instruments, first.market, first.venues) == (1, 1, 1)
    assert (second.instruments, second.market, second.venues) == (0, 0, 0)
    assert load_reference(database) == read_seed(seed_dir).data


def test_the_shipped_seed_fits_the_tables(database: str) -> None:
    seed(database)
    assert load_reference(database) == read_seed().data


def test_what_an_operator_changed_is_not_overwritten(database: str, seed_dir: Path) -> None:
    seed(database, seed_dir)
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE instruments SET reference = jsonb_set(reference, '{tick_size}', '0.05')")
        connection.execute("UPDATE venues SET name = 'changed'")
        connection.execute("DELETE FROM instrument_market")
    seed(database, seed_dir)
    data = load_reference(database)
    assert data.instruments["IBM"].tick_size == 0.05
    assert data.venues["XNYS"].name == "changed"
    assert data.market["IBM"].mid_price == 150.0


def test_old_curves_are_renewed_as_the_seed_s_readme_says(database: str) -> None:
    """What the market was told since stays."""
    seed(database)
    (row,) = (row for row in json.loads((SEED_DIR / "instruments.json").read_text())["instruments"]
              if row["instrument_id"] == "PETR4")  # fmt: skip
    with psycopg.connect(database) as connection:
        curve = "UPDATE instruments SET reference = jsonb_set(reference, '{volume_curve_fraction}', '[1.0]')"
        connection.execute(curve)
        connection.execute("UPDATE instrument_market SET figures = jsonb_set(figures, '{mid_price}', '99.0')")
    with psycopg.connect(database) as connection:
        connection.execute("DELETE FROM instruments WHERE reference->>'calendar' IN ('BVMF', 'XSHG')")
    seed(database)
    found = load_reference(database)
    assert found.instruments["PETR4"].volume_curve_fraction == pytest.approx(row["volume_curve_fraction"])
    assert found.instruments["AIG"].volume_curve_fraction == (1.0,)
    assert found.market["PETR4"].mid_price == 99.0


def test_an_instrument_without_market_row_has_a_state_in_which_nothing_is_known(
    database: str, seed_dir: Path
) -> None:
    seed(database, seed_dir)
    with psycopg.connect(database) as connection:
        connection.execute("DELETE FROM instrument_market")
    assert load_reference(database).market == {"IBM": MarketState(as_of_ns=0)}


def test_every_unsound_row_is_named(database: str, seed_dir: Path) -> None:
    seed(database, seed_dir)
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE instruments SET reference = reference - 'tick_size' - 'currency'")
        connection.execute('UPDATE instrument_market SET figures = \'{"mid_price": "high"}\'')
    with pytest.raises(StoreError, match=r"IBM\.currency is missing.*IBM\.tick_size is missing"):
        load_reference(database)


async def test_market_states_are_persisted_and_older_ones_are_not(database: str, seed_dir: Path) -> None:
    seed(database, seed_dir)
    held = load_reference(database).market["IBM"]
    bars = tuple(Bar(number, 1.0, 2.0, 3.0) for number in range(1, 4))
    state, _ = merge(held, MarketUpdate("IBM", held.as_of_ns + 1, spread_bps=2.5, bars=bars))
    later, _ = merge(state, MarketUpdate("IBM", held.as_of_ns + 2000, mid_price=151.0))
    pool = make_pool(PoolSettings(database))
    async with pool:
        persister = MarketPersister(pool)
        for changed in (state, later):
            persister.mark("IBM", changed)
            await persister.flush()
        assert load_reference(database).market["IBM"] == later
        persister.mark("IBM", held)
        persister.mark("NEW", state)
        await persister.flush()
    assert load_reference(database).market["IBM"] == later


def test_the_catalogue_is_completed_and_an_operators_settings_stay(database: str) -> None:
    twap = CatalogueRow("TWAP", "SCHEDULED", {"target_strategy": 1}, {"participation_rate": [0.05, 0.1]})
    vwap = CatalogueRow("VWAP", "SCHEDULED", {"target_strategy": 2}, {"participation_rate": [0.1]})
    assert sync_catalogue(database, [twap]) == 1
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE execution_strategies SET enabled = false, parameter_ranges = '{\"x\": 1}'")
    assert sync_catalogue(database, [twap, vwap]) == 1
    assert sync_catalogue(database, []) == 0
    assert load_catalogue(database) == (
        CatalogueRow("TWAP", "SCHEDULED", {"target_strategy": 1}, {"x": 1}, enabled=False),
        vwap,
    )


def test_catalogue_rows_that_are_none(database: str) -> None:
    with pytest.raises(StoreError, match="no JSON"):
        sync_catalogue(database, [CatalogueRow("A", "B", {}, {"x": float("nan")})])
    with pytest.raises(StoreError, match="refused"):
        sync_catalogue(database, [CatalogueRow("A" * 101, "B", {}, {})])


def test_no_server_is_unavailable(short_tmp: Path) -> None:
    nowhere = f"host={short_tmp} dbname=x"
    with pytest.raises(StoreUnavailable):
        load_catalogue(nowhere)
    with pytest.raises(StoreUnavailable):
        load_reference(nowhere)
