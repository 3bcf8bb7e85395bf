"""Artifacts as oras attaches them at the source, and as oras and regctl find them where they were copied to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from e2e.program import Program
from scripted import ScriptedRegistry, build
from scripted.background import in_thread
from servers import golang
from servers.docker_registry import docker_registry
from tools import Tool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The first test builds programs in Go.
pytestmark = pytest.mark.timeout(540)
IMAGE = build.multi_arch(seed=7)
CHILD = IMAGE.manifests[0].digest
SBOM, SIGNATURE, REPORT = "application/vnd.example.sbom", "application/vnd.example.signature", "text/x-report"
EXPECTED = {IMAGE.digest: {SBOM: {SIGNATURE: {}}, REPORT: {}}, CHILD: {SBOM: {}}}
"""What is attached: the types by subject, with what is attached to them again."""


@dataclass(frozen=True, slots=True)
class Place:
    """A registry, and whether it has the referrers API."""

    url: str
    has_api: bool

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")


@pytest.fixture
def oras(tmp_path: Path) -> Tool:
    folder = tmp_path / "oras"
    folder.mkdir()
    for name in ("sbom.json", "signature.json", "report.json", "other.json"):
        (folder / name).write_text(json.dumps({"this is": name}))
    return Tool(program=golang.ORAS.built(), folder=folder)


@pytest.fixture(params=["api", "docker-registry"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """One registry with the referrers API, and one that has never heard of it."""
    if request.param == "api":
        with in_thread(ScriptedRegistry()) as registry:
            yield Place(registry.url, has_api=True)
        return
    with docker_registry(tmp_path / "target") as server:
        yield Place(server.url, has_api=False)


@pytest.fixture(params=["api", "tag scheme"])
def source(request: pytest.FixtureRequest, oras: Tool) -> Iterator[Place]:
    """A registry with an image to which oras has attached things."""
    with in_thread(ScriptedRegistry(referrers=request.param == "api")) as registry:
        registry.seed("team/app", "v1", IMAGE)
        host = Place(registry.url, has_api=request.param == "api")
        sbom = attach(oras, host, "team/app:v1", SBOM, "sbom.json")
        attach(oras, host, f"team/app@{sbom}", SIGNATURE, "signature.json")
        attach(oras, host, "team/app:v1", REPORT, "report.json")
        attach(oras, host, f"team/app@{CHILD}", SBOM, "other.json")
        yield host


@pytest.fixture
def ocync(tmp_path: Path) -> Program:
    return Program.within(tmp_path / "ocync")


def attach(oras: Tool, host: Place, subject: str, kind: str, file: str) -> str:
    """Attach a file to an image; returns the artifact's digest."""
    spec = "v1.1-referrers-api" if host.has_api else "v1.1-referrers-tag"
    arguments = ("--plain-http", "--distribution-spec", spec, "--artifact-type", kind, "--format", "json")
    digest: str = oras.json("attach", *arguments, f"{host.host}/{subject}", f"{file}:application/json")["digest"]
    return digest


def tree(discovered: dict[str, Any]) -> dict[str, Any]:
    """Return the types of what oras has discovered, by what they are attached to."""
    return {entry["artifactType"]: tree(entry) for entry in discovered.get("referrers") or ()}


def discover(oras: Tool, name: str, *options: str) -> dict[str, Any]:
    return {
        subject: tree(oras.json("discover", "--format", "json", *options, f"{name}@{subject}"))
        for subject in EXPECTED
    }


def test_what_oras_attached_is_discovered_by_it_at_the_target(
    source: Place, target: Place, oras: Tool, ocync: Program
) -> None:
    copied = ocync("copy", f"{source.url}/team/app:v1", f"{target.url}/mirror/app:v1", "--json")

    assert copied.code == 0, copied
    (image,) = copied.report["images"]
    assert image["artifacts"]["source"] == image["artifacts"]["target"] == 4
    name = f"{target.host}/mirror/app"
    assert discover(oras, name, "--plain-http") == EXPECTED
    spec = "v1.1-referrers-api" if target.has_api else "v1.1-referrers-tag"
    assert discover(oras, name, "--plain-http", "--distribution-spec", spec) == EXPECTED


def test_what_oras_attaches_to_an_image_that_is_there_comes_with_the_next_pass(
    source: Place, target: Place, oras: Tool, ocync: Program
) -> None:
    arguments = ("copy", f"{source.url}/team/app:v1", f"{target.url}/mirror/app:v1", "--json")
    assert ocync(*arguments).code == 0
    # At the target somebody has attached what the source has not: it stays.
    attach(oras, target, "mirror/app:v1", "application/vnd.example.own", "other.json")
    attach(oras, source, "team/app:v1", "application/vnd.example.late", "signature.json")

    again = ocync(*arguments)

    assert again.code == 0, again
    (image,) = again.report["images"]
    assert (image["status"], image["artifacts"]["transferred"]) == ("synced", 1)
    name = f"{target.host}/mirror/app@{IMAGE.digest}"
    found = tree(oras.json("discover", "--format", "json", "--plain-http", name))
    assert found == {
        **EXPECTED[IMAGE.digest],
        "application/vnd.example.own": {},
        "application/vnd.example.late": {},
    }


def test_oras_and_regctl_find_the_artifacts_in_a_layout_that_was_copied_to(
    source: Place, oras: Tool, ocync: Program, tmp_path: Path
) -> None:
    copied = ocync("copy", f"{source.url}/team/app:v1", f"oci:{tmp_path}/mirror/app:v1")

    assert copied.code == 0, copied
    layout = f"{tmp_path}/mirror/app"
    # A digest it finds only where index.json lists it, the children of an index by their platform.
    found = [
        tree(oras.json("discover", "--format", "json", "--oci-layout", *options, f"{layout}:v1"))
        for options in ((), ("--platform", "linux/amd64"))
    ]
    assert found == list(EXPECTED.values())
    regctl = Tool(program=golang.REGCTL.built(), folder=oras.folder)
    listed = {
        subject: {
            entry["artifactType"]
            for entry in regctl.json(
                "artifact", "list", f"ocidir://{layout}@{subject}", "--format", "{{ json .Manifest }}"
            )["manifests"]
        }
        for subject in EXPECTED
    }
    assert listed == {subject: set(types) for subject, types in EXPECTED.items()}


def test_from_a_layout_the_artifacts_reach_a_registry(
    target: Place, oras: Tool, ocync: Program, tmp_path: Path
) -> None:
    with in_thread(ScriptedRegistry()) as registry:
        registry.seed("team/app", "v1", IMAGE)
        host = Place(registry.url, has_api=True)
        assert ocync("copy", f"{host.url}/team/app:v1", f"oci:{tmp_path}/mirror/app:v1").code == 0
    layout = f"{tmp_path}/mirror/app"
    # The artifacts are attached within the layout, by oras.
    for subject, kind, file in ((IMAGE.digest, SBOM, "sbom.json"), (CHILD, REPORT, "report.json")):
        oras("attach", "--oci-layout", "--artifact-type", kind, f"{layout}@{subject}", f"{file}:application/json")

    copied = ocync("copy", f"oci:{layout}:v1", f"{target.url}/mirror/app:v1")

    assert copied.code == 0, copied
    found = discover(oras, f"{target.host}/mirror/app", "--plain-http")
    assert found == {IMAGE.digest: {SBOM: {}}, CHILD: {REPORT: {}}}
