"""Takes the console's pictures in docs/images anew: a small desk of orders, every view in Chromium.

    python -m tests.helpers.console_pictures
"""

from __future__ import annotations

import urllib.parse
from pathlib import Path
from typing import Any, Final

from execution_strategy.v1 import admin_pb2, status_pb2

from tests.helpers.adapt_stream import AdaptStream
from tests.helpers.browser import Page, browser, find_browser
from tests.helpers.live_service import ADMIN, Gateway, LiveService, live_service, order

IMAGES: Final = Path("docs/images")
SETTLED: Final = "!document.querySelector('.busy')"
TREND: Final = {"current_conditions": "MARKET_CONDITION_TRENDING", "short_term_alpha_bps_per_day": 400.0}
# instrument, side, shares, objective, urgency
DESK: Final = (
    ("600519.SH", "BUY", 20_000, "MINIMIZE_RISK", "NORMAL"), ("SPY", "BUY", 20_000, "MINIMIZE_COST", "LOW"),
    ("PLTR", "SELL", 120_000, "MINIMIZE_COST", "NORMAL"), ("GE", "SELL", 60_000, "MINIMIZE_TIME", "URGENT"),
    ("PETR4", "BUY", 300_000, "BALANCED_EXECUTION", "NORMAL"), ("IBM", "BUY", 40_000, "MINIMIZE_COST", "LOW"),
    ("BAC", "BUY", 250_000, "MAXIMIZE_ALPHA_CAPTURE", "HIGH"), ("AAPL", "SELL", 90_000, "MINIMIZE_RISK", "HIGH"),
    ("AIG", "BUY", 40_000, "BALANCED_EXECUTION", "NORMAL"), ("MSFT", "SELL", 400_000, "BALANCED_EXECUTION", "HIGH"),
)  # fmt: skip


def decided_desk(gateway: Gateway) -> list[Any]:
    found = []
    for number, (instrument, side, shares, objective, urgency) in enumerate(DESK, start=1):
        reply = gateway.recommend(order(
            order_id=f"DESK-{number:03}", instrument_id=instrument, side=side, quantity=shares, objective=objective,
            urgency=urgency, acknowledgement="COMMITTED",
        ), 30.0)  # fmt: skip
        assert reply.code == "OK", reply
        found.append(reply.response)
    return found


def trade(gateway: Gateway, desk: list[Any]) -> None:
    """Every second order trades; AIG meets a trend."""
    with AdaptStream(gateway) as stream:
        for decided in desk[1::2]:
            mid = decided.resolved_inputs.mid_price
            planned = sum(part.quantity for part in decided.recommended_strategy.time_allocation.slices)
            for number in (1, 2, 3):
                fill = {"execution_id": f"x{number}", "quantity": int(planned * number / 40) or 1,
                        "price": mid * (1.0 + 0.0002 * number), "venue": "XNYS"}  # fmt: skip
                stream.send(decided.order_id, number, fill=fill)
            stream.acknowledged(decided.order_id, 3)
        aig = desk[8]
        for number in (1, 2):
            stream.send(aig.order_id, number, fill={
                "execution_id": f"y{number}", "quantity": 3_000, "price": aig.resolved_inputs.mid_price,
            })  # fmt: skip
        stream.send(aig.order_id, 3, market_context=TREND)
        stream.wait(lambda answer: answer.order_id == aig.order_id and answer.advice_number == 1)


def outcomes(gateway: Gateway) -> None:
    """Orders of an earlier day's desk, with what they cost."""
    for number in range(24):
        objective = DESK[number % len(DESK)][3]
        decided = gateway.recommend(order(
            order_id=f"DONE-{number:03}", objective=objective, quantity=10_000 + 2_500 * number,
            acknowledgement="COMMITTED",
        ), 30.0).response  # fmt: skip
        expected = decided.expected_outcomes
        report = status_pb2.ReportOutcomeRequest(order_id=decided.order_id)
        outcome = report.actual_outcomes
        outcome.cost = expected.estimated_cost + expected.cost_standard_deviation * ((number * 7 % 12) - 5.5) / 6.0
        outcome.time_minutes, outcome.filled_quantity = expected.estimated_time_minutes, 10_000 + 2_500 * number
        outcome.average_price = decided.resolved_inputs.mid_price
        assert gateway.call("ReportOutcome", report, 30.0).code == "OK"


def put(page: Page, name: str, value: str) -> None:
    drawn = page.run("performance.getEntriesByName('what-if').length")
    page.run(
        f"(() => {{ const one = document.getElementById({name!r}); one.value = {value!r};"
        " one.dispatchEvent(new Event('input', { bubbles: true })); })()"
    )
    page.until(f"performance.getEntriesByName('what-if').length > {drawn}")


def take(page: Page, service: LiveService, gateway: Gateway, desk: list[Any]) -> None:
    base = f"http://{service.about['http_address']}/"
    page.size(1280, 640)
    page.open(base + "#/orders")
    page.until("document.querySelectorAll('table.orders tbody tr').length >= 10")
    page.picture(IMAGES / "console-orders.png")
    page.size(1180, 760)
    page.open(base + f"#/order/{desk[8].order_id}")
    page.until("document.querySelectorAll('.timeline li').length >= 5")
    page.picture(IMAGES / "console-order.png")
    page.size(1240, 760)
    page.scheme("dark")
    page.open(base + f"#/what-if?order={urllib.parse.quote(desk[9].order_id)}")
    page.until(f"document.querySelector('#answer .tiles') && {SETTLED}")
    put(page, "quantity-box", "1500000")
    put(page, "daily_volatility-box", "2.6")
    page.until(SETTLED)
    page.picture(IMAGES / "console-what-if.png")
    page.scheme("light")
    page.size(1280, 560)
    page.open(base + "#/performance")
    page.until("document.querySelector('.chart .ring')")
    page.picture(IMAGES / "console-performance.png")
    halt = admin_pb2.HaltRequest(scope="SCOPE_INSTRUMENT", subject="GE", reason="news pending")
    assert gateway.call("Halt", halt, 15.0, ADMIN).code == "OK"
    page.size(1280, 700)
    page.open(base + "#/health")
    page.until("document.querySelector('#controls table')?.textContent.includes('news pending')")
    page.picture(IMAGES / "console-health.png")
    page.size(390, 844, phone=True)
    page.open(base + f"#/order/{desk[8].order_id}")
    page.until("document.querySelectorAll('.timeline li').length >= 5")
    page.picture(IMAGES / "console-phone.png")


def main() -> None:
    program = find_browser()
    if program is None:
        raise SystemExit("no Chromium: install the Debian package `chromium`")
    with live_service(ESS_HTTP_ADDRESS="127.0.0.1:0") as service, Gateway(service.target) as gateway:
        outcomes(gateway)
        desk = decided_desk(gateway)
        trade(gateway, desk)
        with browser(program) as chromium:
            take(chromium.page(), service, gateway, desk)


if __name__ == "__main__":
    main()
