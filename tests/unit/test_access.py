"""Who may do what: the policy file, roles and methods, bounds, and files that change."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from execution_strategy.v1 import admin_pb2, service_pb2

from service.access import METHODS, Access, PolicyWatch
from service.door import DoorError, open_door
from service.errors import RpcError
from service.identity import CALLER, Role
from service.policy import PolicyError, parse_policy
from service.settings_load import SettingsError, load_settings
from service.tls import Certificates
from service.tls_files import TlsError, TlsFiles, read_pem
from tests.helpers.certificates import Authority

TOKEN = "0123456789abcdef0123456789abcdef"
DIGEST = hashlib.sha256(TOKEN.encode()).hexdigest()
POLICY = f"""
[identities.g1]
roles = ["gateway"]
spiffe = ["spiffe://firm/g1"]
desk = "cash"
[identities.g2]
roles = ["gateway"]
sans = ["g2.firm"]
max_calls_per_second = 2
max_streams = 1
max_connections = 1
[identities.rita]
roles = ["risk"]
token_sha256 = ["{DIGEST}"]
"""
CONTRACT_METHODS = [
    method.name
    for service in (
        service_pb2.DESCRIPTOR.services_by_name["ExecutionStrategyService"],
        admin_pb2.DESCRIPTOR.services_by_name["ExecutionStrategyAdmin"],
    )
    for method in service.methods
]


class Context:
    """A call's context, as far as access looks at it."""

    def __init__(self, *names: str, token: str | None = None, peer: str = "ipv4:127.0.0.1:1") -> None:
        self._names = names
        self._token = token
        self._peer = peer

    def invocation_metadata(self) -> Iterable[tuple[str, Any]]:
        return () if self._token is None else (("authorization", self._token),)

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        return {"x509_subject_alternative_name": [name.encode() for name in self._names]} if self._names else {}

    def peer(self) -> str:
        return self._peer


@pytest.fixture(autouse=True)
def _nobody_stays() -> Iterator[None]:
    """Whoever is let in is the caller of this context: of every later test in this process too, were it not undone."""
    before = CALLER.set(CALLER.get())
    yield
    CALLER.reset(before)


def access(text: str = POLICY) -> Access:
    return Access(parse_policy(text), lambda: 0)


def code(door: Access, method: str, context: Context) -> str:
    try:
        door.leave(door.enter(method, context))
    except RpcError as error:
        return error.code.name
    return "OK"


@pytest.mark.parametrize(
    ("context", "name"),
    [
        (Context("spiffe://firm/g1"), "g1"),
        (Context("other", "g2.firm"), "g2"),
        (Context(token=f"Bearer {TOKEN}"), "rita"),
        (Context("spiffe://firm/g1", token=f"bearer {TOKEN}"), "rita"),
    ],
)
def test_callers_are_known_by_certificate_or_token(context: Context, name: str) -> None:
    method = "Halt" if name == "rita" else "Recommend"
    access().enter(method, context)
    assert CALLER.get().name == name


@pytest.mark.parametrize(
    "context",
    [
        Context(), Context("spiffe://firm/g3"), Context(token=""), Context(token="Bearer "), Context(token="Bearer no"),
        Context(token=TOKEN), Context(token=f"Basic {TOKEN}"), Context("spiffe://firm/g1", "g2.firm"),
        Context("spiffe://firm/g1", token="Bearer wrong"), Context("spiffe://firm/g1", token=""),
        Context(token=f"Bearer {DIGEST}"),
    ],
)  # fmt: skip
def test_nobody_else_is_anybody(context: Context) -> None:
    for method in CONTRACT_METHODS:
        assert code(access(), method, context) == "UNAUTHENTICATED"


@pytest.mark.parametrize("role", list(Role))
def test_every_method_is_denied_to_every_role_that_does_not_have_it(role: Role) -> None:
    door = access(f'[identities.x]\nroles = ["{role}"]\nsans = ["x"]')
    for method in [*CONTRACT_METHODS, "NoSuchMethod"]:
        expected = "OK" if method in METHODS[role] else "PERMISSION_DENIED"
        assert code(door, method, Context("x")) == expected


def test_roles_name_only_methods_that_exist_and_the_dangerous_ones_are_where_they_must_be() -> None:
    assert set().union(*METHODS.values()) == set(CONTRACT_METHODS), "a method that stands nowhere is nobody's"
    assert [role for role in Role if "Resume" in METHODS[role]] == [Role.RISK]
    assert [role for role in Role if "SetLimits" in METHODS[role]] == [Role.RISK]
    assert "Halt" not in METHODS[Role.GATEWAY] | METHODS[Role.VIEWER]


def test_bounds_hold_for_each_identity() -> None:
    door, gateway = access(), Context("g2.firm")
    entered = door.enter("Adapt", gateway)
    assert code(door, "Adapt", gateway) == "RESOURCE_EXHAUSTED", "one stream"
    assert code(door, "Recommend", Context("g2.firm", peer="other")) == "RESOURCE_EXHAUSTED", "one connection"
    door.leave(entered)
    assert code(door, "Recommend", gateway) == "OK"
    assert code(door, "Recommend", gateway) == "RESOURCE_EXHAUSTED", "two calls a second"
    assert code(door, "Recommend", Context("spiffe://firm/g1")) == "OK", "nobody else is bounded by that"


