"""The execution ids of an order: a value that grows without being copied whole.

Runs of doubling length, as in a log-structured merge tree: adding an id copies each of the others about log2(n) times
in all, and looking one up searches log2(n) runs. Ids are kept as 16-byte digests, one after the other: exact but for
one chance in 2^100 or so, whatever their length, and 16 bytes each, of which open orders have millions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Final

# Of one order. A fill beyond is refused, and said so: a duplicate must never count twice.
MOST_EXECUTIONS: Final = 65_536
_DIGEST_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Executions:
    """Runs of digests by falling length, each more than twice as long as the next."""

    runs: tuple[bytes, ...] = ()
    count: int = 0

    def __contains__(self, execution_id: str) -> bool:
        digest = digest_of(execution_id)
        return any(_has(run, digest) for run in self.runs)

    @property
    def is_full(self) -> bool:
        return self.count >= MOST_EXECUTIONS

    def added(self, execution_id: str) -> Executions:
        """With one more that is not among them."""
        newest = digest_of(execution_id)
        kept = self.runs
        while kept and len(kept[-1]) <= 2 * len(newest):
            newest = kept[-1] + newest
            kept = kept[:-1]
        return Executions((*kept, newest), self.count + 1)

    def __eq__(self, other: object) -> bool:
        """The same ids, however they came."""
        if not isinstance(other, Executions):
            return NotImplemented
        return self.count == other.count and self.all() == other.all()

    def __hash__(self) -> int:
        return hash(self.all())

    def all(self) -> frozenset[bytes]:
        whole = b"".join(self.runs)
        return frozenset(whole[at : at + _DIGEST_BYTES] for at in range(0, len(whole), _DIGEST_BYTES))


def _has(run: bytes, digest: bytes) -> bool:
    """Whether one of the run's digests is this one; bytes of two neighbours may look like it."""
    at = run.find(digest)
    while at % _DIGEST_BYTES and at >= 0:
        at = run.find(digest, at + 1)
    return at >= 0


@lru_cache(maxsize=4)  # one fill asks twice: whether it is there, and to put it there
def digest_of(execution_id: str) -> bytes:
    return blake2b(execution_id.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).digest()
