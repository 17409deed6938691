"""The gateway before a scripted gRPC server: every code, what goes on in metadata, what HTTP itself refuses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import pytest
from execution_strategy.v1 import request_pb2, response_pb2, status_pb2

from engine.decision import Fault
from service.errors import DETAILS_KEY, RpcError, already_exists, exhausted, invalid, precondition
from service.http import problems
from service.http.app import GatewayLimits, make_app
from service.http.workers import Workers
from tests.helpers.asgi import HttpAnswer, ask

API = "/api/v1/execution-strategy"
JSON = [("Content-Type", "application/json")]
LIMITS = GatewayLimits(timeout_s=30.0, max_body_bytes=10_000)
DETAILED = {
    "INVALID_ARGUMENT": invalid([Fault("quantity", "must be greater than 0"), Fault("side", "must be named")]),
    "FAILED_PRECONDITION": precondition([Fault("constraints.price_limit", "clashes")]),
    "ALREADY_EXISTS": already_exists("o-1", "ab" * 32), "RESOURCE_EXHAUSTED": exhausted("too many", 2_500),
}  # fmt: skip


class Script:
    """A server whose one handler ends every call as told, and keeps what it saw."""

    def __init__(self) -> None:
        self.error: RpcError | None = None
        self.wait_s = 0.0
        self.seen: list[tuple[str, bytes, dict[str, Any], float]] = []
        self.server = grpc.aio.server()
        self.server.add_generic_rpc_handlers((self,))  # type: ignore[arg-type]

    def service(self, call: Any) -> Any:
        async def handle(data: bytes, context: Any) -> bytes:
            self.seen.append((call.method, data, dict(context.invocation_metadata()), context.time_remaining()))
            await asyncio.sleep(self.wait_s)
            if self.error is not None:
                metadata = ((DETAILS_KEY, self.error.details),) if self.error.details else ()
                await context.abort(self.error.code, self.error.text, metadata)
            return response_pb2.ExecutionStrategyResponse(order_id="o-1", confidence=0.5).SerializeToString()

        return grpc.unary_unary_rpc_method_handler(handle)


class Client:
    def __init__(self, app: Any, script: Script) -> None:
        self.app, self.script = app, script

    async def __call__(self, verb: str, target: str, **how: Any) -> HttpAnswer:
        answer = await ask(self.app, verb, target, **how)
        assert answer is not None
        return answer

    async def recommend(self, fields: Any, headers: Sequence[tuple[str, str]] = ()) -> HttpAnswer:
        return await self("POST", f"{API}/recommend", body=json.dumps(fields).encode(), headers=[*JSON, *headers])


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    script = Script()
    port = script.server.add_insecure_port("127.0.0.1:0")
    await script.server.start()
    workers = Workers(f"127.0.0.1:{port}", 2, 1 << 20)
    yield Client(make_app(f"127.0.0.1:{port}", workers, LIMITS), script)
    await workers.close()
    await script.server.stop(None)


async def test_an_answer(client: Client) -> None:
    answer = await client.recommend({"order_id": "o-1", "side": "BUY"}, [("X-Request-Id", "mine-1")])
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"] == "mine-1"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json["order_id"] == "o-1"
    assert answer.json["confidence"] == 0.5
    method, data, _, _ = client.script.seen[0]
    assert method.endswith("/Recommend")
    assert request_pb2.ExecutionStrategyRequest.FromString(data).order_id == "o-1"


async def test_what_goes_on_to_the_service(client: Client) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await client.recommend({}, [
        ("traceparent", trace), ("tracestate", "a=b"), ("Authorization", "Bearer x"), ("X-Request-Timeout-Ms", "20000"),
    ])  # fmt: skip
    _, _, metadata, remaining_s = client.script.seen[0]
    assert metadata["traceparent"] == trace
    assert metadata["tracestate"] == "a=b"
    assert metadata["authorization"] == "Bearer x"
    assert len(metadata["x-request-id"]) == 32
    assert 10.0 < remaining_s <= 20.5  # gRPC rounds a timeout up on its way


@pytest.mark.parametrize("trace", ["", "nonsense", f"00-{'0' * 32}-{'1' * 16}-01", f"ff-{'1' * 32}-{'1' * 16}-01", "é"])
async def test_a_trace_that_is_none_stays_behind(client: Client, trace: str) -> None:
    assert (await client.recommend({}, [("traceparent", trace), ("tracestate", "a=b")])).status == 200
    assert not {"traceparent", "tracestate"} & set(client.script.seen[0][2])
    assert client.script.seen[0][3] > 20.0, "the default deadline"


@pytest.mark.parametrize("given", ["", "two words", "x" * 129, "é"])
async def test_a_request_id_that_is_unfit_is_replaced(client: Client, given: str) -> None:
    answer = await client.recommend({}, [("X-Request-Id", given)])
    assert len(answer.headers["x-request-id"]) == 32


@pytest.mark.parametrize("given", ["0", "-1", "1.5", "60001", "", "soon", "1" * 50])
async def test_a_deadline_that_is_none(client: Client, given: str) -> None:
    answer = await client.recommend({}, [("X-Request-Timeout-Ms", given)])
    assert answer.status == 400
    assert answer.violations[0][0] == "X-Request-Timeout-Ms"
    assert client.script.seen == []


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
async def test_every_status_of_grpc(client: Client, code: grpc.StatusCode) -> None:
    client.script.error = DETAILED.get(code.name) or RpcError(code, "the words")
    answer = await client.recommend({}, [("X-Request-Id", "r-1")])
    assert answer.status == problems.STATUSES[code.name]
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json
    assert found["code"] == code.name
    assert found["status"] == answer.status
    assert found["detail"] == client.script.error.text
    assert found["instance"] == f"{API}/recommend"
    assert found["type"] == f"urn:execution-strategy:problem:{code.name.lower().replace('_', '-')}"
    assert found["request_id"] == "r-1"
    assert found["title"]
    assert ("retry-after" in answer.headers) == (code.name in {"UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED"})
    assert ("www-authenticate" in answer.headers) == (code is grpc.StatusCode.UNAUTHENTICATED)


async def test_details_become_violations(client: Client) -> None:
    client.script.error = DETAILED["INVALID_ARGUMENT"]
    wanted = [("quantity", "must be greater than 0"), ("side", "must be named")]
    assert (await client.recommend({})).violations == wanted
    client.script.error = DETAILED["FAILED_PRECONDITION"]
    assert (await client.recommend({})).violations == [("constraints.price_limit", "clashes")]
    client.script.error = DETAILED["ALREADY_EXISTS"]
    assert [field for field, _ in (await client.recommend({})).violations] == ["order"]
    client.script.error = DETAILED["RESOURCE_EXHAUSTED"]
    answer = await client.recommend({})
    assert answer.headers["retry-after"] == "3"
    assert answer.json["retry_after_ms"] == 2_500


async def test_a_deadline_that_passes(client: Client) -> None:
    client.script.wait_s = 5.0
    answer = await client.recommend({}, [("X-Request-Timeout-Ms", "50")])
    assert answer.status == 504
    assert answer.json["code"] == "DEADLINE_EXCEEDED"


async def test_nobody_there() -> None:
    workers = Workers("127.0.0.1:1", 1, 1 << 20)
    answer = await ask(make_app("127.0.0.1:1", workers, LIMITS), "GET", f"{API}/x/status")
    await workers.close()
    assert answer is not None
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json["detail"] == "no worker of the service can be reached now"


NOBODYS = [
    "/console", "/console/nothing.js", "/nope", "/docs/", API, f"{API}/", f"{API}/recommend/", f"{API}//status",
    f"{API}/a/b/status",
]


@pytest.mark.parametrize("path", NOBODYS)
async def test_paths_that_nobody_has(client: Client, path: str) -> None:
    answer = await client("GET", path)
    assert answer.status == 404
    assert answer.json["type"].endswith(":no-such-path")
    assert answer.headers["x-request-id"] == answer.json["request_id"]


@pytest.mark.parametrize(
    ("verb", "path", "allow"),
    [
        ("GET", f"{API}/recommend", "POST"), ("DELETE", f"{API}/o/status", "GET, HEAD"),
        ("PUT", f"{API}/o/adapt", "POST"),
        ("POST", f"{API}/performance", "GET, HEAD"), ("OPTIONS", f"{API}/recommend", "POST"),
        ("POST", "/livez", "GET, HEAD"), ("PATCH", "/openapi.json", "GET, HEAD"),
    ],
)  # fmt: skip
async def test_verbs_that_a_path_does_not_have(client: Client, verb: str, path: str, allow: str) -> None:
    answer = await client(verb, path)
    assert answer.status == 405
    assert sorted(answer.headers["allow"].split(", ")) == allow.split(", ")
    assert answer.json["type"].endswith(":method-not-allowed")


@pytest.mark.parametrize(
    "headers",
    [
        [], [("Content-Type", "text/plain")], [("Content-Type", "application/x-www-form-urlencoded")],
        [("Content-Type", "application/json; charset=utf-16")], [*JSON, ("Content-Encoding", "gzip")],
        [("Content-Type", "multipart/form-data; boundary=x")],
    ],
)  # fmt: skip
async def test_bodies_that_are_not_json_by_their_own_word(client: Client, headers: list[tuple[str, str]]) -> None:
    answer = await client("POST", f"{API}/recommend", body=b"{}", headers=headers)
    assert answer.status == 415
    assert client.script.seen == []


@pytest.mark.parametrize("kind", ["application/json; charset=UTF-8", "Application/JSON", "application/vnd.x+json"])
async def test_other_ways_to_say_json(client: Client, kind: str) -> None:
    answer = await client("POST", f"{API}/recommend", body=b"{}", headers=[("Content-Type", kind)])
    assert answer.status == 200


@pytest.mark.parametrize("announced", [True, False])
async def test_bodies_that_are_too_large(client: Client, announced: bool) -> None:
    chunks = [b" " * 4_000] * 10
    length = [("Content-Length", "40000")] if announced else []
    answer = await client("POST", f"{API}/recommend", body=chunks, headers=[*JSON, *length])
    assert answer.status == 413
    exact = b'{"order_id":"a"' + b" " * (LIMITS.max_body_bytes - 16) + b"}"
    assert len(exact) == LIMITS.max_body_bytes
    assert (await client("POST", f"{API}/recommend", body=exact, headers=JSON)).status == 200
    huge = [*JSON, ("Content-Length", "900000000")]
    assert (await client("POST", f"{API}/recommend", body=b"", headers=huge)).status == 413


@pytest.mark.parametrize("body", [b"", b"  \n", b"{", b"\xff", b"[]", b"null", b'"x"', b"{} x"])
async def test_bodies_that_are_no_object(client: Client, body: bytes) -> None:
    answer = await client("POST", f"{API}/recommend", body=body, headers=JSON)
    assert answer.status == 400
    assert answer.violations[0][0] == ""
    assert client.script.seen == []


async def test_a_client_that_leaves_gets_nothing_and_starts_nothing(client: Client) -> None:
    assert await ask(client.app, "POST", f"{API}/recommend", body=b"{", headers=JSON, leaves=True) is None
    assert client.script.seen == []


async def test_an_id_with_a_slash_and_one_that_is_not_utf8(client: Client) -> None:
    assert (await client("GET", f"{API}/a%2Fb%20c/status")).status == 200
    assert status_pb2.StatusRequest.FromString(client.script.seen[0][1]).order_id == "a/b c"
    answer = await client("GET", f"{API}/%ff/status")
    assert answer.status == 400
    assert answer.violations == [("order_id", "is not UTF-8")]
    assert (await client("GET", f"{API}/{'x' * 9_000}/status")).status == 404


@pytest.mark.parametrize("query", ["%ff=1", "&".join(f"a{n}=1" for n in range(200)), "start_date=%ff"])
async def test_queries_that_cannot_be_read(client: Client, query: str) -> None:
    answer = await client("GET", f"{API}/performance?{query}")
    assert answer.status == 400
    assert answer.violations[0][0] == ""


@pytest.mark.parametrize(("value", "status"), [("x" * 9_000, 431), ("Bearer é", 400)])
async def test_credentials_that_cannot_be_passed_on(client: Client, value: str, status: int) -> None:
    assert (await client.recommend({}, [("Authorization", value)])).status == status


class Broken:
    async def call(self, path: str, data: bytes, timeout_s: float, metadata: Sequence[tuple[str, str]]) -> bytes:
        raise ValueError("secret words")


async def test_a_bug_is_a_problem_without_its_words() -> None:
    answer = await ask(make_app("127.0.0.1:1", Broken(), LIMITS), "GET", f"{API}/x/status")
    assert answer is not None
    assert answer.status == 500
    assert b"secret" not in answer.body


async def test_calls_spread_over_the_channels(client: Client) -> None:
    client.script.wait_s = 0.05
    answers = await asyncio.gather(*(client.recommend({}) for _ in range(24)))
    assert {answer.status for answer in answers} == {200}


async def test_head_is_get_without_the_body_of_the_server(client: Client) -> None:
    assert (await client("HEAD", f"{API}/x/status")).status == 200


def test_every_code_has_a_status_and_a_title() -> None:
    names = {code.name for code in grpc.StatusCode} - {"OK"}
    assert set(problems.STATUSES) == names == set(problems.TITLES)
