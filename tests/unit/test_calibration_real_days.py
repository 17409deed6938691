"""Real days for replay: whole, known without themselves, and never a day that the calibration read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers import market_files as files
from training import readers
from training.calibration.real_days import LEAST_OTHER_DAYS, RealDay, real_days
from training.calibration.split import is_replay_day

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    names = [f"{600000 + i}.SH" for i in range(8)]
    for i, date in enumerate(files.CALIBRATION_DATES):
        files.write(tmp_path / f"bars1m_{date}.parquet", files.china_bars(names, 1_000 * i))
    return tmp_path


def test_each_day_is_whole_and_on_one_side_of_the_split(folder: Path) -> None:
    kept, others = real_days(folder, True), real_days(folder, False)
    assert len(kept) + len(others) == 8 * len(files.CALIBRATION_DATES)
    assert 5 < len(kept) < 30
    assert all(is_replay_day(d.symbol, d.date) for d in kept)
    assert not any(is_replay_day(d.symbol, d.date) for d in others)
    for day in kept + others:
        assert day.minute_mid.shape == (day.minutes + 1,)
        assert day.minute_volume_shares.shape == day.minute_spread_bps.shape == (day.minutes,)
        assert np.isfinite(day.minute_mid).all()
        assert (day.minute_spread_bps >= day.tick_size / day.minute_mid.max() * 1e4 * 0.99).all()
        assert day.daily_volatility_fraction > 0.0
        assert (day.calendar, day.first_minute) == ("XSHG", 0)
        assert "assumed" in day.origin


def test_volatility_and_volume_are_known_without_the_day(folder: Path) -> None:
    """A day whose own volume is a thousand times the others' keeps what the others say of it."""
    before = {(d.symbol, d.date): d for d in real_days(folder, True)}
    symbol, date = max(before, key=lambda key: key[1])
    path = folder / f"bars1m_{date}.parquet"
    frame = pd.read_parquet(path)
    own = (frame["code"] == symbol) & (frame["minute"] > 600)
    frame.loc[own, "volume"] *= 1_000
    frame.loc[own, "close"] += (np.arange(own.sum()) % 2) * 2_000
    files.write(path, frame)
    after = {(d.symbol, d.date): d for d in real_days(folder, True)}[(symbol, date)]
    assert after.minute_volume_shares.sum() > 100 * before[(symbol, date)].minute_volume_shares.sum()
    assert after.average_daily_volume_shares == before[(symbol, date)].average_daily_volume_shares
    assert after.daily_volatility_fraction == before[(symbol, date)].daily_volatility_fraction


def test_earlier_days_are_taken_where_there_are_enough(folder: Path) -> None:
    late = [d for d in real_days(folder, True) if d.date == files.CALIBRATION_DATES[-1]]
    assert late
    assert all("earlier days" in d.origin for d in late)


def test_days_that_nobody_could_know_are_left_out(tmp_path: Path) -> None:
    for date in files.CALIBRATION_DATES[:LEAST_OTHER_DAYS]:
        files.write(tmp_path / f"bars1m_{date}.parquet", files.china_bars(["600999.SH"], date))
    assert real_days(tmp_path, True) + real_days(tmp_path, False) == []


def test_real_data_give_hundreds_of_days() -> None:
    found = readers.find_root(ROOT)
    if found is None:
        pytest.skip(f"no market data folder: set {readers.ROOT_VARIABLE}, or put it at ../shared/data")
    kept = real_days(found, True)
    assert len(kept) > 2_000
    by_calendar = {c: sum(d.calendar == c for d in kept) for c in ("XNYS", "BVMF", "XSHG")}
    assert by_calendar["XNYS"] >= 10
    assert by_calendar["BVMF"] >= 10
    quoted = [d for d in kept if "spread of the quotes" in d.origin]
    assert {"BAC", "SPY"} <= {d.symbol for d in quoted}
    assert all(_sound(d) for d in kept)


def _sound(day: RealDay) -> bool:
    volume = float(day.minute_volume_shares.sum() / day.average_daily_volume_shares)
    return 0.005 < volume < 200.0 and 0.001 < day.daily_volatility_fraction < 0.3
