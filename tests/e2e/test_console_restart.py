"""The console while the service is away: it says so, and goes on by itself when the service is back."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import tempfile
from pathlib import Path

from tests.helpers.browser import browser, browser_or_skip
from tests.helpers.live_service import Gateway, LiveService, order

LINK = "document.getElementById('link')"


def free_port() -> int:
    """The service must come back where the page looks for it. Below the ports that connections get by themselves: a
    page that knocks at a port of those, while nobody listens, may be given that very port and meet itself."""
    for port in range(21_000 + os.getpid() % 9_000, 32_000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def shown(order_id: str) -> str:
    return f"[...document.querySelectorAll('table.orders a')].some(one => one.textContent === {order_id!r})"


def recommended(service: LiveService) -> str:
    with Gateway(service.target) as gateway:
        return str(gateway.recommend(order(), 30.0).response.order_id)


def test_restarts() -> None:
    program = browser_or_skip()
    folder = Path(tempfile.mkdtemp(prefix="ess-"))
    settings = {"ESS_HTTP_ADDRESS": f"127.0.0.1:{free_port()}", "ESS_MODELS": "off"}
    service = LiveService(folder / "var", **settings)
    try:
        service.wait_ready(60.0)
        with browser(program) as chromium:
            page = chromium.page()
            before = recommended(service)
            page.open(f"http://{settings['ESS_HTTP_ADDRESS']}/")
            page.until(f"{LINK}.dataset.state === 'live' && {shown(before)}")

            # The worker dies, and HTTP lives: the page keeps what it shows and says that the service is away.
            page.run(f"window.seen = []; new MutationObserver(() => window.seen.push({LINK}.dataset.state))"
                     f".observe({LINK}, {{ attributes: true }}); 1")  # fmt: skip
            os.kill(service.about["workers"][0], signal.SIGKILL)
            page.until("window.seen.includes('away')")
            assert page.run(shown(before))
            page.until("window.seen.at(-1) === 'live'", within_s=60.0)

            # All of it stops and starts again on the same data.
            assert service.terminate() == 0
            page.until(f"{LINK}.dataset.state === 'wait'")
            assert page.run(f"{LINK}.textContent") == "Reconnecting…"
            assert page.run(shown(before)), "what was known stays"
            service = LiveService(folder / "var", **settings)
            service.wait_ready(60.0)
            page.until(f"{LINK}.dataset.state === 'live'", within_s=60.0)
            after = recommended(service)
            page.until(shown(after))
            assert page.run(shown(before))
            # Nothing of the script failed; a browser tells every connection that it did not get.
            assert [error for error in page.errors if "Failed to load resource" not in error] == []
    finally:
        service.end()
        shutil.rmtree(folder, ignore_errors=True)
