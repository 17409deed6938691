"""A session of the Python client against the service's own `Adapt`, where updates are refused among others: no order
waits for ever, nothing counts twice, and the caller is told which it was."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from clients.python import UpdateRefused, messages
from clients.python.adapt_state import MOST_HELD, Checkpoint, SessionState
from clients.python.messages import Adaptation, Update
from service.adapt_stream import MOST_REFUSALS
from service.errors import RpcError
from service.mapping.refusals import AHEAD, FENCED, FREE, UNCERTAIN, USED, refused_update
from tests.helpers.adapt_host import Gateway, Host, host, stream
from tests.helpers.memory_journal import MemoryJournal

TOO_FINE = 0.00000001
WITHIN_S = 20.0


class Session:
    """The client's state over a stream without a network. `send` sends at once, whatever is not answered yet."""

    def __init__(self, state: SessionState, gateway: Gateway) -> None:
        self._state = state
        self._gateway = gateway
        self._taken = 0
        for message in state.resumption():
            self._put(message)

    def _put(self, message: Any) -> None:
        message = type(message).FromString(message.SerializeToString())
        message.ClearField("event_time")  # the service of these tests lives at another time
        self._gateway.sent.put_nowait(message.SerializeToString())

    def send(self, update: dict[str, Any], order_id: str = "o") -> int:
        message = self._state.update(order_id, update)
        self._put(message)
        return int(message.sequence)

    def take(self) -> None:
        """What came since the last time, and what the state makes of it."""
        while self._taken < len(self._gateway.answers):
            answer = self._gateway.answers[self._taken]
            self._taken += 1
            for message in self._state.came(answer):
                self._put(message)

    async def settled(self) -> None:
        """Until nothing waits."""
        async with asyncio.timeout(WITHIN_S):
            while self._state.pending:
                await asyncio.sleep(0.001)
                self.take()


def fill(number: int, quantity: float = 10.0) -> dict[str, Any]:
    return messages.fill(f"e{number}", quantity, 240.0)


def numbers_refused(state: SessionState, order_id: str = "o") -> list[int]:
    return [one.update.sequence for one in state.refused(order_id)]


async def filled(service: Host, order_id: str = "o") -> float:
    return (await service.status(order_id)).progress.filled_quantity


async def test_the_order_goes_on_after_a_faulty_update() -> None:
    async with host() as service:
        await service.recommend()
        state = SessionState()
        async with stream(service) as gateway:
            session = Session(state, gateway)
            session.send(fill(1))
            bad = session.send(fill(2, TOO_FINE))
            await session.settled()
            good = session.send(fill(3))
            await session.settled()
        assert numbers_refused(state) == [bad]
        with pytest.raises(UpdateRefused, match="finer than a millionth"):
            state.raise_refused("o", bad)
        assert state.is_settled("o", bad)
        state.raise_refused("o", good)
        assert state.acknowledged("o") == good == 3
        assert await filled(service) == 20.0
        assert any("finer" in one.error for one in state.take())


async def test_a_session_without_a_checkpoint_loses_no_fill() -> None:
    """It begins at number 1, which is another session's: its fill is refused, told, and counts under the next."""
    async with host() as service:
        await service.recommend()
        before, state = SessionState(), SessionState()
        async with stream(service) as gateway:
            session = Session(before, gateway)
            session.send(fill(1))
            session.send(fill(2))
            await session.settled()
        async with stream(service) as gateway:
            session = Session(state, gateway)
            lost = session.send(fill(3))
            await session.settled()
            assert numbers_refused(state) == [lost] == [1]
            with pytest.raises(UpdateRefused, match="not counted"):
                state.raise_refused("o", lost)
            assert session.send(fill(3)) == 3
            await session.settled()
        assert await filled(service) == 30.0


