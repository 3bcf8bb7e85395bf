"""
What is attached to images at their source: referrers, from the API or the fallback tag, and cosign's tags.

One object serves all images of a mapping, so what several of them share is requested once.
"""

from __future__ import annotations

import contextlib
import logging
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ocync.lib.errors import AuthError, NotFoundError, ProtocolError
from ocync.lib.looks import unless_refused
from ocync.lib.singleflight import Flights, Memo
from ocync.lib.tasks import each_of
from ocync.oci import media, referrers
from ocync.tags.glob import Wildcards
from ocync.tags.select import is_digest_named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ocync.config.model import ArtifactRules
    from ocync.oci.digest import Digest
    from ocync.oci.manifest import Descriptor, Manifest
    from ocync.oci.repository import Repository
    from ocync.plan.budget import Budget

log = logging.getLogger(__name__)

MAX_ARTIFACTS = 10_000
"""Artifacts of one image manifest, nested ones included; a source that lists more may never end."""
# For this many tags or fewer, three look-ups for each cost less than listing a repository of several pages.
_FEW = 3


@dataclass(frozen=True, slots=True)
class AttachedTag:
    """A tag of cosign's scheme (`sha256-….sig`) and what it points to at the source."""

    tag: str
    descriptor: Descriptor
    manifest: Manifest | None = None
    """What the tag points to, if it was read because a target lacks it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """What is attached to one subject: an image's manifest, or an artifact that something is attached to itself."""

    subject: Digest
    referrers: tuple[Descriptor, ...] = ()
    fallback: Manifest | None = None
    """The source's fallback index, if it has one and no entry was filtered out."""
    tags: tuple[AttachedTag, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """Everything attached to one manifest of an image, nested artifacts included; subjects come first."""

    subject: Digest
    attachments: tuple[Attachment, ...] = ()
    gone: int = 0
    """Tags that were listed and are gone."""

    @property
    def contents(self) -> frozenset[tuple[Digest, str]]:
        """Pairs of a subject and what is attached to it: mappings with other rules find other artifacts."""
        referring = {(one.subject, str(each.digest)) for one in self.attachments for each in one.referrers}
        return frozenset(referring.union((one.subject, tag.tag) for one in self.attachments for tag in one.tags))

    @property
    def count(self) -> int:
        """The number of artifacts; one that refers to two subjects counts twice."""
        return sum(len(attachment.referrers) + len(attachment.tags) for attachment in self.attachments)


@dataclass(slots=True)
class _Search:
    """The state of one search from a manifest of an image."""

    budget: Budget
    seen: dict[Digest, None]
    """Subjects that were or will be looked at, in the order in which they were found."""
    signed: set[Digest] = field(default_factory=set)
    """Signatures and attestations among them: looked at only if a tag shows that something is attached to one."""
    found: list[Attachment] = field(default_factory=list)
    count: int = 0
    gone: int = 0


class Attachments:
    """The artifacts of the images that one mapping selects."""

    def __init__(
        self,
        source: Repository,
        rules: ArtifactRules,
        *,
        tags: Iterable[str] | None = None,
        images: int = 1,
        lacking: Callable[[str], bool] = lambda _tag: False,
    ) -> None:
        """
        `tags` are all tags of the source, if they were listed; otherwise `images` is the number of tags requested.

        `lacking` returns whether a target is known to lack a tag.
        """
        self._source = source
        self._include = Wildcards(rules.include)
        self._exclude = Wildcards(rules.exclude)
        self._images = images
        self._lacking = lacking
        self._by_name = None if tags is None else _by_name(tags)
        self._listed = tags is not None
        self._found: Memo[Digest, Attached] = Memo()
        self._lists: Flights[str, None] = Flights()

    def __repr__(self) -> str:
        return f"<Attachments of {self._source.name}: {len(self._found)} manifests looked at>"

    async def of(self, subject: Digest, budget: Budget) -> Attached:
        """
        Return what is attached to a manifest of an image, nested artifacts included.

        Each manifest is searched once, whatever number of images contain it; a search that failed is repeated. The
        budget of the first caller is charged. Raises OcyncError if the answer is not certain: the image must not be
        reported as complete then.
        """
        return await self._found.get(subject, lambda: self._search(subject, budget))

    async def _search(self, subject: Digest, budget: Budget) -> Attached:
        await self._know_tags()
        search = _Search(seen={subject: None}, budget=budget)
        level = [subject]
        while level:
            found: list[list[Digest]] = []

            async def look(each: Digest, found: list[list[Digest]] = found) -> None:
                found.append(await self._attachment(each, search))

            await each_of(level, look)
            level = [digest for digests in found for digest in digests]
        order = {digest: position for position, digest in enumerate(search.seen)}
        attachments = sorted(search.found, key=lambda attachment: order[attachment.subject])
        return Attached(subject=subject, attachments=tuple(attachments), gone=search.gone)

    async def _attachment(self, subject: Digest, search: _Search) -> list[Digest]:
        """Look up what is attached to one subject; return the subjects to look at next."""
        is_artifact = len(search.seen) > 1
        if subject in search.signed and not self._is_named(subject):
            return []
        listed, fallback = await self._referrers(subject, search)
        wanted = await self._wanted(listed, search)
        tags = await self._tags(subject, search, is_artifact=is_artifact)
        if wanted or tags:
            search.found.append(
                Attachment(
                    subject=subject,
                    referrers=wanted,
                    fallback=fallback if len(wanted) == len(listed) else None,
                    tags=tags,
                )
            )
            search.count += len(wanted) + len(tags)
        # Subjects count too: one artifact may be an index of tens of thousands.
        if max(search.count, len(search.seen)) > MAX_ARTIFACTS:
            raise ProtocolError(
                f"{self._source.name}@{subject}: more than {MAX_ARTIFACTS} artifacts are attached to one image",
                host=self._source.host,
                hint="set artifacts.include or artifacts.exclude, or artifacts.enabled: false",
            )
        following = []
        referring = {descriptor.digest for descriptor in wanted}
        for tag in tags:
            digest = tag.descriptor.digest
            # An SBOM may be signed in turn, by tag or by reference. Signatures and attestations need not be.
            if referrers.is_signed(tag.tag) and digest not in referring and digest not in search.seen:
                search.signed.add(digest)
        for descriptor in (*wanted, *(tag.descriptor for tag in tags)):
            for digest in (descriptor.digest, *await self._children(descriptor, search)):
                if digest not in search.seen:
                    search.seen[digest] = None
                    following.append(digest)
        return following

    def _is_named(self, subject: Digest) -> bool:
        """Return whether a listed tag shows that something is attached to the manifest."""
        return self._by_name is not None and any(
            name in self._by_name for name in referrers.attached_names(subject)
        )

    async def _read(self, reference: str, search: _Search) -> Manifest:
        manifest = await self._source.manifest(reference)
        search.budget.count(1, manifest.size)
        return manifest

    async def _referrers(self, subject: Digest, search: _Search) -> tuple[tuple[Descriptor, ...], Manifest | None]:
        """Return the referrers of a subject, and its fallback index if there is one."""
        name = referrers.fallback_tag(subject)
        is_listed = self._by_name is not None and name in self._by_name.get(name, ())
        by_api = await self._source.referrers(subject)
        if not is_listed and (by_api is not None or self._by_name is not None):
            return by_api or (), None
        # A fallback tag that exists is read beside the API: a registry that gained the API later may not include
        # what was attached before.
        reading = self._read(name, search)
        try:
            # A tag that was listed is there, and one whose name was derived need not be.
            index = await (reading if is_listed else unless_refused(reading))
        except NotFoundError:
            return by_api or (), None
        if index is None:
            return by_api or (), None
        if not referrers.is_list(index, subject):
            level = logging.DEBUG if index.digest == subject else logging.WARNING
            log.log(level, "%s:%s is no list of referrers; it is left alone", self._source.name, name)
            return by_api or (), None
        return _once((*(by_api or ()), *index.children)), index

    async def _wanted(self, listed: Sequence[Descriptor], search: _Search) -> tuple[Descriptor, ...]:
        """Return the artifacts whose types the rules select."""
        if not self._include and not self._exclude:
            return tuple(listed)
        # Lists may omit the artifact type, or give the config's type instead (artifacthub/hub#4785).
        types: dict[Digest, str] = {}

        async def read(descriptor: Descriptor) -> None:
            with contextlib.suppress(NotFoundError):
                artifact = await self._read(str(descriptor.digest), search)
                types[descriptor.digest] = referrers.type_of(artifact)

        await each_of([each for each in listed if each.artifact_type in referrers.NO_TYPES], read)
        return tuple(each for each in listed if self._wants((types.get(each.digest, each.artifact_type),)))

    async def _tags(self, subject: Digest, search: _Search, *, is_artifact: bool) -> tuple[AttachedTag, ...]:
        if self._by_name is None:
            names = _probes(subject, is_artifact=is_artifact)
        else:
            names = [
                tag
                for name in referrers.attached_names(subject)
                for tag in self._by_name.get(name, ())
                if "." in tag
            ]
        found: list[AttachedTag] = []
        for tag in names:
            if not self._wants(referrers.types_of_tag(tag)):
                continue
            tagged = self._tagged(tag, search)
            # A tag that was listed is there, and one whose name was derived need not be.
            attached = await (unless_refused(tagged) if self._by_name is None else tagged)
            if attached is not None:
                found.append(attached)
            elif self._by_name is not None:
                log.warning("%s:%s was listed and is gone", self._source.name, tag)
                search.gone += 1
        return tuple(found)

    async def _tagged(self, tag: str, search: _Search) -> AttachedTag | None:
        """Return what a tag points to; None if it is gone."""
        if self._lacking(tag):
            # The manifest will be copied, so a GET saves the HEAD.
            try:
                manifest = await self._read(tag, search)
            except NotFoundError:
                return None
            return AttachedTag(tag, manifest.descriptor, manifest)
        descriptor = await self._source.head(tag)
        return None if descriptor is None else AttachedTag(tag, descriptor)

    async def _children(self, descriptor: Descriptor, search: _Search) -> tuple[Digest, ...]:
        """Return the manifests below an artifact that is an index: they can be signed too."""
        if descriptor.media_type not in media.INDEXES:
            return ()
        try:
            index = await self._read(str(descriptor.digest), search)
        except NotFoundError:
            return ()
        return tuple(child.digest for child in index.children if media.is_manifest_like(child.media_type))

    async def _know_tags(self) -> None:
        """Ensure that the tags are listed, once for the repository."""
        if not self._listed:
            await self._lists.run("", self._list)

    async def _list(self) -> None:
        if self._listed:
            return
        try:
            page = await self._source.first_tags()
            if page.complete:
                self._by_name = _by_name(page.tags)
            elif self._images > _FEW:
                self._by_name = _by_name(await self._source.tags())
        except (AuthError, NotFoundError, ProtocolError) as error:
            # A registry that refuses to list tags still answers for single tags.
            log.debug("%s; looking up tags of signatures by name", error.message)
        self._listed = True

    def _wants(self, types: tuple[str, ...]) -> bool:
        """Return whether to copy an artifact that has these names for its type."""
        if any(map(self._exclude.matches, types)):
            return False
        return not self._include or any(map(self._include.matches, types))


def _by_name(tags: Iterable[str]) -> dict[str, list[str]]:
    """Return the tags of cosign's scheme by the digest in their names."""
    found: dict[str, list[str]] = defaultdict(list)
    for tag in tags:
        if is_digest_named(tag):
            found[tag.partition(".")[0]].append(tag)
    return dict(found)


def _probes(subject: Digest, *, is_artifact: bool) -> list[str]:
    """Return the tags to try without a list; artifacts can be signed too (`cosign sign --attachment sbom`)."""
    name = referrers.attached_names(subject)[0]
    return [f"{name}.{suffix}" for suffix in (("sig",) if is_artifact else referrers.COSIGN_SUFFIXES)]


def _once(descriptors: Iterable[Descriptor]) -> tuple[Descriptor, ...]:
    unique: dict[Digest, Descriptor] = {}
    for descriptor in descriptors:
        unique.setdefault(descriptor.digest, descriptor)
    return tuple(unique.values())
