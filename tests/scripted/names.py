"""The grammar of names, tags and digests (distribution-spec 1.1, "Pulling manifests"; image-spec, "Digests")."""

from __future__ import annotations

import re

from scripted.problem import RefusedError

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}


def is_name(text: str) -> bool:
    """Tell whether this can be a repository."""
    return len(text) <= 255 and _NAME.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Tell whether this can be a tag."""
    return _TAG.fullmatch(text) is not None


def is_digest(text: str) -> bool:
    """Tell whether this is a digest of a known algorithm."""
    algorithm, _, encoded = text.partition(":")
    return len(encoded) == _LENGTHS.get(algorithm) and re.fullmatch(r"[0-9a-f]+", encoded) is not None


def check_digest(text: str | None) -> str:
    """Return a digest; raises RefusedError for what is none."""
    if text is None or not is_digest(text):
        raise RefusedError(400, "DIGEST_INVALID", f"{text!r} is not a digest")
    return text
