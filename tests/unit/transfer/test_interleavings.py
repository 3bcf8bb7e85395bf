"""
Every order in which tasks can claim, bring, give back and commit, with every failure: nobody waits for ever.

A model of `transfer/blob.py` and `transfer/image.py` on the real ledger: each task is a manifest on its way to one
repository and brings its blobs one after the other. Between two steps any other task may make one. All reachable
states of small cases are gone through; a state is come to by making the same steps again, on a new ledger.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from ocync.transfer.ledger import Lead, Ledger, Mount, Present, Wait
from ocync.transfer.recall import FIRST, First, Recall

from memory import Place
from ocync.oci.digest import Digest

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator, Sequence

    from memory import MemoryRepository
    from ocync.endpoint import TargetRepository
    from ocync.transfer.mounts import Unit

BLOBS = [Digest.of(bytes([number])) for number in range(3)]
OK, FAILS = "ok", "fails"
MOST_FAILURES = 1
"""Steps that fail in one history: more make it long, and have found nothing else."""


@dataclass(frozen=True, slots=True)
class Task:
    """A manifest that needs blobs, by their numbers, in a repository; an image waits for what is attached to it."""

    path: str
    needs: tuple[int, ...]
    attached: int | None = None
    """The task that has to have ended before this one's manifest is put."""

    @property
    def is_immediate(self) -> bool:
        return self.attached is None


@dataclass(slots=True)
class State:
    """One task on its way."""

    task: Task
    left: list[int]
    unit: Unit | None = None
    owned: Mount | Lead | None = None
    waits: asyncio.Future[None] | None = None
    failed: bool = False
    ended: bool = False
    has_begun: bool = False


class Forgetful(Recall):
    """Knows nothing of earlier passes, without a database for each of thousands of ledgers."""

    def believes_blob(self, repository: TargetRepository, digest: Digest) -> bool:
        return False

    def first_for_blob(self, repository: TargetRepository, digest: Digest) -> First:
        return FIRST

    def blob_found(self, repository: TargetRepository, digest: Digest) -> None:
        pass


@dataclass(slots=True)
class World:
    """The ledger of one place, and all tasks."""

    after_commit: bool
    grants: bool
    tasks: Sequence[Task]
    ledger: Ledger = field(init=False)
    place: Place = field(init=False)
    states: list[State] = field(default_factory=list)
    held: set[tuple[str, Digest]] = field(default_factory=set)
    listed: set[tuple[str, Digest]] = field(default_factory=set)
    failures: int = 0
    refused_early: int = 0
    """Mounts that were refused for want of a commit."""

    def __post_init__(self) -> None:
        self.ledger = Ledger(recall=Forgetful())
        self.place = Place("a", mounts_after_commit=self.after_commit)
        self.states = [State(task, list(task.needs)) for task in self.tasks]

    def moves(self) -> Iterator[tuple[int, str]]:
        """Give the steps that can be made now: which task, and how it ends."""
        for number, state in enumerate(self.states):
            if state.ended or (state.waits is not None and not state.waits.done()):
                continue
            attached = state.task.attached
            if state.has_begun and not state.left and attached is not None and not self.states[attached].ended:
                continue
            # Who begins or claims can't fail; who asks or sends can.
            asks = state.has_begun and (state.owned is not None or not (state.left or state.failed))
            yield number, OK
            if asks and self.failures < MOST_FAILURES:
                yield number, FAILS

    def make(self, number: int, how: str) -> None:
        """Make one step: no task is interrupted within."""
        state = self.states[number]
        self.failures += how == FAILS
        repository = self.place.repository(state.task.path)
        if not state.has_begun:
            state.has_begun = True
            blobs = [BLOBS[blob] for blob in state.task.needs]
            state.unit = self.ledger.mounts.begin(repository, blobs, is_immediate=state.task.is_immediate)
        if state.owned is not None:
            self._bring(state, repository, how)
        elif state.left and not state.failed:
            self._claim(state, repository)
        else:
            self._put(state, repository, how)

    def _claim(self, state: State, repository: MemoryRepository) -> None:
        state.waits = None
        match self.ledger.claim_blob(repository, BLOBS[state.left[0]], state.unit):
            case Present():
                assert (repository.path, BLOBS[state.left[0]]) in self.held
                del state.left[0]
            case Wait(until):
                state.waits = until
            case Mount() | Lead() as claim:
                mine = state.left[0]
                for other in self.states:
                    assert (
                        other is state
                        or other.owned is None
                        or other.left[0] != mine
                        or (
                            other.task.path != state.task.path
                            and not (isinstance(other.owned, Lead) and isinstance(claim, Lead))
                        )
                    ), "two bring the same"
                state.owned = claim

    def _bring(self, state: State, repository: MemoryRepository, how: str) -> None:
        digest, claim = BLOBS[state.left[0]], state.owned
        if how == FAILS:
            state.failed = True
        else:
            if isinstance(claim, Mount):
                key = (claim.holder.path, digest)
                assert key in self.held, "a mount from where the blob is not"
                if self.grants and (key in self.listed or not self.after_commit):
                    self.ledger.mounts.granted(claim.holder.path, repository.path)
                elif self.ledger.mounts.may_ask(claim.holder.path, repository.path):
                    self.refused_early += self.grants
                    self.ledger.mounts.refused(claim.holder.path, repository.path)
            self.held.add((repository.path, digest))
            self.ledger.blob_arrived(repository, digest, is_new=True)
            del state.left[0]
        state.owned = None
        self.ledger.release_blob(repository, digest)

    def _put(self, state: State, repository: MemoryRepository, how: str) -> None:
        committed = not state.failed and how == OK
        if committed:
            for blob in state.task.needs:
                assert (repository.path, BLOBS[blob]) in self.held, "a manifest before its blobs"
                self.listed.add((repository.path, BLOBS[blob]))
        if state.unit is not None:
            self.ledger.mounts.end(state.unit, committed=committed)
        state.failed |= how == FAILS
        state.ended = True

    def key(self) -> tuple[object, ...]:
        """Return all that decides what can come."""
        return (
            self.failures,
            tuple(
                (
                    state.has_begun,
                    len(state.left),
                    state.failed,
                    state.ended,
                    state.unit.number if state.unit is not None else None,
                    (type(state.owned).__name__, getattr(getattr(state.owned, "holder", None), "path", "")),
                    None if state.waits is None else (state.waits.done(), self._waits_for(state.waits)),
                )
                for state in self.states
            ),
            # Which holder is chosen depends on their order.
            tuple(tuple(self.ledger._holders.get(blob, ())) for blob in BLOBS),
            frozenset(self.listed),
            frozenset(self.ledger.mounts._refused),
            frozenset(self.ledger.mounts._granted),
        )

    def _waits_for(self, future: asyncio.Future[None]) -> object:
        for key, flight in self.ledger._blob_flights.items():
            if flight is future:
                return key
        units = [(number, state.unit) for number, state in enumerate(self.states) if state.unit is not None]
        return next((number for number, unit in units if unit.ended is future), "")


