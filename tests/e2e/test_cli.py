"""`ess` at a terminal: against a running service, in the process of its own that people start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from engine.catalogue import ALGORITHM_NAMES
from service.mapping.contract_json import from_object, to_object
from service.settings import Settings
from tests.helpers.command_line import ess
from tests.helpers.live_service import LiveService, Response, live_service, new_order_id, order
from tests.helpers.running_host import environment


def fields(**changes: Any) -> dict[str, Any]:
    return to_object(order(**changes))


def written(folder: Path, content: Any) -> str:
    path = folder / "orders.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


@pytest.mark.parametrize("columns", [80, 200])
def test_one_order_as_a_table(live: LiveService, tmp_path: Path, columns: int) -> None:
    asked = fields()
    done = ess("recommend", written(tmp_path, asked), service=live, columns=columns)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert max(map(len, done.stdout.splitlines())) <= columns
    assert asked["order_id"] in done.stdout
    assert "Expected cost" in done.stdout
    assert "Venues" in done.stdout
    assert "Else" in done.stdout
    assert "1 decision" in done.stdout
    quiet = ess("recommend", written(tmp_path, asked), "--quiet", service=live, columns=columns)
    assert "Expected cost" not in quiet.stdout


def test_many_orders_as_json_from_stdin(live: LiveService) -> None:
    asked = [fields(), fields(side="SELL"), fields(instrument_id="PETR4", quantity=1_000)]
    done = ess("recommend", "-", "--json", service=live, stdin=json.dumps(asked))
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert [answer["order_id"] for answer in answers] == [order_["order_id"] for order_ in asked]
    for answer in answers:
        assert answer["recommended_strategy"]["algorithm"] in ALGORITHM_NAMES
        assert answer["acknowledgement"] == "JOURNALED"
        assert answer["expected_outcomes"]["estimated_cost"] < 1
    again = ess("recommend", "-", "--json", service=live, stdin=json.dumps(asked))
    assert again.stdout == done.stdout


@pytest.mark.parametrize("columns", [80, 200])
def test_refused_orders_exit_1_with_every_violation(live: LiveService, tmp_path: Path, columns: int) -> None:
    bad = {"order_id": new_order_id(), "instrument_id": "NOPE", "side": "BUY", "quantity": -5}
    path = written(tmp_path, [fields(), bad])
    done = ess("recommend", path, service=live, columns=columns)
    assert done.returncode == 1
    for words in ("INVALID_ARGUMENT", "instrument_id", "quantity", "objective", "urgency", "2 decisions"):
        assert words in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= columns
    told = ess("recommend", path, "--json", service=live)
    assert told.returncode == 1
    error = json.loads(told.stdout)[1]["error"]
    assert error["code"] == "INVALID_ARGUMENT"
    assert {violation["field"] for violation in error["violations"]} == {
        "instrument_id",
        "quantity",
        "objective",
        "urgency",
    }


def test_what_looks_like_markup_is_shown_as_it_is(live: LiveService, tmp_path: Path) -> None:
    odd = f"[/red][bold]{new_order_id()}"
    asked = fields(order_id=odd, constraints={"venue_restrictions": ["[/dim]"]})
    done = ess("recommend", written(tmp_path, asked), service=live)
    assert (done.returncode, done.stderr) == (1, "")
    assert odd in done.stdout
    assert "constraints.venue_restrictions[0]" in done.stdout
    assert "[/dim]" in done.stdout
    good = ess("recommend", written(tmp_path, fields(order_id=odd)), service=live)
    assert good.returncode == 0, good.stderr
    status = ess("status", odd, service=live)
    assert (status.returncode, status.stderr) == (0, "")
    assert odd in status.stdout


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "orders.json"), ("[]", "no order"), ("[1, {}]", "entries 0"), ('"order"', "entries 0"),
        ("null", "entries 0"),
        ("[" * 100_000, "orders.json"), ("\ud800", "orders.json"),
    ],
)  # fmt: skip
def test_bad_json_exits_2(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "orders.json"
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    done = ess("recommend", str(path), "--address", "127.0.0.1:1")
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_file_and_a_field_nobody_knows(live: LiveService, tmp_path: Path) -> None:
    missing = ess("recommend", str(tmp_path / "none.json"), service=live)
    assert missing.returncode == 2
    assert "none.json" in missing.stderr
    unknown = ess("recommend", written(tmp_path, fields() | {"sid": "BUY"}), service=live)
    assert unknown.returncode == 1
    assert "'sid'" in unknown.stdout


def test_status(live: LiveService, tmp_path: Path) -> None:
    asked = fields()
    assert ess("recommend", written(tmp_path, asked), service=live).returncode == 0
    done = ess("status", asked["order_id"], service=live, columns=80)
    assert done.returncode == 0, done.stderr
    assert "RECOMMENDED" in done.stdout
    assert "0 of 40,000" in " ".join(done.stdout.split())
    as_json = ess("status", asked["order_id"], "--json", service=live)
    assert json.loads(as_json.stdout)["current"]["order_id"] == asked["order_id"]
    unknown = ess("status", new_order_id(), service=live)
    assert unknown.returncode == 1
    assert "NOT_FOUND" in unknown.stderr
    assert "`ess retention`" in unknown.stderr
    never = ess("replay", "0b0f5a9e-9c0a-4f5e-8d2c-1f2e3d4c5b6a", service=live)
    assert (never.returncode, "`ess retention`" in never.stderr) == (2, True)


@pytest.mark.parametrize("columns", [80, 200])
def test_catalogue(columns: int) -> None:
    done = ess("catalogue", columns=columns)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= columns
    rows = json.loads(ess("catalogue", "--json").stdout)
    assert {row["algorithm_mapping"]["algorithm"] for row in rows} == set(ALGORITHM_NAMES)
    assert len(rows) >= 10


def test_health(live: LiveService, tmp_path: Path) -> None:
    done = ess("health", service=live)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout).values()) == {"SERVING"}
    away = ess("health", "--address", "127.0.0.1:1", data_dir=tmp_path)
    assert away.returncode == 1
    assert "Traceback" not in away.stderr


def test_a_service_that_is_away(tmp_path: Path) -> None:
    asked = written(tmp_path, fields())
    done = ess("recommend", asked, "--json", "--address", "127.0.0.1:1", data_dir=tmp_path)
    assert done.returncode == 1
    assert json.loads(done.stdout)[0]["error"]["code"] == "UNAVAILABLE"
    status = ess("status", "x", "--address", "127.0.0.1:1", data_dir=tmp_path)
    assert status.returncode == 1
    assert "nothing listens at 127.0.0.1:1" in status.stderr
    assert "archive" not in status.stderr


@pytest.mark.parametrize("command", [("settings",), ("catalogue",), ("atdl",), ("settings", "--json")])
def test_an_output_that_cannot_be_written_is_told(command: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "service.cli", *command], env=environment(Path("/nonexistent")), stdout=full,
            stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 74
    assert done.stderr == "ess: the output cannot be written: No space left on device\n"


def test_a_reader_that_goes_is_no_fault() -> None:
    words = f"{sys.executable} -m service.cli settings | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", words], env=environment(Path("/nonexistent")), capture_output=True, text=True, timeout=60,
        check=True,
    )  # fmt: skip
    assert done.stdout.strip() in {"0", "1"}
    assert done.stderr == ""


def test_a_terminal_of_ascii_gets_escapes(live: LiveService, tmp_path: Path) -> None:
    plain: dict[str, Any] = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = ess("catalogue", columns=80, **plain)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    refused = ess("recommend", written(tmp_path, fields(instrument_id="caf\u00e9")), service=live, **plain)
    assert (refused.returncode, refused.stderr) == (1, "")
    assert "INVALID_ARGUMENT" in refused.stdout
    assert "caf\\xe9" in refused.stdout


@pytest.mark.parametrize("command", [("recommend", "-"), ("limits", "-", "--reason", "t")])
def test_a_stdin_that_is_closed_is_told(command: tuple[str, ...]) -> None:
    words = " ".join((sys.executable, "-m", "service.cli", *command, "<&-"))
    done = subprocess.run(
        ["bash", "-c", words], env=environment(Path("/nonexistent")), capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode in {1, 2}
    assert done.stderr.startswith("ess: -")
    assert "stdin is closed" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_migrate_is_idempotent_and_leaves_a_running_database_alone(
    live: LiveService, short_tmp: Path
) -> None:
    first = ess("migrate", data_dir=short_tmp / "var")
    assert first.returncode == 0, first.stderr
    assert "applied 0001" in first.stdout
    second = ess("migrate", data_dir=short_tmp / "var")
    assert (second.returncode, second.stdout) == (0, "0 migrations applied; the database is up to date\n")
    busy = ess("migrate", service=live)
    assert busy.returncode == 1
    assert "another process owns" in busy.stderr
    given = ess("migrate", ESS_DATABASE_URL="postgresql://nobody:secret@127.0.0.1:1/none")
    assert given.returncode == 1
    assert "secret" not in given.stdout + given.stderr
    assert "Traceback" not in given.stderr


def test_settings() -> None:
    done = ess("settings", columns=80)
    assert done.returncode == 0
    for name in Settings.model_fields:
        assert f"`ESS_{name.upper()}`" in done.stdout


@pytest.mark.parametrize("command", [("serve",), ("migrate",), ("health",), ("status", "x")])
def test_bad_settings_are_all_told_and_exit_78(command: tuple[str, ...]) -> None:
    bad: dict[str, Any] = {
        "ESS_WORKERS": "many",
        "ESS_WROKERS": "2",
        "ESS_ACKNOWLEDGEMENT": "MAYBE",
        "ESS_MAX_MESSAGE_BYTES": "1",
    }
    done = ess(*command, **bad)
    assert done.returncode == os.EX_CONFIG
    for name in bad:
        assert name in done.stderr
    assert "4 bad settings" in done.stderr
    assert "Traceback" not in done.stderr


def test_files_that_settings_name_are_all_named_where_they_cannot_be_used(short_tmp: Path) -> None:
    """With the code that a service manager does not try again after."""
    (short_tmp / "policy.toml").write_text("[identities.desk]\nroles = []\n")
    (short_tmp / "models").mkdir()
    bad: dict[str, Any] = {
        "ESS_POLICY_FILE": f"{short_tmp}/policy.toml",
        "ESS_TLS_CERTIFICATE": f"{short_tmp}/none.pem",
        "ESS_TLS_KEY": f"{short_tmp}/none.key",
        "ESS_SURFACES_DIR": f"{short_tmp}/none",
        "ESS_MODELS_DIR": f"{short_tmp}/models",
        "ESS_DATA_DIR": f"{short_tmp}/var",
        "ESS_GRPC_ADDRESS": f"unix:{short_tmp}/e.sock",
    }
    done = ess("serve", **bad)
    assert done.returncode == os.EX_CONFIG
    said = done.stderr[done.stderr.rindex("ess: ") :]
    for name in ("ESS_POLICY_FILE", "ESS_TLS_CERTIFICATE", "ESS_SURFACES_DIR", "ESS_MODELS_DIR"):
        assert f"{name}: " in said
    assert "identities.desk.roles" in said
    assert "none.key" in said
    assert "Traceback" not in said
    assert "process died" not in done.stderr, "a worker was let run into it"


def test_a_second_service_on_the_same_folder_is_refused(live: LiveService) -> None:
    done = ess("serve", service=live)
    assert done.returncode == os.EX_UNAVAILABLE
    assert "in use" in done.stderr


def test_every_command_has_help() -> None:
    shown = ess("--help", columns=80).stdout
    for name in ("serve", "recommend", "status", "catalogue", "migrate", "health", "settings", "demo"):
        assert name in shown


def test_json_of_the_command_line_is_the_contracts(live: LiveService, tmp_path: Path) -> None:
    done = ess("recommend", written(tmp_path, fields()), "--json", service=live)
    message = Response()
    (answer,) = json.loads(done.stdout)
    assert from_object(answer, message) == []
    assert (
        json_format.MessageToDict(message, preserving_proto_field_name=True)["order_id"] == answer["order_id"]
    )


def test_a_unix_socket(short_tmp: Path) -> None:
    with live_service(short_tmp / "var", ESS_GRPC_ADDRESS=f"unix:{short_tmp}/e.sock") as service:
        done = ess("recommend", "-", "--json", service=service, stdin=json.dumps(fields()))
        assert done.returncode == 0, done.stderr
        assert ess("health", service=service).returncode == 0
