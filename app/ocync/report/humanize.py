"""Numbers formatted for people. Pure."""

from __future__ import annotations

import math

_UNITS = ("kB", "MB", "GB", "TB", "PB")


def size(count: float) -> str:
    """Return bytes in decimal units: `0 B`, `999 B`, `1.0 kB`, `31.5 MB`."""
    if count < 1000:
        return f"{count:.0f} B"
    value, unit = count / 1000, _UNITS[0]
    for larger in _UNITS[1:]:
        # 999.95 would be rounded to 1000.0.
        if value < 999.95:
            break
        value, unit = value / 1000, larger
    return f"{value:.1f} {unit}"


def rate(count: float, seconds: float) -> str:
    """Return bytes per second, `31.5 MB/s`; the time counts as at least a millisecond."""
    return f"{size(count / max(seconds, 0.001))}/s"


def span(seconds: float) -> str:
    """Return a time: `0.4 s`, `38 s`, `1m05s`, `2h03m`, `3d04h`."""
    if not math.isfinite(seconds):
        return "unknown"
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}h{minutes:02d}m"
    days, hours = divmod(hours, 24)
    return f"{days}d{hours:02d}h"


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: `1 image`, `1,234 images`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def short(digest: str) -> str:
    """Return the beginning of a digest: `sha256:0123456789ab`."""
    algorithm, colon, encoded = digest.partition(":")
    return f"{algorithm}{colon}{encoded[:12]}"
