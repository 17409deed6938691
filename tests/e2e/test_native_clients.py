"""The gateways in C++ and Java against the real service: verdicts, orders' lives, cuts, TLS, the README's programs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from execution_strategy.v1 import adaptation_pb2, request_pb2, status_pb2
from google.protobuf import json_format
from google.protobuf.message import Message

from tests.fault.proxy import Faults, ThreadedProxy
from tests.helpers import native_clients as native
from tests.helpers.live_service import Gateway, LiveService, closed_time, new_order_id
from tests.helpers.running_host import REPOSITORY
from tests.helpers.scripted_adapt import Script, scripted_service

CORPUS = REPOSITORY / "tests" / "contract" / "violations.json"
README = (REPOSITORY / "README.md").read_text()
REQUESTS: dict[str, type[Message]] = {
    "Recommend": request_pb2.ExecutionStrategyRequest, "AdaptOnce": adaptation_pb2.StrategyAdaptationRequest,
    "Status": status_pb2.StatusRequest, "ReportOutcome": status_pb2.ReportOutcomeRequest,
    "Performance": status_pb2.PerformanceRequest,
}  # fmt: skip
PREFIXES = {
    "side": "ORDER_SIDE", "objective": "EXECUTION_OBJECTIVE", "urgency": "EXECUTION_URGENCY",
    "acknowledgement": "ACKNOWLEDGEMENT_CLASS", "current_conditions": "MARKET_CONDITION",
}  # fmt: skip
LANGUAGES = pytest.mark.parametrize("program", [native.CPP, native.JAVA], ids=["cpp", "java"])
# The first test may have to compile everything.
pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("built")]


@pytest.fixture(scope="module")
def built() -> None:
    missing = native.missing_tools()
    if missing:
        pytest.skip(f"the native clients cannot be built here without {', '.join(missing)}")
    native.build()


@pytest.fixture
def order_path(tmp_path: Path) -> Path:
    """An order as a person writes it, planned for the next session at whatever hour the test runs."""
    order = {
        "order_id": new_order_id("native"), "instrument_id": "AIG", "side": "BUY", "quantity": 40_000,
        "objective": "BALANCED_EXECUTION", "urgency": "NORMAL", "market_context": {"time_of_day": "MORNING"},
        "effective_time": stamp(),
    }  # fmt: skip
    path = tmp_path / "order.json"
    path.write_text(json.dumps(order))
    return path


def stamp() -> str:
    moment = request_pb2.MarketBar().end_time
    moment.FromSeconds(closed_time())
    return str(moment.ToJsonString())


def example(name: str) -> str:
    """The README's block of that name."""
    found = re.search(rf"<!-- example: {name} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert found is not None, name
    return found.group(1)


# ---- the same verdict in every language


def corpus() -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads(CORPUS.read_text())
    for case in cases:
        if case.get("method", "Recommend") == "Recommend" and case.get("request", {}).get("dry_run"):
            case["request"].setdefault("effective_time", stamp())
    return cases


def verdict_of(gateway: Gateway, case: dict[str, Any]) -> dict[str, Any]:
    method = case.get("method", "Recommend")
    if "request_hex" in case:
        data = bytes.fromhex(case["request_hex"])
    else:
        # Full names are what JSON of protobuf knows; the short ones are the contract's own.
        text = json.dumps(case["request"])
        for enum, prefix in PREFIXES.items():
            text = re.sub(rf'"{enum}": "([A-Z_]+)"', rf'"{enum}": "{prefix}_\1"', text)
        data = json_format.Parse(text, REQUESTS[method]()).SerializeToString()
    reply = gateway.call(method, data)
    fields = sorted(set(reply.fields)) if reply.code in {"INVALID_ARGUMENT", "FAILED_PRECONDITION"} else []
    return {"name": case["name"], "code": reply.code, "fields": fields}


def test_a_violation_has_the_same_verdict_in_python_cpp_and_java(
    live: LiveService, gateway: Gateway, tmp_path: Path
) -> None:
    cases = corpus()
    assert len(cases) >= 40
    assert len({case["name"] for case in cases}) == len(cases)
    expected = [{name: case[name] for name in ("name", "code", "fields")} for case in cases]
    path = tmp_path / "violations.json"
    path.write_text(json.dumps(cases))
    assert [verdict_of(gateway, case) for case in cases] == expected
    for program in (native.CPP, native.JAVA):
        printed = native.run(program, "--target", live.target, "violations", str(path))
        assert printed.code == 0, printed.errors
        assert printed.objects == expected, program


# ---- calls


@LANGUAGES
def test_a_decision_is_printed_for_people_and_for_programs(
    live: LiveService, gateway: Gateway, program: Sequence[str], order_path: Path
) -> None:
    text = native.run(program, "--target", live.target, "recommend", str(order_path))
    assert text.code == 0, text.errors
    order_id = json.loads(order_path.read_text())["order_id"]
    assert text.text.startswith(f"{order_id}: ")
    assert "bps over" in text.text
    again = native.run(program, "--target", live.target, "--json", "recommend", "-", given=order_path.read_text())
    (printed,) = again.objects
    decided = json_format.ParseDict(printed["decision"], gateway.recommend(sent(order_path)).response.__class__())
    # A retry from a third client has the same answer.
    assert decided == gateway.recommend(sent(order_path)).response


def sent(order_path: Path) -> bytes:
    from service.mapping.contract_json import from_object

    message = request_pb2.ExecutionStrategyRequest()
    assert from_object(json.loads(order_path.read_text()), message) == []
    return message.SerializeToString()


@LANGUAGES
def test_refusals_name_every_field(live: LiveService, program: Sequence[str]) -> None:
    given = json.dumps({"order_id": "a b", "quantity": -1})
    printed = native.run(program, "--target", live.target, "--json", "recommend", "-", given=given)
    assert printed.code == 1
    refused = printed.objects[0]["refused"]
    assert refused["code"] == "INVALID_ARGUMENT"
    assert {"order_id", "quantity", "side"} <= {violation["field"] for violation in refused["violations"]}
    text = native.run(program, "--target", live.target, "recommend", "-", given=given)
    assert "  quantity: must be greater than 0" in text.text


@LANGUAGES
def test_misuse_is_told(live: LiveService, program: Sequence[str]) -> None:
    mistakes = (
        ("nonsense",), ("--channels", "none", "status", "x"), ("--what", "status", "x"),
        ("recommend", "no-file"),
    )
    for arguments in mistakes:
        printed = native.run(program, "--target", live.target, *arguments)
        assert printed.code == 2, arguments
        assert printed.errors


@LANGUAGES
def test_help_lists_every_command(program: Sequence[str]) -> None:
    printed = native.run(program, "--help")
    assert printed.code == 0
    assert all(f"\n  {command} " in printed.text for command in ("recommend", "status", "adapt", "violations"))


# ---- the life of an order


@LANGUAGES
def test_an_order_is_followed_to_its_end(live: LiveService, program: Sequence[str], order_path: Path) -> None:
    updates = [
        {"working": {"quantity": 5_000}}, {"fill": {"execution_id": "a", "quantity": 2_000, "price": 78}},
        {"fill": {"execution_id": "b", "quantity": -1, "price": 78}},
        {"market_context": {"current_conditions": "TRENDING", "short_term_alpha_bps_per_day": 400}},
        {"terminal": {"state": "CANCELLED"}}, {"pause": {}},
    ]  # fmt: skip
    given = "\n".join(json.dumps(update) for update in updates)
    printed = native.run(program, "--target", live.target, "--json", "adapt", str(order_path), "-", given=given)
    assert printed.code == 1, printed.errors  # two updates were refused, and the others went on
    answers = [line["adaptation"] for line in printed.objects if "adaptation" in line]
    assert sum(bool(answer["error"]) if "error" in answer else False for answer in answers) == 2
    assert any(answer.get("advice_number") == "1" for answer in answers)
    order_id = json.loads(order_path.read_text())["order_id"]
    status = native.run(program, "--target", live.target, "--json", "status", order_id).objects[0]["status"]
    assert status["state"] == "EXECUTION_STATE_CANCELLED"
    assert status["progress"]["filled_quantity"] == 2_000
    assert "CANCELLED, filled 2000 of 40000" in native.run(program, "--target", live.target, "status", order_id).text


@LANGUAGES
def test_after_a_cut_the_order_goes_on_from_the_last_sequence(
    live: LiveService, gateway: Gateway, program: Sequence[str], order_path: Path
) -> None:
    """Cut twice: between two updates, and with one on its way that the service never saw."""
    host, port = live.target.split(":")
    order_id = json.loads(order_path.read_text())["order_id"]
    with (
        ThreadedProxy((host, int(port))) as proxy,
        native.Conversation(program, f"127.0.0.1:{proxy.proxy.port}", order_path) as talk,
    ):
        talk.say(working={"quantity": 5_000})
        talk.say(fill={"execution_id": "a", "quantity": 2_000, "price": 78})
        assert talk.until("adaptation", acknowledged_sequence="2")["adaptation"]["epoch"] == "1"
        assert proxy.cut() > 0
        talk.until("resumed")
        assert talk.until("adaptation", acknowledged_sequence="2")["adaptation"]["epoch"] == "2"
        proxy.set(Faults(stalls=True))
        talk.say(fill={"execution_id": "b", "quantity": 1_000, "price": 79})
        proxy.cut()
        proxy.set(Faults())
        talk.until("resumed")
        talk.until("adaptation", acknowledged_sequence="3")
        talk.say(terminal={"state": "EXECUTION_STATE_COMPLETED"})
        talk.until("adaptation", acknowledged_sequence="4")
        assert talk.end() == 0
    reply = gateway.call("Status", status_pb2.StatusRequest(order_id=order_id))
    status = status_pb2.StrategyExecutionStatus.FromString(reply.data)
    assert status.progress.filled_quantity == 3_000
    assert status.acknowledged_sequence == 4
    assert status.cost_so_far.average_price == pytest.approx((2_000 * 78 + 1_000 * 79) / 3_000)


@LANGUAGES
def test_the_gateway_s_own_count_is_the_service_s(
    live: LiveService, program: Sequence[str], order_path: Path
) -> None:
    """At the same number the gateway is right: a resume with other quantities would change the order's progress."""
    host, port = live.target.split(":")
    updates: list[dict[str, Any]] = [
        {"working": {"quantity": 5_000}}, {"fill": {"execution_id": "a", "quantity": 2_000, "price": 78}},
        {"fill": {"execution_id": "a", "quantity": 2_000, "price": 78}},  # counted once
        {"cancel": {"quantity": 1_000}}, {"cancel": {"quantity": 500, "final": True}},
        {"market_context": {"mid_price": 78.1}}, {"fill": {"execution_id": "b", "quantity": 2_500, "price": 78.2}},
        {"amend": {"quantity": 6_000}}, {"working": {"quantity": 400}}, {"pause": {"reason": "lunch"}},
    ]  # fmt: skip
    with (
        ThreadedProxy((host, int(port))) as proxy,
        native.Conversation(program, f"127.0.0.1:{proxy.proxy.port}", order_path) as talk,
    ):
        for number, update in enumerate(updates, start=1):
            talk.say(**update)
            before = talk.until("adaptation", acknowledged_sequence=str(number))["adaptation"]
            proxy.cut()
            talk.until("resumed")
            after = talk.until("adaptation", acknowledged_sequence=str(number), epoch=str(number + 1))["adaptation"]
            assert after["progress"] == before["progress"], update
        assert talk.end() == 0


@LANGUAGES
def test_what_could_not_be_recorded_keeps_its_number_and_is_sent_again(
    live: LiveService, program: Sequence[str], order_path: Path
) -> None:
    """It may have been recorded all the same: another update under its number would be taken for a repetition. A
    faulty one gives its number to the next, which is waited for as any other."""
    script = Script(unrecorded={"working 2"}, faulty={"working 4"}, delay_s=0.1)
    given = "\n".join(json.dumps({"working": {"quantity": number}}) for number in (1, 2, 3, 4, 5, 6))
    with scripted_service(live.target, script) as target:
        printed = native.run(program, "--target", target, "--json", "adapt", str(order_path), "-", given=given)
    assert script.came == [
        (1, "working 1"), (2, "working 2"), (0, "resume"), (2, "working 2"), (3, "working 3"), (4, "working 4"),
        (4, "working 5"), (5, "working 6"),
    ]  # fmt: skip
    assert script.early == []
    assert printed.code == 1, printed.errors  # one was refused


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, built: None) -> dict[str, Sequence[str]]:
    """Programs of a user's that send updates without waiting, by language."""
    folder: Path = tmp_path_factory.mktemp("many")
    sources = REPOSITORY / "tests" / "helpers" / "many_in_flight"
    native.compile_cpp(sources / "many.cc", folder / "many")
    return {"cpp": (str(folder / "many"),), "java": native.compile_java(sources / "Many.java", folder)}


