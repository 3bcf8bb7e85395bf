"""What a memory tells, and when it stops to."""

from __future__ import annotations

import pytest

from ocync.memory.facts import MAX_VALUE, Belief
from ocync.memory.memory import Memory
from ocync.oci.digest import Digest

INDEX, BLOB, OTHER = (Digest.of(text) for text in (b"index", b"blob", b"other"))
PLACE = "registry.example"
HOUR = 3600.0


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


def facts(memory: Memory) -> list[object]:
    """Return all that is told of one of each kind of fact about places."""
    return [
        memory.artifact_set(PLACE, "app", INDEX) is not None,
        memory.has_no_referrers(PLACE, "app", INDEX),
        memory.blob(PLACE, "app", BLOB) is Belief.FRESH,
        memory.manifest(PLACE, "app", INDEX) is Belief.FRESH,
    ]


def learn(memory: Memory, repository: str = "app") -> None:
    memory.learn_artifact_set(PLACE, repository, INDEX, "fingerprint")
    memory.learn_no_referrers(PLACE, repository, INDEX)
    memory.learn_blob(PLACE, repository, BLOB)
    memory.learn_manifest(PLACE, repository, INDEX)


def test_what_was_learned_is_known_for_its_own_repository_and_digest_alone(memory: Memory) -> None:
    learn(memory)

    assert all(facts(memory))
    assert memory.artifact_set(PLACE, "app", INDEX) == "fingerprint"
    assert memory.artifact_set(PLACE, "app", OTHER) is None
    assert memory.artifact_set(PLACE, "other", INDEX) is None
    assert memory.artifact_set("other.example", "app", INDEX) is None
    assert not memory.has_no_referrers(PLACE, "app", OTHER)
    assert memory.blob(PLACE, "other", BLOB) is Belief.NONE
    assert memory.blob(PLACE, "app", INDEX) is Belief.NONE
    assert memory.manifest(PLACE, "app", BLOB) is Belief.NONE


def test_facts_about_places_are_believed_for_their_time(memory: Memory, clock: Clock) -> None:
    learn(memory)

    clock.now += 12 * HOUR
    assert all(facts(memory))
    clock.now += 1
    assert not any(facts(memory))
    assert memory.blob(PLACE, "app", BLOB) is Belief.AGED
    assert memory.manifest(PLACE, "app", INDEX) is Belief.AGED


def test_a_time_of_0_believes_until_it_is_proved_wrong_what_can_be(clock: Clock) -> None:
    memory = Memory(ttl=0.0, clock=clock)
    learn(memory)

    clock.now += 1000 * 24 * HOUR

    assert facts(memory) == [False, False, True, True]


def test_what_is_learned_again_is_believed_anew(memory: Memory, clock: Clock) -> None:
    learn(memory)
    clock.now += 11 * HOUR
    learn(memory)
    clock.now += 11 * HOUR

    assert all(facts(memory))


def test_a_fact_from_the_future_is_no_fact(memory: Memory, clock: Clock) -> None:
    learn(memory)

    clock.now -= HOUR

    assert not any(facts(memory))
    assert memory.blob(PLACE, "app", BLOB) is Belief.NONE


def test_a_value_that_is_too_long_is_not_kept(memory: Memory) -> None:
    memory.learn_artifact_set(PLACE, "app", INDEX, "f" * MAX_VALUE)
    memory.learn_artifact_set(PLACE, "app", OTHER, "f" * (MAX_VALUE + 1))

    assert memory.artifact_set(PLACE, "app", INDEX) == "f" * MAX_VALUE
    assert memory.artifact_set(PLACE, "app", OTHER) is None


def test_facts_about_targets_can_be_forgotten_and_those_that_were_wrong_are_counted(memory: Memory) -> None:
    learn(memory)

    memory.forget_artifact_set(PLACE, "app", INDEX, stale=True)
    memory.forget_blob(PLACE, "app", BLOB, stale=True)
    memory.forget_manifest(PLACE, "app", INDEX)

    assert facts(memory) == [False, True, False, False]
    assert memory.counts.stale == 2


