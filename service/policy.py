"""The policy file: who is who and may do what. TOML, checked whole before any of it counts.

    [identities."gw-1"]
    roles = ["gateway"]
    spiffe = ["spiffe://firm.example/gateway/1"]    # of the client's certificate
    sans = ["gw1.firm.example"]                     # or another subject alternative name of it
    token_sha256 = ["9f86d0..."]                    # or a bearer token, by its SHA-256 in hex
    desk = "cash-equities"                          # its orders are of this desk, whatever they say
    max_calls_per_second = 500                      # a worker; the rest is refused
    max_streams = 64                                # open at a time, a worker
    max_connections = 16                            # with calls under way, a worker

Tokens stand in it as hashes only, so it holds no secret. A token must have at least 128 random bits: the hash is a
plain SHA-256, which is safe for such and for nothing that a person thought of.

    PolicyError    the file cannot be used; the text names every fault
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from service.identity import Identity, Role

MOST_IDENTITIES = 10_000


class PolicyError(ValueError):
    """The file cannot be used; the text names every fault."""


Spiffe = Annotated[str, StringConstraints(pattern=r"^spiffe://[a-z0-9._-]{1,255}(/[A-Za-z0-9._-]+)+$", max_length=2048)]
San = Annotated[str, StringConstraints(pattern=r"^[!-~]+$", max_length=255)]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[!-~]+$", max_length=100)]


class Entry(BaseModel):
    """One identity of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    roles: tuple[Role, ...] = Field(min_length=1)
    spiffe: tuple[Spiffe, ...] = ()
    sans: tuple[San, ...] = ()
    token_sha256: tuple[Digest, ...] = ()
    desk: str = Field(default="", max_length=100)
    max_calls_per_second: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    max_streams: int | None = Field(default=None, ge=0)
    max_connections: int | None = Field(default=None, ge=1)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    identities: dict[Name, Entry] = Field(min_length=1, max_length=MOST_IDENTITIES)


@dataclass(frozen=True, slots=True)
class Member:
    """An identity with its bounds; None is no bound."""

    identity: Identity
    max_calls_per_second: float | None
    max_streams: int | None
    max_connections: int | None


@dataclass(frozen=True, slots=True)
class Policy:
    """Members by what proves them: names of certificates, and SHA-256 (hex) of tokens. `text`: the file's."""

    by_certificate: Mapping[str, Member]
    by_token: Mapping[str, Member]
    text: str = field(default="", repr=False)

    @property
    def described(self) -> dict[str, tuple[Member, frozenset[str]]]:
        """Each identity by its name, with all that proves it."""
        proofs: dict[str, set[str]] = {}
        members: dict[str, Member] = {}
        for proof, member in (*self.by_certificate.items(), *self.by_token.items()):
            proofs.setdefault(member.identity.name, set()).add(proof)
            members[member.identity.name] = member
        return {name: (member, frozenset(proofs[name])) for name, member in members.items()}


def read_policy(path: Path) -> Policy:
    """Raises PolicyError."""
    try:
        return parse_policy(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"{path} cannot be read: {error}") from error


def parse_policy(text: str) -> Policy:
    """Raises PolicyError with everything that is wrong; values are not shown."""
    try:
        file = _File.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"not TOML: {error}") from error
    except ValidationError as error:
        broken = (f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors())
        raise PolicyError("; ".join(broken)) from error
    by_certificate: dict[str, Member] = {}
    by_token: dict[str, Member] = {}
    faults: list[str] = []
    for name, entry in file.identities.items():
        identity = Identity(name, frozenset(entry.roles), entry.desk)
        member = Member(identity, entry.max_calls_per_second, entry.max_streams, entry.max_connections)
        if not (entry.spiffe or entry.sans or entry.token_sha256):
            faults.append(f"identities.{name}: nothing proves it: spiffe, sans or token_sha256")
        for proofs, table in (((*entry.spiffe, *entry.sans), by_certificate), (entry.token_sha256, by_token)):
            for proof in proofs:
                if proof in table:
                    faults.append(f"identities.{name}: what proves it proves {table[proof].identity.name} too")
                table[proof] = member
    if faults:
        raise PolicyError("; ".join(faults))
    return Policy(by_certificate, by_token, text)
