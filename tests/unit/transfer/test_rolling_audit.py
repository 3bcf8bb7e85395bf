"""Which unchanged images a pass looks below: each in its turn, a few at a time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory import Place
from ocync.plan.model import Candidate, TargetState
from ocync.plan.source import SourceImage
from ocync.transfer.audit import RollingAudit, age_of, phase_of
from passes import mapping

WEEK = 7 * 86400.0
HOUR = 3600.0
NOW = 1.7e9


def candidate(name: str) -> Candidate:
    source, target = Place("source").repository("app"), TargetState(repository=Place("a").repository("app"))
    return Candidate(mapping=mapping("app"), image=SourceImage(source, name), target=target)


@dataclass
class Mirror:
    """Unchanged images, in passes one after the other; each look below one costs so many requests."""

    images: int
    cost: int = 12
    each: int = 2
    """Requests that a pass makes for each of them anyway."""
    salt: int = 0
    looked: Counter[str] = field(default_factory=Counter)
    requests: int = 0

    def __post_init__(self) -> None:
        self.candidates = {name: candidate(name) for name in (f"a/{self.salt}/{n}:1" for n in range(self.images))}

    def make_pass(self, now: float, *, every: float | None = WEEK) -> tuple[int, int]:
        """Return the requests of the pass without looking below images, and those for that."""
        audit = RollingAudit(every, now)
        for name, each in self.candidates.items():
            audit.unchanged(each, name)
        before = self.requests = self.each * self.images
        for image in audit.turns(lambda: self.requests):
            self.requests += self.cost
            self.looked[image.tag] += 1
            audit.done()
        return before, self.requests - before

    def never_looked_at(self) -> int:
        return sum(self.looked[each.tag] == 0 for each in self.candidates.values())


@given(name=st.text(max_size=60), now=st.floats(0, 4e9), every=st.floats(HOUR, 52 * WEEK))
def test_an_image_is_due_once_in_each_period(name: str, now: float, every: float) -> None:
    age = age_of(phase_of(name), now, every)

    assert 0.0 <= age < 1.0
    later = age_of(phase_of(name), now + every / 100, every)
    step = 64 / 63 / 100
    assert min(abs((later - age - step) % 1.0), abs((age + step - later) % 1.0)) < 1e-3


@settings(max_examples=60)
@given(
    images=st.integers(1, 400),
    cost=st.integers(1, 60),
    each=st.integers(1, 6),
    at=st.floats(0, 1),
    salt=st.integers(),
)
def test_at_most_a_tenth_of_the_requests_is_spent_but_for_one_image_that_is_due(
    images: int, cost: int, each: int, at: float, salt: int
) -> None:
    mirror = Mirror(images, cost=cost, each=each, salt=salt)
    before, spent = mirror.make_pass(NOW + at * WEEK)

    # The first one shows what they cost: until then it is guessed.
    assert mirror.looked.total() <= 1 or 9 * spent <= before + 9 * max(0, cost - 12)
    assert mirror.looked.total() <= 1 + images // 10


@pytest.mark.parametrize("interval", [HOUR, WEEK / 100], ids=["every hour", "each hundredth of the period"])
@pytest.mark.parametrize("images", [1, 2, 3])
def test_each_of_few_images_has_its_turn_within_the_period_and_is_not_looked_below_in_each_pass(
    images: int, interval: float
) -> None:
    mirror = Mirror(images)
    passes = int(WEEK / interval)
    spent = [mirror.make_pass(NOW + number * interval)[1] for number in range(passes)]

    assert mirror.never_looked_at() == 0
    # In a sixty-fourth of the period, each.
    assert sum(map(bool, spent)) <= images * (passes / 63 + 2)


@pytest.mark.parametrize("interval", [HOUR, WEEK / 100], ids=["every hour", "each hundredth of the period"])
@pytest.mark.parametrize("cost", [4, 6])
@pytest.mark.parametrize("images", [400, 1000])
def test_each_of_many_images_has_its_turn_within_the_period_where_a_tenth_is_enough_for_twice_as_many(
    images: int, cost: int, interval: float
) -> None:
    mirror = Mirror(images, cost=cost)
    shares = [mirror.make_pass(NOW + number * interval) for number in range(int(WEEK / interval))]

    assert mirror.never_looked_at() == 0
    before, spent = (sum(each) for each in zip(*shares, strict=True))
    assert spent / (before + spent) <= 0.1


@pytest.mark.parametrize("interval", [HOUR, WEEK / 100], ids=["every hour", "each hundredth of the period"])
@pytest.mark.parametrize("images", [20, 50, 100])
def test_each_image_has_its_turn_within_the_period_where_there_are_no_more_than_passes(
    images: int, interval: float
) -> None:
    left = 0
    for salt in range(5):
        mirror = Mirror(images, salt=salt)
        for number in range(int(WEEK / interval)):
            mirror.make_pass(NOW + number * interval)
        left += mirror.never_looked_at()

    # One in a hundred, for those whose moment the beginning of the period has cut.
    assert left <= 5 * images / 100


def test_passes_at_the_same_time_of_each_day_come_to_other_images_each_week() -> None:
    mirror = Mirror(300, cost=4)
    weeks = []
    for week in range(4):
        mirror.looked.clear()
        for day in range(7):
            mirror.make_pass(NOW + week * WEEK + day * 86400)
        weeks.append(set(mirror.looked))

    assert len(set.union(*weeks)) > 1.5 * len(weeks[0])


def test_a_look_that_costs_much_is_followed_by_none_that_a_tenth_does_not_pay_for() -> None:
    mirror = Mirror(1000, cost=200)
    assert mirror.make_pass(NOW) == (2000, 200)


def test_where_it_is_switched_off_or_nothing_is_unchanged_none_is_given() -> None:
    assert Mirror(1000).make_pass(NOW, every=None)[1] == 0
    assert list(RollingAudit(WEEK, NOW).turns(lambda: 10_000)) == []


def test_only_so_many_images_are_remembered_and_those_due_last_are_kept() -> None:
    audit = RollingAudit(WEEK, NOW)
    one = candidate("1")
    names = [f"a/app:{number}" for number in range(6000)]
    for name in names:
        audit.unchanged(one, name)

    assert repr(audit) == "<RollingAudit: 4096 unchanged images>"
    kept = {due.name for due in audit._unchanged}
    assert kept == set(sorted(names, key=lambda name: age_of(phase_of(name), NOW, WEEK))[:4096])
