"""Settings: what is taken, what is refused, and that everything wrong is said at once, without secrets."""

from __future__ import annotations

import pickle
import socket
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.ports import Address, AddressError, AddressTakenError, reserve
from service.settings import Settings
from service.settings_load import SettingsError, load_settings
from service.settings_table import configuration_table
from service.urls import masked_url


def faults(**environ: str) -> dict[str, str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ)
    return {fault.variable: fault.fault for fault in caught.value.faults}


def test_defaults_need_no_environment_and_ignore_foreign_variables() -> None:
    settings = load_settings({"HOME": "/", "PATH": "/bin", "ESSENCE": "1"})
    assert settings == Settings()
    assert settings.grpc_address == "127.0.0.1:50051"
    assert settings.http_address == "127.0.0.1:8080"
    assert settings.data_dir == Path("./var")
    assert settings.database_url.get_secret_value() == ""
    assert (settings.workers, settings.acknowledgement, settings.max_participation_rate) == (
        1,
        "JOURNALED",
        0.30,
    )
    assert settings.host_id == socket.gethostname()
    assert settings.surfaces_dir is None


def test_every_kind_of_value_is_read() -> None:
    settings = load_settings(
        {
            "ESS_WORKERS": "8",
            "ESS_PRICE_COLLAR_BPS": "250.5",
            "ESS_ECHO": "false",
            "ESS_ACKNOWLEDGEMENT": "COMMITTED",
            "ESS_HTTP_ADDRESS": "",
            "ESS_SURFACES_DIR": "/srv/surfaces",
            "ESS_DATABASE_URL": "postgresql://u:p@db:5433/ess",
            "ESS_OTLP_ENDPOINT": "http://collector:4317",
        }
    )
    assert (settings.workers, settings.price_collar_bps, settings.echo) == (8, 250.5, False)
    assert (settings.acknowledgement, settings.http_address) == ("COMMITTED", "")
    assert settings.surfaces_dir == Path("/srv/surfaces")
    assert load_settings({"ESS_SURFACES_DIR": ""}).surfaces_dir is None
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_it_is_frozen_and_does_not_show_the_password() -> None:
    settings = load_settings({"ESS_DATABASE_URL": "postgresql://u:hunter2@db/ess"})
    assert "hunter2" not in repr(settings)
    with pytest.raises(ValidationError):
        settings.workers = 2


@pytest.mark.parametrize(("environment", "on"), [("development", True), ("production", False)])
def test_reflection_and_echo_follow_the_environment_unless_set(environment: str, on: bool) -> None:
    settings = load_settings({"ESS_ENVIRONMENT": environment})
    assert (settings.reflection, settings.echo) == (on, on)
    other = load_settings({"ESS_ENVIRONMENT": environment, "ESS_ECHO": str(not on)})
    assert (other.reflection, other.echo) == (on, not on)


def test_everything_wrong_is_reported_at_once() -> None:
    found = faults(
        ESS_WORKERS="0",
        ESS_WORKRES="2",
        ess_workers="2",
        ESS_GRPC_ADDRESS="localhost",
        ESS_LOG_LEVEL="loud",
        ESS_DRAIN_TIMEOUT_S="nan",
        ESS_JOURNAL_MAX_BYTES="5",
        ESS_REFLECTION="perhaps",
        ESS_DATABASE_URL="mysql://h/d",
        ESS_OTLP_ENDPOINT="collector:4317",
        ESS_MAX_PARTICIPATION_RATE="1.5",
        ESS_MAX_MESSAGE_BYTES="1e9",
    )
    assert len(found) == 12
    assert found["ESS_WORKRES"] == "unknown variable; did you mean ESS_WORKERS?"
    assert found["ESS_GRPC_ADDRESS"] == "it must be host:port"
    assert "greater than or equal to 1048576" in found["ESS_JOURNAL_MAX_BYTES"]
    assert found["ESS_DATABASE_URL"] == "the scheme must be postgresql"


@pytest.mark.parametrize(
    "url",
    [
        "mysql://user:hunter2@h/d",
        "postgresql://user:hunter2@h",
        "postgresql://user:hunter2@h:port/d",
        "postgresql://user:hun?ter2@h/d",
        "postgresql://user:hunter2#@h/d",
        "host=h password=hunter2",
        "postgresql://[hunter2/d",
    ],
)
def test_no_fault_shows_the_password(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"ESS_DATABASE_URL": url, "ESS_DATABASE_ULR": url})
    assert "hunter2" not in str(caught.value)
    assert "hun" not in str(caught.value)
    assert "ESS_DATABASE_URL" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("", ""),
        ("postgresql://h:5432/d", "postgresql://h:5432/d"),
        ("postgresql://u:p@h:5432/d", "postgresql://u:***@h:5432/d"),
        ("postgresql://u@h/d?password=p", "postgresql://u@h/d?***"),
        ("password=p", "***"),
    ],
)
def test_masked_url(url: str, shown: str) -> None:
    assert masked_url(url) == shown


