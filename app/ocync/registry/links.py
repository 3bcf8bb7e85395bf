"""Where an answer points to: Link (RFC 8288), Location of uploads, redirects. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote, urljoin, urlsplit

from ocync.lib.errors import ProtocolError
from ocync.lib.ssrf import may_redirect_to
from ocync.registry.error_response import clean
from ocync.registry.http.origin import PORTS, Origin

if TYPE_CHECKING:
    from collections.abc import Iterator

_HOST = re.compile(r"[A-Za-z0-9._:-]+", re.ASCII)
_PARAMETER = re.compile(r"""\s*;\s*(?:([^\s=;,"]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?)?""")
# What is no link to the letter may still say that the list goes on. Two steps, each of which looks at a byte once.
_RELATION = re.compile(r"\brel\b[^,;<>]*", re.IGNORECASE)
_NEXT = re.compile(r"\bnext\b", re.IGNORECASE)


def origin(url: str) -> Origin:
    """Return scheme, host and port: what credentials belong to. Raises ValueError for what is no http URL."""
    # The path has no part in it, and there are few hosts.
    end = url.find("/", len("https://"))
    return _origin(url if end < 0 else url[:end])


@lru_cache(maxsize=1024)
def _origin(url: str) -> Origin:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(parts.hostname or ""):
        raise ValueError("not an http or https URL")
    assert parts.hostname is not None
    return Origin(parts.scheme, parts.hostname, parts.port or PORTS[parts.scheme])


def next_page(headers: list[str], url: str, *, what: str, host: str) -> str | None:
    """
    Return the URL of the next page (`rel="next"`, RFC 8288), or None for the last one.

    Takes several links in one header, several headers, relative targets, quotes or none, commas within `<>`.
    Raises ProtocolError when the next page lies at another origin, since a list must not lead elsewhere, and when a
    header says that there is a next page and not where: a list that can't be followed is no list that has ended.
    """
    for header in headers:
        for link in _links(header):
            if link.is_next and link.target and (absolute := _joined(url, link.target)) is not None:
                if origin(absolute) != origin(url):
                    raise ProtocolError(
                        f"can't {what}: the list goes on at another host; it is not followed", host=host
                    )
                return absolute
            if link.is_next or link.says_next:
                raise ProtocolError(
                    f"can't {what}: {host} says where the list goes on in a way that can't be read: "
                    f"Link: {clean(link.text)}",
                    host=host,
                    hint="what comes after this page is not known, so the list is not used",
                )
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Link:
    """One link of a header, or what stands in the place of one."""

    text: str
    target: str
    """What stands between `<` and `>`; empty where nothing does that can be a target."""
    is_next: bool
    says_next: bool
    """Whether what can't be read of it speaks of the next page."""


def _links(header: str) -> Iterator[_Link]:
    position = 0
    while position < len(header):
        start = header.find("<", position)
        end = header.find(">", start) if start >= 0 else -1
        before = header[position:start] if end >= 0 else header[position:]
        if before.strip(" \t,"):
            yield _Link(text=before, target="", is_next=False, says_next=_says_next(before))
        if end < 0:
            return
        relations: set[str] = set()
        position = end + 1
        while match := _PARAMETER.match(header, position):
            # More than one `rel` is against the rules; an end is not what it is taken for.
            if (match.group(1) or "").lower() == "rel":
                relations |= {word.lower() for word in (match.group(2) or match.group(3) or "").strip("'").split()}
            position = match.end()
        following = header.find("<", position)
        rest = header[position:following] if following >= 0 else header[position:]
        target = header[start + 1 : end].strip()
        is_garbled = "<" in target or not re.fullmatch(r"\s*(?:,[\s,]*)?", rest)
        text = header[start:position] + rest
        position += len(rest)
        yield _Link(
            text=text,
            target="" if "<" in target else target,
            is_next="next" in relations,
            says_next=is_garbled and _says_next(text),
        )


def _says_next(text: str) -> bool:
    return any(_NEXT.search(relation) for relation in _RELATION.findall(text))


def _joined(url: str, target: str) -> str | None:
    """Return the absolute URL of a target seen at `url`; None where that is no http URL."""
    try:
        absolute = urljoin(url, target)
        origin(absolute)
    except ValueError:
        return None
    return absolute


def resolve(location: str | None, url: str, *, what: str, host: str) -> str:
    """
    Return the absolute URL that a Location of an answer from `url` names.

    It may be absolute, relative, or without a scheme. Raises ProtocolError where there is none, where it is no
    http URL, where it leads from https down to http, and to an address that the registry may not send us to.
    """
    if not location:
        raise ProtocolError(f"{host} answered {what} without a Location", host=host)
    absolute = _joined(url, location)
    if absolute is None:
        raise ProtocolError(f"{host} answered {what} with a Location that is no http URL", host=host)
    if urlsplit(absolute).scheme == "http" and urlsplit(url).scheme == "https":
        raise ProtocolError(
            f"{host} answered {what} with a way from https down to http; it is not taken",
            host=host,
            hint="a registry behind a TLS proxy has to be told its scheme (X-Forwarded-Proto, or its external URL)",
        )
    other = urlsplit(absolute).hostname or ""
    if not may_redirect_to(urlsplit(url).hostname or "", other):
        raise ProtocolError(
            f"{host} answered {what} with a way to {other[:80]}, which belongs to this machine; it is not taken",
            host=host,
        )
    return absolute


def with_digest(location: str, digest: str) -> str:
    """Add `digest=` to an upload's Location and leave its own query as it is, byte for byte."""
    bare, hash_, fragment = location.partition("#")
    return f"{bare}{'&' if '?' in bare else '?'}digest={digest}{hash_}{fragment}"


def target(url: str) -> bytes:
    """
    Return what a request line asks for, exactly as the URL says it: signed queries do not survive another encoding.

    Only bytes that can't stand in a request line at all are encoded.
    """
    start = url.find("/", len("https://"))
    if start > 0 and url.isascii() and url.isprintable() and not (" " in url or "#" in url or "?" in url[:start]):
        return url[start:].encode("ascii")
    parts = urlsplit(url)
    text = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    # Header fields were read as Latin-1: written so, the bytes are those that came.
    return quote(text.encode("latin-1", "replace"), safe="!\"#$%&'()*+,/:;<=>?@[\\]^_`{|}~-.").encode("ascii")
