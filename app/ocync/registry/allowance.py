"""What registries tell of their limits: how much is left, until when, and durations as Go writes them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ocync.http.message import Headers

DURATION = r"(?:(?:\d{1,12}(?:\.\d{0,18})?|\.\d{1,18})(?:ns|us|µs|μs|ms|h|m|s))"
"""Pattern of one part of a duration in Go's syntax."""
_PART = re.compile(r"([\d.]+)(ns|us|µs|μs|ms|h|m|s)", re.ASCII)
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER = re.compile(r"\s*(\d{1,15})\s*(?:[,;]|$)", re.ASCII)
_WINDOW = re.compile(r";\s*w=(\d{1,9})\b", re.ASCII)
# Seconds since 1970 that no header means as a length of time: thirty years.
_A_DATE = 1_000_000_000


def go_duration(text: str) -> float | None:
    """Return the seconds of a duration as Go writes it (`1m30s`, `10.3ms`, `75µs`); None for anything else."""
    if re.fullmatch(DURATION + "{1,8}", text) is None:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """How many requests a registry still allows."""

    remaining: int
    limit: int | None = None
    window: float | None = None
    """Seconds for which the limit counts: what is used now is given back after no longer."""
    resets_in: float | None = None
    """Seconds until the whole limit is there again, where that is told."""

    @property
    def renewed_in(self) -> float | None:
        """Seconds after which more is allowed, at the latest."""
        return self.resets_in if self.resets_in is not None else self.window


def read_allowance(headers: Headers, now: float) -> Allowance | None:
    """
    Read RateLimit-Remaining, -Limit and -Reset, or their forms with `X-`; None where they are not told or nonsense.

    Docker Hub says `100;w=21600` (docs.docker.com, usage/pulls); GitLab and GitHub give the second at which a
    window ends, others the seconds until then. `now` is in seconds since 1970.
    """
    for prefix in ("", "x-"):
        told = headers.get(f"{prefix}ratelimit-remaining") or ""
        remaining = _NUMBER.match(told)
        if remaining is None:
            continue
        limit = headers.get(f"{prefix}ratelimit-limit") or ""
        reset = _NUMBER.match(headers.get(f"{prefix}ratelimit-reset") or "")
        number, window = _NUMBER.match(limit), _WINDOW.search(told) or _WINDOW.search(limit)
        resets_in = float(reset.group(1)) if reset else None
        if resets_in is not None and resets_in >= _A_DATE:
            resets_in = max(resets_in - now, 0.0)
        return Allowance(
            remaining=int(remaining.group(1)),
            limit=int(number.group(1)) if number else None,
            window=float(window.group(1)) if window else None,
            resets_in=resets_in,
        )
    return None
