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

from tests.helpers import native_clients as native
from tests.helpers.live_service import Gateway, LiveService, closed_time
from tests.helpers.native_orders import sent, stamp
from tests.helpers.running_host import REPOSITORY

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
pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("native_built")]


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

# ---- TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory, native_built: None) -> native.Certificates:
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
