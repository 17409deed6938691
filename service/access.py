"""Who is calling, and whether that may call this: asked once a call, where it enters. What is not allowed is denied.

A bearer token says who is calling where one is sent (REST and the console pass it on); else the client's certificate.
Reading who it is costs a dictionary lookup by token, or by each name of the certificate.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import grpc
import structlog

from service.errors import coded, denied, exhausted
from service.identity import CALLER, Role
from service.policy import Member, Policy, PolicyError, read_policy
from service.tls_files import stamp_of
from store.ending import end

READING: Final = frozenset({
    "Status", "Performance", "StreamEvents", "ListControls", "ListArtifacts", "ListOrders", "GetOrderHistory",
    "ListInstruments", "DescribeService",
})  # fmt: skip
# A method that stands nowhere here is nobody's.
METHODS: Final[Mapping[Role, frozenset[str]]] = {
    Role.GATEWAY: frozenset(
        {
            "Recommend", "RecommendBatch", "Adapt", "AdaptOnce", "Status", "ReportOutcome", "UpdateMarketData",
            "ListInstruments", "DescribeService", "Echo", "EchoStream",
        }
    ),
    Role.TRADER: READING | {"Recommend", "RecommendBatch", "Adapt", "AdaptOnce", "ReportOutcome", "Replay"},
    Role.VIEWER: READING,
    Role.OPERATOR: READING | {"Replay", "Halt", "ActivateArtifact", "UpdateMarketData", "Echo", "EchoStream"},
    Role.RISK: READING | {"Replay", "Halt", "Resume", "SetLimits"},
}
STREAMS: Final = frozenset({"Adapt", "StreamEvents", "RecommendBatch", "UpdateMarketData", "EchoStream"})
SECOND_NS: Final = 1_000_000_000
BEARER: Final = "Bearer "
# Tokens that were looked up lately, so that they are not hashed at every call.
MOST_TOKENS_KNOWN: Final = 10_000
SAN_KEY: Final = "x509_subject_alternative_name"
POLICY_LOOK_S: Final = 1.0

log = structlog.get_logger(__name__)


class CallContext(Protocol):
    """What is asked of grpc.aio's context."""

    def invocation_metadata(self) -> Iterable[tuple[str, Any]] | None: ...

    def auth_context(self) -> Mapping[str, Iterable[bytes]]: ...

    def peer(self) -> str: ...


@dataclass(slots=True)
class _Use:
    """What an identity has under way on this worker."""

    calls: deque[int] = field(default_factory=deque)
    streams: int = 0
    peers: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Entered:
    """A call that was let in; give it back to `leave`."""

    name: str
    peer: str
    is_stream: bool


class Access:
    """One worker's door. `policy` is the one that counts."""

    def __init__(self, policy: Policy, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self.policy = policy
        self._monotonic_ns = monotonic_ns
        self._tokens: dict[str, Member] = {}
        self._uses: dict[str, _Use] = {}

    def adopt(self, policy: Policy) -> None:
        """Another policy counts from now on, for calls that begin."""
        self.policy = policy
        self._tokens.clear()

    def enter(self, method: str, context: CallContext) -> Entered | None:
        """Lets a call in, and says to everything under it who is calling. Raises RpcError UNAUTHENTICATED,
        PERMISSION_DENIED, or RESOURCE_EXHAUSTED for more than its bounds."""
        member = self._member(context)
        identity = member.identity
        if not any(method in METHODS[role] for role in identity.roles):
            raise denied("METHOD_NOT_ALLOWED", f"{identity.name} may not call {method}")
        CALLER.set(identity)
        if member.max_calls_per_second is None and member.max_streams is None and member.max_connections is None:
            return None
        return self._bounded(member, method, context.peer())

    def leave(self, entered: Entered | None) -> None:
        if entered is None:
            return
        use = self._uses[entered.name]
        use.streams -= entered.is_stream
        use.peers[entered.peer] -= 1
        if not use.peers[entered.peer]:
            del use.peers[entered.peer]

    def _member(self, context: CallContext) -> Member:
        for key, value in context.invocation_metadata() or ():
            if key == "authorization":
                return self._of_token(value if isinstance(value, str) else "")
        names = context.auth_context().get(SAN_KEY, ())
        found = {self.policy.by_certificate.get(name.decode("utf-8", "replace")) for name in names} - {None}
        if len(found) == 1:
            member = found.pop()
            assert member is not None
            return member
        if found:
            raise coded(grpc.StatusCode.UNAUTHENTICATED, "AMBIGUOUS", "the certificate names several identities")
        raise coded(grpc.StatusCode.UNAUTHENTICATED, "UNKNOWN_CALLER",
                    "no bearer token, and no certificate of an identity in the policy")  # fmt: skip

    def _of_token(self, header: str) -> Member:
        known = self._tokens.get(header)
        if known is not None:
            return known
        token = header[len(BEARER) :].strip() if header[: len(BEARER)].lower() == BEARER.lower() else ""
        member = self.policy.by_token.get(hashlib.sha256(token.encode()).hexdigest()) if token else None
        if member is None and not header:  # a caller of the HTTP process, which says so of those that sent none
            raise coded(grpc.StatusCode.UNAUTHENTICATED, "UNKNOWN_CALLER", "no bearer token was sent")
        if member is None:
            raise coded(grpc.StatusCode.UNAUTHENTICATED, "UNKNOWN_TOKEN", "the bearer token is not known")
        if len(self._tokens) >= MOST_TOKENS_KNOWN:
            self._tokens.clear()
        self._tokens[header] = member
        return member

    def _bounded(self, member: Member, method: str, peer: str) -> Entered:
        name = member.identity.name
        use = self._uses.setdefault(name, _Use())
        is_stream = method in STREAMS
        rate = member.max_calls_per_second
        if rate is not None and not self._has_room(use, rate):
            raise exhausted(f"{name} makes more than {rate:g} calls a second", 1_000)
        if is_stream and member.max_streams is not None and use.streams >= member.max_streams:
            raise exhausted(f"{name} has {member.max_streams} streams open on this worker", 1_000)
        if member.max_connections is not None and peer not in use.peers and len(use.peers) >= member.max_connections:
            raise exhausted(f"{name} calls over {member.max_connections} connections already", 1_000)
        if rate is not None:
            use.calls.append(self._monotonic_ns())
        use.streams += is_stream
        use.peers[peer] += 1
        return Entered(name, peer, is_stream)

    def _has_room(self, use: _Use, rate: float) -> bool:
        most, window_ns = (int(rate), SECOND_NS) if rate >= 1.0 else (1, int(SECOND_NS / rate))
        oldest_ns = self._monotonic_ns() - window_ns
        while use.calls and use.calls[0] <= oldest_ns:
            use.calls.popleft()
        return len(use.calls) < most


class PolicyWatch:
    """Takes a changed policy file, if it is sound; one that is not is told in the log, and the policy before holds."""

    def __init__(self, path: Path, access: Access) -> None:
        self._path = path
        self._access = access
        self._stamp = stamp_of(path)
        self.on_adopted: Callable[[Policy], None] = lambda _policy: None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="policy-watch")

    async def close(self) -> None:
        await end(self._task)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(POLICY_LOOK_S)  # a file system tells of changes on Linux only, and not of mounts
            self.look()

    def look(self) -> None:
        stamp = stamp_of(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            policy = read_policy(self._path)
            self._access.adopt(policy)
        except PolicyError as error:
            log.error("the policy file was changed and cannot be used; the one before holds", reason=str(error))
        else:
            log.warning("another policy counts from now on", file=str(self._path))
            self.on_adopted(policy)