def fates(program: Sequence[str], target: str, order_path: Path, lines: Sequence[str]) -> list[str]:
    request = order_path.with_suffix(".bin")
    request.write_bytes(sent(order_path))
    printed = native.run(program, target, str(request), given="\n".join(lines))
    assert printed.code == 0, printed
    return printed.text.splitlines()


def progress(gateway: Gateway, order_path: Path) -> Any:
    order_id = json.loads(order_path.read_text())["order_id"]
    reply = gateway.call("Status", status_pb2.StatusRequest(order_id=order_id))
    return status_pb2.StrategyExecutionStatus.FromString(reply.data).progress


@pytest.mark.parametrize("language", ["cpp", "java"])
def test_of_many_updates_in_flight_the_malformed_are_told_refused_and_no_other(
    live: LiveService, gateway: Gateway, many: dict[str, Sequence[str]], language: str, order_path: Path
) -> None:
    lines = [
        "working 5000", "fill x -1", "fill a 1000", "cancel -5", "cancel 500", "fill b 700", "wait",
        "fill y -1", "wait", "fill c 100", "fill z -1", "fill d 10", "wait",
    ]  # fmt: skip
    assert fates(many[language], live.target, order_path, lines) == [
        "1 ACKNOWLEDGED", "2 REFUSED", "3 ACKNOWLEDGED", "4 REFUSED", "5 ACKNOWLEDGED", "6 ACKNOWLEDGED",
        "7 REFUSED",  # nothing was behind it: the next update has its number
        "7 ACKNOWLEDGED", "8 REFUSED", "9 ACKNOWLEDGED",
    ]  # fmt: skip
    found = progress(gateway, order_path)
    assert (found.filled_quantity, found.working_quantity) == (1_810, 2_690)


