"""Whole passes to Docker's own registry, with skopeo as another reader of what arrived, and nginx as a store."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from e2e import corpus, readme
from e2e.accounts import VARIABLES, encoded
from scripted import ScriptedRegistry, build, faults
from scripted.background import in_thread
from servers.docker_registry import docker_registry
from servers.nginx import blob_store
from servers.process import program as installed
from servers.token_service import token_service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from e2e.program import Program
    from servers.docker_registry import DockerRegistry

ACCOUNT = ("robot", 'correct horse: "battery"')
# Without it the registry refuses manifests whose layers are to be fetched from elsewhere.
FOREIGN_ALLOWED = {"validation": {"manifests": {"urls": {"allow": ["^https://example\\.com/"]}}}}
BASE = build.layer(200_000, 1)
IMAGES = {
    "image": build.image([BASE, build.layer(20_000, 2)]),
    "index": build.multi_arch(shared=[BASE], attestations=True),
    "docker": build.image([BASE], docker=True),
    "docker-list": build.multi_arch(docker=True, seed=3),
    "nested": build.index([build.index([build.multi_arch(seed=4)]), build.image()]),
    "artifact": build.artifact("application/spdx+json", [b'{"a": 1}']),
    "chart": build.chart(),
    "empty": build.image([build.empty_layer(), build.empty_layer()]),
    "foreign": build.image([build.foreign_layer(), BASE]),
}
CONFIG = """
registries:
  src: {{ url: "{source}" }}
  dst: {{ url: "{target}", auth_type: basic, credentials: {{ username: "${{U}}", password: "${{P}}" }} }}
mappings:
  - {{ from: team/app, source: src, targets: dst }}
