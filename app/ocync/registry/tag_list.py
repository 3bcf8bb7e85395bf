"""Tag lists (distribution-spec 1.1, "Listing Tags") in all the forms that registries give them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from ocync.lib.errors import NotFoundError, ProtocolError
from ocync.oci.reference import is_tag
from ocync.oci.repository import TagPage
from ocync.registry import links
from ocync.registry.call import Call
from ocync.registry.pagination import Page, read_all

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ocync.registry.call import Answer
    from ocync.registry.http.origin import Url
    from ocync.registry.repository_api import RepositoryApi

# ECR refuses more than 1000 (google/go-containerregistry#1091); distribution 3 clamps to it.
_PAGE = 1000
MAX_PAGES = 10_000
"""Pages of one list that are read at most: with pages of 100, a million tags."""
_MAX_BODY = 16 * 1024 * 1024


class TagList:
    """The tags of one repository."""

    def __init__(self, api: RepositoryApi, *, max_pages: int = MAX_PAGES) -> None:
        self._max_pages = max_pages
        self._api = api
        self._client = api.client
        self.pages = 0
        """Pages that were asked for so far, retries not counted."""

    async def all(self) -> tuple[str, ...]:
        """
        Return all tags in the registry's order, each once.

        Raises NotFoundError for an unknown repository and ProtocolError for a list that does not end: part of a
        list is never taken for the whole.
        """

        async def read(url: Url) -> Page[str]:
            listing = await self._page(url)
            # Gitea honours n and sends no Link. Where `last` is ignored nothing new comes, and that is the end.
            is_open = listing.is_full and listing.entries
            return Page(
                entries=listing.entries,
                next=listing.next,
                seconds=listing.seconds,
                guess=self._first(last=listing.entries[-1]) if is_open else None,
            )

        what = f"the tag list of {self._api.name}"
        entries = await read_all(
            self._first(), read, name=str, most=self._max_pages, what=what, host=self._client.host
        )
        return _tags_of(entries)

    async def first(self) -> TagPage:
        """Return the first page; a repository that does not exist is an empty, complete list."""
        try:
            page = await self._page(self._first())
        except NotFoundError:
            return TagPage(tags=(), complete=True)
        return TagPage(tags=_tags_of(dict.fromkeys(page.entries)), complete=page.next is None and not page.is_full)

    def _first(self, last: str | None = None) -> Url:
        after = f"&last={quote(last, safe='')}" if last else ""
        return self._api.url(f"tags/list?n={_PAGE}{after}")

    async def _page(self, url: Url) -> Listing:
        what = f"list the tags of {self._api.name}"

        def read(answer: Answer) -> Listing:
            self._client.refuse_page(answer, wanted=True)
            return read_page(answer, what=what, host=self._client.host)

        call = Call("GET", url, what, self._api.scopes, limit=_MAX_BODY)
        self.pages += 1
        try:
            return await self._client.request(call, read)
        except ProtocolError as error:
            # Older versions of distribution refuse n above their limit instead of clamping it.
            if error.code != "PAGINATION_NUMBER_INVALID" or "n=" not in url.text.partition("?")[2]:
                raise
            self.pages += 1
            return await self._client.request(replace(call, url=self._api.url("tags/list")), read)


def _tags_of(entries: Iterable[str]) -> tuple[str, ...]:
    # Artifactory lists digests (containers/skopeo#2346).
    return tuple(entry for entry in entries if is_tag(entry))


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One page of a list."""

    entries: list[str]
    """What it lists, whether it is a tag or not."""
    next: Url | None
    """The URL of the next page, where a Link gives it."""
    seconds: float
    """The time that the page took."""
    is_full: bool
    """Whether it holds as many entries as were asked for, so that there may be more."""


def read_page(answer: Answer, *, what: str, host: str) -> Listing:
    """Read a page of a tag list; raises ProtocolError for what is none. Pure."""
    body = answer.document()
    if body is None:
        raise ProtocolError(f"can't {what}: the answer is not JSON", host=host)
    # An empty list is null or missing at Harbor and ECR; an error with status 200 is no empty list.
    if not isinstance(body, dict) or ("tags" not in body and "errors" in body):
        raise ProtocolError(f"can't {what}: the answer holds no list of tags", host=host)
    entries = body.get("tags")
    if entries is None:
        entries = []
    if not isinstance(entries, list):
        raise ProtocolError(f"can't {what}: the answer holds no list of tags", host=host)
    return Listing(
        # Nexus lists null (containers/skopeo#2409).
        entries=[entry for entry in entries if isinstance(entry, str) and entry],
        next=links.next_page(answer.headers.get_list("link"), answer.url, what=what, host=host),
        seconds=answer.seconds,
        is_full=len(entries) == _PAGE,
    )
