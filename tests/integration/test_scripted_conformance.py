"""The conformance tests of the distribution specification against the scripted registry: it is right by default."""

from __future__ import annotations

import asyncio
import stat
from typing import TYPE_CHECKING, Any

import pytest

import machine
from scripted import Basic, Bearer, ScriptedRegistry, User
from servers import conformance, golang
from servers.process import ServerFailedError

if TYPE_CHECKING:
    from pathlib import Path

    from servers.conformance import Verdict

# The first of these builds a program in Go.
pytestmark = pytest.mark.timeout(540)
USER = User(name="tester", password="of the specification")
LOGIN = {"username": USER.name, "password": USER.password}
PLENTY = 700
"""Less than the tests that are run by default (858), so that a run which tests little is noticed."""


async def judge(registry: ScriptedRegistry, folder: Path, **settings: Any) -> Verdict:
    program = await asyncio.to_thread(golang.CONFORMANCE.built)
    async with registry:
        return await asyncio.to_thread(conformance.run, program, registry.host, folder=folder, **settings)


def bad(verdict: Verdict) -> dict[str, str]:
    return {name: outcome for name, outcome in verdict.apis.items() if outcome not in ("Pass", "Skip", "Disabled")}


async def test_the_scripted_registry_conforms_to_the_specification_as_it_is(tmp_path: Path) -> None:
    # The tests tag manifests before their blobs are there, to see what is said.
    verdict = await judge(ScriptedRegistry(watch=False), tmp_path, version="1.1")

    assert verdict.exit_code == 0, verdict.said
    assert verdict.counts["FAIL"] == verdict.counts["Error"] == 0, verdict.said
    assert bad(verdict) == {}
    assert verdict.counts["Pass"] > PLENTY
    # It can mount without `from`, and by default it does not, as most registries.
    skipped = {name for name, outcome in verdict.apis.items() if outcome == "Skip"}
    assert skipped == {"Blob anonymous mount"}
    for name in ("Referrers", "Manifest put with subject", "Manifest delete", "Tag delete", "Blob chunked"):
        assert verdict.apis[name] == "Pass"


@pytest.mark.parametrize(
    "auth", [Basic(users=(USER,)), Bearer(users=(USER,), anonymous=None)], ids=["basic", "bearer"]
)
async def test_it_conforms_with_each_way_of_logging_in(auth: Basic | Bearer, tmp_path: Path) -> None:
    verdict = await judge(ScriptedRegistry(auth=auth, watch=False), tmp_path, version="1.1", **LOGIN)

    assert verdict.exit_code == 0, verdict.said
    assert bad(verdict) == {}
    assert verdict.counts["Pass"] > PLENTY


async def test_it_conforms_to_what_the_next_version_of_the_specification_adds(tmp_path: Path) -> None:
    registry = ScriptedRegistry(watch=False, anonymous_mount=True)

    verdict = await judge(registry, tmp_path, version="dev")

    assert verdict.exit_code == 0, verdict.said
    assert bad(verdict) == {}
    for name in ("Blob anonymous mount", "Blob upload cancel", "Manifest put with tag params"):
        assert verdict.apis[name] == "Pass"


async def test_a_registry_that_is_wrong_is_found_to_be(tmp_path: Path) -> None:
    registry = ScriptedRegistry(watch=False, strict_accept=False)
    registry.behaviour.manifest_types = frozenset({"application/vnd.oci.image.index.v1+json"})

    verdict = await judge(registry, tmp_path, version="1.1")

    assert verdict.exit_code != 0 or verdict.counts["FAIL"] > 0
    assert bad(verdict)


def test_without_go_the_tests_fail_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(machine.GIVEN, "XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(golang.shutil, "which", lambda *_args, **_more: None)

    with pytest.raises(ServerFailedError, match=r"Go 1\.24 or newer is needed"):
        golang.CONFORMANCE.built()


def test_a_build_that_fails_says_why_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho 'no such module' >&2\nexit 1\n")
    go.chmod(stat.S_IRWXU)
    monkeypatch.setitem(machine.GIVEN, "PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setitem(machine.GIVEN, "XDG_CACHE_HOME", str(tmp_path / "cache"))

    with pytest.raises(ServerFailedError, match="no such module"):
        golang.CONFORMANCE.built()

    assert list((tmp_path / "cache" / "ocync-tests").iterdir()) == []
