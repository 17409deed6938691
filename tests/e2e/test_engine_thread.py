"""The thread that decides, in the real service: calls at once are answered as calls one after another."""

from __future__ import annotations

from tests.helpers.live_service import Gateway, Request, Response, finished, live_service, order
from tests.helpers.running_host import eventually

ORDERS = 48
OBJECTIVES = ("BALANCED_EXECUTION", "MINIMIZE_COST", "MINIMIZE_RISK")


def requests() -> list[Request]:
    """Of several sizes and aims; nothing is recorded, so that each may be asked twice."""
    return [
        order(quantity=5_000 * (1 + number % 7), objective=OBJECTIVES[number % 3], dry_run=True)
        for number in range(ORDERS)
    ]


def decided(answer: Response) -> bytes:
    """All of an answer but when it was made."""
    answer.ClearField("created_at")
    return answer.SerializeToString(deterministic=True)


def test_calls_at_once_are_decided_as_calls_one_after_another() -> None:
    asked = requests()
    with live_service(ESS_ENGINE_THREAD="on") as service, Gateway(service.target) as gateway:
        eventually(lambda: "the engine's thread is there" in service.output, within_s=60, what="the engine's thread")
        at_once = [finished(call).response for call in [gateway.start("Recommend", one) for one in asked]]
        alone = [gateway.recommend(one).response for one in asked]
        assert [decided(one) for one in at_once] == [decided(one) for one in alone]
        assert not any(one.structural_only for one in alone)
        assert service.terminate() == 0
    assert len({one.recommended_strategy.strategy_name for one in alone}) > 1, "they were not alike"
