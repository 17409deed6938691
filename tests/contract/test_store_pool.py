"""What a pool hands out, against a real server."""

from __future__ import annotations

import pytest

from store.pool import PoolSettings, make_pool


@pytest.mark.parametrize(("writes", "stays"), [(True, False), (False, True)])
async def test_a_session_that_became_read_only_is_not_handed_out_for_writing(
    database: str, writes: bool, stays: bool
) -> None:
    """As one is that began while the server was read-only: it stays so for as long as it lives."""
    async with make_pool(PoolSettings(database, max_size=1, writes=writes)) as pool:
        async with pool.connection() as connection:
            before = connection.info.backend_pid
            await connection.execute("SET default_transaction_read_only = on")
        async with pool.connection() as connection:
            assert (connection.info.backend_pid == before) == stays
            if writes:
                await connection.execute("CREATE TEMPORARY TABLE written ()")
