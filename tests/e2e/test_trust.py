"""A guarded service as a firm runs it: mTLS, a policy, REST with tokens, halts over all workers and both hosts."""

from __future__ import annotations

import http.client
import json
import ssl
import time
import urllib.request
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from execution_strategy.v1 import adaptation_pb2, admin_pb2, enums_pb2, status_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.operations import roles
from benchmarks.operations.common import TOKEN, Guarded, guarded_service
from service.mapping.contract_json import to_object
from store.embedded import EmbeddedPostgres
from tests.helpers.command_line import ess
from tests.helpers.live_service import ADMIN, SERVICE, Gateway, LiveService, live_service, order, refusal
from tests.helpers.running_host import eventually
from tests.helpers.urls import url_of

ADMIN_CALLS = ("Halt", "Resume", "SetLimits", "ListControls", "ListArtifacts", "ActivateArtifact")
MESSAGES: dict[str, Any] = {
    "Halt": admin_pb2.HaltRequest, "Resume": admin_pb2.ResumeRequest, "SetLimits": admin_pb2.SetLimitsRequest,
    "ListControls": admin_pb2.ListControlsRequest,
}  # fmt: skip


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    with guarded_service(ESS_HTTP_ADDRESS="127.0.0.1:0") as found:
        yield found


def call(guarded: Guarded, who: str, method: str, message: Any, service: str = SERVICE) -> Any:
    """(code, answer)"""
    with guarded.channel(who) as channel:
        ask: Any = channel.unary_unary(f"/{service}/{method}")
        try:
            return "OK", ask(message.SerializeToString(), timeout=20.0)
        except grpc.RpcError as error:
            return refusal(error).code, b""


def test_no_role_gets_what_it_does_not_have() -> None:
    found = roles.measure(True, 1)
    assert found["faults"] == []


def test_an_order_is_its_gateways_alone(guarded: Guarded) -> None:
    request = order(tags={"gateway": "somebody-else"})
    status = status_pb2.StatusRequest(order_id=request.order_id)
    assert call(guarded, "gateway", "Recommend", request)[0] == "OK"
    assert call(guarded, "gateway", "Status", status)[0] == "OK"
    for method, message in (("Recommend", request), ("Status", status)):
        assert call(guarded, "gateway-2", method, message)[0] == "PERMISSION_DENIED"
    pause = adaptation_pb2.StrategyAdaptationRequest(order_id=request.order_id, pause={})
    assert call(guarded, "gateway-2", "AdaptOnce", pause)[0] == "PERMISSION_DENIED"
    assert call(guarded, "viewer", "Status", status)[0] == "OK"
    deadline_s = time.monotonic() + 10.0
    query = "SELECT gateway FROM strategy_selections WHERE order_id = %s"
    while not (rows := guarded.service.rows(query, request.order_id)):
        assert time.monotonic() < deadline_s
    assert rows == [("gateway-1",)]


def rest(guarded: Guarded, token: str | None) -> int:
    context = ssl.create_default_context(cafile=str(guarded.authority.certificate))
    host, _, port = str(guarded.service.about["http_address"]).rpartition(":")
    connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=20.0)
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    try:
        connection.request("GET", "/api/v1/execution-strategy/no-such/status", headers=headers)
        answer = connection.getresponse()
        assert json.loads(answer.read())["status"] == answer.status
        return answer.status
    finally:
        connection.close()


def test_rest_knows_its_callers_by_token_and_lets_nobody_else_in(guarded: Guarded) -> None:
    assert rest(guarded, TOKEN) == 404
    assert rest(guarded, None) == 401
    assert rest(guarded, "x" * 32) == 401


def test_metrics_are_scraped_over_tls_without_a_token(guarded: Guarded) -> None:
    context = ssl.create_default_context(cafile=str(guarded.authority.certificate))
    host, _, port = str(guarded.service.about["http_address"]).rpartition(":")
    connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=20.0)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        assert (answer.status, b"ess_calls_total" in answer.read()) == (200, True)
    finally:
        connection.close()
    with pytest.raises((http.client.HTTPException, OSError)):
        urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=20.0)


def test_a_command_shows_its_certificate_and_a_token_goes_before_it(guarded: Guarded, tmp_path: Path) -> None:
    shown = guarded.clients["viewer"]
    own: Any = {
        "ESS_TLS_CERTIFICATE": str(shown.certificate), "ESS_TLS_KEY": str(shown.key),
        "ESS_TLS_CA": str(guarded.authority.certificate), "data_dir": tmp_path,
    }  # fmt: skip
    words = ("recommend", "-", "--json", "--address", guarded.service.target)
    asked = json.dumps(to_object(order()))
    refused: Any = ess(*words, stdin=asked, **own)
    assert "viewer-1 may not call Recommend" in refused.stdout
    (tmp_path / "token").write_text(TOKEN)
    trader: Any = ess(*words, stdin=asked, ESS_TOKEN_FILE=str(tmp_path / "token"), **own)
    assert trader.returncode == 0, trader.stdout


