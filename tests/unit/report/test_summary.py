from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ocync.lib.errors import AuthError, ConfigError, ErrorKind, ExitCode, OcyncError, StorageError
from ocync.plan.model import Reason
from ocync.report.summary import Evidence, RunReport
from ocync.transfer.result import BlobStats, ImageResult
from reports import STARTED, copied, failed, report, unchanged

NETWORK, CONFIG = ErrorKind.NETWORK, ErrorKind.CONFIG


@pytest.mark.parametrize(
    ("images", "interrupted", "code"),
    [
        pytest.param((), None, 0, id="nothing selected"),
        pytest.param((copied(), unchanged()), None, 0, id="all good"),
        pytest.param((copied(reason=Reason.REPAIRED),), None, 0, id="repaired"),
        pytest.param((copied(), failed(kind=NETWORK)), None, 1, id="some failed"),
        pytest.param((failed(kind=NETWORK), failed("x:1")), None, 2, id="all failed, one by authentication"),
        pytest.param((copied(), failed(), failed("x:1")), None, 4, id="all failures are authentication"),
        pytest.param((failed(),), None, 4, id="everything failed by authentication"),
        pytest.param((copied(), failed(kind=CONFIG)), None, 3, id="all failures are configuration"),
        pytest.param((failed(), failed("x:1", kind=CONFIG)), None, 2, id="authentication and configuration"),
        pytest.param((copied(), failed(kind=ErrorKind.INTERRUPTED)), "signal SIGTERM", 5, id="interrupted"),
        pytest.param((failed(),), "deadline of 60 s", 5, id="interrupted with other failures"),
    ],
)
def test_the_exit_code_follows_from_the_images(
    images: tuple[ImageResult, ...], interrupted: str | None, code: int
) -> None:
    assert report(*images, interrupted=interrupted).exit_code == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("no such file"), ExitCode.CONFIG),
        (AuthError("helper failed"), ExitCode.AUTH),
        (StorageError("disk full"), ExitCode.FAILED),
        (OcyncError("unexpected"), ExitCode.FAILED),
    ],
    ids=["config", "auth", "storage", "internal"],
)
def test_a_pass_that_could_not_begin_has_the_exit_code_of_its_error(error: OcyncError, code: ExitCode) -> None:
    whole = RunReport.of_failure(error, run_id="1", started_at=STARTED, duration=0.1)
    assert whole.exit_code is code
    assert not whole.succeeded


def test_success_is_everything_at_its_target_and_no_dry_run() -> None:
    assert report(copied(), unchanged()).succeeded
    assert not report(copied(), dry_run=True).succeeded
    assert not report(copied(), failed()).succeeded


def test_blobs_and_bytes_are_summed_by_target_too() -> None:
    whole = report(copied(), copied("x:1", target_host="other.example"), unchanged())
    assert whole.bytes_transferred == 2 * 31_457_280
    assert whole.blobs == BlobStats(transferred=6, skipped=2, mounted=4)
    assert whole.bytes_by_target == {"ghcr.io": 31_457_280, "other.example": 31_457_280}


def test_the_evidence_is_as_old_as_the_oldest_look_below_an_image_that_did_not_fail() -> None:
    ended = report().ended_at.timestamp()
    whole = report(
        copied(looked_below=ended - 60),
        copied("x:1", looked_below=ended - 3600),
        unchanged(),
        replace(failed(), looked_below=1.0),
    )
    assert whole.evidence == Evidence(known=2, unknown=1, oldest=ended - 3600)
    assert whole.evidence_age == pytest.approx(3600)


@pytest.mark.parametrize(
    ("whole", "evidence"),
    [
        pytest.param(report(), Evidence(), id="no image"),
        pytest.param(report(unchanged(), failed()), Evidence(unknown=1), id="never looked below"),
        pytest.param(report(copied(looked_below=1.0), dry_run=True), None, id="dry run"),
    ],
)
def test_without_a_look_below_an_image_there_is_no_age(whole: RunReport, evidence: Evidence | None) -> None:
    assert whole.evidence == evidence
    assert whole.evidence_age is None


def test_a_look_by_a_clock_that_is_ahead_is_no_negative_age() -> None:
    assert report(copied(looked_below=STARTED.timestamp() + 300)).evidence_age == 0


def test_repaired_images_are_counted() -> None:
    assert report(copied(), copied("x:1", reason=Reason.REPAIRED), unchanged(), failed()).repaired == 1


def test_a_pass_ends_its_duration_after_its_start() -> None:
    whole = report(started_at=datetime(2026, 1, 1, tzinfo=UTC), duration=90.5)
    assert whole.ended_at == datetime(2026, 1, 1, 0, 1, 30, 500_000, tzinfo=UTC)
