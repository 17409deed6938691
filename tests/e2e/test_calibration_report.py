"""The calibration report in a real browser: pictures are drawn, nothing is fetched or run, a phone can read it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers import market_files as files
from tests.helpers.browser import browser_or_skip
from tests.helpers.report_pages import facts_of, opened
from training.calibration.command import calibrate


@pytest.fixture(scope="module")
def browser() -> str:
    return browser_or_skip()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    calibrate(files.small_folder(tmp_path_factory.mktemp("market")), out, days=24)
    return out / "report.html"


@pytest.mark.parametrize("width", [1200, 390])
def test_pictures_are_drawn(browser: str, report: Path, width: int) -> None:
    facts = facts_of(browser, report, width)
    assert facts["errors"] == []
    assert facts["loaded"] == []
    assert facts["lang"] == "en"
    assert facts["title"]
    assert facts["links"] is True
    assert facts["tooWide"] == 0
    seen = facts["seen"]
    assert isinstance(seen, list)
    assert len(seen) >= 8
    for picture in seen:
        assert picture["name"]
        assert picture["width"] > 250
        assert picture["drawn"] >= 2
        assert picture["inside"] is True
        assert "rgb" in picture["colour"]
    headings = " ".join(map(str, facts["headings"]))  # type: ignore[call-overload]
    for wanted in ("Kurtosis", "Clustering", "Variance", "Volume", "spread", "Impact", "Passive fills"):
        assert wanted in headings


def test_the_page_itself_runs_and_fetches_nothing(browser: str, report: Path) -> None:
    log = report.parent / "net.json"
    done = opened(browser, report, f"--log-net-log={log}", "--virtual-time-budget=2000", "--dump-dom")
    assert done.returncode == 0
    assert "<svg" in done.stdout
    assert "CONSOLE" not in done.stderr
    # The browser itself asks home now and then; the page may not.
    asked = set(re.findall(r'"url":"(https?://[^"]+)"', log.read_text()))
    own = re.compile(r"https?://([a-z0-9-]+\.)*(google|googleapis|gvt1|gstatic)\.com/")
    assert {url for url in asked if not own.match(url)} == set()


def test_the_text_names_nothing_outside_of_itself(report: Path) -> None:
    page = report.read_text()
    assert not re.search(r"""(src|href)\s*=\s*["'](?!#)""", page)
    assert not re.search(r"url\(|@import|<script|<iframe|<link|<img|\bon[a-z]+=", page)
    assert "default-src 'none'" in page
    assert page.count("<svg viewBox") == page.count('role="img"')
    assert "<html lang=" in page
