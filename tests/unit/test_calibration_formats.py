"""Each adapter of the calibration on a tiny file of its format: what is read, and what is counted as bad and why."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers import market_files as files
from training.calibration import bars, lobster, orders, snapshots, streams
from training.calibration.clocks import CHINA, UNITED_STATES, MarketFileError, short_sessions
from training.calibration.days import ADD, CANCEL, EXECUTE, DataSet, FileReport
from training.calibration.formats import (
    FORMATS,
    NOT_RECOGNISED,
    NothingReadableError,
    calibration_day,
    format_of,
    read_folder,
)
from training.calibration.split import is_replay_day


def every_day(symbol: str, date: int) -> bool:
    return True


def read_all(root: Path) -> DataSet:
    return read_folder(root, every_day)


def report_of(data: DataSet, name: str) -> FileReport:
    return next(f for f in data.files if f.path == name)


def test_bars_stamped_in_utc(tmp_path: Path) -> None:
    frame = files.utc_bars("ABC", "2016-05-03", 1).astype({"close": object, "ts": object, "volume": float})
    frame.loc[10, "close"] = "n/a"
    frame.loc[11, "volume"] = -1.0
    frame.loc[12, "ts"] = "whenever"
    before = files.utc_bars("ABC", "2016-05-03", 2, minutes=5, open_utc="08:00")
    files.write(tmp_path / "mine.csv", pd.concat([frame, frame.iloc[[20]], before]))
    data = read_all(tmp_path)
    report = report_of(data, "mine.csv")
    assert report.format == bars.UTC_BARS
    assert report.bad == {"no price": 1, "no volume": 1, "no time": 1, "a second bar of its minute": 1}
    assert report.unused == {"outside continuous trading": 5}
    assert report.used == 390 - 3
    (day,) = data.days
    assert (day.symbol, day.date, day.clock.name, day.width_minutes) == ("ABC", 20160503, "US", 1)
    assert day.price.shape == (391,)
    assert day.price[11] == day.price[10]  # the bar without a price keeps the one before
    assert day.volume_shares[11] == 0.0
    assert not day.price_is_mid


def test_bars_with_quotes_give_mids_and_spreads(tmp_path: Path) -> None:
    frame = files.utc_bars("ABC", "2016-05-03", 1)
    frame = frame.assign(bid=frame["close"] - 0.02, ask=frame["close"] + 0.02)
    files.write(tmp_path / "quoted.parquet", frame)
    (day,) = read_all(tmp_path).days
    assert day.price_is_mid
    assert day.spread_bps[5] == pytest.approx(0.04 / frame["close"][5] * 1e4)


def test_bars_of_five_minutes(tmp_path: Path) -> None:
    frame = files.utc_bars("ABC", "2016-05-03", 1).iloc[::5].rename(columns={"ts": "timestamp"})
    files.write(tmp_path / "five.csv.gz", frame)
    (day,) = read_all(tmp_path).days
    assert (day.width_minutes, day.volume_shares.size) == (5, 78)


def test_half_days_in_bars_are_left_out(tmp_path: Path) -> None:
    """After the early close come only bars of the trading after hours, or none."""
    half = files.utc_bars("ABC", "2020-11-27", 1, open_utc="14:30")
    files.write(tmp_path / "bars.csv", pd.concat([half, files.utc_bars("ABC", "2020-11-30", 2, open_utc="14:30")]))
    data = read_all(tmp_path)
    assert [day.date for day in data.days] == [20201130]
    assert report_of(data, "bars.csv").unused == {"of a half day": 390}


@pytest.mark.parametrize(
    ("calendar", "days", "short"),
    [
        ("XNYS", [20201126, 20201127, 20201130, 20201224], {20201127, 20201224}),
        ("XNYS", [20201127], {20201127}),
        ("XNYS", [], set()),
        ("XHKG", [20241224, 20241223], {20241224}),
        ("BVMF", [20250305, 20250306], {20250305}),  # opens at one
        ("NOBODY", [20201127], set()),
        ("XNYS", [18000101], set()),
    ],
)
def test_short_sessions_are_those_of_the_calendar(calendar: str, days: list[int], short: set[int]) -> None:
    assert short_sessions(replace(UNITED_STATES, calendar=calendar), days) == short


def test_a_market_of_ones_own(tmp_path: Path) -> None:
    market = {
        "name": "FR", "calendar": "XPAR", "timezone": "Europe/Paris", "segments": [["09:00", "17:30"]],
        "tick_size": 0.005,
    }
    (tmp_path / "market.json").write_text(json.dumps(market))
    files.write(tmp_path / "bars.csv", files.utc_bars("ABC", "2016-05-03", 1, minutes=510, open_utc="07:00"))
    (day,) = read_all(tmp_path).days
    assert (day.clock.name, day.clock.calendar, day.clock.minutes, day.clock.tick_size) == ("FR", "XPAR", 510, 0.005)


@pytest.mark.parametrize("change", [{"timezone": "Nowhere/None"}, {"segments": [["10:00", "09:00"]]}, {"name": None}])
def test_a_market_file_with_a_fault_is_named(tmp_path: Path, change: dict[str, object]) -> None:
    market = {"name": "FR", "calendar": "XPAR", "timezone": "Europe/Paris", "segments": [["09:00", "17:30"]]} | change
    market = {k: v for k, v in market.items() if v is not None}
    (tmp_path / "market.json").write_text(json.dumps(market))
    files.write(tmp_path / "bars.csv", files.utc_bars("ABC", "2016-05-03", 1))
    with pytest.raises(MarketFileError, match=r"market\.json"):
        read_all(tmp_path)


def test_bars_of_china(tmp_path: Path) -> None:
    frame = files.china_bars(["600000.SH", "000001.SZ"], 3)
    index = files.china_bars(["000300.IDX"], 4)
    quiet = files.china_bars(["600001.SH"], 5).iloc[:20]
    frame.loc[7, "close"] = 0
    frame.loc[8, "volume"] = -5
    files.write(tmp_path / "bars1m_20240301.parquet", pd.concat([frame, index, quiet, frame.iloc[[30]]]))
    data = read_all(tmp_path)
    report = report_of(data, "bars1m_20240301.parquet")
    assert report.bad == {
        "no volume": 1, "no price though it traded": 1, "a second bar of its minute": 1, "hardly traded on the day": 20,
    }
    assert report.unused == {"an index, not a stock": len(index)}
    day = next(d for d in data.days if d.symbol == "600000.SH")
    own = frame[frame["code"] == "600000.SH"]
    assert (day.date, day.clock, day.price.size) == (20240301, CHINA, CHINA.minutes + 1)
    assert day.price[0] == own["close"].iloc[0] / 1000  # the opening call
    assert day.open_auction_shares == own["volume"].iloc[0] * 100
    assert day.close_auction_shares == own["volume"].iloc[-3:].sum() * 100
    assert day.volume_shares[-1] == own.loc[own["minute"] == 897, "volume"].item() * 100


def test_bars_of_china_need_a_date_in_their_name(tmp_path: Path) -> None:
    files.write(tmp_path / "bars1m.parquet", files.china_bars(["600000.SH"], 3))
    data = read_all(tmp_path)
    assert report_of(data, "bars1m.parquet").used == 0
    assert list(report_of(data, "bars1m.parquet").bad) == ["no date in the file's name"]


def test_us_tick_bars(tmp_path: Path) -> None:
    quotes, traded = files.tick_bars("ABC", 20131007, 1)
    quotes.loc[5, "ac"] = quotes.loc[5, "bc"] - 100
    quotes.loc[6, "bc"] = 0
    files.write(tmp_path / "q.parquet", quotes)
    files.write(tmp_path / "t.parquet", traded)
    data = read_all(tmp_path)
    assert report_of(data, "q.parquet").bad == {"crossed quotes": 1, "no price": 1}
    (day,) = data.days
    assert day.price_is_mid
    assert day.price[1] == pytest.approx((quotes["bc"][0] + quotes["ac"][0]) / 2e4)
    assert day.spread_bps[10] == pytest.approx(0.01 / day.price[11] * 1e4, rel=1e-3)
    first = traded["v"]
    assert day.volume_shares[0] + day.open_auction_shares == first[0]
    assert day.volume_shares[0] <= first[1:6].max()


def test_second_bars_give_quotes(tmp_path: Path) -> None:
    quotes, traded = files.tick_bars("ABC", 20131007, 1)
    quotes = quotes.assign(ms=34_200_000 + 1_000 * np.arange(len(quotes)), bsz=300, asz=500)
    files.write(tmp_path / "q.parquet", quotes)
    files.write(tmp_path / "t.parquet", traded.assign(ms=quotes["ms"]))
    data = read_all(tmp_path)
    assert data.days == []
    (day,) = data.quotes
    assert day.bid[3] == quotes["bc"][3] / 1e4
    assert (day.bid_shares[3], day.ask_shares[3]) == (300, 500)
    assert np.nanmax(day.spread_ticks) == pytest.approx(1.0)


def test_ticks_are_at_the_bid_at_the_ask_or_between(tmp_path: Path) -> None:
    clock = 34_200_000
    quotes = pd.DataFrame([
        (clock, 100_000, 300, 0, 0), (clock, 0, 0, 100_300, 500), (clock + 60_000, 100_100, 200, 0, 0),
        (clock, 0, 0, 0, 0),
    ], columns=["ms", "bid", "bidsz", "ask", "asksz"])  # fmt: skip
    quotes = quotes.assign(symbol="ABC", date=20131007, exch="N", suspicious=[0, 0, 0, 0])
    rows = [
        (1_000, 100_000, 10, "N", "0", 0), (2_000, 100_300, 20, "Q", "0", 0), (3_000, 100_100, 40, "N", "0", 0),
        (4_000, 100_000, 80, "D", "0", 0), (60_000, 100_100, 160, "N", "0", 0), (61_000, 100_100, 320, "N", "0", 0),
        (5_000, 100_000, 5, "N", "0", 1), (6_000, 0, 5, "N", "0", 0), (7_000, 100_000, 5, "N", "40", 0),
    ]  # fmt: skip
    traded = pd.DataFrame(rows, columns=["ms", "px", "size", "exch", "cond", "suspicious"])
    traded = traded.assign(symbol="ABC", date=20131007, ms=traded["ms"] + clock)
    files.write(tmp_path / "quotes.csv", quotes)
    files.write(tmp_path / "trades.csv", traded)
    data = read_all(tmp_path)
    assert report_of(data, "quotes.csv").bad == {"neither bid nor ask": 1}
    assert report_of(data, "trades.csv").bad == {"marked suspicious": 1, "no price or no size": 1}
    assert report_of(data, "trades.csv").unused == {"print of an auction": 1}
    (touch,) = data.touches
    assert touch.volume_shares[:2].tolist() == [150, 480]
    # At the second minute's start the old bid still stood: that trade is between the quotes.
    assert touch.at_bid_shares[:2].tolist() == [10, 320]
    assert touch.at_ask_shares[:2].tolist() == [20, 0]
    assert touch.off_exchange_shares[:2].tolist() == [80, 0]
    (day,) = data.quotes
    assert (day.bid[59], day.bid[60], day.ask[60]) == (10.0, 10.01, 10.03)


def test_one_tape_of_trades_and_quotes(tmp_path: Path) -> None:
    minutes = np.arange(390)
    stamps = pd.date_range("2025-03-10 13:15:30", periods=390, freq="min", tz="UTC")
    frame = pd.DataFrame({
        "symbol": "PETR4", "ts_utc": stamps, "rpt_seq": minutes, "event": "trade",
        "px": np.where(minutes % 2 == 0, 36.01, 36.00), "size": 100.0,
        "aggressor": np.where(minutes % 2 == 0, 4.0, 3.0), "ask": np.nan, "bid": np.nan,
    })  # fmt: skip
    frame.loc[3, "px"] = 0.0
    book = frame.iloc[:7].assign(event="book", rpt_seq=range(1000, 1007))
    call = frame.iloc[:1].assign(
        ts_utc=stamps[0] - pd.Timedelta(minutes=14), aggressor=2.0, size=5_000.0, rpt_seq=2000, px=36.0
    )
    files.write(tmp_path / "tape.parquet", pd.concat([call, frame, book, frame.iloc[[9]]]))
    data = read_all(tmp_path)
    report = report_of(data, "tape.parquet")
    assert report.bad == {"no price or no size": 1, "a trade that came twice": 1}
    assert report.unused == {"book update (they are thinned)": 7}
    (day,) = data.days
    assert (day.date, day.clock.name, day.clock.first_minute) == (20250310, "BR", 15)
    assert day.price[50] == pytest.approx(36.005)
    assert day.open_auction_shares == 5_000
    (touch,) = data.touches
    assert (touch.at_ask_shares[2], touch.at_bid_shares[2]) == (100, 0)


def test_lobster_as_it_is_shipped(tmp_path: Path) -> None:
    messages = [
        (34_300.0, 1, 1, 100, 1_000_000, 1), (34_301.0, 4, 1, 40, 1_000_000, 1), (34_302.0, 5, 0, 30, 1_000_500, -1),
        (34_303.0, 3, 1, 60, 1_000_000, 1), (34_304.0, 7, 0, 0, -1, -1), (34_305.0, 9, 0, 10, 1_000_000, 1),
    ]  # fmt: skip
    book = [(1_001_000, 50, 1_000_000, 100)] * 3 + [(1_001_000, 50, 999_900, 70)] * 3
    name = "ABC_2012-06-21_34200000_57600000_message_1.csv"
    pd.DataFrame(messages).to_csv(tmp_path / name, header=False, index=False)
    pd.DataFrame(book).to_csv(tmp_path / name.replace("message", "orderbook"), header=False, index=False)
    data = read_all(tmp_path)
    report = report_of(data, name)
    assert (report.format, report.rows, report.used) == (lobster.LOBSTER_CSV, 6, 4)
    assert (report.bad, report.unused) == ({"no type": 1}, {"cross or halt": 1})
    (flow,) = data.flows
    assert flow.kind.tolist() == [ADD, EXECUTE, CANCEL]
    assert flow.price.tolist() == [10_000, 10_000, 10_000]
    assert (flow.bid[-1], flow.bid_shares[-1], flow.ask[-1]) == (9_999, 70, 10_010)
    (touch,) = data.touches
    assert np.nansum(touch.at_bid_shares) in (0.0, 40.0)


def test_a_lobster_pair_of_unequal_length_is_bad(tmp_path: Path) -> None:
    row = [(34_300.0, 1, 1, 100, 1_000_000, 1)]
    pd.DataFrame(row).to_csv(tmp_path / "ABC_2012-06-21_1_2_message_1.csv", header=False, index=False)
    pd.DataFrame([(1, 1, 1, 1)] * 2).to_csv(tmp_path / "ABC_2012-06-21_1_2_orderbook_1.csv", header=False, index=False)
    data = read_all(tmp_path)
    assert data.files[0].bad == {"its order book has 2 rows": 1}


def test_lobster_table_and_quotes(tmp_path: Path) -> None:
    frame = files.busy_book(events=4_000)
    frame.loc[4, "Askp1"] = frame.loc[4, "Bidp1"]
    files.write(tmp_path / "ABC_2012-06-21_messages.parquet", frame)
    quotes = pd.DataFrame({"secs": frame["Secs"], "ask1": 2_010, "bid1": 2_000, "asz1": 100, "bsz1": 300})
    quotes.loc[2, "bid1"] = 0
    files.write(tmp_path / "ABC_2012-06-21_quotes.parquet", quotes)
    data = read_all(tmp_path)
    assert report_of(data, "ABC_2012-06-21_messages.parquet").bad == {"crossed book": 1}
    assert report_of(data, "ABC_2012-06-21_quotes.parquet").bad == {"no bid or no ask": 1}
    assert {q.source for q in data.quotes} == {"ABC_2012-06-21_messages.parquet", "ABC_2012-06-21_quotes.parquet"}
    day = next(q for q in data.quotes if q.source.endswith("quotes.parquet"))
    assert np.nanmedian(day.spread_ticks) == pytest.approx(10.0)
    assert len(data.days) == 1


def order_row(ms: int, kind: int, price: int, qty: int, bs: int, number: int, seq: int) -> dict[str, object]:
    return {
        "code": "600000.SH", "date": 20230711, "ms": ms, "order_type": kind, "price": price, "qty": qty, "bs": bs,
        "order_no": number, "channel": 1, "seq": seq,
    }


def trade_row(ms: int, price: int, qty: int, bs: int, buy: int, sell: int, seq: int) -> dict[str, object]:
    return {
        "code": "600000.SH", "date": 20230711, "ms": ms, "price": price, "qty": qty, "bs": bs, "buy_no": buy,
        "sell_no": sell, "channel": 1, "seq": seq,
    }


def test_a_book_is_rebuilt_from_order_by_order_flow(tmp_path: Path) -> None:
    morning = 34_200_000
    added = [
        order_row(33_400_000, 2, 10_000, 500, 1, 1, 1), order_row(33_400_000, 2, 9_990, 300, 2, 2, 2),
        order_row(33_400_000, 2, 10_020, 400, 2, 3, 3), order_row(morning, 2, 10_000, 100, 1, 4, 5),
        order_row(morning + 9_000, 10, 10_000, 100, 1, 4, 7), order_row(morning, 5, 10_000, 100, 1, 5, 8),
    ]  # fmt: skip
    traded = [
        trade_row(33_900_000, 10_000, 300, 0, 1, 2, 4), trade_row(morning + 5_000, 10_020, 150, 1, 9, 3, 6),
        trade_row(morning + 6_000, 0, 10, 1, 9, 3, 9),
    ]  # fmt: skip
    files.write(tmp_path / "orders.parquet", pd.DataFrame(added))
    files.write(tmp_path / "trades.parquet", pd.DataFrame(traded))
    data = read_all(tmp_path)
    assert report_of(data, "orders.parquet").bad == {"neither added nor deleted": 1}
    assert report_of(data, "trades.parquet").bad == {"no price or no size": 1}
    (flow,) = data.flows
    # After all: 200 of order 1 left at 10.00, order 4 gone, 250 of order 3 at 10.02.
    assert (flow.bid[-1], flow.bid_shares[-1], flow.ask[-1], flow.ask_shares[-1]) == (1_000, 200, 1_002, 250)
    (touch,) = data.touches
    assert touch.at_ask_shares[0] == 150
    (day,) = data.days
    assert day.open_auction_shares == 300
    assert day.price[-1] == pytest.approx(10.01)


@pytest.mark.parametrize("layout", [snapshots.SHENZHEN, snapshots.SHANGHAI])
def test_snapshots(tmp_path: Path, layout: str) -> None:
    seconds = np.concatenate((np.arange(33_300, 41_400, 3), np.arange(46_800, 53_900, 3)))
    clock = [f"{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}.000" for s in seconds]
    figures = {"bid": 9.99, "ask": 10.01, "bid_shares": 500, "ask_shares": 700}
    volume = np.arange(seconds.size) * 10
    if layout == snapshots.SHENZHEN:
        names = {v: k for k, v in snapshots.SHENZHEN_NAMES.items()}
        frame = pd.DataFrame({"MDDate": "2022.06.01", "MDTime": clock, "SecurityID": "300122.SZ"})
    else:
        names = {v: k for k, v in snapshots.SHANGHAI_NAMES.items()}
        frame = pd.DataFrame({"SecurityID": 600103, "DateTime": [f"2022.06.01T{c}" for c in clock]})
    frame = frame.assign(**{names[k]: v for k, v in figures.items()}, TotalVolumeTrade=volume)
    frame.loc[900, names["bid"]] = 10.02
    frame.loc[901, names["ask"]] = 0.0
    files.write(tmp_path / "book.parquet", frame)
    data = read_all(tmp_path)
    report = data.files[0]
    assert report.format == layout
    assert report.bad == {"one side of the book is empty": 1, "crossed quotes": 1}
    assert report.unused == {"before continuous trading": 300, "after continuous trading": 27}
    (quotes,) = data.quotes
    assert np.nanmedian(quotes.spread_ticks) == pytest.approx(2.0)
    (day,) = data.days
    assert day.volume_shares[10] == 200
    assert day.total_shares == pytest.approx(volume[-1])


def test_depth_streams(tmp_path: Path) -> None:
    quote = {"stream": "x@bookTicker", "data": {"b": "10.0", "a": "10.1", "B": "5", "A": "7"}}
    trade = {"stream": "x@trade", "data": {"p": "10.1", "q": "2", "m": True}}
    files.depth_stream(tmp_path / "x.gz", [
        (1_000_000_000, quote), (2_000_000_000, trade), (3_000_000_000, {"stream": "x@depth", "data": {"b": []}}),
        '4000000000 {"stream": "x@trade", "data": {}}',
    ])  # fmt: skip
    data = read_all(tmp_path)
    (stream,) = data.streams
    assert (data.files[0].format, data.files[0].rows) == (streams.STREAM, 4)
    assert data.files[0].bad == {"no JSON of a quote or a trade": 1}
    assert data.files[0].unused == {"neither best quotes nor a trade": 1}
    assert stream.trades.tolist() == [[-2.0, 10.1]]
    assert stream.quotes.tolist() == [[10.0, 10.1, 5.0, 7.0]]


def test_a_folder_with_nothing_readable_says_what_was_looked_for(tmp_path: Path) -> None:
    files.write(tmp_path / "other.csv", pd.DataFrame({"a": [1]}))
    (tmp_path / "broken.parquet").write_bytes(b"no parquet")
    with pytest.raises(NothingReadableError) as caught:
        read_folder(tmp_path)
    told = str(caught.value)
    assert all(known.name in told for known in FORMATS)
    assert lobster.LOBSTER_CSV in told
    assert "none of its 2 files" in told
    with pytest.raises(NothingReadableError, match="no folder"):
        read_folder(tmp_path / "not there")


def test_files_that_nobody_knows_are_listed(tmp_path: Path) -> None:
    files.write(tmp_path / "other.csv", pd.DataFrame({"a": [1]}))
    files.write(tmp_path / "bars.csv", files.utc_bars("ABC", "2016-05-03", 1))
    data = read_all(tmp_path)
    assert report_of(data, "other.csv").format == NOT_RECOGNISED


def test_every_format_is_told_from_its_own_columns(tmp_path: Path) -> None:
    for i, known in enumerate(FORMATS):
        extra = sorted(known.one_of)[:1]
        path = files.write(tmp_path / f"{i}.csv", pd.DataFrame({c: [1] for c in [*sorted(known.columns), *extra]}))
        assert format_of(path) == known.name


def test_days_kept_for_replay_are_never_read(tmp_path: Path) -> None:
    """Their rows hold prices that would be seen at once."""
    dates = [int(d.strftime("%Y%m%d")) for d in pd.bdate_range("2016-05-02", "2016-05-31")]
    kept = [d for d in dates if is_replay_day("ABC", d)]
    assert 0 < len(kept) < len(dates)
    for date in dates:
        text = f"{date // 10_000}-{date // 100 % 100:02d}-{date % 100:02d}"
        frame = files.utc_bars("ABC", text, date)
        if date in kept:
            frame = frame.assign(close=frame["close"] * 1e6)
        files.write(tmp_path / f"{date}.csv", frame)
    data = read_folder(tmp_path)
    assert {d.date for d in data.days} == set(dates) - set(kept)
    assert max(float(d.price.max()) for d in data.days) < 1e3
    for date in kept:
        assert report_of(data, f"{date}.csv").unused == {"kept for replay": 390}
        assert report_of(data, f"{date}.csv").used == 0


def test_about_a_third_is_kept_and_spelling_makes_no_difference() -> None:
    pairs = [(f"{600_000 + i}.SH", date) for i in range(500) for date in files.CALIBRATION_DATES]
    share = np.mean([is_replay_day(*pair) for pair in pairs])
    assert 0.31 < share < 0.36
    assert all(is_replay_day(s, d) == is_replay_day(f" {s.lower()} ", d) for s, d in pairs[:50])
    assert not any(is_replay_day(s, 20230711) for s, _ in pairs)
    assert calibration_day("ABC", 20160502) != is_replay_day("ABC", 20160502)


@pytest.mark.parametrize(("clock", "minute", "wanted"), [
    (UNITED_STATES, 570.0, 0.0), (UNITED_STATES, 960.0, np.nan), (CHINA, 689.5, 119.5), (CHINA, 700.0, np.nan),
    (CHINA, 780.0, 120.0), (CHINA, 897.0, np.nan),
])  # fmt: skip
def test_minutes_of_continuous_trading(clock: object, minute: float, wanted: float) -> None:
    found = float(clock.trading_minute(np.array([minute]))[0])  # type: ignore[attr-defined]
    assert found == pytest.approx(wanted, nan_ok=True)


def test_time_that_has_passed_stands_still_in_breaks() -> None:
    assert CHINA.elapsed(np.array([569.0, 600.0, 700.0, 790.0, 950.0])).tolist() == [0.0, 30.0, 120.0, 130.0, 237.0]
    assert orders.clock_grid_s(CHINA, 60.0).size == 237
