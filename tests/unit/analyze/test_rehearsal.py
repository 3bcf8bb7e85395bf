"""Rehearsals between places in memory: results as of a pass, what is counted, and what is left alone."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from memory import Place, put_image, put_index
from ocync.analyze.model import NONE, Bounds, RequestKind
from ocync.analyze.rehearsal import AnalysisResult, analyze
from ocync.cache.hints import Hints
from ocync.config.model import TagRules
from ocync.lib.errors import AuthError, ErrorKind, NetworkError
from ocync.lib.shutdown import Stop
from ocync.oci.digest import Digest
from ocync.oci.referrers import fallback_tag
from ocync.plan.model import Reason
from ocync.transfer.events import BytesExpected, ImageFinished, ImageStarted, MappingResolved
from passes import MemoryPlaces, failing, mapping, run

if TYPE_CHECKING:
    from ocync.config.model import MappingConfig
    from ocync.transfer.events import Event
    from ocync.transfer.result import ImageResult, Status


async def rehearse(
    repositories: MemoryPlaces,
    *mappings: MappingConfig,
    cold: bool = False,
    events: Any = None,
    memory: Hints | None = None,
) -> AnalysisResult:
    sink = events.append if events is not None else lambda _event: None
    return await analyze(
        mappings, repositories=repositories, at_once=4, stop=Stop(grace=0), sink=sink, cold=cold, memory=memory
    )


def outcomes(results: tuple[ImageResult, ...]) -> dict[str, Status | Reason | ErrorKind | None]:
    return {
        result.target: result.error.kind if result.error else result.reason or result.status for result in results
    }


def counts(found: AnalysisResult, host: str = "a") -> dict[RequestKind, Bounds]:
    return dict(found.analysis.requests[host])


# Results


async def test_results_are_those_of_a_pass_and_nothing_is_written() -> None:
    source, a, b = Place("source"), Place("a"), Place("b", step=failing("manifest", AuthError("no pull")))
    for path in ("app", "db"):
        put_index(source.repository(path), "1", (b"x",), (b"y",))
    put_image(source.repository("app"), "2", b"z")
    for target in (a, b):
        put_image(target.repository("app"), "1", b"old")
    repositories = MemoryPlaces(source, a, b)
    work = [mapping("app", "a", "b"), mapping("db", "a")]

    found = await rehearse(repositories, *work)

    assert sum(host.count(each) for host in (a, b) for each in ("open", "mount", "put", "send")) == 0
    assert source.count("read") == 0
    passed = await run(repositories, *work)
    assert outcomes(found.results) == outcomes(tuple(passed.values()))
    assert outcomes(found.results)["b/app:1"] is ErrorKind.AUTH
    assert {target.host: target.images for target in found.analysis.targets} == {"a": 3, "b": 1}
    assert found.is_whole


async def test_what_was_not_demanded_and_is_not_there_is_no_failure() -> None:
    source, a = Place("source"), Place("a")
    put_image(source.repository("app"), "1", b"x")
    rules = TagRules(glob=("1", "2"), include=("3", "4"))

    found = await rehearse(MemoryPlaces(source, a), mapping("app", tags=rules))

    assert outcomes(found.results) == {"a/app:1": Reason.NEW, "a/app:2": ErrorKind.NOT_FOUND}


def signed_index(source: Place) -> str:
    """Put an index with a signature of its own, and one of its child, by tag; returns the name of the index's."""
    repository = source.repository("app")
    index = put_index(repository, "1", (b"x",))
    put_image(repository, f"{fallback_tag(index.children[0].digest)}.sig", b"signature of the child")
    name = f"{fallback_tag(index.digest)}.sig"
    put_image(repository, name, b"signature")
    return name


async def test_what_is_attached_to_images_is_found_and_compared_as_in_a_pass() -> None:
    source, a = Place("source"), Place("a")
    name = signed_index(source)
    repositories = MemoryPlaces(source, a)

    first = await rehearse(repositories, mapping("app"))
    await run(repositories, mapping("app"))
    unchanged = await rehearse(repositories, mapping("app"))
    put_image(source.repository("app"), name, b"signed once more")
    late = await rehearse(repositories, mapping("app"))

    assert outcomes(first.results) == {"a/app:1": Reason.NEW}
    assert [(each.images, each.artifacts) for each in first.analysis.targets] == [(1, Bounds.exactly(2))]
    assert outcomes(unchanged.results) == {"a/app:1": Reason.UP_TO_DATE}
    assert unchanged.analysis.targets == ()
    assert outcomes(late.results) == {"a/app:1": Reason.ARTIFACTS}
    assert [(each.images, each.artifacts) for each in late.analysis.targets] == [(0, Bounds.exactly(1))]
    passed = await run(repositories, mapping("app"))
    assert [result.artifacts for result in late.results] == [result.artifacts for result in passed.values()]


