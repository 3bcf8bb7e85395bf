"""A client that others wrote, against the scripted registry."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from scripted import Basic, Bearer, ScriptedRegistry, User, build
from scripted.background import in_thread

if TYPE_CHECKING:
    from pathlib import Path

    from scripted.build import Image

USER = User(name="u", password="p")
LOGIN = f"{USER.name}:{USER.password}"


def skopeo(*arguments: str) -> str:
    done = subprocess.run(
        ["skopeo", "--insecure-policy", *arguments], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(build.image(), id="oci"),
        pytest.param(build.image(docker=True), id="docker"),
        pytest.param(build.image([build.layer(3_000_000, 1), build.empty_layer(), build.layer(9, 1)]), id="layers"),
        pytest.param(build.multi_arch(attestations=True), id="index with attestations"),
        pytest.param(build.multi_arch(docker=True), id="docker list"),
    ],
)
def test_skopeo_copies_images_from_one_to_another(image: Image) -> None:
    source = ScriptedRegistry(auth=Bearer(users=(USER,)))
    target = ScriptedRegistry(auth=Basic(users=(USER,)), location="path")
    with in_thread(source), in_thread(target):
        source.seed("team/app", "1.0", image)
        skopeo(
            *("copy", "--all", "--preserve-digests", "--src-creds", LOGIN, "--dest-creds", LOGIN),
            *("--src-tls-verify=false", "--dest-tls-verify=false"),
            f"docker://{source.host}/team/app:1.0",
            f"docker://{target.host}/copies/app:new",
        )
        assert target.resolve("copies/app", "new") == image.digest
        assert target.content_of("copies/app", "new") == source.content_of("team/app", "1.0")
        assert target.incomplete_tags() == []


def test_skopeo_unpacks_what_the_builders_made(tmp_path: Path) -> None:
    with in_thread(ScriptedRegistry(auth=Bearer(users=(USER,)))) as registry:
        registry.seed("team/app", "latest", build.image([build.layer(70_000, 1), build.layer(5, 2)]))
        # A docker archive holds unpacked layers, so every diff ID is verified.
        archive = f"docker-archive:{tmp_path}/image.tar:team/app:latest"
        skopeo("copy", "--src-tls-verify=false", f"docker://{registry.host}/team/app:latest", archive)
        assert (tmp_path / "image.tar").stat().st_size > 70_000


def test_skopeo_lists_all_pages_of_tags() -> None:
    with in_thread(ScriptedRegistry(page_size=3)) as registry:
        tags = [f"1.{number}" for number in range(10, 20)]
        for tag in tags:
            registry.seed("team/app", tag, build.image())
        listed = skopeo("list-tags", "--tls-verify=false", f"docker://{registry.host}/team/app")
        assert all(f'"{tag}"' in listed for tag in tags)
        assert registry.count("GET", "/tags/list") == 4
