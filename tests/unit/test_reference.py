"""Reference data under their hash: what is taken from a snapshot makes the same one again."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from engine.catalogue import CandidateSet, CatalogueChoice, candidate_set, named_candidates
from service.engine_build import this_build
from service.reference import (
    instrument_bytes,
    instrument_from,
    named_of,
    sessions_bytes,
    sessions_from,
    sha256_of,
    shared_bytes,
    shared_from,
    sources_of,
)
from store.archive import pack, unpack
from store.errors import ReferenceCorrupt
from tests.helpers import world


def same_candidates(one: CandidateSet, other: CandidateSet) -> bool:
    arrays = ("algorithm", "shape", "rule", "pace", "rests", "numbers")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays) and [
        (each.spec.name, each.shape, list(each.parameters.items())) for each in one.candidates
    ] == [(each.spec.name, each.shape, list(each.parameters.items())) for each in other.candidates]


@pytest.mark.parametrize(
    "choices",
    [
        (),
        (CatalogueChoice("POV", enabled=False), CatalogueChoice("VWAP", limits={"duration_minutes": (30.0, 90.0)})),
        tuple(CatalogueChoice(name, enabled=False) for name in ("TWAP", "ICEBERG", "TARGET_CLOSE")),
    ],
)
def test_candidates_come_back_as_an_operator_left_them(choices: tuple[CatalogueChoice, ...]) -> None:
    given = world.snapshot(choices)
    shared = shared_from(shared_bytes(given))
    assert same_candidates(named_candidates(shared.candidates), given.catalogue)
    assert shared.assumptions == given.assumptions
    assert shared.directory == given.directory


def test_candidates_of_another_catalogue_are_refused() -> None:
    named = named_of(candidate_set())
    assert same_candidates(named_candidates(named), candidate_set())
    with pytest.raises(ValueError, match="no algorithm SNIPER"):
        named_candidates([("SNIPER", [("duration_minutes", 5.0)])])
    with pytest.raises(ValueError, match="no algorithm TWAP with the parameters speed"):
        named_candidates([("TWAP", [("speed", 5.0)])])
    with pytest.raises(ValueError, match=r"no shape ICEBERG 0\.77"):
        named_candidates([("ICEBERG", [("duration_minutes", 10.0), ("display_ratio", 0.77)])])


@pytest.mark.parametrize("make", [world.us_sessions, world.china_sessions])
def test_sessions_come_back_with_their_breaks(make: object) -> None:
    given = world.us_sessions() if make is world.us_sessions else world.china_sessions()
    back = sessions_from(sessions_bytes(given))
    assert back.assumed_from_ns == given.assumed_from_ns
    assert b"assumed" not in sessions_bytes(given), "references of before would get another hash"
    assumed = replace(given, assumed_from_ns=int(given.open_ns[-1]))
    assert sessions_from(sessions_bytes(assumed)).assumed_from_ns == assumed.assumed_from_ns
    for name in ("open_ns", "close_ns", "break_start_ns", "break_end_ns"):
        assert np.array_equal(getattr(back, name), getattr(given, name)), name
        assert getattr(back, name).dtype == np.int64


def test_an_instrument_comes_back() -> None:
    view = replace(world.views()[world.CHINA], open_local_minute=571.5)
    found = instrument_from(instrument_bytes(view))
    assert (found.instrument, found.open_local_minute) == (view.instrument, 571.5)


def test_sources_are_all_that_decisions_refer_to_each_once() -> None:
    given = world.usual()
    packed = {each.sha256: each for each in sources_of(given, this_build()).packed}
    assert len(packed) == len(sources_of(given, this_build()).packed)
    assert {this_build().build_id, sha256_of(shared_bytes(given))} < set(packed)
    for view in given.views.values():
        assert {sha256_of(instrument_bytes(view)), sha256_of(sessions_bytes(view.sessions))} <= set(packed)
    assert all(sha256_of(unpack(name, each.content)) == name for name, each in packed.items())


def test_assumptions_of_another_build_are_refused() -> None:
    content = msgspec.msgpack.decode(shared_bytes(world.usual()))
    content["figures"]["new_figure"] = 1.0
    with pytest.raises(ValueError, match="assumptions of another build"):
        _ = shared_from(msgspec.msgpack.encode(content)).assumptions
    with pytest.raises(ReferenceCorrupt, match="not of this build's form"):
        shared_from(b"\x00")


def test_what_is_unpacked_is_what_its_name_says() -> None:
    packed = pack("sessions", b"content" * 1_000)
    assert unpack(packed.sha256, packed.content) == b"content" * 1_000
    other = pack("sessions", b"else")
    for content in (other.content, packed.content[:-1], packed.content + b"x", b"", b"no zlib"):
        with pytest.raises(ReferenceCorrupt):
            unpack(packed.sha256, content)
