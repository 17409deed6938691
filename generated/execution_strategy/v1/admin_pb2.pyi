import datetime

from buf.validate import validate_pb2 as _validate_pb2
from execution_strategy.v1 import enums_pb2 as _enums_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class HaltRequest(_message.Message):
    __slots__ = ("scope", "subject", "reason")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    scope: _enums_pb2.Scope
    subject: str
    reason: str
    def __init__(self, scope: _Optional[_Union[_enums_pb2.Scope, str]] = ..., subject: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class HaltResponse(_message.Message):
    __slots__ = ("halt_id", "hosts")
    HALT_ID_FIELD_NUMBER: _ClassVar[int]
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    halt_id: str
    hosts: _containers.RepeatedCompositeFieldContainer[HostHaltState]
    def __init__(self, halt_id: _Optional[str] = ..., hosts: _Optional[_Iterable[_Union[HostHaltState, _Mapping]]] = ...) -> None: ...

class HostHaltState(_message.Message):
    __slots__ = ("host_id", "confirmed", "lease_expires_at")
    HOST_ID_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_FIELD_NUMBER: _ClassVar[int]
    LEASE_EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    host_id: str
    confirmed: bool
    lease_expires_at: _timestamp_pb2.Timestamp
    def __init__(self, host_id: _Optional[str] = ..., confirmed: _Optional[bool] = ..., lease_expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ResumeRequest(_message.Message):
    __slots__ = ("halt_id", "reason")
    HALT_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    halt_id: str
    reason: str
    def __init__(self, halt_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ResumeResponse(_message.Message):
    __slots__ = ("halt_id", "hosts")
    HALT_ID_FIELD_NUMBER: _ClassVar[int]
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    halt_id: str
    hosts: _containers.RepeatedCompositeFieldContainer[HostHaltState]
    def __init__(self, halt_id: _Optional[str] = ..., hosts: _Optional[_Iterable[_Union[HostHaltState, _Mapping]]] = ...) -> None: ...

class HardLimits(_message.Message):
    __slots__ = ("scope", "subject", "max_quantity", "max_notional", "max_participation_rate", "price_collar_bps", "allowed_instruments", "allowed_venues", "max_messages_per_second", "max_repeats_per_minute")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    MAX_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    MAX_NOTIONAL_FIELD_NUMBER: _ClassVar[int]
    MAX_PARTICIPATION_RATE_FIELD_NUMBER: _ClassVar[int]
    PRICE_COLLAR_BPS_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_INSTRUMENTS_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_VENUES_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    MAX_REPEATS_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    scope: _enums_pb2.Scope
    subject: str
    max_quantity: float
    max_notional: float
    max_participation_rate: float
    price_collar_bps: float
    allowed_instruments: _containers.RepeatedScalarFieldContainer[str]
    allowed_venues: _containers.RepeatedScalarFieldContainer[str]
    max_messages_per_second: float
    max_repeats_per_minute: int
    def __init__(self, scope: _Optional[_Union[_enums_pb2.Scope, str]] = ..., subject: _Optional[str] = ..., max_quantity: _Optional[float] = ..., max_notional: _Optional[float] = ..., max_participation_rate: _Optional[float] = ..., price_collar_bps: _Optional[float] = ..., allowed_instruments: _Optional[_Iterable[str]] = ..., allowed_venues: _Optional[_Iterable[str]] = ..., max_messages_per_second: _Optional[float] = ..., max_repeats_per_minute: _Optional[int] = ...) -> None: ...

class SetLimitsRequest(_message.Message):
    __slots__ = ("limits", "reason")
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    limits: _containers.RepeatedCompositeFieldContainer[HardLimits]
    reason: str
    def __init__(self, limits: _Optional[_Iterable[_Union[HardLimits, _Mapping]]] = ..., reason: _Optional[str] = ...) -> None: ...

class SetLimitsResponse(_message.Message):
    __slots__ = ("limits", "version", "hosts")
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    limits: _containers.RepeatedCompositeFieldContainer[HardLimits]
    version: int
    hosts: _containers.RepeatedCompositeFieldContainer[HostHaltState]
    def __init__(self, limits: _Optional[_Iterable[_Union[HardLimits, _Mapping]]] = ..., version: _Optional[int] = ..., hosts: _Optional[_Iterable[_Union[HostHaltState, _Mapping]]] = ...) -> None: ...

class ListControlsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListControlsResponse(_message.Message):
    __slots__ = ("halts", "limits", "limits_version", "known", "lease_expires_at", "hosts")
    HALTS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_VERSION_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    LEASE_EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    halts: _containers.RepeatedCompositeFieldContainer[HaltState]
    limits: _containers.RepeatedCompositeFieldContainer[HardLimits]
    limits_version: int
    known: bool
    lease_expires_at: _timestamp_pb2.Timestamp
    hosts: _containers.RepeatedCompositeFieldContainer[HostHaltState]
    def __init__(self, halts: _Optional[_Iterable[_Union[HaltState, _Mapping]]] = ..., limits: _Optional[_Iterable[_Union[HardLimits, _Mapping]]] = ..., limits_version: _Optional[int] = ..., known: _Optional[bool] = ..., lease_expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., hosts: _Optional[_Iterable[_Union[HostHaltState, _Mapping]]] = ...) -> None: ...

class HaltState(_message.Message):
    __slots__ = ("halt_id", "scope", "subject", "reason", "actor", "created_at")
    HALT_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    halt_id: str
    scope: _enums_pb2.Scope
    subject: str
    reason: str
    actor: str
    created_at: _timestamp_pb2.Timestamp
    def __init__(self, halt_id: _Optional[str] = ..., scope: _Optional[_Union[_enums_pb2.Scope, str]] = ..., subject: _Optional[str] = ..., reason: _Optional[str] = ..., actor: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListArtifactsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListArtifactsResponse(_message.Message):
    __slots__ = ("artifacts", "workers", "previous_manifest_sha256")
    ARTIFACTS_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_MANIFEST_SHA256_FIELD_NUMBER: _ClassVar[int]
    artifacts: _containers.RepeatedCompositeFieldContainer[Artifact]
    workers: _containers.RepeatedCompositeFieldContainer[WorkerArtifactState]
    previous_manifest_sha256: str
    def __init__(self, artifacts: _Optional[_Iterable[_Union[Artifact, _Mapping]]] = ..., workers: _Optional[_Iterable[_Union[WorkerArtifactState, _Mapping]]] = ..., previous_manifest_sha256: _Optional[str] = ...) -> None: ...

class WorkerArtifactState(_message.Message):
    __slots__ = ("host_id", "worker_index", "manifest_sha256", "confirmed", "reason", "lease_expires_at")
    HOST_ID_FIELD_NUMBER: _ClassVar[int]
    WORKER_INDEX_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_SHA256_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    LEASE_EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    host_id: str
    worker_index: int
    manifest_sha256: str
    confirmed: bool
    reason: str
    lease_expires_at: _timestamp_pb2.Timestamp
    def __init__(self, host_id: _Optional[str] = ..., worker_index: _Optional[int] = ..., manifest_sha256: _Optional[str] = ..., confirmed: _Optional[bool] = ..., reason: _Optional[str] = ..., lease_expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Artifact(_message.Message):
    __slots__ = ("manifest_sha256", "kind", "created_at", "origin", "active", "evaluation_json", "shadow", "unfit_reason", "shadow_scores", "shadow_same_choice")
    MANIFEST_SHA256_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_JSON_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    UNFIT_REASON_FIELD_NUMBER: _ClassVar[int]
    SHADOW_SCORES_FIELD_NUMBER: _ClassVar[int]
    SHADOW_SAME_CHOICE_FIELD_NUMBER: _ClassVar[int]
    manifest_sha256: str
    kind: str
    created_at: _timestamp_pb2.Timestamp
    origin: str
    active: bool
    evaluation_json: str
    shadow: bool
    unfit_reason: str
    shadow_scores: int
    shadow_same_choice: int
    def __init__(self, manifest_sha256: _Optional[str] = ..., kind: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., origin: _Optional[str] = ..., active: _Optional[bool] = ..., evaluation_json: _Optional[str] = ..., shadow: _Optional[bool] = ..., unfit_reason: _Optional[str] = ..., shadow_scores: _Optional[int] = ..., shadow_same_choice: _Optional[int] = ...) -> None: ...

class ActivateArtifactRequest(_message.Message):
    __slots__ = ("manifest_sha256", "shadow", "reason")
    MANIFEST_SHA256_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    manifest_sha256: str
    shadow: bool
    reason: str
    def __init__(self, manifest_sha256: _Optional[str] = ..., shadow: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...

class ActivateArtifactResponse(_message.Message):
    __slots__ = ("manifest_sha256", "previous_manifest_sha256", "workers", "already_active")
    MANIFEST_SHA256_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_MANIFEST_SHA256_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    ALREADY_ACTIVE_FIELD_NUMBER: _ClassVar[int]
    manifest_sha256: str
    previous_manifest_sha256: str
    workers: _containers.RepeatedCompositeFieldContainer[WorkerArtifactState]
    already_active: bool
    def __init__(self, manifest_sha256: _Optional[str] = ..., previous_manifest_sha256: _Optional[str] = ..., workers: _Optional[_Iterable[_Union[WorkerArtifactState, _Mapping]]] = ..., already_active: _Optional[bool] = ...) -> None: ...
