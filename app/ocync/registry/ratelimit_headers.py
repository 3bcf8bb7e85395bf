"""What registries tell of their limits: how much is left, until when, and how long to stay away. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ocync.registry.http.message import Headers

DURATION = r"(?:(?:\d{1,12}(?:\.\d{0,18})?|\.\d{1,18})(?:ns|us|µs|μs|ms|h|m|s))"
"""Pattern of one part of a duration in Go's syntax."""
_PART = re.compile(r"([\d.]+)(ns|us|µs|μs|ms|h|m|s)", re.ASCII)
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER = re.compile(r"\s*(\d{1,15})\s*(?:[,;]|$)", re.ASCII)
_WINDOW = re.compile(r";\s*w=(\d{1,9})\b", re.ASCII)
# One member of RateLimit or RateLimit-Policy: a name, and parameters that may be strings or bytes themselves. Both
# end within 128 characters: the search for an end that never comes begins anew at each quote.
_STRING = r'"(?:[^"\\]|\\.){0,128}"'
_VALUE = rf'(?:{_STRING}|:[^:]{{0,128}}:|[^\s;,"]+)'
_MEMBER = re.compile(rf"({_STRING})((?:\s*;\s*[a-z*][a-z0-9_.*-]*(?:={_VALUE})?)*)", re.ASCII)
_PARAMETER = re.compile(r";\s*([a-z]+)=(\d{1,15})(?=\s*(?:;|$))", re.ASCII)
_MAX_FIELD = 4096
"""Characters of RateLimit or RateLimit-Policy that are read at most."""
# Seconds since 1970 that no header means as a length of time: thirty years.
_A_DATE = 1_000_000_000
AGES = 10 * 365 * 86400.0
"""Seconds that no wait is longer than, nor any date told that lies later: ten years."""


def go_duration(text: str) -> float | None:
    """Return the seconds of a duration as Go writes it (`1m30s`, `10.3ms`, `75µs`); None for anything else."""
    if re.fullmatch(DURATION + "{1,8}", text) is None:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def retry_after(value: str | None, now: datetime) -> float | None:
    """
    Read a Retry-After header (RFC 9110 section 10.2.3): seconds or a date; None for none or nonsense.

    Parts of a second and durations as Go writes them, which no document allows, are read too. A date in the past is
    0, and more than ten years are ten. How long is really waited is RetryPolicy's business.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        # A number of thousands of digits is refused before it is turned into one.
        return min(float(text[:12]), AGES)
    is_number = not any(char.isalpha() for char in text)
    duration = go_duration(f"{text}s" if is_number else text)
    if duration is not None:
        return min(duration, AGES)
    moment = date(text)
    return None if moment is None else min(max((moment - now).total_seconds(), 0.0), AGES)


def date(value: str | None) -> datetime | None:
    """Read a date of HTTP (RFC 9110 section 5.6.7) in any of its forms; None for none or nonsense."""
    try:
        moment = parsedate_to_datetime(value or "")
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


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


def tells_allowance(headers: Headers) -> bool:
    """Return whether there is anything for `read_allowance` to read."""
    return "ratelimit-remaining" in headers or "x-ratelimit-remaining" in headers or "ratelimit" in headers


def read_allowance(headers: Headers, now: float) -> Allowance | None:
    """
    Read RateLimit-Remaining, -Limit and -Reset, or their forms with `X-`; None where they are not told or nonsense.

    Docker Hub says `100;w=21600` (docs.docker.com, usage/pulls); GitLab and GitHub give the second at which a
    window ends, others the seconds until then. `now` is in seconds since 1970. Where there are none of these,
    RateLimit and RateLimit-Policy are read (draft-ietf-httpapi-ratelimit-headers-08 and later).
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
    return _structured(headers)


def _structured(headers: Headers) -> Allowance | None:
    """Read the policy of which the least is left, `"hour";r=50;t=30` with `"hour";q=100;w=3600`."""
    policies = dict(_members(headers, "ratelimit-policy"))
    found = [
        Allowance(
            remaining=told["r"],
            limit=(policy := policies.get(name, {})).get("q"),
            window=policy.get("w"),
            resets_in=told.get("t"),
        )
        for name, told in _members(headers, "ratelimit")
        if "r" in told
    ]
    return min(found, key=lambda each: (each.remaining, -(each.renewed_in or 0)), default=None)


def _members(headers: Headers, name: str) -> list[tuple[str, dict[str, int]]]:
    told, found = ", ".join(headers.get_list(name)), []
    if len(told) > _MAX_FIELD:
        # What stands behind the last comma may be half a number.
        told = told[:_MAX_FIELD].rpartition(",")[0]
    for member in _MEMBER.finditer(told):
        parameters = {key: int(value) for key, value in _PARAMETER.findall(member.group(2))}
        found.append((member.group(1), parameters))
    return found
