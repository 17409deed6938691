"""The calibration report: one HTML page that needs nothing but itself, simulated markets against real ones.

    calibration_report(calibration, simulated) -> html

`calibration` is the content of calibration.json, `simulated` maps a name ("as shipped", "as proposed") to
what simulate.simulate_report returns; the first is held against the bounds.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from reports.page import page, table
from reports.page import section as _section
from reports.page import text as _text
from reports.svg import Series, bar_chart, line_chart
from training.calibration.compare import MARKETS, comparisons

REAL_STYLES = dict(zip(MARKETS, ("real1", "real2", "real3"), strict=True))
SIMULATED_STYLES = ("sim1", "sim2")
Simulated = Mapping[str, Mapping[str, Any]]


def calibration_report(calibration: Mapping[str, Any], simulated: Simulated) -> str:
    """The page."""
    first = next(iter(simulated.values()))
    body = [
        _head_section(calibration, first),
        _section("comparisons", "Within its bounds or not", _comparison_table(calibration, simulated)),
        _section("pictures", "Pictures", _pictures(calibration, simulated)),
        _section("fields", "Every number of the simulated market", _field_tables(calibration)),
        _section("measures", "Every measured figure", _measure_table(calibration)),
        _section("files", "Files that were read", _file_table(calibration)),
    ]
    return page("Calibration of the simulated market", "\n".join(body))


def _head_section(calibration: Mapping[str, Any], first: Mapping[str, Any]) -> str:
    counts = {
        s: sum(r["status"] == s for r in _every_field(calibration))
        for s in ("measured", "published", "assumed")
    }
    rows = sum(f["used"] for f in calibration["files"])
    bad = sum(sum(f["bad"].values()) for f in calibration["files"])
    return (
        f"<header><h1>Calibration of the simulated market</h1>"
        f"<p>Data: {_text(calibration['data'])}; {rows:,} rows used, {bad:,} bad ones left out, each counted "
        "below by its reason. Days kept for replay were not read. "
        f"Of {sum(counts.values())} numbers {counts['measured']} are measured, "
        f"{counts['published']} published and {counts['assumed']} assumed. Intervals are 95 %.</p>"
        f"<p>Simulated: {first['days']} days, world {_text(str(first['world'])[:12])}.</p>"
        f'<nav aria-label="Sections">{_links()}</nav></header>'
    )


def _links() -> str:
    names = (
        ("comparisons", "bounds"),
        ("pictures", "pictures"),
        ("fields", "numbers"),
        ("measures", "figures"),
        ("files", "files"),
    )
    return " ".join(f'<a href="#{name}">{text}</a>' for name, text in names)


def _every_field(calibration: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*calibration["world"], *calibration["structural"]]


# ---- tables


def _comparison_table(calibration: Mapping[str, Any], simulated: Simulated) -> str:
    parts = []
    for name, own in simulated.items():
        found = comparisons(calibration, own)
        met = sum(c.within is True for c in found)
        rows = [
            [_text(c.what), _text(c.real), _text(c.simulated), _text(c.bound), _verdict(c.within)]
            for c in found
        ]
        parts.append(
            table(
                ("what", "real", "simulated", "bound", "within"),
                rows,
                f"{name}: {met} of {len(found)} within",
            )
        )
    return "".join(parts)


def _verdict(within: bool | None) -> str:
    if within is None:
        return "not known"
    return '<b class="yes">yes</b>' if within else '<b class="no">no</b>'


def _field_tables(calibration: Mapping[str, Any]) -> str:
    parts = []
    for key, caption in (("world", "WorldParameters"), ("structural", "StructuralAssumptions")):
        rows = [
            [
                f"<code>{_text(r['field'])}</code>",
                f'<span class="{r["status"]}">{r["status"]}</span>',
                _value(r["now"]),
                _proposed(r),
                _text(_from(r)),
            ]
            for r in calibration[key]
        ]
        parts.append(table(("field", "origin", "now", "data propose (range)", "from"), rows, caption))
    return "".join(parts)


def _from(row: Mapping[str, Any]) -> str:
    """Where a number comes from; where data speak of it, which, and whether they say otherwise."""
    said = row["source"] if "data" not in row else row["data"]
    differ = "the data differ" if row["source"].startswith("data differ") else ""
    return "; ".join(filter(None, (differ, said, row.get("note", ""))))


def _proposed(row: Mapping[str, Any]) -> str:
    if "proposed" not in row:
        return "-"
    shown = _value(row["proposed"])
    if isinstance(row["proposed"], list) or row.get("low") is None:
        return shown
    return f"{shown} ({_value(row['low'])} to {_value(row['high'])})"


def _measure_table(calibration: Mapping[str, Any]) -> str:
    parts = []
    for name, groups in calibration["measures"].items():
        unit = next(iter(groups.values()))["unit"]
        rows = [
            [
                _text(group),
                _value(f["value"]),
                _interval(f),
                f"{f['samples']:,} {_text(f['sampled'])}",
                _text(" ".join(filter(None, (f["origin"], f.get("note", ""))))),
            ]
            for group, f in groups.items()
        ]
        content = table(("group", "value", "95 %", "from", "data"), rows, unit or name)
        parts.append(
            f"<details><summary><code>{_text(name)}</code> {_text(unit)}</summary>{content}</details>"
        )
    return "".join(parts)


def _interval(figure: Mapping[str, Any]) -> str:
    found = figure["interval95"]
    if found is None:
        return "-"
    if isinstance(found[0], list):
        return "; ".join(f"{_value(a)} to {_value(b)}" for a, b in found)
    return f"{_value(found[0])} to {_value(found[1])}"


def _file_table(calibration: Mapping[str, Any]) -> str:
    rows = [
        [
            _text(f["file"]),
            _text(f["format"]),
            f"{f['rows']:,}",
            f"{f['used']:,}",
            _reasons(f["bad"]),
            _reasons(f["unused"]),
        ]
        for f in calibration["files"]
    ]
    return table(
        ("file", "format", "rows", "used", "bad", "not needed"), rows, "Rows by file and what became of them"
    )


def _reasons(counts: Mapping[str, int]) -> str:
    return "; ".join(f"{_text(reason)}: {count:,}" for reason, count in counts.items()) or "-"


def _value(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return ", ".join(_value(v) if not isinstance(v, list) else f"({_value(v)})" for v in value)
    return _text(value) if isinstance(value, str) else f"{value:.4g}"


# ---- pictures


def _pictures(calibration: Mapping[str, Any], simulated: Simulated) -> str:
    measures, axes = calibration["measures"], calibration["axes"]
    parts = [_kurtosis_picture(measures, simulated)]
    for name, x, x_label, y_label, what in (
        (
            "volatility_clustering",
            axes["lags_minutes"],
            "minutes apart",
            "autocorrelation",
            "Clustering of volatility",
        ),
        (
            "variance_curve",
            _middles(13),
            "share of the session",
            "over its mean",
            "Variance of a minute over the session",
        ),
        ("volume_curve", _middles(13), "share of the session", "over its mean", "Volume over the session"),
        (
            "volume_noise_log_sd",
            axes["windows_minutes"],
            "minutes of the window",
            "log-sd",
            "Noise of volume around its curve",
        ),
    ):
        parts.append(_line_picture(measures, simulated, name, x, x_label, y_label, what))
    parts += [
        _spread_picture(calibration, simulated),
        _impact_picture(calibration, simulated),
        *_fill_pictures(measures, simulated),
    ]
    return "".join(p for p in parts if p)


def _middles(count: int) -> list[float]:
    return [(i + 0.5) / count for i in range(count)]


def _named(title: str, picture: str, text: str = "") -> str:
    return f"<h3>{_text(title)}</h3>{picture}" + (f"<p>{_text(text)}</p>" if text else "")


def _kurtosis_picture(measures: Mapping[str, Any], simulated: Simulated) -> str:
    names = ("kurtosis_of_a_day", "kurtosis_pooled")
    markets = [m for m in measures.get(names[0], {}) if m in REAL_STYLES]
    series = []
    for market in markets:
        figures = [measures[name][market] for name in names]
        bands = [(f["interval95"][0], f["interval95"][1]) for f in figures if f["interval95"]]
        band = bands if len(bands) == len(figures) else []
        series.append(
            Series(f"real, {market}", (0.0, 1.0), [f["value"] for f in figures], REAL_STYLES[market], band)
        )
    for style, (name, own) in zip(SIMULATED_STYLES, simulated.items(), strict=False):
        series.append(Series(f"simulated, {name}", (0.0, 1.0), [own[n] for n in names], style))
    what = (
        "Bars: kurtosis of standardised one-minute returns, of the median day and of all days, real by market "
        "and simulated"
    )
    picture = bar_chart("kurtosis", what, "kurtosis", ("median day", "all days pooled"), series)
    return _named(
        "Kurtosis of one-minute returns", picture, "3 is a normal distribution's. Whiskers are intervals."
    )


def _line_picture(
    measures: Mapping[str, Any],
    simulated: Simulated,
    name: str,
    x: Sequence[float],
    x_label: str,
    y_label: str,
    what: str,
) -> str:
    series = []
    for group, f in measures.get(name, {}).items():
        if group in REAL_STYLES:
            band = [(pair[0], pair[1]) for pair in f["interval95"]] if f["interval95"] else []
            series.append(Series(f"real, {group}", x, f["value"], REAL_STYLES[group], band))
    for style, (label, own) in zip(SIMULATED_STYLES, simulated.items(), strict=False):
        series.append(Series(f"simulated, {label}", x, own[name], style))
    words = f"{what}: lines by {x_label}, real markets with their intervals as bands, and simulated"
    return _named(what, line_chart(name, words, x_label, y_label, series))


def _spread_picture(calibration: Mapping[str, Any], simulated: Simulated) -> str:
    edges = calibration["axes"]["log_spread_edges"]
    middles = [(a + b) / 2 for a, b in itertools.pairwise(edges)]
    styles = iter(("real1", "real2", "real3"))
    series = []
    for group, f in calibration["measures"].get("spread_distribution", {}).items():
        if "free" in group:
            series.append(Series(f"real, {group} of one tick", middles, f["value"], next(styles)))
    for style, (label, own) in zip(SIMULATED_STYLES, simulated.items(), strict=False):
        series.append(Series(f"simulated, {label}", middles, own["spread_distribution"], style))
    what = (
        "Lines: distribution of a minute's log spread around its slow shape, where the spread is wider than a "
        "tick, real and simulated"
    )
    picture = line_chart("spread", what, "log of the spread over its usual one", "share of minutes", series)
    return _named("Distribution of the spread", picture)


def _impact_picture(calibration: Mapping[str, Any], simulated: Simulated) -> str:
    fit = calibration["impact_2007"]["realised"]
    first = next(iter(simulated.values()))
    sizes = first["impact"]["fixed_participation"]["sizes"]
    series = [
        Series(
            f"2007, whole imbalance of the market: exponent {fit['exponent']:.3g}",
            sizes,
            [fit["coefficient"] * size ** fit["exponent"] for size in sizes],
            "real1",
        )
    ]
    for style, (label, own) in zip(SIMULATED_STYLES, simulated.items(), strict=False):
        curve = own["impact"]["fixed_participation"]
        series.append(
            Series(f"simulated, {label}: exponent {curve['exponent']:.3g}", sizes, curve["cost"], style)
        )
    day = first["impact"]["over_a_day"]
    series.append(
        Series(f"simulated, spread over a day: exponent {day['exponent']:.3g}", sizes, day["cost"], "real3")
    )
    what = (
        "Impact by size over daily volume, both on logarithmic scales: the fit to the data of 2007, and simulated "
        "orders at "
        "10 % participation and spread over a day"
    )
    picture = line_chart(
        "impact", what, "size over daily volume", "cost, daily volatilities", series, log=True
    )
    low, high = fit["exponent_interval95"]
    text = (
        f"The exponent of 2007 is {fit['exponent']:.3g} [{low:.3g}, {high:.3g}]. Its level is that of the market's "
        "whole signed flow, which moves the price with whatever moved the flow; one order's cost lies below it."
    )
    return _named("Impact", picture, text)


def _fill_pictures(measures: Mapping[str, Any], simulated: Simulated) -> list[str]:
    found = []
    for i, (group, f) in enumerate(measures.get("fill_rate_pegged", {}).items()):
        resting = measures["fill_rate_resting"].get(group)
        series = [Series("real, kept at the touch", (0.0, 1.0, 2.0), f["value"], "real1", _bands(f))]
        if resting is not None:
            series.append(
                Series("real, left at its price", (0.0, 1.0, 2.0), resting["value"], "real2", _bands(resting))
            )
        for style, (label, own) in zip(SIMULATED_STYLES, simulated.items(), strict=False):
            if group in own["fills"]:
                series.append(
                    Series(f"simulated, {label}", (0.0, 1.0, 2.0), own["fills"][group]["rates"], style)
                )
        what = (
            f"Bars: share of small orders at the touch of {group} filled within 1, 5 and 10 minutes, real and "
            "simulated"
        )
        found.append(
            _named(
                f"Passive fills, {group}",
                bar_chart(f"fills{i}", what, "share filled", ("1 min", "5 min", "10 min"), series),
            )
        )
    return found


def _bands(figure: Mapping[str, Any]) -> list[tuple[float, float]]:
    return [(pair[0], pair[1]) for pair in figure["interval95"]] if figure["interval95"] else []
