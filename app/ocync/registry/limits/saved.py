"""Where limits should begin, as a text that can be kept from pass to pass."""

from __future__ import annotations

import json
from math import isfinite
from typing import TYPE_CHECKING, Any

from ocync.registry.limits.aimd import Start
from ocync.registry.limits.kinds import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping


def text_of(starts: Mapping[Kind, Start]) -> str:
    """Return the starts of one host as a short text; the same starts are the same text."""
    return json.dumps({kind.value: [starts[kind].at_once, starts[kind].rate] for kind in sorted(starts)})


def starts_in(text: str | None) -> dict[Kind, Start]:
    """Read what `text_of` made; what is nonsense, or of a kind that is not known, is left out."""
    try:
        parsed = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    found = {}
    for kind in Kind:
        match parsed.get(kind.value) if isinstance(parsed, dict) else None:
            case [at_once, rate] if _is_limit(at_once) and _is_limit(rate):
                found[kind] = Start(at_once=at_once, rate=rate)
    return found


def _is_limit(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and value > 0
