"""Halts, hard limits and whose order it is, over a keeper and its journal: what gateways and risk officers are told."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from execution_strategy.v1 import adaptation_pb2, admin_pb2, enums_pb2, request_pb2
from google.rpc import error_details_pb2, status_pb2

from engine.records import OperationRecord, RecordKind
from service.errors import RpcError
from service.handlers import Stages
from service.identity import CALLER, Identity, Role
from store.payload import decode
from tests.helpers import world
from tests.helpers.adapt_host import CALL, MICS, Answer, Gateway, Host, fill, host, order_message, stream
from tests.helpers.memory_journal import MemoryJournal

STOP, KEEP = enums_pb2.ADAPTATION_ACTION_STOP, enums_pb2.ADAPTATION_ACTION_KEEP
HALT = enums_pb2.ADAPTATION_TRIGGER_HALT
FIRM, DESK, INSTRUMENT = enums_pb2.SCOPE_FIRM, enums_pb2.SCOPE_DESK, enums_pb2.SCOPE_INSTRUMENT
STRATEGY, GATEWAY = enums_pb2.SCOPE_STRATEGY, enums_pb2.SCOPE_GATEWAY


async def call(service: Host, name: str, message: Any, answer: Any) -> Any:
    handle: Callable[..., Awaitable[bytes]] = service.administration.calls()[name]
    return answer.FromString(await handle(message.SerializeToString(), CALL, Stages()))


async def halt(service: Host, scope: enums_pb2.Scope = FIRM, subject: str = "") -> str:
    message = admin_pb2.HaltRequest(scope=scope, subject=subject, reason="a test")
    found = await call(service, "Halt", message, admin_pb2.HaltResponse)
    assert found.hosts[0].confirmed
    return str(found.halt_id)


async def resume(service: Host, halt_id: str) -> None:
    message = admin_pb2.ResumeRequest(halt_id=halt_id, reason="it is over")
    await call(service, "Resume", message, admin_pb2.ResumeResponse)


async def limit(
    service: Host, scope: enums_pb2.Scope = FIRM, subject: str = "", **bounds: Any
) -> admin_pb2.SetLimitsResponse:
    limits = admin_pb2.HardLimits(scope=scope, subject=subject, **bounds)
    message = admin_pb2.SetLimitsRequest(limits=[limits], reason="a test")
    found: admin_pb2.SetLimitsResponse = await call(service, "SetLimits", message, admin_pb2.SetLimitsResponse)
    return found


async def refusal(asked: Awaitable[object]) -> tuple[grpc.StatusCode, list[str]]:
    """The status, and the codes of its reasons."""
    with pytest.raises(RpcError) as refused:
        await asked
    status = status_pb2.Status.FromString(refused.value.details)
    failure, info = error_details_pb2.PreconditionFailure(), error_details_pb2.ErrorInfo()
    for detail in status.details:
        detail.Unpack(failure)
        detail.Unpack(info)
    codes = [violation.type for violation in failure.violations]
    assert info.reason in codes
    return refused.value.code, codes


async def send(service: Host, order_id: str, **changes: Any) -> bytes:
    message = order_message(order_id, 0.01)
    message.MergeFrom(request_pb2.ExecutionStrategyRequest(**changes))
    return await service.handlers.recommend(message.SerializeToString(), CALL, Stages())


@contextmanager
def calling(name: str, *roles: Role, desk: str = "") -> Iterator[None]:
    before = CALLER.set(Identity(name, frozenset(roles or (Role.GATEWAY,)), desk))
    try:
        yield
    finally:
        CALLER.reset(before)


def planned_shares(answer: Answer) -> float:
    return sum(part.quantity for part in answer.response.recommended_strategy.time_allocation.slices)


@pytest.mark.parametrize(
    ("scope", "subject", "tags"),
    [(FIRM, "", {}), (INSTRUMENT, world.US, {}), (GATEWAY, "g1", {"gateway": "g1"}), (STRATEGY, None, {})],
)
async def test_what_is_halted_is_refused_until_it_is_resumed(
    scope: enums_pb2.Scope, subject: str | None, tags: Any
) -> None:
    async with host() as service:
        decided = await service.recommend("before")
        subject = decided.recommended_strategy.strategy_name if subject is None else subject
        stopped = await halt(service, scope, subject)
        for number in range(3):
            code, codes = await refusal(send(service, f"o{number}", tags=tags, dry_run=number == 2))
            assert (code, codes) == (grpc.StatusCode.FAILED_PRECONDITION, ["HALTED"])
        if scope == FIRM:
            code, codes = await refusal(service.recommend("before"))
            assert codes == ["HALTED"], "not even what was decided is given again"
        await resume(service, stopped)
        await resume(service, stopped)  # again is no error
        await send(service, "after", tags=tags)


async def test_a_halt_of_something_else_stops_nothing() -> None:
    async with host() as service:
        await halt(service, INSTRUMENT, world.CHINA)
        await halt(service, GATEWAY, "other")
        await service.recommend()


async def test_a_halt_survives_a_restart_and_is_listed() -> None:
    journal = MemoryJournal()
    async with host(journal) as service:
        halt_id = await halt(service, INSTRUMENT, world.US)
        await limit(service, max_quantity=5.0)
    async with host(journal.reopened()) as service:
        found = await call(service, "ListControls", admin_pb2.ListControlsRequest(), admin_pb2.ListControlsResponse)
        assert [(one.halt_id, one.subject, one.reason) for one in found.halts] == [(halt_id, world.US, "a test")]
        assert [one.max_quantity for one in found.limits] == [5.0]
        assert found.known
        assert (await refusal(service.recommend()))[1] == ["HALTED"]


async def test_every_change_is_recorded_with_its_caller() -> None:
    journal = MemoryJournal()
    async with host(journal) as service:
        with calling("anna", Role.RISK):
            halt_id = await halt(service)
            await resume(service, halt_id)
            await limit(service, max_quantity=5.0, max_participation_rate=0.1)
    records = [decode(one.kind, one.payload) for one in journal.entries if one.kind is RecordKind.OPERATION]
    operations = [record for record in records if isinstance(record, OperationRecord)]
    assert [(one.kind, one.actor) for one in operations] == [
        ("HALTED", "anna"), ("RESUMED", "anna"), ("LIMITS_CHANGED", "anna")
    ]
    assert operations[2].detail["limits"][0]["max_quantity_shares"] == 5.0
    assert all(one.event is not None and one.event.kind == "operations" for one in operations)


async def test_open_streams_are_told_of_a_halt_and_of_its_end() -> None:
    async with host() as service:
        await service.recommend("o")
        async with stream(service) as gateway:
            gateway.send(1, **fill("a", 100))
            await gateway.until(1)
            stopped = await halt(service, INSTRUMENT, world.US)
            told = await notice(gateway, STOP)
            assert told.trigger == HALT
            assert told.advice_number == 0
            gateway.send(2, **fill("b", 100))
            answer = await gateway.until(2)
            assert answer.action == STOP, "every answer says so while it is halted"
            assert answer.progress.filled_quantity == 200, "fills count all the same"
            assert (await service.status("o")).state == enums_pb2.EXECUTION_STATE_HALTED
            await resume(service, stopped)
            assert (await notice(gateway, KEEP)).trigger == HALT
        assert (await service.status("o")).state == enums_pb2.EXECUTION_STATE_WORKING


async def test_what_is_said_of_an_update_is_said_during_a_halt_too() -> None:
    async with host() as service, stream(service) as gateway:
        await service.recommend("o")
        gateway.send(1, **fill("a", 100))
        await gateway.until(1)
        await halt(service, INSTRUMENT, world.US)
        gateway.send(2, **fill("a", 100))
        answer = await gateway.until(2)
    assert answer.action == STOP
    assert "execution a was counted before" in answer.rationale
    assert "a test" in answer.rationale


async def notice(gateway: Gateway, action: int) -> adaptation_pb2.StrategyAdaptation:
    async with asyncio.timeout(20), gateway._came:
        await gateway._came.wait_for(lambda: any(one.action == action for one in gateway.answers))
    return next(one for one in gateway.answers if one.action == action)


async def test_a_slow_reader_still_hears_of_a_halt() -> None:
    async with host() as service:
        await service.recommend("o")
        async with stream(service) as gateway:
            gateway.send(1, **fill("a", 100))
            await gateway.until(1)
            gateway.is_reading.clear()
            for number in range(2, 5):
                gateway.send(number, **fill(str(number), 100))
            await halt(service)
            for number in range(5, 8):
                gateway.send(number, **fill(str(number), 100))
            for _ in range(300):
                await asyncio.sleep(0)
            gateway.is_reading.set()
            await gateway.until(7)
            assert gateway.answers[-1].action == STOP


async def test_limits_are_the_strictest_of_all_that_apply() -> None:
    async with host() as service:
        quantity = world.lots_of(world.US, 0.01)
        await limit(service, max_quantity=quantity)
        await limit(service, INSTRUMENT, world.US, max_quantity=quantity * 2)
        await service.recommend("at-the-limit")
        await limit(service, DESK, "d", max_quantity=quantity / 2)
        code, codes = await refusal(send(service, "too-much-for-the-desk", tags={"desk": "d"}))
        assert (code, codes) == (grpc.StatusCode.FAILED_PRECONDITION, ["MAX_QUANTITY"])
        with calling("g", desk="d"):
            _, codes = await refusal(send(service, "whatever-the-tag-says", tags={"desk": "other"}))
            assert codes == ["MAX_QUANTITY"]
        await limit(service, DESK, "d")  # an empty set takes the limits away
        await send(service, "free-again", tags={"desk": "d"})


async def test_the_firms_participation_and_collar_are_planned_with() -> None:
    async with host() as service:
        await limit(service, max_participation_rate=0.08)
        decided = await service.recommend()
        assert decided.recommended_strategy.risk_controls.max_participation_rate == 0.08
        await limit(service)
        assert service.world.snapshot.limits.max_participation_rate > 0.08


async def test_venues_and_instruments_that_are_not_allowed_are_refused() -> None:
    async with host() as service:
        decided = await service.recommend("first")
        venues = list(decided.recommended_strategy.venue_allocation)
        await limit(service, allowed_venues=venues)
        await service.recommend("second")
        others = [name for name in service.world.snapshot.directory.name_by_mic if name not in venues]
        await limit(service, allowed_venues=others[:1], allowed_instruments=[world.CHINA])
        assert set((await refusal(service.recommend("third")))[1]) == {"VENUE_NOT_ALLOWED", "INSTRUMENT_NOT_ALLOWED"}


async def test_orders_alike_disable_their_subject_until_a_person_resumes_it() -> None:
    async with host() as service:
        await limit(service, INSTRUMENT, world.US, max_repeats_per_minute=2)
        await send(service, "a")
        await send(service, "b")
        await send(service, "b")  # a retry
        await send(service, "trial", dry_run=True)
        assert (await refusal(send(service, "c")))[1] == ["REPEAT_THROTTLE"]
        service.now_ns[0] += 300 * 10**9
        assert (await refusal(send(service, "d", quantity=world.lots_of(world.US, 0.02))))[1] == ["HALTED"]
        (stopped,) = service.guard.view.controls.halts
        assert stopped.actor == "service"
        await resume(service, stopped.halt_id)
        await send(service, "e")


async def test_more_messages_than_allowed_may_come_again_later() -> None:
    async with host() as service:
        await limit(service, max_messages_per_second=2)
        await send(service, "a")
        await send(service, "b")
        code, codes = await refusal(send(service, "c"))
        assert (code, codes) == (grpc.StatusCode.RESOURCE_EXHAUSTED, ["MESSAGE_THROTTLE"])
        service.now_ns[0] += 10**9
        await send(service, "c")


async def test_an_order_does_not_grow_beyond_what_a_new_one_may_be() -> None:
    async with host() as service:
        await service.recommend("o")
        quantity = world.lots_of(world.US, 0.01)
        await limit(service, max_quantity=quantity * 1.5)
        await service.once(amend={"quantity": quantity * 1.2})
        with pytest.raises(RpcError) as refused:
            await service.once(amend={"quantity": quantity * 2})
        assert "MAX_QUANTITY" in refused.value.text


async def test_an_amendment_that_a_limit_stopped_is_planned_when_the_limit_is_gone() -> None:
    """Until then every answer says so."""
    async with host() as service, stream(service) as gateway:
        decided = await service.recommend("o")
        quantity = world.lots_of(world.US, 0.01)
        gateway.send(1, **fill("a", 100))
        await gateway.until(1)
        used = set(decided.recommended_strategy.venue_allocation)
        await limit(service, allowed_venues=[mic for mic in MICS if mic not in used][:1])
        gateway.send(2, amend={"quantity": quantity * 2})
        gateway.send(3, **fill("b", 100))
        for number in (2, 3):
            answer = await gateway.until(number)
            assert answer.action == STOP, number
            assert "VENUE_NOT_ALLOWED" in answer.rationale
        await limit(service)
        gateway.send(4, **fill("c", 100))
        answer = await gateway.until(4)
    assert answer.trigger == enums_pb2.ADAPTATION_TRIGGER_AMENDED
    assert planned_shares(answer) == quantity * 2 - 300


async def test_an_amendment_during_a_halt_is_planned_after_a_restart_too() -> None:
    journal = MemoryJournal()
    quantity = world.lots_of(world.US, 0.01)
    async with host(journal) as service, stream(service) as gateway:
        await service.recommend("o")
        gateway.send(1, **fill("a", 100))
        await gateway.until(1)
        halted = await halt(service, INSTRUMENT, world.US)
        gateway.send(2, amend={"quantity": quantity * 2})
        assert (await gateway.until(2)).action == STOP
    async with host(journal.reopened()) as service, stream(service) as gateway:
        await resume(service, halted)
        gateway.send(3, **fill("b", 100))
        answer = await gateway.until(3)
    assert answer.trigger == enums_pb2.ADAPTATION_TRIGGER_AMENDED
    assert planned_shares(answer) == quantity * 2 - 200


async def test_an_order_belongs_to_the_gateway_that_made_it() -> None:
    async with host() as service:
        with calling("g1"):
            await service.recommend("o")
            await service.once(pause={})
        for who, roles in (("g2", (Role.GATEWAY,)), ("tom", (Role.TRADER,))):
            with calling(who, *roles):
                with pytest.raises(RpcError) as refused:
                    await service.once(unpause={})
                assert refused.value.code is grpc.StatusCode.PERMISSION_DENIED
        with calling("g2"):
            for asked in (service.status("o"), service.recommend("o")):
                with pytest.raises(RpcError) as refused:
                    await asked
                assert refused.value.code is grpc.StatusCode.PERMISSION_DENIED
        with calling("tom", Role.TRADER):
            assert (await service.status("o")).order_id == "o"
        order = await service.keeper.order("o")
        assert order is not None
        assert order.basis.gateway == "g1"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Halt", admin_pb2.HaltRequest(scope=DESK, reason="r")),
        ("Halt", admin_pb2.HaltRequest(scope=FIRM, subject="x", reason="r")),
        ("Halt", admin_pb2.HaltRequest(scope=INSTRUMENT, subject="no such", reason="r")),
        ("Halt", admin_pb2.HaltRequest(scope=STRATEGY, subject="no such", reason="r")),
        ("Halt", admin_pb2.HaltRequest(scope=GATEWAY, reason="r")),
        ("Halt", admin_pb2.HaltRequest(scope=FIRM)),
        ("Halt", admin_pb2.HaltRequest(scope=FIRM, reason="\0")),
        ("Resume", admin_pb2.ResumeRequest(halt_id="x", reason="r")),
        ("SetLimits", admin_pb2.SetLimitsRequest(reason="r")),
        ("SetLimits", admin_pb2.SetLimitsRequest(limits=[admin_pb2.HardLimits(scope=FIRM)] * 2, reason="r")),
        (
            "SetLimits",
            admin_pb2.SetLimitsRequest(
                limits=[admin_pb2.HardLimits(scope=FIRM, allowed_venues=["no such"])], reason="r"
            ),
        ),
    ],
)
async def test_what_names_nothing_is_refused_and_changes_nothing(name: str, message: Any) -> None:
    async with host() as service:
        with pytest.raises(RpcError) as refused:
            await call(service, name, message, admin_pb2.HaltResponse)
        assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT
        assert service.guard.view.controls.halts == ()
        assert service.guard.view.controls.limits == ()


async def test_a_halt_that_never_was_cannot_be_resumed() -> None:
    async with host() as service:
        with pytest.raises(RpcError) as refused:
            await resume(service, str(uuid.uuid4()))
        assert refused.value.code is grpc.StatusCode.NOT_FOUND


async def test_a_full_journal_halts_all_the_same() -> None:
    async with host(MemoryJournal(limit_entries=1)) as service:
        await service.recommend("fills-it")
        with pytest.raises(RpcError) as refused:
            await halt(service)
        assert refused.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await refusal(service.recommend("o")))[1] == ["HALTED"]