def test_a_browser_signs_in_over_tls_with_a_cookie_of_this_host_alone(guarded: Guarded) -> None:
    context = ssl.create_default_context(cafile=str(guarded.authority.certificate))
    host, _, port = str(guarded.service.about["http_address"]).rpartition(":")
    own = {"X-Console": "1", "Content-Type": "application/json"}
    connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=20.0)

    def asked(verb: str, path: str, body: str | None = None, **more: str) -> http.client.HTTPResponse:
        connection.request(verb, path, body, {**own, **more})
        answer = connection.getresponse()
        answer.read()
        return answer

    session, orders = "/api/v1/console/session", "/api/v1/execution-strategy/orders"
    try:
        assert asked("POST", session, json.dumps({"token": "x" * 32})).status == 401
        answer = asked("POST", session, json.dumps({"token": TOKEN}))
        cookie = answer.headers["Set-Cookie"]
        assert answer.status == 204
        assert cookie.startswith("__Host-ess_session=")
        assert {"HttpOnly", "SameSite=Strict", "Secure", "Path=/"} <= set(cookie.split("; "))
        kept = cookie.partition(";")[0]
        assert asked("GET", orders, Cookie=kept).status == 200
        assert asked("GET", orders).status == 401
        assert asked("DELETE", session, Cookie=kept).status == 204
        assert asked("GET", orders, Cookie=kept).status == 401
    finally:
        connection.close()


def test_a_role_that_is_taken_away_is_gone_in_moments(guarded: Guarded) -> None:
    before = guarded.policy.read_text()
    query = admin_pb2.ListControlsRequest()
    assert call(guarded, "viewer", "ListControls", query, ADMIN)[0] == "OK"
    try:
        guarded.policy.write_text(before.replace("spiffe://bench/viewer", "spiffe://bench/nobody"))
        deadline_s = time.monotonic() + 10.0
        while call(guarded, "viewer", "ListControls", query, ADMIN)[0] == "OK":
            assert time.monotonic() < deadline_s
        eventually(lambda: len(policies(guarded)) >= 2, within_s=15.0, what="the change on record")
    finally:
        guarded.policy.write_text(before)
    eventually(lambda: policies(guarded)[-1][1] == policies(guarded)[0][1], within_s=15.0, what="the first one again")
    recorded = policies(guarded)
    assert "viewer-1" in recorded[0][0]["added"]
    assert [detail["changed"] for detail, _ in recorded[1:]] == [["viewer-1"]] * (len(recorded) - 1)


def policies(guarded: Guarded) -> list[tuple[dict[str, Any], str]]:
    """Of the operations that say which policy counts, in their order: what changed, and the text that was recorded."""
    rows = guarded.service.rows(
        "SELECT detail, content FROM operations JOIN reference_data ON sha256 = subject"
        " WHERE operations.kind = 'POLICY_CHANGED' ORDER BY operations.sequence"
    )
    return [(detail, zlib.decompress(content).decode()) for detail, content in rows]


def test_neither_tokens_nor_keys_stand_in_the_log(guarded: Guarded) -> None:
    rest(guarded, TOKEN)
    log = guarded.service.output
    assert TOKEN not in log
    assert "PRIVATE KEY" not in log


def controls(gateway: Gateway) -> admin_pb2.ListControlsResponse:
    reply = gateway.call("ListControls", admin_pb2.ListControlsRequest(), 10.0, ADMIN)
    return admin_pb2.ListControlsResponse.FromString(reply.data)


def hold(gateway: Gateway, hosts: set[tuple[str, bool]]) -> bool:
    """Whether these are the hosts that hold to what is in force, and whether each has confirmed it."""
    return {(one.host_id, one.confirmed) for one in controls(gateway).hosts} == hosts


def end_every_halt(service: LiveService) -> None:
    with Gateway(service.target) as gateway:
        for one in controls(gateway).halts:
            gateway.call("Resume", admin_pb2.ResumeRequest(halt_id=one.halt_id, reason="t"), 10.0, ADMIN)
        limits = [admin_pb2.HardLimits(scope=one.scope, subject=one.subject) for one in controls(gateway).limits]
        if limits:
            gateway.call("SetLimits", admin_pb2.SetLimitsRequest(limits=limits, reason="t"), 10.0, ADMIN)


