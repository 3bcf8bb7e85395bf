"""What keeps to the levels of one host: its slots, in a lane for each kind of requests."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from ocync.lib.limiter import Lane, Slots, Time
from ocync.registry.limits import aimd as levels
from ocync.registry.limits.counter import Counter
from ocync.registry.limits.kinds import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocync.registry.limits.aimd import Level, Start

log = logging.getLogger(__name__)

_NAMES = {
    Kind.METADATA: "look-ups",
    Kind.BLOB: "blob reads",
    Kind.UPLOAD: "uploads",
    Kind.MANIFEST: "manifest writes",
}
# Answers to small requests that take so many times what they could, and so much longer in seconds, wait in a queue:
# less than that is also a busy machine on our side, and asking less would only make it idle.
_SLOW_TIMES = 5.0
_SLOW_SECONDS = 0.5
_SMOOTH = 1 / 16
_FORGET = 1.001
_EASE_EVERY = 1.0
# A pause of so many seconds is told to everybody: nothing is seen to move meanwhile.
_LONG_PAUSE = 10.0
LONGEST = 120.0
"""Seconds; of what is renewed later than that, as a pull quota of six hours, nothing is saved up by waiting."""


PATIENCE = 150.0
"""Seconds for which a host may refuse all requests of a kind before those that come are not made any more."""
_REFUSALS = 5
_ALLOWED = re.compile(r"allowed: *([1-9][0-9]{0,8})/(second|minute|hour)", re.ASCII | re.IGNORECASE)
_UNITS = {"second": 1, "minute": 60, "hour": 3600}


class Bucket(Lane):
    """
    The lane of one kind at one host: it takes what comes of requests, and lets as many go as its level says.

    Streams of blobs are not slowed down by how long they take: their bytes, the other side of a relay and the
    network have more to do with that than the registry.
    """

    def __init__(
        self, slots: Slots, host: str, kind: Kind, ceiling: int, *, start: Start | None, time: Time
    ) -> None:
        super().__init__(slots)
        self.kind = kind
        self._what = f"{host}: {_NAMES[kind]}"
        self._clock = time.now
        self._level = levels.first(ceiling, start)
        self._is_open = self._level.is_open
        self._by_number = self._by_pace = False
        self._next = 0.0
        self._told = ""
        # Answers that went well: in the second that runs, and in the one before it.
        self._second = 0.0
        self._now_well = self._before_well = 0
        self._since: float | None = None
        # Seconds to the first byte of small answers.
        self._least = 0.0
        self._usual = 0.0
        self._eased = 0.0
        # Refusals since the last answer that went well, and when they began.
        self._in_vain = 0
        self._in_vain_since = 0.0
        self._left_alone_until = 0.0

    def __repr__(self) -> str:
        return f"<Bucket {self._what}: {self.held} of {self.limit}, {self._level.rate or 'any number of'} a second>"

    @property
    def level(self) -> Level:
        """The level at this moment."""
        return self._level

    @property
    def is_paused(self) -> bool:
        """Whether nothing may begin for a time."""
        return self.pause(self._clock()) > 0

    # What the slots ask.

    @property
    def limit(self) -> int:
        """How many may be under way now."""
        return self._level.limit

    def pause(self, now: float) -> float:
        """Return for how many seconds to come nothing may begin."""
        paused = self._level.paused_until > now and not self._is_hopeless(now)
        return self._level.paused_until - now if paused else 0.0

    def pace(self, now: float) -> float:
        """Return how many seconds after that the next may begin."""
        paced = self._level.rate is not None and self._next > now and not self._is_hopeless(now)
        return self._next - now if paced else 0.0

    def begin(self, now: float) -> None:
        """Count one that begins now."""
        if self._level.rate is not None:
            self._next = max(self._next, now) + 1 / self._level.rate

    def pressed(self, *, by_number: bool) -> None:
        """Record that somebody has to wait for this lane: for its number, or for its time."""
        if by_number:
            self._by_number = True
        else:
            self._by_pace = True

    def turns_away(self) -> bool:
        """
        Return whether a request whose turn has come is not to be made after all.

        Pauses let one request through at a time, so a host that takes nothing for long would keep a pass waiting
        for as many of them as there are requests. Then one is made after each pause, and the others fail at once.
        So it is at one that asks for a pause longer than LONGEST: that is not waited for, and tried after LONGEST.
        """
        now = self._clock()
        return self._left_alone_until > now or (self._is_hopeless(now) and self._level.paused_until > now)

    def _is_hopeless(self, now: float) -> bool:
        return self._in_vain >= _REFUSALS and now - self._in_vain_since >= PATIENCE

    # What becomes of requests.

    def answered(self, *, under_way: int, seconds: float | None = None) -> None:
        """
        Take note of an answer that is no refusal, to one of so many that were under way when it was asked for.

        `seconds` is how long its first byte took, of a small request that is worth comparing.
        """
        now = self._clock()
        self._count(now)
        self._in_vain, self._left_alone_until = 0, 0.0
        if under_way > self._level.proven:
            self._level = levels.proved(self._level, under_way)
        if seconds is not None:
            # Some thousand answers forget the least: a registry may have become a slower one for good.
            self._least = min(seconds, self._least * _FORGET) if self._least else seconds
            self._usual = self._usual + (seconds - self._usual) * _SMOOTH if self._usual else seconds
        if seconds is not None and self._is_slow:
            if now - self._eased >= _EASE_EVERY:
                self._eased = now
                self._change(levels.eased(self._level, now=now), "answers take long")
        elif not self._is_open:
            grown = levels.grown(self._level, now=now, by_number=self._by_number, by_pace=self._by_pace)
            self._by_number = self._by_pace = False
            self._change(grown)

    def refused(
        self, *, under_way: int, begun: float, wait: float | None, allowed: float | None, counted: bool
    ) -> None:
        """Take note of a refusal; see levels.refused."""
        now = self._clock()
        if wait is not None and wait > LONGEST:
            self._left_alone_until, wait = now + LONGEST, None
        self._in_vain_since = self._in_vain_since if self._in_vain else now
        self._in_vain += 1
        after = levels.refused(
            self._level,
            under_way=under_way,
            begun=begun,
            now=now,
            seen=self._seen(now),
            wait=wait,
            allowed=allowed,
            counted=counted,
        )
        if wait is not None and wait >= _LONG_PAUSE and after.paused_until > self._level.paused_until:
            log.info("%s wait for %.0f s, as the registry asks", self._what, wait)
        self._change(after, "the registry refuses some")

    def left(self, number: int, seconds: float) -> None:
        """Take note of how many requests the registry says it still takes in the seconds to come."""
        if number < max(self.held, 2):
            spent = levels.spent(self._level, left=number, seconds=seconds, now=self._clock())
            self._change(spent, "the registry says that few are left")

    def _change(self, level: Level, why: str = "") -> None:
        before, self._level = self._level, level
        self._is_open = level.is_open
        if level.rate is None or before.rate is None:
            self._next = 0.0
        if why and (level.limit, level.rate) != (before.limit, before.rate):
            self._tell("less", why)
        elif not why and (level.limit > before.limit or (level.rate or 0) > (before.rate or 0)):
            self._tell("more", "it goes well")
        if level.limit > before.limit or level.paused_until > before.paused_until:
            self.slots.wake()

    def _tell(self, direction: str, why: str) -> None:
        """Log a change of direction, and not each step."""
        if direction != self._told:
            self._told = direction
            rate = "" if self._level.rate is None else f", {self._level.rate:.1f} a second"
            log.debug("%s: %s than before, %d at once%s: %s", self._what, direction, self.limit, rate, why)

    def _count(self, now: float) -> None:
        if self._since is None:
            self._since = self._second = now
        past = now - self._second
        if past >= 1.0:
            self._before_well = self._now_well if past < 2.0 else 0
            self._now_well = 0
            self._second = now if past >= 2.0 else self._second + 1.0
        self._now_well += 1

    def _seen(self, now: float) -> float:
        """Return how many were answered well in the last second; less than a quarter of one tells too little."""
        if self._since is None:
            return 0.0
        past = now - self._second
        if past >= 2.0:
            return 0.0
        if past >= 1.0:
            return self._now_well * (2.0 - past)
        if self._second == self._since:
            return self._now_well / max(past, 0.25)
        return self._now_well + self._before_well * (1.0 - past)

    @property
    def _is_slow(self) -> bool:
        return self._usual > max(self._least * _SLOW_TIMES, self._least + _SLOW_SECONDS)


class Asked:
    """One request of a bucket, from its beginning to its answer."""

    __slots__ = ("_begun", "_bucket", "_counter", "_under_way")

    def __init__(self, bucket: Bucket, counter: Counter, begun: float) -> None:
        self._bucket = bucket
        self._counter = counter
        self._begun = begun
        self._under_way = bucket.held

    def answered(self, *, seconds: float | None) -> None:
        """Take note of an answer that is no refusal; `seconds` is as in Bucket.answered."""
        self._bucket.answered(under_way=self._under_way, seconds=seconds)

    def left(self, number: int, seconds: float) -> None:
        """Take note of how many requests a success says that the registry still takes in the seconds to come."""
        if seconds <= LONGEST and self._counter.told(number, of=self._bucket.kind, begun=self._begun):
            self._bucket.left(number, seconds)

    def refused(self, wait: float | None, *, said: str, counted: bool) -> None:
        """Take note of a refusal and of what it `said`; see levels.refused."""
        self._bucket.refused(
            under_way=self._under_way,
            begun=self._begun,
            wait=wait,
            allowed=allowed_in(said),
            counted=counted,
        )


def allowed_in(text: str) -> float | None:
    """
    Return how many requests a second a refusal says are allowed, if it does.

    As GHCR's "TOOMANYREQUESTS: retry-after: 10.305464ms, allowed: 2000/minute" (dependabot/cli#380).
    """
    match = _ALLOWED.search(text)
    return None if match is None else int(match.group(1)) / _UNITS[match.group(2).lower()]


class HostLimits:
    """The slots of one host, and its buckets."""

    def __init__(
        self,
        host: str,
        ceiling: int,
        *,
        start: Mapping[Kind, Start] | None = None,
        time: Time | None = None,
    ) -> None:
        start, time = start or {}, time or Time()
        self._clock = time.now
        self.slots = Slots(host, ceiling, time=time)
        self._counter = Counter(host, clock=time.now)
        self._buckets = {
            kind: Bucket(self.slots, host, kind, ceiling, start=start.get(kind), time=time) for kind in Kind
        }

    def __repr__(self) -> str:
        return f"<HostLimits {list(self._buckets.values())}>"

    def bucket(self, kind: Kind) -> Bucket:
        """Return the bucket of a kind."""
        return self._buckets[kind]

    def asked(self, kind: Kind) -> Asked:
        """Record the beginning of a request; its slot is held already."""
        return Asked(self._buckets[kind], self._counter, self._clock())

    def learned(self, before: Mapping[Kind, Start] | None = None) -> dict[Kind, Start]:
        """
        Return where a next pass should begin, for the kinds of which the host has asked for less.

        What was learned `before` is kept for those that have not shown since that they take all.
        """
        found: dict[Kind, Start] = {}
        for kind, bucket in self._buckets.items():
            start = levels.learned(bucket.level)
            if start is None and not bucket.level.is_open:
                start = (before or {}).get(kind)
            if start is not None:
                found[kind] = start
        return found
