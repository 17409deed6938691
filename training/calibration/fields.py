"""Where every number of WorldParameters and StructuralAssumptions comes from: measured, published or assumed.

"measured" names the measure (docs/calibration.md) or the file it is in; "published" the paper; "assumed" says
that no data given here tell, and why the number is what it is. A field that this table does not know is
listed as assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["measured", "published", "assumed"]


@dataclass(frozen=True, slots=True)
class Source:
    """One field's origin."""

    status: Status
    text: str


def _measured(text: str) -> Source:
    return Source("measured", text)


def _published(text: str) -> Source:
    return Source("published", text)


def _assumed(text: str) -> Source:
    return Source("assumed", text)


ALMGREN = "Almgren, Thum, Hauptmann and Li (2005)"
GATHERAL = "Gatheral (2010): under a square-root response, exponents that sum to 1 leave no paying round trip"
NO_LABELS = "no data label market conditions"

WORLD_SOURCES: dict[str, Source] = {
    "mean_stay_minutes": _assumed(
        f"{NO_LABELS}; the classifier's view of real bars does not tell (docs/calibration.md)"
    ),
    "next_condition": _assumed(f"{NO_LABELS}"),
    "variance_curve": _measured("variance_curve"),
    "volatility_day_log_sd": _measured("volatility_day_log_sd, matched"),
    "volatility_log_sd": _measured("volatility_log_sd, matched"),
    "volatility_persistence_minutes": _measured("volatility_memory after a quarter-hour"),
    "shock_degrees": _measured("kurtosis_of_a_day, matched"),
    "jump_sd": _assumed("news are too few in the data to tell their jumps from heavy tails"),
    "jump_rate_per_minute": _assumed("as jump_sd"),
    "volume_day_log_sd": _measured("volume_day_log_sd, matched"),
    "volume_log_sd": _measured("volume_noise_log_sd of one minute, matched"),
    "volume_persistence_minutes": _measured("volume_noise_log_sd of a quarter-hour, matched"),
    "volume_on_log_volatility": _measured("volume_on_volatility"),
    "volume_on_shock": _measured("volume_on_move, matched"),
    "spread_persistence_minutes": _measured("spread_memory after one minute, spreads wider than a tick"),
    "spread_on_log_volatility": _measured("spread_on_volatility, spreads wider than a tick"),
    "free_spread_ticks": _measured("spread_log_sd_of_a_day against the mean spread in ticks"),
    "touch_share": _measured("touch_share of US stocks (a third of their volume is off exchange)"),
    "touch_log_sd": _measured("touch_share_log_sd of US stocks"),
    "queue_log_sd": _measured("depth_log_sd"),
    "flow_tilt": _measured("lean_sd"),
    "information_half_spreads": _measured(
        "information_half_spreads, and Rule 605: fills at the quote lose 113 % of it"
    ),
    "dark_mean_share": _assumed(
        "the share off exchanges is measured (off_exchange_share), what of it is hidden and in reach is not"
    ),
    "dark_presence": _assumed("no fills of dark pools in the data"),
    "dark_tail": _assumed(
        "heavy tails of dark fills: Ganchev, Kearns, Nevmyvaka and Vaughan (2010), Figure 1"
    ),
    "dark_level_log_sd": _assumed("as dark_presence"),
    "dark_least_fill": _assumed("as dark_presence"),
    "leak_minutes": _assumed("no data say how long a leak lasts"),
    "auction_volume_log_sd": _measured("auction_volume_log_sd, closing"),
    "impact_factor": _assumed("1 by definition: other worlds for the tests out of distribution"),
    "dark_factor": _assumed("1 by definition"),
    "leak_factor": _assumed("1 by definition"),
    "queue_share": _measured("depth_share"),
}

STRUCTURAL_SOURCES: dict[str, Source] = {
    "temporary_eta": _assumed(
        f"half of {ALMGREN}'s 0.142; the split meets their IBM and DRI examples within a few bps"
    ),
    "temporary_exponent": _published(ALMGREN),
    "transient_y": _assumed("the other part of the split"),
    "transient_exponent": _published("square-root law: Toth and others (2011); 2007's data give 0.545"),
    "decay_exponent": _published(GATHERAL),
    "permanent_gamma": _published(ALMGREN),
    "passive_capture": _measured(
        "Rule 605, December 2016: passive_adverse_selection_of_spread (store/seed/impact.json)"
    ),
    "passive_adverse": _assumed("what waiting costs beyond the half-spread"),
    "touch_flow_share": _assumed(
        "half of the touch's share of one side (touch_share): the queue ahead takes the rest"
    ),
    "touch_flow_log_sd": _assumed("depth_log_sd and touch_share_log_sd together, rounded"),
    "max_passive_share": _assumed("a plan must not hang on passive fills alone"),
    "volume_noise_log_sd": _measured("noise of store/seed/impact.json; volume_noise_log_sd"),
    "volume_forecast_log_sd": _measured("volume_day_log_sd, less what a forecast is hoped to take off"),
    "volume_curve_log_sd": _measured("volume_curve: log-sd of its 13 parts"),
    "cleanup_days": _assumed("five minutes to clean up what is left"),
    "cleanup_half_spreads": _assumed("the far side of the spread and a little more"),
    "dark_leakage": _assumed("no data say what dark orders leak"),
    "dark_leakage_size_days": _assumed("as dark_leakage"),
    "auction_impact_y": _assumed("no auction imbalances in the data"),
    "book_depth_share": _measured("depth_share"),
    "conditions": _assumed(
        f"{NO_LABELS}: multipliers, drifts and bursts are this project's definition of its conditions"
    ),
}
UNKNOWN_FIELD = _assumed("no figure of the calibration speaks of it")


def source_of(table: dict[str, Source], name: str) -> Source:
    """A field's origin; a field that nobody has told about yet counts as assumed."""
    return table.get(name, UNKNOWN_FIELD)
