"""`ess` as an operator has it: a token in a file and the authority of the service's certificate, no certificate."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.operations.common import TOKEN, Guarded, guarded_service
from service.cli_app import CommandError
from service.client import ServiceClient, connect
from service.client_token import TokenFileError, read_token
from service.settings import Settings
from service.tls import client_credentials
from tests.helpers.certificates import Authority
from tests.helpers.command_line import ess

OTHER = hashlib.sha256(b"another token, of nobody").hexdigest()


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    with guarded_service(ESS_TLS_CLIENT_CA="") as found:
        yield found


def token_in(folder: Path, token: str) -> Path:
    path = folder / "token"
    path.write_text(f"{token}\n")
    path.chmod(0o600)
    return path


def controls(
    guarded: Guarded, folder: Path, *options: str, authority: Path | None = None, **variables: Any
) -> subprocess.CompletedProcess[str]:
    trusted = authority or guarded.authority.certificate
    words = ("controls", "--json", "--address", guarded.service.target, *options)
    return ess(*words, data_dir=folder, ESS_TLS_CA=str(trusted), **variables)


def test_a_command_calls_with_the_token_of_a_file(guarded: Guarded, tmp_path: Path) -> None:
    nobody = controls(guarded, tmp_path)
    assert nobody.returncode == 1
    assert "UNAUTHENTICATED" in nobody.stderr
    right = token_in(tmp_path, TOKEN)
    by_variable = controls(guarded, tmp_path, ESS_TOKEN_FILE=str(right))
    assert by_variable.returncode == 0, by_variable.stderr
    (tmp_path / "wrong").write_text(OTHER)
    by_option = controls(guarded, tmp_path, "--token-file", str(right), ESS_TOKEN_FILE=str(tmp_path / "wrong"))
    assert by_option.returncode == 0, by_option.stderr
    refused = controls(guarded, tmp_path, ESS_TOKEN_FILE=str(tmp_path / "wrong"))
    assert refused.returncode == 1
    assert "token is not known" in refused.stderr
    assert OTHER not in refused.stdout + refused.stderr
    not_allowed = ess(  # the trader's token; a halt is for others
        "halt", "FIRM", "--reason", "t", "--address", guarded.service.target, "--token-file", str(right),
        data_dir=tmp_path, ESS_TLS_CA=str(guarded.authority.certificate),
    )  # fmt: skip
    assert "PERMISSION_DENIED" in not_allowed.stderr
    health = ess(
        "health", "--address", guarded.service.target, data_dir=tmp_path, ESS_TLS_CA=str(guarded.authority.certificate)
    )
    assert health.returncode == 0, health.stdout


def test_a_token_that_is_replaced_is_used_from_the_next_call_on(guarded: Guarded, tmp_path: Path) -> None:
    credentials = client_credentials(None, guarded.authority.certificate)
    path = token_in(tmp_path, OTHER)
    with ServiceClient(
        guarded.service.target, credentials=credentials, server_name="localhost", token_file=path
    ) as client:
        assert client.status("no-such").code == "UNAUTHENTICATED"
        path.write_text(TOKEN)
        assert client.status("no-such").code == "NOT_FOUND"
        path.unlink()
        answer = client.status("no-such")
        assert (answer.code, str(path) in answer.message) == ("UNAUTHENTICATED", True)


@pytest.mark.parametrize("content", ["", " \n", "two words", "tok\u00e9n", "x" * 5_000, "a\nb"])
def test_what_is_no_token_is_not_sent(tmp_path: Path, content: str) -> None:
    path = tmp_path / "token"
    path.write_text(content)
    with pytest.raises(TokenFileError) as told:
        read_token(path)
    assert content.strip() == "" or content not in str(told.value)


def test_a_token_is_sent_in_plain_text_to_this_host_only(tmp_path: Path) -> None:
    settings = Settings(token_file=token_in(tmp_path, TOKEN))
    for address in ("10.0.0.1:50051", "ess.firm.example:50051", "what"):
        with pytest.raises(CommandError, match="plain text"):
            connect(settings, address)
    for address in ("127.0.0.1:1", "localhost:1", "[::1]:1", f"unix:{tmp_path}/x"):
        connect(settings, address).__exit__()
    in_a_mesh = settings.model_copy(update={"open_network": True})
    connect(in_a_mesh, "10.0.0.1:50051").__exit__()


def test_a_tls_fault_is_told_at_once(guarded: Guarded, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "ca", "stranger").certificate
    begun_s = time.monotonic()
    answer = ServiceClient(
        guarded.service.target, credentials=client_credentials(None, stranger), server_name="localhost"
    ).status("x")
    assert time.monotonic() - begun_s < 3.0
    assert answer.code == "UNAVAILABLE"
    for words in (guarded.service.target, "TLS", "CERTIFICATE_VERIFY_FAILED"):
        assert words in answer.message
    plain = ServiceClient(guarded.service.target).status("x")
    assert (plain.code, "without TLS" in plain.message) == ("UNAVAILABLE", True)
    (tmp_path / "no.pem").write_text("nothing")
    unsound = controls(guarded, tmp_path, authority=tmp_path / "no.pem")
    assert (unsound.returncode, "no.pem cannot be used" in unsound.stderr) == (78, True)
    assert "Traceback" not in unsound.stderr


def test_where_nobody_listens_is_said_at_once(tmp_path: Path) -> None:
    for address in ("127.0.0.1:1", f"unix:{tmp_path}/none.sock"):
        begun_s = time.monotonic()
        with ServiceClient(address) as client:
            answer = client.status("x")
        assert time.monotonic() - begun_s < 2.0
        assert answer.code == "UNAVAILABLE"
        assert f"nothing listens at {address}" in answer.message


def test_no_thread_of_a_client_ends_in_a_traceback_where_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the interpreter is busy, so that gRPC's threads lag behind; `ess recommend` asks for several orders."""
    ended: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda told: ended.append(str(told.exc_value)))
    done = threading.Event()

    def busy() -> None:
        while not done.is_set():
            pass

    others = [threading.Thread(target=busy) for _ in range(3)]
    for other in others:
        other.start()
    try:
        for _ in range(8):
            with ServiceClient("127.0.0.1:1") as client:
                answers = [client.status("x") for _ in range(3)]
            assert {answer.code for answer in answers} == {"UNAVAILABLE"}
    finally:
        done.set()
        for other in others:
            other.join()
    assert ended == []


def test_an_address_that_says_nothing_is_given_up() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        begun_s = time.monotonic()
        with ServiceClient(address, timeout_s=60.0, connect_timeout_s=0.5) as client:
            answer = client.status("x")
        assert time.monotonic() - begun_s < 10.0
    assert answer.code == "UNAVAILABLE"
    assert f"no connection to {address}" in answer.message
