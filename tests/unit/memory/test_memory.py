"""What a memory tells, and when it stops to."""

from __future__ import annotations

import pytest

from ocync.memory import tables
from ocync.memory.facts import MAX_VALUE, Belief, Kind, Row, digest_key, repository_key
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
        memory.has_artifacts(PLACE, "app", INDEX, [BLOB]),
        memory.has_no_referrers(PLACE, "app", INDEX),
        memory.blob(PLACE, "app", BLOB) is Belief.FRESH,
        memory.manifest(PLACE, "app", INDEX) is Belief.FRESH,
    ]


def learn(memory: Memory, repository: str = "app") -> None:
    memory.learn_artifacts(PLACE, repository, INDEX, [BLOB])
    memory.learn_no_referrers(PLACE, repository, INDEX)
    memory.learn_blob(PLACE, repository, BLOB)
    memory.learn_manifest(PLACE, repository, INDEX)


def test_what_was_learned_is_known_for_its_own_repository_and_digest_alone(memory: Memory) -> None:
    learn(memory)

    assert all(facts(memory))
    assert memory.has_artifacts(PLACE, "app", INDEX, [BLOB])
    assert not memory.has_artifacts(PLACE, "app", INDEX, [BLOB, OTHER])
    assert not memory.has_artifacts(PLACE, "app", INDEX, [])
    assert not memory.has_artifacts(PLACE, "app", OTHER, [BLOB])
    assert not memory.has_artifacts(PLACE, "other", INDEX, [BLOB])
    assert not memory.has_artifacts("other.example", "app", INDEX, [BLOB])
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
    many = [Digest.of(b"%d" % number) for number in range(MAX_VALUE // 33 + 1)]
    memory.learn_artifacts(PLACE, "app", INDEX, many[1:])
    memory.learn_artifacts(PLACE, "app", OTHER, many)

    assert memory.has_artifacts(PLACE, "app", INDEX, many[1:])
    assert not memory.has_artifacts(PLACE, "app", OTHER, many)


def test_of_each_repository_some_artifacts_can_be_looked_at_and_others_later(memory: Memory, clock: Clock) -> None:
    subjects = [Digest.of(b"%d" % number) for number in range(20)]
    for subject in subjects:
        memory.learn_artifacts(PLACE, "app", subject, [subject, BLOB])
    memory.learn_artifacts(PLACE, "other", INDEX, [OTHER])

    drawn = set()
    for _ in range(60):
        again = Memory(ttl=12 * HOUR, clock=clock, connection=memory.release())
        found = again.some_artifacts(PLACE, "app")
        assert found is not None
        assert found == again.some_artifacts(PLACE, "app")
        assert set(found[1]) == {found[0], BLOB}
        drawn.add(found[0])
        assert again.some_artifacts(PLACE, "other") == (INDEX, (OTHER,))
        assert again.some_artifacts(PLACE, "unknown") is None
        memory = again
        clock.now += 600

    # Each has its turn, by chance.
    assert len(drawn) >= 12
    assert drawn <= set(subjects)


def test_no_artifacts_are_named_that_nobody_believes_in_any_more(memory: Memory, clock: Clock) -> None:
    for repository in ("app", "emptied", "forgotten"):
        memory.learn_artifacts(PLACE, repository, INDEX, [BLOB])
    memory.forget_artifacts(PLACE, "forgotten", INDEX)
    clock.now += 1
    memory = Memory(ttl=12 * HOUR, clock=clock, connection=memory.release())
    memory.learn_owned(PLACE, "emptied")

    there = [memory.some_artifacts(PLACE, repository) for repository in ("app", "emptied", "forgotten")]

    assert there == [(INDEX, (BLOB,)), None, None]
    clock.now += 13 * HOUR
    aged = Memory(ttl=12 * HOUR, clock=clock, connection=memory.release())
    assert aged.some_artifacts(PLACE, "app") is None


def test_what_a_pass_learns_itself_is_no_sample_of_what_earlier_ones_knew(memory: Memory) -> None:
    memory.learn_artifacts(PLACE, "app", INDEX, [BLOB])

    assert memory.some_artifacts(PLACE, "app") is None


def test_what_an_earlier_version_remembered_of_artifacts_is_not_believed(memory: Memory, clock: Clock) -> None:
    memory.learn_artifacts(PLACE, "app", INDEX, [BLOB])
    place, learned = repository_key(PLACE, "app"), int(clock.now * 1000) + 1
    row = Row.of(Kind.ARTIFACT_SET, digest_key(INDEX), place, BLOB.encoded.encode(), learned)
    connection = memory.release()
    tables.merge(connection, tables.Changes({(row.kind, row.key, row.repository): row}, {}))

    memory = Memory(ttl=12 * HOUR, clock=clock, connection=connection)

    assert memory.knows(PLACE, "app")
    assert not memory.has_artifacts(PLACE, "app", INDEX, [BLOB])
    assert memory.some_artifacts(PLACE, "app") is None


def test_facts_about_targets_can_be_forgotten_and_those_that_were_wrong_are_counted(memory: Memory) -> None:
    learn(memory)

    memory.forget_artifacts(PLACE, "app", INDEX, stale=True)
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
    memory.counted(known=True)
    memory.counted(known=False)
    memory.has_no_referrers(PLACE, "app", INDEX)

    assert (memory.counts.hits, memory.counts.misses) == (1, 2)
    memory.learn_no_referrers(PLACE, "app", INDEX)
    memory.has_no_referrers(PLACE, "app", INDEX)
    assert (memory.counts.hits, memory.counts.misses) == (2, 2)
