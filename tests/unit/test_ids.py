"""Ids made by hand are those of the uuid module."""

from __future__ import annotations

import uuid

import pytest

from service.ids import RandomIds
from service.mapping.events import EVENT_NAMESPACE, event_id_of


def test_random_ids_are_uuids_of_version_4() -> None:
    counted = iter(range(10))

    def bytes_of(count: int) -> bytes:
        start = next(counted) * 37
        return bytes((start + place * 73) % 256 for place in range(count))

    made = RandomIds(count=2, random_bytes=bytes_of)
    ids = [made() for _ in range(6)]
    assert len(set(ids)) == 6
    assert ids[0] == str(uuid.UUID(bytes=bytes(place * 73 % 256 for place in range(16)), version=4))
    assert all(uuid.UUID(one).version == 4 and str(uuid.UUID(one)) == one for one in ids)


@pytest.mark.parametrize("kind", ["", "execution_strategy_conflicted"])
def test_an_events_id_is_the_uuid5_of_its_record(kind: str) -> None:
    for number in range(50):
        record_id = str(uuid.UUID(int=number * 7919, version=4))
        name = f"{kind}:{record_id}" if kind else record_id
        assert event_id_of(record_id, kind) == str(uuid.uuid5(EVENT_NAMESPACE, name))
