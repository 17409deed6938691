"""What a person may choose about this service: one frozen value, read once from ESS_* variables at the start.

service/settings_load.py reads it; service/settings_table.py writes README's configuration table from the fields below;
service/settings_types.py says what a setting may be where that is more than bounds.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from service.settings_types import (
    MEBIBYTE,
    PREFIX,
    DatabaseUrl,
    Fraction,
    GrpcAddress,
    HttpAddress,
    MaybePath,
    NatsUrls,
    OpenNetwork,
    OtlpEndpoint,
    Seconds,
    TlsClientCa,
    TlsKey,
    Workers,
)
from service.tls_files import TlsFiles


class Settings(BaseSettings):
    """All settings, as `load_settings` read them. Building one directly looks at no environment."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True
    )

    # Where it listens and keeps things
    grpc_address: GrpcAddress = Field(
        default="127.0.0.1:50051",
        description="Where gRPC listens: `host:port`, `[ipv6]:port`, or `unix:/path` (one worker only). "
        "Port 0 takes a free one; `service.json` in the data folder tells which.",
    )
    http_address: HttpAddress = Field(
        default="127.0.0.1:8080",
        description="Where HTTP (REST, `/docs`, `/livez`, `/readyz`) listens, `host:port`, `[ipv6]:port`. Empty: off.",
    )
    http_timeout_s: float = Field(
        default=5.0,
        gt=0.0,
        le=60.0,
        allow_inf_nan=False,
        description="Deadline of a REST request that names none (`X-Request-Timeout-Ms`), in seconds.",
    )
    http_max_body_bytes: int = Field(
        default=MEBIBYTE,
        ge=4096,
        le=16 * MEBIBYTE,
        description="Largest body of a REST request, in bytes.",
    )
    console_session_s: int = Field(
        default=12 * 3_600, ge=60, le=30 * 86_400,
        description="How long a browser stays signed in to the console, in seconds (where a policy asks for tokens).",
    )
    data_dir: Path = Field(
        default=Path("./var"),
        description="Folder of the embedded database, the workers' start files and `service.json`; one service each.",
    )
    database_url: DatabaseUrl = Field(
        default=SecretStr(""),
        description="PostgreSQL, `postgresql://user:password@host:port/name`. Empty starts an embedded one.",
    )
    database_owner_url: DatabaseUrl = Field(
        default=SecretStr(""),
        description="As whom tables are made and old ones taken away (`ess migrate`, `ess retention`), where that is "
        "another user than the service's. Empty: `ESS_DATABASE_URL`.",
    )
    database_pool_size: int = Field(
        default=4, ge=1, le=64, description="PostgreSQL connections a process, at most."
    )
    database_timeout_s: Seconds = Field(
        default=5.0, description="Wait for a PostgreSQL connection, in seconds."
    )
    journal_dir: MaybePath = Field(
        default=None,
        description="Folder of the journal, on a local disk; one service each. Empty: `journal` in the data folder.",
    )
    journal_max_bytes: int = Field(
        default=1024 * MEBIBYTE,
        ge=MEBIBYTE,
        description="Bytes of the journal that wait for PostgreSQL, at most; then new requests get RESOURCE_EXHAUSTED "
        "until some are drained.",
    )
    journal_segment_bytes: int = Field(
        default=32 * MEBIBYTE,
        ge=MEBIBYTE,
        le=1024 * MEBIBYTE,
        multiple_of=4096,
        description="Size of the journal's files, made ahead of their use, in bytes (whole blocks of 4096).",
    )
    host_id: str = Field(
        default_factory=socket.gethostname,
        min_length=1,
        max_length=255,
        description="This host's name in records, events and telemetry; another for each service on a database.",
    )
    environment: Literal["development", "production"] = Field(
        default="development",
        description="Where it runs; `production` turns reflection and Echo off unless they are set.",
    )

    # How it decides
    acknowledgement: Literal["BUFFERED", "JOURNALED", "COMMITTED"] = Field(
        default="JOURNALED",
        description="What a reply promises where the request names no class: `BUFFERED` (in memory), `JOURNALED` "
        "(synced to this host's disk) or `COMMITTED` (in PostgreSQL too).",
    )
    max_participation_rate: float = Field(
        default=0.30,
        gt=0.0,
        le=1.0,
        allow_inf_nan=False,
        description="Hard cap on our share of market volume, a fraction.",
    )
    price_collar_bps: float = Field(
        default=500.0,
        gt=0.0,
        le=10_000.0,
        allow_inf_nan=False,
        description="Widest price collar around the arrival mid in a strategy's risk controls, in bps.",
    )
    market_data_max_age_s: float = Field(
        default=900.0,
        gt=0.0,
        allow_inf_nan=False,
        description="Age above which the snapshot's spread counts as a long-run figure, which the market "
        "condition scales, in seconds.",
    )
    surfaces_dir: MaybePath = Field(
        default=None,
        description="Folder of the precomputed cost surfaces. Empty takes the ones that are shipped.",
    )
    models_dir: MaybePath = Field(
        default=None,
        description="Folder of the learned models, made for these surfaces. Empty takes the ones that are shipped.",
    )
    artifacts_dir: MaybePath = Field(
        default=None,
        description="Folder with a folder for each artifact that may be activated while the service runs, beside those "
        "of the archive. Empty: those of the archive alone.",
    )
    models: Literal["on", "off"] = Field(
        default="on",
        description="`off` decides by the cost surfaces alone: replies then say `structural_only`.",
    )
    learning: Literal["on", "off"] = Field(
        default="on",
        description="`on` corrects predicted costs by what reported outcomes teach; `off` decides by the artifacts "
        "alone and computes nothing.",
    )
    learning_interval_s: float = Field(
        default=60.0,
        ge=0.05,
        le=86_400.0,
        allow_inf_nan=False,
        description="How often a host looks whether newly reported outcomes change the corrections, in seconds.",
    )
    exploration_budget_bps: float = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        allow_inf_nan=False,
        description="Utility that an order may give up on average to learn from another algorithm, in bps. 0 explores "
        "nothing.",
    )
    exploration_regret_cap_bps: float = Field(
        default=1.0,
        ge=0.0,
        le=10.0,
        allow_inf_nan=False,
        description="No candidate expected to be worse than the best by more than this is ever tried, in bps.",
    )
    venue_naming: Literal["mic", "name"] = Field(
        default="mic", description="How replies name venues: ISO 10383 `mic`, or the directory's `name`."
    )

    # Who may do what, and what may be stopped
    halt_lease_s: float = Field(
        default=300.0,
        ge=0.0,
        le=86_400.0,
        allow_inf_nan=False,
        description="How long this host answers new orders without hearing from PostgreSQL whether somebody halted it, "
        "in seconds; 0: for ever.",
    )
    halt_wait_s: float = Field(
        default=2.0,
        ge=0.0,
        le=60.0,
        allow_inf_nan=False,
        description="How long `Halt`, `Resume` and `SetLimits` wait for the other hosts to confirm, in seconds; those "
        "that have not are listed with the end of their lease.",
    )

    policy_file: MaybePath = Field(
        default=None,
        description="Who may do what (docs/security.md), a TOML file that is read again when it changes. Empty: "
        "everybody who can connect may do everything, for development on this host only.",
    )
    tls_certificate: MaybePath = Field(
        default=None,
        description="Certificate chain of this service, PEM, for gRPC and HTTP; read again when it changes. Empty: "
        "plaintext, on loopback only.",
    )
    tls_key: TlsKey = Field(default=None, description="Its private key, PEM, not encrypted.")
    tls_client_ca: TlsClientCa = Field(
        default=None,
        description="Authorities whose certificates gRPC clients must show (mTLS), PEM. Empty: clients show none.",
    )
    tls_ca: MaybePath = Field(
        default=None,
        description="Authorities that signed this service's certificate, PEM, for its own HTTP process. Empty: "
        "`ESS_TLS_CLIENT_CA`, else the certificate itself.",
    )
    tls_server_name: str = Field(
        default="localhost",
        min_length=1,
        max_length=253,
        description="A DNS name in this service's certificate; its own HTTP process calls it by that.",
    )
    token_file: MaybePath = Field(
        default=None,
        description="File with the bearer token that `ess` commands call a service with, read at each call; `serve` "
        "does not read it. Empty: they show a certificate, or nothing.",
    )
    open_network: OpenNetwork = Field(
        default=False,
        description="Allows listening beyond loopback without TLS or without a policy. Only where something else in "
        "front does both, as a mesh's sidecar; every start warns of it.",
    )

    # Processes and bounds
    workers: Workers = Field(default=1, description="Worker processes that share the gRPC port.")
    drain_timeout_s: Seconds = Field(
        default=10.0, description="Time that calls in flight get at a stop, in seconds."
    )
    startup_timeout_s: Seconds = Field(
        default=60.0,
        description="Time a process gets until it is ready, in seconds; a second more for each megabyte of the "
        "journal.",
    )
    max_message_bytes: int = Field(
        default=4 * MEBIBYTE,
        ge=65_536,
        le=64 * MEBIBYTE,
        description="Largest message taken or sent, in bytes.",
    )
    max_connection_age_s: float = Field(
        default=0.0,
        ge=0.0,
        le=86_400.0,
        description="Age at which a gRPC connection is asked to begin anew, so that gateways find new hosts, in "
        "seconds; calls under way and open streams stay. 0: never.",
    )
    max_concurrent_recommends: int = Field(
        default=128,
        ge=1,
        le=100_000,
        description="`Recommend` calls in flight a worker; more get RESOURCE_EXHAUSTED.",
    )
    max_baskets: int = Field(
        default=2, ge=1, le=100, description="RecommendBatch calls under way on a worker; more get RESOURCE_EXHAUSTED."
    )
    max_waiting_recommends: int = Field(
        default=64,
        ge=1,
        le=100_000,
        description="`Recommend` calls that wait unread for a worker; where more come, the oldest of them get "
        "RESOURCE_EXHAUSTED.",
    )
    structural_below_ms: float = Field(
        default=2.0,
        ge=0.0,
        le=10_000.0,
        allow_inf_nan=False,
        description="With less than this left of a call's deadline the surfaces decide alone, and the reply says "
        "`structural_only`, in milliseconds; 0 never.",
    )
    engine_thread: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="Whether a worker decides on a thread beside its event loop while several calls are under way: "
        "`auto` where there are more processors than workers.",
    )
    drain_batch_ms: float = Field(
        default=50.0,
        gt=0.0,
        le=10_000.0,
        allow_inf_nan=False,
        description="Longest wait for a batch on its way to PostgreSQL to fill, in milliseconds; four times as long "
        "where 16 records or more came meanwhile and all of them were answered BUFFERED.",
    )
    drain_batch_rows: int = Field(
        default=500, ge=1, le=100_000, description="Most records that go to PostgreSQL in one batch."
    )

    # Events
    nats_url: NatsUrls = Field(
        default=SecretStr(""),
        description="NATS with JetStream that events go to, `nats://user:password@host:port`; several servers of a "
        "cluster with commas between. Empty: events stay in the outbox and on `StreamEvents`.",
    )
    nats_stream: str = Field(
        default="EXECUTION_STRATEGY",
        pattern=r"^[A-Za-z0-9_-]{1,255}$",
        description="JetStream stream of the events; it is made if it is missing.",
    )
    nats_subject_prefix: str = Field(
        default="ess.events",
        pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$",
        max_length=200,
        description="Subjects are `<prefix>.<kind of event>.<order id>`.",
    )
    max_event_streams: int = Field(
        default=32,
        ge=0,
        le=10_000,
        description="`StreamEvents` calls at a time a worker; more get RESOURCE_EXHAUSTED.",
    )

    # Orders under way
    max_adapt_streams: int = Field(
        default=256,
        ge=1,
        le=100_000,
        description="`Adapt` streams at a time a worker, each with any number of orders; more get RESOURCE_EXHAUSTED.",
    )
    adapt_idle_s: Seconds = Field(
        default=600.0, description="An `Adapt` stream that brings nothing for so long is ended, in seconds."
    )
    adapt_sweep_s: Seconds = Field(
        default=5.0,
        description="How often the orders of an `Adapt` stream are looked at without an update, in seconds.",
    )
    max_open_orders: int = Field(
        default=200_000,
        ge=100,
        le=10_000_000,
        description="Orders under way that the host's keeper holds in memory (1.1 KB each), and each worker of those "
        "that it follows (5.7 KB each); others are read from PostgreSQL.",
    )

    performance_days_s: Seconds = Field(
        default=600.0,
        description="How often the days of `strategy_performance` are looked at, and computed where outcomes came, in "
        "seconds.",
    )

    # Being seen
    reflection: bool = Field(default=False, description="gRPC reflection. Default: on in development only.")
    echo: bool = Field(default=False, description="The Echo call. Default: on in development only.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level logged."
    )
    log_format: Literal["json", "console"] = Field(
        default="json", description="`json` lines, or `console` for people."
    )
    log_queue_lines: int = Field(
        default=10_000,
        ge=100,
        le=1_000_000,
        description="Log lines waiting to be written; more are dropped and counted.",
    )
    otlp_endpoint: OtlpEndpoint = Field(
        default="",
        description="OpenTelemetry collector (OTLP over gRPC), `http://host:4317`. Empty exports nothing.",
    )
    metrics_interval_s: Seconds = Field(
        default=10.0, description="Time between two exports of metrics, in seconds."
    )
    trace_sample_ratio: Fraction = Field(
        default=0.01,
        description="Share of calls traced where the caller didn't decide (no traceparent), a fraction.",
    )

    @property
    def tls_files(self) -> TlsFiles | None:
        """None: plaintext."""
        if self.tls_certificate is None or self.tls_key is None:
            return None
        return TlsFiles(self.tls_certificate, self.tls_key, self.tls_client_ca)

    @property
    def journal_folder(self) -> Path:
        return self.journal_dir or self.data_dir / "journal"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is passed in: `load_settings` alone knows about environments."""
        return (init_settings,)

    @model_validator(mode="before")
    @classmethod
    def _default_by_environment(cls, data: dict[str, Any]) -> dict[str, Any]:
        # With a policy nothing is open that it does not name.
        developing = data.get("environment", "development") == "development" and not data.get("policy_file")
        return {"reflection": developing, "echo": developing, **data}
