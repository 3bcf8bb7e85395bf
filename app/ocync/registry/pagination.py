"""Lists of many pages, of tags and of referrers: read to their end, or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from ocync.lib.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Sequence

    from ocync.registry.http.origin import Url

T = TypeVar("T")

MAX_SECONDS = 150.0
"""
Seconds that the pages of one list may take together, without the waits between them: a list that goes on for ever
would hold up a pass.
"""
MAX_ENTRIES = 1_000_000
"""Entries of one list, which are kept in memory."""
# Pages that bring nothing new, in a row, before a list is called endless; a page may well be empty.
_MAX_IDLE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """One page of a list."""

    entries: Sequence[T]
    next: Url | None
    """The URL of the next page, where a Link gives it."""
    seconds: float = 0.0
    """The time that the page took."""
    guess: Url | None = None
    """Where the list may go on though no Link says so."""


async def read_all(
    first: Url,
    read: Callable[[Url], Awaitable[Page[T]]],
    *,
    name: Callable[[T], Hashable],
    most: int,
    what: str,
    host: str,
) -> tuple[T, ...]:
    """
    Return the entries of all pages, in the list's order and each once: the first of those with one name.

    A guess is followed where no page has had a Link and the page was of use. Raises ProtocolError for a list that
    leads in a circle, brings nothing new again and again, is too long (`most` pages) or takes too long: part of a
    list is never taken for the whole. `what` is the list's name in that error.
    """
    found: dict[Hashable, T] = {}
    seen: set[Url] = set()
    idle, has_links, seconds = 0, False, 0.0
    url: Url | None = first
    while url is not None:
        seen.add(url)
        page = await read(url)
        seconds += page.seconds
        before = len(found)
        for entry in page.entries:
            found.setdefault(name(entry), entry)
        grew = len(found) > before
        idle = 0 if grew else idle + 1
        url, has_links = page.next, has_links or page.next is not None
        if url is None and grew and not has_links:
            url = page.guess
        if url is not None and (url in seen or idle >= _MAX_IDLE or len(seen) >= most):
            raise ProtocolError(f"{what} does not end; it is not used", host=host)
        if url is not None and (seconds >= MAX_SECONDS or len(found) > MAX_ENTRIES):
            raise ProtocolError(
                f"{what} does not end: {len(found)} entries took {seconds:.0f} s; it is not used",
                host=host,
            )
    return tuple(found.values())
