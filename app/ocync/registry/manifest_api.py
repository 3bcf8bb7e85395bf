"""Manifests of one repository: looked up, fetched and put (distribution-spec 1.1)."""

from __future__ import annotations

import logging
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from ocync.lib.errors import AuthError, NotFoundError, ProtocolError, RegistryError
from ocync.oci import manifest as manifests
from ocync.oci import media
from ocync.oci.digest import Digest, verify
from ocync.oci.manifest import Descriptor, Manifest
from ocync.registry.call import Call
from ocync.registry.error_response import immutable_tag, may_be_immutable
from ocync.registry.headers import stored_length
from ocync.registry.limits.kinds import Kind
from ocync.registry.ratelimit_headers import read_allowance

if TYPE_CHECKING:
    from ocync.registry.call import Answer
    from ocync.registry.repository_api import RepositoryApi

log = logging.getLogger(__name__)

_ACCEPT = {"Accept": media.ACCEPT}
_DIGEST_HEADER = "docker-content-digest"
# No digest, or no HEAD at all: a GET is asked instead. A refused HEAD has no body that tells why, and Artifactory
# says 403 to a HEAD of what is not there (RTFACT-13797).
_ASK_BY_GET = frozenset({400, 403, 405, 501})
_FOREIGN_HINT = (
    "the image has layers that are fetched from elsewhere and not kept by registries: the target has to allow that "
    "(distribution: validation.manifests.urls)"
)


