"""Tag lists (distribution-spec 1.1, "Listing Tags") in all the forms that registries give them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from ocync.endpoint import TagPage
from ocync.errors import NotFoundError, ProtocolError
from ocync.oci.reference import is_tag
from ocync.registry import links

if TYPE_CHECKING:
    from ocync.auth.scope import Scope
    from ocync.registry.client import Answer, RegistryClient

# ECR refuses more than 1000 (google/go-containerregistry#1091); distribution 3 clamps to it.
_PAGE = 1000
_MAX_PAGES = 10_000
_MAX_BODY = 16 * 1024 * 1024
# Pages that bring nothing new, in a row, before the list is called endless.
_MAX_IDLE_PAGES = 2


class TagList:
    """The tags of one repository."""

    def __init__(self, client: RegistryClient, repository: str, scopes: frozenset[Scope]) -> None:
        self._client = client
        self._repository = repository
        self._scopes = scopes

    async def all(self) -> tuple[str, ...]:
        """
        Return all tags in the registry's order, each once.

        Raises NotFoundError for an unknown repository and ProtocolError for a list that does not end: part of a
        list is never taken for the whole.
        """
        tags: dict[str, None] = {}
        seen_urls: set[str] = set()
        idle = 0
        url: str | None = self._first()
        while url is not None:
            seen_urls.add(url)
            answer, page = await self._page(url)
            before = len(tags)
            tags.update(dict.fromkeys(tag for tag in page if is_tag(tag)))
            grew = len(tags) > before
            idle = 0 if grew else idle + 1
            url = links.next_page(answer.headers.get_list("link"), answer.url)
            if url is None and len(page) == _PAGE and grew:
                # Gitea honours n and sends no Link. Where `last` is ignored nothing new comes, and that is the end.
                url = self._first(last=page[-1])
            elif url is not None and (url in seen_urls or idle >= _MAX_IDLE_PAGES or len(seen_urls) >= _MAX_PAGES):
                raise ProtocolError(
                    f"the tag list of {self._client.host}/{self._repository} does not end; it is not used",
                    host=self._client.host,
                )
        return tuple(tags)

    async def first(self) -> TagPage:
        """Return the first page; a repository that does not exist is an empty, complete list."""
        try:
            answer, page = await self._page(self._first())
        except NotFoundError:
            return TagPage(tags=(), complete=True)
        more = links.next_page(answer.headers.get_list("link"), answer.url) is not None or len(page) == _PAGE
        return TagPage(tags=tuple(tag for tag in dict.fromkeys(page) if is_tag(tag)), complete=not more)

    def _first(self, last: str | None = None) -> str:
        after = f"&last={quote(last, safe='')}" if last else ""
        return f"{self._client.registry.api}/v2/{self._repository}/tags/list?n={_PAGE}{after}"

    async def _page(self, url: str) -> tuple[Answer, list[str]]:
        what = f"list the tags of {self._client.host}/{self._repository}"

        def read(answer: Answer) -> tuple[Answer, list[str]]:
            return answer, self._parse(answer, what)

        try:
            return await self._client.request(
                "GET", url, what=what, scopes=self._scopes, expect=frozenset({200}), read=read, limit=_MAX_BODY
            )
        except ProtocolError as error:
            # Older versions of distribution refuse n above their limit instead of clamping it.
            if error.code != "PAGINATION_NUMBER_INVALID" or "n=" not in urlsplit(url).query:
                raise
            bare = f"{self._client.registry.api}/v2/{self._repository}/tags/list"
            return await self._client.request(
                "GET", bare, what=what, scopes=self._scopes, expect=frozenset({200}), read=read, limit=_MAX_BODY
            )

    def _parse(self, answer: Answer, what: str) -> list[str]:
        try:
            body = json.loads(answer.body)
        except (ValueError, RecursionError) as error:
            raise ProtocolError(f"can't {what}: the answer is not JSON", host=self._client.host) from error
        tags = body.get("tags") if isinstance(body, dict) else []
        # null, a missing list and null entries are seen at Harbor, ECR and Nexus.
        if tags is None:
            return []
        if not isinstance(tags, list):
            raise ProtocolError(f"can't {what}: the answer holds no list of tags", host=self._client.host)
        return [tag for tag in tags if isinstance(tag, str) and tag]
