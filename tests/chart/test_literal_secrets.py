"""No secret gets into a ConfigMap: what is written out is refused, and never repeated in the refusal."""

from __future__ import annotations

import pytest
from helm_python import HelmRenderError

from chart.rendering import at, merged, render, values

PLACES = [
    "config.registries.src.token",
    "config.registries.src.credentials.password",
    "config.metrics.pushgateway.password",
    "metrics.pushgateway.password",
]
PUSH = at("metrics.pushgateway.url", "http://push:9091")


@pytest.mark.parametrize("path", PLACES)
@pytest.mark.parametrize(
    "secret",
    [
        "hunter2",
        "${A}hunter2",
        "hunter2${A}",
        "${A:-hunter2}",
        "$A-hunter2",
        "$$hunter2",
        "${}hunter2",
        "${A:hunter2}",
    ],
)
def test_a_secret_written_out_is_refused_and_not_repeated(path: str, secret: str) -> None:
    with pytest.raises(HelmRenderError) as refusal:
        render(merged(values(), PUSH, at(path, secret)))

    assert f"{path} holds a secret written out" in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize("path", PLACES)
@pytest.mark.parametrize("reference", ["${A}", "${my-key.x}", "${A}${B}", "${A:?set it, please}", "${A:-}", ""])
def test_a_reference_is_let_through(path: str, reference: str) -> None:
    release = render(merged(values(), PUSH, at(path, reference)))

    assert repr(reference) in repr(release.config)


def test_the_refusal_shows_what_to_write_instead() -> None:
    with pytest.raises(HelmRenderError) as refusal:
        render(merged(values(), at("config.registries", {"docker-hub": {"url": "docker.io", "token": "hunter2"}})))

    assert (
        "config:\n"
        "  registries:\n"
        "    docker-hub:\n"
        "      token: ${DOCKER_HUB_TOKEN}\n"
        "envFrom:\n"
        "  - secretRef:\n"
        "      name: ocync-credentials\n"
    ) in str(refusal.value)
    assert "--from-literal=DOCKER_HUB_TOKEN=..." in str(refusal.value)


def test_files_and_user_names_are_no_secrets() -> None:
    credentials = {"username": "robot", "password_file": "/run/secrets/password"}

    release = render(merged(values(), at("config.registries.src.credentials", credentials)))

    assert release.config["registries"]["src"]["credentials"] == credentials


@pytest.mark.parametrize(
    "path", ["config.registries.src.url", "config.metrics.pushgateway.url", "metrics.pushgateway.url"]
)
@pytest.mark.parametrize(
    "url",
    ["http://robot:hunter2@host:5000", "robot:hunter2@host", "https://hunter2@host", "http://${A}:hunter2@host/x"],
)
def test_credentials_in_a_url_are_refused_and_not_repeated(path: str, url: str) -> None:
    with pytest.raises(HelmRenderError) as refusal:
        render(merged(values(), PUSH, at(path, url)))

    assert f"{path} holds credentials written out" in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    "url",
    [
        "cgr.dev",
        "host:5000/a/b",
        "http://host:5000",
        "http://${A}:${B}@host",
        "${URL:?as user:pass@host}",
        "oci:./a@b",
    ],
)
def test_a_url_without_credentials_is_let_through(url: str) -> None:
    assert render(merged(values(), at("config.registries.src.url", url))).config["registries"]["src"]["url"] == url
