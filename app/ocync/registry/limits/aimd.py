"""
How many requests of a kind a host gets at once and per second: additive increase, multiplicative decrease (AIMD).

Pure: a level and an event give the next level, and times are arguments. Registries do not say whether they limit
concurrent requests or requests per second. So both are adjusted: a refusal lowers the number at once, and also the
rate if many more requests at once have succeeded before.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from ocync.registry.limits.kinds import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

FLOOR_RATE = 1.0
"""Requests per second, the lowest rate: a registry with a lower limit says when to come back."""
# The least first rate. A pass with few requests has few successes, and no registry has a limit below this.
_FIRST_RATE = 10.0
_DROP = 0.7
_DROP_RATE = 0.8
# Other clients share the rate that a registry says it allows.
_SHARE = 0.5
# Growth per second below the level that was too much. It is reached again in some seconds, and passed slowly: a
# refusal every six seconds or so is the price of noticing that a registry accepts more than before.
_GAIN = 0.05
# Growth per second above it: the cause has passed, and one request at once becomes fifty within a minute.
_GAIN_BEYOND = 0.2
_LEAST_GAIN = 0.2
_LEAST_GAIN_BEYOND = 1.0
_LEAST_GAIN_RATE = 0.1
_HOLD = 3.0
"""Seconds after a refusal before anything grows again."""
# The most seconds of growth in one step, so that a level does not jump after a pause.
_STEP = 1.0
REST = 0.1
"""Seconds without a new request after a refusal that names no time; answers to earlier requests say more."""
_EASED = 0.9
_LEAST_EASED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """How many requests of one kind a host accepts, as far as is known; times are seconds of the caller's clock."""

    ceiling: int
    """The most requests at once."""
    at_once: float
    """From 1 to the ceiling."""
    rate: float | None = None
    """Requests per second; None where only `at_once` limits."""
    lost: float = 0.0
    """The number at once that was last refused; 0 for none."""
    lost_rate: float = 0.0
    """The rate that was last refused; 0 for none."""
    proven: int = 0
    """The largest number at once that succeeded."""
    lowered: float | None = None
    """When it was last lowered: answers to requests from before then say nothing new."""
    paused_until: float = 0.0
    changed: float = 0.0
    """The time up to which growth has been counted."""

    @property
    def limit(self) -> int:
        """The most requests that may be under way."""
        return max(1, int(self.at_once))

    @property
    def is_open(self) -> bool:
        """Whether only the ceiling limits requests."""
        return self.rate is None and self.at_once >= self.ceiling


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """
    Where a level begins, from the table of providers or an earlier pass; None means no limit.

    A number at once below 4 is raised to it, so that one bad hour does not slow down the next pass for long.
    """

    at_once: float | None = None
    rate: float | None = None


def first(ceiling: int, start: Start | None = None) -> Level:
    """
    Return the level to begin with: the ceiling, if there is no `start`.

    Growth from one would slow down every pass for the sake of a few registries, which refuse requests early.
    """
    ceiling = max(1, ceiling)
    start = start or Start()
    at_once = ceiling if start.at_once is None else min(max(start.at_once, 4.0), ceiling)
    rate = None if start.rate is None else max(start.rate, FLOOR_RATE)
    return Level(ceiling=ceiling, at_once=float(at_once), rate=rate, lost_rate=rate or 0.0)


