"""What hints say, and when they expire."""

from __future__ import annotations

import pytest

from ocync.cache import hints as module
from ocync.cache.hints import Hints
from ocync.oci.digest import Digest

INDEX, BLOB, OTHER = (Digest.of(text) for text in (b"index", b"blob", b"other"))
HOST = "registry.example"
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
    """Return the hints of a later pass, which knows all entries of the earlier one."""
    found = Hints(ttl=12 * HOUR, clock=clock)
    found.add(hints.all())
    return found


def test_holders_of_a_blob_are_returned_latest_first(hints: Hints, clock: Clock) -> None:
    hints.learn_blob(HOST, "first", BLOB)
    clock.now += 1
    hints.learn_blob(HOST, "second", BLOB)
    hints.learn_blob("other.example", "third", BLOB)

    assert hints.holders(HOST, BLOB) == ["second", "first"]
    assert hints.holders("other.example", BLOB) == ["third"]
    assert hints.holders(HOST, OTHER) == []


def test_at_most_eight_holders_of_a_blob_are_returned(hints: Hints, clock: Clock) -> None:
    for number in range(20):
        hints.learn_blob(HOST, f"app{number}", BLOB)
        clock.now += 1

    assert hints.holders(HOST, BLOB) == [f"app{number}" for number in range(19, 11, -1)]


def test_a_holder_expires_after_the_ttl_unless_it_is_learned_again(hints: Hints, clock: Clock) -> None:
    hints.learn_blob(HOST, "app", BLOB)
    hints.learn_blob(HOST, "other", BLOB)

    clock.now += 7 * HOUR
    hints.learn_blob(HOST, "other", BLOB)
    clock.now += 5 * HOUR
    assert hints.holders(HOST, BLOB) == ["other", "app"]
    clock.now += 1
    assert hints.holders(HOST, BLOB) == ["other"]
    clock.now += 7 * HOUR
    assert hints.holders(HOST, BLOB) == []


@pytest.mark.parametrize("ttl", [0.0, 1000 * DAY])
def test_a_holder_expires_after_a_month_at_most(ttl: float, clock: Clock) -> None:
    hints = Hints(ttl=ttl, clock=clock)
    hints.learn_blob(HOST, "app", BLOB)

    clock.now += 30 * DAY
    assert hints.holders(HOST, BLOB) == ["app"]
    clock.now += 1
    assert hints.holders(HOST, BLOB) == []


def test_a_holder_without_the_blob_is_forgotten_counted_and_can_be_learned_again(
    hints: Hints, clock: Clock
) -> None:
    hints.learn_blob(HOST, "app", BLOB)
    hints.learn_blob(HOST, "other", BLOB)

    hints.forget_blob(HOST, "app", BLOB)

    assert hints.holders(HOST, BLOB) == ["other"]
    assert hints.counts.stale == 1
    assert later(hints, clock).holders(HOST, BLOB) == ["other"]
    hints.learn_blob(HOST, "app", BLOB)
    assert set(hints.holders(HOST, BLOB)) == {"app", "other"}


def test_hints_are_kept_by_kind_and_name(hints: Hints) -> None:
    hints.learn_hint("level", HOST, "12")
    hints.learn_hint("form", HOST, "x" * 5000)

    assert hints.hint("level", HOST) == "12"
    assert hints.hint("level", "other.example") is None
    assert hints.hint("form", HOST) is None
    hints.forget_hint("level", HOST)
    assert hints.hint("level", HOST) is None


def test_an_empty_hint_is_not_an_unknown_one(hints: Hints) -> None:
    hints.learn_hint("level", HOST, "")

    assert hints.hint("level", HOST) == ""


def test_a_hint_that_only_changes_is_kept_and_is_no_news(hints: Hints, clock: Clock) -> None:
    hints.learn_hint("level", HOST, "12")
    assert hints.has_news
    again = later(hints, clock)

    again.learn_hint("level", HOST, "13")

    assert again.hint("level", HOST) == "13"
    assert again.has_changes
    assert not again.has_news


def test_a_hint_that_is_too_long_is_neither_kept_nor_news(hints: Hints) -> None:
    hints.learn_hint("level", HOST, "x" * 5000)

    assert not hints.has_news
    assert not hints.has_changes


def test_a_tag_was_first_seen_when_it_got_its_digest(hints: Hints, clock: Clock) -> None:
    assert hints.first_seen(HOST, "app", "v1", INDEX) is None
    hints.learn_seen(HOST, "app", "v1", INDEX)
    first = clock.now

    clock.now += 3 * DAY
    hints.learn_seen(HOST, "app", "v1", INDEX)
    assert hints.first_seen(HOST, "app", "v1", INDEX) == first
    assert hints.first_seen(HOST, "app", "v1", OTHER) is None
    assert hints.first_seen(HOST, "app", "v2", INDEX) is None
    hints.learn_seen(HOST, "app", "v1", OTHER)
    assert hints.first_seen(HOST, "app", "v1", OTHER) == clock.now
    assert hints.first_seen(HOST, "app", "v1", INDEX) is None
    clock.now += 1
    hints.learn_seen(HOST, "app", "v1", INDEX)
    assert hints.first_seen(HOST, "app", "v1", INDEX) == clock.now


