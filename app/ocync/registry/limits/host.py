"""The limits of one host: its slots, with a lane for each kind of request."""

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
# Answers to small requests that take so many times as long as the fastest, and so many seconds longer, wait in the
# host's queue. Less than that may be load on this machine, which fewer requests would only make idle.
_SLOW_TIMES = 5.0
_SLOW_SECONDS = 0.5
_SMOOTH = 1 / 16
_FORGET = 1.001
_EASE_EVERY = 1.0
# Seconds of a pause that is logged as info, because no progress is seen meanwhile.
_LONG_PAUSE = 10.0
LONGEST = 120.0
"""Seconds. No request waits for a limit that is renewed later, such as a pull quota of six hours."""
PATIENCE = 150.0
"""Seconds for which a host may refuse all requests of a kind before new ones fail without being sent."""
_REFUSALS = 5
# Requests of one kind that are waited for in vain, one after the other, and the seconds for which others then fail.
_STALLS, _STALLED_FOR = 3, 90.0
_ALLOWED = re.compile(r"allowed: *([1-9][0-9]{0,8})/(second|minute|hour)", re.ASCII | re.IGNORECASE)
_UNITS = {"second": 1, "minute": 60, "hour": 3600}


class Bucket(Lane):
    """
    The lane of one kind at one host: learns from the results of requests, and lets as many begin as its level says.

    The duration of blob transfers does not lower the level: it depends on their size, on the other side of a relay
    and on the network more than on the registry.
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
        self._direction = ""
        # Successes in the current second, which began at `_second`, and in the one before it.
        self._second = 0.0
        self._successes = self._previous_successes = 0
        self._since: float | None = None
        # Seconds to the first byte of small answers.
        self._least = 0.0
        self._usual = 0.0
        self._eased = 0.0
        # Refusals since the last success, and when they began.
        self._refusals = 0
        self._refused_since = 0.0
        self._closed_until = 0.0
        # Requests that stood still since the last one that did not, and when that was seen last.
        self._stalls = 0
        self._stalled_at = 0.0

    def __repr__(self) -> str:
        return f"<Bucket {self._what}: {self.held} of {self.limit}, {self._level.rate or 'any number of'} a second>"

    @property
    def level(self) -> Level:
        """The level at this moment."""
        return self._level

    @property
    def is_paused(self) -> bool:
        """Whether no request may begin at present."""
        return self.pause(self._clock()) > 0

    # What the slots ask.

    @property
    def limit(self) -> int:
        """The most requests that may be under way."""
        return self._level.limit

    def pause(self, now: float) -> float:
        """Return the seconds until a request may begin."""
        paused = self._level.paused_until > now and not self._is_hopeless(now)
        return self._level.paused_until - now if paused else 0.0

    def pace(self, now: float) -> float:
        """Return the further seconds until the rate allows the next request."""
        paced = self._level.rate is not None and self._next > now and not self._is_hopeless(now)
        return self._next - now if paced else 0.0

    def begin(self, now: float) -> None:
        """Count a request that begins now."""
        if self._level.rate is not None:
            self._next = max(self._next, now) + 1 / self._level.rate

    def pressed(self, *, by_number: bool) -> None:
        """Record that a request has to wait: for the number at once, or else for the rate."""
        if by_number:
            self._by_number = True
        else:
            self._by_pace = True

    def turns_away(self) -> bool:
        """
        Return whether a request whose turn has come must fail instead of being sent.

        Each pause lets one request through, so a pass would wait at a dead host for as many pauses as it has
        requests. After PATIENCE one request is sent after each pause, and the others fail at once. The same holds
        at a host that asks for a pause longer than LONGEST: the next request is sent after LONGEST.
        """
        now = self._clock()
        return self._closed_until > now or (self._is_hopeless(now) and self._level.paused_until > now)

    @property
    def stands_still(self) -> bool:
        """
        Whether requests of this kind have been waited for in vain, one after the other, and lately.

        The host answers others: it lists tags, and never ends a blob. Each image would wait for it again.
        """
        return self._stalls >= _STALLS and self._clock() - self._stalled_at < _STALLED_FOR

    def stood_still(self) -> None:
        """Record that a request was waited for in vain, for long."""
        now = self._clock()
        self._stalls = self._stalls + 1 if now - self._stalled_at < _STALLED_FOR else 1
        self._stalled_at = now

    def moved(self) -> None:
        """Record that a request came to its end, or much of it."""
        self._stalls = 0

    def give_another_chance(self) -> None:
        """Let requests be sent again, until the next one stands still."""
        self._stalls = min(self._stalls, _STALLS - 1)

    def _is_hopeless(self, now: float) -> bool:
        return self._refusals >= _REFUSALS and now - self._refused_since >= PATIENCE

    # The results of requests.

    def answered(self, *, under_way: int, seconds: float | None = None) -> None:
        """
        Record a success of a request that was one of so many under way when it began.

        `seconds` is the time to the first byte, for a small request whose times are comparable.
        """
        now = self._clock()
        self._count(now)
        self._refusals, self._closed_until = 0, 0.0
        if under_way > self._level.proven:
            self._level = levels.proved(self._level, under_way)
        if seconds is not None:
            # The least is forgotten over some thousand answers: a registry may have become slower for good.
            self._least = min(seconds, self._least * _FORGET) if self._least else seconds
            self._usual = self._usual + (seconds - self._usual) * _SMOOTH if self._usual else seconds
        if seconds is not None and self._is_slow:
            if now - self._eased >= _EASE_EVERY:
                self._eased = now
                self._change(levels.eased(self._level, now=now), "its answers are slow")
        elif not self._is_open:
            grown = levels.grown(self._level, now=now, by_number=self._by_number, by_pace=self._by_pace)
            self._by_number = self._by_pace = False
            self._change(grown)

    def refused(
        self, *, under_way: int, begun: float, wait: float | None, allowed: float | None, counted: bool
    ) -> None:
        """Record a refusal; the arguments are those of `aimd.refused`."""
        now = self._clock()
        if wait is not None and wait > LONGEST:
            self._closed_until, wait = now + LONGEST, None
        self._refused_since = self._refused_since if self._refusals else now
        self._refusals += 1
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
        """Record how many requests the registry says it still accepts in the coming seconds."""
        if number < max(self.held, 2):
            spent = levels.spent(self._level, left=number, seconds=seconds, now=self._clock())
            self._change(spent, "the registry says that few are left")

    def _change(self, level: Level, why: str = "") -> None:
        before, self._level = self._level, level
        self._is_open = level.is_open
        if level.rate is None or before.rate is None:
            self._next = 0.0
        if why and (level.limit, level.rate) != (before.limit, before.rate):
            self._log("less", why)
        elif not why and (level.limit > before.limit or (level.rate or 0) > (before.rate or 0)):
            self._log("more", "requests succeed")
        if level.limit > before.limit or level.paused_until > before.paused_until:
            self.slots.wake()

    def _log(self, direction: str, why: str) -> None:
        # Only a change of direction is logged, not each step.
        if direction != self._direction:
            self._direction = direction
            rate = "" if self._level.rate is None else f", {self._level.rate:.1f} a second"
            log.debug("%s: %s than before, %d at once%s: %s", self._what, direction, self.limit, rate, why)

    def _count(self, now: float) -> None:
        if self._since is None:
            self._since = self._second = now
        past = now - self._second
        if past >= 1.0:
            self._previous_successes = self._successes if past < 2.0 else 0
            self._successes = 0
            self._second = now if past >= 2.0 else self._second + 1.0
        self._successes += 1

    def _seen(self, now: float) -> float:
        """Return the successes of the last second, or their rate in the first second."""
        if self._since is None:
            return 0.0
        past = now - self._second
        if past >= 2.0:
            return 0.0
        if past >= 1.0:
            return self._successes * (2.0 - past)
        if self._second == self._since:
            # Less than a quarter of a second says too little.
            return self._successes / max(past, 0.25)
        return self._successes + self._previous_successes * (1.0 - past)

    @property
    def _is_slow(self) -> bool:
        return self._usual > max(self._least * _SLOW_TIMES, self._least + _SLOW_SECONDS)


class Asked:
    """One request of a bucket, from its beginning to its result."""

    __slots__ = ("_begun", "_bucket", "_counter", "_under_way")

    def __init__(self, bucket: Bucket, counter: Counter, begun: float) -> None:
        self._bucket = bucket
        self._counter = counter
        self._begun = begun
        self._under_way = bucket.held

    def answered(self, *, seconds: float | None) -> None:
        """Record a success; `seconds` is that of `Bucket.answered`."""
        self._bucket.answered(under_way=self._under_way, seconds=seconds)

    def left(self, number: int, seconds: float) -> None:
        """Record how many requests a success says that the registry still accepts in the coming seconds."""
        if seconds <= LONGEST and self._counter.report(number, of=self._bucket.kind, begun=self._begun):
            self._bucket.left(number, seconds)

    def refused(self, wait: float | None, *, said: str, counted: bool) -> None:
        """Record a refusal with the text that it `said`; the other arguments are those of `aimd.refused`."""
        self._bucket.refused(
            under_way=self._under_way,
            begun=self._begun,
            wait=wait,
            allowed=allowed_in(said),
            counted=counted,
        )


def allowed_in(text: str) -> float | None:
    """
    Return the requests per second that a refusal says are allowed, None if it does not.

    GHCR says "TOOMANYREQUESTS: retry-after: 10.305464ms, allowed: 2000/minute" (dependabot/cli#380).
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
        """Record the beginning of a request, which holds its slot."""
        return Asked(self._buckets[kind], self._counter, self._clock())

    def learned(self, before: Mapping[Kind, Start] | None = None) -> dict[Kind, Start]:
        """
        Return where the next pass should begin, for the kinds that the host limits.

        A start from `before` is kept for a kind that has not reached the ceiling since.
        """
        found: dict[Kind, Start] = {}
        for kind, bucket in self._buckets.items():
            start = levels.learned(bucket.level)
            if start is None and not bucket.level.is_open:
                start = (before or {}).get(kind)
            if start is not None:
                found[kind] = start
        return found