async def test_an_image_of_which_it_cant_be_known_what_is_attached_has_failed() -> None:
    source, a = Place("source"), Place("a")
    name = signed_index(source)
    repositories = MemoryPlaces(source, a)
    await run(repositories, mapping("app"))
    for failing_at in (name, "sha256:"):
        put_image(source.repository("app"), name, failing_at.encode())
        operation = "head" if failing_at == name else "manifest"

        def step(
            called: str, _path: str, subject: str, what: tuple[str, str] = (operation, failing_at)
        ) -> tuple[int, NetworkError | None]:
            return 0, NetworkError("reset") if called == what[0] and subject.startswith(what[1]) else None

        source.step = step
        events: list[Event] = []

        found = await rehearse(repositories, mapping("app"), events=events)

        assert outcomes(found.results) == {"a/app:1": ErrorKind.INCOMPLETE_ARTIFACTS}
        announced = sum(event.images for event in events if isinstance(event, MappingResolved))
        assert announced == sum(isinstance(event, ImageFinished) for event in events) == 1


async def test_a_defect_in_one_image_is_one_failed_image() -> None:
    def step(operation: str, _path: str, subject: str) -> tuple[int, None]:
        if operation == "manifest" and subject == "2":
            raise ZeroDivisionError
        return 0, None

    source, a = Place("source", step=step), Place("a")
    for tag in ("1", "2"):
        put_image(source.repository("app"), tag, tag.encode())

    found = await rehearse(MemoryPlaces(source, a), mapping("app"))

    assert outcomes(found.results) == {"a/app:1": Reason.NEW, "a/app:2": ErrorKind.INTERNAL}


async def test_each_image_is_told_of_once_and_nothing_of_bytes(caplog: pytest.LogCaptureFixture) -> None:
    source, a = Place("source"), Place("a")
    put_image(source.repository("app"), "1", b"x")
    rules = TagRules(glob=("1", "2"), include=("3",))
    events: list[Event] = []

    await rehearse(MemoryPlaces(source, a), mapping("app", tags=rules), events=events)

    assert sum(isinstance(event, ImageFinished) for event in events) == 2
    assert not any(isinstance(event, ImageStarted | BytesExpected) for event in events)
    assert sum("failed:" in record.message for record in caplog.records) == 1
    assert logging.root.manager.disable == logging.NOTSET


# What is counted


async def test_one_repository_gets_each_blob_once() -> None:
    source, a = Place("source"), Place("a")
    for tag in ("1", "2"):
        put_image(source.repository("app"), tag, b"base", tag.encode())

    found = await rehearse(MemoryPlaces(source, a), mapping("app"))

    # Both have the same config. How the place takes blobs is not known.
    assert counts(found)[RequestKind.BLOB_POST] == Bounds.exactly(4)
    assert counts(found)[RequestKind.BLOB_PUT] == Bounds(0, 4)
    assert counts(found)[RequestKind.MANIFEST_PUT] == Bounds.exactly(2)
    assert counts(found, "source")[RequestKind.BLOB_GET] == Bounds.exactly(4)
    assert RequestKind.BLOB_HEAD not in counts(found)


async def test_other_repositories_mount_what_one_gets() -> None:
    source, a = Place("source"), Place("a")
    for path in ("app", "db", "web"):
        put_image(source.repository(path), "1", b"base", path.encode() * 10)

    found = await rehearse(MemoryPlaces(source, a), *(mapping(path) for path in ("app", "db", "web")))

    (target,) = found.analysis.targets
    # The base and the config are mounted twice.
    assert (target.sent, target.mounted, target.there) == (Bounds.exactly(5), Bounds.exactly(4), NONE)
    config = len(b'{"layers": 2}')
    assert target.sent_size == Bounds.exactly(30 + 30 + 20 + 4 + config)
    assert target.mounted_size == Bounds.exactly(2 * (4 + config))
    assert target.size_by_image == target.size_by_repository == target.sent_size.high + target.mounted_size.high
    assert (target.repositories, target.empty_repositories, target.blobs) == (3, 3, 9)


async def test_what_a_repository_holds_is_looked_for_and_known() -> None:
    source, a = Place("source"), Place("a")
    put_image(source.repository("app"), "2", b"there", b"new")
    put_image(a.repository("app"), "1", b"there")

    found = await rehearse(MemoryPlaces(source, a), mapping("app"))

    (target,) = found.analysis.targets
    # The config is as new as the manifest, and is not looked for.
    assert counts(found)[RequestKind.BLOB_HEAD] == Bounds.exactly(2)
    assert (target.sent, target.there, target.empty_repositories) == (Bounds.exactly(2), Bounds.exactly(1), 0)


async def test_what_depends_on_the_order_of_images_is_told_as_a_range() -> None:
    source, a = Place("source"), Place("a")
    for path in ("app", "db"):
        put_image(source.repository(path), "2", b"there")
    put_image(a.repository("app"), "1", b"there")
    a.repository("db")

    found = await rehearse(MemoryPlaces(source, a), mapping("app"), mapping("db"))

    # Who brings it to the empty one first does not look, and sends it.
    (target,) = found.analysis.targets
    assert counts(found)[RequestKind.BLOB_HEAD] == Bounds(0, 1)
    assert target.sent == Bounds(1, 2)
    assert target.mounted.high == 2


