"""`ocync tags`: one tag per line on stdout, through the tag rules."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from e2e import readme
from e2e.accounts import PULLER, VARIABLES
from e2e.program import BIN
from scripted import Anonymous, Bearer, ScriptedRegistry, build
from scripted.background import in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.program import Program

TAGS = ("1.9.0", "1.10.0", "1.10.0-debug", "1.11.0", "2.0.0", "2.1.0-rc1", "v3", "latest", "nightly-7")


@pytest.fixture
def open_registry() -> Iterator[ScriptedRegistry]:
    """A registry that shows all of its tags to everyone, three to a page."""
    auth = Bearer(users=(PULLER,), anonymous=Anonymous(tags=None))
    with in_thread(ScriptedRegistry(auth=auth, page_size=3)) as registry:
        for tag in TAGS:
            registry.seed("team/app", tag, build.image())
        yield registry


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        pytest.param("", set(TAGS), id="no rules"),
        pytest.param("--glob 1.*", {"1.9.0", "1.10.0", "1.10.0-debug", "1.11.0"}, id="a glob"),
        pytest.param("--glob 2* --glob v*", {"2.0.0", "v3"}, id="two globs, with the exclusions that come along"),
        pytest.param("--semver >=1.10,<2", {"1.10.0", "1.10.0-debug", "1.11.0"}, id="a range"),
        pytest.param("--glob 1.* --exclude *-debug", {"1.9.0", "1.10.0", "1.11.0"}, id="an exclusion"),
        pytest.param("--semver >=2 --include latest", {"2.0.0", "v3", "latest"}, id="an inclusion"),
        pytest.param("--semver >=1 --include 2.1.0-rc1 --exclude 2.1*", None, id="an exclusion that is meant"),
        pytest.param("--sort semver --latest 2 --glob 1.*.0", ["1.11.0", "1.10.0"], id="the latest by version"),
        pytest.param("--sort alpha --latest 2 --glob 1.*.0", ["1.9.0", "1.11.0"], id="the latest by alphabet"),
    ],
)
def test_rules_select_tags(
    program: Program, open_registry: ScriptedRegistry, flags: str, expected: set[str] | list[str] | None
) -> None:
    done = program("tags", f"{open_registry.url}/team/app", *flags.split())

    assert (done.code, done.err) == (0, ""), done
    listed = done.out.splitlines()
    if expected is None:
        assert "2.1.0-rc1" not in listed
        assert "2.0.0" in listed
    else:
        assert (listed if isinstance(expected, list) else set(listed)) == expected
        assert len(listed) == len(expected)


def test_credentials_of_the_configuration_show_more_tags(program: Program, source: ScriptedRegistry) -> None:
    program.write(readme.configuration(source.url, "ghcr.io"))
    repository = f"{source.url}/chainguard/python"

    assert program("tags", repository).out == "latest\n"

    known = program.knowing(**VARIABLES)("tags", repository, "-c", "ocync.yaml", "--sort", "semver")

    assert known.out.splitlines() == ["3.13", "3.12", "latest"]


def test_an_unknown_repository_is_said(program: Program, open_registry: ScriptedRegistry) -> None:
    done = program("tags", f"{open_registry.url}/team/ap")

    assert (done.code, done.out) == (2, ""), done
    (line,) = done.err.splitlines()
    assert line.startswith("ocync: ")
    assert "team/ap" in line
    assert "404" in line


def test_refused_credentials_are_4(program: Program, source: ScriptedRegistry) -> None:
    program.write(readme.configuration(source.url, "ghcr.io"))
    wrong = program.knowing(**{**VARIABLES, "CHAINGUARD_PASSWORD": "expired-yesterday"})

    done = wrong("tags", f"{source.url}/chainguard/python", "-c", "ocync.yaml")

    assert (done.code, done.out) == (4, ""), done


def test_tags_of_a_layout(program: Program, source: ScriptedRegistry) -> None:
    for tag in ("latest", "latest-dev"):
        program("copy", f"{source.url}/chainguard/static:{tag}", "oci:./mirror/static")

    assert sorted(program("tags", "oci:mirror/static").out.split()) == ["latest", "latest-dev"]


def test_a_reader_that_has_enough_is_no_failure(program: Program, open_registry: ScriptedRegistry) -> None:
    image = build.image()
    for number in range(9000):
        open_registry.seed("team/many", f"tag-with-a-long-name-{number:06}", image)
    open_registry.behaviour.page_size = None
    command = f'set -o pipefail; "{BIN}/ocync" tags {open_registry.url}/team/many | head -n 1'

    done = subprocess.run(
        ["bash", "-c", command],
        env=dict(program.environ),
        cwd=program.folder,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "tag-with-a-long-name-000000\n", "")
