"""What a setting may be, where that is more than bounds: types that check themselves, and one against another.

A check sees the settings that stand before its own in `Settings`, by their names; one that was bad is not among them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo

from service.ports import Address, AddressError
from service.urls import check_database_url, check_nats_urls, check_otlp_endpoint

PREFIX: Final = "ESS_"
MEBIBYTE: Final = 1024 * 1024


def variable_of(field_name: str) -> str:
    """The variable that sets a field."""
    return f"{PREFIX}{field_name.upper()}"


def _address(text: str) -> Address:
    try:
        return Address.parse(text)
    except AddressError as error:
        raise ValueError(str(error)) from error


def _grpc_address(text: str) -> str:
    return str(_address(text))


def _http_address(text: str, info: ValidationInfo) -> str:
    if text == "":
        return text
    address = _address(text)
    if address.is_unix:
        raise ValueError("HTTP listens on host:port, not on a Unix socket")
    if address.port != 0 and str(address) == info.data.get("grpc_address"):
        raise ValueError("gRPC listens on the same address")
    return str(address)


def _database_url(secret: SecretStr) -> SecretStr:
    check_database_url(secret.get_secret_value())
    return secret


def _nats_urls(secret: SecretStr) -> SecretStr:
    check_nats_urls(secret.get_secret_value())
    return secret


def _otlp_endpoint(text: str) -> str:
    check_otlp_endpoint(text)
    return text


def _empty_is_none(value: object) -> object:
    return None if value == "" else value


def _workers_share_a_port(workers: int, info: ValidationInfo) -> int:
    if workers > 1 and str(info.data.get("grpc_address", "")).startswith("unix:"):
        raise ValueError("several workers can't share a Unix socket; give ESS_GRPC_ADDRESS a port")
    return workers


def _tls_is_whole(key: Path | None, info: ValidationInfo) -> Path | None:
    if (key is None) != (info.data.get("tls_certificate") is None):
        raise ValueError("a certificate and its key go together: ESS_TLS_CERTIFICATE and ESS_TLS_KEY")
    return key


def _clients_need_tls(authorities: Path | None, info: ValidationInfo) -> Path | None:
    if authorities is not None and info.data.get("tls_certificate") is None:
        raise ValueError("clients can show certificates over TLS only: set ESS_TLS_CERTIFICATE")
    return authorities


def _network_is_guarded(is_open: bool, info: ValidationInfo) -> bool:
    for name in ("grpc_address", "http_address"):
        text = str(info.data.get(name) or "")
        if is_open or not text or Address.parse(text).is_loopback:
            continue
        missing = [one for one in ("tls_certificate", "policy_file") if info.data.get(one) is None]
        if missing:
            words = " and ".join(variable_of(one) for one in missing)
            raise ValueError(
                f"{variable_of(name)}={text} can be reached from other hosts: set {words}, or true where something "
                "in front does that"
            )
    return is_open


Seconds = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]

GrpcAddress = Annotated[str, AfterValidator(_grpc_address)]
HttpAddress = Annotated[str, AfterValidator(_http_address)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
NatsUrls = Annotated[SecretStr, AfterValidator(_nats_urls)]
OtlpEndpoint = Annotated[str, AfterValidator(_otlp_endpoint)]
# A variable that is set to nothing is one that is not set.
MaybePath = Annotated[Path | None, BeforeValidator(_empty_is_none)]
TlsKey = Annotated[MaybePath, AfterValidator(_tls_is_whole)]
TlsClientCa = Annotated[MaybePath, AfterValidator(_clients_need_tls)]
# Also where nobody sets it: the default is held against the addresses.
OpenNetwork = Annotated[bool, AfterValidator(_network_is_guarded)]
Workers = Annotated[int, Field(ge=1, le=64), AfterValidator(_workers_share_a_port)]
