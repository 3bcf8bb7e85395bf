"""
How many requests may be under way at a host: in all (`Slots`), and of each kind (`Lane`).

A request waits for one of two things: for a slot that another request gives back, or for a time. A lane has times
in which nothing may begin: a pause, when the host has asked for one, and a pace, when the host accepts only so many
requests a second. A task never waits while it holds a slot of another host (see `reserve`).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from math import inf
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

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
    """A clock in seconds, and a timer that calls a function after so many seconds."""

    now: Callable[[], float] = time.monotonic
    later: Callable[[float, Callable[[], object]], asyncio.Handle] = _later


class Lane:
    """One kind of requests at a host: each holds a slot of the host. A subclass sets the lane's own limits."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.held = 0

    @property
    def limit(self) -> int:
        """How many slots the lane may hold now."""
        return self.slots.limit

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Hold one slot. A task that holds one must not wait for another, except through `reserve`."""
        await self.slots.acquire(1, (self,))
        try:
            yield
        finally:
            self.slots.release(1, (self,))

    def pause(self, now: float) -> float:
        """Return the seconds until the pause ends; 0 when there is none."""
        return 0.0

    def pace(self, now: float) -> float:
        """Return the seconds until the pace lets the next request begin; 0 when it may begin now."""
        return 0.0

    def begin(self, now: float) -> None:
        """Count a request that begins now towards the pace."""

    def pressed(self, *, by_number: bool) -> None:
        """Note that a request has to wait for this lane: for a slot (`by_number`), or for a time."""

    def stood_still(self) -> None:
        """Note that a request was waited for in vain, for long."""

    def moved(self) -> None:
        """Note that a request came to its end, or much of it."""


class _Waiter:
    """A request that waits: for `count` slots in these lanes, or, when `count` is 0, only for the lanes' times."""

    __slots__ = ("count", "future", "lanes", "paced", "ticket", "unless_paused")

    def __init__(
        self, ticket: int, count: int, lanes: tuple[Lane, ...], *, paced: bool, unless_paused: bool
    ) -> None:
        self.ticket = ticket
        self.count = count
        self.lanes = lanes
        self.paced = paced
        self.unless_paused = unless_paused
        self.future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()


class Slots:
    """
    The slots of one host, given out first come, first served; a request for several slots is not overtaken.

    A request that waits for its lane does not block those of other lanes. `capacity` may be a function, which is
    called whenever a slot is taken or given back. `name` orders the hosts in `reserve`.
    """

    def __init__(self, name: str, capacity: int | Callable[[], int], *, time: Time | None = None) -> None:
        self.name = name
        self._capacity = capacity
        self._time = time or Time()
        self._held = 0
        # One queue for each combination of lanes: only the head of a queue can be next.
        self._queues: dict[tuple[tuple[Lane, ...], bool], deque[_Waiter]] = {}
        self._last_ticket = 0
        self._timer: asyncio.Handle | None = None

    @property
    def statistics(self) -> SlotStatistics:
        """The state at this moment."""
        waiting = sum(not waiter.future.done() for queue in self._queues.values() for waiter in queue)
        return SlotStatistics(self.limit, self._held, waiting)

    @property
    def limit(self) -> int:
        """How many slots may be held now."""
        return max(1, self._capacity if isinstance(self._capacity, int) else self._capacity())

    def stood_still(self) -> None:
        """Note that a request was waited for in vain, for long: it counts in lanes only."""

    def moved(self) -> None:
        """Note that a request came to its end, or much of it: it counts in lanes only."""

    def __repr__(self) -> str:
        now = self.statistics
        return f"<Slots {self.name}: {now.held} of {now.capacity} held, {now.waiting} waiting>"

    @asynccontextmanager
    async def hold(self, count: int = 1) -> AsyncIterator[None]:
        """
        Hold `count` slots together, or all slots when there are fewer.

        A task that holds a slot must not wait for another, except through `reserve`.
        """
        count = min(count, self.limit)
        await self.acquire(count)
        try:
            yield
        finally:
            self.release(count)

    async def acquire(
        self, count: int, lanes: tuple[Lane, ...] = (), *, paced: bool = True, unless_paused: bool = False
    ) -> bool:
        """
        Take `count` slots, one in each of the lanes; a count of 0 only waits until the lanes' times have passed.

        Without `paced`, pauses are waited for but the pace is not. With `unless_paused`, a pause of a lane ends the
        wait: nothing is taken, and the result is False. Otherwise the result is True.
        """
        if not self._queues:
            now = self._time.now()
            if self._delay(count, lanes, now, paced=paced) == 0:
                self._take(count, lanes, now, paced=paced)
                return True
        self._last_ticket += 1
        waiter = _Waiter(self._last_ticket, count, lanes, paced=paced, unless_paused=unless_paused)
        self._queues.setdefault((lanes, paced), deque()).append(waiter)
        self.wake()
        try:
            return await waiter.future
        except asyncio.CancelledError:
            # The slots may have been granted just before the cancellation.
            if not waiter.future.cancelled() and waiter.future.result():
                self._give_back(count, lanes)
            # `wake` removes a cancelled waiter once it is at the head of its queue.
            self.wake()
            raise

    def take_now(self, count: int, lanes: tuple[Lane, ...] = ()) -> bool:
        """Take slots without waiting, ignoring the pace; return whether that was possible."""
        now = self._time.now()
        if self._delay(count, lanes, now, paced=False) > 0:
            return False
        self._take(count, lanes, now, paced=False)
        return True

    def release(self, count: int, lanes: tuple[Lane, ...] = ()) -> None:
        """Give slots back."""
        self._give_back(count, lanes)
        if self._queues:
            self.wake()

    def wake(self) -> None:
        """Let all requests proceed that can; must be called when a limit, a pause or a pace has changed."""
        while self._queues and self._wake_one():
            pass

    def _wake_one(self) -> bool:
        """Remove one waiter that need not wait any more; return False when there is none, and set the timer."""
        now, soonest = self._time.now(), inf
        # Lanes for which an earlier request waits: for a slot or a pause; for the pace, which some requests ignore.
        blocked: set[Lane] = set()
        blocked_by_pace: set[Lane] = set()
        for waiter in sorted((queue[0] for queue in self._queues.values()), key=attrgetter("ticket")):
            count, lanes, paced = waiter.count, waiter.lanes, waiter.paced
            if waiter.future.done():
                return self._dequeue(waiter)
            if waiter.unless_paused and any(lane.pause(now) > 0 for lane in lanes):
                waiter.future.set_result(False)
                return self._dequeue(waiter)
            if not blocked.isdisjoint(lanes):
                blocked.update(lanes)
                continue
            if paced and not blocked_by_pace.isdisjoint(lanes):
                blocked_by_pace.update(lanes)
                continue
            delay = self._delay(count, lanes, now, paced=paced)
            if delay == 0:
                self._take(count, lanes, now, paced=paced)
                waiter.future.set_result(True)
                return self._dequeue(waiter)
            if self._is_full(count):
                # Later requests, of any lane, would take the slots that this one waits for.
                break
            for lane in lanes:
                lane.pressed(by_number=delay == inf)
            soonest = min(soonest, delay)
            waits_for_pace = paced and self._delay(count, lanes, now, paced=False) == 0
            (blocked_by_pace if waits_for_pace else blocked).update(lanes)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._time.later(soonest, self.wake) if soonest < inf else None
        return False

    def _dequeue(self, waiter: _Waiter) -> bool:
        queue = self._queues[waiter.lanes, waiter.paced]
        queue.popleft()
        if not queue:
            del self._queues[waiter.lanes, waiter.paced]
        return True

    def _is_full(self, count: int) -> bool:
        return count > 0 and self._held > 0 and self._held + count > self.limit

    def _delay(self, count: int, lanes: tuple[Lane, ...], now: float, *, paced: bool) -> float:
        """Return the seconds to wait: 0 for none, inf for until a slot is given back."""
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