def test_all_of_a_repository_is_forgotten_at_once_and_nothing_of_others(memory: Memory, clock: Clock) -> None:
    learn(memory)
    learn(memory, "other")
    clock.now += 1

    memory.forget_repository(PLACE, "app")

    assert not any(facts(memory))
    assert memory.holders(PLACE, BLOB) == ["other"]
    clock.now += 1
    learn(memory)
    assert all(facts(memory))


def test_those_who_hold_a_blob_are_told_latest_first_and_however_old(memory: Memory, clock: Clock) -> None:
    memory.learn_blob(PLACE, "first", BLOB)
    clock.now += 1
    memory.learn_blob(PLACE, "second", BLOB)
    memory.learn_blob("other.example", "third", BLOB)
    clock.now += 20 * HOUR

    assert memory.holders(PLACE, BLOB) == ["second", "first"]
    assert memory.holders(PLACE, OTHER) == []


def test_a_repository_is_owned_once_it_was_empty_and_what_was_known_of_it_is_void(
    memory: Memory, clock: Clock
) -> None:
    assert not memory.is_owned(PLACE, "app")
    learn(memory)
    assert not memory.is_owned(PLACE, "app")
    clock.now += 1

    memory.learn_owned(PLACE, "app")

    assert memory.is_owned(PLACE, "app")
    assert not any(facts(memory))
    clock.now += 1
    memory.forget_repository(PLACE, "app")
    assert not memory.is_owned(PLACE, "app")


def test_hints_are_kept_by_kind_and_name(memory: Memory) -> None:
    memory.learn_hint("level", PLACE, "12")
    memory.learn_hint("form", PLACE, "x" * 5000)

    assert memory.hint("level", PLACE) == "12"
    assert memory.hint("level", "other.example") is None
    assert memory.hint("form", PLACE) is None
    memory.forget_hint("level", PLACE)
    assert memory.hint("level", PLACE) is None


def test_a_hint_is_told_however_old_it_is(memory: Memory, clock: Clock) -> None:
    memory.learn_hint("level", PLACE, "12")

    clock.now += 29 * 24 * HOUR

    assert memory.hint("level", PLACE) == "12"


def test_an_empty_hint_is_not_an_unknown_one(memory: Memory) -> None:
    memory.learn_hint("level", PLACE, "")

    assert memory.hint("level", PLACE) == ""


def test_a_hint_that_only_changes_is_kept_and_is_no_news(memory: Memory) -> None:
    memory.learn_hint("level", PLACE, "12")
    assert memory.has_news
    again = Memory(connection=memory.release())

    again.learn_hint("level", PLACE, "13")

    assert again.hint("level", PLACE) == "13"
    assert again.has_changes
    assert not again.has_news


def test_a_hint_that_stays_the_same_is_no_change(memory: Memory) -> None:
    memory.learn_hint("level", PLACE, "12")
    memory.take_changes()

    memory.learn_hint("level", PLACE, "12")

    assert not memory.has_changes


def test_changes_are_given_once_and_taken_back_where_nothing_newer_is_known(memory: Memory) -> None:
    learn(memory)
    changes = memory.take_changes()
    assert not memory.has_changes
    memory.forget_blob(PLACE, "app", BLOB)

    memory.give_back(changes)

    again = memory.take_changes()
    assert set(again.facts) == set(changes.facts)
    assert list(again.facts.values()).count(None) == 1


def test_it_is_news_only_what_would_be_asked_again(memory: Memory, clock: Clock) -> None:
    learn(memory)
    again = Memory(ttl=12 * HOUR, clock=clock, connection=memory.release())

    learn(again)
    assert not again.has_news
    clock.now += 13 * HOUR
    again.learn_blob(PLACE, "app", BLOB)
    assert again.has_news


def test_answers_are_counted_as_hits_and_what_is_not_known_as_misses(memory: Memory) -> None:
    memory.learn_artifact_set(PLACE, "app", INDEX, "fingerprint")
    memory.artifact_set(PLACE, "app", INDEX)
    memory.artifact_set(PLACE, "app", OTHER)
    memory.has_no_referrers(PLACE, "app", INDEX)

    assert (memory.counts.hits, memory.counts.misses) == (1, 2)
    memory.learn_no_referrers(PLACE, "app", INDEX)
    memory.has_no_referrers(PLACE, "app", INDEX)
    assert (memory.counts.hits, memory.counts.misses) == (2, 2)
