"""`ess report` as one HTML page that needs nothing but itself: every picture has its table below it."""

from __future__ import annotations

from collections.abc import Sequence

from engine.forecast_check import NOMINAL, Bin, ForecastCheck
from engine.performance import Interval, Line, Performance
from reports.dots import Dot, Scale, dot_chart, scale_of
from reports.page import page, section, table, text
from reports.performance_tables import lines_by_kind
from reports.svg import Series, bar_chart, line_chart

BPS = 1e4
# More lines make no picture; the tables have all.
MOST_DOTS = 20
TITLES = {
    "strategy": "By strategy",
    "objective": "By objective",
    "condition": "By market condition",
    "size": "By size over average daily volume",
    "venue": "By venue",
}
_LIKE = "not distinguishable yet"


def performance_page(
    first_day: str, last_day: str, found: Performance, check: ForecastCheck | None, gap: str = ""
) -> str:
    """The page; days are "YYYY-MM-DD", UTC, both included. Without orders it says so. `gap`: what is not in it."""
    title = f"How strategies did, {first_day} to {last_day}"
    lacks = f"<p><b>{text(gap)}.</b></p>" if gap else ""
    if check is None:
        return page(title, f"<h1>{text(title)}</h1><p>No outcome was reported between these days.</p>{lacks}")
    parts = [_head(title, check), lacks, section("forecasts", "Predicted against actual", _forecasts(check))]
    for kind, lines in lines_by_kind(found).items():
        parts.append(section(kind, TITLES[kind], _group(kind, lines)))
    parts += [section("days", "By day", _days(found)), section("reading", "How to read it", _READING)]
    return page(title, "\n".join(parts))


def _head(title: str, check: ForecastCheck) -> str:
    names = (("forecasts", "predicted and actual"), *((kind, kind) for kind in TITLES), ("days", "days"),
             ("reading", "how to read it"))  # fmt: skip
    links = " ".join(f'<a href="#{name}">{words}</a>' for name, words in names)
    return (
        f"<header><h1>{text(title)}</h1><p>{check.orders:,} orders whose outcome was reported. They cost "
        f"{_bps(check.error)} bps more than was forecast on average, and missed their forecast by "
        f"{check.absolute_error * BPS:.2f} bps in the mean. Intervals are 95 %.</p>"
        f'<nav aria-label="Sections">{links}</nav></header>'
    )


# ---- forecasts


def _forecasts(check: ForecastCheck) -> str:
    parts = [
        "<h3>Cost</h3>", _reliability("cost", "cost", check.cost, BPS, "bps of notional"),
        "<h3>Spread of the cost</h3>", _coverage(check),
    ]  # fmt: skip
    if check.completion:
        parts += ["<h3>Completion</h3>", _reliability("completion", "completion", check.completion, 1.0, "share")]
    return "".join(parts)


def _reliability(name: str, of: str, bins: Sequence[Bin], unit: float, words: str) -> str:
    """Where the line runs along the dashed one, forecasts held."""
    predicted = [found.predicted * unit for found in bins]
    # One order's interval is all that there can be: no band then.
    band = [(found.actual.lower * unit, found.actual.upper * unit) for found in bins]
    drawn = band if all(found.orders > 1 for found in bins) else []
    series = [
        Series("what came, with its interval", predicted, [found.actual.mean * unit for found in bins], "real1", drawn),
        Series("what was forecast", predicted, predicted, "sim1"),
    ]
    what = f"Lines: {of} as it came against {of} as it was forecast, orders with like forecasts together"
    rows = [
        [
            f"{found.predicted_low * unit:.2f} to {found.predicted_high * unit:.2f}", f"{found.orders:,}",
            f"{found.predicted * unit:.2f}", _interval(found.actual, unit),
            _LIKE if found.not_distinguishable else _verdict(found),
        ]
        for found in bins
    ]  # fmt: skip
    columns = ("forecast", "orders", "its mean", "came [95 %]", "forecast against outcome")
    picture = line_chart(f"{name}-reliability", what, f"forecast, {words}", f"came, {words}", series)
    return picture + table(columns, rows, f"Reliability of the {of} ({words})")


def _verdict(found: Bin) -> str:
    return '<b class="no">too low</b>' if found.actual.mean > found.predicted else '<b class="no">too high</b>'


def _coverage(check: ForecastCheck) -> str:
    labels = ("below the interval", "within", "above it")
    shares = (check.coverage.below, check.coverage.within, check.coverage.above)
    at = (0.0, 1.0, 2.0)
    series = [
        Series("came", at, [share.mean for share in shares], "real1", [(s.lower, s.upper) for s in shares]),
        Series("promised", at, NOMINAL, "sim1"),
    ]
    what = "Bars: share of orders whose cost lay below, within and above the 80 % interval of their forecast"
    rows = []
    for label, share, nominal in zip(labels, shares, NOMINAL, strict=True):
        differs = _LIKE if share.lower <= nominal <= share.upper else '<b class="no">differs</b>'
        rows.append([label, _interval(share), f"{nominal:.2f}", differs])
    return bar_chart("coverage", what, "share of orders", labels, series) + table(
        ("cost", "came [95 %]", "promised", "against the promise"), rows, "Calibration of the 80 % interval of the cost"
    )


# ---- groups