"""


@pytest.fixture
def upstream() -> Iterator[ScriptedRegistry]:
    with in_thread(ScriptedRegistry()) as registry:
        for tag, image in IMAGES.items():
            registry.seed("team/app", tag, image)
        yield registry


def configured(program: Program, source: str, target: str) -> Program:
    program.write(CONFIG.format(source=source, target=target))
    return program.knowing(U=ACCOUNT[0], P=ACCOUNT[1])


def skopeo(*arguments: str) -> bytes:
    command = [installed("skopeo", "skopeo"), "--insecure-policy", *arguments]
    done = subprocess.run(command, capture_output=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def assert_skopeo_reads(registry: DockerRegistry, folder: Path) -> None:
    """Check that skopeo gets the very bytes of each manifest, and can fetch and verify all that is below it."""
    login = f"{ACCOUNT[0]}:{ACCOUNT[1]}"
    for tag, image in IMAGES.items():
        name = f"docker://{registry.host}/team/app:{tag}"
        assert skopeo("inspect", "--raw", "--creds", login, "--tls-verify=false", name) == image.root.raw
        # Indexes in indexes are beyond it, and of foreign layers it has to have the bytes.
        if tag not in ("nested", "foreign"):
            options = ["--all", "--preserve-digests", "--src-creds", login, "--src-tls-verify=false"]
            skopeo("copy", *options, name, f"dir:{folder}/skopeo-{tag}")


def test_every_kind_of_image_arrives_as_it_was_and_stays_as_it_is(
    program: Program, upstream: ScriptedRegistry, tmp_path: Path
) -> None:
    with docker_registry(tmp_path / "registry", account=ACCOUNT, settings=FOREIGN_ALLOWED) as target:
        configured_program = configured(program, upstream.url, target.url)
        first = configured_program("sync", "-c", "ocync.yaml")
        second = configured_program("sync", "-c", "ocync.yaml", "--json")
        assert_skopeo_reads(target, tmp_path)

    assert first.code == 0, first
    assert {image["reason"] for image in second.report["images"]} == {"up-to-date"}
    assert second.report["stats"]["bytes_transferred"] == 0


def test_tokens_are_fetched_from_a_service_elsewhere_once_for_each_repository(
    program: Program, upstream: ScriptedRegistry, tmp_path: Path
) -> None:
    upstream.seed("team/second", "1", IMAGES["index"])
    with token_service(tmp_path / "tokens", account=ACCOUNT) as tokens:
        settings = {**tokens.settings, **FOREIGN_ALLOWED}
        with docker_registry(tmp_path / "registry", settings=settings) as target:
            given = configured(program, upstream.url, target.url)
            given.write(
                (given.folder / "ocync.yaml").read_text() + "  - { from: team/second, source: src, targets: dst }\n"
            )
            done = given("sync", "-c", "ocync.yaml", "--json")
            wrong = given.knowing(P="expired-yesterday")("sync", "-c", "ocync.yaml")
            assert_skopeo_reads(target, tmp_path)

    assert done.code == 0, done
    assert done.report["stats"]["blobs_mounted"] > 0
    assert wrong.code == 4, wrong
    for repository in ("team/app", "team/second"):
        assert tokens.asked.count(f"repository:{repository}:pull,push") == 1


def test_the_other_way_what_docker_s_registry_holds_is_read(program: Program, tmp_path: Path) -> None:
    with (
        docker_registry(tmp_path / "first", account=ACCOUNT) as first,
        in_thread(ScriptedRegistry()) as target,
        in_thread(ScriptedRegistry()) as upstream,
    ):
        upstream.seed("team/app", "docker-list", IMAGES["docker-list"])
        assert configured(program, upstream.url, first.url)("sync", "-c", "ocync.yaml").code == 0
        program.docker_config({"auths": {first.host: {"auth": encoded(*ACCOUNT)}}})

        done = program("copy", f"{first.url}/team/app:docker-list", f"{target.url}/team/app")

        assert done.code == 0, done
        assert target.content_of("team/app", "docker-list") == upstream.content_of("team/app", "docker-list") != {}


def test_blobs_that_a_registry_keeps_in_a_store_are_fetched_there_without_credentials(
    program: Program, source: ScriptedRegistry, tmp_path: Path
) -> None:
    files = tmp_path / "bucket"
    files.mkdir()
    for repository in source.repositories.values():
        for digest in repository.blobs:
            (files / digest).write_bytes(repository.read(digest))
    with blob_store(tmp_path / "nginx", root=files) as store, in_thread(ScriptedRegistry()) as target:
        to_store = faults.redirect(lambda request: f"{store.url}/{request.path.rpartition('/')[2]}?signature=x")
        source.on("GET", "/blobs/", respond=to_store, authorized=True)
        program.write(readme.configuration(source.url, target.url))
        done = program.knowing(**VARIABLES)("sync", "-c", "ocync.yaml")
        log = store.said()

    assert done.code == 0, done
    corpus.assert_mirrored(source, target)
    lines = [line for line in log.splitlines() if line.startswith("GET /sha256:")]
    assert len(lines) > 10
    assert all(line.endswith(" authorization=-") for line in lines)


def test_digests_of_another_algorithm_are_verified_and_kept(program: Program) -> None:
    layer = build.layer(5_000, 9, algorithm="sha512")
    image = build.index([build.image([layer], algorithm="sha512")], algorithm="sha512")
    hasty = program.write("global: { retry: { attempts: 1 } }\nregistries: {}\nmappings: []\n")
    with in_thread(ScriptedRegistry()) as first, in_thread(ScriptedRegistry()) as second:
        first.seed("team/app", "1", image)
        name = f"{first.url}/team/app@{image.digest}"
        done = program("copy", name, f"{second.url}/team/app")
        copied = second.content_of("team/app", image.digest)

        first.on("GET", f"/blobs/{layer.digest}", respond=faults.flip_bit(at=100))
        lying = program("copy", name, f"{second.url}/team/other", "-c", str(hasty), "--json")

        assert done.code == 0, done
        assert copied == first.content_of("team/app", image.digest) != {}
    assert lying.code == 2, lying
    assert lying.report["images"][0]["error"]["kind"] == "verification"
    assert layer.digest not in second.repositories["team/other"].blobs
