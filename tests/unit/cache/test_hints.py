"""What a hints tells, and when it stops to."""

from __future__ import annotations

import pytest

from ocync.cache import hints as module
from ocync.cache.hints import Hints
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
def hints(clock: Clock) -> Hints:
    return Hints(ttl=12 * HOUR, clock=clock)


def later(hints: Hints, clock: Clock) -> Hints:
    """Return the hints of a pass that knows what the other one has learned."""
    found = Hints(ttl=12 * HOUR, clock=clock)
    found.add(hints.all())
    return found


def test_those_who_held_a_blob_are_told_latest_first(hints: Hints, clock: Clock) -> None:
    hints.learn_blob(PLACE, "first", BLOB)
    clock.now += 1
    hints.learn_blob(PLACE, "second", BLOB)
    hints.learn_blob("other.example", "third", BLOB)

    assert hints.holders(PLACE, BLOB) == ["second", "first"]
    assert hints.holders("other.example", BLOB) == ["third"]
    assert hints.holders(PLACE, OTHER) == []


def test_of_many_who_held_a_blob_eight_are_told(hints: Hints, clock: Clock) -> None:
    for number in range(20):
        hints.learn_blob(PLACE, f"app{number}", BLOB)
        clock.now += 1

    assert hints.holders(PLACE, BLOB) == [f"app{number}" for number in range(19, 11, -1)]


def test_who_held_a_blob_is_told_for_its_time_and_anew_when_it_still_does(hints: Hints, clock: Clock) -> None:
    hints.learn_blob(PLACE, "app", BLOB)
    hints.learn_blob(PLACE, "other", BLOB)

    clock.now += 7 * HOUR
    hints.learn_blob(PLACE, "other", BLOB)
    clock.now += 5 * HOUR
    assert hints.holders(PLACE, BLOB) == ["other", "app"]
    clock.now += 1
    assert hints.holders(PLACE, BLOB) == ["other"]
    clock.now += 7 * HOUR
    assert hints.holders(PLACE, BLOB) == []


@pytest.mark.parametrize("ttl", [0.0, 1000 * DAY])
def test_who_held_a_blob_is_told_for_a_month_at_most(ttl: float, clock: Clock) -> None:
    hints = Hints(ttl=ttl, clock=clock)
    hints.learn_blob(PLACE, "app", BLOB)

    clock.now += 30 * DAY
    assert hints.holders(PLACE, BLOB) == ["app"]
    clock.now += 1
    assert hints.holders(PLACE, BLOB) == []


def test_who_did_not_have_a_blob_is_forgotten_counted_and_can_be_learned_again(hints: Hints, clock: Clock) -> None:
    hints.learn_blob(PLACE, "app", BLOB)
    hints.learn_blob(PLACE, "other", BLOB)

    hints.forget_blob(PLACE, "app", BLOB)

    assert hints.holders(PLACE, BLOB) == ["other"]
    assert hints.counts.stale == 1
    assert later(hints, clock).holders(PLACE, BLOB) == ["other"]
    hints.learn_blob(PLACE, "app", BLOB)
    assert set(hints.holders(PLACE, BLOB)) == {"app", "other"}


def test_hints_are_kept_by_kind_and_name(hints: Hints) -> None:
    hints.learn_hint("level", PLACE, "12")
    hints.learn_hint("form", PLACE, "x" * 5000)

    assert hints.hint("level", PLACE) == "12"
    assert hints.hint("level", "other.example") is None
    assert hints.hint("form", PLACE) is None
    hints.forget_hint("level", PLACE)
    assert hints.hint("level", PLACE) is None


def test_an_empty_hint_is_not_an_unknown_one(hints: Hints) -> None:
    hints.learn_hint("level", PLACE, "")

    assert hints.hint("level", PLACE) == ""


def test_a_hint_that_only_changes_is_kept_and_is_no_news(hints: Hints, clock: Clock) -> None:
    hints.learn_hint("level", PLACE, "12")
    assert hints.has_news
    again = later(hints, clock)

    again.learn_hint("level", PLACE, "13")

    assert again.hint("level", PLACE) == "13"
    assert again.has_changes
    assert not again.has_news


def test_a_hint_that_is_too_long_is_neither_kept_nor_news(hints: Hints) -> None:
    hints.learn_hint("level", PLACE, "x" * 5000)

    assert not hints.has_news
    assert not hints.has_changes


def test_a_tag_was_first_seen_when_it_got_its_digest(hints: Hints, clock: Clock) -> None:
    assert hints.first_seen(PLACE, "app", "v1", INDEX) is None
    hints.learn_seen(PLACE, "app", "v1", INDEX)
    first = clock.now

    clock.now += 3 * DAY
    hints.learn_seen(PLACE, "app", "v1", INDEX)
    assert hints.first_seen(PLACE, "app", "v1", INDEX) == first
    assert hints.first_seen(PLACE, "app", "v1", OTHER) is None
    assert hints.first_seen(PLACE, "app", "v2", INDEX) is None
    hints.learn_seen(PLACE, "app", "v1", OTHER)
    assert hints.first_seen(PLACE, "app", "v1", OTHER) == clock.now
    assert hints.first_seen(PLACE, "app", "v1", INDEX) is None
    clock.now += 1
    hints.learn_seen(PLACE, "app", "v1", INDEX)
    assert hints.first_seen(PLACE, "app", "v1", INDEX) == clock.now


