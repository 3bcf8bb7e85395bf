import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.lib.errors import ConfigError, ErrorKind
from ocync.plan.model import Reason
from ocync.report import as_json
from ocync.report.summary import RunReport
from ocync.transfer.result import ArtifactCounts, BlobStats, Failure, ImageResult, Status
from reports import NEW, OLD, STARTED, copied, failed, report, unchanged


def closed(schema: Any) -> Any:
    """Return the schema with every object closed: readers may meet more keys, this program writes no others."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: closed(value) for key, value in schema.items()}
    if "properties" in result and "additionalProperties" not in result:
        result["additionalProperties"] = False
    return result


VALIDATOR = jsonschema.Draft202012Validator(
    closed(as_json.schema()), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
)

names = st.text(min_size=1, max_size=20)
counts = st.integers(min_value=0, max_value=2**53)
blobs = st.builds(BlobStats, transferred=counts, skipped=counts, mounted=counts)
images = st.builds(
    ImageResult,
    mapping=names,
    source=names,
    target=names,
    target_host=names,
    status=st.sampled_from(Status),
    reason=st.none() | st.sampled_from(Reason),
    digest=st.none() | st.just(NEW),
    previous_digest=st.none() | st.just(OLD),
    bytes_transferred=counts,
    blobs=blobs,
    artifacts=st.none() | st.builds(ArtifactCounts, source=counts, target=counts, transferred=counts, gone=counts),
    unverified=st.booleans(),
    looked_below=st.none() | st.floats(min_value=0, max_value=2**33),
    duration=st.floats(min_value=0, max_value=1e6),
    error=st.none()
    | st.builds(
        Failure, kind=st.sampled_from(ErrorKind), message=names, hint=st.none() | names, retryable=st.booleans()
    ),
)
classes = st.dictionaries(st.sampled_from(["2xx", "3xx", "4xx", "5xx", "none"]), counts)


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(as_json.schema())


def test_the_document_has_the_published_shape() -> None:
    looked = STARTED.timestamp() + 2
    image = copied(artifacts=ArtifactCounts(source=7, target=7, transferred=2), looked_below=looked)
    assert as_json.render(report(image)) == {
        "schema_version": 1,
        "run_id": "3f0c2f1e-0000-4000-8000-000000000000",
        "started_at": "2026-11-23T20:51:41.869Z",
        "duration_seconds": 4.2,
        "exit_code": 0,
        "dry_run": False,
        "images": [
            {
                "mapping": "chainguard/static",
                "source": "cgr.dev/chainguard/static:latest",
                "target": "ghcr.io/myorg/static:latest",
                "status": "synced",
                "reason": "moved",
                "digest": NEW,
                "previous_digest": OLD,
                "bytes_transferred": 31457280,
                "blob_stats": {"transferred": 3, "skipped": 1, "mounted": 2},
                "artifacts": {"source": 7, "target": 7, "transferred": 2, "gone": 0, "unmatched": 0},
                "unverified": False,
                "looked_below": "2026-11-23T20:51:43.869Z",
                "duration_seconds": 1.0,
                "error": None,
            }
        ],
        "stats": {
            "images_synced": 1,
            "images_skipped": 0,
            "images_failed": 0,
            "images_unverified": 0,
            "images_repaired": 0,
            "blobs_transferred": 3,
            "blobs_skipped": 1,
            "blobs_mounted": 2,
            "bytes_transferred": 31457280,
            "requests": {"cgr.dev": 12, "ghcr.io": 21},
            "discovery_cache_hits": 0,
            "discovery_cache_misses": 0,
            "discovery_head_failures": 0,
            "discovery_target_stale": 0,
        },
        "evidence": {"oldest": "2026-11-23T20:51:43.869Z", "known": 1, "unknown": 0},
    }


def test_images_that_are_not_signed_as_demanded_are_counted() -> None:
    document = as_json.render(report(copied(), copied(unverified=True)))
    assert [image["unverified"] for image in document["images"]] == [False, True]
    assert document["stats"]["images_unverified"] == 1


def test_images_that_were_repaired_are_counted() -> None:
    document = as_json.render(report(copied(), copied(reason=Reason.REPAIRED), failed()))
    assert document["stats"]["images_repaired"] == 1
    assert document["stats"]["images_synced"] == 2


def test_a_time_that_is_not_known_is_null() -> None:
    document = as_json.render(report(copied()))
    assert document["images"][0]["looked_below"] is None
    assert document["evidence"] == {"oldest": None, "known": 0, "unknown": 1}


def test_a_dry_run_has_no_evidence() -> None:
    document = as_json.render(report(copied(), dry_run=True))
    VALIDATOR.validate(document)
    assert document["evidence"] is None


def test_an_error_says_what_to_do_in_its_message() -> None:
    image = failed(kind=ErrorKind.QUOTA, message="can't push", hint="free space there")
    document = as_json.render(report(copied(), image))
    assert document["exit_code"] == 1
    assert document["images"][1]["error"] == {"kind": "quota", "message": "can't push; free space there"}


def test_a_pass_that_could_not_begin_carries_its_error_itself() -> None:
    whole = RunReport.of_failure(ConfigError("bad", hint="fix"), run_id="1", started_at=STARTED, duration=0.1)
    document = as_json.render(whole)
    VALIDATOR.validate(document)
    assert document["exit_code"] == 3
    assert document["images"] == []
    assert document["error"] == {"kind": "config", "message": "bad; fix"}


@given(
    st.lists(images, max_size=4),
    st.dictionaries(names, classes, max_size=3),
    st.none() | names,
    st.booleans(),
    st.floats(min_value=0, max_value=1e6),
)
def test_every_report_is_an_instance_of_the_schema(
    some: list[ImageResult],
    requests: dict[str, dict[str, int]],
    interrupted: str | None,
    dry_run: bool,
    duration: float,
) -> None:
    whole = report(*some, requests=requests, interrupted=interrupted, dry_run=dry_run, duration=duration)
    VALIDATOR.validate(as_json.render(whole))
    assert json.loads(as_json.dump(whole)) == as_json.render(whole)


@pytest.mark.parametrize(
    ("path", "values"),
    [
        (("error", "properties", "kind"), {kind.value for kind in ErrorKind}),
        (("image", "properties", "status"), {status.value for status in Status}),
        (("image", "properties", "reason"), {reason.value for reason in Reason} | {None}),
    ],
    ids=["kinds", "statuses", "reasons"],
)
def test_the_schema_lists_exactly_what_there_is(path: tuple[str, ...], values: set[str | None]) -> None:
    part = as_json.schema()["$defs"]
    for key in path:
        part = part[key]
    assert set(part["enum"]) == values


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 2},
        {"started_at": "2026-11-23T20:51:41+01:00"},
        {"exit_code": 6},
        {"images": [{}]},
        {"stats": {}},
        {"extra": 1},
    ],
    ids=["version", "local time", "exit code", "image", "stats", "unknown key"],
)
def test_the_schema_refuses_what_is_no_report(change: dict[str, Any]) -> None:
    document = as_json.render(report(copied())) | change
    assert not VALIDATOR.is_valid(document)


def test_a_dump_can_do_nothing_to_a_terminal_and_fits_in_one_line() -> None:
    text = as_json.dump(report(failed(message="\x1b[2J\x9b\u202e\nlöst")), one_line=True)
    assert text.isascii()
    assert text.count("\n") == 1
    assert "\x1b" not in text
    assert as_json.dump(report(unchanged())).count("\n") > 10


@given(st.lists(images, min_size=1, max_size=4))
def test_a_report_has_a_line_for_each_image_and_is_the_same_document_in_one(made: list[ImageResult]) -> None:
    told = report(*made, replace(failed(), source='r.io/a:1 "images": []'))
    text = as_json.dump(told)

    assert json.loads(text) == json.loads(as_json.dump(told, one_line=True)) == as_json.render(told)
    assert sum('"source": ' in line for line in text.splitlines()) == len(made) + 1
