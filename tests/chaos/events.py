"""What people and clean-ups do to registries while a pass runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos.corpus import content_of
from scripted import Bearer, build, faults

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from chaos.corpus import Corpus
    from scripted import ScriptedRegistry
    from scripted.build import Image
    from scripted.content import Content
    from scripted.rules import Rule
    from scripted.storage import Repository, StoredManifest

TAGS = ("latest", "1", "2", "3.1", "edge")


class Source:
    """The registry that is mirrored, and the memory of all that its tags ever were."""

    def __init__(self, registry: ScriptedRegistry, corpus: Corpus, chance: random.Random) -> None:
        self.registry = registry
        self._corpus = corpus
        self._chance = chance
        self._history: dict[tuple[str, str], dict[str, dict[str, bytes | int]]] = {}
        self._attached: dict[tuple[str, str], list[Image]] = {}
        self.artifacts: dict[str, dict[str, bytes | int]] = {}
        """All that was ever attached to anything, by its digest: what belongs to it."""
        self._withheld: list[tuple[Repository, str, Content]] = []

    def known(self, name: str, tag: str, digest: str) -> dict[str, bytes | int] | None:
        """Return all that belongs to the image of this digest, if the tag ever was that image."""
        return self._history.get((name, tag), {}).get(digest)

    def put(self, name: str, tag: str, image: Image, *, at: ScriptedRegistry | None = None) -> None:
        """Put an image there, or at a target that has had it for long, and remember it."""
        self._history.setdefault((name, tag), {})[image.digest] = content_of(image)
        (at or self.registry).seed(name, tag, image)

    def fill(self, names: list[str]) -> None:
        """Begin with some images, and signatures of some of them."""
        for name in names:
            for tag in self._chance.sample(TAGS, self._chance.randint(1, 4)):
                self._push(name, tag)
            for _ in range(self._chance.randrange(4)):
                self._attach(name)

    def repair(self) -> None:
        """Give back what was lost for a time."""
        for repository, digest, content in self._withheld:
            repository.blobs.setdefault(digest, content)
        self._withheld.clear()

    def happen(self) -> None:
        """Let one thing happen."""
        names = sorted(self.registry.repositories)
        if names:
            name = self._chance.choice(names)
            self._chance.choice(
                [
                    *(self._push_any, self._push_any, self._delete, self._sign, self._lose, self._log_out),
                    *(self._attach, self._attach, self._attach),
                ]
            )(name)

    def _push_any(self, name: str) -> None:
        self._push(name, self._chance.choice(TAGS))

    def _push(self, name: str, tag: str) -> None:
        image = self._corpus.image()
        self.put(name, tag, image)
        if self._chance.random() < 0.3:
            self._sign_image(name, image)

    def _sign(self, name: str) -> None:
        repository = self.registry.repositories[name]
        images = [digest for tag, digest in repository.tags.items() if not tag.startswith("sha256-")]
        if images:
            root = repository.manifests[self._chance.choice(images)]
            self._sign_image(name, build.Image(manifests=(root,), blobs={}))

    def _sign_image(self, name: str, image: Image) -> None:
        self.put(name, build.cosign_tag(image.digest), self._corpus.signature(image))

    def _attach(self, name: str) -> None:
        """Attach something to an image, to one of its parts, or to what is attached already."""
        repository = self.registry.repositories[name]
        images = [digest for tag, digest in sorted(repository.tags.items()) if not tag.startswith("sha256-")]
        subjects = {each.digest: each for digest in images for each in repository.tree(digest)}
        subjects |= {each.digest: each for each in self.attached_to(name, list(subjects))}
        if subjects:
            subject = build.Image(manifests=(self._chance.choice(list(subjects.values())),), blobs={})
            made = self._corpus.attachment(subject)
            self.artifacts[made.digest] = content_of(made)
            self.registry.seed(name, None, made)
            if not self.registry.behaviour.referrers:
                listed = self._attached.setdefault((name, subject.digest), [])
                listed.append(made)
                self.put(name, build.fallback_tag(subject.digest), build.index(listed))

    def attached_to(self, name: str, subjects: list[str]) -> list[StoredManifest]:
        """Return what the source says is attached to these, and to that again."""
        repository, found = self.registry.repository(name), []
        while subjects:
            subject = subjects.pop()
            for each in listed_by(self.registry, name, subject):
                found.append(repository.manifests[each])
                subjects.append(each)
        return found

    def _delete(self, name: str) -> None:
        repository = self.registry.repositories[name]
        if len(repository.tags) > 1:
            del repository.tags[self._chance.choice(sorted(repository.tags))]
            clean(repository)

    def _lose(self, name: str) -> None:
        repository = self.registry.repositories[name]
        if repository.blobs:
            digest = self._chance.choice(sorted(repository.blobs))
            self._withheld.append((repository, digest, repository.blobs.pop(digest)))

    def _log_out(self, _name: str) -> None:
        log_out(self.registry)


def befall(target: ScriptedRegistry, chance: random.Random, *, cleans: bool) -> None:
    """Let one thing happen at a target; one that takes manifests unseen must not clean up while they are pushed."""
    repositories = [target.repositories[name] for name in sorted(target.repositories)]
    what = chance.randrange(5)
    if what == 0:
        target.uploads.forget_all()
    elif what == 1:
        log_out(target)
    elif repositories:
        repository = chance.choice(repositories)
        if what == 2 and repository.tags:
            del repository.tags[chance.choice(sorted(repository.tags))]
        elif what == 3 and repository.tags:
            digest = repository.tags[chance.choice(sorted(repository.tags))]
            repository.tags = {tag: to for tag, to in repository.tags.items() if to != digest}
        if cleans:
            clean(repository)


def listed_by(registry: ScriptedRegistry, name: str, subject: str) -> list[str]:
    """Return the digests of what a registry says is attached: by its API, or by the fallback tag."""
    repository = registry.repository(name)
    listed = repository.find(build.fallback_tag(subject))
    digests = [str(entry["digest"]) for entry in listed.children] if listed is not None else []
    if registry.behaviour.referrers:
        digests += [each.digest for each in repository.referrers_of(subject) if each.digest not in digests]
    return digests


def log_out(registry: ScriptedRegistry) -> None:
    """End all tokens."""
    if isinstance(registry.auth, Bearer):
        registry.auth.tokens.revoke_all()


def clean(repository: Repository) -> None:
    """Remove everything that no tag leads to, as a registry's garbage collection does."""
    kept = {
        manifest.digest: manifest for digest in repository.tags.values() for manifest in repository.tree(digest)
    }
    blobs = {entry["digest"] for manifest in kept.values() for entry in manifest.blobs}
    repository.manifests = kept
    repository.blobs = {digest: content for digest, content in repository.blobs.items() if digest in blobs}


def meanwhile(registry: ScriptedRegistry, chance: random.Random, happen: Callable[[], None]) -> Rule:
    """Let things happen between the requests to a registry, one in ten or so."""

    def perhaps() -> None:
        if chance.random() < 0.1:
            happen()

    return registry.on("*", "", respond=faults.first(perhaps), times=60)
