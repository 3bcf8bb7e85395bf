"""What is asked of a registry, and what it answered: values."""

from __future__ import annotations

import json
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any

from ocync.oci import media
from ocync.registry.limits.kinds import Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from ocync.registry.auth.scope import Scope
    from ocync.registry.http.message import Headers
    from ocync.registry.http.origin import Url
    from ocync.registry.limits.host import Asked

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_ERROR = 64 * 1024
"""Bytes of an error's body that are read at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer: its body has been read."""

    status: int
    headers: Headers
    reason: str
    body: bytes
    url: Url
    """The URL that answered, after redirects."""
    what: str = ""
    """What it answers, as errors say it."""
    asked: Asked | None = None
    """What is told when it turns out to be a refusal."""
    seconds: float = 0.0
    """The time that the exchange took."""

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


@dataclass(frozen=True, slots=True)
class Call:
    """A request to the registry, which may be made several times and is followed wherever redirects lead."""

    method: str
    url: Url
    what: str
    """What it is for, as errors say it: `fetch the manifest of x`."""
    scopes: frozenset[Scope]
    _: KW_ONLY
    kind: Kind = Kind.METADATA
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | AsyncIterator[bytes] | None = None
    expect: frozenset[int] = frozenset({200})
    """Statuses that are no errors; for requests that are made until one of them comes."""
    limit: int = MAX_ERROR
    """Bytes that the answer may have."""
    patience: float = 0.0
    """Seconds beyond the usual ones that the answer may take when all has been sent."""
    is_timed: bool = False
    """Whether the first byte tells how busy the registry is; with blobs and lists it tells their size."""

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
        """Return whether a redirect is followed: 307 and 308 keep the method, the others make a GET of it."""
        if self.method in ("GET", "HEAD"):
            return status in _REDIRECTS
        return status in (307, 308) and self.is_replayable