def test_a_halt_holds_at_every_worker_when_it_is_answered(live_two: LiveService) -> None:
    try:
        with Gateway(live_two.target) as officer:
            message = admin_pb2.HaltRequest(scope=enums_pb2.SCOPE_INSTRUMENT, subject="AIG", reason="t")
            assert officer.call("Halt", message, 10.0, ADMIN).code == "OK"
            for _ in range(20):
                with Gateway(live_two.target) as gateway:  # each connection goes to whichever worker
                    assert gateway.recommend(order()).code == "FAILED_PRECONDITION"
                    assert gateway.recommend(order(instrument_id="AAPL", quantity=1_000)).code == "OK"
    finally:
        end_every_halt(live_two)


def test_a_halt_outlives_the_service(short_tmp: Path) -> None:
    with live_service(short_tmp / "var") as service, Gateway(service.target) as gateway:
        message = admin_pb2.HaltRequest(scope=enums_pb2.SCOPE_FIRM, reason="t")
        assert gateway.call("Halt", message, 10.0, ADMIN).code == "OK"
    with live_service(short_tmp / "var") as service, Gateway(service.target) as gateway:
        assert gateway.recommend(order()).code == "FAILED_PRECONDITION"
        assert len(controls(gateway).halts) == 1


def test_a_halt_on_one_host_holds_on_the_other_when_it_is_answered(short_tmp: Path) -> None:
    own = EmbeddedPostgres(short_tmp / "own")
    url = url_of(own.start())
    try:
        with (
            live_service(short_tmp / "a", ESS_DATABASE_URL=url, ESS_HOST_ID="host-a", ESS_HALT_WAIT_S="10") as first,
            live_service(short_tmp / "b", ESS_DATABASE_URL=url, ESS_HOST_ID="host-b") as second,
            Gateway(first.target) as here,
            Gateway(second.target) as there,
        ):
            assert there.recommend(order()).code == "OK"
            message = admin_pb2.HaltRequest(scope=enums_pb2.SCOPE_FIRM, reason="t")
            reply = here.call("Halt", message, 15.0, ADMIN)
            assert there.recommend(order()).code == "FAILED_PRECONDITION"
            hosts = admin_pb2.HaltResponse.FromString(reply.data).hosts
            both = {("host-a", True), ("host-b", True)}
            assert {(one.host_id, one.confirmed) for one in hosts} == both
            for gateway in (here, there):
                eventually(
                    partial(hold, gateway, both),
                    within_s=10.0, what="either host says that both hold to it",
                )  # fmt: skip
    finally:
        own.stop()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(method=st.sampled_from(ADMIN_CALLS), data=st.binary(max_size=200))
def test_no_bytes_make_an_administration_call_fail(live: LiveService, method: str, data: bytes) -> None:
    with Gateway(live.target) as gateway:
        assert gateway.call(method, data, 10.0, ADMIN).code in (
            "OK", "INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED"
        )


words = st.text(max_size=120) | st.sampled_from(["", "AIG", "VWAP", "XNYS", "nan", "\0", "a" * 300])
numbers = st.floats() | st.sampled_from([0.0, 1.0, -1.0, 1e300, 5e-324])


@st.composite
def administration(draw: st.DrawFn) -> tuple[str, Any]:
    """A message of any administration call with fields of any value."""
    method = draw(st.sampled_from(sorted(MESSAGES)))
    message = MESSAGES[method]()
    scope: Any = draw(st.integers(-2, 9))
    if method == "Halt":
        message.scope, message.subject, message.reason = scope, draw(words), draw(words)
    elif method == "Resume":
        message.halt_id, message.reason = draw(words | st.uuids().map(str)), draw(words)
    elif method == "SetLimits":
        for _ in range(draw(st.integers(0, 3))):
            limits = message.limits.add(scope=scope, subject=draw(words))
            limits.allowed_venues.extend(draw(st.lists(words, max_size=3)))
            limits.allowed_instruments.extend(draw(st.lists(words, max_size=3)))
            for name in ("max_quantity", "max_notional", "max_participation_rate", "max_messages_per_second"):
                if draw(st.booleans()):
                    setattr(limits, name, draw(numbers))
            if draw(st.booleans()):
                limits.max_repeats_per_minute = draw(st.integers(-(2**31), 2**31 - 1))
        message.reason = draw(words)
    return method, message


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=administration())
def test_no_fields_make_an_administration_call_fail(live: LiveService, asked: tuple[str, Any]) -> None:
    method, message = asked
    try:
        with Gateway(live.target) as gateway:
            assert gateway.call(method, message, 10.0, ADMIN).code in ("OK", "INVALID_ARGUMENT", "NOT_FOUND")
            assert gateway.recommend(order()).code in ("OK", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED")
    finally:
        end_every_halt(live)