def test_settings_that_contradict_each_other_are_refused() -> None:
    assert "several workers" in faults(ESS_GRPC_ADDRESS="unix:/run/ess.sock", ESS_WORKERS="2")["ESS_WORKERS"]
    same = faults(ESS_GRPC_ADDRESS="127.0.0.1:9000", ESS_HTTP_ADDRESS="127.0.0.1:9000")
    assert same == {"ESS_HTTP_ADDRESS": "gRPC listens on the same address"}
    load_settings({"ESS_GRPC_ADDRESS": "127.0.0.1:0", "ESS_HTTP_ADDRESS": "127.0.0.1:0"})


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
        ("localhost:65535", Address("localhost", 65535)),
        ("[::1]:50051", Address("::1", 50051)),
        ("[0:0:0:0:0:0:0:0]:1", Address("::", 1)),
        ("unix:/run/ess.sock", Address("", 0, "/run/ess.sock")),
        ("unix:///run/ess.sock", Address("", 0, "/run/ess.sock")),
    ],
)
def test_addresses_that_are_taken(text: str, address: Address) -> None:
    assert Address.parse(text) == address
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":50051",
        "localhost",
        "localhost:",
        "h:65536",
        "h:-1",
        "h:5a",
        "h:\u0663",
        "::1:5",
        "[::1",
        "[::1]",
        "[x]:1",
        "a b:1",
        "-h:1",
        "http://h:1",
        "unix:",
        "unix:/",
        "unix:/" + "x" * 107,
    ],
)
def test_addresses_that_are_refused(text: str) -> None:
    with pytest.raises(AddressError):
        Address.parse(text)


def test_a_wildcard_is_dialled_on_loopback() -> None:
    assert str(Address.parse("0.0.0.0:5").dialled()) == "127.0.0.1:5"
    assert str(Address.parse("[::]:5").dialled()) == "[::1]:5"


def test_a_reserved_port_is_refused_to_a_second_supervisor_and_free_afterwards() -> None:
    first = reserve(Address.parse("127.0.0.1:0"))
    try:
        assert first.address.port > 0
        with pytest.raises(AddressTakenError, match="already in use"):
            reserve(first.address)
    finally:
        first.release()
    reserve(first.address).release()


def test_a_unix_socket_without_a_listener_is_no_obstacle(tmp_path: Path) -> None:
    address = Address.parse(f"unix:{tmp_path}/s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address.unix_path)
        reserve(address)
        listener.listen()
        with pytest.raises(AddressTakenError, match="already in use"):
            reserve(address)


def test_the_table_names_every_setting() -> None:
    table = configuration_table()
    for name in Settings.model_fields:
        assert f"| `ESS_{name.upper()}` |" in table
    assert "None" not in table
    assert len(table.splitlines()) == len(Settings.model_fields) + 2


@pytest.mark.parametrize("url", ["", "nats://h:4222", "nats://u:p@h:4222,tls://i:4222", "nats://h"])
def test_nats_urls_that_are_taken(url: str) -> None:
    assert load_settings({"ESS_NATS_URL": url}).nats_url.get_secret_value() == url


@pytest.mark.parametrize(
    "url", ["h:4222", "http://u:secret@h", "nats://", "nats://u:secret@h,http://u:secret@i", "nats://h:x"]
)
def test_nats_urls_that_are_refused_show_no_password(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"ESS_NATS_URL": url})
    assert [fault.variable for fault in caught.value.faults] == ["ESS_NATS_URL"]
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a.b", "a b", "a>", "*"])
def test_names_of_streams_that_nats_would_refuse(name: str) -> None:
    with pytest.raises(SettingsError):
        load_settings({"ESS_NATS_STREAM": name})


@pytest.mark.parametrize("prefix", ["", ".a", "a.", "a..b", "a.>", "a b"])
def test_prefixes_that_are_no_subject(prefix: str) -> None:
    with pytest.raises(SettingsError):
        load_settings({"ESS_NATS_SUBJECT_PREFIX": prefix})