@pytest.mark.parametrize("first", [False, True])
async def test_what_was_sent_behind_it_counts_once(first: bool) -> None:
    """All are on their way together: those behind wait at the service under their numbers."""
    async with host() as service:
        await service.recommend()
        state = SessionState()
        async with stream(service) as gateway:
            session = Session(state, gateway)
            if not first:
                session.send(messages.working(500.0))
            bad = session.send(fill(1, TOO_FINE))
            session.send(messages.cancel(100.0, final=False))
            session.send(fill(2))
            worse = session.send({"fill": {"execution_id": "", "quantity": 5.0, "price": 240.0}})
            session.send(messages.cancel(50.0, final=False))
            session.send(fill(3))
            await session.settled()
        found = (await service.status()).progress
        assert numbers_refused(state) == [bad, worse]
        assert [("finer" in one.reason, "execution_id" in one.reason) for one in state.refused("o")] == [
            (True, False), (False, True),
        ]  # fmt: skip
        assert (found.filled_quantity, found.working_quantity) == (20.0, 0.0 if first else 330.0)
        assert state.checkpoint("o").filled_quantity == 20.0


async def test_more_behind_it_than_the_service_holds() -> None:
    count = MOST_HELD + 150
    async with host() as service:
        await service.recommend()
        state = SessionState()
        async with stream(service) as gateway:
            session = Session(state, gateway)
            session.send(fill(0, TOO_FINE))
            for number in range(1, count + 1):
                session.send(fill(number))
            await session.settled()
        assert numbers_refused(state) == [1]
        assert await filled(service) == count * 10.0


async def test_an_order_that_has_ended_and_one_of_nobody_do_not_hold_others_up() -> None:
    async with host() as service:
        await service.recommend()
        await service.recommend("other")
        state = SessionState()
        async with stream(service) as gateway:
            session = Session(state, gateway)
            session.send(fill(1), "nobody's")
            session.send(messages.terminal("CANCELLED"))
            session.send(messages.amend(quantity=50.0))
            session.send(fill(2), "other")
            async with asyncio.timeout(WITHIN_S):
                while state.acknowledged("o") < 2 or state.acknowledged("other") < 1:
                    await asyncio.sleep(0.001)
                    session.take()
        assert [numbers_refused(state, name) for name in ("o", "nobody's", "other")] == [[2], [1], []]
        with pytest.raises(UpdateRefused, match="the order has ended"):
            state.raise_refused("o", 2)
        said = {(one.order_id, one.error) for one in state.take()}
        assert any(name == "o" and "ended" in error for name, error in said)
        assert any(name == "nobody's" and "no decision" in error for name, error in said)


async def test_a_session_whose_order_was_resumed_elsewhere_does_not_take_it_back() -> None:
    async with host() as service:
        await service.recommend()
        state = SessionState()
        async with stream(service) as gateway, stream(service) as elsewhere:
            session = Session(state, gateway)
            session.send(fill(1))
            await session.settled()
            other = SessionState()
            other.follow("o", None, state.checkpoint("o"))
            there = Session(other, elsewhere)
            there.send(fill(2))
            await there.settled()
            lost = [session.send(fill(3))]
            await session.settled()
            lost.append(session.send(fill(5)))
            await session.settled()
            there.send(fill(4))
            await there.settled()
        assert await filled(service) == 30.0
        assert numbers_refused(state) == lost
        with pytest.raises(UpdateRefused, match="resumed elsewhere"):
            state.raise_refused("o", lost[0])


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_is_refused_and_wherever_it_is_cut(seed: int) -> None:
    """Good and bad updates in any order, pauses in between, and connections that end in the middle."""
    chance = random.Random(seed)
    async with host() as service:
        await service.recommend(share=0.05)
        state = SessionState()
        bad: list[int] = []
        good = working = 0
        for _ in range(4):
            async with stream(service) as gateway:
                session = Session(state, gateway)
                for _ in range(chance.randrange(12)):
                    if chance.random() < 0.3:
                        bad.append(session.send(fill(10_000 + len(bad), TOO_FINE)))
                    elif chance.random() < 0.5:
                        good += 1
                        session.send(fill(good))
                    else:
                        working = chance.randrange(1, 1_000)
                        session.send(messages.working(float(working)))
                    if chance.random() < 0.4:
                        await asyncio.sleep(0.001)
                        session.take()
        async with stream(service) as gateway:
            session = Session(state, gateway)
            session.send(messages.working(77.0))
            await session.settled()
        found = (await service.status()).progress
        assert numbers_refused(state) == bad
        assert (found.filled_quantity, found.working_quantity) == (good * 10.0, 77.0)
        saved = state.checkpoint("o")
        assert (saved.filled_quantity, saved.working_quantity) == (good * 10.0, 77.0)