def refused(
    level: Level,
    *,
    under_way: int,
    begun: float,
    now: float,
    seen: float,
    wait: float | None = None,
    allowed: float | None = None,
    counted: bool = True,
) -> Level:
    """
    Return the level after a refusal.

    `under_way` counts the request and those that were under way when it began, at `begun`. `seen` is the number of
    successes in the last second, `wait` the seconds that the registry asks to wait, `allowed` the requests per
    second
    that it says it allows. `counted` says that the registry counts requests (429); one that is overloaded or down
    (503) has no rate.
    """
    pause = max(level.paused_until, now + (REST if wait is None else wait))
    if level.lowered is not None and begun <= level.lowered:
        # It was sent together with one whose refusal has lowered the level already.
        return level if wait is None else replace(level, paused_until=pause, changed=max(level.changed, pause))
    at_once, rate, lost_rate = level.at_once, level.rate, level.lost_rate
    if under_way > max(level.proven, 1):
        proven = float(level.proven) if level.proven < at_once else 0.0
        at_once = max(1.0, at_once / 2, proven)
    elif under_way > max(level.proven / 2, 1):
        # Some of the `proven` requests may have been done at the registry while they were still under way here.
        at_once = max(1.0, min(at_once, level.proven) * _DROP)
    else:
        at_once = max(1.0, at_once * _DROP)
        if counted:
            floor = FLOOR_RATE if allowed is None else max(FLOOR_RATE, allowed * _SHARE)
            if rate is None:
                rate = max(seen, _FIRST_RATE) if allowed is None else allowed
            lost_rate = max(floor, rate)
            rate = max(floor, lost_rate * _DROP_RATE)
    return replace(
        level,
        at_once=at_once,
        rate=rate,
        lost=min(level.at_once, float(under_way)),
        lost_rate=lost_rate,
        proven=min(level.proven, int(at_once)),
        lowered=now,
        paused_until=pause,
        changed=max(now + _HOLD, pause),
    )


def grown(level: Level, *, now: float, by_number: bool, by_pace: bool) -> Level:
    """
    Return the level after a success.

    A limit grows only while it limits: `by_number` and `by_pace` say whether requests had to wait for the number at
    once, or for the rate, since the last success.
    """
    since = min(now - level.changed, _STEP)
    if since <= 0 or level.is_open:
        return level
    at_once, lost = level.at_once, level.lost
    if by_number:
        at_once, lost = _more(at_once, lost, since, _LEAST_GAIN, _LEAST_GAIN_BEYOND)
    rate, lost_rate = level.rate, level.lost_rate
    if by_pace and rate is not None:
        rate, lost_rate = _more(rate, lost_rate, since, _LEAST_GAIN_RATE, _LEAST_GAIN_RATE)
    return replace(
        level,
        at_once=min(at_once, float(level.ceiling)),
        rate=rate,
        lost=lost,
        lost_rate=lost_rate,
        changed=now,
    )


def _more(value: float, lost: float, seconds: float, least: float, beyond: float) -> tuple[float, float]:
    if value < lost:
        return value + seconds * max(least, _GAIN * lost), lost
    # What was refused before is accepted now.
    return value + seconds * max(beyond, _GAIN_BEYOND * value), 0.0


def eased(level: Level, *, now: float) -> Level:
    """Return a slightly lower level, but no low one, for a host whose answers have become slow."""
    least = float(min(_LEAST_EASED, level.ceiling))
    at_once = max(level.at_once * _EASED, min(level.at_once, least))
    return replace(level, at_once=at_once, changed=now)


def proved(level: Level, under_way: int) -> Level:
    """Return the level after the success of one of so many requests at once."""
    return replace(level, proven=max(level.proven, min(under_way, level.ceiling)))


def spent(level: Level, *, left: int, seconds: float, now: float) -> Level:
    """
    Return the level for a registry that says how many requests it still accepts in the coming seconds.

    If none are left, it pauses. If a few are, no more than these are made at once.
    """
    if left <= 0:
        return replace(level, paused_until=max(level.paused_until, now + seconds))
    return replace(level, at_once=min(level.at_once, float(max(1, left))))


def learned(level: Level) -> Start | None:
    """Return where the next pass should begin; None if the host has no limit."""
    if level.lowered is None or level.is_open:
        return None
    at_once = None if level.at_once >= level.ceiling else round(level.at_once, 1)
    return Start(at_once=at_once, rate=None if level.rate is None else round(level.rate, 1))


def text_of(starts: Mapping[Kind, Start]) -> str:
    """Return the starts of one host as a short text; equal starts give equal texts."""
    return json.dumps({kind.value: [starts[kind].at_once, starts[kind].rate] for kind in sorted(starts)})


def starts_in(text: str | None) -> dict[Kind, Start]:
    """Return the starts in a text of `text_of`, without invalid ones and unknown kinds."""
    try:
        parsed = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    found = {}
    for kind in Kind:
        match parsed.get(kind.value) if isinstance(parsed, dict) else None:
            case [at_once, rate] if _is_limit(at_once) and _is_limit(rate):
                found[kind] = Start(at_once=at_once, rate=rate)
    return found


def _is_limit(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and value > 0
