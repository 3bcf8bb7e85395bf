"""
The fallback tag at a target without the referrers API (distribution-spec 1.1, "Referrers Tag Schema").

Clients maintain the list, and nothing prevents two from writing it at once. So it is read, extended, written and
read again until it has the new entries, with as little time as possible between the read and the write.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ocync.lib.errors import NotFoundError, OcyncError, ProtocolError
from ocync.lib.looks import unless_refused
from ocync.lib.tasks import each_of
from ocync.oci import referrers
from ocync.transfer.image import is_about_parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from ocync.oci.digest import Digest
    from ocync.oci.manifest import Manifest
    from ocync.oci.repository import TargetRepository

log = logging.getLogger(__name__)

# A round is lost to another writer, which is then done; more writers at once are unheard of.
_ROUNDS = 8


async def read_list(repository: TargetRepository, subject: Digest) -> Manifest | None:
    """
    Return the list under the fallback tag, None if there is none or it is not shown.

    Raises ProtocolError for anything else.

    The subject itself under that tag counts as none: the list may replace it.
    """
    tag = referrers.fallback_tag(subject)
    try:
        index = await unless_refused(repository.manifest(tag))
    except NotFoundError:
        return None
    if index is None:
        return None
    if referrers.is_list(index, subject):
        return index
    if index.digest == subject:
        return None
    raise ProtocolError(
        f"{repository.name}:{tag} is no list of referrers, so nothing can be attached there",
        host=repository.host,
        hint="remove that tag at the target: its name is that of the list",
    )


async def read_again(repository: TargetRepository, subject: Digest, known: Manifest | None) -> Manifest | None:
    """Return the current list; it is read only if it is not the known one."""
    there = await unless_refused(repository.head(referrers.fallback_tag(subject)), known)
    if there is None:
        return None
    return known if known is not None and known.digest == there.digest else await read_list(repository, subject)


async def listed_and_there(
    repository: TargetRepository, index: Manifest | None, digests: Iterable[Digest], *, if_refused: bool = False
) -> set[Digest]:
    """
    Return those of the digests that a list names and the repository has.

    Registries do not maintain the list: it may name manifests that were deleted. With `if_refused`, those count too
    that the repository refuses to show.
    """
    listed = {child.digest for child in index.children} if index is not None else set()
    there: set[Digest] = set()

    async def look(digest: Digest) -> None:
        if await unless_refused(repository.head(str(digest)), if_refused or None) is not None:
            there.add(digest)

    await each_of(listed.intersection(digests), look)
    return there


async def add_to_list(
    repository: TargetRepository,
    subject: Digest,
    entries: Mapping[Digest, dict[str, Any]],
    *,
    existing: Manifest | None,
    verbatim: Manifest | None = None,
) -> None:
    """
    Ensure that the target's list has all entries, beside those of other clients; raises OcyncError.

    `existing` is the list as it was read last. `verbatim` is the source's list: it is stored byte for byte if the
    target has none and it has exactly these entries, so that both sides have the same.
    """
    tag = referrers.fallback_tag(subject)
    wanted = list(entries)
    for _ in range(_ROUNDS):
        if existing is None and verbatim is not None and _has_exactly(verbatim, entries):
            index = verbatim
        else:
            index = referrers.merged(existing, entries.values())
        if existing is not None and index.digest == existing.digest:
            return
        try:
            await repository.put_manifest(index, tag=tag)
        except OcyncError as error:
            if not is_about_parts(error):
                raise
            kept = await _without_gone(repository, existing)
            if existing is None or kept is existing:
                raise
            existing = kept
            continue
        # If that is refused: it was taken, and nothing shows that another client has written since.
        there = await unless_refused(repository.head(tag), index)
        if there is not None and there.digest == index.digest:
            return
        existing, verbatim = await read_list(repository, subject), None
        if existing is not None and referrers.lists_all(existing, wanted):
            return
        log.debug("%s:%s was written by another client meanwhile", repository.name, tag)
    raise ProtocolError(f"{repository.name}:{tag}: others kept writing the list of referrers", host=repository.host)


def _has_exactly(index: Manifest, entries: Mapping[Digest, dict[str, Any]]) -> bool:
    """Return whether a list has exactly these entries, with the right size and artifact type of each."""
    listed = {child.digest: (child.size, child.artifact_type) for child in index.children}
    return listed == {digest: (entry["size"], entry.get("artifactType", "")) for digest, entry in entries.items()}


async def _without_gone(repository: TargetRepository, existing: Manifest | None) -> Manifest | None:
    """Return the list without entries that the target has lost (a registry refuses to store it with them)."""
    if existing is None:
        return None
    listed = {child.digest for child in existing.children}
    gone = listed - await listed_and_there(repository, existing, listed, if_refused=True)
    if not gone:
        return existing
    log.warning("%s: %d of the listed referrers of a manifest are gone there", repository.name, len(gone))
    return referrers.without(existing, gone)
