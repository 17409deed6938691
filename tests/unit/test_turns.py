"""One decision a turn of the loop, a short queue, and early refusals."""

from __future__ import annotations

import asyncio

import pytest

from service.turns import Turns


async def test_who_comes_alone_goes_on_at_once() -> None:
    taking = Turns(1).take()
    with pytest.raises(StopIteration) as ended:
        taking.send(None)  # it would give back to the loop where it had to wait
    assert ended.value.value is True


async def test_those_of_one_turn_go_one_after_another_and_the_rest_is_refused() -> None:
    turns, ran = Turns(3), []
    loop_turn = 0

    def count() -> None:
        nonlocal loop_turn
        loop_turn += 1
        asyncio.get_running_loop().call_soon(count)

    async def call(number: int) -> bool:
        taken = await turns.take()
        if taken:
            ran.append((number, loop_turn))
        return taken

    asyncio.get_running_loop().call_soon(count)
    answers = await asyncio.gather(*(call(number) for number in range(6)))
    assert answers == [True, True, True, True, False, False]
    assert [number for number, _ in ran] == [0, 1, 2, 3]
    assert len({turn for _, turn in ran}) == 4, "two held the loop in one turn"
    assert (turns.refused, turns.waiting) == (2, 0)


async def test_after_a_burst_the_next_one_does_not_wait() -> None:
    turns = Turns(8)
    assert all(await asyncio.gather(*(turns.take() for _ in range(5))))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await test_who_comes_alone_goes_on_at_once()
    assert await turns.take()


async def test_who_gives_up_leaves_the_queue_and_takes_nobodys_turn() -> None:
    turns = Turns(8)
    calls = [asyncio.ensure_future(turns.take()) for _ in range(4)]
    await asyncio.sleep(0)
    calls[1].cancel()
    calls[2].cancel()
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert [found[0], found[3]] == [True, True]
    assert all(isinstance(each, asyncio.CancelledError) for each in found[1:3])
    assert turns.waiting == 0
