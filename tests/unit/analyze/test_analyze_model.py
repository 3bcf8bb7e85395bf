"""Numbers of which only the bounds are known."""

from __future__ import annotations

from ocync.analyze.model import NONE, Bounds, RequestKind, summed, total


def test_bounds_add_up_at_both_ends() -> None:
    assert Bounds(1, 2) + Bounds(0, 5) == Bounds(1, 7)
    assert total([Bounds(1, 2), Bounds.exactly(3)]) == Bounds(4, 5)
    assert total([]) == NONE
    assert Bounds(1, 2).times(10) == Bounds(10, 20)


def test_bounds_hold_what_lies_between_them() -> None:
    assert [number in Bounds(2, 3) for number in range(1, 5)] == [False, True, True, False]
    assert (Bounds.exactly(2).is_exact, Bounds(2, 3).is_exact) == (True, False)


def test_requests_add_up_by_kind_in_the_order_of_a_pass_without_those_that_never_happen() -> None:
    sums = summed(
        {RequestKind.MANIFEST_PUT: Bounds(1, 1), RequestKind.BLOB_HEAD: NONE},
        {RequestKind.MANIFEST_PUT: Bounds(0, 2), RequestKind.TAG_LIST: Bounds(1, 1)},
    )

    assert list(sums.items()) == [(RequestKind.TAG_LIST, Bounds(1, 1)), (RequestKind.MANIFEST_PUT, Bounds(1, 3))]
