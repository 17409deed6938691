"""What PostgreSQL answers to `order_hashes`, from order ids in memory."""

from __future__ import annotations

from collections.abc import Iterable

from store.older import OrderHashes, hash_of


def page_of(order_ids: Iterable[str], after: str, limit: int) -> OrderHashes | None:
    found = sorted(each for each in order_ids if each > after)[:limit]
    return OrderHashes(b"".join(map(hash_of, found)), found[-1]) if found else None
