"""How long a token lives, as far as it says so itself. Pure; nothing here is believed of it but that."""

from __future__ import annotations

import json
import math
from base64 import urlsafe_b64decode
from binascii import Error as Base64Error


def life_of(token: str, *, otherwise: float) -> float:
    """
    Return the seconds between a JSON web token's `iat` (else `nbf`) and `exp` (RFC 7519, section 4.1).

    It is taken from the moment when the token came, so that clocks need not agree. A token that does not say it, or
    nonsense, has `otherwise`.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return otherwise
    try:
        claims = json.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (Base64Error, ValueError, RecursionError):
        return otherwise
    if not isinstance(claims, dict):
        return otherwise
    begins, ends = claims.get("iat", claims.get("nbf")), claims.get("exp")
    life = _seconds(ends) - _seconds(begins)
    return life if math.isfinite(life) and life > 0 else otherwise


def _seconds(value: object) -> float:
    """Return a NumericDate; not a number for anything else."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e12
    return float(value) if is_number else math.nan  # type: ignore[arg-type]
