import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.lib.errors import ConfigError, ErrorKind
from ocync.lib.remedies import cause_of
from ocync.plan.model import Reason
from ocync.report import text
from ocync.report.summary import RunReport
from ocync.transfer.result import ArtifactCounts
from reports import STARTED, copied, failed, report, unchanged


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def first_line(whole: RunReport) -> str:
    return text.render(whole).splitlines()[0]


def test_a_successful_pass_is_reported_in_few_lines() -> None:
    whole = report(copied(), copied("python:3.12", reason=Reason.NEW, previous_digest=None), unchanged())
    assert text.render(whole) == (
        "Up to date: 3 images; 2 copied, 1 unchanged\n"
        "\n"
        "Copied\n"
        "  ghcr.io/myorg/python:3.12                    new -> sha256:bbbbbbbbbbbb    31.5 MB\n"
        "  ghcr.io/myorg/static:latest  sha256:aaaaaaaaaaaa -> sha256:bbbbbbbbbbbb    31.5 MB\n"
        "\n"
        "62.9 MB sent in 4.2 s, 15.0 MB/s: 6 blobs sent, 4 mounted, 2 already there\n"
        "33 requests (cgr.dev 12, ghcr.io 21), 2 retries\n"
    )


@pytest.mark.parametrize(
    ("whole", "line"),
    [
        pytest.param(report(unchanged()), "Up to date: 1 image; 0 copied, 1 unchanged", id="nothing new"),
        pytest.param(
            report(unchanged(), unchanged("x:1", Reason.IMMUTABLE_TAG)),
            "Up to date: 2 images; 0 copied, 2 unchanged (1 by immutable_tags)",
            id="immutable tags",
        ),
        pytest.param(report(copied(), failed()), "1 of 2 images failed; 1 copied, 0 unchanged", id="some failed"),
        pytest.param(
            report(copied(), unchanged(), dry_run=True),
            "Dry run, nothing was written: would copy 1 of 2 images; 1 unchanged",
            id="dry run",
        ),
        pytest.param(
            report(copied(), failed(), dry_run=True),
            "Dry run, nothing was written: would copy 1 of 2 images; 0 unchanged, 1 failed",
            id="dry run with failures",
        ),
        pytest.param(
            report(), "Nothing to do: 2 mappings selected no image; check the tag rules", id="nothing selected"
        ),
        pytest.param(
            report(copied(), failed(kind=ErrorKind.INTERRUPTED), interrupted="signal SIGTERM"),
            "Interrupted (signal SIGTERM): 1 of 2 images not done",
            id="interrupted",
        ),
    ],
)
def test_the_first_line_is_the_verdict(whole: RunReport, line: str) -> None:
    assert first_line(whole) == line


def test_what_an_interruption_left_over_does_not_count_as_failed() -> None:
    left = [failed(f"i:{number}", ErrorKind.INTERRUPTED, "not begun") for number in range(3)]
    lines = text.render(report(copied(), failed(), *left, interrupted="deadline of 60 s")).splitlines()
    assert lines[:2] == [
        "Interrupted (deadline of 60 s): 3 of 5 images not done",
        "1 of 5 images failed; 1 copied, 0 unchanged",
    ]


def test_a_dry_run_claims_no_bytes() -> None:
    shown = text.render(report(copied(bytes_transferred=0), dry_run=True))
    assert "Would copy\n  ghcr.io/myorg/static:latest  sha256:aaaaaaaaaaaa -> sha256:bbbbbbbbbbbb\n" in shown
    assert "sent" not in shown


def test_each_error_is_reported_once_with_its_images_and_remedies() -> None:
    message, hint = "can't list: cgr.dev answered 503", "wait for cgr.dev"
    images = [failed(f"s:{number}", ErrorKind.SERVER, message, hint) for number in range(5)]
    shown = text.render(report(copied(), *images))
    assert shown.count(message) == 1
    assert shown.count(hint) == 1
    assert "Failed, server: 5 images, a registry failed\n  to do: see its status page" in shown
    assert "  ghcr.io/myorg/s:0, ghcr.io/myorg/s:1, ghcr.io/myorg/s:2 and 2 more\n" in shown


def test_a_hint_that_many_errors_share_is_shown_once() -> None:
    images = [failed(f"s:{number}", ErrorKind.AUTH, f"refused {number}", "log in") for number in range(3)]
    shown = text.render(report(*images))
    assert shown.count("log in") == 1
    assert all(f"refused {number}" in shown for number in range(3))


def test_the_most_frequent_kind_comes_first_and_interrupted_last() -> None:
    images = [failed(f"i:{number}", ErrorKind.INTERRUPTED, "not begun") for number in range(9)]
    images += [failed("a:1", ErrorKind.AUTH)]
    images += [failed(f"n:{number}", ErrorKind.NETWORK, "no route") for number in range(2)]
    lines = text.render(report(*images, interrupted="signal SIGTERM")).splitlines()
    titles = [line.partition(":")[0] for line in lines if line.startswith(("Failed", "Not done"))]
    assert titles == ["Failed, network", "Failed, auth", "Not done"]


