"""A report's page in a real browser that may reach nothing: what it looks like from within."""

from __future__ import annotations

import html
import json
import re
import subprocess
from pathlib import Path

# What the page looks like from within; the copy that holds this script must first be allowed to run one.
PROBE = """
<script>
const errors = [];
window.addEventListener("error", e => errors.push(String(e.message)));
window.addEventListener("load", () => {
  const seen = [...document.querySelectorAll("figure > svg")].map(svg => ({
    name: svg.querySelector("title").textContent,
    width: svg.getBoundingClientRect().width,
    drawn: [...svg.querySelectorAll("path.line, rect, circle.dot")].map(e => e.getBBox())
      .filter(box => box.width + box.height > 1).length,
    inside: [...svg.querySelectorAll("path.line, rect, circle")].every(e => {
      const box = e.getBBox(), view = svg.viewBox.baseVal;
      return box.x >= -1 && box.y >= -1 && box.x + box.width <= view.width + 1
        && box.y + box.height <= view.height + 1;
    }),
    colour: getComputedStyle(svg.querySelector("path.line, rect, circle.dot")).getPropertyValue("stroke") + "/" +
            getComputedStyle(svg.querySelector("path.line, rect, circle.dot")).getPropertyValue("fill"),
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
