"""What an order under way is watched and planned with: who said a figure last, and that saying one takes none back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.order_life.now import Order, context_now, figures_now, quote_of
from engine.order_life.told import told_after
from engine.order_life.triggers import Trigger
from engine.order_life.updates import UNITS_PER_SHARE, Fill, Market
from engine.request import Context
from engine.snapshot import InstrumentView, Snapshot
from engine.values import MarketCondition
from tests.helpers import world
from tests.helpers.order_lives import Followed, followed
from tests.helpers.world import MINUTE_NS

SAID: dict[str, Any] = {
    "mid_price": 101.0, "spread_bps": 9.0, "daily_volatility_fraction": 0.035,
    "average_daily_volume_shares": 7e5, "short_term_alpha_bps_per_day": -180.0,
}  # fmt: skip


def order_with(view: InstrumentView | None = None, **said: Any) -> tuple[Followed, int]:
    """An order under way, and an instant after its start."""
    snapshot = world.usual() if view is None else world.snapshot(changed={world.US: view})
    order = followed(world.order(share=0.001, **said), snapshot)
    return order, order.watch.started_ns + MINUTE_NS // 20


def view_with(**market: Any) -> InstrumentView:
    view = world.views()[world.US]
    return replace(view, market=replace(view.market, **market))


def renewed(order: Followed, **market: Any) -> Snapshot:
    return replace(order.snapshot, views={**order.snapshot.views, world.US: view_with(**market)})


def seen_of(order: Followed) -> Order:
    view = order.snapshot.views[world.US]
    return Order(order.request, order.life.state, view, order.watch.first, order.watch.look.figures)


def small_fill(name: str = "x") -> Fill:
    return Fill(name, 100 * UNITS_PER_SHARE, 101.0)


def test_a_figure_stays_until_it_is_said_again_and_the_moment_does_not() -> None:
    first = Context(
        condition=MarketCondition.HIGH_VOLATILITY, news_impact_score=0.6, liquidity_score=0.3, time_of_day="OPEN",
        **SAID,
    )
    after = told_after(first, Context(mid_price=102.0))
    assert after == Context(mid_price=102.0, liquidity_score=0.3, **{n: v for n, v in SAID.items() if n != "mid_price"})
    assert told_after(after, Context(short_term_alpha_bps_per_day=0.0)).short_term_alpha_bps_per_day == 0.0


def test_a_regime_and_a_volatility_take_each_others_place() -> None:
    figure = Context(daily_volatility_fraction=0.02)
    regime = told_after(figure, Context(volatility_regime="HIGH"))
    assert (regime.daily_volatility_fraction, regime.volatility_regime) == (None, "HIGH")
    assert told_after(regime, Context(mid_price=1.0)).volatility_regime == "HIGH"
    again = told_after(regime, figure)
    assert (again.daily_volatility_fraction, again.volatility_regime) == (0.02, "")


@pytest.mark.parametrize("name", ["daily_volatility_fraction", "average_daily_volume_shares",
                                  "short_term_alpha_bps_per_day", "spread_bps"])
def test_a_fill_is_no_change_of_the_market(name: str) -> None:
    """What the request says differs from the snapshot: the request's counts after the decision too."""
    order, now_ns = order_with(**{name: SAID[name]})
    before = order.watch.look.figures
    assert order.tell(now_ns, small_fill()) is None
    forced = order.look(now_ns + 1, None, "asked")
    assert forced is not None
    after = order.watch.look.figures
    for figure in ("volatility_fraction", "daily_volume_shares", "spread_bps", "alpha_bps_per_day"):
        assert getattr(after, figure) == pytest.approx(getattr(before, figure)), figure


def test_a_mid_alone_takes_no_figure_back() -> None:
    order, now_ns = order_with()
    told = Context(condition=MarketCondition.NORMAL, **SAID)
    order.tell(now_ns, Market(told))
    figures = order.watch.look.figures
    assert order.tell(now_ns + 10 * MINUTE_NS, Market(Context(mid_price=101.2))) is None
    order.look(now_ns + 11 * MINUTE_NS, None, "asked")
    assert order.watch.look.figures == figures


