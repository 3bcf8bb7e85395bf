"""Reading both sides of mappings: results as a dry run would give them, and what was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from memory import Place, put_image, put_index
from ocync.analyze.counted import Counted, CountedPlaces
from ocync.analyze.reading import Read, Reading
from ocync.analyze.requests import Bounds, Kind
from ocync.config.model import MappingConfig, TagRules
from ocync.errors import AuthError, ErrorKind, NetworkError
from ocync.interrupt import Stop
from ocync.oci.referrers import fallback_tag
from ocync.transfer.events import ImageFinished, MappingResolved
from ocync.transfer.result import Reason, Status
from passes import MemoryPlaces, failing, mapping, run

if TYPE_CHECKING:
    from ocync.oci.manifest import Descriptor
    from ocync.transfer.events import Event


async def read(places: MemoryPlaces, *mappings: MappingConfig, cold: bool = False, events: Any = None) -> Read:
    sink = events.append if events is not None else lambda _event: None
    return await Reading(places=places, at_once=4, stop=Stop(grace=0), sink=sink, cold=cold).run(mappings)


def outcomes(found: Read) -> dict[str, Status | Reason | ErrorKind | None]:
    return {
        result.target: result.error.kind if result.error else result.reason or result.status
        for result in found.results
    }


async def test_results_are_those_of_a_dry_run() -> None:
    source, a, b = Place("source"), Place("a"), Place("b", step=failing("manifest", AuthError("no pull")))
    for path in ("app", "db"):
        put_index(source.repository(path), "1", (b"x",), (b"y",))
    put_image(source.repository("app"), "2", b"z")
    for target in (a, b):
        put_image(target.repository("app"), "1", b"old")
        target.repository("app")
    places = MemoryPlaces(source, a, b)
    work = [mapping("app", "a", "b"), mapping("db", "a")]

    found = await read(places, *work)

    dry = await run(places, *work, dry_run=True)
    assert outcomes(found) == {
        name: result.error.kind if result.error else result.reason for name, result in dry.items()
    }
    assert outcomes(found)["b/app:1"] is ErrorKind.AUTH
    assert {image.tag: len(image.arrivals) for image in found.facts.images if image.source.path == "app"} == {
        "1": 1,
        "2": 2,
    }


async def test_what_was_not_demanded_and_is_not_there_is_no_failure() -> None:
    source, a = Place("source"), Place("a")
    put_image(source.repository("app"), "1", b"x")

    found = await read(MemoryPlaces(source, a), mapping("app", tags=TagRules(glob=("1", "2"), include=("3", "4"))))

    assert outcomes(found) == {"a/app:1": Reason.NEW, "a/app:2": ErrorKind.NOT_FOUND}


def signed_index(source: Place) -> str:
    """Put an index with a signature of its own, and one of its child, by tag; returns the name of the index's."""
    repository = source.repository("app")
    index = put_index(repository, "1", (b"x",))
    put_image(repository, f"{fallback_tag(index.children[0].digest)}.sig", b"signature of the child")
    name = f"{fallback_tag(index.digest)}.sig"
    put_image(repository, name, b"signature")
    return name


async def test_what_is_attached_to_images_is_found_and_compared_as_in_a_dry_run() -> None:
    source, a = Place("source"), Place("a")
    name = signed_index(source)
    places = MemoryPlaces(source, a)

    first = await read(places, mapping("app"))
    await run(places, mapping("app"))
    unchanged = await read(places, mapping("app"))
    put_image(source.repository("app"), name, b"signed once more")
    late = await read(places, mapping("app"))

    assert outcomes(first) == {"a/app:1": Reason.NEW}
    assert sorted(str(artifact.tag)[-4:] for artifact in first.facts.artifacts) == [".sig", ".sig"]
    assert outcomes(unchanged) == {"a/app:1": Reason.UP_TO_DATE}
    assert (unchanged.facts.images, unchanged.facts.artifacts) == ((), ())
    assert outcomes(late) == {"a/app:1": Reason.ARTIFACTS}
    assert [artifact.tag for artifact in late.facts.artifacts] == [name]
    dry = await run(places, mapping("app"), dry_run=True)
    assert [result.artifacts for result in late.results] == [result.artifacts for result in dry.values()]


async def test_an_image_of_which_it_cant_be_known_what_is_attached_has_failed() -> None:
    source, a = Place("source"), Place("a")
    name = signed_index(source)
    places = MemoryPlaces(source, a)
    await run(places, mapping("app"))
    for failing_at, error in ((name, NetworkError("reset")), ("sha256:", NetworkError("reset"))):
        put_image(source.repository("app"), name, failing_at.encode())
        operation = "head" if failing_at == name else "manifest"

        def step(
            called: str,
            _path: str,
            subject: str,
            what: tuple[str, str, NetworkError] = (operation, failing_at, error),
        ) -> tuple[int, NetworkError | None]:
            return 0, what[2] if called == what[0] and subject.startswith(what[1]) else None

        source.step = step
        events: list[Event] = []

        found = await read(places, mapping("app"), events=events)

        assert outcomes(found) == {"a/app:1": ErrorKind.INCOMPLETE_ARTIFACTS}
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

    found = await read(MemoryPlaces(source, a), mapping("app"))

    assert outcomes(found) == {"a/app:1": Reason.NEW, "a/app:2": ErrorKind.INTERNAL}


@pytest.mark.parametrize("immutable", [None, "*"])
async def test_a_cold_reading_asks_targets_nothing_and_counts_what_a_pass_would_ask(immutable: str | None) -> None:
    source, a = Place("source"), Place("a")
    for place in (source, a):
        put_image(place.repository("app"), "1", b"x")

    found = await read(MemoryPlaces(source, a), mapping("app", tags=TagRules(immutable_tags=immutable)), cold=True)

    assert outcomes(found) == {"a/app:1": Reason.NEW}
    assert a.calls.total() == 0
    assert found.facts.asked["a"] == {Kind.TAG_LIST: Bounds(1, 1)}
    assert found.facts.images[0].arrivals[0].is_empty


async def test_a_counted_repository_writes_nothing_and_reads_no_blob() -> None:
    place = Place("a")
    image = put_image(place.repository("app"), "1", b"x")
    repository = CountedPlaces(MemoryPlaces(place), cold=False).target(mapping("app").targets[0][0], "app")
    blob: Descriptor = image.blobs[0]

    for refused in (
        repository.has_blob(blob),
        repository.open_upload(blob),
        repository.put_manifest(image, tag="2"),
    ):
        with pytest.raises(AssertionError, match="a/app"):
            await refused
    with pytest.raises(AssertionError, match="a/app"):
        repository.blob(blob)

    assert place.calls.total() == 0
    assert isinstance(repository, Counted)
    assert repository.asked.total() == 0
