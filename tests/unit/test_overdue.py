"""One timer for all that may be late."""

from __future__ import annotations

import asyncio

from service.overdue import Overdue


async def test_only_who_is_not_done_in_time_is_late() -> None:
    done, late, all_late = {"quick"}, list[str](), asyncio.Event()

    def is_late(name: str) -> None:
        late.append(name)
        if len(late) == 2:
            all_late.set()

    overdue = Overdue[str](0.02, done.__contains__, is_late)
    loop = asyncio.get_running_loop()
    for name in ("first", "quick", "second", "later done"):
        overdue.add(name, loop)
    done.add("later done")
    begun_s = loop.time()
    async with asyncio.timeout(10.0):
        await all_late.wait()
    assert loop.time() - begun_s > 0.015
    assert late == ["first", "second"]
    await asyncio.sleep(0.05)
    assert late == ["first", "second"], "once each"


async def test_it_goes_on_with_those_that_come_after() -> None:
    late, checks = asyncio.Queue[int](), list[None]()
    overdue = Overdue[int](0.01, lambda _: False, late.put_nowait, lambda: checks.append(None))
    for number in range(3):
        overdue.add(number, asyncio.get_running_loop())
        async with asyncio.timeout(10.0):
            assert await late.get() == number
    assert len(checks) == 3