def test_long_lists_are_cut_and_say_where_the_rest_is() -> None:
    images = [copied(f"s:{number}") for number in range(57)]
    images += [failed(f"f:{number}", message=f"error {number}") for number in range(12)]
    lines = text.render(report(*images)).splitlines()
    assert lines.count("  and 37 more; --json lists all") == 1
    assert lines.count("  and 7 more; --json lists all") == 1
    assert len(lines) < 50


def test_a_thousand_failures_of_every_kind_still_fit_a_screen_or_two() -> None:
    kinds = list(ErrorKind)
    images = [
        failed(f"f:{number}", kinds[number % len(kinds)], f"error {number}", f"hint {number}")
        for number in range(1000)
    ]
    assert len(text.render(report(*images)).splitlines()) < 20 * len(kinds)


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_every_kind_of_error_has_a_meaning_and_a_remedy(kind: ErrorKind) -> None:
    cause = cause_of(kind)
    assert cause.meaning
    assert cause.remedy
    assert cause.remedy in text.render(report(failed(kind=kind)))


def test_a_pass_that_could_not_begin_says_why_and_what_to_do() -> None:
    error = ConfigError("ocync.yaml can't be read", hint="check its path")
    whole = RunReport.of_failure(error, run_id="1", started_at=STARTED, duration=0.0)
    assert text.render(whole) == "No image was looked at: ocync.yaml can't be read\n  to do: check its path\n"


def test_artifacts_are_counted_on_both_sides() -> None:
    shown = text.render(report(copied(artifacts=ArtifactCounts(source=7, target=7, transferred=2))))
    assert "31.5 MB  with 2 artifacts\n" in shown
    assert "Artifacts: 7 at sources, 7 at targets, 2 copied\n" in shown


def test_images_that_are_not_signed_as_demanded_are_counted() -> None:
    shown = text.render(report(copied(), copied(unverified=True)))
    assert "Not signed as verify requires: 1 image, copied anyway\n" in shown


@pytest.mark.parametrize(
    ("count", "dry_run", "line"),
    [
        (1, False, "1 repaired: the target had lost parts of it\n"),
        (3, False, "3 repaired: the target had lost parts of them\n"),
        (3, True, "3 to be repaired: the target has lost parts of them\n"),
    ],
)
def test_images_that_were_repaired_are_counted(count: int, dry_run: bool, line: str) -> None:
    repaired = [copied(f"s:{number}", reason=Reason.REPAIRED) for number in range(count)]
    assert f"\n{line}" in text.render(report(copied(), *repaired, dry_run=dry_run))


def test_without_repaired_images_nothing_is_said_of_them() -> None:
    assert "repaired" not in text.render(report(copied(), unchanged(), failed()))


def test_artifacts_that_are_gone_or_left_out_are_reported() -> None:
    counts = ArtifactCounts(source=7, target=7, gone=1, unmatched=2)
    shown = text.render(report(copied(artifacts=counts)))
    assert (
        "0 copied, 1 listed at sources but gone there, 2 left out because platforms reduced their index\n" in shown
    )


def test_what_came_for_an_image_that_did_not_move_is_not_shown_as_a_move() -> None:
    same = "sha256:" + "4" * 64
    counts = ArtifactCounts(source=1, target=1, transferred=1)
    image = copied(reason=Reason.ARTIFACTS, digest=same, previous_digest=same, artifacts=counts)
    shown = text.render(report(image))
    assert "->" not in shown
    assert "unchanged" in shown
    assert "with 1 artifact\n" in shown


@given(st.text(), st.text(min_size=1), st.text(min_size=1))
def test_nothing_of_others_reaches_the_terminal_as_a_command(name: str, message: str, hint: str) -> None:
    whole = report(
        copied(name, target=name),
        failed(message=message, hint=hint),
        interrupted=message,
        requests={name: {"2xx": 1}},
    )
    shown = text.render(whole)
    assert all(line.isprintable() or not line.isascii() for line in shown.split("\n"))
    assert not any(control in shown for control in ("\x1b", "\x9b", "\r", "\x07", "\u202e", "\u2028"))


def test_a_message_without_end_is_cut() -> None:
    assert max(map(len, text.render(report(failed(message="x" * 100_000))).splitlines())) < 600


def test_colours_are_used_when_asked_for_and_change_no_word() -> None:
    whole = report(copied(), failed())
    plain, colored = text.render(whole), text.render(whole, color=True)
    assert "\x1b" not in plain
    assert "\x1b[33;1m1 of 2 images failed" in colored
    for code in ("\x1b[33;1m", "\x1b[1m", "\x1b[0m"):
        colored = colored.replace(code, "")
    assert colored == plain


@pytest.mark.parametrize(
    ("stream", "environ", "wanted"),
    [
        pytest.param(Terminal(), {}, True, id="a terminal"),
        pytest.param(Terminal(), {"NO_COLOR": "1"}, False, id="NO_COLOR"),
        pytest.param(Terminal(), {"NO_COLOR": ""}, True, id="NO_COLOR that is empty"),
        pytest.param(Terminal(), {"TERM": "dumb"}, False, id="a dumb terminal"),
        pytest.param(io.StringIO(), {}, False, id="a file"),
    ],
)
def test_colours_are_for_terminals(stream: io.StringIO, environ: dict[str, str], wanted: bool) -> None:
    assert text.wants_color(stream, environ) is wanted
