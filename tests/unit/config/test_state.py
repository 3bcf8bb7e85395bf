"""The section `global.state`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ocync.config.model import RegistryConfig
from ocync.errors import ConfigError
from ocync.oci.reference import Registry

if TYPE_CHECKING:
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
def test_a_registry_s_name_or_a_host_stands_in_front(
    artifact: str, name: str, repository: str, tag: str, read: Load
) -> None:
    config = read(written(artifact))

    state = config.settings.state
    assert state is not None
    assert (state.registry.name, state.repository, state.tag) == (name, repository, tag)
    assert state.registry == config.registries.get(name, state.registry)


def test_a_host_without_settings_gets_the_defaults(read: Load) -> None:
    state = read(written("ghcr.io/acme/state")).settings.state

    assert state is not None
    assert state.registry == RegistryConfig(name="ghcr.io", registry=Registry("ghcr.io"))


@pytest.mark.parametrize("value", ["{}", "null", "{artifact: null}"])
def test_nothing_said_is_no_state(value: str, read: Load) -> None:
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
def test_what_names_no_repository_and_tag_is_refused_at_its_place(artifact: str, why: str, read: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        read(written(artifact))

    assert f":6:{len('global: {state: {') + 1}: global.state.artifact: " in str(caught.value)
    assert why in str(caught.value)
    assert "secret" not in str(caught.value)


def test_of_a_registry_that_is_wrong_nothing_more_is_said(read: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        read("registries: {own: {url: '!'}}\nmappings: []\nglobal: {state: {artifact: own/state}}\n")

    assert "state" not in str(caught.value)