@pytest.mark.parametrize("language", ["cpp", "java"])
def test_more_updates_behind_a_malformed_one_than_the_service_holds(
    live: LiveService, gateway: Gateway, many: dict[str, Sequence[str]], language: str, order_path: Path
) -> None:
    count = 600
    lines = ["fill x -1", *(f"fill e{number} 10" for number in range(count)), "wait"]
    expected = ["1 REFUSED", *(f"{number} ACKNOWLEDGED" for number in range(2, count + 2))]
    assert fates(many[language], live.target, order_path, lines) == expected
    assert progress(gateway, order_path).filled_quantity == count * 10


# ---- TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory, built: None) -> native.Certificates:
    return native.make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def tls_target(live: LiveService, certificates: native.Certificates) -> Iterator[str]:
    with native.mutual_tls(live.target, certificates) as target:
        yield target


@LANGUAGES
def test_mutual_tls(
    tls_target: str, certificates: native.Certificates, program: Sequence[str], order_path: Path
) -> None:
    shown = certificates.arguments("client")
    updates = json.dumps({"fill": {"execution_id": "a", "quantity": 100, "price": 78}})
    printed = native.run(
        program, "--target", tls_target, *shown, "--json", "adapt", str(order_path), "-", given=updates
    )
    assert printed.code == 0, printed
    assert printed.objects[-1]["adaptation"]["progress"]["filled_quantity"] == 100
    refused = native.run(program, "--target", tls_target, *shown, "--json", "recommend", "-", given="{}")
    assert refused.objects[0]["refused"]["code"] == "INVALID_ARGUMENT"
    assert len(refused.objects[0]["refused"]["violations"]) >= 6


