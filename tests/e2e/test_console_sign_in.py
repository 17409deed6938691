"""Signing in to the console of a guarded service, in real Chromium: no script sees the token, the stream has it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.e2e.test_console import CONTRAST, STRUCTURE, row_of
from tests.helpers.browser import Browser, Page, browser, browser_or_skip
from tests.helpers.live_service import SERVICE, LiveService, live_service, order

TOKENS = {name: f"{name}-{hashlib.sha256(name.encode()).hexdigest()}" for name in ("gateway", "trader", "viewer")}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    policy: Path = tmp_path_factory.mktemp("policy") / "policy.toml"
    policy.write_text("\n".join(
        f'[identities."{name}-1"]\nroles = ["{name}"]\ntoken_sha256 = ["{hashlib.sha256(token.encode()).hexdigest()}"]'
        for name, token in TOKENS.items()
    ))  # fmt: skip
    with live_service(ESS_HTTP_ADDRESS="127.0.0.1:0", ESS_POLICY_FILE=str(policy)) as service:
        yield service


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser(browser_or_skip()) as found:
        yield found


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A tab of a browser that has no cookies."""
    tab = chromium.page()
    tab.send("Network.clearBrowserCookies")
    tab.size(1440, 900)
    tab.refusals_expected = True  # a browser tells every 401 as an error
    yield tab
    assert tab.errors == []
    tab.send("Page.navigate", url="about:blank")


def address(guarded: LiveService, view: str = "") -> str:
    return f"http://{guarded.about['http_address']}/{view}"


def sign_in(page: Page, token: str) -> None:
    page.until("document.getElementById('token')")
    page.run(f"document.getElementById('token').value = '{token}'")
    page.run("document.querySelector('form button').click()")


def decided(guarded: LiveService) -> str:
    request = order()
    with grpc.insecure_channel(guarded.target) as channel:
        ask: Any = channel.unary_unary(f"/{SERVICE}/Recommend")
        ask(request.SerializeToString(), timeout=20.0, metadata=(("authorization", f"Bearer {TOKENS['gateway']}"),))
    return request.order_id


def test_whoever_is_nobody_is_asked_and_goes_on_where_they_wanted(page: Page, guarded: LiveService) -> None:
    page.open(address(guarded, "#/what-if"))
    page.until("location.hash.startsWith('#/sign-in')")
    page.until("document.getElementById('link').textContent === 'Not signed in'")
    sign_in(page, "a-token-that-nobody-has")
    page.until("document.querySelector('[role=alert]')?.textContent.includes('does not know this token')")
    assert page.run("document.activeElement.id") == "token"
    sign_in(page, TOKENS["trader"])
    page.until("location.hash === '#/what-if' && document.querySelector('#answer .tiles')")
    page.until("document.getElementById('link').dataset.state === 'live'")
    assert page.run("document.cookie") == "", "no script sees the cookie"
    assert page.run("localStorage.length + sessionStorage.length") == 0
    assert TOKENS["trader"] not in str(page.run("document.documentElement.outerHTML"))
    assert all("token" not in one for one in page.requests if "?" in one)


def test_the_stream_and_the_calls_know_who_reads_until_they_sign_out(page: Page, guarded: LiveService) -> None:
    page.open(address(guarded, "#/orders"))
    sign_in(page, TOKENS["viewer"])
    page.until("location.hash === '#/orders'")
    name = decided(guarded)
    page.until(row_of(name))
    page.open(address(guarded, "#/health"))
    page.until("document.getElementById('controls')?.textContent.includes('Nothing is halted')")
    page.until("!document.getElementById('sign-out').hidden")
    page.run("location.hash = '#/what-if'")
    page.until("document.querySelector('[role=alert]')?.textContent.includes('may not call Recommend')")
    page.run("document.getElementById('sign-out').click()")
    page.until("location.hash.startsWith('#/sign-in')")
    assert page.run("fetch('/api/v1/execution-strategy/orders').then(one => one.status)") == 401
    assert page.run("fetch('/api/v1/console/orders/stream').then(one => one.status)") == 401
    page.run("location.hash = '#/orders'")
    page.until("location.hash.startsWith('#/sign-in')")
    assert name not in page.text(), "what the reader before saw is gone"


def test_a_form_of_another_origin_does_nothing(page: Page, guarded: LiveService) -> None:
    """The browser sends no cookie from another site, and takes no answer to it; the service would not count it."""
    page.open(address(guarded, "#/orders"))
    sign_in(page, TOKENS["trader"])
    page.until("location.hash === '#/orders'")
    base = address(guarded)
    page.send("Page.navigate", url="data:text/html,<title>elsewhere</title>")
    page.until("document.title === 'elsewhere'")
    tried = page.run(
        f"fetch('{base}api/v1/execution-strategy/orders', {{ credentials: 'include' }}).then(() => 'read', () => 'no')"
    )
    assert tried == "no"
    sent = page.run(
        f"fetch('{base}api/v1/console/session', {{ method: 'POST', mode: 'no-cors', credentials: 'include',"
        " headers: { 'content-type': 'text/plain' }, body: '{}' }).then(one => one.type, () => 'no')"
    )
    assert sent in ("opaque", "no")
    page.open(base)
    page.until("document.getElementById('link').dataset.state === 'live'")
    page.forget_errors()  # a browser tells what it refused the other page


@pytest.mark.parametrize(("scheme", "phone"), [("light", False), ("dark", True)])
def test_the_page_is_readable(page: Page, guarded: LiveService, scheme: str, phone: bool) -> None:
    page.scheme(scheme)
    page.size(*((390, 844) if phone else (1440, 900)), phone=phone)
    page.open(address(guarded))
    page.until("document.getElementById('token')")
    found = page.run(STRUCTURE)
    assert (found["headings"], found["unnamed"], found["inline"], found["tooWide"]) == (1, [], 0, 0)
    assert page.run(CONTRAST) == []


def test_no_token_stands_in_the_log(guarded: LiveService) -> None:
    deadline_s = time.monotonic() + 10.0
    while "http ready" not in guarded.output:
        assert time.monotonic() < deadline_s
    assert not any(token in guarded.output for token in TOKENS.values())