def test_of_two_who_saw_a_tag_the_earlier_one_counts(hints: Hints, clock: Clock) -> None:
    first, second = (Hints(clock=clock) for _ in range(2))
    first.learn_seen(PLACE, "app", "v1", INDEX)
    begun = clock.now
    clock.now += HOUR
    second.learn_seen(PLACE, "app", "v1", INDEX)

    for one, other in ((first, second), (second, first)):
        both = Hints(clock=clock)
        both.add(one.all())
        both.add(other.all())
        assert both.first_seen(PLACE, "app", "v1", INDEX) == begun


def test_a_tag_was_moved_when_it_was_last_set(hints: Hints, clock: Clock) -> None:
    assert hints.moved(PLACE, "app", "v1") is None
    hints.learn_moved(PLACE, "app", "v1", INDEX)

    clock.now += 5
    assert hints.moved(PLACE, "app", "v1") == (INDEX, clock.now - 5)
    hints.learn_moved(PLACE, "app", "v1", INDEX)
    assert hints.moved(PLACE, "app", "v1") == (INDEX, clock.now)
    hints.learn_moved(PLACE, "app", "v1", OTHER)
    assert hints.moved(PLACE, "app", "v1") == (OTHER, clock.now)
    assert hints.moved(PLACE, "app", "v2") is None


def test_it_was_last_looked_below_a_tag_with_the_digest_that_it_had(hints: Hints, clock: Clock) -> None:
    assert hints.looked_below(PLACE, "app", "v1", INDEX) is None
    hints.learn_looked_below(PLACE, "app", "v1", INDEX)

    clock.now += 5
    assert hints.looked_below(PLACE, "app", "v1", INDEX) == clock.now - 5
    assert hints.looked_below(PLACE, "app", "v1", OTHER) is None
    hints.learn_looked_below(PLACE, "app", "v1", INDEX)
    assert hints.looked_below(PLACE, "app", "v1", INDEX) == clock.now


def learn(hints: Hints, digest: Digest = INDEX) -> None:
    hints.learn_blob(PLACE, "app", BLOB)
    hints.learn_hint("level", PLACE, "12")
    hints.learn_seen(PLACE, "app", "v1", digest)
    hints.learn_moved(PLACE, "app", "v1", digest)
    hints.learn_looked_below(PLACE, "app", "v1", digest)


def test_what_is_new_is_news_and_what_is_known_is_not(hints: Hints, clock: Clock) -> None:
    learn(hints)
    assert hints.has_news

    for hours in (1, 22):
        clock.now += hours * HOUR
        again = later(hints, clock)
        learn(again)
        assert not again.has_news
    changed = later(hints, clock)
    learn(changed, OTHER)
    assert changed.has_news


def test_that_it_was_looked_below_a_tag_is_news_once_a_day(hints: Hints, clock: Clock) -> None:
    learn(hints)
    clock.now += DAY + 1
    again = later(hints, clock)

    again.learn_blob(PLACE, "app", BLOB)
    again.learn_seen(PLACE, "app", "v1", INDEX)
    again.learn_moved(PLACE, "app", "v1", INDEX)
    assert not again.has_news
    again.learn_looked_below(PLACE, "app", "v1", INDEX)
    assert again.has_news


def test_what_others_would_soon_lose_is_news(hints: Hints, clock: Clock) -> None:
    hints.learn_seen(PLACE, "app", "v1", INDEX)
    first = clock.now
    clock.now += 16 * DAY
    again = later(hints, clock)

    again.learn_seen(PLACE, "app", "v1", INDEX)

    assert again.has_news
    assert again.first_seen(PLACE, "app", "v1", INDEX) == first


def test_what_was_forgotten_is_news_once(hints: Hints, clock: Clock) -> None:
    learn(hints)
    again = later(hints, clock)
    again.forget_blob(PLACE, "app", BLOB)
    again.forget_hint("level", PLACE)
    assert again.has_news

    last = later(again, clock)
    last.forget_blob(PLACE, "app", BLOB)
    last.forget_hint("level", PLACE)
    assert not last.has_news
    assert not last.has_changes


def test_what_is_known_anyway_is_written_again_once_a_day(hints: Hints, clock: Clock) -> None:
    hints = Hints(clock=clock)
    hints.learn_seen(PLACE, "app", "v1", INDEX)
    hints.learn_blob(PLACE, "app", BLOB)
    hints.learn_hint("level", PLACE, "12")
    assert len(hints.take_changes()) == 3

    for wait, changes in ((0.0, 0), (DAY - 1, 0), (1.0, 3), (1.0, 0)):
        clock.now += wait
        hints.learn_seen(PLACE, "app", "v1", INDEX)
        hints.learn_blob(PLACE, "app", BLOB)
        hints.learn_hint("level", PLACE, "12")
        assert len(hints.take_changes()) == changes


def test_changes_are_given_once_and_taken_back_where_nothing_newer_is_known(hints: Hints, clock: Clock) -> None:
    learn(hints)
    changes = hints.take_changes()
    assert len(changes) == 5
    assert not hints.has_changes
    clock.now += 1
    hints.forget_blob(PLACE, "app", BLOB)

    hints.give_back(changes)

    again = hints.take_changes()
    assert set(again) == set(changes)
    assert [fact.value for fact in again.values()].count(None) == 1
    assert hints.holders(PLACE, BLOB) == []


def test_the_oldest_facts_go_when_there_are_too_many(
    hints: Hints, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ENTRIES", 100)
    for number in range(250):
        clock.now += 1
        hints.learn_blob(PLACE, "app", Digest.of(b"%d" % number))
        assert len(hints.all()) <= 100

    known = [bool(hints.holders(PLACE, Digest.of(b"%d" % number))) for number in range(250)]

    assert 75 <= sum(known) <= 100
    assert all(known[-sum(known) :])
    assert len(hints.take_changes()) == sum(known)
