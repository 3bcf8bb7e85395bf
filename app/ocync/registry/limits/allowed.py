"""What a refusal says of how many requests are allowed."""

from __future__ import annotations

import re

_ALLOWED = re.compile(r"allowed: *([1-9][0-9]{0,8})/(second|minute|hour)", re.ASCII | re.IGNORECASE)
_UNITS = {"second": 1, "minute": 60, "hour": 3600}


def allowed_in(text: str) -> float | None:
    """
    Return how many requests a second a refusal says are allowed, if it does.

    As GHCR's "TOOMANYREQUESTS: retry-after: 10.305464ms, allowed: 2000/minute" (dependabot/cli#380).
    """
    match = _ALLOWED.search(text)
    return None if match is None else int(match.group(1)) / _UNITS[match.group(2).lower()]
