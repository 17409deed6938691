"""Which order ids are taken: exact, bounded, and honest about what it does not know."""

from __future__ import annotations

import tracemalloc
from hashlib import sha256
from uuid import uuid4

import pytest

from store.claims import Claim, OrderClaims, Verdict
from store.seen import SeenFilter
from store.selection_rows import RowStatus


def small(capacity: int = 3, responses: int = 2) -> OrderClaims:
    claims = OrderClaims(capacity, responses, SeenFilter(bits_log2=16))
    claims.older_unknown = False
    return claims


def take(claims: OrderClaims, order_id: str, settle: bool = True) -> None:
    assert claims.claim(order_id, f"hash {order_id}", f"id {order_id}", b"r")[0] is Verdict.ACCEPTED
    if settle:
        claims.settle(order_id, f"id {order_id}", RowStatus.RECORDED)


def test_the_three_verdicts() -> None:
    claims = small()
    verdict, claim = claims.claim("o", "h", "first", b"answer")
    assert verdict is Verdict.ACCEPTED
    verdict, again = claims.claim("o", "h", "second", b"other")
    assert verdict is Verdict.DUPLICATE
    assert again is claim
    assert (again.selection_id, again.response) == ("first", b"answer")
    verdict, other = claims.claim("o", "another", "third", b"")
    assert verdict is Verdict.CONFLICT
    assert other.request_hash == "h"


def test_a_released_order_is_free_again_but_only_for_who_had_it() -> None:
    claims = small()
    take(claims, "o", settle=False)
    claims.release("o", "somebody else")
    assert claims.look("o") is not None
    claims.release("o", "id o")
    assert claims.look("o") is None
    assert not claims.must_ask("o")


def test_open_claims_are_never_evicted_and_evicted_ones_are_known_to_be_in_the_database() -> None:
    claims = small(capacity=3)
    for number in range(50):
        take(claims, f"open {number}", settle=False)
    for number in range(10):
        take(claims, f"settled {number}")
    assert len(claims) == 53
    assert all(claims.look(f"open {number}") is not None for number in range(50))
    assert [claims.must_ask(f"settled {number}") for number in range(10)] == [True] * 7 + [False] * 3
    assert not claims.must_ask("never seen")


def test_looking_at_a_claim_keeps_it() -> None:
    claims = small(capacity=3)
    for name in "abc":
        take(claims, name)
    claims.look("a")
    take(claims, "d")
    assert claims.look("a") is not None
    assert claims.look("b") is None


def test_responses_are_bounded_apart_from_claims() -> None:
    claims = small(capacity=10, responses=2)
    for name in "abcd":
        take(claims, name)
    kept = {name: claims.look(name) for name in "abcd"}
    assert [claim.response for claim in kept.values() if claim is not None] == [None, None, b"r", b"r"]
    claims.keep_response("a", b"fetched")
    found = claims.look("a")
    assert found is not None
    assert found.response == b"fetched"


@pytest.mark.parametrize("request_hash", ["ab" * 32, "AB" * 32, "ab" * 31, "a hash"])
@pytest.mark.parametrize(
    "selection_id", ["5a1c6d5e-3f0b-4a86-9d0c-6c4f4e2b7a10", "5A1C6D5E-3F0B-4A86-9D0C-6C4F4E2B7A10", "an id"]
)
@pytest.mark.parametrize("status", [None, *RowStatus])
def test_a_settled_claim_says_what_it_said(request_hash: str, selection_id: str, status: RowStatus | None) -> None:
    claims = small()
    _, claim = claims.claim("o", request_hash, selection_id, b"answer")
    claim.sequence = 1 << 40
    claims.settle("o", selection_id, status)
    found = claims.look("o")
    assert found == Claim(request_hash, selection_id, b"answer", True, status, 1 << 40)
    # Who waited for it reads the same from what it held.
    assert claim == found
    claims.remember("p", request_hash, selection_id, status, 7)
    assert claims.look("p") == Claim(request_hash, selection_id, None, True, status, 7)


def test_an_order_of_another_form_is_as_exact() -> None:
    claims = small()
    claims.claim("o", "AB" * 32, "i", b"answer")
    claims.settle("o", "i", RowStatus.RECORDED)
    assert claims.claim("o", "ab" * 32, "j", b"")[0] is Verdict.CONFLICT
    assert claims.claim("o", "AB" * 32, "j", b"")[0] is Verdict.DUPLICATE


def test_a_settled_claim_is_small() -> None:
    """A host remembers hundreds of thousands."""
    claims = OrderClaims(capacity=20_000, response_capacity=10)
    tracemalloc.start()
    for number in range(20_000):
        claims.remember(f"order-{number}", sha256(b"%d" % number).hexdigest(), str(uuid4()))
    bytes_each = tracemalloc.get_traced_memory()[0] / 20_000
    tracemalloc.stop()
    assert bytes_each < 330


def test_until_all_is_loaded_every_unknown_order_must_be_asked_for() -> None:
    claims = OrderClaims(capacity=3)
    assert claims.must_ask("o")
    claims.remember("o", "h", "i")
    assert not claims.must_ask("o")
    assert claims.claim("o", "h", "j", b"")[0] is Verdict.DUPLICATE


def test_a_loaded_row_does_not_replace_a_live_claim() -> None:
    claims = small()
    take(claims, "o", settle=False)
    claims.remember("o", "other", "other")
    claim = claims.look("o")
    assert claim is not None
    assert claim.selection_id == "id o"


def test_a_lost_order_gets_its_owner() -> None:
    claims = small()
    take(claims, "o")
    claims.replace("o", "their hash", "their id")
    assert claims.claim("o", "hash o", "id o", b"r")[0] is Verdict.CONFLICT


def test_the_filter_never_says_a_wrong_no_and_seldom_a_wrong_yes() -> None:
    seen = SeenFilter(bits_log2=18)
    assert "order-1" not in seen
    for number in range(10_000):
        seen.add(f"order-{number}")
    assert all(f"order-{number}" in seen for number in range(10_000))
    wrong = sum(f"other-{number}" in seen for number in range(10_000))
    assert wrong < 50
