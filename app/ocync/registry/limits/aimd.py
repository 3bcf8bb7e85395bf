"""
How many requests of a kind go out at once, and how many in a second: additive increase, multiplicative decrease.

Pure: a level and what has happened give the next level; times are given. Registries do not say whether they count
what is under way or what comes in a second. So both are followed: a refusal lowers the number at once, and one of
much fewer than went well at once before lowers the rate too.
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
"""Requests a second that are made at the least: who takes fewer says when to come back."""
# What little went well of a pass that asks little is no limit; those that registries have are not below this.
_FIRST_RATE = 10.0
_DROP = 0.7
_DROP_RATE = 0.8
# What a registry says it allows is for all who share it.
_SHARE = 0.5
# What had been too much is reached again in some seconds, and passed slowly: a refusal every six seconds or so is
# what it costs to notice that a registry takes more than it did.
_GAIN = 0.05
# Above what was too much: it must have been something passing, and a minute brings a single request up to fifty.
_GAIN_BEYOND = 0.2
_LEAST_GAIN = 0.2
_LEAST_GAIN_BEYOND = 1.0
_LEAST_GAIN_RATE = 0.1
_HOLD = 3.0
"""Seconds after a refusal before anything grows again."""
# Seconds for which growth is counted at once, so that a pause brings no leap.
_STEP = 1.0
REST = 0.1
"""Seconds without a new request after a refusal that names no time: what is under way tells more meanwhile."""
_EASED = 0.9
_LEAST_EASED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What a host takes of one kind, as far as we know; times are those of the caller's clock, in seconds."""

    ceiling: int
    """How many at once may never be exceeded."""
    at_once: float
    """From 1 to the ceiling."""
    rate: float | None = None
    """How many in a second; None where only `at_once` counts."""
    lost: float = 0.0
    """How many at once were too much when that was seen last; 0 for never."""
    lost_rate: float = 0.0
    """How many in a second were too much when that was seen last; 0 for never."""
    proven: int = 0
    """How many under way at once went well."""
    lowered: float | None = None
    """When it was lowered last: what was asked before then tells nothing new."""
    paused_until: float = 0.0
    changed: float = 0.0
    """Until when growth has been counted."""

    @property
    def limit(self) -> int:
        """How many may be under way."""
        return max(1, int(self.at_once))

    @property
    def is_open(self) -> bool:
        """Whether nothing holds requests back but the ceiling."""
        return self.rate is None and self.at_once >= self.ceiling


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """
    Where a level begins, as a table of registries knows it or an earlier pass has learned it; None is not limited.

    A number at once below 4 is raised to it: what was learned in a bad hour should not slow the next pass for long.
    """

    at_once: float | None = None
    rate: float | None = None


def first(ceiling: int, start: Start | None = None) -> Level:
    """
    Return the level to begin with: the ceiling, where nothing else is known.

    A climb from one would make every pass slower for the few registries that take less, and those say so in their
    first answers.
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

    `under_way` counts the request and those that were under way when it began, at `begun`; `seen` is how many were
    answered well in the last second, `wait` what the registry asked us to wait, `allowed` how many a second it said
    that it takes. `counted` says that the registry counts requests (429): one that is overloaded, or not there at
    all (503), has no rate to find.
    """
    pause = max(level.paused_until, now + (REST if wait is None else wait))
    if level.lowered is not None and begun <= level.lowered:
        # One of those that went out together with the one that we have answered to already.
        return level if wait is None else replace(level, paused_until=pause, changed=max(level.changed, pause))
    at_once, rate, lost_rate = level.at_once, level.rate, level.lost_rate
    if under_way > max(level.proven, 1):
        proven = float(level.proven) if level.proven < at_once else 0.0
        at_once = max(1.0, at_once / 2, proven)
    elif under_way > max(level.proven / 2, 1):
        # Those that went well may have been answered there already when this many were under way here.
        at_once = max(1.0, min(at_once, level.proven) * _DROP)
    else:
        at_once = max(1.0, at_once * _DROP)
        if counted:
            floor = FLOOR_RATE if allowed is None else max(FLOOR_RATE, allowed * _SHARE)
            lost_rate = max(floor, _first_rate(seen, allowed) if rate is None else rate)
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


def _first_rate(seen: float, allowed: float | None) -> float:
    return max(seen, _FIRST_RATE) if allowed is None else allowed


def grown(level: Level, *, now: float, by_number: bool, by_pace: bool) -> Level:
    """
    Return the level after an answer that went well.

    Only what is made use of grows: `by_number` and `by_pace` say whether requests had to wait for the number at
    once, or for the rate, since the last answer.
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
    # What was too much no longer is: from here on growth goes by what has been reached.
    return value + seconds * max(beyond, _GAIN_BEYOND * value), 0.0


def eased(level: Level, *, now: float) -> Level:
    """Return the level where answers take much longer than they could: a little less, and never few."""
    least = float(min(_LEAST_EASED, level.ceiling))
    at_once = max(level.at_once * _EASED, min(level.at_once, least))
    return replace(level, at_once=at_once, changed=now)


def proved(level: Level, under_way: int) -> Level:
    """Return the level after so many at once went well."""
    return replace(level, proven=max(level.proven, min(under_way, level.ceiling)))


def spent(level: Level, *, left: int, seconds: float, now: float) -> Level:
    """
    Return the level where the registry says how many requests it still takes in the seconds to come.

    None left is a pause; a few left are not asked for by more at once than that.
    """
    if left <= 0:
        return replace(level, paused_until=max(level.paused_until, now + seconds))
    return replace(level, at_once=min(level.at_once, float(max(1, left))))


def learned(level: Level) -> Start | None:
    """Return where the next pass should begin; None where the host takes all."""
    if level.lowered is None or level.is_open:
        return None
    at_once = None if level.at_once >= level.ceiling else round(level.at_once, 1)
    return Start(at_once=at_once, rate=None if level.rate is None else round(level.rate, 1))


def text_of(starts: Mapping[Kind, Start]) -> str:
    """Return the starts of one host as a short text; the same starts are the same text."""
    return json.dumps({kind.value: [starts[kind].at_once, starts[kind].rate] for kind in sorted(starts)})


def starts_in(text: str | None) -> dict[Kind, Start]:
    """Read what `text_of` made; what is nonsense, or of a kind that is not known, is left out."""
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