class _Share(NamedTuple):
    """What a reservation takes of one host."""

    slots: Slots
    number: int
    lanes: tuple[Lane, ...]


class Reserved:
    """Slots of several hosts that are held together and may be given back one by one."""

    def __init__(self, shares: Iterable[_Share], wanted: Counter[Slots]) -> None:
        self._held = {slots: (count, list(lanes)) for slots, count, lanes in shares}
        self._wanted = wanted

    def take_over(self, each: Slots | Lane) -> Callable[[], None]:
        """
        Take one slot out of this reservation; return the function that gives it back, to be called once.

        Where a host had fewer slots than were wanted, the last ones serve all that are left: nothing is given back.
        """
        slots, lanes = (each.slots, (each,)) if isinstance(each, Lane) else (each, ())
        count, held = self._held[slots]
        self._wanted[slots] -= 1
        if count <= self._wanted[slots]:
            return lambda: None
        for lane in lanes:
            held.remove(lane)
        self._held[slots] = (count - 1, held)
        return partial(slots.release, 1, lanes)

    def release_all(self) -> None:
        """Give back what is left."""
        for slots, (count, lanes) in self._held.items():
            if count:
                slots.release(count, tuple(lanes))
        self._held.clear()


@asynccontextmanager
async def reserve(wanted: Iterable[Slots | Lane]) -> AsyncIterator[Reserved]:
    """
    Hold one slot of each; something that is named several times counts as often.

    The slots are taken all at once or not at all. When one is missing, those taken before it are given back, and
    the task waits for the missing one. So no two tasks wait for each other, and a slow host does not keep slots of
    other hosts. The times of lanes (pauses, pace) are waited for before anything is held.
    """
    lanes: dict[Slots, list[Lane]] = {}
    counts: Counter[Slots] = Counter()
    for each in wanted:
        slots = each.slots if isinstance(each, Lane) else each
        counts[slots] += 1
        lanes.setdefault(slots, []).extend([each] if isinstance(each, Lane) else [])
    shares = [
        _Share(slots, min(counts[slots], slots.limit), tuple(sorted(lanes[slots], key=id)))
        for slots in sorted(counts, key=lambda slots: (slots.name, id(slots)))
    ]
    if len(shares) == 1:
        [only] = shares
        await only.slots.acquire(only.number, only.lanes)
    else:
        await _acquire_all(shares)
    reserved = Reserved(shares, counts)
    try:
        yield reserved
    finally:
        reserved.release_all()


async def _acquire_all(shares: list[_Share]) -> None:
    missing: _Share | None = shares[0]
    paced = True
    while missing is not None:
        for share in shares:
            for lane in dict.fromkeys(share.lanes):
                await share.slots.acquire(0, (lane,), paced=paced)
        # A request counts once towards the pace, however often it has to wait.
        paced = False
        # A pause may have begun meanwhile.
        if await missing.slots.acquire(missing.number, missing.lanes, paced=False, unless_paused=True):
            missing = _take_others(shares, missing)


def _take_others(shares: list[_Share], first: _Share) -> _Share | None:
    """Take the shares besides the first; when one is missing, give all back, the first too, and return that one."""
    taken = [first]
    for share in shares:
        if share is not first:
            if not share.slots.take_now(share.number, share.lanes):
                for slots, count, lanes in reversed(taken):
                    slots.release(count, lanes)
                return share
            taken.append(share)
    return None