def test_the_newest_mid_counts_whoever_told_it() -> None:
    order, now_ns = order_with(view_with(as_of_ns=1), mid_price=100.0)
    assert quote_of(seen_of(order)).mid_price == 100.0  # the snapshot's is older than the decision
    order.snapshot = renewed(order, mid_price=103.0, as_of_ns=now_ns)
    assert quote_of(seen_of(order)).mid_price == 103.0
    order.tell(now_ns + MINUTE_NS, Market(Context(mid_price=99.0, spread_bps=2.0)))
    assert quote_of(seen_of(order))[:2] == (99.0, 2.0)
    order.snapshot = renewed(order, mid_price=104.0, spread_bps=5.0, as_of_ns=now_ns + 2 * MINUTE_NS)
    assert quote_of(seen_of(order)) == (104.0, 5.0, True)


def test_an_old_snapshot_pauses_nobody() -> None:
    """The gateway's mid lies within its limit; the snapshot's of yesterday does not."""
    mid = float(world.views()[world.US].market.mid_price or 0.0)
    old = view_with(mid_price=mid * 1.08, as_of_ns=1)
    order, now_ns = order_with(old, mid_price=mid, price_limit=mid * 1.02)
    assert order.tell(now_ns, small_fill()) is None
    assert not order.watch.look.is_near_limit
    advice = order.look(now_ns + 1, None, "asked")
    assert advice is not None
    assert not advice.cannot_complete


def test_a_newer_snapshot_is_seen_without_an_update() -> None:
    mid = float(world.views()[world.US].market.mid_price or 0.0)
    order, now_ns = order_with(view_with(as_of_ns=1), mid_price=mid, price_limit=mid * 1.02)
    assert order.look(now_ns) is None
    order.snapshot = renewed(order, mid_price=mid * 1.03, as_of_ns=now_ns)
    advice = order.look(now_ns + 5)
    assert advice is not None
    assert advice.trigger is Trigger.PRICE_LIMIT


def test_without_a_snapshots_figure_looks_do_not_add_up() -> None:
    """A condition scales the figure that the order was decided with, and not what the look before made of it."""
    order, now_ns = order_with(
        view_with(daily_volatility_fraction=None, average_daily_volume_shares=None),
        daily_volatility_fraction=0.02, average_daily_volume_shares=4e6,
    )  # fmt: skip
    stressed = Context(condition=MarketCondition.HIGH_VOLATILITY)
    first = figures_after(order, now_ns, stressed)
    assert first.volatility_fraction > 0.02
    for minute in range(1, 6):
        assert figures_after(order, now_ns + minute * MINUTE_NS, stressed) == first
    calm = figures_after(order, now_ns + 9 * MINUTE_NS, Context(condition=MarketCondition.NORMAL))
    assert calm.volatility_fraction == pytest.approx(0.02)
    assert calm.daily_volume_shares == pytest.approx(4e6)


def figures_after(order: Followed, now_ns: int, context: Context) -> Any:
    order.tell(now_ns, Market(context))
    order.look(now_ns + 1, None, "asked")
    return order.watch.look.figures


def test_what_a_decision_is_told_gives_the_figures_that_are_watched() -> None:
    """Otherwise the next look would see a change that nobody told of."""
    order, now_ns = order_with(average_daily_volume_shares=4e6, liquidity_score=0.2, daily_volatility_fraction=0.02)
    order.tell(now_ns, Market(Context(condition=MarketCondition.HIGH_VOLATILITY)))
    now = seen_of(order)
    figures = figures_now(now, 3.0, order.snapshot.assumptions, now_ns)
    told = context_now(now, quote_of(now), figures, now_ns)
    again = followed(replace(order.request, context=told), order.snapshot).decision.inputs
    assert again.daily_volatility_fraction == pytest.approx(figures.volatility_fraction)
    assert again.average_daily_volume_shares == pytest.approx(figures.daily_volume_shares)
