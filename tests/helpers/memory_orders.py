"""What PostgreSQL has of orders under way: nothing."""

from __future__ import annotations

from store.order_port import KeptAdvice, KeptOutcome, OrderBasis


class MemoryOrders:
    """PostgreSQL that has nothing of any order under way."""

    async def updates_of(self, order_id: str) -> list[bytes]:
        return []

    async def advices_of(self, order_id: str) -> list[KeptAdvice]:
        return []

    async def basis_of(self, order_id: str) -> OrderBasis | None:
        return None

    async def outcome_of(self, selection_id: str) -> KeptOutcome | None:
        return None