async def test_children_of_an_index_are_put_by_their_digests_once() -> None:
    source, a = Place("source"), Place("a")
    for tag in ("1", "latest"):
        put_index(source.repository("app"), tag, (b"x",), (b"y",))

    found = await rehearse(MemoryPlaces(source, a), mapping("app"))

    assert counts(found)[RequestKind.MANIFEST_PUT] == Bounds.exactly(2 + 2)
    # Each tag is asked for, and nothing below it twice.
    assert counts(found, "source")[RequestKind.MANIFEST_GET] == Bounds.exactly(2 + 2)
    assert source.count("manifest") == 2 + 2


async def test_within_one_registry_everything_is_mounted() -> None:
    source = Place("source")
    put_image(source.repository("app"), "1", b"x")
    here = mapping("app", "source")

    found = await rehearse(
        MemoryPlaces(source), replace(here, targets=((here.source, here.source.repository("copy")),))
    )

    assert counts(found, "source")[RequestKind.BLOB_MOUNT] == Bounds.exactly(2)
    assert RequestKind.BLOB_POST not in counts(found, "source")
    assert found.analysis.sources == ()


async def test_nothing_to_copy_is_nothing_to_tell() -> None:
    found = await rehearse(MemoryPlaces(Place("source"), Place("a")))

    analysis = found.analysis
    assert (analysis.targets, analysis.sources, analysis.requests, analysis.sharing.images) == ((), (), {}, 0)


async def test_sharing_counts_blobs_by_images_that_differ_and_by_repositories() -> None:
    source, a = Place("source"), Place("a")
    own = {"1": b"one", "2": b"two!"}
    for path, tag, layers in (("app", "1", "1"), ("app", "latest", "1"), ("app", "2", "2"), ("db", "1", "1")):
        put_image(source.repository(path), tag, b"base layer", own[layers])

    found = await rehearse(MemoryPlaces(source, a), mapping("app"), mapping("db"))

    sharing = found.analysis.sharing
    assert (sharing.images, sharing.repositories, sharing.manifests, sharing.all.blobs) == (3, 2, 2, 4)
    assert (sharing.between_images.blobs, sharing.between_repositories.blobs) == (3, 3)
    numbers = {shared.digest: (shared.images, shared.repositories) for shared in sharing.most}
    assert numbers[str(Digest.of(b"base layer"))] == (3, 2)
    assert numbers[str(Digest.of(b"one"))] == (2, 2)
    assert str(Digest.of(b"two!")) not in numbers


async def test_an_image_whose_children_came_with_another_one_is_known_with_all_its_blobs() -> None:
    source, a = Place("source"), Place("a")
    put_index(source.repository("app"), "1", (b"x",), (b"y",))
    put_index(source.repository("app"), "2", (b"x",), (b"y",), (b"z",))

    found = await rehearse(MemoryPlaces(source, a), mapping("app"))

    (target,) = found.analysis.targets
    config = len(b'{"layers": 1}')
    assert target.size_by_image == 2 + 3 + 2 * config
    assert target.size_by_repository == 3 + config


# Targets that are not asked


@pytest.mark.parametrize("immutable", [None, "*"])
async def test_a_cold_rehearsal_asks_targets_nothing_and_counts_what_a_pass_would_ask(
    immutable: str | None,
) -> None:
    source, a = Place("source"), Place("a")
    for host in (source, a):
        put_image(host.repository("app"), "1", b"x")
    rules = TagRules(immutable_tags=immutable)

    found = await rehearse(MemoryPlaces(source, a), mapping("app", tags=rules), cold=True)

    assert outcomes(found.results) == {"a/app:1": Reason.NEW}
    assert a.calls.total() == 0
    assert counts(found)[RequestKind.TAG_LIST] == Bounds.exactly(1)
    assert [target.empty_repositories for target in found.analysis.targets] == [1]
    assert found.analysis.cold


# Cache


async def test_hints_are_read_and_not_changed_and_wrong_ones_are_noticed() -> None:
    source, a = Place("source"), Place("a")
    put_image(source.repository("app"), "1", b"held", b"lost")
    put_image(a.repository("other"), "1", b"held")
    memory = Hints()
    for layer in (b"held", b"lost"):
        memory.learn_blob("a", "other", Digest.of(layer))
    memory.take_changes()
    before = memory.all()

    found = await rehearse(MemoryPlaces(source, a), mapping("app"), memory=memory)

    (target,) = found.analysis.targets
    assert counts(found)[RequestKind.BLOB_MOUNT] == Bounds.exactly(2)
    assert (target.mounted, target.sent) == (Bounds.exactly(1), Bounds.exactly(2))
    assert memory.all() == before
    assert not memory.has_changes
