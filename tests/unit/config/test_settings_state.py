"""The section `global.state`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ocync.config.model import RegistryConfig
from ocync.lib.errors import ConfigError
from ocync.oci.reference import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from unit.config.conftest import Load

BASE = """\
registries:
  own: {url: "registry.example:5000/mirror", max_concurrent: 7}
  hub: {url: docker.io}
  disk: {url: "oci:/srv/mirror"}
mappings: [{from: x, source: own, targets: hub}]
"""


def written(artifact: str) -> str:
    return f"{BASE}global: {{state: {{artifact: '{artifact}'}}}}\n"


@pytest.mark.parametrize(
    ("artifact", "name", "repository", "tag"),
    [
        ("own/state", "own", "mirror/state", "ocync-state"),
        ("own/team/state:prod", "own", "mirror/team/state", "prod"),
        ("disk/state", "disk", "state", "ocync-state"),
        ("hub/state", "hub", "library/state", "ocync-state"),
        ("registry.example:5000/state:1", "own", "state", "1"),
        ("ghcr.io/acme/state", "ghcr.io", "acme/state", "ocync-state"),
        ("http://127.0.0.1:5000/acme/state:1", "127.0.0.1:5000", "acme/state", "1"),
    ],
)
def test_an_artifact_begins_with_a_registry_s_name_or_a_host(
    artifact: str, name: str, repository: str, tag: str, read: Load
) -> None:
    config = read(written(artifact))

    state = config.settings.state
    assert state is not None
    assert (state.registry.name, state.repository.path, state.tag) == (name, repository, tag)
    assert state.registry == config.registries.get(name, state.registry)


def test_a_host_without_settings_gets_the_defaults(read: Load) -> None:
    state = read(written("ghcr.io/acme/state")).settings.state

    assert state is not None
    assert state.registry == RegistryConfig(name="ghcr.io", registry=Registry("ghcr.io"))


@pytest.mark.parametrize("value", ["{}", "null", "{artifact: null}"])
def test_an_empty_section_gives_no_state(value: str, read: Load) -> None:
    assert read(f"{BASE}global: {{state: {value}}}\n").settings.state is None


@pytest.mark.parametrize(
    ("artifact", "why"),
    [
        ("own/State", "is not REPOSITORY or REPOSITORY:TAG"),
        ("own/state:", "is not REPOSITORY or REPOSITORY:TAG"),
        ("own/state@sha256:" + "a" * 64, "is not REPOSITORY"),
        ("ghcr.io/state@sha256:" + "a" * 64, "is not HOST/REPOSITORY"),
        ("oci:/srv/mirror/state", "is not HOST/REPOSITORY"),
        ("ghcr.io/Acme", "is not a repository name"),
        ("me:secret@ghcr.io/state", "holds no user name or password"),
    ],
)
def test_a_bad_artifact_is_refused_with_its_position(artifact: str, why: str, read: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        read(written(artifact))

    assert f":6:{len('global: {state: {') + 1}: global.state.artifact: " in str(caught.value)
    assert why in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_bad_registry_is_reported_once(read: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        read("registries: {own: {url: '!'}}\nmappings: []\nglobal: {state: {artifact: own/state}}\n")

    assert "state" not in str(caught.value)


def mirror(
    artifact: str, own: str, mapping: str = "{from: acme/app, to: team/app, source: hub, targets: own}"
) -> str:
    """Write a config that fills the repository team/app of the registry `own`, and keeps its state somewhere."""
    return (
        f"registries: {{own: {{url: '{own}'}}, hub: {{url: docker.io}}, disk: {{url: 'oci:./srv/mirror'}}}}\n"
        f"global: {{state: {{artifact: '{artifact}'}}}}\n"
        f"mappings:\n  - {mapping}\n"
    )


@pytest.mark.parametrize(
    ("artifact", "own"),
    [
        pytest.param("own/team/app", "registry.example", id="by name"),
        pytest.param("own/team/app:another-tag", "registry.example", id="another tag"),
        pytest.param("registry.example/team/app", "registry.example", id="by host"),
        pytest.param("registry.example:443/team/app", "registry.example", id="the port of https"),
        pytest.param(
            "registry.example/team/app", "https://registry.example:443", id="the port of https in the URL"
        ),
        pytest.param("registry.example/team/app", "http://registry.example:80", id="the port of http"),
        pytest.param("Registry.Example/team/app", "registry.example", id="upper case"),
        pytest.param("registry-1.docker.io/team/app", "index.docker.io", id="names of Docker Hub"),
        pytest.param("docker.io:443/team/app", "docker.io", id="Docker Hub with a port"),
        pytest.param("registry.example/team/app", "registry.example/team", id="a prefix"),
    ],
)
def test_a_repository_that_a_mapping_writes_is_refused(
    artifact: str, own: str, problems: Callable[..., list[str]]
) -> None:
    to = "app" if own.endswith("/team") else "team/app"
    host = "docker.io" if "docker" in own else "registry.example"

    assert problems(mirror(artifact, own, f"{{from: acme/app, to: {to}, source: hub, targets: own}}")) == [
        f"2:{len('global: {state: {') + 1}: global.state.artifact: is in {host}/team/app, which the mapping of "
        "acme/app (line 4) writes: name a repository that no mapping has as a target"
    ]


def test_a_repository_in_a_folder_that_a_mapping_writes_is_refused(problems: Callable[..., list[str]]) -> None:
    found = problems(mirror("disk/team/app", "a.example", "{from: team/app, source: hub, targets: [own, disk]}"))

    assert len(found) == 1
    assert "global.state.artifact: is in oci:srv/mirror/team/app, which" in found[0]


@pytest.mark.parametrize(
    "artifact", ["own/team/app2", "registry.example:80/team/app", "other.example/team/app", "hub/team/app"]
)
def test_a_repository_that_no_mapping_writes_is_accepted(artifact: str, warnings: Callable[..., list[str]]) -> None:
    assert warnings(mirror(artifact, "registry.example")) == []


def test_a_state_that_a_mapping_would_copy_is_a_warning(warnings: Callable[..., list[str]]) -> None:
    (warning,) = warnings(mirror("hub/acme/app:state", "registry.example"))

    assert (
        "global.state.artifact: is in docker.io/acme/app, which the mapping of acme/app (line 4) reads: " in warning
    )
    assert "exclude the tag state there" in warning


@pytest.mark.parametrize("tags", ["{exclude: state}", "{glob: 1.*}", "{semver: '>=1', sort: semver, latest: 3}"])
def test_a_state_whose_tag_is_not_selected_is_no_warning(tags: str, warnings: Callable[..., list[str]]) -> None:
    mapping = f"{{from: acme/app, to: team/app, source: hub, targets: own, tags: {tags}}}"

    assert warnings(mirror("hub/acme/app:state", "registry.example", mapping)) == []