def test_what_could_not_be_recorded_is_sent_again_and_not_refused() -> None:
    state = SessionState()
    sent = [state.update("o", fill(number)) for number in range(3)]
    assert state.came(refused_update("o", "the update could not be recorded: away", 2, UNCERTAIN)) == []
    before = state.must_reconnect
    assert [message.sequence for message in state.resumption()] == [message.sequence for message in sent]
    assert (before, state.must_reconnect) == (True, False)
    assert numbers_refused(state) == []
    assert state.came(Adaptation(order_id="o", acknowledged_sequence=3, epoch=1)) == []
    assert (state.pending, state.acknowledged("o")) == (0, 3)


async def test_the_service_says_so_of_what_it_could_not_record() -> None:
    journal = MemoryJournal()
    async with host(journal) as service:
        await service.recommend()
        async with stream(service) as gateway:
            session = Session(SessionState(), gateway)
            journal.fail("the disk is gone")
            session.send(fill(1))
            assert await gateway.refusals(1) == [("o", 1, UNCERTAIN)]


async def test_every_refusal_on_the_wire_names_its_update_and_what_becomes_of_the_number() -> None:
    async with host() as service:
        await service.recommend()
        await service.recommend("p")
        async with stream(service) as gateway, stream(service) as elsewhere:
            gateway.send(2, fill={"execution_id": "b", "quantity": TOO_FINE, "price": 240.0})
            gateway.send(3, terminal={"state": 6})
            gateway.send(4, amend={"quantity": 50.0})  # waits, and has no effect when its turn comes
            gateway.send(5, pause={})
            gateway.send(1, **fill(1))
            await gateway.until(1)
            gateway.send(2, working={"quantity": 0.0})
            await gateway.until(5)
            gateway.send(6, unpause={})
            gateway.send(300, **fill(1))
            for number in range(7 + 1, 7 + 257):
                gateway.send(number, **fill(number))
            gateway.send(1, "nobody's", **fill(1))
            gateway.sent.put_nowait(b"\xff")
            found = await gateway.refusals(7)
            gateway.send(1, "p", **fill(1))
            await gateway.until(1, "p")
            elsewhere.send(0, "p", resume={"acknowledged_sequence": 1, "epoch": 1})
            await elsewhere.until(1, "p")
            gateway.send(2, "p", **fill(2))
            assert (await gateway.refusals(8))[7:] == [("p", 2, FENCED)]
        assert sorted(found) == [
            ("", 0, 0), ("nobody's", 1, FREE), ("o", 2, FREE), ("o", 4, USED), ("o", 5, USED), ("o", 6, USED),
            ("o", 263, AHEAD),
        ]  # fmt: skip
        told = {(a.order_id, one.sequence): one.error for a in gateway.answers for one in a.refusals}
        assert all(told.values())
        assert "finer than a millionth" in told["o", 2]
        assert "ended" in told["o", 4]


@pytest.mark.parametrize("is_read", [True, False])
async def test_what_follows_a_resume_that_is_refused_is_refused_too(is_read: bool) -> None:
    """A session that another has taken over from and that goes on at once, without its resume's answer: neither an
    update of an order that this worker follows nor of one that has to be read is taken."""
    journal = MemoryJournal()
    async with host(journal) as service:
        await service.recommend()
        async with stream(service) as old, stream(service) as new:
            old.send(1, **fill(1))
            await old.until(1)
            new.send(0, resume={"acknowledged_sequence": 1, "epoch": 1, "filled_quantity": 10, "average_price": 240.0})
            new.send(2, **fill(2))
            assert (await new.until(2)).epoch == 2
        before = (await service.status()).progress
        if is_read:
            await goes_on_behind_a_refused_resume(service)
            assert (await service.status()).progress == before
    if not is_read:
        async with host(journal.reopened()) as service:
            await goes_on_behind_a_refused_resume(service)
            assert (await service.status()).progress == before


async def goes_on_behind_a_refused_resume(service: Host) -> None:
    async with stream(service) as gateway:
        gateway.send(0, resume={"acknowledged_sequence": 7, "epoch": 1, "filled_quantity": 70, "average_price": 240.0})
        gateway.send(8, **fill(8))
        gateway.send(3, **fill(3))
        found = await gateway.refusals(3)
        assert sorted(found) == [("o", 0, FENCED), ("o", 3, FENCED), ("o", 8, FENCED)]


