"""The referrers API (distribution-spec 1.1, "Listing Referrers"): all pages, and telling that there is none."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ocync.lib.errors import AuthError, ProtocolError, RegistryError, ServerError
from ocync.oci import manifest as manifests
from ocync.oci import media
from ocync.oci.digest import Digest
from ocync.registry import links
from ocync.registry.call import Call
from ocync.registry.error_response import clean
from ocync.registry.pagination import Page, read_all

if TYPE_CHECKING:
    from ocync.oci.manifest import Descriptor, Manifest
    from ocync.registry.call import Answer
    from ocync.registry.http.origin import Url
    from ocync.registry.repository_api import RepositoryApi

log = logging.getLogger(__name__)

MAX_PAGES = 1000
"""Pages of one list that are read at most."""
# Of the subject or the repository, and not of the API: registries with the API say so of what they don't know.
_OF_THE_SUBJECT = frozenset({"MANIFEST_UNKNOWN", "NAME_UNKNOWN", "BLOB_UNKNOWN", "DIGEST_INVALID"})
# 404 as the specification says; 400, 405, 406 and 501 are seen where a router or a proxy knows no such path
# (google/go-containerregistry, pkg/v1/remote/referrers.go).
_NO_API = frozenset({400, 404, 405, 406, 410, 501})


class ReferrersApi:
    """The API at one repository; what was learned of it there holds for the pass."""

    def __init__(self, api: RepositoryApi) -> None:
        self._api = api
        self._client = api.client
        self.supported: bool | None = None
        """Whether the repository has the API; None while that is not known."""
        self.pages = 0
        """How many pages were asked for so far, retries not counted."""

    async def of(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        """
        Return what refers to the subject, each once; None where there is no API, so that tags have to tell.

        Raises ProtocolError for a list that does not end or is none: part of a list is never taken for the whole.
        """
        if self.supported is False:
            return None
        url = self._api.url(f"referrers/{subject}")
        what = f"list what refers to {self._api.name}@{subject.algorithm}:{subject.short}"
        first = await self._page(url, what)
        if first is None:
            return None

        async def read(at: Url) -> Page[Descriptor]:
            page = first if at == url else await self._page(at, what)
            if page is None:
                raise ProtocolError(f"can't {what}: the list breaks off after a page", host=self._client.host)
            return page

        return await read_all(
            url,
            read,
            name=lambda entry: entry.digest,
            most=MAX_PAGES,
            what=f"can't {what}: the list",
            host=self._client.host,
        )

    async def _page(self, url: Url, what: str) -> Page[Descriptor] | None:
        def read(answer: Answer) -> Page[Descriptor] | None:
            return read_page(answer, what=what, host=self._client.host)

        self.pages += 1
        try:
            page = await self._client.request(
                Call(
                    "GET",
                    url,
                    what,
                    self._api.scopes,
                    headers={"Accept": media.OCI_INDEX},
                    limit=manifests.MAX_SIZE,
                ),
                read,
            )
        except RegistryError as error:
            if not self._says_no_list(error):
                raise
            self._learn_from(error)
            log.debug("%s; tags are looked at instead", error.message)
            return None
        self.supported = page is not None
        return page

    def _says_no_list(self, error: RegistryError) -> bool:
        if isinstance(error, AuthError) and error.status == 403:
            # Said of the whole path by proxies and by gateways that were not made for it; the image itself could
            # be read with the same credentials.
            return not self.supported
        return _is_of_another_host(error) or error.status in _NO_API

    def _learn_from(self, error: RegistryError) -> None:
        """Record that there is no API, where a refusal says that of the repository and not of one subject."""
        if self.supported is not None or _is_of_another_host(error):
            return
        if isinstance(error, AuthError):
            log.warning(
                "%s refuses to list referrers (403): only what is attached by tags is found there", self._api.name
            )
            self.supported = False
        elif error.code not in _OF_THE_SUBJECT:
            self.supported = False


def _is_of_another_host(error: RegistryError) -> bool:
    # GHCR redirects lists to storage, which refuses them so (artifacthub/hub#4785).
    return isinstance(error, ServerError) and error.status in (400, 403)


def read_page(answer: Answer, *, what: str, host: str) -> Page[Descriptor] | None:
    """
    Read a page of referrers; None for a success that is no such list, as servers give that know no API. Pure.

    Raises ProtocolError for a list that can't be read, by its Content-Type or by what stands in it.
    """
    content_type = media.essence(answer.headers.get("content-type"))
    index: Manifest | str
    try:
        index = manifests.read(answer.body, content_type=content_type, digest=Digest.of(answer.body))
    except ValueError as error:
        index = clean(str(error))
    if isinstance(index, str):
        # A list with too many entries, sent as application/json, is one all the same: taken for no API, all that is
        # attached would be left behind.
        if content_type != media.OCI_INDEX and b'"manifests"' not in answer.body:
            return None
        # Without a cause: that keeps the whole document alive.
        raise ProtocolError(f"can't {what}: the list can't be read: {index}", host=host)
    if not index.is_index:
        return None
    following = links.next_page(answer.headers.get_list("link"), answer.url, what=what, host=host)
    return Page(entries=index.children, next=following, seconds=answer.seconds)
