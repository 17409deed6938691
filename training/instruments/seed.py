"""The seed's records: every draft of every market as JSON, with its venues, and the files written."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from engine.values import VenueKind
from training.impact_fit import impact_json
from training.instruments.brazil import br_drafts
from training.instruments.china import cn_all_stats, cn_market, cn_minute_drafts, cn_panel, cn_snapshot_drafts
from training.instruments.dark import US_DARK, DarkShare, dark_share, dark_tail
from training.instruments.draft import Draft
from training.instruments.us import amzn_draft, us_bar_drafts, us_impact_drafts, us_market, us_tick_drafts
from training.instruments.us_ticks import tick_trades
from training.instruments.venues import BR_LIT, CN_LIT, US_LIT, LitVenue, directory_json
from training.measures import Array, round_figure


def build_drafts(data: Path) -> list[Draft]:
    """Every instrument, from every folder."""
    stats = cn_all_stats(cn_panel(data))
    market = cn_market(list(stats.values()))
    trades = tick_trades(data)
    shared = us_market(data, trades, market.prior_days)
    drafts = [
        *us_tick_drafts(data, trades, shared),
        *us_bar_drafts(data, shared),
        amzn_draft(data, shared),
        *us_impact_drafts(shared),
        *br_drafts(data, market.prior_days),
        *cn_minute_drafts(data, stats, market),
        *cn_snapshot_drafts(data, market),
    ]
    return sorted(drafts, key=lambda d: d.instrument_id)


def instrument_json(draft: Draft, dark: DarkShare) -> dict[str, Any]:
    """The seed's record: every field of Instrument, then `market` and `provenance`."""
    measured = sum(v.startswith("measured") for v in draft.provenance.values())
    return {
        "instrument_id": draft.instrument_id,
        "description": draft.description,
        "primary_mic": draft.primary_mic,
        "calendar": draft.calendar,
        "currency": draft.currency,
        "tick_size": draft.tick_size,
        "lot_size_shares": draft.lot_size_shares,
        "shares_outstanding": draft.shares_outstanding,
        "venues": venues_of(draft, dark),
        "volume_curve_fraction": rounded_curve(draft.curve),
        "open_auction_fraction": round_figure(draft.open_auction_fraction),
        "close_auction_fraction": round_figure(draft.close_auction_fraction),
        "typical_spread_bps": round_figure(draft.typical_spread_bps),
        "origin": f"seed calibrated from real data: {measured} of {len(draft.provenance)} figures measured, "
        "the others assumed; see provenance and store/seed/README.md",
        "market": {
            "as_of_ns": draft.as_of_ns,
            "mid_price": round_figure(draft.mid_price),
            "spread_bps": round_figure(draft.spread_bps),
            "daily_volatility_fraction": round_figure(draft.daily_volatility_fraction),
            "average_daily_volume_shares": round_figure(draft.average_daily_volume_shares),
        },
        "provenance": draft.provenance,
    }


def rounded_curve(curve: Array) -> list[float]:
    """Six significant digits, with the rounding's remainder put into the largest bin: the sum stays 1."""
    values = [round_figure(float(x)) for x in curve]
    largest = int(np.argmax(curve))
    values[largest] = float(f"{1.0 - math.fsum(v for i, v in enumerate(values) if i != largest):.12g}")
    return values


def venues_of(draft: Draft, dark: DarkShare) -> list[dict[str, Any]]:
    """The venues of one instrument; Brazil and China have the one exchange and no dark venue."""
    if draft.market == "US":
        return us_venues(draft, dark)
    lit = BR_LIT if draft.market == "BR" else next(v for v in CN_LIT if v.mic == draft.primary_mic)
    return [lit_venue_json(lit, 1.0, draft.mid_price, False)]


def us_venues(draft: Draft, dark: DarkShare) -> list[dict[str, Any]]:
    """Lit exchanges by measured share, then the three pools sharing the ATS part of off-exchange volume."""
    rows = [
        lit_venue_json(v, draft.lit_share[v.mic], draft.mid_price, True)
        for v in US_LIT
        if draft.lit_share.get(v.mic, 0.0) > 0
    ]
    for pool in US_DARK:
        sizes, tail = dark_tail(pool, draft.average_daily_volume_shares)
        fee = round_figure(pool.fee_usd * 1e4 / draft.mid_price)
        share = draft.off_exchange_fraction * dark.ats_of_off_exchange * dark.split[pool.mic]
        rows.append(
            {
                "mic": pool.mic,
                "name": pool.name,
                "kind": int(VenueKind.DARK),
                "volume_share_fraction": round_figure(share),
                "taker_fee_bps": fee,
                "maker_fee_bps": fee,
                "tail_size_shares": sizes,
                "tail_probability": tail,
            }
        )
    return rows


def lit_venue_json(venue: LitVenue, share: float, mid: float, per_share: bool) -> dict[str, Any]:
    """One lit venue of one instrument; US fees go from USD a share to bps at the mid."""
    to_bps = 1e4 / mid if per_share else 1.0
    return {
        "mic": venue.mic,
        "name": venue.name,
        "kind": int(VenueKind.LIT),
        "volume_share_fraction": round_figure(share),
        "taker_fee_bps": round_figure(venue.taker_fee * to_bps),
        "maker_fee_bps": round_figure(venue.maker_fee * to_bps),
        "tail_size_shares": [],
        "tail_probability": [],
    }


def write_seed(data: Path, out: Path) -> None:
    """Writes instruments.json to `out`, and venues.json and impact.json beside it."""
    dark = dark_share(data)
    write_json(out, {"instruments": [instrument_json(d, dark) for d in build_drafts(data)]})
    write_json(out.with_name("venues.json"), directory_json())
    write_json(out.with_name("impact.json"), impact_json(data))


def write_json(path: Path, value: Any) -> None:
    """Pretty JSON, sorted keys, one trailing newline: the same value gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False) + "\n")
