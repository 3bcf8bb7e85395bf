"""How often something is read for several destinations, compared with every order in which images can come."""

from __future__ import annotations

from itertools import combinations_with_replacement, permutations

import pytest

from ocync.analyze.reads import Reader, reads
from ocync.analyze.requests import Bounds


def reader(destinations: str, source: str = "s") -> Reader[str]:
    return Reader(source, frozenset(destinations))


@pytest.mark.parametrize(
    ("readers", "sure", "expected"),
    [
        pytest.param(["a"], "a", Bounds(1, 1), id="one reader, one destination"),
        pytest.param(["a"], "", Bounds(0, 1), id="which may have it"),
        pytest.param(["ab"], "ab", Bounds(1, 1), id="one read for two"),
        pytest.param(["ab", "ab", "ab"], "ab", Bounds(1, 1), id="equal readers"),
        pytest.param(["a", "b"], "ab", Bounds(2, 2), id="nothing in common"),
        pytest.param(["a", "ab"], "ab", Bounds(1, 2), id="the narrow one may come first"),
        pytest.param(["ab", "cd", "e"], "abcde", Bounds(3, 3), id="three groups"),
        pytest.param(["ab", "bc", "ca"], "abc", Bounds(2, 3), id="a ring"),
        pytest.param([], "", None, id="nobody"),
    ],
)
def test_reads_of_known_worlds(readers: list[str], sure: str, expected: Bounds | None) -> None:
    assert reads([reader(each) for each in readers], sure=set(sure)).get("s") == expected


def test_the_bounds_hold_for_every_order_and_every_content() -> None:
    """All sets of up to three readers of three destinations, each of which lacks the thing or may have it."""
    subsets = ["a", "b", "c", "ab", "bc", "ac", "abc"]
    for number in (1, 2, 3):
        for chosen in combinations_with_replacement(subsets, number):
            wanted = set("".join(chosen))
            for unknown in (set[str](), {"a"}, {"a", "b"}, wanted):
                bounds = reads([reader(each) for each in chosen], sure=wanted - unknown)["s"]
                counts = {
                    happening(order, lacking)
                    for order in permutations(chosen)
                    for lacking in (wanted, wanted - unknown)
                }
                assert min(counts) in bounds, (chosen, unknown)
                assert max(counts) in bounds, (chosen, unknown)


def happening(order: tuple[str, ...], lacking: set[str]) -> int:
    """Count the reads of images in this order: each claims what is unclaimed and reads once for what lacks it."""
    claimed, count = set[str](), 0
    for destinations in order:
        mine = set(destinations) - claimed
        claimed |= mine
        count += bool(mine & lacking)
    return count


def test_of_several_sources_nobody_knows_which_is_read() -> None:
    counts = reads([reader("a", "one"), reader("a", "two"), reader("b", "two")], sure={"a", "b"})

    assert counts == {"one": Bounds(0, 1), "two": Bounds(1, 2)}


def test_readers_that_want_it_for_some_of_their_destinations_read_as_often_as_its_lists_are_gone_through() -> None:
    readers = [reader("abc"), reader("abc")]

    assert reads(readers, sure=set(), most=2) == {"s": Bounds(0, 2)}
    assert reads(readers, sure=set(), most=9) == {"s": Bounds(0, 3)}