async def test_refusals_that_nobody_takes_are_all_told_and_their_number_is_bounded() -> None:
    async with host() as service:
        await service.recommend()
        gateway = Gateway()
        gateway.is_reading.clear()
        for number in range(1, MOST_REFUSALS + 3):
            gateway.send(number, **fill(number, TOO_FINE))
        call = asyncio.ensure_future(service.calls.adapt(gateway.messages(), gateway.write))
        await asyncio.sleep(0.1)
        gateway.is_reading.set()
        with pytest.raises(RpcError, match="refusals of an order were not taken"):
            await call
        told = [number for _, number, _ in await gateway.refusals(MOST_REFUSALS)]
        assert told == list(range(1, len(told) + 1))


async def test_a_session_that_was_fenced_goes_on_after_it_resumed() -> None:
    """The numbers of what was refused are free again: a gap would be waited for."""
    async with host() as service:
        await service.recommend()
        state, other = SessionState(), SessionState()
        async with stream(service) as gateway, stream(service) as elsewhere:
            session = Session(state, gateway)
            session.send(fill(1))
            await session.settled()
            other.follow("o", None, state.checkpoint("o"))
            there = Session(other, elsewhere)
            there.send(fill(2))
            await there.settled()
            for number in (3, 4, 5):
                session.send(fill(number))
            await session.settled()
            assert numbers_refused(state) == [2, 3, 4]
        async with stream(service) as gateway:
            session = Session(state, gateway)
            number = session.send(fill(6))
            await session.settled()
        assert number == 3
        state.raise_refused("o", number)
        assert state.acknowledged("o") == 3


async def test_an_order_of_which_nothing_is_taken_is_not_asked_about_for_ever() -> None:
    """As where this gateway's clock is ahead."""
    async with host() as service:
        await service.recommend()
        state = SessionState()
        bad = Update(order_id="o", sequence=1, fill=fill(1, TOO_FINE)["fill"])
        async with stream(service) as gateway:
            state.update("o", fill(1, TOO_FINE))
            gateway.sent.put_nowait(bad.SerializeToString())
            taken = 0
            for _ in range(200):
                await asyncio.sleep(0.001)
                for answer in gateway.answers[taken:]:
                    taken += 1
                    for message in state.came(answer):
                        faulty = message if message.HasField("resume") else bad
                        gateway.sent.put_nowait(faulty.SerializeToString())
        assert len(gateway.answers) <= 6
        assert numbers_refused(state) == [1]


def test_a_checkpoint_is_not_changed_by_a_refusal() -> None:
    state = SessionState()
    saved = Checkpoint(7, 3, 400.0, 12.0, 100.0, 0.0)
    state.follow("o", None, saved)
    list(state.resumption())
    state.came(Adaptation(order_id="o", acknowledged_sequence=7, epoch=4, progress={
        "filled_quantity": 400.0, "working_quantity": 100.0}))  # fmt: skip
    state.update("o", fill(1, TOO_FINE))
    (nothing,) = state.came(refused_update("o", "fill.quantity: no", 8, FREE))
    assert (nothing.sequence, nothing.working.quantity) == (8, 100.0)
    # Told twice, as after a cut: it is sent once a connection.
    assert state.came(refused_update("o", "fill.quantity: no", 8, FREE)) == []
    assert numbers_refused(state) == [8]
    assert state.checkpoint("o") == Checkpoint(7, 4, 400.0, 12.0, 100.0, 0.0)
    resume, again = state.resumption()
    assert (resume.resume.acknowledged_sequence, again.sequence, again.working.quantity) == (7, 8, 100.0)


def test_of_one_answer_what_was_acknowledged_before_the_fence_is_not_refused() -> None:
    """As a slow reader is told: an acknowledgement of its own, and then of the other's, with the refusal."""
    state = SessionState()
    for number in range(1, 5):
        state.update("o", fill(number))
    answer = Adaptation(order_id="o", acknowledged_sequence=3, epoch=2)
    answer.refusals.add(sequence=3, error="resumed elsewhere", number=FENCED)
    assert state.came(answer) == []
    assert (numbers_refused(state), state.pending) == ([3, 4], 0)
    assert (state.checkpoint("o").acknowledged_sequence, state.update("o", fill(5)).sequence) == (3, 4)
    assert numbers_refused(state) == [3]