def test_of_two_who_saw_a_tag_the_earlier_one_counts(hints: Hints, clock: Clock) -> None:
    first, second = (Hints(clock=clock) for _ in range(2))
    first.learn_seen(HOST, "app", "v1", INDEX)
    begun = clock.now
    clock.now += HOUR
    second.learn_seen(HOST, "app", "v1", INDEX)

    for one, other in ((first, second), (second, first)):
        both = Hints(clock=clock)
        both.add(one.all())
        both.add(other.all())
        assert both.first_seen(HOST, "app", "v1", INDEX) == begun


def test_a_tag_was_moved_when_it_was_last_set(hints: Hints, clock: Clock) -> None:
    assert hints.moved(HOST, "app", "v1") is None
    hints.learn_moved(HOST, "app", "v1", INDEX)

    clock.now += 5
    assert hints.moved(HOST, "app", "v1") == (INDEX, clock.now - 5)
    hints.learn_moved(HOST, "app", "v1", INDEX)
    assert hints.moved(HOST, "app", "v1") == (INDEX, clock.now)
    hints.learn_moved(HOST, "app", "v1", OTHER)
    assert hints.moved(HOST, "app", "v1") == (OTHER, clock.now)
    assert hints.moved(HOST, "app", "v2") is None


def test_an_audit_of_a_tag_counts_for_the_digest_that_it_had(hints: Hints, clock: Clock) -> None:
    assert hints.looked_below(HOST, "app", "v1", INDEX) is None
    hints.learn_looked_below(HOST, "app", "v1", INDEX)

    clock.now += 5
    assert hints.looked_below(HOST, "app", "v1", INDEX) == clock.now - 5
    assert hints.looked_below(HOST, "app", "v1", OTHER) is None
    hints.learn_looked_below(HOST, "app", "v1", INDEX)
    assert hints.looked_below(HOST, "app", "v1", INDEX) == clock.now


def learn(hints: Hints, digest: Digest = INDEX) -> None:
    hints.learn_blob(HOST, "app", BLOB)
    hints.learn_hint("level", HOST, "12")
    hints.learn_seen(HOST, "app", "v1", digest)
    hints.learn_moved(HOST, "app", "v1", digest)
    hints.learn_looked_below(HOST, "app", "v1", digest)


def test_new_entries_are_news_and_known_ones_are_not(hints: Hints, clock: Clock) -> None:
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


def test_an_audit_of_a_tag_is_news_once_a_day(hints: Hints, clock: Clock) -> None:
    learn(hints)
    clock.now += DAY + 1
    again = later(hints, clock)

    again.learn_blob(HOST, "app", BLOB)
    again.learn_seen(HOST, "app", "v1", INDEX)
    again.learn_moved(HOST, "app", "v1", INDEX)
    assert not again.has_news
    again.learn_looked_below(HOST, "app", "v1", INDEX)
    assert again.has_news


def test_entries_that_expire_soon_elsewhere_are_news(hints: Hints, clock: Clock) -> None:
    hints.learn_seen(HOST, "app", "v1", INDEX)
    first = clock.now
    clock.now += 16 * DAY
    again = later(hints, clock)

    again.learn_seen(HOST, "app", "v1", INDEX)

    assert again.has_news
    assert again.first_seen(HOST, "app", "v1", INDEX) == first


def test_a_forgotten_entry_is_news_once(hints: Hints, clock: Clock) -> None:
    learn(hints)
    again = later(hints, clock)
    again.forget_blob(HOST, "app", BLOB)
    again.forget_hint("level", HOST)
    assert again.has_news

    last = later(again, clock)
    last.forget_blob(HOST, "app", BLOB)
    last.forget_hint("level", HOST)
    assert not last.has_news
    assert not last.has_changes


def test_known_entries_are_written_again_once_a_day(hints: Hints, clock: Clock) -> None:
    hints = Hints(clock=clock)
    hints.learn_seen(HOST, "app", "v1", INDEX)
    hints.learn_blob(HOST, "app", BLOB)
    hints.learn_hint("level", HOST, "12")
    assert len(hints.take_changes()) == 3

    for wait, changes in ((0.0, 0), (DAY - 1, 0), (1.0, 3), (1.0, 0)):
        clock.now += wait
        hints.learn_seen(HOST, "app", "v1", INDEX)
        hints.learn_blob(HOST, "app", BLOB)
        hints.learn_hint("level", HOST, "12")
        assert len(hints.take_changes()) == changes


def test_changes_are_taken_once_and_given_back_unless_newer_ones_exist(hints: Hints, clock: Clock) -> None:
    learn(hints)
    changes = hints.take_changes()
    assert len(changes) == 5
    assert not hints.has_changes
    clock.now += 1
    hints.forget_blob(HOST, "app", BLOB)

    hints.give_back(changes)

    again = hints.take_changes()
    assert set(again) == set(changes)
    assert [fact.value for fact in again.values()].count(None) == 1
    assert hints.holders(HOST, BLOB) == []


def test_the_oldest_entries_are_dropped_when_there_are_too_many(
    hints: Hints, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ENTRIES", 100)
    for number in range(250):
        clock.now += 1
        hints.learn_blob(HOST, "app", Digest.of(b"%d" % number))
        assert len(hints.all()) <= 100

    known = [bool(hints.holders(HOST, Digest.of(b"%d" % number))) for number in range(250)]

    assert 75 <= sum(known) <= 100
    assert all(known[-sum(known) :])
    assert len(hints.take_changes()) == sum(known)
