"""Writing blobs: POST, then PUT with the whole blob, or a mount (distribution-spec 1.1, "Pushing blobs")."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from urllib.parse import quote

from ocync.auth.scope import Scope
from ocync.errors import AuthError, NotFoundError, OcyncError, ProtocolError, RegistryError, ServerError
from ocync.oci.media import OCTET_STREAM
from ocync.registry import links
from ocync.registry.client import stream_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ocync.oci.manifest import Descriptor
    from ocync.registry.client import Answer, RegistryClient

log = logging.getLogger(__name__)

_MOUNTED = 201
_OPENED = frozenset({202})
# Bytes per second at which a registry is expected to store what it has received, at least: after the last byte it
# may copy the whole blob within its storage before it answers (distribution does so on S3).
_STORES = 32 * 1024 * 1024
# What a registry says of a session that it has lost or of bytes that it has lost: another session may do.
_SPOILT = frozenset(
    {"BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "RANGE_INVALID", "SIZE_INVALID"}
)


class RegistryUpload:
    """An upload session at a registry: one PUT with the whole blob."""

    def __init__(
        self, client: RegistryClient, location: str, descriptor: Descriptor, name: str, scopes: frozenset[Scope]
    ) -> None:
        self._client = client
        self._location = location
        self._descriptor = descriptor
        self._scopes = scopes
        self._what = f"push blob {descriptor.digest.algorithm}:{descriptor.digest.short} to {name}"

    async def send(self, pieces: AsyncIterator[bytes]) -> None:
        """Send all bytes and commit; see endpoint.Upload. The caller holds a slot."""
        answer = await self._client.once(
            "PUT",
            links.with_digest(self._location, str(self._descriptor.digest)),
            what=self._what,
            scopes=self._scopes,
            # Without a length the body would be chunked, which zot ignores and GAR refuses.
            headers={"Content-Type": OCTET_STREAM, "Content-Length": str(self._descriptor.size)},
            content=pieces,
            seconds=stream_time(self._descriptor.size),
            patience=self._descriptor.size / _STORES,
        )
        if answer.status not in (200, 201, 202, 204):
            error = self._client.refusal(answer, what=self._what)
            error.retryable = error.retryable or _is_spoilt(answer.status, error)
            raise error
        self._client.refuse_page(answer, what=self._what)

    async def abandon(self) -> None:
        """Cancel the session; many registries do not allow it, and sessions end by themselves."""
        try:
            async with self._client.slots.hold():
                await self._client.once(
                    "DELETE", self._location, what=f"cancel: {self._what}", scopes=self._scopes, seconds=10
                )
        except OcyncError as error:
            log.debug("%s", error)


def _is_spoilt(status: int, error: OcyncError) -> bool:
    """Tell whether only this session is at an end: forgotten by a restart, or by a registry of many."""
    code = error.code if isinstance(error, RegistryError) else None
    return status in (404, 416) or (status == 400 and code in _SPOILT)


async def open_upload(
    client: RegistryClient,
    repository: str,
    descriptor: Descriptor,
    *,
    scopes: frozenset[Scope],
    mount_from: str | None,
) -> RegistryUpload | None:
    """Open a session, or mount; see endpoint.TargetRepository.open_upload."""
    name = f"{client.host}/{repository}"
    path = f"/v2/{repository}/blobs/uploads/"
    if mount_from is not None:
        query = f"?mount={quote(str(descriptor.digest), safe=':')}&from={quote(mount_from, safe='/')}"
        both = scopes | {Scope(mount_from, ("pull",))}
        try:
            location = await _post(client, path + query, name, both, expect=frozenset({201, 202}))
        except (AuthError, ProtocolError, NotFoundError, ServerError) as error:
            # Whatever a registry, or its token service, has against a mount: the bytes can still be sent.
            log.debug("mount refused: %s", error)
        else:
            return None if location is None else RegistryUpload(client, location, descriptor, name, scopes)
    location = await _post(client, path, name, scopes, expect=_OPENED)
    if location is None:
        raise ProtocolError(f"{name} answered 201 to an upload that has no bytes yet", host=client.host)
    return RegistryUpload(client, location, descriptor, name, scopes)


async def _post(
    client: RegistryClient, path: str, name: str, scopes: frozenset[Scope], *, expect: frozenset[int]
) -> str | None:
    """Return the session's Location, or None when the blob was mounted."""
    what = f"open an upload at {name}"

    def read(answer: Answer) -> str | None:
        if answer.status == _MOUNTED:
            return None
        return links.resolve(
            answer.headers.get("location"), answer.url, what="the opening of an upload", host=client.host
        )

    return await client.request(
        "POST", path, what=what, scopes=scopes, expect=expect, read=read, headers={"Content-Length": "0"}
    )
