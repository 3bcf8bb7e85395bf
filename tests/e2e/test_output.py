"""What goes to stdout and what to stderr, and what flags and variables change about it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from e2e.program import Program
    from scripted import ScriptedRegistry

SYNC = ("sync", "-c", "ocync.yaml")


def test_quiet_says_nothing_when_nothing_failed(ready: Program) -> None:
    done = ready(*SYNC, "-q")

    assert (done.code, done.said) == (0, ""), done


def test_quiet_tells_failures_on_stderr(ready: Program) -> None:
    done = ready.knowing(GITHUB_TOKEN="expired-yesterday")(*SYNC, "-q")

    assert (done.code, done.out) == (4, ""), done
    assert done.err.startswith("6 of 6 images failed")


def test_a_log_of_json_has_one_object_per_line(ready: Program) -> None:
    done = ready.knowing(GITHUB_TOKEN="expired-yesterday")(*SYNC, "-v", "--log-format", "json")

    records = [json.loads(line) for line in done.err.splitlines()]
    assert {"timestamp", "level", "logger", "message"} <= set.intersection(*map(set, records))
    assert {record["level"] for record in records} == {"DEBUG", "WARNING"}
    assert not done.out.startswith("{")


@pytest.mark.parametrize(
    ("arguments", "variables", "levels"),
    [
        pytest.param(SYNC, {}, set(), id="nothing to tell by default"),
        pytest.param((*SYNC, "-v"), {}, {"DEBUG"}, id="behind the command"),
        pytest.param(("-v", *SYNC), {}, {"DEBUG"}, id="before the command"),
        pytest.param(("-v", *SYNC, "-v"), {}, {"DEBUG"}, id="in both places"),
        pytest.param((*SYNC, "-vv"), {}, {"DEBUG", "TRACE"}, id="trace"),
        pytest.param(SYNC, {"OCYNC_LOG": "debug"}, {"DEBUG"}, id="by the environment"),
        pytest.param((*SYNC, "-q"), {"OCYNC_LOG": "trace"}, set(), id="flags before the environment"),
        pytest.param(SYNC, {"OCYNC_LOG": "loud"}, {"WARNING"}, id="no such level"),
    ],
)
def test_levels_of_the_log(
    ready: Program, arguments: tuple[str, ...], variables: dict[str, str], levels: set[str]
) -> None:
    done = ready.knowing(**variables)(*arguments)

    assert done.code == 0, done
    assert {line.split()[1] for line in done.err.splitlines()} == levels


def test_no_color_codes_are_written_to_what_is_no_terminal(ready: Program) -> None:
    done = ready.knowing(TERM="xterm-256color", GITHUB_TOKEN="expired-yesterday")(*SYNC)

    assert "\x1b" not in done.said


def test_names_of_foreign_registries_cannot_write_to_the_terminal(ready: Program, source: ScriptedRegistry) -> None:
    from scripted import faults

    evil = faults.error(404, "NAME_UNKNOWN", "gone \x1b[2J\r\nocync: all is well")
    source.on("GET", "/chainguard/static/tags/list", respond=evil, authorized=True)

    done = ready(*SYNC, "-vv")

    assert "\x1b" not in done.said
    assert "\nocync: all is well" not in done.said
