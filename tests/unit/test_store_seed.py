"""Seed files: the shipped ones are sound, and a bad one tells every fault at once."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest

from engine.values import VenueKind
from store.errors import SeedInvalid
from store.instruments import SEED_DIR, read_seed
from store.mics import mic_faults

VENUES: list[dict[str, Any]] = [
    {"mic": "XNYS", "kind": "LIT", "name": "NYSE", "aliases": ["NYSE"], "country": "US", "origin": "ISO"},
    {
        "mic": "UBSA",
        "kind": "DARK",
        "name": "UBS ATS",
        "aliases": ["DARK_POOL_1"],
        "country": "US",
        "origin": "",
    },
]
INSTRUMENT: dict[str, Any] = {
    "instrument_id": "IBM",
    "description": "International Business Machines",
    "primary_mic": "XNYS",
    "calendar": "XNYS",
    "currency": "USD",
    "tick_size": 0.01,
    "lot_size_shares": 1,
    "shares_outstanding": 9e8,
    "venues": [
        {
            "mic": "XNYS",
            "name": "NYSE",
            "kind": "LIT",
            "volume_share_fraction": 0.6,
            "taker_fee_bps": 0.3,
            "maker_fee_bps": -0.2,
        },
        {
            "mic": "UBSA",
            "name": "UBS ATS",
            "kind": 2,
            "volume_share_fraction": 0.1,
            "taker_fee_bps": 0.1,
            "maker_fee_bps": 0.1,
            "tail_size_shares": [100, 1000],
            "tail_probability": [0.5, 0.1],
        },
    ],
    "volume_curve_fraction": [0.5, 0.25, 0.2500001],
    "open_auction_fraction": 0.01,
    "close_auction_fraction": 0.08,
    "typical_spread_bps": 2.0,
    "origin": "test",
    "market": {"as_of_ns": 1, "mid_price": 150.0},
    "provenance": {"tick_size": "assumed"},
}


def write(folder: Path, instruments: Any, venues: Any = None) -> Path:
    (folder / "instruments.json").write_text(json.dumps({"instruments": instruments, "note": "x"}))
    (folder / "venues.json").write_text(json.dumps({"venues": VENUES if venues is None else venues}))
    return folder


def test_the_shipped_seed_is_sound() -> None:
    if not (SEED_DIR / "instruments.json").exists():
        pytest.skip("the seed files are not there yet")
    data = read_seed().data
    assert len(data.instruments) >= 10
    assert set(data.market) == set(data.instruments)


def test_a_sound_file_is_read(tmp_path: Path) -> None:
    data = read_seed(write(tmp_path, [INSTRUMENT])).data
    instrument = data.instruments["IBM"]
    assert math.fsum(instrument.volume_curve_fraction) == pytest.approx(1.0, abs=1e-12)
    assert [venue.kind for venue in instrument.venues] == [VenueKind.LIT, VenueKind.DARK]
    assert data.market["IBM"].mid_price == 150.0
    assert data.market["IBM"].spread_bps is None
    assert data.venues["UBSA"].aliases == ("DARK_POOL_1",)


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    first = copy.deepcopy(INSTRUMENT)
    first["tick_size"] = 0
    first["lot_size_shares"] = "many"
    del first["currency"]
    first["venues"][0]["kind"] = "GREY"
    first["venues"][1]["taker_fee_bps"] = None
    second = copy.deepcopy(INSTRUMENT)
    second["instrument_id"] = "GE"
    second["tick_size"] = -1
    second["volume_curve_fraction"] = [0.5, 0.4]
    second["venues"][1]["tail_probability"] = [0.1, 0.5]
    second["venues"][0]["volume_share_fraction"] = 0.95
    second["primary_mic"] = "XXXX"
    second["market"] = {"as_of_ns": 1, "mid_price": -3}
    third = copy.deepcopy(second)
    third["market"] = {}
    with pytest.raises(SeedInvalid) as caught:
        read_seed(write(tmp_path, [first, second, third, "no object"]))
    text = "\n".join(caught.value.faults)
    for expected in (
        "instruments[0] IBM.lot_size_shares: Expected `float`, got `str`",
        "instruments[0] IBM.currency is missing",
        "instruments[0] IBM.venues[0].kind: 'GREY' is neither LIT nor DARK",
        "instruments[0] IBM.venues[1].taker_fee_bps",
        "instruments[1] GE.tick_size -1",
        "instruments[1] GE.volume_curve_fraction has 2 shares",
        "instruments[1] GE.venues.UBSA.tail_probability does not fall",
        "instruments[1] GE.venues have volume shares that sum to more than 1",
        "instruments[1] GE.primary_mic XXXX is not in venues.json",
        "instruments[1] GE.market.mid_price -3",
        "instruments[2] GE is there twice",
        "instruments[2] GE.market",
        "instruments[3] is not an object",
    ):
        assert expected in text, expected


def test_venue_faults(tmp_path: Path) -> None:
    venues = [
        *VENUES,
        {**VENUES[0]},
        {"mic": "lower", "kind": "LIT", "name": "x"},
        {"mic": "XTSE", "kind": "LIT", "name": "Toronto", "aliases": ["NYSE"]},
    ]
    with pytest.raises(SeedInvalid) as caught:
        read_seed(write(tmp_path, [INSTRUMENT], venues))
    text = str(caught.value)
    assert "venues[2] XNYS is there twice" in text
    assert "venues[3].mic 'lower'" in text
    assert "the name 'NYSE' is also that of XNYS" in text


def test_venues_are_named_by_iso_10383(tmp_path: Path) -> None:
    """One code has expired, one was never given out."""
    strange = [{"mic": mic, "kind": "LIT", "name": mic} for mic in ("XOCH", "QQQQ")]
    with pytest.raises(SeedInvalid) as caught:
        read_seed(write(tmp_path, [INSTRUMENT], [*VENUES, *strange]))
    assert "XOCH has expired in the list of ISO 10383" in str(caught.value)
    assert "QQQQ is not in the list of ISO 10383" in str(caught.value)
    assert mic_faults(["XNYS", "XNAS"]) == []


def test_a_kind_must_agree_with_the_directory(tmp_path: Path) -> None:
    venues = [VENUES[0], {**VENUES[1], "kind": "LIT"}]
    with pytest.raises(SeedInvalid, match="UBSA is DARK here and LIT in"):
        read_seed(write(tmp_path, [INSTRUMENT], venues))


@pytest.mark.parametrize("text", ["", "[]", '{"instruments": 3}', '{"instruments": [NaN]}', "\x00"])
def test_files_that_are_none(tmp_path: Path, text: str) -> None:
    write(tmp_path, [])
    (tmp_path / "instruments.json").write_text(text)
    (tmp_path / "venues.json").unlink()
    with pytest.raises(SeedInvalid, match=r"venues\.json cannot be read.*instruments\.json"):
        read_seed(tmp_path)