class ManifestApi:
    """The manifests of one repository."""

    def __init__(self, api: RepositoryApi) -> None:
        self._api = api
        self._client = api.client

    async def head(self, reference: str) -> Descriptor | None:
        """Return what a tag or digest points to; None when it is not there."""

        def read(answer: Answer) -> Descriptor | bool:
            # A HEAD is not counted at Docker Hub, and tells what is left.
            self._note_allowance(answer)
            if answer.status == 404:
                return False
            return (_described(answer) if answer.status == 200 else None) or True

        call = Call(
            "HEAD",
            self._api.url(f"manifests/{reference}"),
            f"look up {self._api.image(reference)}",
            self._api.scopes,
            headers=_ACCEPT,
            expect=frozenset({200, 404}) | _ASK_BY_GET,
            is_timed=True,
        )
        try:
            found = await self._client.request(call, read)
        except AuthError as error:
            if error.status != HTTPStatus.UNAUTHORIZED:
                raise
            found = True
        if isinstance(found, Descriptor):
            return found
        if not found:
            return None
        try:
            return (await self.fetch(reference)).descriptor
        except NotFoundError:
            return None

    async def fetch(self, reference: str, *, size: int | None = None) -> Manifest:
        """
        Fetch and verify a manifest.

        The digest that registries tell of a tag is often not that of the bytes. Either it is wrong, or the bytes
        are, since nothing else vouches for them: what the registry has by that digest tells which.
        """
        found = await self._fetch(reference, size)
        if isinstance(found, Manifest):
            return found
        try:
            return await self.fetch(str(_told(found)))
        except (NotFoundError, AuthError, ProtocolError) as error:
            log.debug(
                "the digest told of %s is not that of its bytes: %s", self._api.image(reference), error.message
            )
        return self._read_manifest(found, reference, _digest_of(found))

    async def _fetch(self, reference: str, size: int | None) -> Manifest | Answer:
        """Return the manifest; the answer instead, of a tag whose bytes have not the digest that is told."""
        image = self._api.image(reference)
        what = f"fetch the manifest of {image}"

        def read(answer: Answer) -> Manifest | Answer:
            self._note_allowance(answer, begun)
            self._client.refuse_page(answer, wanted=True)
            if ":" not in reference:
                digest = _digest_of(answer)
                return (
                    answer
                    if _told(answer) not in (None, digest)
                    else self._read_manifest(answer, reference, digest)
                )
            digest = Digest.parse(reference)
            verify(answer.body, digest, size, what=f"the manifest of {image}", host=self._client.host)
            return self._read_manifest(answer, reference, digest)

        async with self._client.quota.pull(what, self._client.policy.sleep) as begun:
            return await self._client.request(
                Call(
                    "GET",
                    self._api.url(f"manifests/{reference}"),
                    what,
                    self._api.scopes,
                    headers=_ACCEPT,
                    limit=manifests.MAX_SIZE,
                    is_timed=True,
                ),
                read,
            )

    def _read_manifest(self, answer: Answer, reference: str, digest: Digest) -> Manifest:
        content_type = answer.headers.get("content-type")
        image = self._api.image(reference)
        return manifests.parse(
            answer.body, content_type=content_type, digest=digest, where=image, host=self._client.host
        )

    async def put(self, manifest: Manifest, *, tag: str | None = None) -> bool:
        """Store the manifest under its digest or a tag; return whether its subject was taken note of."""
        try:
            return await self._api.write(lambda: self._put(manifest, tag or str(manifest.digest)))
        except NotFoundError as error:
            if error.code == "MANIFEST_BLOB_UNKNOWN" and any(blob.is_foreign for blob in manifest.blobs):
                error.hint = _FOREIGN_HINT
            raise
        except RegistryError as error:
            is_refused = may_be_immutable(error) if tag is not None else error.status == HTTPStatus.CONFLICT
            there = await self._held(tag or str(manifest.digest)) if is_refused else None
            if there is None or (tag is None and there != manifest.digest):
                raise
            if there == manifest.digest:
                # Said also of what is there just so: put by an attempt whose answer was lost, or by another client
                # in the meantime.
                return False
            raise immutable_tag(error, str(there)) from error

    async def _held(self, reference: str) -> Digest | None:
        """Return what a tag or digest points to, if that can be told."""
        try:
            there = await self.head(reference)
        except RegistryError as error:
            log.debug("can't tell what was refused: %s", error)
            return None
        return there.digest if there is not None else None

    async def _put(self, manifest: Manifest, reference: str) -> bool:
        image = self._api.image(reference)

        def read(answer: Answer) -> bool:
            self._client.refuse_page(answer)
            stored = answer.headers.get(_DIGEST_HEADER)
            # Compared within one algorithm only: a registry may name sha512 content by its sha256.
            if stored and stored.startswith(manifest.digest.algorithm + ":") and stored != str(manifest.digest):
                raise ProtocolError(
                    f"{image} was stored as {stored[:80]}, not as {manifest.digest}", host=self._client.host
                )
            subject = manifest.subject
            return subject is not None and (answer.headers.get("oci-subject") or "").strip() == str(subject.digest)

        return await self._client.request(
            Call(
                "PUT",
                self._api.url(f"manifests/{reference}"),
                f"push the manifest of {image}",
                self._api.scopes,
                kind=Kind.MANIFEST,
                headers={"Content-Type": manifest.media_type},
                content=manifest.raw,
                expect=frozenset({200, 201, 202}),
            ),
            read,
        )

    def _note_allowance(self, answer: Answer, begun: float | None = None) -> None:
        self._client.quota.note(read_allowance(answer.headers, time.time()), begun=begun)


def _digest_of(answer: Answer) -> Digest:
    """Return the digest of a manifest fetched by tag, by the algorithm that the registry knows it by."""
    told = _told(answer)
    # A hint only: registries send digests of what they have converted since.
    return told if told is not None and told == Digest.of(answer.body, told.algorithm) else Digest.of(answer.body)


def _told(answer: Answer) -> Digest | None:
    try:
        return Digest.parse(answer.headers.get(_DIGEST_HEADER) or "")
    except ValueError:
        return None


def _described(answer: Answer) -> Descriptor | None:
    """Read the descriptor off a HEAD's headers; None when they do not tell the digest."""
    digest = _told(answer)
    if digest is None:
        return None
    return Descriptor(
        media_type=media.essence(answer.headers.get("content-type")),
        digest=digest,
        size=stored_length(answer.headers) or 0,
    )
