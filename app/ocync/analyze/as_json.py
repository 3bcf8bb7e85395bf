"""The analysis as JSON; `schema.json` beside this file describes it for its readers."""

from __future__ import annotations

import json
from datetime import UTC
from importlib import resources
from typing import TYPE_CHECKING, Any

from ocync.analyze.model import total
from ocync.plan.model import Reason
from ocync.transfer.result import Status

if TYPE_CHECKING:
    from ocync.analyze.model import Analysis, Bounds, Portion, Sharing, TargetForecast
    from ocync.report.summary import RunReport
    from ocync.transfer.result import ImageResult

SCHEMA_VERSION = 1


def render(analysis: Analysis, report: RunReport) -> dict[str, Any]:
    """Return the document: an instance of `schema()`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "started_at": report.started_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "duration_seconds": round(report.duration, 3),
        "exit_code": int(report.exit_code),
        "interrupted": report.interrupted,
        "cold": analysis.cold,
        "images": _images(report),
        "sharing": _sharing(analysis.sharing),
        "sources": [
            {"place": source.host, "blobs": _bounds(source.blobs), "bytes": _bounds(source.size)}
            for source in analysis.sources
        ],
        "targets": [_target(target) for target in analysis.targets],
        "requests": {
            host: {kind.value: _bounds(bounds) for kind, bounds in kinds.items()}
            | {"total": _bounds(total(kinds.values()))}
            for host, kinds in analysis.requests.items()
        },
        "failures": [_failure(image) for image in report.failures],
        "requests_made": {host: sum(classes.values()) for host, classes in sorted(report.requests.items())},
    }


def dump(analysis: Analysis, report: RunReport) -> str:
    """Return the document as ASCII text that ends with a newline: nothing in it can control a terminal."""
    return json.dumps(render(analysis, report), indent=2) + "\n"


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the document."""
    text = resources.files("ocync.analyze").joinpath("schema.json").read_text(encoding="utf-8")
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def _images(report: RunReport) -> dict[str, int]:
    immutable = sum(image.reason is Reason.IMMUTABLE_TAG for image in report.images)
    artifacts_only = sum(image.reason is Reason.ARTIFACTS for image in report.images)
    return {
        "selected": len(report.images),
        "to_copy": report.count(Status.SYNCED) - artifacts_only,
        "artifacts_only": artifacts_only,
        "up_to_date": report.count(Status.SKIPPED) - immutable,
        "immutable": immutable,
        "failed": report.count(Status.FAILED),
    }


def _sharing(sharing: Sharing) -> dict[str, Any]:
    return {
        "images": sharing.images,
        "repositories": sharing.repositories,
        "manifests": sharing.manifests,
        "all": _portion(sharing.all),
        "between_images": _portion(sharing.between_images),
        "between_repositories": _portion(sharing.between_repositories),
        "most_shared": [
            {"digest": blob.digest, "bytes": blob.size, "images": blob.images, "repositories": blob.repositories}
            for blob in sharing.most
        ],
    }


def _portion(portion: Portion) -> dict[str, int]:
    return {"blobs": portion.blobs, "bytes": portion.size}


def _target(target: TargetForecast) -> dict[str, Any]:
    return {
        "place": target.host,
        "images": target.images,
        "artifacts": _bounds(target.artifacts),
        "repositories": target.repositories,
        "empty_repositories": target.empty_repositories,
        "blobs": target.blobs,
        "blobs_sent": _bounds(target.sent),
        "bytes_sent": _bounds(target.sent_size),
        "blobs_mounted": _bounds(target.mounted),
        "bytes_mounted": _bounds(target.mounted_size),
        "blobs_there": _bounds(target.there),
        "bytes_by_image": target.size_by_image,
        "bytes_by_repository": target.size_by_repository,
    }


def _bounds(bounds: Bounds) -> dict[str, int]:
    return {"min": bounds.low, "max": bounds.high}


def _failure(image: ImageResult) -> dict[str, Any]:
    error = image.error
    assert error is not None
    message = f"{error.message}; {error.hint}" if error.hint else error.message
    return {
        "mapping": image.mapping,
        "source": image.source,
        "target": image.target,
        "error": {"kind": error.kind.value, "message": message},
    }