def explored(tasks: Sequence[Task], *, after_commit: bool, grants: bool = True) -> list[World]:
    """Go through all states that can be reached; return those in which nobody can make a step any more."""
    seen, ends = set[object](), list[World]()
    open_ends: list[tuple[tuple[int, str], ...]] = [()]
    while open_ends:
        steps = open_ends.pop()
        world = World(after_commit=after_commit, grants=grants, tasks=tasks)
        for step in steps:
            world.make(*step)
        while (key := world.key()) not in seen:
            seen.add(key)
            first, *others = [*world.moves()] or [None]
            if first is None:
                ends.append(world)
                break
            open_ends += [(*steps, other) for other in others if other is not None]
            steps = (*steps, first)
            world.make(*first)
    return ends


CASES = {
    "three repositories, two blobs": [Task("a", (0, 1)), Task("b", (0, 1)), Task("c", (0, 1))],
    "the other way round": [Task("a", (0, 1)), Task("b", (1, 0)), Task("c", (0,))],
    "three blobs in a ring": [Task("a", (0, 1)), Task("b", (1, 2)), Task("c", (2, 0))],
    "two images in one of two repositories": [Task("a", (0,)), Task("a", (0, 1)), Task("b", (1, 0))],
    "an image and what is attached to it, twice": [
        Task("a", (0,), attached=1),
        Task("a", (1,)),
        Task("b", (1,), attached=3),
        Task("b", (0,)),
    ],
}


@pytest.mark.parametrize("after_commit", [False, True], ids=["mounts at once", "mounts after a commit"])
@pytest.mark.parametrize("grants", [True, False], ids=["granted", "never granted"])
@pytest.mark.parametrize("tasks", CASES.values(), ids=CASES)
async def test_in_every_order_and_with_every_failure_all_come_to_an_end(
    tasks: list[Task], *, after_commit: bool, grants: bool
) -> None:
    ends = explored(tasks, after_commit=after_commit, grants=grants)

    assert ends
    for world in ends:
        assert all(state.ended for state in world.states), "somebody waits for ever"
        # Nothing is left behind that the next image could wait for.
        assert not world.ledger._blob_flights
        assert not world.ledger._leads
        assert not world.ledger.mounts._units
    assert any(not any(state.failed for state in world.states) for world in ends)


async def test_the_search_finds_a_circle_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were all allowed to wait for any manifest, two images that need each other's blobs would wait for ever."""
    from ocync.transfer.mounts import Mounts

    def reckless(self: Mounts, holder: str, digest: Digest, unit: Unit | None) -> asyncio.Future[None] | None:
        others = self._units.get((holder, digest), ()) if not self.is_committed(holder, digest) else ()
        return next((other.ended for other in others if other is not unit), None)

    monkeypatch.setattr(Mounts, "until", reckless)
    ends = explored(CASES["the other way round"], after_commit=True)

    assert any(not all(state.ended for state in world.states) for world in ends)


async def test_where_nothing_fails_the_first_to_begin_is_never_refused_a_mount_it_waited_for() -> None:
    ends = explored([Task("a", (0, 1)), Task("b", (0, 1))], after_commit=True)

    whole = [world for world in ends if not any(state.failed for state in world.states)]
    assert whole
    # Only who began earlier asks before the commit: it must not wait for who began later.
    assert min(world.refused_early for world in whole) == 0
    assert {len(world.held) for world in whole} == {4}
