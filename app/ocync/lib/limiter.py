"""
How many requests a host is asked to bear at once: in all, and of each kind.

What is waited for is one of two things. A slot becomes free when another request ends; a lane (a kind of requests)
may besides stand still for a time, because the host has asked for that or takes so many in a second. Nobody waits
out such a time while holding slots of another host, which others could use meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable


@dataclass(frozen=True, slots=True)
class SlotStatistics:
    """What a Slots object looks like at one moment."""

    capacity: int
    held: int
    waiting: int


def _later(seconds: float, call: Callable[[], object]) -> asyncio.Handle:
    return asyncio.get_running_loop().call_later(seconds, call)


@dataclass(frozen=True, slots=True)
class Time:
    """Where time comes from: the seconds that have passed, and who calls when some more have."""

    now: Callable[[], float] = time.monotonic
    later: Callable[[float, Callable[[], object]], asyncio.Handle] = _later


class Lane:
    """Those of a host's slots that are held for one kind of requests; a subclass gives them limits of their own."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.held = 0

    @property
    def limit(self) -> int:
        """How many may be held now."""
        return self.slots.limit

    def hold(self) -> _Hold:
        """Hold one slot. While holding it, never wait for another one, but through `reserve`."""
        return _Hold(self.slots, 1, (self,))

    def pause(self, now: float) -> float:
        """Return for how many seconds to come nothing may begin."""
        return 0.0

    def pace(self, now: float) -> float:
        """Return how many seconds after that the next may begin."""
        return 0.0

    def begin(self, now: float) -> None:
        """Count one that begins now, for the pace."""

    def pressed(self, *, by_number: bool) -> None:
        """Record that somebody has to wait for this lane: for its number, or for its time."""


class _Turn:
    """Somebody who waits: for `count` slots in these lanes, or, with none, only for the lanes' time to come."""

    __slots__ = ("bounces", "count", "done", "lanes", "number", "paced")

    def __init__(self, number: int, count: int, lanes: tuple[Lane, ...], *, paced: bool, bounces: bool) -> None:
        self.number = number
        self.count = count
        self.lanes = lanes
        self.paced = paced
        self.bounces = bounces
        self.done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()


def _number(turn: _Turn) -> int:
    return turn.number


