"""What a memory tells, and when it stops to."""

from __future__ import annotations

import pytest

from ocync.cache import hints as memories
from ocync.cache.hints import Memory
from ocync.oci.digest import Digest

INDEX, BLOB, OTHER = (Digest.of(text) for text in (b"index", b"blob", b"other"))
PLACE = "registry.example"
HOUR = 3600.0
DAY = 24 * HOUR


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(clock: Clock) -> Memory:
    return Memory(ttl=12 * HOUR, clock=clock)


def later(memory: Memory, clock: Clock) -> Memory:
    """Return the memory of a pass that knows what the other one has learned."""
    found = Memory(ttl=12 * HOUR, clock=clock)
    found.add(memory.all())
    return found


def test_those_who_held_a_blob_are_told_latest_first(memory: Memory, clock: Clock) -> None:
    memory.learn_blob(PLACE, "first", BLOB)
    clock.now += 1
    memory.learn_blob(PLACE, "second", BLOB)
    memory.learn_blob("other.example", "third", BLOB)

    assert memory.holders(PLACE, BLOB) == ["second", "first"]
    assert memory.holders("other.example", BLOB) == ["third"]
    assert memory.holders(PLACE, OTHER) == []


def test_of_many_who_held_a_blob_eight_are_told(memory: Memory, clock: Clock) -> None:
    for number in range(20):
        memory.learn_blob(PLACE, f"app{number}", BLOB)
        clock.now += 1

    assert memory.holders(PLACE, BLOB) == [f"app{number}" for number in range(19, 11, -1)]


def test_who_held_a_blob_is_told_for_its_time_and_anew_when_it_still_does(memory: Memory, clock: Clock) -> None:
    memory.learn_blob(PLACE, "app", BLOB)
    memory.learn_blob(PLACE, "other", BLOB)

    clock.now += 7 * HOUR
    memory.learn_blob(PLACE, "other", BLOB)
    clock.now += 5 * HOUR
    assert memory.holders(PLACE, BLOB) == ["other", "app"]
    clock.now += 1
    assert memory.holders(PLACE, BLOB) == ["other"]
    clock.now += 7 * HOUR
    assert memory.holders(PLACE, BLOB) == []


@pytest.mark.parametrize("ttl", [0.0, 1000 * DAY])
def test_who_held_a_blob_is_told_for_a_month_at_most(ttl: float, clock: Clock) -> None:
    memory = Memory(ttl=ttl, clock=clock)
    memory.learn_blob(PLACE, "app", BLOB)

    clock.now += 30 * DAY
    assert memory.holders(PLACE, BLOB) == ["app"]
    clock.now += 1
    assert memory.holders(PLACE, BLOB) == []


def test_who_did_not_have_a_blob_is_forgotten_counted_and_can_be_learned_again(
    memory: Memory, clock: Clock
) -> None:
    memory.learn_blob(PLACE, "app", BLOB)
    memory.learn_blob(PLACE, "other", BLOB)

    memory.forget_blob(PLACE, "app", BLOB)

    assert memory.holders(PLACE, BLOB) == ["other"]
    assert memory.counts.stale == 1
    assert later(memory, clock).holders(PLACE, BLOB) == ["other"]
    memory.learn_blob(PLACE, "app", BLOB)
    assert set(memory.holders(PLACE, BLOB)) == {"app", "other"}


def test_hints_are_kept_by_kind_and_name(memory: Memory) -> None:
    memory.learn_hint("level", PLACE, "12")
    memory.learn_hint("form", PLACE, "x" * 5000)

    assert memory.hint("level", PLACE) == "12"
    assert memory.hint("level", "other.example") is None
    assert memory.hint("form", PLACE) is None
    memory.forget_hint("level", PLACE)
    assert memory.hint("level", PLACE) is None


def test_an_empty_hint_is_not_an_unknown_one(memory: Memory) -> None:
    memory.learn_hint("level", PLACE, "")

    assert memory.hint("level", PLACE) == ""


def test_a_hint_that_only_changes_is_kept_and_is_no_news(memory: Memory, clock: Clock) -> None:
    memory.learn_hint("level", PLACE, "12")
    assert memory.has_news
    again = later(memory, clock)

    again.learn_hint("level", PLACE, "13")

    assert again.hint("level", PLACE) == "13"
    assert again.has_changes
    assert not again.has_news


def test_a_hint_that_is_too_long_is_neither_kept_nor_news(memory: Memory) -> None:
    memory.learn_hint("level", PLACE, "x" * 5000)

    assert not memory.has_news
    assert not memory.has_changes


def test_a_tag_was_first_seen_when_it_got_its_digest(memory: Memory, clock: Clock) -> None:
    assert memory.first_seen(PLACE, "app", "v1", INDEX) is None
    memory.learn_seen(PLACE, "app", "v1", INDEX)
    first = clock.now

    clock.now += 3 * DAY
    memory.learn_seen(PLACE, "app", "v1", INDEX)
    assert memory.first_seen(PLACE, "app", "v1", INDEX) == first
    assert memory.first_seen(PLACE, "app", "v1", OTHER) is None
    assert memory.first_seen(PLACE, "app", "v2", INDEX) is None
    memory.learn_seen(PLACE, "app", "v1", OTHER)
    assert memory.first_seen(PLACE, "app", "v1", OTHER) == clock.now
    assert memory.first_seen(PLACE, "app", "v1", INDEX) is None
    clock.now += 1
    memory.learn_seen(PLACE, "app", "v1", INDEX)
    assert memory.first_seen(PLACE, "app", "v1", INDEX) == clock.now


