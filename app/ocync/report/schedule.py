"""
The longest time between two runs of a cron schedule, from which an alert knows when a run is overdue.

The syntax is that of Kubernetes, whose parser is https://github.com/robfig/cron (v3): five fields, the descriptors
`@hourly` to `@yearly`, and `@every` with a duration of Go. cronsim and croniter read Debian's cron, which refuses
`?`, accepts `7` and `L`, and needs both days to match where one of them is `*/2`.
"""

from __future__ import annotations

import re
from datetime import date
from itertools import pairwise, product
from typing import TypeAlias

_Field: TypeAlias = tuple[set[int], bool]
"""The numbers that a field matches, and whether it is a wildcard."""

_DAY = 24 * 60
_ZONE = re.compile(r"(?:CRON_)?TZ=\S* (.*)", re.DOTALL)
_NUMBER = re.compile(r"\+?[0-9]{1,18}")
_PART = re.compile(r"([0-9]{1,18}\.?[0-9]{0,18}|\.[0-9]{1,18})(ns|[uµμ]s|ms|s|m|h)")
_DURATION = re.compile(rf"[-+]?(?:{_PART.pattern})+")
_SECOND = 10**9
_NANOSECONDS = {"ns": 1, "ms": 10**6, "s": _SECOND, "m": 60 * _SECOND, "h": 3600 * _SECOND}
_NANOSECONDS |= dict.fromkeys(("us", "\u00b5s", "\u03bcs"), 1000)
_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_FIELDS: tuple[tuple[int, int, list[str]], ...] = (
    (0, 59, []),
    (0, 23, []),
    (1, 31, []),
    (1, 12, _MONTHS),
    (0, 6, _WEEKDAYS),
)
"""The lowest and the highest number of each field, and the names of the numbers, if they have names."""

# From 1901 to 2099, leap years and weekdays repeat every 28 years, so these hold every gap.
_FIRST, _END = date(2001, 1, 1).toordinal(), date(2029, 1, 1).toordinal()


def longest_gap(expression: str) -> float | None:
    """
    Return the longest time in seconds from one run of a cron expression to the next.

    The result is None for an expression that is invalid, or that never matches (30 February). Days have 24 hours:
    daylight saving time and the time zone before an expression (`TZ=`) are ignored.
    """
    zoned = _ZONE.fullmatch(expression)
    bare = zoned[1].strip() if zoned else expression
    try:
        if bare.startswith("@every "):
            return _every(bare.removeprefix("@every "))
        # The wrong number of fields is a ValueError too.
        texts = zip(_FIELDS, _DESCRIPTORS.get(bare, bare).split(), strict=True)
        fields = [_field(text, *bounds) for bounds, text in texts]
    except ValueError:
        return None
    times = sorted(hour * 60 + minute for minute, hour in product(fields[0][0], fields[1][0]))
    days = _days(*fields[2:])
    if not times or not days:
        return None
    within_a_day = max((later - earlier for earlier, later in pairwise(times)), default=0)
    days_apart = max(later - earlier for earlier, later in pairwise([*days, days[0] + _END - _FIRST]))
    return 60.0 * max(within_a_day, days_apart * _DAY - times[-1] + times[0])


def _field(text: str, lowest: int, highest: int, names: list[str]) -> _Field:
    """Parse a field; raises ValueError."""
    numbers, is_wildcard = set[int](), False
    for part in filter(None, text.split(",")):
        span, slash, stride = part.partition("/")
        step = _number(stride) if slash else 1
        low, hyphen, high = span.partition("-")
        if low in ("*", "?"):
            first, last = lowest, highest
            is_wildcard = is_wildcard or step == 1
        else:
            first = last = _number(low, lowest, names)
            if hyphen:
                last = _number(high, lowest, names)
            elif slash:
                last = highest
        if step < 1 or not lowest <= first <= last <= highest:
            raise ValueError(part)
        numbers.update(range(first, last + 1, step))
    return numbers, is_wildcard


def _number(text: str, lowest: int = 0, names: list[str] | None = None) -> int:
    if names and text.lower() in names:
        return names.index(text.lower()) + lowest
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return int(text)


def _days(days: _Field, months: _Field, weekdays: _Field) -> list[int]:
    """Return the ordinals of all days with a run. If neither day field is a wildcard, one match is enough."""
    match = all if days[1] or weekdays[1] else any
    found = []
    for ordinal in range(_FIRST, _END):
        day = date.fromordinal(ordinal)
        # The ordinal of a Sunday is a multiple of 7.
        if day.month in months[0] and match((day.day in days[0], ordinal % 7 in weekdays[0])):
            found.append(ordinal)
    return found


def _every(text: str) -> float:
    """Return the whole seconds of a duration of Go, at least 1; raises ValueError."""
    if text in ("0", "+0", "-0"):
        return 1.0
    if not _DURATION.fullmatch(text):
        raise ValueError(text)
    nanoseconds = sum(round(float(number) * _NANOSECONDS[unit]) for number, unit in _PART.findall(text))
    if nanoseconds >= 2**63:
        raise ValueError(text)
    return 1.0 if text.startswith("-") else float(max(1, nanoseconds // _SECOND))
