"""A whole pass in the image, between a token-guarded registry and one that a mounted Docker config opens."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from image.bundle import Mount
from scripted import Basic, Bearer, ScriptedRegistry, User, build, faults

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from image.bundle import Runner

CONFIG = """\
registries:
  src:
    url: {source}
    auth_type: basic
    credentials:
      username: ${{CHAINGUARD_USERNAME}}
      password: ${{CHAINGUARD_PASSWORD}}
  own:
    url: {target}
    auth_type: docker_config
defaults:
  source: src
  targets: own
mappings:
  - from: chainguard/static
    to: myorg/static
"""
SECRET = {"CHAINGUARD_USERNAME": "pull-token", "CHAINGUARD_PASSWORD": "a: # \"'{}$b"}

pytestmark = pytest.mark.timeout(300)


@asynccontextmanager
async def registries() -> AsyncIterator[tuple[ScriptedRegistry, ScriptedRegistry]]:
    """Start a source with four tags of two images that share a layer, and an empty target."""
    puller = User(name=SECRET["CHAINGUARD_USERNAME"], password=SECRET["CHAINGUARD_PASSWORD"], push=())
    async with (
        ScriptedRegistry(auth=Bearer(users=(puller,))) as source,
        ScriptedRegistry(auth=Basic(users=(User(name="robot", password="hunter2"),))) as target,
    ):
        shared = build.layer(100_000, seed=1)
        for tag, seed in {"latest": 3, "1.1": 3, "1.0": 2, "latest-dev": 2}.items():
            source.seed("chainguard/static", tag, build.multi_arch(seed=seed, shared=[shared]))
        yield source, target


def mounts(folder: Path, source: ScriptedRegistry, target: ScriptedRegistry) -> list[Mount]:
    """Write the config and the Docker config, and say where a pod has them."""
    config, docker = folder / "config", folder / "docker"
    config.mkdir()
    docker.mkdir()
    (config / "config.yaml").write_text(CONFIG.format(source=source.url, target=target.url), encoding="utf-8")
    auths = {target.host: {"auth": base64.b64encode(b"robot:hunter2").decode()}}
    (docker / "config.json").write_text(json.dumps({"auths": auths}), encoding="utf-8")
    return [
        Mount(source=config, target="/etc/ocync"),
        Mount(source=docker, target="/home/nonroot/.docker"),
    ]


async def test_the_default_command_fills_the_target_with_what_secret_and_docker_config_open(
    runner: Runner, tmp_path: Path
) -> None:
    async with registries() as (source, target):
        given = mounts(tmp_path, source, target)
        done = await asyncio.to_thread(runner.run, *runner.image.config["Cmd"], env=SECRET, mounts=given)
        assert (done.returncode, "hunter2" in done.stdout + done.stderr) == (0, False), done.stderr
        for tag in ("latest", "latest-dev", "1.0", "1.1"):
            copied = target.content_of("myorg/static", tag)
            assert copied == source.content_of("chainguard/static", tag) != {}


async def test_sigterm_to_pid_1_ends_a_pass_with_exit_code_5_in_bounded_time(
    runner: Runner, tmp_path: Path
) -> None:
    async with registries() as (source, target):
        source.on("GET", r"/blobs/", respond=faults.drip(size=100, pause=0.5), authorized=True)
        given = mounts(tmp_path, source, target)
        command = ("sync", "--config", "/etc/ocync/config.yaml", "--grace-period", "2")
        with runner.start(*command, env=SECRET, mounts=given) as process:
            while not source.requests.matching("GET", r"/blobs/", status=200):
                assert process.poll() is None
                await asyncio.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            # The blobs would drip for minutes.
            out, err = await asyncio.to_thread(process.communicate, timeout=30)
        assert process.returncode == 5, err
        assert "Traceback" not in out + err
        assert target.incomplete_tags() == []
