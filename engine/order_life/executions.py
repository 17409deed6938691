"""The execution ids of an order: a value that grows without being copied whole.

Sets of doubling size, as in a log-structured merge tree: adding one copies each id about log2(n) times in all, and
looking one up asks log2(n) sets. Ids are kept as 16-byte digests: exact but for one chance in 2^100 or so, whatever
their length.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

# Of one order. A fill beyond is refused, and said so: a duplicate must never count twice.
MOST_EXECUTIONS: Final = 65_536
_DIGEST_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Executions:
    """Sets by falling size, each more than twice as large as the next."""

    sets: tuple[frozenset[bytes], ...] = ()
    count: int = 0

    def __contains__(self, execution_id: str) -> bool:
        digest = digest_of(execution_id)
        return any(digest in known for known in self.sets)

    @property
    def is_full(self) -> bool:
        return self.count >= MOST_EXECUTIONS

    def added(self, execution_id: str) -> Executions:
        """With one more that is not among them."""
        newest = frozenset((digest_of(execution_id),))
        kept = self.sets
        while kept and len(kept[-1]) <= 2 * len(newest):
            newest = newest | kept[-1]
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
        return frozenset().union(*self.sets)


def digest_of(execution_id: str) -> bytes:
    return blake2b(execution_id.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).digest()
