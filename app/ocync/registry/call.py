"""What is asked of a registry, and what it answered: values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ocync.oci import media

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from ocync.registry.auth.scope import Scope
    from ocync.registry.http.message import Headers
    from ocync.registry.limits.host import Asked
    from ocync.registry.limits.kinds import Kind

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


def encoding_of(headers: Headers) -> str:
    """Return the Content-Encoding, in lower case; empty for none."""
    encoding = (headers.get("content-encoding") or "").strip().lower()
    return "" if encoding == "identity" else encoding


def content_length(headers: Headers) -> int | None:
    """Return Content-Length; None where it is not told."""
    length = headers.get("content-length") or ""
    return int(length) if length.isascii() and length.isdigit() and len(length) < 20 else None


def stored_length(headers: Headers) -> int | None:
    """Return Content-Length as the size of what is stored; None where it is not told, or is that of an encoding."""
    return None if encoding_of(headers) else content_length(headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer: its body has been read."""

    status: int
    headers: Headers
    reason: str
    body: bytes
    url: str
    """The URL that answered, after redirects."""
    asked: Asked | None = None
    """What is told when it turns out to be a refusal."""

    def document(self) -> Any:
        """Return the body read as JSON; None where it is none: json's own errors keep all of it alive."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def is_page(self) -> bool:
        """
        Whether it is a page for people, as login pages and broken proxies send it, and no registry's success.

        A 201 without a body never is: frameworks give it the type of a page.
        """
        is_html = media.essence(self.headers.get("content-type")) == "text/html"
        is_one = self.status in (200, 202, 204) or media.is_markup(self.body)
        return is_html and is_one and "docker-content-digest" not in self.headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What one attempt asks for, wherever redirects lead; `what` says it to a person."""

    kind: Kind
    method: str
    what: str
    scopes: frozenset[Scope]
    headers: Mapping[str, str]
    content: bytes | AsyncIterator[bytes] | None
    is_timed: bool
    """Whether the first byte tells how busy the registry is; with blobs and lists it tells their size."""
    patience: float
    """Seconds beyond the usual ones that the answer may take when all has been sent."""
    until: float
    """When the answer has to be there, by the loop's clock: all of a small one, the head of a blob."""

    @property
    def is_replayable(self) -> bool:
        """Whether the body can be sent again: a stream can't."""
        return self.content is None or isinstance(self.content, bytes)

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The header fields, with the length of the body where it is known."""
        fields = list(self.headers.items())
        if isinstance(self.content, bytes):
            fields.append(("Content-Length", str(len(self.content))))
        return fields

    def follows(self, status: int) -> bool:
        """Tell whether a redirect is followed: 307 and 308 keep the method, the others make a GET of it."""
        if self.method in ("GET", "HEAD"):
            return status in _REDIRECTS
        return status in (307, 308) and self.is_replayable