def test_of_two_who_saw_a_tag_the_earlier_one_counts(memory: Memory, clock: Clock) -> None:
    first, second = (Memory(clock=clock) for _ in range(2))
    first.learn_seen(PLACE, "app", "v1", INDEX)
    begun = clock.now
    clock.now += HOUR
    second.learn_seen(PLACE, "app", "v1", INDEX)

    for one, other in ((first, second), (second, first)):
        both = Memory(clock=clock)
        both.add(one.all())
        both.add(other.all())
        assert both.first_seen(PLACE, "app", "v1", INDEX) == begun


def test_a_tag_was_moved_when_it_was_last_set(memory: Memory, clock: Clock) -> None:
    assert memory.moved(PLACE, "app", "v1") is None
    memory.learn_moved(PLACE, "app", "v1", INDEX)

    clock.now += 5
    assert memory.moved(PLACE, "app", "v1") == (INDEX, clock.now - 5)
    memory.learn_moved(PLACE, "app", "v1", INDEX)
    assert memory.moved(PLACE, "app", "v1") == (INDEX, clock.now)
    memory.learn_moved(PLACE, "app", "v1", OTHER)
    assert memory.moved(PLACE, "app", "v1") == (OTHER, clock.now)
    assert memory.moved(PLACE, "app", "v2") is None


def test_it_was_last_looked_below_a_tag_with_the_digest_that_it_had(memory: Memory, clock: Clock) -> None:
    assert memory.looked_below(PLACE, "app", "v1", INDEX) is None
    memory.learn_looked_below(PLACE, "app", "v1", INDEX)

    clock.now += 5
    assert memory.looked_below(PLACE, "app", "v1", INDEX) == clock.now - 5
    assert memory.looked_below(PLACE, "app", "v1", OTHER) is None
    memory.learn_looked_below(PLACE, "app", "v1", INDEX)
    assert memory.looked_below(PLACE, "app", "v1", INDEX) == clock.now


def learn(memory: Memory, digest: Digest = INDEX) -> None:
    memory.learn_blob(PLACE, "app", BLOB)
    memory.learn_hint("level", PLACE, "12")
    memory.learn_seen(PLACE, "app", "v1", digest)
    memory.learn_moved(PLACE, "app", "v1", digest)
    memory.learn_looked_below(PLACE, "app", "v1", digest)


def test_what_is_new_is_news_and_what_is_known_is_not(memory: Memory, clock: Clock) -> None:
    learn(memory)
    assert memory.has_news

    for hours in (1, 22):
        clock.now += hours * HOUR
        again = later(memory, clock)
        learn(again)
        assert not again.has_news
    changed = later(memory, clock)
    learn(changed, OTHER)
    assert changed.has_news


def test_that_it_was_looked_below_a_tag_is_news_once_a_day(memory: Memory, clock: Clock) -> None:
    learn(memory)
    clock.now += DAY + 1
    again = later(memory, clock)

    again.learn_blob(PLACE, "app", BLOB)
    again.learn_seen(PLACE, "app", "v1", INDEX)
    again.learn_moved(PLACE, "app", "v1", INDEX)
    assert not again.has_news
    again.learn_looked_below(PLACE, "app", "v1", INDEX)
    assert again.has_news


def test_what_others_would_soon_lose_is_news(memory: Memory, clock: Clock) -> None:
    memory.learn_seen(PLACE, "app", "v1", INDEX)
    first = clock.now
    clock.now += 16 * DAY
    again = later(memory, clock)

    again.learn_seen(PLACE, "app", "v1", INDEX)

    assert again.has_news
    assert again.first_seen(PLACE, "app", "v1", INDEX) == first


def test_what_was_forgotten_is_news_once(memory: Memory, clock: Clock) -> None:
    learn(memory)
    again = later(memory, clock)
    again.forget_blob(PLACE, "app", BLOB)
    again.forget_hint("level", PLACE)
    assert again.has_news

    last = later(again, clock)
    last.forget_blob(PLACE, "app", BLOB)
    last.forget_hint("level", PLACE)
    assert not last.has_news
    assert not last.has_changes


def test_what_is_known_anyway_is_written_again_once_a_day(memory: Memory, clock: Clock) -> None:
    memory = Memory(clock=clock)
    memory.learn_seen(PLACE, "app", "v1", INDEX)
    memory.learn_blob(PLACE, "app", BLOB)
    memory.learn_hint("level", PLACE, "12")
    assert len(memory.take_changes()) == 3

    for wait, changes in ((0.0, 0), (DAY - 1, 0), (1.0, 3), (1.0, 0)):
        clock.now += wait
        memory.learn_seen(PLACE, "app", "v1", INDEX)
        memory.learn_blob(PLACE, "app", BLOB)
        memory.learn_hint("level", PLACE, "12")
        assert len(memory.take_changes()) == changes


def test_changes_are_given_once_and_taken_back_where_nothing_newer_is_known(memory: Memory, clock: Clock) -> None:
    learn(memory)
    changes = memory.take_changes()
    assert len(changes) == 5
    assert not memory.has_changes
    clock.now += 1
    memory.forget_blob(PLACE, "app", BLOB)

    memory.give_back(changes)

    again = memory.take_changes()
    assert set(again) == set(changes)
    assert [fact.value for fact in again.values()].count(None) == 1
    assert memory.holders(PLACE, BLOB) == []


def test_the_oldest_facts_go_when_there_are_too_many(
    memory: Memory, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memories, "MAX_FACTS", 100)
    for number in range(250):
        clock.now += 1
        memory.learn_blob(PLACE, "app", Digest.of(b"%d" % number))
        assert len(memory.all()) <= 100

    known = [bool(memory.holders(PLACE, Digest.of(b"%d" % number))) for number in range(250)]

    assert 75 <= sum(known) <= 100
    assert all(known[-sum(known) :])
    assert len(memory.take_changes()) == sum(known)
