"""Reports as passes end with them, for tests of what is told about a pass."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ocync.lib.errors import ErrorKind
from ocync.plan.model import Reason
from ocync.report.summary import RunReport
from ocync.transfer.result import BlobStats, Failure, ImageResult, Status

STARTED = datetime(2026, 11, 23, 20, 51, 41, 869_000, tzinfo=UTC)
OLD = "sha256:" + "a" * 64
NEW = "sha256:" + "b" * 64


def copied(name: str = "static:latest", **changes: Any) -> ImageResult:
    image = ImageResult(
        mapping="chainguard/" + name.partition(":")[0],
        source=f"cgr.dev/chainguard/{name}",
        target=f"ghcr.io/myorg/{name}",
        target_host="ghcr.io",
        status=Status.SYNCED,
        reason=Reason.MOVED,
        digest=NEW,
        previous_digest=OLD,
        bytes_transferred=31_457_280,
        blobs=BlobStats(transferred=3, skipped=1, mounted=2),
        duration=1.0,
    )
    return replace(image, **changes)


def unchanged(name: str = "python:3.12", reason: Reason = Reason.UP_TO_DATE) -> ImageResult:
    return copied(
        name,
        status=Status.SKIPPED,
        reason=reason,
        digest=NEW if reason is Reason.UP_TO_DATE else None,
        previous_digest=NEW if reason is Reason.UP_TO_DATE else None,
        bytes_transferred=0,
        blobs=BlobStats(),
    )


def failed(
    name: str = "jdk:21",
    kind: ErrorKind = ErrorKind.AUTH,
    message: str = "can't read jdk: cgr.dev answered 401",
    hint: str | None = None,
) -> ImageResult:
    return copied(
        name,
        status=Status.FAILED,
        reason=None,
        digest=None,
        previous_digest=None,
        bytes_transferred=0,
        blobs=BlobStats(),
        error=Failure(kind=kind, message=message, hint=hint),
    )


def report(*images: ImageResult, **changes: Any) -> RunReport:
    whole = RunReport(
        run_id="3f0c2f1e-0000-4000-8000-000000000000",
        started_at=STARTED,
        duration=4.2004,
        images=images,
        requests={"cgr.dev": {"2xx": 10, "4xx": 2}, "ghcr.io": {"2xx": 20, "none": 1}},
        retries=2,
        mappings=2,
    )
    return replace(whole, **changes)