@pytest.mark.parametrize(
    "text",
    [
        "", "x = 1", "[identities]", '[identities.x]\nroles = ["king"]\nsans = ["x"]',
        '[identities.x]\nroles = ["risk"]',
        '[identities.x]\nroles = []\nsans = ["x"]', '[identities.x]\nroles = ["risk"]\nsans = ["x"]\ntypo = 1',
        '[identities.x]\nroles = ["risk"]\ntoken_sha256 = ["secret"]', "not toml",
        '[identities.x]\nroles = ["risk"]\nsans = ["x"]\n[identities.y]\nroles = ["risk"]\nsans = ["x"]',
    ],
)  # fmt: skip
def test_an_unsound_policy_is_refused_whole(text: str) -> None:
    with pytest.raises(PolicyError) as refused:
        parse_policy(text)
    assert "secret" not in str(refused.value), "values are not shown"


def test_a_changed_policy_counts_at_once_and_an_unsound_one_never(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY)
    door = access()
    watch = PolicyWatch(path, door)
    rita = Context(token=f"Bearer {TOKEN}")
    assert code(door, "Halt", rita) == "OK"
    path.write_text(POLICY.replace('"risk"', '"viewer"') + "\n# another")
    watch.look()
    assert code(door, "Halt", rita) == "PERMISSION_DENIED"
    for broken in ("nonsense", None):
        path.unlink() if broken is None else path.write_text(broken)
        watch.look()
        assert code(door, "Status", rita) == "OK"


def faults(**variables: str) -> str:
    with pytest.raises(SettingsError) as refused:
        load_settings(variables)
    return str(refused.value)


def test_nothing_is_open_beyond_loopback_unless_somebody_says_so(tmp_path: Path) -> None:
    far = {"ESS_GRPC_ADDRESS": "0.0.0.0:1", "ESS_HTTP_ADDRESS": ""}
    assert "ESS_TLS_CERTIFICATE and ESS_POLICY_FILE" in faults(**far)
    tls = {"ESS_TLS_CERTIFICATE": "c", "ESS_TLS_KEY": "k"}
    assert "ESS_POLICY_FILE" in faults(**far, **tls)
    assert "ESS_HTTP_ADDRESS" in faults(ESS_HTTP_ADDRESS="[::]:1")
    load_settings(far | tls | {"ESS_POLICY_FILE": "p"})
    load_settings(far | {"ESS_OPEN_NETWORK": "true"})
    load_settings({"ESS_GRPC_ADDRESS": "[::1]:1", "ESS_HTTP_ADDRESS": "127.0.0.2:1"})
    assert "go together" in faults(ESS_TLS_CERTIFICATE="c")
    assert "over TLS only" in faults(ESS_TLS_CLIENT_CA="c")


def test_with_a_policy_nothing_is_open_that_it_does_not_name() -> None:
    settings = load_settings({"ESS_POLICY_FILE": "p"})
    assert (settings.reflection, settings.echo) == (False, False)


def test_a_start_with_files_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DoorError):
        open_door(load_settings({"ESS_POLICY_FILE": str(tmp_path / "none")}))
    with pytest.raises(DoorError):
        open_door(load_settings({"ESS_TLS_CERTIFICATE": str(tmp_path / "a"), "ESS_TLS_KEY": str(tmp_path / "b")}))


def test_half_replaced_tls_files_leave_the_ones_before_in_use(tmp_path: Path, caplog: Any) -> None:
    authority = Authority(tmp_path / "ca")
    one, two = authority.issue("one", "DNS:localhost"), authority.issue("two", "DNS:localhost")
    live = TlsFiles(tmp_path / "live.pem", tmp_path / "live.key", authority.certificate)
    live.certificate.write_bytes(one.certificate.read_bytes())
    live.key.write_bytes(one.key.read_bytes())
    certificates = Certificates(live)
    assert certificates._fetch() is None, "nothing has changed"
    live.certificate.write_bytes(two.certificate.read_bytes())
    assert certificates._fetch() is None
    assert certificates.pem.certificate == one.certificate.read_bytes()
    live.key.write_bytes(two.key.read_bytes())
    assert certificates._fetch() is not None
    assert certificates.pem.certificate == two.certificate.read_bytes()
    assert two.key.read_text() not in repr(certificates.pem)
    live.key.unlink()
    with pytest.raises(TlsError):
        read_pem(live)


def test_tokens_are_never_logged(caplog: Any) -> None:
    with caplog.at_level(logging.DEBUG), contextlib.suppress(RpcError):
        access().enter("Halt", Context(token="Bearer a-secret-token"))
    assert "a-secret-token" not in caplog.text
    with pytest.raises(RpcError) as refused:
        access().enter("Halt", Context(token="Bearer a-secret-token"))
    assert refused.value.code is grpc.StatusCode.UNAUTHENTICATED
    assert "a-secret-token" not in refused.value.text
