"""Numbers as people read them. Pure."""

from __future__ import annotations

import math

_UNITS = ("kB", "MB", "GB", "TB", "PB")


def size(count: float) -> str:
    """`0 B`, `999 B`, `1.0 kB`, `31.5 MB`: decimal units, as registries' own pages show them."""
    if count < 1000:
        return f"{count:.0f} B"
    value, unit = count / 1000, _UNITS[0]
    for larger in _UNITS[1:]:
        # What would be shown as 1000.0 belongs to the next unit.
        if value < 999.95:
            break
        value, unit = value / 1000, larger
    return f"{value:.1f} {unit}"


def rate(count: float, seconds: float) -> str:
    """`31.5 MB/s`; a time too short to tell counts as a millisecond."""
    return f"{size(count / max(seconds, 0.001))}/s"


def span(seconds: float) -> str:
    """`0.4 s`, `38 s`, `1m05s`, `2h03m`, `3d04h`."""
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
    """`1 image`, `1,234 images`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def short(digest: str) -> str:
    """`sha256:0123456789ab`: what tells two digests apart."""
    algorithm, colon, encoded = digest.partition(":")
    return f"{algorithm}{colon}{encoded[:12]}"
