"""
How long a cron schedule lets pass between two runs, so that metrics can tell when a run is overdue.

Reads what Kubernetes reads, which is the standard parser of https://github.com/robfig/cron (v3): five fields, the
descriptors `@hourly` to `@yearly`, and `@every` with a duration as Go writes it. cronsim and croniter read Debian's
cron: they refuse `?`, take `7` and `L`, and need both days to match where one of them is `*/2`.
"""

from __future__ import annotations

import re
from datetime import date
from itertools import pairwise, product
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

_Field: TypeAlias = tuple[set[int], bool]

_MINUTE = 60
_DAY = 24 * 60
_ZONE = re.compile(r"(?:CRON_)?TZ=\S* (.*)", re.DOTALL)
_NUMBER = re.compile(r"\+?[0-9]{1,18}")
_DURATION = re.compile(r"[-+]?(?:(?:[0-9]{1,18}\.?[0-9]{0,18}|\.[0-9]{1,18})(?:ns|[uµμ]s|ms|s|m|h))+")
_PART = re.compile(r"([0-9.]+)([a-zµμ]+)")
_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "\u00b5s": 10**3,
    "\u03bcs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_LONGEST_DURATION = 2**63 - 1
_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FIELDS: tuple[tuple[int, int, tuple[str, ...]], ...] = (
    (0, 59, ()),
    (0, 23, ()),
    (1, 31, ()),
    (1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")),
    (0, 6, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)
"""Lowest and highest number of each field, and the names of all of them, where they have names."""

# From 1901 to 2099, leap years and weekdays repeat every 28 years: these hold every gap that there is.
_FIRST, _END = date(2001, 1, 1).toordinal(), date(2029, 1, 1).toordinal()


def longest_gap(expression: str) -> float | None:
    """
    Return the longest time in seconds from one run of a cron expression to the next.

    None for an expression that can't be read, or that names no day there is (30 February). Days have 24 hours: what
    daylight saving adds or takes is left out, and so is the time zone in front of an expression (`TZ=`).
    """
    zoned = _ZONE.fullmatch(expression)
    bare = zoned[1].strip() if zoned else expression
    try:
        if bare.startswith("@every "):
            return _every(bare.removeprefix("@every "))
        # A list of fields that is too long or too short is a ValueError too.
        fields = zip(_FIELDS, _DESCRIPTORS.get(bare, bare).split(), strict=True)
        read = [_field(text, *bounds) for bounds, text in fields]
    except ValueError:
        return None
    minutes, hours = read[0][0], read[1][0]
    times = sorted(hour * 60 + minute for hour, minute in product(hours, minutes))
    dates = _dates(*read[2:])
    if not times or not dates:
        return None
    between_days = max(_gaps([*dates, dates[0] + _END - _FIRST])) * _DAY - times[-1] + times[0]
    return float(max(between_days, *_gaps(times), 0) * _MINUTE)


def _field(text: str, lowest: int, highest: int, names: tuple[str, ...]) -> _Field:
    """Return the numbers that a field names, and whether it is left open; raises ValueError for what is neither."""
    numbers, is_open = set[int](), False
    for part in filter(None, text.split(",")):
        span, slash, stride = part.partition("/")
        step = _number(stride) if slash else 1
        low, hyphen, high = span.partition("-")
        if low in ("*", "?"):
            first, last = lowest, highest
            is_open = is_open or step == 1
        else:
            first = last = _named(low, names, lowest)
            if hyphen:
                last = _named(high, names, lowest)
            elif slash:
                last = highest
        if step < 1 or not lowest <= first <= last <= highest:
            raise ValueError(part)
        numbers.update(range(first, last + 1, step))
    return numbers, is_open


def _named(text: str, names: tuple[str, ...], lowest: int) -> int:
    return names.index(text.lower()) + lowest if text.lower() in names else _number(text)


def _dates(days: _Field, months: _Field, weekdays: _Field) -> list[int]:
    """Return the ordinals of all days of the 28 years with a run. Of two restricted day fields, either will do."""
    either = not (days[1] or weekdays[1])
    found = []
    for ordinal in range(_FIRST, _END):
        each = date.fromordinal(ordinal)
        # An ordinal is a multiple of 7 on Sundays.
        named, on_weekday = each.day in days[0], ordinal % 7 in weekdays[0]
        matches = named or on_weekday if either else named and on_weekday
        if matches and each.month in months[0]:
            found.append(ordinal)
    return found


def _gaps(numbers: list[int]) -> Iterable[int]:
    return (later - earlier for earlier, later in pairwise(numbers))


def _every(text: str) -> float:
    """Return the whole seconds of a duration of Go; the scheduler makes less than one second one."""
    if text in ("0", "+0", "-0"):
        return 1.0
    if not _DURATION.fullmatch(text):
        raise ValueError(text)
    nanoseconds = sum(round(float(number) * _NANOSECONDS[unit]) for number, unit in _PART.findall(text))
    if nanoseconds > _LONGEST_DURATION:
        raise ValueError(text)
    return 1.0 if text.startswith("-") else float(max(1, nanoseconds // 10**9))


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return int(text)