class Slots:
    """
    A counting limit with fair waiting: whoever waits longest, for however many, is next.

    Who waits for a lane does not hold up those of other lanes. `capacity` may be a function: it is asked whenever
    somebody comes or goes. `name` orders slots when several are taken together (`reserve`), so that two tasks can't
    wait for each other.
    """

    def __init__(self, name: str, capacity: int | Callable[[], int], *, time: Time | None = None) -> None:
        self.name = name
        self._capacity = capacity
        self._time = time or Time()
        self._clock = self._time.now
        self._held = 0
        self._turns: dict[tuple[tuple[Lane, ...], bool], deque[_Turn]] = {}
        self._came = 0
        self._timer: asyncio.Handle | None = None

    @property
    def statistics(self) -> SlotStatistics:
        """The state at this moment."""
        return SlotStatistics(self.limit, self._held, sum(map(len, self._turns.values())))

    @property
    def limit(self) -> int:
        """How many may be held now."""
        return max(1, self._capacity if isinstance(self._capacity, int) else self._capacity())

    def __repr__(self) -> str:
        now = self.statistics
        return f"<Slots {self.name}: {now.held} of {now.capacity} held, {now.waiting} waiting>"

    def hold(self, count: int = 1) -> _Hold:
        """
        Hold `count` slots together; more than there are is read as all of them.

        While holding a slot, never wait for another one, but through `reserve`.
        """
        return _Hold(self, min(count, self.limit), ())

    async def acquire(
        self, count: int, lanes: tuple[Lane, ...] = (), *, paced: bool = True, bounces: bool = False
    ) -> bool:
        """
        Take `count` slots, one in each of the lanes; none at all (0) is to wait for the lanes' time alone.

        Without `paced`, only pauses are waited for and not the pace. With `bounces`, False is returned at once, and
        nothing is held, where a lane pauses.
        """
        if not self._turns:
            now = self._clock()
            if self._in_the_way(count, lanes, now, paced=paced) == 0:
                self._take(count, lanes, now, paced=paced)
                return True
        turn = _Turn(self._came, count, lanes, paced=paced, bounces=bounces)
        self._came += 1
        self._turns.setdefault((lanes, paced), deque()).append(turn)
        self.wake()
        try:
            return await turn.done
        except asyncio.CancelledError:
            if not turn.done.cancelled():
                if turn.done.result():
                    self._give_back(count, lanes)
            elif (waiting := self._turns.get((lanes, paced))) is not None and turn in waiting:
                waiting.remove(turn)
                if not waiting:
                    del self._turns[lanes, paced]
            self.wake()
            raise

    def take_now(self, count: int, lanes: tuple[Lane, ...] = ()) -> bool:
        """Take slots if that is possible now; return whether it was. The lanes' pace was waited for before."""
        now = self._clock()
        if self._in_the_way(count, lanes, now, paced=False) > 0:
            return False
        self._take(count, lanes, now, paced=False)
        return True

    def release(self, count: int, lanes: tuple[Lane, ...] = ()) -> None:
        """Give slots back."""
        self._give_back(count, lanes)
        if self._turns:
            self.wake()

    def wake(self) -> None:
        """Let go on who can; to be called when anything has changed that is waited for."""
        while self._turns and self._wake_one():
            pass

    def _wake_one(self) -> bool:
        """Settle the turn of one who waits; False when nobody can go on."""
        now, soonest = self._clock(), inf
        stopped: set[Lane] = set()
        behind_pace: set[Lane] = set()
        first = [turns[0] for turns in self._turns.values()]
        if len(first) > 1:
            first.sort(key=_number)
        for turn in first:
            if turn.done.done():
                return self._settle(turn)
            if turn.bounces and any(lane.pause(now) > 0 for lane in turn.lanes):
                return self._settle(turn, result=False)
            if not stopped.isdisjoint(turn.lanes):
                stopped.update(turn.lanes)
                continue
            if turn.paced and not behind_pace.isdisjoint(turn.lanes):
                behind_pace.update(turn.lanes)
                continue
            delay = self._in_the_way(turn.count, turn.lanes, now, paced=turn.paced)
            if delay == 0:
                self._take(turn.count, turn.lanes, now, paced=turn.paced)
                return self._settle(turn, result=True)
            if delay == inf and self._is_full(turn.count):
                # Those behind, of whatever lane, would take what this one waits for.
                break
            for lane in turn.lanes:
                lane.pressed(by_number=delay == inf)
            soonest = min(soonest, delay)
            only_pace = turn.paced and self._in_the_way(turn.count, turn.lanes, now, paced=False) == 0
            (behind_pace if only_pace else stopped).update(turn.lanes)
        self._wake_after(soonest)
        return False

    def _settle(self, turn: _Turn, *, result: bool | None = None) -> bool:
        turns = self._turns[turn.lanes, turn.paced]
        turns.popleft()
        if not turns:
            del self._turns[turn.lanes, turn.paced]
        if not turn.done.done() and result is not None:
            turn.done.set_result(result)
        return True

    def _is_full(self, count: int) -> bool:
        return count > 0 and self._held > 0 and self._held + count > self.limit

    def _in_the_way(self, count: int, lanes: tuple[Lane, ...], now: float, *, paced: bool) -> float:
        """Return how many seconds there is to wait: 0 for none, inf for until something is given back."""
        if self._is_full(count):
            return inf
        delay = 0.0
        for lane in lanes:
            wanted = lanes.count(lane) if count else 0
            if wanted and lane.held > 0 and lane.held + wanted > lane.limit:
                return inf
            delay = max(delay, lane.pause(now), lane.pace(now) if paced else 0.0)
        return delay

    def _take(self, count: int, lanes: tuple[Lane, ...], now: float, *, paced: bool) -> None:
        self._held += count
        for lane in lanes:
            if count:
                lane.held += 1
            if paced:
                lane.begin(now)

    def _give_back(self, count: int, lanes: tuple[Lane, ...]) -> None:
        self._held -= count
        if count:
            for lane in lanes:
                lane.held -= 1

    def _wake_after(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if seconds < inf:
            self._timer = self._time.later(seconds, self.wake)


class _Hold:
    """Slots of one host, held while the context lasts."""

    __slots__ = ("_count", "_lanes", "_slots")

    def __init__(self, slots: Slots, count: int, lanes: tuple[Lane, ...]) -> None:
        self._slots = slots
        self._count = count
        self._lanes = lanes

    async def __aenter__(self) -> None:
        await self._slots.acquire(self._count, self._lanes)

    async def __aexit__(self, *_exception: object) -> None:
        self._slots.release(self._count, self._lanes)


_Step = tuple[Slots, int, tuple[Lane, ...]]


class Reserved:
    """Slots of several hosts that are held together, and may be given back one by one."""

    def __init__(self, steps: Iterable[_Step], wanted: Counter[Slots]) -> None:
        self._held = {slots: (count, list(lanes)) for slots, count, lanes in steps}
        self._wanted = wanted

    def release(self, each: Slots | Lane) -> None:
        """Give one back before the others; where there were fewer than were wanted, one is kept for those."""
        self.take_over(each)()

    def take_over(self, each: Slots | Lane) -> Callable[[], None]:
        """Return what gives one back, for a holder that may outlive this context; to be called once."""
        slots, lanes = (each.slots, [each]) if isinstance(each, Lane) else (each, [])
        count, held = self._held[slots]
        self._wanted[slots] -= 1
        if count <= self._wanted[slots]:
            return lambda: None
        for lane in lanes:
            held.remove(lane)
        self._held[slots] = (count - 1, held)
        return partial(slots.release, 1, tuple(lanes))

    def release_all(self) -> None:
        """Give back what is left."""
        for slots, (count, lanes) in self._held.items():
            if count:
                slots.release(count, tuple(lanes))
        self._held.clear()


@asynccontextmanager
async def reserve(wanted: Iterable[Slots | Lane]) -> AsyncIterator[Reserved]:
    """
    Hold one slot of each, of the same object as many as it is named.

    Nobody waits for one while holding another: who does not get all of them at once gives back what was taken, and
    waits where one was missing. So tasks do not wait for each other in a circle, and a host that is slow keeps no
    slots of others. Times of lanes (pauses, pace) are waited out before anything is held.
    """
    groups: dict[Slots, list[Lane]] = {}
    counts: Counter[Slots] = Counter()
    for each in wanted:
        slots = each.slots if isinstance(each, Lane) else each
        counts[slots] += 1
        groups.setdefault(slots, []).extend([each] if isinstance(each, Lane) else [])
    steps = [
        (slots, min(counts[slots], slots.limit), tuple(sorted(groups[slots], key=id)))
        for slots in sorted(counts, key=lambda slots: (slots.name, id(slots)))
    ]
    if len(steps) == 1:
        [(slots, count, lanes)] = steps
        await slots.acquire(count, lanes)
    else:
        await _take_all(steps)
    reserved = Reserved(steps, counts)
    try:
        yield reserved
    finally:
        reserved.release_all()


async def _take_all(steps: list[_Step]) -> None:
    """Take slots of several hosts together."""
    first, paced = 0, True
    while True:
        for slots, _, lanes in steps:
            for lane in dict.fromkeys(lanes):
                await slots.acquire(0, (lane,), paced=paced)
        # Each request counts once for the pace, however often it has to wait.
        paced = False
        slots, count, lanes = steps[first]
        if not await slots.acquire(count, lanes, paced=False, bounces=True):
            continue
        with ExitStack() as held:
            held.callback(slots.release, count, lanes)
            missing = next((n for n, step in enumerate(steps) if n != first and not _take_now(step, held)), None)
            if missing is None:
                held.pop_all()
                return
        first = missing


def _take_now(step: _Step, held: ExitStack) -> bool:
    slots, count, lanes = step
    if not slots.take_now(count, lanes):
        return False
    held.callback(slots.release, count, lanes)
    return True
