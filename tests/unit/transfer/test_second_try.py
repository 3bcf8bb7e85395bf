"""What failed for a passing reason: tried once more with all that belongs to it, and told exactly once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from memory import MemoryRepository, Place, put_image, put_index
from ocync.config.model import TagRules
from ocync.lib.errors import ErrorKind, NetworkError
from ocync.lib.shutdown import Stop
from ocync.oci.platform import Platform
from ocync.plan.model import Reason
from ocync.transfer.result import ArtifactCounts, Status
from passes import MemoryPlaces, failing, mapping, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from ocync.lib.errors import OcyncError
    from ocync.oci.manifest import Manifest
    from ocync.oci.reference import RepositoryName

ONLY_APP = TagRules(semver=">=1")


def sign(repository: MemoryRepository, image: Manifest) -> str:
    """Store a signature of an image as cosign does, and return its tag."""
    tag = f"sha256-{image.digest.encoded}.sig"
    put_image(repository, tag, f"signature of {image.digest}".encode())
    return tag


def stopping_at(operation: str, stop: Stop, error: OcyncError) -> Callable[..., tuple[int, OcyncError | None]]:
    """Return a step at which the pass is asked to end, and which fails."""

    def step(called: str, _path: str, _subject: str) -> tuple[int, OcyncError | None]:
        if called == operation:
            if not stop.requested():
                stop.request("signal SIGTERM")
            return 1, error
        return 1, None

    return step


async def test_what_waits_for_its_second_try_when_a_stop_comes_is_interrupted() -> None:
    stop = Stop(grace=5)
    source = Place("source")
    a = Place("a", step=failing("put", NetworkError("reset"), times=1))
    put_image(source.repository("app"), "1", b"x")
    put_image(source.repository("db"), "1", b"y")

    def step(called: str, path: str, _subject: str) -> tuple[int, OcyncError | None]:
        if (called, path) == ("piece", "db"):
            # Once the other image has failed; this one ends within the grace.
            if a.count("put"):
                stop.request("signal SIGTERM")
                return 1, None
            return 200, None
        return 1, None

    source.step = step

    results = await run(MemoryPlaces(source, a), mapping("app"), mapping("db"), stop=stop)

    assert set(results) == {"a/app:1", "a/db:1"}
    assert results["a/db:1"].status is Status.SYNCED
    failure = results["a/app:1"].error
    assert failure is not None
    assert failure.kind is ErrorKind.INTERRUPTED
    assert results["a/app:1"].bytes_transferred > 0


async def test_a_mapping_that_waits_for_its_second_try_when_a_stop_comes_is_interrupted() -> None:
    stop = Stop(grace=5)
    source, a = Place("source"), Place("a")
    put_image(source.repository("app"), "1", b"x")
    put_image(source.repository("db"), "1", b"y")

    def step(called: str, path: str, _subject: str) -> tuple[int, OcyncError | None]:
        if (called, path) == ("tags", "app"):
            return 1, NetworkError("reset")
        if (called, path) == ("piece", "db"):
            stop.request("signal SIGTERM")
        return 1, None

    source.step = step

    results = await run(MemoryPlaces(source, a), mapping("app"), mapping("db"), stop=stop)

    assert set(results) == {"a/app", "a/db:1"}
    assert results["a/app"].error is not None
    assert results["a/app"].error.kind is ErrorKind.INTERRUPTED


@pytest.mark.parametrize("operation", ["tags", "manifest", "read"])
async def test_what_fails_in_passing_after_a_stop_was_interrupted(operation: str) -> None:
    """Without the stop it would have been tried again."""
    stop = Stop(grace=5)
    source, a = Place("source"), Place("a")
    put_image(source.repository("app"), "1", b"x")
    source.step = stopping_at(operation, stop, NetworkError("reset"))

    results = await run(MemoryPlaces(source, a), mapping("app"), stop=stop)

    assert [result.error.kind for result in results.values() if result.error] == [ErrorKind.INTERRUPTED]
    assert "reset" in next(iter(results.values())).error.message


@pytest.mark.parametrize("operation", ["head", "manifest"])
async def test_signatures_reach_every_target_when_the_image_needs_a_second_try(operation: str) -> None:
    source, a, b = Place("source"), Place("a"), Place("b")
    repository = source.repository("app")
    tag = sign(repository, put_image(repository, "1", b"x"))
    for host in (a, b):
        put_image(host.repository("app"), "1", b"old")
    source.step = failing(operation, NetworkError("reset"), times=1)

    results = await run(MemoryPlaces(source, a, b), mapping("app", "a", "b", tags=ONLY_APP))

    assert {target for target, result in results.items() if result.status is Status.SYNCED} == {
        f"{host}/app:1" for host in "ab"
    }
    assert all(tag in host.tagged["app"] for host in (a, b))
    assert a.tagged == b.tagged == source.tagged


async def test_signatures_are_found_when_the_index_that_leads_to_them_needs_a_second_try() -> None:
    source, a, b = Place("source"), Place("a"), Place("b")
    repository = source.repository("app")
    index = put_index(repository, "1", (b"amd64",), (b"arm64",))
    repositories = MemoryPlaces(source, a, b)
    rules = mapping("app", "a", "b", tags=ONLY_APP)
    await run(repositories, rules)
    # All is up to date, and then signatures come.
    tags = {sign(repository, index)}
    for child in index.children:
        tags.add(sign(repository, await repository.manifest(str(child.digest))))
    source.step = failing("manifest", NetworkError("reset"), times=1)

    results = await run(repositories, rules)

    assert {tag for tag in a.tagged["app"] if tag != "1"} == {tag for tag in b.tagged["app"] if tag != "1"} == tags
    assert all(result.status is not Status.FAILED for result in results.values())


async def test_signatures_that_could_not_be_looked_for_fail_the_pass_in_a_plausible_time() -> None:
    source, a = Place("source"), Place("a")
    repository = source.repository("app")
    index = put_index(repository, "1", (b"amd64",), (b"arm64",))
    rules = mapping("app", tags=ONLY_APP)
    await run(MemoryPlaces(source, a), rules)
    sign(repository, index)
    put_image(repository, "sha256-" + "0" * 64 + ".sig", b"of an image that is gone")
    source.step = failing("head", NetworkError("reset"), path="app")

    results = await run(MemoryPlaces(source, a), rules)

    assert [(target, result.error.kind) for target, result in results.items() if result.error] == [
        ("a/app:1", ErrorKind.NETWORK)
    ]
    # The image can be compared, and what is attached to it can't be read.
    source.step = lambda operation, _path, subject: (1, NetworkError("reset") if ".sig" in subject else None)

    results = await run(MemoryPlaces(source, a), rules)

    assert [(target, result.error.kind) for target, result in results.items() if result.error] == [
        ("a/app:1", ErrorKind.INCOMPLETE_ARTIFACTS)
    ]
    assert all(result.duration < 10 for result in results.values())


async def test_signatures_of_platforms_are_looked_for_in_the_index_as_it_was_written() -> None:
    source, a = Place("source"), Place("a")
    repository = source.repository("app")
    platforms = (Platform("linux", "amd64"), Platform("linux", "arm64"), Platform("linux", "s390x"))
    index = put_index(repository, "1", (b"amd64",), (b"arm64",), (b"s390x",), platforms=platforms)
    rules = replace(mapping("app", tags=ONLY_APP), platforms=platforms[:2])
    tags = [sign(repository, await repository.manifest(str(child.digest))) for child in index.children]
    repositories = MemoryPlaces(source, a)

    first = await run(repositories, rules)
    second = await run(repositories, rules)

    assert set(a.tagged["app"]) == {"1", *tags[:2]}
    assert [(r.status, r.artifacts) for r in first.values()] == [
        (Status.SYNCED, ArtifactCounts(source=2, target=2, transferred=2))
    ]
    assert [(r.status, r.reason, r.artifacts) for r in second.values()] == [
        (Status.SKIPPED, Reason.UP_TO_DATE, ArtifactCounts(source=2, target=2))
    ]


async def test_what_was_sent_before_a_lost_answer_is_in_the_report() -> None:
    """The first try has put the tag without knowing it: the second one finds it there."""
    source, a = Place("source"), Place("a")
    put_image(source.repository("app"), "1", b"x")
    put_image(a.repository("app"), "1", b"old")
    put = MemoryRepository.put_manifest
    lost = [True]

    class Losing(MemoryRepository):
        async def put_manifest(self, manifest: Manifest, *, tag: str | None = None) -> bool:
            stored = await put(self, manifest, tag=tag)
            if lost.pop() if lost else False:
                raise NetworkError("the answer was lost")
            return stored

    class Repositories(MemoryPlaces):
        def target(self, registry: object, repository: RepositoryName) -> MemoryRepository:
            return Losing(a, repository.path)

    result = (await run(Repositories(source, a), mapping("app")))["a/app:1"]

    assert result.reason is Reason.UP_TO_DATE
    assert (result.bytes_transferred, result.blobs.transferred) == (1, 1)
