"""The console's files, read once at the start, and the headers that browsers get with them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FOLDER: Final = Path(__file__).resolve().parent / "static"
PREFIX: Final = "/console/"
KINDS: Final = {
    ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}  # fmt: skip
# Only what this process serves may be run, drawn or asked; texts never become markup (trusted types).
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS: Final = {
    "content-security-policy": POLICY, "x-content-type-options": "nosniff", "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin", "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    # Kept, and asked whether it is still the same each time: a new release shows at once.
    "cache-control": "no-cache",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class StaticFile:
    content: bytes
    kind: str
    etag: str


def read_files(folder: Path = FOLDER) -> Mapping[str, StaticFile]:
    found = {}
    for path in sorted(folder.iterdir()):
        if path.suffix in KINDS:
            content = path.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            found[path.name] = StaticFile(content, KINDS[path.suffix], etag)
    return found


def file_routes() -> list[Route]:
    """`/` is the page, `/console/<name>` what it loads."""
    files = read_files()

    async def page(request: Request) -> Response:
        return answer(request, files["index.html"])

    async def part(request: Request) -> Response:
        found = files.get(request.path_params["name"])
        if found is None:
            raise HTTPException(404)
        return answer(request, found)

    return [Route("/", page), Route(PREFIX + "{name}", part)]


def answer(request: Request, file: StaticFile) -> Response:
    headers = {**HEADERS, "etag": file.etag}
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if file.etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers, media_type=file.kind)
