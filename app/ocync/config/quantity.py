"""Durations and sizes as people write them."""

from __future__ import annotations

import re
from decimal import Decimal

_PART = re.compile(r"([0-9]+)([smhd])", re.ASCII)
_DURATION = re.compile(r"(?:[0-9]+[smhd])+", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = 100 * 366 * 86400
"""Seconds; timers take no more than this safely, and nobody means it."""

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)([KMGT]?)(I?)(B?)", re.ASCII | re.IGNORECASE)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_LARGEST = 1 << 60


def duration(written: str | int) -> float:
    """
    Return the seconds of `90`, `90s`, `30m`, `12h`, `1d` or `1h30m`; raises ValueError.

    A number alone is seconds.
    """
    text = str(written)
    if re.fullmatch("[0-9]+", text, re.ASCII):
        parts = [(text, "s")]
    elif _DURATION.fullmatch(text):
        parts = _PART.findall(text)
    else:
        raise ValueError("is not a duration: write seconds, or 90s, 30m, 12h, 1d, 1h30m")
    if any(len(digits) > 12 for digits, _ in parts):
        raise ValueError("is longer than a hundred years")
    seconds = sum(int(digits) * _SECONDS[unit] for digits, unit in parts)
    if seconds > _LONGEST:
        raise ValueError("is longer than a hundred years")
    return float(seconds)


def size(written: str | int) -> int:
    """
    Return the bytes of `1000`, `2GB` or `10MiB`; raises ValueError.

    KB, MB, GB and TB are powers of 1000, KiB, MiB, GiB and TiB of 1024; the B may be left out, and case is free.
    """
    found = _SIZE.fullmatch(str(written))
    if found is None or (found[3] and not found[2]):
        raise ValueError("is not a size: write bytes, or 500MB, 2GB, 10MiB")
    if len(found[1]) > 25:
        raise ValueError("is larger than any disk")
    base = 1024 if found[3] else 1000
    count = int(Decimal(found[1]) * base ** _POWERS[found[2].upper()])
    if count > _LARGEST:
        raise ValueError("is larger than any disk")
    return count
