"""REST against the real service: the README's lines, every kind of refusal, the same answers as gRPC."""

from __future__ import annotations

import copy
import http.client
import json
import random
import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from service.mapping.contract_json import from_object
from tests.e2e.test_random_orders import random_order
from tests.helpers.json_reference import reference_object, reference_read
from tests.helpers.live_service import (
    Gateway,
    LiveService,
    Request,
    closed_time,
    live_service,
    new_order_id,
    order,
)
from tests.helpers.schema_trial import try_schema

ROOT = Path(__file__).resolve().parents[2]
API = "/api/v1/execution-strategy"
SEED = 11
ORDERS = 2_000
LANES = 6


class Rest:
    """One connection that is kept."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=30.0)

    def close(self) -> None:
        self._connection.close()

    def ask(self, verb: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict[str, str], Any]:
        kind = {"Content-Type": "application/json"} if body is not None else {}
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request(verb, path, body, kind | given)
        answer = self._connection.getresponse()
        text = answer.read()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, found, json.loads(text) if text else None

    def recommend(self, fields: Any) -> tuple[int, dict[str, str], Any]:
        return self.ask("POST", f"{API}/recommend", json.dumps(fields).encode())


@pytest.fixture
def rest(live: LiveService) -> Iterator[Rest]:
    client = Rest(live.about["http_address"])
    yield client
    client.close()


def sound(**changes: Any) -> dict[str, Any]:
    return {**reference_object(order()), **changes}


def test_the_lines_of_the_readme(live: LiveService) -> None:
    readme = (ROOT / "README.md").read_text()
    found = re.search(r"<!-- example: curl -->\n```sh\n(.*?)```", readme, re.DOTALL)
    body = re.search(r"<!-- example: json -->\n```json\n(.*?)```", readme, re.DOTALL)
    assert found is not None
    assert body is not None
    folder = live.data_dir.parent
    # Whoever reads it in the last minute of a session is refused so large an order, rightly; the tests run at any hour.
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(closed_time()))
    order_id = new_order_id("readme")  # other examples that run here begin with the same one
    (folder / "order.json").write_text(
        json.dumps(json.loads(body.group(1)) | {"effective_time": when, "order_id": order_id})
    )
    lines = found.group(1).replace("127.0.0.1:8080", live.about["http_address"]).replace("readme-1", order_id)
    done = subprocess.run(
        ["sh", "-e", "-c", lines], cwd=folder, capture_output=True, text=True, timeout=60, check=True
    )
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert answers[0]["order_id"] == order_id
    assert answers[0]["recommended_strategy"]["algorithm"]
    assert answers[1]["state"] == "RECOMMENDED"
    assert answers[1]["current"]["selection_id"] == answers[0]["selection_id"]


def test_a_decision_and_where_it_stands(rest: Rest, gateway: Gateway) -> None:
    fields = sound()
    status, headers, answer = rest.ask("POST", f"{API}/recommend", json.dumps(fields).encode(), X_Request_Id="e2e-1")
    assert status == 200
    assert headers["x-request-id"] == "e2e-1"
    assert sum(answer["recommended_strategy"]["venue_allocation"].values()) == pytest.approx(1.0)
    assert answer["recommended_strategy"]["parameters"]["volatility_adjustment"] in (True, False)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", answer["created_at"])
    assert isinstance(answer["versions"]["seed"], str)
    assert rest.recommend(fields)[2] == answer, "a retry has the same answer"
    status, _, stands = rest.ask("GET", f"{API}/{fields['order_id']}/status")
    assert status == 200
    assert stands["current"] == answer
    message = Request()
    assert from_object(fields, message) == []
    assert reference_object(gateway.recommend(message).response, with_defaults=True) == answer


def test_refusals_of_the_service(rest: Rest) -> None:
    fields = sound()
    assert rest.recommend(fields)[0] == 200
    status, _, found = rest.recommend({**fields, "quantity": 1})
    assert (status, found["code"], found["violations"][0]["field"]) == (409, "ALREADY_EXISTS", "order")
    status, _, found = rest.recommend(sound(instrument_id="NOPE", quantity=-5))
    assert (status, found["code"]) == (400, "INVALID_ARGUMENT")
    assert {one["field"] for one in found["violations"]} == {"instrument_id", "quantity"}
    clash = {"max_participation_rate": 0.0001, "time_limit_minutes": 1, "min_completion_probability": 0.99}
    status, headers, found = rest.recommend(sound(quantity=4_000_000, constraints=clash))
    assert (status, found["code"]) == (422, "FAILED_PRECONDITION")
    assert headers["content-type"] == "application/problem+json"
    assert all(one["field"].startswith("constraints") for one in found["violations"])
    status, _, found = rest.ask("GET", f"{API}/no-such-order/status")
    assert (status, found["code"], found["instance"]) == (404, "NOT_FOUND", f"{API}/no-such-order/status")
    status, _, found = rest.ask("GET", f"{API}/performance?start_date=2025-02-01&end_date=2025-01-01")
    assert (status, [one["field"] for one in found["violations"]]) == (400, ["end_date"])
    status, _, found = rest.ask("POST", f"{API}/no-such-order/adapt", b'{"pause": {}}')
    assert status in (404, 501)


def test_refusals_of_the_gateway(rest: Rest, live: LiveService) -> None:
    assert rest.ask("GET", "/nope")[0] == 404
    status, headers, _ = rest.ask("DELETE", f"{API}/recommend")
    assert (status, headers["allow"]) == (405, "POST")
    assert rest.ask("POST", f"{API}/recommend", b"{}", Content_Type="text/plain")[0] == 415
    assert rest.ask("POST", f"{API}/recommend", b"\xff\xfe{}")[0] == 400
    assert rest.ask("POST", f"{API}/recommend", b" " * (2 << 20))[0] == 413
    # The connection is still good for the next request.
    status, _, found = rest.ask("POST", f"{API}/recommend", b'{"quantity": "x", "order_id": [], "colour": "red"}')
    assert status == 400
    assert {one["field"] for one in found["violations"]} >= {"quantity", "order_id", "colour", "side"}
    assert rest.ask("GET", "/readyz")[2]["ready"] is True
    assert live.http("/livez") == (200, "ok\n")


JUNK: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 10**30, 1e-300, "", "x", "NaN", "Infinity", "é\U0001f600", [], [1], {}, {"a": 1},
    "2025-06-21T10:00:00Z", "normal", "ORDER_SIDE_BUY", 3, "12.5", 2**63,
)  # fmt: skip


def mutated(pick: random.Random, fields: dict[str, Any]) -> dict[str, Any]:
    """Up to three changes somewhere: another value, a field less or more, another way to name one."""
    found = copy.deepcopy(fields)
    for _ in range(pick.randint(1, 3)):
        place = found
        while pick.random() < 0.5 and any(isinstance(value, dict) and value for value in place.values()):
            place = pick.choice([value for value in place.values() if isinstance(value, dict) and value])
        name = pick.choice(sorted(place)) if place else "x"
        change = pick.randrange(5)
        if change == 0 and name != "order_id":
            place.pop(name, None)
        elif change == 1:
            place[pick.choice(["nonsense", "dry_run", "acknowledgement", "volatility_regime"])] = pick.choice(JUNK)
        elif change == 2 and name in place:
            head, *rest = name.split("_")
            place["".join([head, *(word.title() for word in rest)])] = place.pop(name)
        elif change == 3 and isinstance(place.get(name), str):
            place[name] = place[name].lower()
        elif name not in ("order_id", "orderId"):
            place[name] = pick.choice(JUNK)
    return found


def agreement(rest: Rest, gateway: Gateway, fields: dict[str, Any]) -> str:
    """How both ended; fails where they differ."""
    status, _, answer = rest.recommend(fields)
    message = Request()
    unread = reference_read(fields, message)
    strict = from_object(fields, Request(), strict=True)
    if unread:
        assert (status, answer["code"]) == (400, "INVALID_ARGUMENT"), (unread, fields, answer)
        return "unread"
    if strict:
        # Protobuf reads more: numbers in quotes, numbers of enum values.
        assert status == 400
        assert {fault.field for fault in strict} <= {one["field"] for one in answer["violations"]}
        return "strict"
    reply = gateway.recommend(message)
    if reply.code != "OK":
        assert answer["code"] == reply.code, (fields, answer, reply)
        assert answer["detail"] == reply.text
        fields_of = ["order"] if reply.code == "ALREADY_EXISTS" else reply.fields
        assert [one["field"] for one in answer["violations"]] == fields_of
        return reply.code
    wanted = reference_object(reply.response, with_defaults=True)
    if message.dry_run:
        for one in (answer, wanted):
            one.pop("created_at")
    assert status == 200
    assert answer == wanted
    return "OK"


def test_two_thousand_orders_have_the_same_answer_as_over_grpc(live: LiveService) -> None:
    pick = random.Random(SEED)
    work = [reference_object(random_order(pick)) for _ in range(ORDERS)]
    work = [fields if index % 2 else mutated(pick, fields) for index, fields in enumerate(work)]

    def lane(index: int) -> list[str]:
        client = Rest(live.about["http_address"])
        with Gateway(live.target) as gateway:
            found = [agreement(client, gateway, fields) for fields in work[index::LANES]]
        client.close()
        return found

    with ThreadPoolExecutor(LANES) as pool:
        ends = [end for found in pool.map(lane, range(LANES)) for end in found]
    counts = {end: ends.count(end) for end in sorted(set(ends))}
    print(counts)
    assert len(ends) == ORDERS
    assert counts["OK"] > ORDERS / 2
    assert min(counts["unread"], counts["INVALID_ARGUMENT"], counts["FAILED_PRECONDITION"]) > 20


def test_schemathesis_finds_nothing(live: LiveService) -> None:
    trial = try_schema(f"http://{live.about['http_address']}", max_examples=10, most_s=30.0)
    print(trial.cases, trial.statuses, trial.phases)
    assert trial.failures == [], [line for line in live.output.splitlines() if '"a call failed"' in line][-3:]
    assert {"examples", "coverage"} <= trial.phases
    assert trial.cases > 100
    assert {200, 400} <= set(trial.statuses)


def test_a_stop_finishes_requests() -> None:
    """Requests that are under way at SIGTERM are answered, and none is cut off."""
    with live_service(ESS_HTTP_ADDRESS="127.0.0.1:0", ESS_MODELS="off") as service:
        address = service.about["http_address"]
        client = Rest(address)
        assert client.recommend(sound())[0] == 200
        clients = [Rest(address) for _ in range(8)]
        orders = [sound(order_id=new_order_id("stop"), acknowledgement="COMMITTED") for _ in clients]
        bodies = [json.dumps(fields).encode() for fields in orders]
        for one, body in zip(clients, bodies, strict=True):
            headers = {"Content-Type": "application/json"}
            one._connection.request("POST", f"{API}/recommend", body, headers)
        assert client.ask("GET", f"{API}/none/status")[0] == 404, "the others have been taken"
        assert service.terminate() == 0
        answers = [one._connection.getresponse() for one in clients]
        assert {answer.status for answer in answers} <= {200, 503}
        assert any(answer.status == 200 for answer in answers)
        for answer in answers:
            assert json.loads(answer.read())
