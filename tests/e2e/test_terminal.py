"""Progress on a terminal."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

from e2e.terminal import on_terminal
from scripted import faults

if TYPE_CHECKING:
    from e2e.program import Program
    from scripted import ScriptedRegistry

SYNC = ("sync", "-c", "ocync.yaml")
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"
COLOR = re.compile(r"\x1b\[[0-9;]*m")


def test_a_person_sees_progress_then_the_summary_and_the_terminal_is_as_before(
    ready: Program, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    source.on("GET", "/blobs/", respond=faults.drip(size=20_000, pause=0.1), authorized=True)

    seen = on_terminal(ready, *SYNC)

    assert (seen.code, seen.restored) == (0, True), seen
    assert f"{target.host}/myorg/python:3.12" in seen.text.partition("Up to date")[0]
    assert re.search(r"kB of 134\.3 kB", seen.text)
    assert seen.text.count(HIDE) == seen.text.count(SHOW) == 1
    assert seen.text.index(SHOW) < seen.text.index("Up to date: 6 images; 6 copied")
    assert COLOR.search(seen.text)


def test_an_interrupted_person_gets_the_cursor_back(ready: Program, source: ScriptedRegistry) -> None:
    source.on("GET", "/blobs/", respond=faults.stall(60, after=1000), authorized=True)

    seen = on_terminal(
        ready,
        *(*SYNC, "--grace-period", "0.5"),
        when=lambda: source.count("GET", "/blobs/", status=200) > 0,
        send=signal.SIGINT,
    )

    assert (seen.code, seen.restored) == (5, True), seen
    assert seen.text.count(HIDE) == seen.text.count(SHOW) == 1
    assert "Interrupted (signal SIGINT)" in seen.text


def test_log_lines_are_not_mixed_into_the_progress(ready: Program) -> None:
    seen = on_terminal(ready.knowing(GITHUB_TOKEN="expired-yesterday"), *SYNC)

    assert seen.code == 4, seen
    warnings = [line for line in re.split(r"\r?\n|\x1b\[2K", seen.text) if "WARNING" in line]
    assert len(warnings) == 6
    assert all(re.match(r"\d{4}-\d\d-\d\dT", line) for line in warnings)


def test_no_color_means_no_color(ready: Program) -> None:
    seen = on_terminal(ready.knowing(NO_COLOR="1"), *SYNC)

    assert seen.code == 0, seen
    assert not COLOR.search(seen.text)


def test_quiet_shows_nothing(ready: Program) -> None:
    assert on_terminal(ready, *SYNC, "-q").text == ""


def test_a_dumb_terminal_gets_text_alone(ready: Program) -> None:
    seen = on_terminal(ready.knowing(TERM="dumb"), *SYNC)

    assert seen.code == 0, seen
    assert "\x1b" not in seen.text
