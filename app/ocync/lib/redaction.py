"""
Text made fit to be shown: without secrets, and with control characters as escapes.

The redaction is the second line of defence: our own messages are written without secrets. It is for what other
libraries log, for exceptions that hold more than expected, and for registries that repeat a token in an error.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable
    from re import Match

MARK = "***"
_SHORTEST = 4
"""Characters; a shorter value would match by accident."""
_LONGEST = 256 * 1024
_REMEMBERED = 256
"""Secrets; a program that runs for months gets new tokens every hour, and the old ones expire."""

# Everything after `Authorization:` to the end of the line or the closing quote, whatever the scheme; also in a dict
# or list, where the name has quotes of its own.
_HEADER = re.compile(
    r"""((?:authorization|cookie|x-registry-auth)["']?\s*[:=]\s*(?:b?["'])?|["'](?:proxy-)?authorization["'],\s*b?["'])"""
    r"""(?!\s)[^"'\r\n]+""",
    re.IGNORECASE,
)
# `Bearer` is followed by a token, except in a challenge (`Bearer realm=`) and in prose.
_BEARER = re.compile(
    r"\b(bearer\s+)(?![\w-]+=\"|(?:tokens?|auth|authentication|challenges?|schemes?|exchanges?|realm)[,.;:!?)]*(?:\s|$))"
    r"[\w.~+/=-]+",
    re.IGNORECASE,
)
_BASIC = re.compile(r"\b(basic\s+)([a-z0-9+/_-]{4,}={0,2})", re.IGNORECASE)
_USERINFO = re.compile(r"://[^/\s\"'<>]+@")
# Signed URLs (AWS, GCS, Azure, CloudFront, Cloudflare) and tokens in a query.
_PARAMETER = re.compile(
    r"([?&;](?:[\w.%-]{0,40}(?:signature|token|secret|password|credential)|sig|verify|key|code|client_assertion|assertion)=)"
    r"[^&\s\"'<>;]+",
    re.IGNORECASE,
)
_FIELD = re.compile(
    r"""(["'](?:access_?token|refresh_?token|id_?token|identity_?token|registry_?token|token|password|passwd|secret|auth)"""
    r"""["']\s*:\s*["'])[^"'\r\n]+""",
    re.IGNORECASE,
)
# `password=…` and `password: …`, but not prose about passwords, nor the tag of `acme/auth:2`; a token has a digit.
_NAMED_SECRET = re.compile(
    r"""(?:(?<![\w/.-])|(?=\w{4,13}(?:["'\s=]|:["'\s])))"""
    r"""(?:((?:password|passwd|secret)["']?\s*[:=]\s*["']?)(?!(?:is|has|was|can't|what)\s|\*\*\*)"""
    r"""|((?:token|auth|authorization)["']?\s*[:=]\s*["']?)(?=[^\s"',;}]{0,64}\d))[^\s"',;}]+""",
    re.IGNORECASE,
)
# Keys and tokens are long and mix letters with digits; words and the parts of host names and paths do not. Digests
# do, so this is only for text that others have written.
_OPAQUE = re.compile(r"(?=[A-Za-z+_=-]*[0-9])(?=[0-9+_=-]*[A-Za-z])[A-Za-z0-9+_=-]{20,}")
_CONTROL = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]+")
_EXCERPT = 200
# C0 and C1 controls (an ESC or CSI begins a terminal's commands), separators that some readers take for line ends,
# marks that change the direction of text, and halves of surrogate pairs, which can't be encoded.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_ESCAPES = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


class Redactor:
    """
    Replaces known secrets, and what looks like one, by `***`.

    `add` may be called at any time, from any thread. Only the latest 256 secrets are known.
    """

    def __init__(self) -> None:
        self._adding = Lock()
        self._secrets: dict[tuple[str, str], frozenset[str]] = {}
        self._forms: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Redactor with {len(self._forms)} forms of secrets>"

    def add(self, secret: str, *, username: str = "") -> None:
        """
        Replace a secret from now on, also in its forms for URLs, JSON and base64.

        `username` is the user of Basic credentials (RFC 7617), whose base64 is replaced too. A secret of fewer than
        4 characters is replaced only there.
        """
        key = (secret, username)
        with self._adding:
            known = self._secrets.pop(key, None)
            self._secrets[key] = _forms(secret, username) if known is None else known
            if known is not None:
                return
            while len(self._secrets) > _REMEMBERED:
                del self._secrets[next(iter(self._secrets))]
            forms = frozenset[str]().union(*self._secrets.values())
            # The longest first: one secret may be the beginning of another.
            self._forms = tuple(sorted(forms, key=lambda form: (-len(form), form)))

    def __call__(self, text: str) -> str:
        """Return the text without secrets; a text of more than 256 Ki characters is cut."""
        if len(text) > _LONGEST:
            text = text[:_LONGEST] + "..."
        for form in self._forms:
            text = text.replace(form, MARK)
        return without_credentials(text)


def _forms(secret: str, username: str) -> frozenset[str]:
    """Return the forms in which a secret may appear."""
    forms = {_base64(f"{username}:{secret}")} if username or secret else set()
    for value in {secret, secret.strip()}:
        if len(value) >= _SHORTEST:
            forms |= {value, quote(value, safe=""), quote(value), quote_plus(value), _base64(value)}
            forms |= {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]}
    return frozenset(form for form in forms if len(form) >= _SHORTEST)


def without_credentials(text: str) -> str:
    """Return the text without what looks like credentials: headers, tokens, userinfo and signatures of URLs."""
    text = _HEADER.sub(rf"\1{MARK}", text)
    text = _BEARER.sub(rf"\1{MARK}", text)
    text = _BASIC.sub(_basic, text)
    text = _USERINFO.sub(f"://{MARK}@", text)
    text = _PARAMETER.sub(rf"\1{MARK}", text)
    text = _FIELD.sub(rf"\1{MARK}", text)
    return _NAMED_SECRET.sub(lambda match: (match[1] or match[2]) + MARK, text)


def excerpt(text: str, *, secrets: Iterable[str] = ()) -> str:
    """Return text of others as one line of at most 200 characters, without `secrets` and what looks like one."""
    # Cut before the search as well, since a body may have a megabyte.
    shown = text[: _EXCERPT * 20]
    for secret in sorted({each for each in secrets if each}, key=len, reverse=True):
        shown = shown.replace(secret, MARK)
    shown = _CONTROL.sub(" ", _OPAQUE.sub(MARK, without_credentials(shown))).strip()
    return shown if len(shown) <= _EXCERPT else shown[: _EXCERPT - 1] + "…"


def printable(text: str) -> str:
    r"""Return the text as one line, with every control character as an escape (`\x1b`, `\n`, `\u202e`)."""
    # Nearly all text is printable.
    return _UNPRINTABLE.sub(_escape, text) if _UNPRINTABLE.search(text) else text


def _escape(match: Match[str]) -> str:
    code = ord(match.group())
    return _ESCAPES.get(match.group()) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def _basic(match: Match[str]) -> str:
    """Replace base64 of `user:password`, but not the words `Basic authentication`."""
    token = match.group(2)
    try:
        decoded = base64.b64decode(
            token + "=" * (-len(token) % 4), altchars=b"-_" if set(token) & set("-_") else None
        )
    except (binascii.Error, ValueError):
        return match.group()
    return match.group(1) + MARK if b":" in decoded else match.group()


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode("ascii")
