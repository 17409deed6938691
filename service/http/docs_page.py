"""The OpenAPI document as one page of HTML: no script, nothing fetched, readable on a phone and aloud."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Final

Json = Mapping[str, Any]
CODE: Final = re.compile(r"`([^`]+)`")
LIMITS: Final = {
    "exclusiveMinimum": "> {}", "minimum": "≥ {}", "exclusiveMaximum": "< {}", "maximum": "≤ {}",
    "minLength": "at least {} characters", "maxLength": "at most {} characters", "minItems": "at least {} entries",
    "maxItems": "at most {} entries", "maxProperties": "at most {} entries", "pattern": "pattern {}",
    "format": "{}",
}  # fmt: skip
STYLE: Final = """
:root{color-scheme:light dark;--ink:#1b1f24;--dim:#57606a;--back:#fff;--soft:#f4f6f8;--line:#d0d7de;--accent:#0b5cad;
--get:#0b6e3b;--post:#0b5cad}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--dim:#9aa7b4;--back:#11161c;--soft:#1a212a;--line:#36414d;
--accent:#79b8ff;--get:#6fdd8b;--post:#79b8ff}}
*{box-sizing:border-box}
html{scroll-behavior:smooth}
@media(prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
body{margin:0;font:16px/1.55 system-ui,sans-serif;color:var(--ink);background:var(--back)}
a{color:var(--accent)}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
.skip{position:absolute;left:-999px}.skip:focus{left:.5rem;top:.5rem;background:var(--back);padding:.5rem}
header,nav,main,footer{max-width:64rem;margin:0 auto;padding:0 1rem}
header{padding-top:1.5rem}
h1{font-size:1.7rem;margin:.2rem 0}h2{font-size:1.3rem;margin:2.2rem 0 .5rem;border-bottom:1px solid var(--line)}
h3{font-size:1.05rem;margin:1.6rem 0 .4rem}h4{font-size:.95rem;margin:1rem 0 .2rem;color:var(--dim)}
code,pre{font-family:ui-monospace,SFMono-Regular,Menlo,monospace;font-size:.88em}
h3 code{font-size:1em;overflow-wrap:anywhere}
td code,p code,li code{overflow-wrap:anywhere}
.verb{display:inline-block;min-width:3.6rem;text-align:center;border:1px solid currentColor;border-radius:4px;
padding:0 .4rem;margin-right:.5rem;font-weight:600;font-size:.85em;color:var(--post)}.verb.get{color:var(--get)}
pre{background:var(--soft);border:1px solid var(--line);border-radius:6px;padding:.7rem;overflow-x:auto}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;min-width:36rem;font-size:.93rem}
caption{text-align:left;color:var(--dim);padding:.3rem 0}
th,td{text-align:left;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid var(--line)}
thead th{color:var(--dim);font-weight:600}tbody th{font-weight:500}
.must{color:var(--accent);font-weight:600}
details{margin:.5rem 0;border:1px solid var(--line);border-radius:6px;padding:.2rem .8rem}
summary{cursor:pointer;font-weight:600;padding:.35rem 0}
footer{color:var(--dim);padding:2rem 1rem}
nav ul{list-style:none;padding:0;margin:.5rem 0}nav li{margin:.25rem 0}
"""


def docs_page(document: Json) -> str:
    info = document["info"]
    operations = [
        (verb, path, made) for path, verbs in document["paths"].items() for verb, made in verbs.items()
    ]
    return "\n".join([
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{escape(info['title'])}: REST</title><style>{STYLE}</style></head><body>",
        '<a class="skip" href="#main">Skip to the calls</a>',
        f"<header><h1>{escape(info['title'])}</h1><p>Version {escape(info['version'])} over HTTP. The document for "
        'programs: <a href="openapi.json">openapi.json</a> (OpenAPI 3.1).</p></header>',
        navigation(operations),
        '<main id="main" tabindex="-1">',
        f'<h2 id="about">About</h2>{prose(info["description"])}',
        '<h2 id="calls">Calls</h2>',
        *(call(verb, path, made, document) for verb, path, made in operations),
        '<h2 id="refusals">Refusals</h2>', refusals(document),
        '<h2 id="types">Types</h2>',
        *(component(name, schema) for name, schema in document["components"]["schemas"].items()),
        "</main>",
        "<footer>Made from the contract's own comments and rules.</footer></body></html>",
    ])  # fmt: skip


def navigation(operations: Iterable[tuple[str, str, Json]]) -> str:
    calls = "".join(
        f'<li><a href="#{made["operationId"]}">{verb_mark(verb)}<code>{escape(path)}</code></a></li>'
        for verb, path, made in operations
    )
    rest = "".join(f'<li><a href="#{name.lower()}">{name}</a></li>' for name in ("Refusals", "Types"))
    return f'<nav aria-label="Calls"><ul>{calls}{rest}</ul></nav>'


def verb_mark(verb: str) -> str:
    return f'<span class="verb {verb}">{verb.upper()}</span>'


def call(verb: str, path: str, made: Json, document: Json) -> str:
    identity = made["operationId"]
    found = [
        f'<section aria-labelledby="{identity}"><h3 id="{identity}">{verb_mark(verb)}<code>{escape(path)}</code></h3>',
        prose(f"{made['summary']}. {made['description']}"),
        parameters(identity, [resolved(one, document) for one in made["parameters"]]),
    ]
    content = made.get("requestBody", {}).get("content", {}).get("application/json")
    if content:
        found += [f"<h4>Body</h4><p>{type_words(content['schema'])}</p>", curl(verb, path, made, content)]
    else:
        found.append(curl(verb, path, made, {}))
    found += ["<h4>Answers</h4>", answers(identity, made["responses"], document), "</section>"]
    return "\n".join(found)


def parameters(identity: str, given: Iterable[Json]) -> str:
    rows = [
        (code(one["name"]), escape(one["in"]), must(one["required"]), type_words(one["schema"]),
         inline(one.get("description", "")))
        for one in given
    ]  # fmt: skip
    return table(f"Parameters of {identity}", ("Name", "In", "Needed", "Type", "What it is"), rows)


def curl(verb: str, path: str, made: Json, content: Json) -> str:
    """A line that works as it stands, from the examples."""
    url = path
    query = []
    for one in made["parameters"]:
        if one.get("in") == "path":
            url = url.replace("{" + one["name"] + "}", str(one.get("example", "")))
        elif one.get("in") == "query" and "example" in one:
            query.append(f"{one['name']}={one['example']}")
    url = f"http://127.0.0.1:8080{url}" + (f"?{'&'.join(query)}" if query else "")
    lines = [f"curl -s '{url}'"]
    if "example" in content:
        body = json.dumps(content["example"], indent=2)
        lines = [f"curl -s -X {verb.upper()} '{url}'", "-H 'Content-Type: application/json'", f"-d '{body}'"]
    text = escape(" \\\n  ".join(lines))
    return f'<h4>Example</h4><pre tabindex="0" aria-label="Example of {made["operationId"]}"><code>{text}</code></pre>'


def answers(identity: str, responses: Json, document: Json) -> str:
    rows = []
    for status, response in responses.items():
        found = resolved(response, document)
        kinds = [type_words(content["schema"]) for content in found.get("content", {}).values()]
        rows.append((code(status), ", ".join(kinds), inline(found["description"])))
    return table(f"Answers of {identity}", ("Status", "Body", "When"), rows)


def refusals(document: Json) -> str:
    found = document["components"]["responses"].values()
    examples = [content["example"] for one in found for content in one["content"].values()]
    rows = [(code(str(one["status"])), code(one["code"]), escape(one["title"])) for one in examples]
    shown = escape(json.dumps(next(one for one in examples if one["status"] == 400), indent=2))
    return (
        table("What each status stands for", ("Status", "gRPC", "Title"), rows)
        + f'<pre tabindex="0" aria-label="Example of a refusal"><code>{shown}</code></pre>'
    )


def component(name: str, schema: Json) -> str:
    begin = f'<section aria-labelledby="type-{name}"><h3 id="type-{name}">{escape(name)}</h3>'
    words = prose(schema.get("description", ""))
    if "properties" not in schema:
        return f"{begin}{words}<p>One of {', '.join(map(code, schema.get('enum', ())))}.</p></section>"
    required = set(schema.get("required", ()))
    rows = [
        (code(field), must(field in required), type_words(one), inline(one.get("description", "")))
        for field, one in schema["properties"].items()
    ]
    needed = "Needed" if schema.get("additionalProperties") is False else "Always there"
    heads = ("Field", needed, "Type", "What it is")
    return f"{begin}{words}{table(f'Fields of {name}', heads, rows)}</section>"


def type_words(schema: Json) -> str:
    """A schema in a few words, with links to types and its limits."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#type-{name}">{escape(name)}</a>'
    if "anyOf" in schema:
        return " or ".join(type_words(one) for one in schema["anyOf"])
    kinds = schema.get("type", "any")
    words = escape(" or ".join(kinds) if isinstance(kinds, list) else kinds)
    if "items" in schema:
        words += f" of {type_words(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), Mapping):
        words += f" of {type_words(schema['additionalProperties'])}"
    if "enum" in schema:
        words += f": {', '.join(code(str(value)) for value in schema['enum'] if value is not None)}"
    limits = [
        text.format(code(str(schema[key])) if key == "pattern" else escape(f"{schema[key]}"))
        for key, text in LIMITS.items() if key in schema
    ]  # fmt: skip
    return f"{words} ({', '.join(limits)})" if limits else words


def table(caption: str, heads: Iterable[str], rows: Iterable[tuple[str, ...]]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    label = escape(caption, quote=True)
    return (
        f'<div class="wide" role="region" aria-label="{label}" tabindex="0"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def prose(text: str) -> str:
    """Paragraphs and lists of the little Markdown that descriptions use."""
    found = []
    for block in text.split("\n\n"):
        lines = block.split("\n")
        if all(line.startswith("- ") for line in lines):
            found.append("<ul>" + "".join(f"<li>{inline(line[2:])}</li>" for line in lines) + "</ul>")
        elif block:
            found.append(f"<p>{inline(block)}</p>")
    return "".join(found)


def inline(text: str) -> str:
    return CODE.sub(r"<code>\1</code>", escape(text, quote=False))


def code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def must(required: bool) -> str:
    return '<span class="must">yes</span>' if required else "no"


def resolved(one: Json, document: Json) -> Json:
    """What a reference within the document stands for."""
    if "$ref" not in one:
        return one
    found: Any = document
    for step in one["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return dict(found)
