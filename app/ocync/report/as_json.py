"""The report as JSON; `schema.json` beside this file describes it for its readers."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib import resources
from typing import TYPE_CHECKING, Any

from ocync.transfer.result import Status

if TYPE_CHECKING:
    from ocync.report.summary import Evidence, RunReport
    from ocync.transfer.result import Failure, ImageResult

SCHEMA_VERSION = 1


def render(report: RunReport) -> dict[str, Any]:
    """Return the document of a report: an instance of `schema()`."""
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "run_id": report.run_id,
        "started_at": _time(report.started_at),
        "duration_seconds": round(report.duration, 3),
        "exit_code": int(report.exit_code),
        "dry_run": report.dry_run,
        "images": [_image(image) for image in report.images],
        "stats": _stats(report),
        "evidence": _evidence(report.evidence),
    }
    if report.failure is not None:
        # There are no images that could carry the error.
        document["error"] = _error(report.failure)
    return document


def dump(report: RunReport, *, one_line: bool = False) -> str:
    """
    Return the document as text with a final line end: in one line, or with a line for each image.

    The text is ASCII, so it has no control characters for a terminal.
    """
    document = render(report)
    if one_line or not document["images"]:
        return json.dumps(document, indent=None if one_line else 2) + "\n"
    # Not json.dumps with an indent: it is pure Python, and takes a tenth of a pass in which nothing has changed.
    images = ",\n    ".join(map(json.dumps, document["images"]))
    frame = json.dumps({**document, "images": []}, indent=2)
    return frame.replace('"images": []', f'"images": [\n    {images}\n  ]', 1) + "\n"


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the document."""
    text = resources.files("ocync.report").joinpath("schema.json").read_text(encoding="utf-8")
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def _image(image: ImageResult) -> dict[str, Any]:
    artifacts = image.artifacts
    return {
        "mapping": image.mapping,
        "source": image.source,
        "target": image.target,
        "status": image.status.value,
        "reason": image.reason.value if image.reason else None,
        "digest": image.digest,
        "previous_digest": image.previous_digest,
        "bytes_transferred": image.bytes_transferred,
        "blob_stats": {
            "transferred": image.blobs.transferred,
            "skipped": image.blobs.skipped,
            "mounted": image.blobs.mounted,
        },
        "artifacts": {
            "source": artifacts.source,
            "target": artifacts.target,
            "transferred": artifacts.transferred,
            "gone": artifacts.gone,
            "unmatched": artifacts.unmatched,
        }
        if artifacts
        else None,
        "unverified": image.unverified,
        "looked_below": _unix_time(image.looked_below),
        "duration_seconds": round(image.duration, 3),
        "error": _error(image.error) if image.error else None,
    }


def _error(failure: Failure) -> dict[str, str]:
    message = f"{failure.message}; {failure.hint}" if failure.hint else failure.message
    return {"kind": failure.kind.value, "message": message}


def _evidence(evidence: Evidence | None) -> dict[str, Any] | None:
    if evidence is None:
        return None
    return {"oldest": _unix_time(evidence.oldest), "known": evidence.known, "unknown": evidence.unknown}


def _unix_time(seconds: float | None) -> str | None:
    return _time(datetime.fromtimestamp(seconds, UTC)) if seconds is not None else None


def _time(moment: datetime) -> str:
    """Return a moment in the format of RFC 3339, `2026-11-23T20:51:41.869Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _stats(report: RunReport) -> dict[str, Any]:
    blobs = report.blobs
    return {
        "images_synced": report.count(Status.SYNCED),
        "images_skipped": report.count(Status.SKIPPED),
        "images_failed": report.count(Status.FAILED),
        "images_unverified": report.unverified,
        "images_repaired": report.repaired,
        "blobs_transferred": blobs.transferred,
        "blobs_skipped": blobs.skipped,
        "blobs_mounted": blobs.mounted,
        "bytes_transferred": report.bytes_transferred,
        "requests": {host: sum(classes.values()) for host, classes in sorted(report.requests.items())},
        "discovery_cache_hits": report.discovery_cache_hits,
        "discovery_cache_misses": report.discovery_cache_misses,
        "discovery_head_failures": report.discovery_head_failures,
        "discovery_target_stale": report.discovery_target_stale,
    }
