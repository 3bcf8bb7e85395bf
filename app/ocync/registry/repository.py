"""One repository of a registry, as `ocync.oci.repository` asks for it."""

from __future__ import annotations

import logging
import time
from contextlib import aclosing, asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

from ocync.lib.errors import NotFoundError, ProtocolError, RegistryError, VerificationError
from ocync.oci import manifest as manifests
from ocync.oci import media
from ocync.oci.digest import Digest, verify
from ocync.oci.manifest import Descriptor, Manifest
from ocync.registry import ranges, uploads
from ocync.registry.auth.scope import Scope
from ocync.registry.call import content_length, stored_length
from ocync.registry.error_response import immutable_tag, may_be_immutable
from ocync.registry.limits.kinds import Kind
from ocync.registry.ratelimit_headers import read_allowance
from ocync.registry.referrers_api import ReferrersApi
from ocync.registry.tag_list import TagList

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from ocync.lib.limiter import Lane, Slots
    from ocync.oci.reference import RepositoryName
    from ocync.oci.repository import TagPage, Upload
    from ocync.registry.client import Answer, RegistryClient
    from ocync.registry.http.pool import Response
    from ocync.registry.repository_creation import RepositoryCreation

log = logging.getLogger(__name__)

T = TypeVar("T")

_ACCEPT = {"Accept": media.ACCEPT}
_DIGEST_HEADER = "docker-content-digest"
# No digest, or no HEAD at all: a GET is asked instead. A refused HEAD has no body that tells why, and Artifactory
# says 403 to a HEAD of what is not there (RTFACT-13797).
_ASK_BY_GET = frozenset({400, 403, 405, 501})
# A HEAD of a blob that is refused for itself: the upload then tells whether the blob is wanted.
_UNKNOWN_BY_HEAD = frozenset({400, 405, 501})
_FOREIGN_HINT = (
    "the image has layers that are fetched from elsewhere and not kept by registries: the target has to allow that "
    "(distribution: validation.manifests.urls)"
)


