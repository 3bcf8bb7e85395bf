"""Where the scenarios play, and what they have in common."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from cluster.jobs import Release
from cluster.outside import PULLER
from scripted import build

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.jobs import Ended
    from cluster.kubernetes import Document, Namespace
    from cluster.outside import Outside
    from scripted.build import Image

SECRET = "ocync-credentials"
DOCKER_CONFIG = "chainguard-docker-config"


@dataclass(slots=True, kw_only=True)
class Stage:
    """Where the scenarios play, one after the other; each leaves the release as it found it."""

    namespace: Namespace
    outside: Outside
    chart: Path
    image: str
    folder: Path

    @property
    def release(self) -> Release:
        """The release of the page's values."""
        return Release(name="mirror", namespace=self.namespace)

    def values(self, page: str) -> Document:
        """Return values that the page shows, with its hosts changed to ours, and what a test cluster asks for."""
        text = (self.chart / "ci" / f"page-{page}-values.yaml").read_text(encoding="utf-8")
        values: Document = yaml.safe_load(text)
        hosts = {"cgr.dev": self.outside.source.url, "ghcr.io": self.outside.target.url}
        for registry in values["config"]["registries"].values():
            registry["url"] = hosts[registry["url"]]
        repository, _, tag = self.image.rpartition(":")
        return values | {
            "image": {"repository": repository, "tag": tag, "pullPolicy": "IfNotPresent"},
            "cronjob": {"schedule": "* * * * *"},
            "metrics": {"pushgateway": {"url": self.outside.pushgateway}},
            "terminationGracePeriodSeconds": 20,
        }

    def suspended(self, page: str) -> Document:
        """Return such values for a release that runs only when it is told to."""
        values = self.values(page)
        values["cronjob"] = {"schedule": "0 0 1 1 *", "suspend": True}
        return values

    async def put_docker_config(self, username: str, password: str) -> None:
        """Write the Secret with the Docker config of the page, with these credentials for the source."""
        pair = base64.b64encode(f"{username}:{password}".encode()).decode()
        file = self.folder / "config.json"
        file.write_text(json.dumps({"auths": {self.outside.source.host: {"auth": pair}}}), encoding="utf-8")
        await self.namespace.put_secret(DOCKER_CONFIG, f"--from-file=config.json={file}")

    async def put_secret(self, password: str, github_token: str = "") -> None:
        """Write the page's Secret, with this password and the target's token or another."""
        pairs = {
            "CHAINGUARD_USERNAME": PULLER,
            "CHAINGUARD_PASSWORD": password,
            "GITHUB_TOKEN": github_token or self.outside.github_token,
        }
        await self.namespace.put_secret(
            SECRET, *(f"--from-literal={name}={value}" for name, value in pairs.items())
        )

    def seed(self, repository: str, tag: str, seed: int, size: int = 4096) -> None:
        """Put a new image into the source."""
        self.outside.source.seed(repository, tag, self.made(seed, size))

    def made(self, seed: int, size: int = 4096) -> Image:
        """Return one of the images."""
        return build.multi_arch(seed=seed, shared=[build.layer(50_000, seed=1)], size=size)

    def check_copied(self, source: str, target: str) -> int:
        """Check that all tags are at the target with all that is below them, byte for byte; return their number."""
        tags = list(self.outside.source.repository(source).tags)
        for tag in tags:
            there = self.outside.target.content_of(target, tag)
            assert there == self.outside.source.content_of(source, tag), (
                f"{target}:{tag} is not what the source has"
            )
        assert tags, f"{source} has no tags"
        return len(tags)

    def check_sound(self) -> None:
        """Check that no tag of the target points, or ever pointed, at something incomplete."""
        target = self.outside.target
        assert not target.incomplete_tags(), target.incomplete_tags()
        assert not target.violations, target.violations

    def metric(self, name: str, release: str, **labels: str) -> float:
        """Return the value of one series of a release at the Pushgateway."""
        wanted = {"release": release, "namespace": self.namespace.name, **labels}.items()
        values = [
            value for (found, pairs), value in self.outside.metrics().items() if found == name and pairs >= wanted
        ]
        assert len(values) == 1, f"{len(values)} series {name}{dict(wanted)} at the Pushgateway"
        return values[0]


def one_line(message: str) -> str:
    """Return a termination message in one line of bearable length."""
    line = " / ".join(" ".join(line.split()) for line in message.splitlines() if line.strip())
    return line if len(line) <= 240 else f"{line[:240]}..."


def assert_complete(pass_: Ended) -> None:
    """Check that a Job completed, at the first go."""
    told = f"{pass_.name}: {pass_.condition} ({pass_.reason}), exit codes {pass_.exit_codes}: {pass_.message}"
    assert (pass_.condition, pass_.exit_codes) == ("Complete", [0]), told


def assert_failed_at_once(pass_: Ended, exit_code: int) -> None:
    """Check that a Job failed by its pod failure policy, with one pod."""
    told = f"{pass_.name}: {pass_.condition} ({pass_.reason}), exit codes {pass_.exit_codes}: {pass_.message}"
    assert (pass_.condition, pass_.reason) == ("Failed", "PodFailurePolicy"), told
    assert pass_.exit_codes == [exit_code], told
