"""The console in real Chromium: every view, by mouse, keyboard and on a phone; nothing from outside, no error."""

from __future__ import annotations

import contextlib
import json
import math
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest
from execution_strategy.v1 import admin_pb2, enums_pb2, status_pb2

from tests.helpers.adapt_stream import AdaptStream
from tests.helpers.browser import Browser, Page, browser, browser_or_skip
from tests.helpers.live_service import ADMIN, DAY_S, Gateway, LiveService, closed_time, new_order_id, order
from tests.helpers.running_host import eventually

TREND = {"current_conditions": "MARKET_CONDITION_TRENDING", "short_term_alpha_bps_per_day": 400.0}
# Of every text: its contrast with what lies behind it, of WCAG. Pictures count, too.
CONTRAST = """(() => {
  const parse = (c) => { const v = c.match(/[0-9.]+/g).map(Number); return v.length < 4 ? [...v, 1] : v; };
  const light = (colour) => {
    const v = colour.slice(0, 3).map(x => x / 255).map(x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    return 0.2126*v[0] + 0.7152*v[1] + 0.0722*v[2]; };
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c[3] > 0.99) return c;
    }
    return [255, 255, 255, 1]; };
  const poor = [];
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) || !e.getClientRects().length) continue;
    if (e.closest("noscript, option, .unseen, [disabled]")) continue;
    const style = getComputedStyle(e), ink = parse(e.closest("svg") ? style.fill : style.color);
    const one = light(ink), two = light(behind(e));
    const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    if (ratio < 4.5) poor.push(`${e.tagName} "${e.textContent.slice(0, 30)}" ${ratio.toFixed(2)}`);
  }
  return poor;
})()"""
STRUCTURE = """(() => ({
  landmarks: ["header", "nav", "main"].map(t => document.querySelectorAll(t).length),
  headings: document.querySelectorAll("h1").length, lang: document.documentElement.lang,
  unnamed: [...document.querySelectorAll("input, select, button, a")].filter(e =>
    !(e.labels?.length || e.ariaLabel || e.textContent.trim())).map(e => e.outerHTML),
  pictures: [...document.querySelectorAll("svg:not([aria-hidden] svg):not([aria-hidden])")]
    .filter(e => !e.getAttribute("aria-label")).length,
  tables: [...document.querySelectorAll("table")]
    .filter(t => !t.caption || !t.querySelector("th[scope=col]")).length,
  inline: document.querySelectorAll("[style], script:not([src]), style").length,
  tooWide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
}))()"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    program = browser_or_skip()
    with browser(program) as found:
        yield found


@pytest.fixture
def page(chromium: Browser, live: LiveService) -> Iterator[Page]:
    """A tab whose console stays empty, and which asks nobody but the service."""
    found = chromium.page()
    found.size(1440, 900)
    yield found
    base = f"http://{live.about['http_address']}"
    assert found.errors == []
    assert [one for one in found.requests if not one.startswith((base, "data:", "about:"))] == []
    found.send("Page.navigate", url="about:blank")


def address(live: LiveService, view: str = "#/orders") -> str:
    return f"http://{live.about['http_address']}/{view}"


def order_view(order_id: str) -> str:
    return f"#/order/{urllib.parse.quote(order_id, safe='')}"


def traded(gateway: Gateway, **changes: Any) -> Any:
    """An order with two fills and an advice to switch."""
    decided = gateway.recommend(order(**changes)).response
    with AdaptStream(gateway) as stream:
        mid = decided.resolved_inputs.mid_price
        for number in (1, 2):
            fill = {"execution_id": f"x{number}", "quantity": 3_000, "price": mid, "venue": "XNYS"}
            stream.send(decided.order_id, number, fill=fill)
        stream.send(decided.order_id, 3, market_context=TREND)
        stream.wait(lambda answer: answer.advice_number == 1)
    return decided


def row_of(order_id: str) -> str:
    return f"[...document.querySelectorAll('table.orders tbody tr')].find(r => r.textContent.includes('{order_id}'))"


def test_orders_move_by_themselves(page: Page, live: LiveService, gateway: Gateway) -> None:
    page.open(address(live))
    page.until("document.getElementById('link').textContent === 'Live'")
    decided = gateway.recommend(order()).response
    page.until(f"{row_of(decided.order_id)}?.textContent.includes('Recommended')")
    with AdaptStream(gateway) as stream:
        price = decided.resolved_inputs.mid_price
        stream.send(decided.order_id, 1, fill={"execution_id": "a", "quantity": 10_000, "price": price})
        page.until(f"{row_of(decided.order_id)}?.textContent.includes('Working')")
        assert "25\u00a0%" in page.run(f"{row_of(decided.order_id)}.textContent")
        stream.send(decided.order_id, 2, market_context=TREND)
        advice = stream.wait(lambda answer: answer.advice_number == 1)
    page.until(f"{row_of(decided.order_id)}?.textContent.includes('Condition changed')")
    assert advice.rationale[:40] in page.run(f"{row_of(decided.order_id)}.textContent")
    spoken = page.run("document.getElementById('spoken').textContent")
    assert spoken.startswith(f"Advice for {decided.order_id}"), "who cannot see it hears of it"
    page.run("document.getElementById('filter').focus()")
    page.send("Input.insertText", text=decided.order_id)
    page.until("document.querySelectorAll('table.orders tbody tr').length === 1")


def test_one_order(page: Page, live: LiveService, gateway: Gateway) -> None:
    decided = traded(gateway)
    page.open(address(live, order_view(decided.order_id)))
    page.until("document.querySelectorAll('.timeline li').length >= 5")
    titles = page.run("[...document.querySelectorAll('h2')].map(one => one.textContent)")
    assert titles == [
        "Schedule against fills", "Efficient frontier", "Why", "Venues", "Cost breakdown", "Cost so far, after Perold",
        "Alternatives", "What would change its mind", "Timeline", "Parameters and controls",
    ]  # fmt: skip
    text = page.text()
    assert "6,000 of 40,000 shares" in text
    assert "Condition changed" in text
    assert page.run("document.querySelectorAll('svg .ring').length") == 1, "the chosen point"
    assert page.run("document.querySelectorAll('svg path.two').length") == 1, "what was filled"
    page.run("document.getElementById('replay').click()")
    page.until("document.getElementById('replayed').textContent.includes('same bytes')")
    report = status_pb2.ReportOutcomeRequest(order_id=decided.order_id)
    outcome = report.actual_outcomes
    outcome.cost, outcome.time_minutes, outcome.filled_quantity, outcome.average_price = 0.0004, 40, 40_000, 78.0
    assert gateway.call("ReportOutcome", report).code == "OK"
    page.until("document.body.innerText.includes('Outcome')")
    page.until("document.body.innerText.includes('4.00\\u00a0bps')")


def test_an_order_that_nobody_knows(page: Page, live: LiveService) -> None:
    page.refusals_expected = True
    page.open(address(live, order_view("nobody/knows it")))
    page.until("document.querySelector('[role=alert]')")
    assert "order_id" in page.text()


def test_an_id_that_is_markup_is_text(page: Page, live: LiveService, gateway: Gateway) -> None:
    name = f"<script>alert(1)</script><img/src=x/onerror=alert(2)>{new_order_id()}"
    assert gateway.recommend(order(order_id=name)).code == "OK"
    page.open(address(live))
    page.until(f"[...document.querySelectorAll('table.orders a')].some(one => one.textContent === {name!r})")
    page.run(f"[...document.querySelectorAll('table.orders a')].find(one => one.textContent === {name!r}).click()")
    page.until(f"document.querySelector('h1').textContent === {name!r} && document.querySelector('.timeline')")
    assert page.run("document.querySelectorAll('main script, main img').length") == 0
    assert page.run("document.querySelectorAll('script').length") == 1


KEPT = ("strategy_selections", "orders", "order_updates", "adaptations", "outcomes", "outbox")


def kept(live: LiveService) -> dict[str, int]:
    found = {name: int(live.rows(f"SELECT count(*) FROM {name}")[0][0]) for name in KEPT}
    status, text = live.http("/api/v1/execution-strategy/service")
    assert status == 200
    figures = {one["name"]: one["value"] for one in json.loads(text)["figures"]}
    return found | {"journal": int(figures["ess.journal.entries"])}


def set_field(page: Page, name: str, value: str, event: str) -> None:
    page.run(
        f"(() => {{ const one = document.getElementById({name!r}); one.value = {value!r};"
        f" one.dispatchEvent(new Event({event!r}, {{ bubbles: true }})); }})()"
    )


def test_what_if_moves_at_once_and_records_nothing(page: Page, live: LiveService, gateway: Gateway) -> None:
    decided = gateway.recommend(order(acknowledgement="COMMITTED"), 30.0).response
    before = kept(live)
    page.open(address(live, f"#/what-if?order={urllib.parse.quote(decided.order_id)}"))
    page.until("document.querySelector('#answer .tiles') && !document.querySelector('.busy')")
    tile = "document.querySelector('#answer .tile dd').firstChild.textContent"
    seen = [page.run(tile)]
    assert page.run("document.getElementById('quantity-box').value") == "40000"
    for name, value, event in (
        ("quantity-box", "200000", "input"), ("daily_volatility-box", "6", "input"), ("spread_bps-box", "40", "input"),
        ("max_participation_rate-box", "8", "input"), ("objective", "MINIMIZE_TIME", "change"),
        ("urgency", "URGENT", "change"),
    ):  # fmt: skip
        drawn = page.run("performance.getEntriesByName('what-if').length")
        set_field(page, name, value, event)
        page.until(f"performance.getEntriesByName('what-if').length > {drawn}")
        seen.append(page.run(f"{tile} + document.querySelector('.choice').textContent"))
    assert len(set(seen[:4])) == 4, f"size, volatility and spread move the answer: {seen}"
    assert len(set(seen)) >= 5, f"limits and wishes do where they bind: {seen}"
    assert page.run("document.querySelector('#answer path.ghost') !== null"), "beside what it was compared with"
    assert "against" in page.run("document.querySelector('#answer .tile small').textContent")
    # Many changes in a moment: the last one stands, whatever the order of the answers.
    for quantity in range(10_000, 60_000, 5_000):
        set_field(page, "quantity-box", str(quantity), "input")
    set_field(page, "quantity-box", "100", "input")
    page.until("!document.querySelector('.busy')")
    page.until("[...document.querySelectorAll('.chart')].some(one => one.ariaLabel.startsWith('Plan of 100 shares'))")
    page.refusals_expected = True
    set_field(page, "quantity-box", "100000000000", "input")
    page.until("document.querySelector('#answer [role=alert], #answer .note.warn')")
    assert kept(live) == before


def test_what_if_of_an_order_that_is_yet_to_begin_is_of_then(page: Page, live: LiveService, gateway: Gateway) -> None:
    later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(closed_time() + 20 * DAY_S))
    decided = gateway.recommend(order(effective_time=later, acknowledgement="COMMITTED"), 30.0).response
    begins = decided.recommended_strategy.time_allocation.start_time.ToMilliseconds()
    page.open(address(live, f"#/what-if?order={urllib.parse.quote(decided.order_id)}"))
    page.until("document.querySelector('#answer .tiles') && !document.querySelector('.busy')")
    begins_there = page.run(f"new Date({begins}).toLocaleString('sv')")  # 2026-12-18 15:30:00
    assert f"Begins {begins_there}, your time." in page.text()


def test_what_if_from_nothing(page: Page, live: LiveService) -> None:
    page.refusals_expected = True  # asked for now, in a session's last minutes, so much cannot be done any more
    page.open(address(live, "#/what-if"))
    page.until("document.querySelector('#answer .tiles, #answer [role=alert], #answer .note.warn')")
    page.until("!document.querySelector('.busy')")
    set_field(page, "instrument_id", "MSFT", "change")
    page.until("document.getElementById('what-if').textContent.includes('XNAS')")
    page.until("!document.querySelector('.busy')")
    assert len(page.run("[...document.getElementById('instrument_id').options].map(one => one.value)")) == 40


def test_performance(page: Page, live: LiveService, gateway: Gateway) -> None:
    before = int(live.rows("SELECT count(*) FROM outcomes")[0][0])
    for cost in (0.001, 0.002):
        decided = gateway.recommend(order(acknowledgement="COMMITTED"), 30.0).response
        report = status_pb2.ReportOutcomeRequest(order_id=decided.order_id)
        outcome = report.actual_outcomes
        outcome.cost, outcome.time_minutes, outcome.filled_quantity, outcome.average_price = cost, 40, 40_000, 78.0
        assert gateway.call("ReportOutcome", report, 30.0).code == "OK"
    has_both = "SELECT count(*) FROM outcomes"
    eventually(lambda: int(live.rows(has_both)[0][0]) >= before + 2, within_s=15, what="outcomes in PostgreSQL")
    page.open(address(live, "#/performance"))
    page.until("document.querySelector('.chart .ring')")
    assert "with a reported outcome" in page.text()
    set_field(page, "group", "by_objective", "change")
    page.until("document.querySelector('h2').textContent.includes('by objective')")
    assert "Balanced execution" in page.text()
    assert any(words in page.text() for words in ("not distinguishable yet", "differs from the rest"))
    page.refusals_expected = True
    set_field(page, "end", "2020-01-01", "change")
    page.until("document.querySelector('[role=alert]')?.textContent.includes('end_date')")


def test_models_and_health(page: Page, live: LiveService) -> None:
    page.open(address(live, "#/models"))
    page.until("document.querySelector('.prose')")
    text = page.text()
    assert "Model card: which execution algorithm for a parent order" in text
    assert "IMPLEMENTATION_SHORTFALL" in text
    hashes = page.run("[...document.querySelectorAll('.panel > p code')].map(one => one.textContent.length)")
    assert hashes.count(64) == 2, "surfaces and models"
    page.open(address(live, "#/health"))
    page.until("document.querySelector('.tiles')")
    for words in ("Ready", "Drain lag", "Journal waiting", "Workers", "DescribeService"):
        assert words in page.text(), words


def operate(gateway: Gateway, method: str, message: Any, kind: Any) -> Any:
    reply = gateway.call(method, message, 15.0, ADMIN)
    assert reply.code == "OK", reply.text
    return kind.FromString(reply.data)


def test_halts_and_limits_come_and_go_by_themselves(page: Page, live: LiveService, gateway: Gateway) -> None:
    page.open(address(live, "#/health"))
    page.until("document.querySelector('#controls table, #controls .quiet')?.textContent.includes('Nothing is halted')")
    assert page.run("document.getElementById('halted').hidden") is True
    halt = admin_pb2.HaltRequest(scope=enums_pb2.SCOPE_INSTRUMENT, subject="PETR4", reason="<b>odd</b> prints")
    halt_id = operate(gateway, "Halt", halt, admin_pb2.HaltResponse).halt_id
    try:
        page.until("document.querySelector('#controls .badge')?.textContent === 'instrument PETR4'")
        row = page.run("document.querySelector('#controls tbody tr').innerText")
        assert "<b>odd</b> prints" in row, "a reason is text"
        assert "anybody on this host" in row
        assert page.run("document.getElementById('halted').textContent") == "Halted: instrument PETR4"
        assert "PETR4" in page.run("document.getElementById('spoken').textContent")
        assert "halted in part" in page.text()
        page.until("document.getElementById('controls').textContent.includes('Confirmed by ')")
        limits = admin_pb2.HardLimits(
            scope=enums_pb2.SCOPE_DESK, subject="nine", max_quantity=1e6, allowed_venues=["XNYS"]
        )
        change = admin_pb2.SetLimitsRequest(limits=[limits], reason="t")
        operate(gateway, "SetLimits", change, admin_pb2.SetLimitsResponse)
        page.until("document.getElementById('controls').textContent.includes('desk nine')")
        assert "1,000,000" in page.run("document.getElementById('controls').innerText")
    finally:
        operate(gateway, "Resume", admin_pb2.ResumeRequest(halt_id=halt_id, reason="t"), admin_pb2.ResumeResponse)
        nothing = admin_pb2.HardLimits(scope=enums_pb2.SCOPE_DESK, subject="nine")
        change = admin_pb2.SetLimitsRequest(limits=[nothing], reason="t")
        operate(gateway, "SetLimits", change, admin_pb2.SetLimitsResponse)
    page.until("document.getElementById('halted').hidden")
    page.until("document.getElementById('controls').textContent.includes('No hard limit is set')")


def test_by_keyboard_alone(page: Page, live: LiveService, gateway: Gateway) -> None:
    decided = gateway.recommend(order()).response
    page.open(address(live))
    page.until(row_of(decided.order_id))
    page.send("Page.bringToFront")
    focused = "(document.activeElement.getAttribute('href') ?? document.activeElement.id)"
    page.key("Tab")
    assert page.run(focused) == "#main", "the first stop skips the navigation"
    reached = []
    for _ in range(40):
        page.key("Tab")
        reached.append(page.run(focused))
        ring = page.run("getComputedStyle(document.activeElement).outlineStyle")
        assert ring != "none", f"{reached[-1]} shows that it has the focus"
        if reached[-1] == order_view(decided.order_id):
            break
    assert reached[:6] == ["#/orders", "#/what-if", "#/performance", "#/models", "#/health", "/docs"]
    assert reached[-1] == order_view(decided.order_id)
    page.key("Enter")
    page.until("document.getElementById('replay')")
    page.until("document.activeElement.id === 'main'")
    for _ in range(5):
        page.key("Tab")
        if page.run(focused) == "replay":
            break
    page.key("Enter")
    page.until("document.getElementById('replayed').textContent.includes('same bytes')")
    page.run("location.hash = '#/what-if'")
    page.until("document.querySelector('#answer .tiles') && document.activeElement.id === 'main'")
    for _ in range(6):
        page.key("Tab")
        if page.run(focused) == "quantity":
            break
    assert page.run(focused) == "quantity"
    before = page.run("document.getElementById('quantity-box').value")
    page.key("ArrowRight")
    page.until(f"document.getElementById('quantity-box').value !== {before!r}")
    page.until("performance.getEntriesByName('what-if').length > 0")


VIEWS = ("#/orders", "", "#/what-if", "#/performance", "#/models", "#/health")
SHOWN = (
    "document.querySelector('main h1') && document.querySelector('main .panel, main .tiles')"
    " && !main.textContent.includes('Loading')"
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("phone", [False, True])
def test_every_view_is_readable(page: Page, live: LiveService, gateway: Gateway, scheme: str, phone: bool) -> None:
    decided = traded(gateway, quantity=41_000)
    page.scheme(scheme)
    page.size(*((390, 844) if phone else (1440, 900)), phone=phone)
    for view in VIEWS:
        name = view or order_view(decided.order_id)
        page.send("Page.navigate", url="about:blank")
        page.open(address(live, name))
        page.until(SHOWN)
        page.run("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        found = page.run(STRUCTURE)
        assert found["landmarks"] == [1, 1, 1], name
        assert (found["headings"], found["lang"]) == (1, "en"), name
        assert found["unnamed"] == [], name
        assert (found["pictures"], found["tables"], found["inline"]) == (0, 0, 0), name
        assert found["tooWide"] == 0, f"{name} scrolls sideways"
        assert page.run(CONTRAST) == [], f"{name} in {scheme}: WCAG AA"


def test_the_frame_cannot_be_made_to_run_anything(page: Page, live: LiveService) -> None:
    page.open(address(live))
    page.until("document.querySelector('main h1')")
    with contextlib.suppress(AssertionError):
        page.run("document.getElementById('main').innerHTML = '<b>x</b>'")
    assert page.run("document.querySelectorAll('main b').length") == 0, "trusted types refuse markup"
    for way in ("textContent = 'window.ran = 1'", "append('window.ran = 1')"):
        with contextlib.suppress(AssertionError):
            page.run(
                f"(() => {{ const one = document.createElement('script'); one.{way}; document.body.append(one); }})()"
            )
    assert page.run("window.ran") is None
    page.forget_errors()  # a browser tells what it refused


def test_the_place_of_every_point_is_finite(page: Page, live: LiveService, gateway: Gateway) -> None:
    """An order of one lot has a plan of one slice and a frontier of few points; pictures must not divide by nothing."""
    decided = gateway.recommend(order(quantity=1)).response
    page.open(address(live, order_view(decided.order_id)))
    page.until("document.querySelector('.timeline')")
    drawn = "[...document.querySelectorAll('svg [d], svg [cx], svg [x]')].map(one => one.outerHTML).join(' ')"
    numbers = page.run(drawn)
    assert "NaN" not in numbers
    assert "Infinity" not in numbers
    assert math.isclose(sum(decided.recommended_strategy.venue_allocation.values()), 1.0)
