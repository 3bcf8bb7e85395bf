"""What is attached to images and missing at targets, as it is found image by image."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ocync.analyze.counted import Counted
from ocync.analyze.facts import Arrival, Artifact, Spot
from ocync.transfer.outcome import as_ocync_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ocync.analyze.contents import Contents
    from ocync.endpoint import Repository
    from ocync.oci.digest import Digest
    from ocync.plan.attachments import Attached
    from ocync.transfer.destination import Destination
    from ocync.transfer.missing import Missing


@dataclass(slots=True)
class _Found:
    """One artifact, and where it is missing."""

    is_listed_by_hand: bool
    was_read: bool
    arrivals: dict[Spot, Arrival] = field(default_factory=dict)
    times: Counter[Spot] = field(default_factory=Counter)


class MissingArtifacts:
    """Takes down what a dry run of artifacts tells, with the contents of each; made for one reading."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._found: dict[tuple[Spot, Digest, Digest, str | None], _Found] = {}
        self._askers: dict[tuple[Spot, Digest], set[frozenset[Spot]]] = defaultdict(set)
        self.unread_lists: set[Spot] = set()
        """Repositories of which not all tags are known."""

    def __repr__(self) -> str:
        return f"<MissingArtifacts: {len(self._found)} found>"

    async def note(self, missing: Missing) -> None:
        """Take down an artifact that some targets lack; raises OcyncError where it can't be read."""
        source, digest = missing.source, missing.descriptor.digest
        assert isinstance(source, Counted)
        try:
            if missing.manifest is not None:
                await self._contents.complete(source, missing.manifest)
            else:
                await self._contents.fetch(source, missing.descriptor)
        except Exception as error:
            raise as_ocync_error(error, f"{source.name}@{digest}") from error
        key = (Spot(source.place, source.path), missing.subject, digest, missing.tag)
        is_listed_by_hand = self._contents.subjects.get(digest) != missing.subject
        found = self._found.setdefault(key, _Found(is_listed_by_hand, was_read=missing.manifest is not None))
        for destination in missing.destinations:
            spot = _spot(destination.repository)
            found.times[spot] += 1
            found.arrivals[spot] = Arrival(spot=spot, is_empty=destination.is_empty)
            if destination.tags is None and not destination.is_empty:
                self.unread_lists.add(spot)

    def asked_for(
        self, source: Repository, attached: Iterable[Attached], destinations: Sequence[Destination]
    ) -> None:
        """Take down that an image asks for what is attached to its manifests, for so many targets at once."""
        asker = frozenset(_spot(destination.repository) for destination in destinations)
        for each in attached:
            for attachment in each.attachments:
                self._askers[_spot(source), attachment.subject].add(asker)

    def artifacts(self) -> tuple[Artifact, ...]:
        """Return what was found."""
        return tuple(
            Artifact(
                source=source,
                subject=subject,
                root=root,
                tag=tag,
                is_listed_by_hand=found.is_listed_by_hand,
                arrivals=tuple(found.arrivals.values()),
                was_read=found.was_read,
                times=max(found.times.values()),
                askers=frozenset(self._askers[source, subject]),
            )
            for (source, subject, root, tag), found in self._found.items()
            # A stop may come between the one and the other.
            if self._askers[source, subject]
        )


def _spot(repository: Repository) -> Spot:
    return Spot(repository.place, repository.path)
