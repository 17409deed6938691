"""The console's stream and files, before scripted workers: resuming, slow readers, bounds, an absent service."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from execution_strategy.v1 import admin_pb2, enums_pb2, overview_pb2
from grpc.aio import Metadata

from service.http.app import GatewayLimits, make_app
from service.http.console.feed import BATCH_LINES, MOST_LINES, OrderFeed, Place
from service.http.console.files import FOLDER, KINDS, PREFIX, read_files
from service.http.console.stream import OrderStreams, _read
from service.mapping.controls_feed import LIST_CONTROLS
from tests.helpers.asgi import ask

ROOT = Path(__file__).resolve().parents[2]
EVENT = re.compile(r"event: (\w+)\n(?:id: (.*)\n)?data: (.*)\n\n")


class Journal:
    """A service that lists orders as it is told to."""

    def __init__(self, journal_id: str = "j-1") -> None:
        self.journal_id = journal_id
        self.revisions: dict[str, int] = {}
        self.away = False
        self.asked: list[overview_pb2.ListOrdersRequest] = []
        self.controls: admin_pb2.ListControlsResponse | grpc.StatusCode = grpc.StatusCode.PERMISSION_DENIED
        self.metadata: list[tuple[str, str]] = []

    def change(self, *names: str) -> None:
        for name in names:
            self.revisions[name] = max(self.revisions.values(), default=0) + 1

    async def call(self, path: str, data: bytes, timeout_s: float, metadata: Sequence[tuple[str, str]]) -> bytes:
        if self.away:
            raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, Metadata(), Metadata(), "gone for a while")
        if path == LIST_CONTROLS:
            if isinstance(self.controls, grpc.StatusCode):
                raise grpc.aio.AioRpcError(self.controls, Metadata(), Metadata(), "not for you")
            return self.controls.SerializeToString()
        asked = overview_pb2.ListOrdersRequest.FromString(data)
        self.asked.append(asked)
        self.metadata = list(metadata)
        after = asked.changed_after if asked.journal_id in ("", self.journal_id) else 0
        before = int(asked.page_token or 0) or 2**62
        found = sorted(self.revisions.items(), key=lambda pair: -pair[1])
        chosen = [(name, revision) for name, revision in found if after < revision < before]
        page = chosen[: asked.page_size]
        answer = overview_pb2.ListOrdersResponse(
            journal_id=self.journal_id, revision=max(self.revisions.values(), default=0),
            orders=[overview_pb2.OrderSummary(order_id=name, revision=revision) for name, revision in page],
            next_page_token=str(page[-1][1]) if len(chosen) > len(page) else "",
        )  # fmt: skip
        return answer.SerializeToString()


class Reader:
    """Takes events one by one."""

    def __init__(self, feed: OrderFeed, place: Place | None = None, beat_s: float = 0.05) -> None:
        feed.enter()
        self.feed = feed
        self.stopped = False
        self._events: AsyncIterator[bytes] = _read(feed, place or Place(), beat_s, lambda: self.stopped)

    async def next(self, *kinds: str) -> tuple[str, str, Any]:
        """The next event of these kinds (of any, but a beat, where none is named)."""
        async with asyncio.timeout(5.0):
            while True:
                text = (await anext(self._events)).decode()
                match = EVENT.search(text)
                assert match is not None, text
                kind, place, data = match.groups()
                if kind in kinds or (not kinds and kind != "beat"):
                    return kind, place or "", json.loads(data)

    async def orders(self) -> tuple[list[str], str]:
        _, place, data = await self.next("orders")
        return [one["order_id"] for one in data["orders"]], place


def feed_of(journal: Journal) -> OrderFeed:
    return OrderFeed(journal, (("x-request-id", "r"),), ask_every_s=0.005)


async def test_what_there_is_and_what_comes() -> None:
    journal = Journal()
    journal.change("a", "b")
    reader = Reader(feed_of(journal))
    assert await reader.next() == ("hello", "", {"resumed": False, "away": ""})
    assert await reader.orders() == (["a", "b"], "j-1:2")
    journal.change("a")
    assert await reader.orders() == (["a"], "j-1:3")
    assert (await reader.next("beat"))[0] == "beat"
    await reader.feed.leave()


async def test_resuming_brings_what_was_missed_and_no_more() -> None:
    journal = Journal()
    journal.change("a", "b", "c")
    reader = Reader(feed_of(journal), Place.parse("j-1:2"))
    assert (await reader.next("hello"))[2]["resumed"] is True
    assert await reader.orders() == (["c"], "j-1:3")
    await reader.feed.leave()


async def test_another_journal_begins_anew() -> None:
    journal = Journal("j-2")
    journal.change("a")
    reader = Reader(feed_of(journal), Place.parse("j-1:77"))
    assert (await reader.next("hello"))[2]["resumed"] is False
    assert await reader.orders() == (["a"], "j-2:1")
    await reader.feed.leave()


async def test_a_slow_reader_gets_the_newest_of_each_order_and_holds_nothing_up() -> None:
    journal = Journal()
    journal.change("a", "b")
    feed = feed_of(journal)
    slow, quick = Reader(feed), Reader(feed)
    await slow.next("hello")
    assert (await slow.orders())[0] == ["a", "b"]
    for _ in range(30):
        journal.change("a")
        while (await quick.orders())[1] != f"j-1:{journal.revisions['a']}":
            pass
    names, place = await slow.orders()
    assert (names, place) == (["a"], f"j-1:{journal.revisions['a']}"), "29 changes in between are nobody's business"
    await feed.leave()
    await feed.leave()


async def test_many_orders_come_in_batches_and_only_the_newest_are_held() -> None:
    journal = Journal()
    journal.change(*(f"o{number}" for number in range(MOST_LINES + 130)))
    reader = Reader(feed_of(journal))
    seen: list[str] = []
    while len(seen) < MOST_LINES:
        names, _ = await reader.orders()
        assert len(names) <= BATCH_LINES
        seen += names
    assert seen == [f"o{number}" for number in range(130, MOST_LINES + 130)]
    await reader.feed.leave()


async def test_an_absent_service_is_told_and_so_is_its_return() -> None:
    journal = Journal()
    journal.away = True
    reader = Reader(feed_of(journal))
    assert (await reader.next("hello"))[2]["away"] == "gone for a while"
    journal.away = False
    journal.change("a")
    assert (await reader.next("service"))[2] == {"away": ""}
    assert await reader.orders() == (["a"], "j-1:1")
    journal.away = True
    assert (await reader.next("service"))[2] == {"away": "gone for a while"}
    await reader.feed.leave()


async def test_halts_and_limits_are_told_when_they_change() -> None:
    journal = Journal()
    journal.change("a")
    reader = Reader(feed_of(journal))
    assert (await reader.orders())[0] == ["a"], "who may not see them sees orders all the same"
    first = admin_pb2.ListControlsResponse(known=True)
    first.lease_expires_at.seconds = 1_800_000_000
    journal.controls = first
    assert (await reader.next())[0] == "controls"
    moved = admin_pb2.ListControlsResponse.FromString(first.SerializeToString())
    moved.lease_expires_at.seconds += 60
    journal.controls = moved
    journal.change("b")
    assert (await reader.next())[0] == "orders", "a lease that is renewed is no news"
    halted = admin_pb2.ListControlsResponse(known=True)
    halted.halts.add(scope=enums_pb2.SCOPE_INSTRUMENT, subject="AIG", actor="rita", reason="odd prints")
    journal.controls = halted
    kind, _, told = await reader.next()
    assert kind == "controls"
    assert [(one["scope"], one["subject"], one["actor"]) for one in told["halts"]] == [("INSTRUMENT", "AIG", "rita")]
    late = Reader(reader.feed)
    assert (await late.next("controls"))[2]["halts"] == told["halts"], "who comes later is told at once"


async def test_nobody_reads_nobody_asks() -> None:
    journal = Journal()
    feed = feed_of(journal)
    reader = Reader(feed)
    await reader.next("hello")
    await feed.leave()
    asked = len(journal.asked)
    await asyncio.sleep(0.03)
    assert len(journal.asked) == asked


@pytest.mark.parametrize("text", ["", "x", "j:", ":1", "j:-1", "j:1.5", "j:²", "a" * 200 + ":1"])
def test_a_place_that_is_none_is_the_beginning(text: str) -> None:
    assert Place.parse(text) == Place()


def test_a_place_beyond_any_journal_is_bounded() -> None:
    assert Place.parse("j:" + "9" * 30).revision == 2**63 - 1


async def test_streams_are_bounded_and_credentials_are_checked() -> None:
    streams = OrderStreams(Journal(), most_readers=0)
    app = make_app("127.0.0.1:1", Journal(), GatewayLimits(1.0, 1_000), [streams.route])
    answer = await ask(app, "GET", "/api/v1/console/orders/stream")
    assert answer is not None
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    streams = OrderStreams(Journal())
    app = make_app("127.0.0.1:1", Journal(), GatewayLimits(1.0, 1_000), [streams.route])
    answer = await ask(app, "GET", "/api/v1/console/orders/stream", headers=[("Authorization", "x" * 9_000)])
    assert answer is not None
    assert answer.status == 431


async def test_files_are_kept_by_browsers_as_long_as_they_are_the_same() -> None:
    app = make_app("127.0.0.1:1", Journal(), GatewayLimits(1.0, 1_000))
    for name, file in read_files().items():
        path = "/" if name == "index.html" else PREFIX + name
        answer = await ask(app, "GET", path)
        assert answer is not None
        assert (answer.status, answer.body, answer.headers["etag"]) == (200, file.content, file.etag)
        assert answer.headers["content-type"] == file.kind
        assert answer.headers["cache-control"] == "no-cache"
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        again = await ask(app, "GET", path, headers=[("If-None-Match", f'"other", W/{file.etag}')])
        assert again is not None
        assert (again.status, again.body) == (304, b"")
    answer = await ask(app, "POST", "/")
    assert answer is not None
    assert answer.status == 405


def test_files_stand_alone_and_are_in_the_package() -> None:
    """No address of elsewhere, nothing inline, every file is loaded by the page or by another, and packaged."""
    texts = {path.name: path.read_text() for path in FOLDER.iterdir()}
    assert {Path(name).suffix for name in texts} <= set(KINDS)
    pyproject = (ROOT / "pyproject.toml").read_text()
    assert all(f'"*{suffix}"' in pyproject for suffix in KINDS)
    for name, text in texts.items():
        elsewhere = set(re.findall(r"https?://[^\s\"']+", text)) - {"http://www.w3.org/2000/svg"}
        assert elsewhere == set(), name
        assert "innerHTML" not in text, name
        assert not re.search(r"<script(?![^>]*src=)|style=|<style|\son\w+=\"", text) or name.endswith(".js"), name
    together = "\n".join(texts.values())
    assert [name for name in texts if name != "index.html" and f"/{name}" not in together] == []