class RegistryRepository:
    """Reads and, when `writable`, writes one repository; credentials are asked for no more than that."""

    def __init__(
        self,
        client: RegistryClient,
        name: RepositoryName,
        *,
        writable: bool = False,
        creation: RepositoryCreation | None = None,
    ) -> None:
        """`creation` makes the repository where a write finds that it is missing; without one, that is an error."""
        self._client = client
        self._creation = creation
        self._repository = repository = name.path
        actions = ("pull", "push") if writable else ("pull",)
        self._scopes = frozenset({Scope(repository, actions)})
        self._tags = TagList(client, repository, self._scopes)
        self._referrers = ReferrersApi(client, repository, self._scopes)

    def __repr__(self) -> str:
        return f"<RegistryRepository {self.name}>"

    @property
    def name(self) -> str:
        """`host/repository`."""
        return f"{self._client.host}/{self._repository}"

    @property
    def host(self) -> str:
        """The registry's host."""
        return self._client.host

    @property
    def path(self) -> str:
        """The repository's name at the registry."""
        return self._repository

    @property
    def slots(self) -> Slots:
        """What limits requests to the registry."""
        return self._client.slots

    @property
    def blob_slots(self) -> Slots | Lane:
        """What a read of a blob holds one of."""
        return self._client.limits.bucket(Kind.BLOB)

    @property
    def upload_slots(self) -> Slots | Lane:
        """What the sending of a blob holds one of."""
        return self._client.limits.bucket(Kind.UPLOAD)

    @property
    def pages_listed(self) -> int:
        """How many pages of its tag list were asked for so far, retries not counted."""
        return self._tags.pages

    @property
    def referrer_pages(self) -> int:
        """How many pages of lists of referrers were asked for so far, retries not counted."""
        return self._referrers.pages

    @property
    def lists_referrers(self) -> bool | None:
        """Whether it has the referrers API; None while that is not known."""
        return self._referrers.supported

    async def answers(self, within: float) -> bool:
        """Wait for the registry where it is away; see endpoint.Repository."""
        return await self._client.answers(within)

    async def tags(self) -> tuple[str, ...]:
        """Return all tags."""
        return await self._tags.all()

    async def first_tags(self) -> TagPage:
        """Return what the first page of the tag list tells."""
        return await self._tags.first()

    async def head(self, reference: str) -> Descriptor | None:
        """Return what a tag or digest points to; None when it is not there."""
        what = f"look up {self._image(reference)}"

        def read(answer: Answer) -> Descriptor | bool:
            # A HEAD is not counted at Docker Hub, and tells what is left.
            self._note_allowance(answer)
            if answer.status == 404:
                return False
            return (_described(answer) if answer.status == 200 else None) or True

        found = await self._client.request(
            Kind.METADATA,
            "HEAD",
            self._manifest_path(reference),
            what=what,
            scopes=self._scopes,
            expect=frozenset({200, 404}) | _ASK_BY_GET,
            read=read,
            headers=_ACCEPT,
            is_timed=True,
        )
        if isinstance(found, Descriptor):
            return found
        if not found:
            return None
        try:
            return (await self.manifest(reference)).descriptor
        except NotFoundError:
            return None

    async def manifest(self, reference: str, *, size: int | None = None) -> Manifest:
        """
        Fetch and verify a manifest.

        The digest that registries tell of a tag is often not that of the bytes. Either it is wrong, or the bytes
        are, since nothing else vouches for them: what the registry has by that digest tells which.
        """
        found = await self._fetch(reference, size)
        if isinstance(found, Manifest):
            return found
        try:
            return await self.manifest(str(_told(found)))
        except (NotFoundError, ProtocolError) as error:
            log.debug("the digest told of %s is not that of its bytes: %s", self._image(reference), error.message)
        return self._read_manifest(found, reference, _digest_of(found))

    async def _fetch(self, reference: str, size: int | None) -> Manifest | Answer:
        """Return the manifest; the answer instead, of a tag whose bytes have not the digest that is told."""
        image = self._image(reference)
        what = f"fetch the manifest of {image}"

        def read(answer: Answer) -> Manifest | Answer:
            self._note_allowance(answer, begun)
            self._client.refuse_page(answer, what=what, wanted=True)
            if ":" not in reference:
                digest = _digest_of(answer)
                return (
                    answer
                    if _told(answer) not in (None, digest)
                    else self._read_manifest(answer, reference, digest)
                )
            digest = Digest.parse(reference)
            verify(answer.body, digest, size, what=f"the manifest of {image}", host=self.host)
            return self._read_manifest(answer, reference, digest)

        async with self._client.quota.pull(what, self._client.policy.sleep) as begun:
            return await self._client.request(
                Kind.METADATA,
                "GET",
                self._manifest_path(reference),
                what=what,
                scopes=self._scopes,
                expect=frozenset({200}),
                read=read,
                headers=_ACCEPT,
                limit=manifests.MAX_SIZE,
                is_timed=True,
            )

    def _read_manifest(self, answer: Answer, reference: str, digest: Digest) -> Manifest:
        content_type = answer.headers.get("content-type")
        image = self._image(reference)
        return manifests.parse(answer.body, content_type=content_type, digest=digest, where=image, host=self.host)

    async def referrers(self, subject: Digest) -> tuple[Descriptor, ...] | None:
        """Return what the referrers API lists; None where there is none."""
        return await self._referrers.of(subject)

    @asynccontextmanager
    async def blob(self, descriptor: Descriptor, *, start: int = 0) -> AsyncIterator[AsyncIterator[bytes]]:
        """
        Open a blob for one read from the byte `start` on; the caller holds a slot.

        It is always asked for at the registry: where that sends us on to may be signed for minutes only. A part
        that is not the one asked for is not taken; a registry without parts is read from the blob's start, and what
        stands before `start` is not used.
        """
        what = f"fetch blob {descriptor.digest.algorithm}:{descriptor.digest.short} of {self.name}"
        if start and not self._client.ignores_ranges:
            async with self._reading(descriptor, start, what) as response:
                if response.status == 206 and ranges.is_rest(response.headers, start, descriptor.size):
                    async with aclosing(self._pieces(response, descriptor, what)) as pieces:
                        yield pieces
                    return
                if response.status not in (200, 206, 416):
                    raise await self._client.refusal_of(response, what=what)
                self._client.ignores_ranges = True
                log.info("%s does not give parts of blobs: what breaks is read again from its start", self.host)
                if response.status == 200:
                    async with aclosing(self._whole(response, descriptor, start, what)) as pieces:
                        yield pieces
                    return
        async with self._reading(descriptor, 0, what) as response:
            if response.status != 200:
                raise await self._client.refusal_of(response, what=what)
            async with aclosing(self._whole(response, descriptor, start, what)) as pieces:
                yield pieces

    def _reading(self, descriptor: Descriptor, start: int, what: str) -> AbstractAsyncContextManager[Response]:
        path = f"/v2/{self._repository}/blobs/{descriptor.digest}"
        headers = ranges.asking_from(start)
        return self._client.exchange(Kind.BLOB, path, what=what, scopes=self._scopes, headers=headers)

    def _whole(
        self, response: Response, descriptor: Descriptor, start: int, what: str
    ) -> AsyncGenerator[bytes, None]:
        """Give a 200 from `start` on; raises VerificationError where it announces another length."""
        length = stored_length(response.headers)
        if length is not None and length != descriptor.size:
            raise _wrong_length(what, length, descriptor.size, self.host)
        body = self._pieces(response, descriptor, what)
        return _behind(body, start) if start else body

    def _pieces(self, response: Response, descriptor: Descriptor, what: str) -> AsyncGenerator[bytes, None]:
        """Give the body of a 200, or of a 206 that has been found to be the part that was asked for."""
        return self._client.body(
            response,
            what=what,
            is_as_stored=response.status == 206 or content_length(response.headers) == descriptor.size,
            is_packed=descriptor.media_type.endswith("gzip"),
        )

    async def has_blob(self, descriptor: Descriptor) -> bool:
        """
        Tell whether the repository holds the blob.

        One of another length is not taken for it, and where a HEAD can't be answered it is not known to be there:
        sending a blob once more does no harm.
        """
        what = f"look for blob {descriptor.digest.algorithm}:{descriptor.digest.short} at {self.name}"

        def read(answer: Answer) -> bool:
            # GitLab and others send a HEAD on to a URL that was signed for GET (moby/moby#50065).
            if answer.status == 403 and not self._client.elsewhere(answer):
                raise self._client.refusal(answer, what=what)
            if answer.status != 200:
                return False
            self._client.refuse_page(answer, what=what)
            length = stored_length(answer.headers)
            return length is None or length == descriptor.size

        return await self._client.request(
            Kind.METADATA,
            "HEAD",
            f"/v2/{self._repository}/blobs/{descriptor.digest}",
            what=what,
            scopes=self._scopes,
            expect=frozenset({200, 403, 404}) | _UNKNOWN_BY_HEAD,
            read=read,
            is_timed=True,
        )

    @property
    def mounts_after_commit(self) -> bool:
        """Whether the host is known to mount a blob only from where a manifest lists it."""
        return self._client.habits.mounts_after_commit

    @property
    def single_post(self) -> bool | None:
        """Whether the host takes a blob by one POST; None where it has not shown that yet."""
        return self._client.habits.single_post

    async def open_upload(self, descriptor: Descriptor, *, mount_from: str | None = None) -> Upload | None:
        """Open an upload, or mount the blob (None)."""
        upload = await self._writing(
            lambda: uploads.open_upload(
                self._client, self._repository, descriptor, scopes=self._scopes, mount_from=mount_from
            )
        )
        return self._creation.guarded(self._repository, upload) if self._creation and upload else upload

    async def put_manifest(self, manifest: Manifest, *, tag: str | None = None) -> bool:
        """Store the manifest under its digest or a tag; tell whether its subject was taken note of."""
        try:
            return await self._writing(lambda: self._put(manifest, tag or str(manifest.digest)))
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

    async def _writing(self, write: Callable[[], Awaitable[T]]) -> T:
        return await (self._creation.writing(self._repository, write) if self._creation else write())

    async def _put(self, manifest: Manifest, reference: str) -> bool:
        image = self._image(reference)
        what = f"push the manifest of {image}"

        def read(answer: Answer) -> bool:
            self._client.refuse_page(answer, what=what)
            stored = answer.headers.get(_DIGEST_HEADER)
            # Compared within one algorithm only: a registry may name sha512 content by its sha256.
            if stored and stored.startswith(manifest.digest.algorithm + ":") and stored != str(manifest.digest):
                raise ProtocolError(
                    f"{image} was stored as {stored[:80]}, not as {manifest.digest}", host=self.host
                )
            subject = manifest.subject
            return subject is not None and (answer.headers.get("oci-subject") or "").strip() == str(subject.digest)

        return await self._client.request(
            Kind.MANIFEST,
            "PUT",
            self._manifest_path(reference),
            what=what,
            scopes=self._scopes,
            expect=frozenset({200, 201, 202}),
            read=read,
            headers={"Content-Type": manifest.media_type},
            content=manifest.raw,
        )

    def _note_allowance(self, answer: Answer, begun: float | None = None) -> None:
        self._client.quota.note(read_allowance(answer.headers, time.time()), begun=begun)

    def _manifest_path(self, reference: str) -> str:
        return f"/v2/{self._repository}/manifests/{reference}"

    def _image(self, reference: str) -> str:
        return f"{self.name}{'@' if ':' in reference else ':'}{reference}"


async def _behind(pieces: AsyncGenerator[bytes, None], start: int) -> AsyncGenerator[bytes, None]:
    """Give what stands behind the first `start` bytes."""
    unused = start
    async with aclosing(pieces):
        async for piece in pieces:
            if unused < len(piece):
                yield piece[unused:]
            unused = max(unused - len(piece), 0)


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


def _wrong_length(what: str, length: int, size: int, host: str) -> VerificationError:
    return VerificationError(f"can't {what}: {host} announces {length} bytes where {size} are due", host=host)
