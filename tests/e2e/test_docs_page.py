"""/docs in a real browser: nothing is run or fetched, it fits a phone, and a keyboard reaches everything."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

from service.http.docs_page import docs_page
from service.http.openapi import openapi_document
from service.mapping.http_calls import http_calls
from tests.helpers.browser import browser_or_skip
from tests.helpers.report_pages import opened

PROBE = """
<script>
const errors = [];
window.addEventListener("error", e => errors.push(String(e.message)));
window.addEventListener("load", () => {
  const light = (c) => { const v = c.match(/[0-9.]+/g).slice(0, 3).map(Number).map(x => x / 255)
    .map(x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    return 0.2126*v[0] + 0.7152*v[1] + 0.0722*v[2]; };
  const back = light(getComputedStyle(document.body).backgroundColor);
  const contrast = (e) => { const c = light(getComputedStyle(e).color);
    return (Math.max(c, back) + 0.05) / (Math.min(c, back) + 0.05); };
  const facts = {
    errors, lang: document.documentElement.lang, title: document.title,
    loaded: performance.getEntriesByType("resource").map(r => r.name),
    tooWide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    calls: [...document.querySelectorAll("main h3 .verb")].map(v => v.parentElement.textContent),
    leastContrast: Math.min(...[...document.querySelectorAll("p, td, th, a, .verb, caption, footer")].map(contrast)),
    unlabelled: [...document.querySelectorAll("[role=region]")].filter(r => !r.ariaLabel || r.tabIndex !== 0).length,
    headless: [...document.querySelectorAll("table")]
      .filter(t => !t.caption || !t.querySelector("th[scope=col]")).length,
    firstLink: document.querySelector("a").getAttribute("href"),
    unseen: [...document.querySelectorAll("td, th, p")]
      .filter(e => e.textContent.trim() && e.getBoundingClientRect().width < 8).length,
  };
  const out = document.createElement("pre");
  out.textContent = "FACTS" + JSON.stringify(facts) + "END";
  document.body.append(out);
});
</script>
"""


@pytest.fixture(scope="module")
def browser() -> str:
    return browser_or_skip()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("docs") / "docs.html"
    found.write_text(docs_page(openapi_document(http_calls(), 5.0)))
    return found


@pytest.mark.parametrize("width", [1200, 390])
def test_the_page_in_a_browser(browser: str, page: Path, width: int) -> None:
    copy = page.with_name(f"probed{width}.html")
    copy.write_text(page.read_text().replace("</body>", PROBE + "</body>"))
    done = opened(browser, copy, f"--window-size={width},900", "--virtual-time-budget=3000", "--dump-dom")
    found = re.search(r"FACTS(\{.*?\})END", done.stdout, re.DOTALL)
    assert found, done.stderr[-2_000:]
    facts: dict[str, Any] = json.loads(html.unescape(found.group(1)))
    assert facts["errors"] == []
    assert facts["loaded"] == []
    assert (facts["lang"], facts["firstLink"]) == ("en", "#main")
    assert facts["title"]
    assert facts["tooWide"] == 0
    assert len(facts["calls"]) == len(http_calls())
    assert facts["calls"][0].startswith("POST/api/v1/execution-strategy/recommend")
    assert facts["leastContrast"] >= 4.5, "WCAG AA"
    assert facts["unlabelled"] == facts["headless"] == facts["unseen"] == 0


def test_a_picture_of_it(browser: str, page: Path) -> None:
    picture = page.with_name("docs.png")
    opened(browser, page, "--window-size=1200,1600", f"--screenshot={picture}")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 50_000, "more than an empty page"
