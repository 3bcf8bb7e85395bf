"""The analysis as people read it, and as programs do."""

from __future__ import annotations

from dataclasses import replace

import jsonschema
import pytest

from ocync.analyze import as_json
from ocync.analyze.model import (
    NONE,
    Analysis,
    Bounds,
    Portion,
    RequestKind,
    SharedBlob,
    Sharing,
    SourceForecast,
    TargetForecast,
)
from ocync.analyze.text import render
from ocync.lib.errors import ErrorKind
from ocync.plan.model import Reason
from reports import NEW, copied, failed, report, unchanged

SHARING = Sharing(
    images=12,
    repositories=3,
    manifests=30,
    all=Portion(blobs=100, size=2_500_000_000),
    between_images=Portion(blobs=10, size=900_000_000),
    between_repositories=Portion(blobs=1, size=45_200_000),
    most=tuple(SharedBlob(digest=NEW, size=45_200_000, images=12, repositories=3) for _ in range(7)),
)
TARGET = TargetForecast(
    host="ghcr.io",
    images=13,
    repositories=3,
    empty_repositories=3,
    blobs=102,
    sent=Bounds.exactly(100),
    sent_size=Bounds.exactly(2_500_000_000),
    mounted=Bounds.exactly(2),
    mounted_size=Bounds.exactly(90_400_000),
    there=NONE,
    size_by_image=4_000_000_000,
    size_by_repository=2_590_400_000,
)
ANALYSIS = Analysis(
    cold=False,
    sharing=SHARING,
    sources=(SourceForecast(host="cgr.dev", blobs=Bounds(100, 100), size=Bounds.exactly(2_500_000_000)),),
    targets=(TARGET,),
    requests={
        "cgr.dev": {RequestKind.TAG_LIST: Bounds(3, 3), RequestKind.BLOB_GET: Bounds(100, 100)},
        "ghcr.io": {RequestKind.TAG_LIST: Bounds(1, 1), RequestKind.BLOB_PUT: Bounds(90, 1100)},
    },
)
REPORT = report(*(copied(f"app:{number}") for number in range(13)), unchanged())


def test_the_text_tells_what_moves_what_sharing_saves_and_what_is_asked() -> None:
    assert render(ANALYSIS, REPORT).splitlines() == [
        "The next pass copies 13 of 14 images; 1 unchanged",
        "",
        "12 different images of 3 repositories: 30 manifests, 100 blobs, 2.5 GB",
        "  shared by images: 10 blobs, 900.0 MB; by repositories: 1 blob, 45.2 MB",
        *["      45.2 MB  sha256:bbbbbbbbbbbb  in 12 images of 3 repositories"] * 5,
        "",
        "To ghcr.io: 13 images into 3 repositories, all empty",
        "  sends 100 blobs, 2.5 GB; one by one the images come to 4.0 GB",
        "  saves 90.4 MB by 2 mounts, 1.4 GB within repositories",
        "",
        "From cgr.dev: 100 blobs to read, 2.5 GB",
        "",
        "Requests of that pass; those for tokens, redirects, retries and audits come on top",
        "  cgr.dev       103 = 3 tag lists, 100 blob GETs",
        "  ghcr.io  91-1,101 = 1 tag list, 90-1,100 blob PUTs",
    ]


def test_what_is_not_known_is_told_as_such() -> None:
    target = replace(
        TARGET,
        empty_repositories=1,
        sent=Bounds(0, 1),
        sent_size=Bounds(0, 90_000),
        mounted=Bounds(0, 2),
        there=Bounds(0, 3),
    )
    text = render(replace(ANALYSIS, targets=(target,)), REPORT)

    assert "To ghcr.io: 13 images into 3 repositories, 1 of them empty\n  sends 0-1 blob, 0 B to 90.0 kB;" in text
    assert "  finds 0-3 blobs there already\n" in text


@pytest.mark.parametrize(
    ("repositories", "empty", "state"),
    [
        (1, 1, "1 repository, empty"),
        (1, 0, "1 repository, not empty"),
        (2, 0, "2 repositories, none of them empty"),
    ],
)
def test_it_is_told_how_full_the_target_is(repositories: int, empty: int, state: str) -> None:
    target = replace(TARGET, repositories=repositories, empty_repositories=empty)

    assert f"13 images into {state}\n" in render(replace(ANALYSIS, targets=(target,)), REPORT)


def test_the_first_line_says_what_the_forecast_is_about() -> None:
    cold = replace(ANALYSIS, cold=True)

    assert render(cold, REPORT).startswith("A pass into empty targets copies 13 of 14 images; ")
    assert "1 could not be looked at" in render(ANALYSIS, report(*REPORT.images, failed()))
    assert render(ANALYSIS, report(mappings=2)).startswith(
        "The next pass has nothing to do: 2 mappings selected no image\n"
    )
    assert render(ANALYSIS, replace(REPORT, interrupted="signal SIGTERM")).startswith(
        "Interrupted (signal SIGTERM)"
    )


def test_names_of_others_cannot_act_on_the_terminal() -> None:
    evil = replace(TARGET, host="evil\x1b[2J")

    assert "\x1b" not in render(replace(ANALYSIS, targets=(evil,), requests={"evil\x1b[2J": {}}), REPORT)


def test_artifacts_are_told_of_with_images_and_where_they_come_late() -> None:
    late = copied("late:1", reason=Reason.ARTIFACTS)
    target = replace(TARGET, artifacts=Bounds(40, 41))

    text = render(replace(ANALYSIS, targets=(target,)), report(*REPORT.images, late))

    assert text.startswith("The next pass copies 13 of 15 images, and what is attached to 1 more; 1 unchanged\n")
    assert "\nTo ghcr.io: 13 images and 40-41 artifacts into 3 repositories, all empty\n" in text
    images = as_json.render(ANALYSIS, report(late, unchanged()))["images"]
    assert (images["to_copy"], images["artifacts_only"], images["up_to_date"]) == (0, 1, 1)


def test_the_schema_is_one_and_the_document_is_as_it_says() -> None:
    jsonschema.Draft202012Validator.check_schema(as_json.schema())
    everything = report(*REPORT.images, failed(kind=ErrorKind.AUTH, hint="log in"), interrupted="signal SIGTERM")

    document = as_json.render(ANALYSIS, everything)

    jsonschema.validate(document, closed(as_json.schema()))
    assert document["images"] == {
        "selected": 15,
        "to_copy": 13,
        "artifacts_only": 0,
        "up_to_date": 1,
        "immutable": 0,
        "failed": 1,
    }
    assert document["requests"]["ghcr.io"]["total"] == {"min": 91, "max": 1101}
    assert document["failures"][0]["error"]["message"].endswith("; log in")


def test_the_schema_knows_every_kind_of_request_and_of_error() -> None:
    properties = as_json.schema()["properties"]

    kinds = properties["requests"]["additionalProperties"]["properties"]
    assert set(kinds) == {"total", *(kind.value for kind in RequestKind)}
    errors = properties["failures"]["items"]["properties"]["error"]["properties"]["kind"]["enum"]
    assert set(errors) == {kind.value for kind in ErrorKind}


def closed(schema: object) -> object:
    """Return the schema with every object closed: this program writes no key that it does not tell of."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: closed(value) for key, value in schema.items()}
    if "properties" in result and result.get("type") == "object":
        result["additionalProperties"] = False
    return result
