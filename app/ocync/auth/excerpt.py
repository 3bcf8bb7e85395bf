"""Words of others, fit for our messages: one line, short, and with what may be a secret taken out. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHOWN = 200
_CONTROL = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]+")
_NAMED = re.compile(r"(?i)((?:password|passwd|secret)[\"']?\s*[:=]\s*[\"']?)[^\s\"',;}]+")
_NAMED_TOKEN = re.compile(r"(?i)((?:token|auth|authorization)[\"']?\s*[:=]\s*[\"']?)(?=[^\s\"',;}]*\d)[^\s\"',;}]+")
_USERINFO = re.compile(r"(?<=://)[^/\s@]+@")
# Keys and tokens are long and mix letters with digits; words, host names and paths do not do that between dots.
_OPAQUE = re.compile(r"(?=[A-Za-z+_=-]*[0-9])(?=[0-9+_=-]*[A-Za-z])[A-Za-z0-9+_=-]{20,}")


def excerpt(text: str, *, secrets: Iterable[str] = ()) -> str:
    """Return the text as one line of at most 200 characters, without the secrets and what looks like one."""
    # The cut comes first and last: a body of a megabyte need not be searched, and marks lengthen nothing.
    shown = text[: _SHOWN * 20]
    for secret in sorted({each for each in secrets if each}, key=len, reverse=True):
        shown = shown.replace(secret, "***")
    shown = _USERINFO.sub("***@", shown)
    shown = _OPAQUE.sub("***", _NAMED_TOKEN.sub(r"\1***", _NAMED.sub(r"\1***", shown)))
    shown = _CONTROL.sub(" ", shown).strip()
    return shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"