def _group(kind: str, lines: Sequence[Line]) -> str:
    shown = lines[:MOST_DOTS]
    left_out = f"<p>The pictures show the {len(shown)} with most orders.</p>" if len(lines) > len(shown) else ""
    return left_out + _costs(kind, shown) + _impacts(kind, shown) + _successes(kind, shown) + _line_table(kind, lines)


def _costs(kind: str, lines: Sequence[Line]) -> str:
    dots = [
        Dot(line.label, line.cost * BPS, line.cost_lower * BPS, line.cost_upper * BPS, line.not_distinguishable,
            line.predicted_cost * BPS)
        for line in lines
    ]  # fmt: skip
    what = f"Dots: average cost by {kind} with intervals, and the forecast's average as a tick"
    keys = ("average cost, differs from all others'", f"average cost, {_LIKE} from all others'", "average forecast")
    return "<h3>Cost</h3>" + dot_chart(f"{kind}-cost", what, "bps of notional", dots, _scale(dots, lines), keys)


def _impacts(kind: str, lines: Sequence[Line]) -> str:
    if all(line.impact is None for line in lines):
        return "<h3>Impact</h3><p>No report told any.</p>"
    dots = [
        Dot(line.label, None if line.impact is None else line.impact * BPS, (line.impact_lower or 0.0) * BPS,
            (line.impact_upper or 0.0) * BPS, False)
        for line in lines
    ]  # fmt: skip
    what = f"Dots: average market impact by {kind} with intervals"
    picture = dot_chart(f"{kind}-impact", what, "bps of notional", dots, _scale(dots, lines), ("average impact",))
    return "<h3>Impact</h3>" + picture


def _successes(kind: str, lines: Sequence[Line]) -> str:
    dots = [
        Dot(line.label, line.success_rate, line.success_lower, line.success_upper, line.success_not_distinguishable)
        for line in lines
    ]
    what = f"Dots: success rate by {kind} with intervals"
    keys = ("success rate, differs from all others'", f"success rate, {_LIKE} from all others'")
    picture = dot_chart(f"{kind}-success", what, "share of orders", dots, Scale(0.0, 1.0), keys)
    return "<h3>Success rate</h3>" + picture


def _scale(dots: Sequence[Dot], lines: Sequence[Line]) -> Scale:
    """By the intervals of lines with some orders: those of one or two orders may be a hundred times as wide, and are
    cut."""
    values = [value for dot in dots for value in (dot.value, dot.forecast) if value is not None]
    for dot, line in zip(dots, lines, strict=True):
        if line.orders >= 5 and dot.value is not None:
            values += [dot.low, dot.high]
    return scale_of(values)


def _line_table(kind: str, lines: Sequence[Line]) -> str:
    columns = (kind, "orders", "cost, bps [95 %]", "forecast, bps", "cost against all others",
               "impact, bps [95 %]", "success rate [95 %]", "success against all others",
               "within the 80 % interval")  # fmt: skip
    rows = [
        [
            text(line.label), f"{line.orders:,}",
            _interval(Interval(line.cost, line.cost_lower, line.cost_upper), BPS),
            f"{line.predicted_cost * BPS:.2f}", _LIKE if line.not_distinguishable else "<b>differs</b>",
            _impact_cell(line), _interval(Interval(line.success_rate, line.success_lower, line.success_upper)),
            _LIKE if line.success_not_distinguishable else "<b>differs</b>", f"{line.interval_coverage:.0%}",
        ]
        for line in lines
    ]  # fmt: skip
    return table(columns, rows, f"{TITLES[kind]}: every figure")


def _impact_cell(line: Line) -> str:
    if line.impact is None or line.impact_lower is None or line.impact_upper is None:
        return "not told"
    return _interval(Interval(line.impact, line.impact_lower, line.impact_upper), BPS)


def _days(found: Performance) -> str:
    rows = [
        [
            day.day, text(day.strategy_name), f"{day.orders:,}", f"{day.cost * BPS:.2f}",
            "not told" if day.impact is None else f"{day.impact * BPS:.2f}", f"{day.success_rate:.0%}",
        ]
        for day in found.daily
    ]  # fmt: skip
    columns = ("day", "strategy", "orders", "cost, bps", "impact, bps", "success rate")
    return f"<details><summary>{len(rows):,} days and strategies</summary>{table(columns, rows, 'Days')}</details>"


def _bps(interval: Interval) -> str:
    return _interval(interval, BPS)


def _interval(interval: Interval, unit: float = 1.0) -> str:
    return f"{interval.mean * unit:.2f} [{interval.lower * unit:.2f}, {interval.upper * unit:.2f}]"


_READING = """
<p>Costs and impacts are in basis points of notional, positive where they hurt. An order counts on the UTC day of its
first report, with the forecast that was made at the start. Success: filled completely, at a cost of at most the
forecast's 90 % quantile. Venues are those that the plan gave a share, so an order stands in several lines.</p>
<p>&ldquo;Not distinguishable yet&rdquo;: the interval of the group holds the mean of all other orders, so the figures
do not say that there is a difference. Where one is found, it may lie in the orders that a group gets, and not in what
it does with them; the forecast beside it shows that. Nothing is corrected for the number of groups: of twenty that are
alike, one will look different. Orders of one day share its market, so over few days true intervals are wider.</p>
<p>An arrow marks an interval that goes on outside of its picture. One order's interval is all that there can be.</p>
"""
