"""The calibration report in a real browser: pictures are drawn, nothing is fetched or run, a phone can read it."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers import market_files as files
from training.calibration.command import calibrate

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# What the page looks like from within; the copy that holds this script must first be allowed to run one.
PROBE = """
<script>
const errors = [];
window.addEventListener("error", e => errors.push(String(e.message)));
window.addEventListener("load", () => {
  const seen = [...document.querySelectorAll("figure > svg")].map(svg => ({
    name: svg.querySelector("title").textContent,
    width: svg.getBoundingClientRect().width,
    drawn: [...svg.querySelectorAll("path.line, rect")].filter(e => e.getBBox().width > 1).length,
    inside: [...svg.querySelectorAll("path.line, rect, circle")].every(e => {
      const box = e.getBBox();
      return box.x >= -1 && box.y >= -1 && box.x + box.width <= 641 && box.y + box.height <= 321;
    }),
    colour: getComputedStyle(svg.querySelector("path.line, rect")).getPropertyValue("stroke") + "/" +
            getComputedStyle(svg.querySelector("path.line, rect")).getPropertyValue("fill"),
  }));
  const facts = {
    errors, seen, lang: document.documentElement.lang, title: document.title,
    headings: [...document.querySelectorAll("h1, h2, h3")].map(h => h.textContent),
    loaded: performance.getEntriesByType("resource").map(r => r.name),
    tooWide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    cells: document.querySelectorAll("td[data-name]").length,
    links: [...document.querySelectorAll("nav a")].every(a => document.querySelector(a.getAttribute("href"))),
  };
  const out = document.createElement("pre");
  out.id = "facts"; out.textContent = "FACTS" + JSON.stringify(facts) + "END";
  document.body.append(out);
});
</script>
"""


@pytest.fixture(scope="module")
def browser() -> str:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium: install the Debian package `chromium`")
    return found


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    calibrate(files.small_folder(tmp_path_factory.mktemp("market")), out, days=24)
    return out / "report.html"


def opened(browser: str, page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The page in a headless browser of its own profile that may reach nothing."""
    return subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-default-apps",
            "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={page.parent / 'profile'}",
            "--enable-logging=stderr", *options, page.as_uri(),
        ],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


def facts_of(browser: str, report: Path, width: int) -> dict[str, object]:
    """What the probe saw of a copy of the page, in a window of this width."""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", report.read_text())
    copy = report.with_name(f"probed{width}.html")
    copy.write_text(text.replace("</body>", PROBE + "</body>"))
    done = opened(browser, copy, f"--window-size={width},900", "--virtual-time-budget=3000", "--dump-dom")
    found = re.search(r"FACTS(\{.*?\})END", done.stdout, re.DOTALL)
    assert found, done.stderr[-2_000:]
    facts: dict[str, object] = json.loads(html.unescape(found.group(1)))
    return facts


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
