"""
How long a cron schedule lets pass between two runs, so that metrics can tell when a run is overdue.

Reads what Kubernetes reads, which is the standard parser of https://github.com/robfig/cron (v3): five fields, the
descriptors `@hourly` to `@yearly`, and `@every` with a duration as Go writes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from itertools import pairwise, product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAY_NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

# From 1901 to 2099, leap years and weekdays repeat every 28 years: these hold every gap that there is.
_FIRST, _END = date(2001, 1, 1).toordinal(), date(2029, 1, 1).toordinal()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """The numbers that a field of the expression may hold."""

    lowest: int
    highest: int
    names: Mapping[str, int]

    def number(self, text: str) -> int:
        named = self.names.get(text.lower())
        if named is not None:
            return named
        return _number(text)

    def read(self, text: str) -> _Values:
        """Raise ValueError for what the field can't hold."""
        parts = [self._range(each) for each in text.split(",") if each]
        return _Values(
            numbers=frozenset(number for numbers, _any in parts for number in numbers),
            any=any(is_any for _numbers, is_any in parts),
        )

    def _range(self, text: str) -> tuple[range, bool]:
        span, slash, stride = text.partition("/")
        step = _number(stride) if slash else 1
        low, hyphen, high = span.partition("-")
        is_any = low in ("*", "?")
        if is_any:
            first, last = self.lowest, self.highest
        else:
            first = last = self.number(low)
            if hyphen:
                last = self.number(high)
            elif slash:
                last = self.highest
        if step < 1 or not self.lowest <= first <= last <= self.highest:
            raise ValueError(text)
        return range(first, last + 1, step), is_any and step == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Values:
    numbers: frozenset[int]
    any: bool
    """Whether the field was left open, which for days makes the other field decide alone."""


_FIELDS = (
    _Field(lowest=0, highest=59, names={}),
    _Field(lowest=0, highest=23, names={}),
    _Field(lowest=1, highest=31, names={}),
    _Field(lowest=1, highest=12, names={name: number for number, name in enumerate(_MONTH_NAMES, 1)}),
    _Field(lowest=0, highest=6, names={name: number for number, name in enumerate(_WEEKDAY_NAMES)}),
)


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
        minutes, hours, days, months, weekdays = [field.read(text) for field, text in fields]
    except ValueError:
        return None
    times = sorted(hour * 60 + minute for hour, minute in product(hours.numbers, minutes.numbers))
    dates = _dates(days, months, weekdays)
    if not times or not dates:
        return None
    between_days = max(_gaps([*dates, dates[0] + _END - _FIRST])) * _DAY - times[-1] + times[0]
    return float(max(between_days, *_gaps(times), 0) * _MINUTE)


def _dates(days: _Values, months: _Values, weekdays: _Values) -> list[int]:
    """Return the ordinals of all days of the 28 years with a run. Of two restricted day fields, either will do."""
    either = not (days.any or weekdays.any)
    found = []
    for ordinal in range(_FIRST, _END):
        each = date.fromordinal(ordinal)
        # An ordinal is a multiple of 7 on Sundays.
        named, on_weekday = each.day in days.numbers, ordinal % 7 in weekdays.numbers
        matches = named or on_weekday if either else named and on_weekday
        if matches and each.month in months.numbers:
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
