"""Distribution v3, whose build takes minutes, as a target without the referrers API; oras and skopeo as readers."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from e2e.program import Program
from scripted import ScriptedRegistry, build
from scripted.background import in_thread
from servers import golang
from servers.docker_registry import DockerRegistry, docker_registry
from tools import Tool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IMAGE = build.multi_arch(seed=11)
SBOM = build.artifact("application/vnd.example.sbom", [b'{"a": 1}'], subject=IMAGE)
SIGNATURE = build.artifact("application/vnd.example.signature", [b'{"b": 2}'], subject=SBOM)


@pytest.fixture
def target(tmp_path: Path) -> Iterator[DockerRegistry]:
    with docker_registry(tmp_path / "target", binary=golang.DISTRIBUTION.built()) as server:
        yield server


def test_images_and_their_artifacts_arrive_and_a_second_copy_moves_nothing(
    target: DockerRegistry, tmp_path: Path
) -> None:
    ocync = Program.within(tmp_path / "ocync")
    with in_thread(ScriptedRegistry()) as source:
        source.seed("team/app", "v1", IMAGE)
        for artifact in (SBOM, SIGNATURE):
            source.seed("team/app", None, artifact)
        arguments = ("copy", f"{source.url}/team/app:v1", f"{target.url}/mirror/app:v1", "--json")

        first, second = ocync(*arguments), ocync(*arguments)

    assert (first.code, second.code) == (0, 0), (first, second)
    assert second.report["images"][0]["status"] == "skipped"
    oras = Tool(program=golang.ORAS.built(), folder=tmp_path)
    found = oras.json("discover", "--plain-http", "--format", "json", f"{target.host}/mirror/app:v1")
    (sbom,) = found["referrers"]
    (signature,) = sbom["referrers"]
    assert (sbom["digest"], signature["digest"]) == (SBOM.digest, SIGNATURE.digest)
    done = subprocess.run(
        ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{target.host}/mirror/app:v1"],
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout) == json.loads(IMAGE.root.raw)