@LANGUAGES
@pytest.mark.parametrize("client", ["", "stranger"], ids=["no certificate", "of another authority"])
def test_who_cannot_show_a_certificate_is_not_served(
    tls_target: str, certificates: native.Certificates, program: Sequence[str], client: str
) -> None:
    printed = native.run(
        program, "--target", tls_target, *certificates.arguments(client), "--attempts", "1", "--json", "status", "x"
    )
    assert printed.code == 1
    assert printed.objects[0]["refused"]["code"] in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}


@LANGUAGES
def test_a_server_of_another_name_is_not_trusted(
    tls_target: str, certificates: native.Certificates, program: Sequence[str]
) -> None:
    shown = (*certificates.arguments("client"), "--server-name", "other.test")
    printed = native.run(program, "--target", tls_target, *shown, "--attempts", "1", "--json", "status", "x")
    assert printed.objects[0]["refused"]["code"] in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}


@LANGUAGES
def test_a_certificate_without_its_key_is_told(certificates: native.Certificates, program: Sequence[str]) -> None:
    printed = native.run(program, "--cert", str(certificates.folder / "client.pem"), "status", "x")
    assert printed.code == 2
    assert "--key" in printed.errors


# ---- the README's programs


def test_the_readme_s_programs_run(live: LiveService, tmp_path: Path) -> None:
    """As they stand, but for the address and a moment at which no market is about to close."""
    seconds = int(closed_time())
    moments = {
        "cpp": ("order.set_quantity(80000);", f"order.mutable_effective_time()->set_seconds({seconds});"),
        "java": (".setQuantity(80000)",
                 f".setEffectiveTime(com.google.protobuf.Timestamp.newBuilder().setSeconds({seconds}L))"),
        "python": ("urgency=enums_pb2.EXECUTION_URGENCY_HIGH,", f' effective_time={{"seconds": {seconds}}},'),
    }  # fmt: skip

    def here(name: str) -> str:
        text, (after, moment) = example(name), moments[name]
        assert "127.0.0.1:50051" in text
        assert after in text
        return text.replace("127.0.0.1:50051", live.target).replace(after, after + moment)

    (tmp_path / "example.cc").write_text(here("cpp"))
    native.compile_cpp(tmp_path / "example.cc", tmp_path / "example")
    (tmp_path / "Example.java").write_text(here("java"))
    java = native.compile_java(tmp_path / "Example.java", tmp_path)
    (tmp_path / "example.py").write_text(here("python"))
    for program in ((str(tmp_path / "example"),), java, (sys.executable, str(tmp_path / "example.py"))):
        printed = native.run(program)
        assert printed.code == 0, printed
        assert " bps" in printed.text


def test_the_readme_s_commands_run(live: LiveService, tmp_path: Path) -> None:
    for name in ("proto", "generated", "build"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    # No market is about to close then, at whatever hour this runs.
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(closed_time()))
    (tmp_path / "order.json").write_text(json.dumps(json.loads(example("json")) | {"effective_time": when}))
    subprocess.run(["sh", "-e", "-c", example("stubs")], cwd=tmp_path, check=True, timeout=60)
    assert (tmp_path / "out" / "execution_strategy" / "v1" / "service.grpc.pb.h").exists()
    assert (tmp_path / "out" / "org" / "execution_strategy" / "v1" / "ExecutionStrategyServiceGrpc.java").exists()
    commands = example("native").replace(" recommend ", f" --target {live.target} recommend ")
    printed = native.run(("sh", "-e", "-c", f"cd {tmp_path}\n{commands}"))
    assert printed.text.count("readme-1: ") == 2
