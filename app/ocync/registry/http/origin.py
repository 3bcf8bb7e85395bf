"""Origins, URLs, and the time limits of connections."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, urlsplit

PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[A-Za-z0-9._:-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Origin:
    """The scheme, host and port of a connection."""

    scheme: str
    host: str
    """Without brackets around an IPv6 address."""
    port: int

    @property
    def authority(self) -> str:
        """The value of Host: without the scheme's default port."""
        return self._bracketed if self.port == PORTS[self.scheme] else f"{self._bracketed}:{self.port}"

    @property
    def address(self) -> str:
        """`host:port`, always with the port."""
        return f"{self._bracketed}:{self.port}"

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


@dataclass(frozen=True, slots=True)
class Url:
    """An http or https URL, with its origin: what credentials belong to."""

    origin: Origin
    text: str

    @classmethod
    def parse(cls, text: str) -> Url:
        """Read a URL; raises ValueError for what is no http URL."""
        # The path has no part in the origin, and there are few hosts.
        end = text.find("/", len("https://"))
        return cls(_origin(text if end < 0 else text[:end]), text)

    def __str__(self) -> str:
        return self.text

    def append(self, path: str) -> Url:
        """Return the URL with a path added to it, which has to begin behind the host."""
        return Url(self.origin, self.text + path)

    def with_query(self, query: str) -> Url:
        """Add a query, and leave the URL's own as it is, byte for byte."""
        bare, hash_, fragment = self.text.partition("#")
        return Url(self.origin, f"{bare}{'&' if '?' in bare else '?'}{query}{hash_}{fragment}")

    @property
    def target(self) -> bytes:
        """
        The target of the request line, exactly as in the URL: signed queries do not survive another encoding.

        Only bytes that can't stand in a request line at all are encoded.
        """
        url = self.text
        start = url.find("/", len("https://"))
        is_plain = url.isascii() and url.isprintable() and not (" " in url or "#" in url)
        if start > 0 and is_plain and "?" not in url[:start]:
            return url[start:].encode("ascii")
        parts = urlsplit(url)
        text = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        # Header fields were decoded as Latin-1, so this restores the bytes that were received.
        return quote(text.encode("latin-1", "replace"), safe="!\"#$%&'()*+,/:;<=>?@[\\]^_`{|}~-.").encode("ascii")


@lru_cache(maxsize=1024)
def _origin(url: str) -> Origin:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(parts.hostname or ""):
        raise ValueError("not an http or https URL")
    assert parts.hostname is not None
    return Origin(parts.scheme, parts.hostname, parts.port or PORTS[parts.scheme])


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Seconds to wait for a connection, and for the other side at any time after that."""

    connect: float
    idle: float
    patience: float = 0.0
    """Seconds on top of `idle` for an answer to begin once the request has been sent."""
