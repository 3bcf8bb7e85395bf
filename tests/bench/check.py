"""Whether a target holds what was wanted, looked at in the target itself and not in what tools say."""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from bench.holdings import Repository

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bench.answers import Registry
    from bench.holdings import Repositories

_TAGGED = re.compile(r"sha256-[0-9a-f]{64}\.(sig|att)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What of the wanted things was found, whole and with the digests of the source."""

    tags: int
    tags_wanted: int
    artifacts: int
    """Referrers, nested ones included, that the target lists for their subjects."""
    artifacts_wanted: int
    cosign: int
    """Tags `sha256-HEX.sig` and `.att`."""
    cosign_wanted: int
    damaged: int
    """Blobs whose bytes do not have their digest."""

    def as_json(self) -> dict[str, int]:
        """Return a document."""
        return asdict(self)

    def __add__(self, other: Check) -> Check:
        both = zip(asdict(self).items(), asdict(other).values(), strict=True)
        return Check(**{name: one + two for (name, one), two in both})


def check(target: Registry, wanted: Repositories) -> Check:
    """Compare a target with what was wanted; each of its blobs is read once, and never again."""
    damaged = _damaged(target)
    tags = [(name, tag, digest) for name, source in wanted.items() for tag, digest in source.tags.items()]
    artifacts = [(name, *found) for name, source in wanted.items() for found in _attached(source)]
    live = {digest for name, tag, root in tags if not _TAGGED.fullmatch(tag) for digest in wanted[name].below(root)}
    cosign = [each for each in tags if _TAGGED.fullmatch(each[1]) and _subject(each[1]) in live]
    plain = [each for each in tags if not _TAGGED.fullmatch(each[1])]
    there = target.repositories
    return Check(
        tags=_count(_has(there, each) for each in plain),
        tags_wanted=len(plain),
        artifacts=_count(_lists(target, each) for each in artifacts),
        artifacts_wanted=len(artifacts),
        cosign=_count(_has(there, each) for each in cosign),
        cosign_wanted=len(cosign),
        damaged=damaged,
    )


def _count(found: Iterable[bool]) -> int:
    return sum(1 for each in found if each)


def _subject(tag: str) -> str:
    return tag.partition(".")[0].replace("-", ":", 1)


def _has(there: Repositories, tagged: tuple[str, str, str]) -> bool:
    name, tag, digest = tagged
    repository = there.get(name, Repository())
    return repository.tags.get(tag) == digest and repository.is_whole(digest)


def _lists(target: Registry, attached: tuple[str, str, str]) -> bool:
    """Tell whether a client finds it: through the API, or where there is none through the fallback tag."""
    name, subject, digest = attached
    repository = target.repositories.get(name, Repository())
    fallback = repository.find(subject.replace(":", "-"))
    listed = repository.referrers.get(subject, {}) if target.referrers else (fallback.children if fallback else ())
    return digest in listed and repository.is_whole(digest)


def _attached(source: Repository) -> Iterator[tuple[str, str]]:
    """Give (subject, digest) of all that is attached to what tags point at, and to that in turn."""
    waiting = [
        digest for tag, root in source.tags.items() if not _TAGGED.fullmatch(tag) for digest in source.below(root)
    ]
    seen: set[str] = set()
    while waiting:
        subject = waiting.pop()
        if subject in seen:
            continue
        seen.add(subject)
        for digest in source.referrers.get(subject, {}):
            yield subject, digest
            waiting.append(digest)


def _damaged(target: Registry) -> int:
    """Read every blob that is new; returns how many do not have the digest that they are named after."""
    bad = 0
    for file in target.blobs.iterdir():
        if file.name in target.verified:
            continue
        with file.open("rb") as content:
            good = hashlib.file_digest(content, "sha256").hexdigest() == file.name
        if good:
            target.verified.add(file.name)
        bad += not good
    return bad
