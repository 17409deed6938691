"""A report's style sheet, frame, sections and tables: a page that loads nothing and runs nothing."""

from __future__ import annotations

import html
from collections.abc import Sequence

STYLE = """
:root{color-scheme:light dark;--paper:#fbfaf6;--ink:#22262b;--soft:#5c6470;--rule:#d9d6cc;--real1:#1f5f8b;
--real2:#3c7a4e;
--real3:#7a5c99;--sim1:#b4552d;--sim2:#8a7420;--yes:#2c6e49;--no:#a33327}
@media (prefers-color-scheme:dark){:root{--paper:#1b1d20;--ink:#d7d9dc;--soft:#9aa2ad;--rule:#393d43;
--real1:#7db5dc;
--real2:#87c39a;--real3:#b9a0d6;--sim1:#e39a78;--sim2:#cdbb6b;--yes:#8fcfa9;--no:#ee9a8f}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:64rem;padding:1rem;background:var(--paper);color:var(--ink);
font:1rem/1.55 system-ui,sans-serif;overflow-wrap:break-word}
h1{font-size:1.6rem;line-height:1.2}
h2{margin-top:2.2rem;border-bottom:1px solid var(--rule)}
h3{margin:1.6rem 0 .3rem}
a{color:var(--real1)}
nav a{display:inline-block;padding:.5rem .8rem .5rem 0}
figure{margin:0;max-width:44rem}
figure>svg{width:100%;height:auto;display:block}
svg text{font:11px system-ui,sans-serif;fill:var(--soft)}
svg .label{font-size:12px}
.grid{stroke:var(--rule);stroke-width:1}
.line{fill:none;stroke-width:2.2}
.whisker{stroke:var(--ink);stroke-width:1.4}
.band{stroke:none;opacity:.16}
.whisker,.tick{fill:none}
.zero{stroke:var(--soft)}
.tick{stroke-dasharray:none!important}
.dot{fill:var(--real1);stroke:var(--real1);stroke-width:1.6}
.dot.hollow{fill:var(--paper)}
.key{width:1.7rem;height:.7rem;margin-right:.4rem;vertical-align:middle}
.keys{list-style:none;margin:.2rem 0 0;padding:0;display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;
font-size:.9rem}
.line.sim1{stroke-dasharray:7 3}
.line.sim2{stroke-dasharray:2 3}
.line.real1{stroke:var(--real1)}
.line.real2{stroke:var(--real2)}
.line.real3{stroke:var(--real3)}
.line.sim1{stroke:var(--sim1)}
.line.sim2{stroke:var(--sim2)}
rect.real1,circle.real1,.band.real1{fill:var(--real1)}
rect.real2,circle.real2,.band.real2{fill:var(--real2)}
rect.real3,circle.real3,.band.real3{fill:var(--real3)}
rect.sim1,circle.sim1,.band.sim1{fill:var(--sim1)}
rect.sim2,circle.sim2,.band.sim2{fill:var(--sim2)}
table{border-collapse:collapse;width:100%;font-size:.92rem;margin:1rem 0}
caption{text-align:left;font-weight:600;padding:.4rem 0}
th,td{text-align:left;vertical-align:top;padding:.35rem .7rem .35rem 0;border-bottom:1px solid var(--rule)}
td{overflow-wrap:anywhere}
code{font-size:.95em}
.measured,.published,.assumed,code{white-space:nowrap}
.yes,.measured{color:var(--yes)}
.no,.assumed{color:var(--no)}
details{border-bottom:1px solid var(--rule)}
summary{padding:.6rem 0;cursor:pointer}
@media (max-width:44rem){thead{position:absolute;left:-100rem}
tr{display:block;padding:.5rem 0;border-bottom:1px solid var(--rule)}
td{display:block;border:0;padding:.1rem 0}
td::before{content:attr(data-name) ": ";color:var(--soft)}
table,tbody,caption{display:block}
code{white-space:normal}
svg text{font-size:18px}
svg .label{font-size:19px}
svg .name{font-size:14px}}
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}
</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def page(title: str, body: str) -> str:
    """The whole page around a body of HTML."""
    return PAGE.format(title=text(title), style=STYLE, body=body)


def section(name: str, title: str, content: str) -> str:
    """`content` is HTML, `name` its anchor."""
    heading = f'<h2 id="{name}-title">{title}</h2>'
    return f'<section id="{name}" aria-labelledby="{name}-title">{heading}{content}</section>'


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    """Cells are HTML. On a narrow screen each row becomes a card, its cells named by their columns."""
    head = "".join(f'<th scope="col">{text(c)}</th>' for c in columns)
    lines = []
    for row in rows:
        cells = "".join(f'<td data-name="{text(c)}">{cell}</td>' for c, cell in zip(columns, row, strict=True))
        lines.append(f"<tr>{cells}</tr>")
    top = f"<caption>{text(caption)}</caption><thead><tr>{head}</tr></thead>"
    return f"<table>{top}<tbody>{''.join(lines)}</tbody></table>"


def text(value: object) -> str:
    """Anything as text of a page or of an attribute."""
    return html.escape(str(value), quote=True)
