from __future__ import annotations

from pathlib import Path

import pytest

from ocync.cli.references import reference, registry_of
from ocync.config.load import load
from ocync.lib.errors import ConfigError

CONFIG = """
registries:
  first: { url: "registry.example/team", max_concurrent: 3 }
  second: { url: registry.example }
  plain: { url: "http://registry.example" }
  hub: { url: docker.io, max_concurrent: 5 }
  disk: { url: "oci:/srv/mirror" }
mappings: []
"""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("registry.example/a/b", "first", id="the first of a host"),
        pytest.param("REGISTRY.example/a/b", "first", id="in capitals"),
        pytest.param("https://registry.example/a/b", "first", id="with its scheme"),
        pytest.param("http://registry.example/a/b", "plain", id="by another scheme"),
        pytest.param("nginx", "hub", id="a short name"),
        pytest.param("index.docker.io/library/nginx", "hub", id="another name of Docker Hub's"),
        pytest.param("registry.example:5000/a/b", "https://registry.example:5000", id="another port"),
        pytest.param("cgr.dev/a/b", "https://cgr.dev", id="unknown"),
    ],
)
def test_a_registry_has_the_settings_of_the_configuration_for_its_host(
    tmp_path: Path, name: str, expected: str
) -> None:
    file = tmp_path / "ocync.yaml"
    file.write_text(CONFIG)

    assert registry_of(reference(name), load(file, {})).name == expected


def test_without_a_configuration_a_registry_has_the_defaults() -> None:
    found = registry_of(reference("cgr.dev/a/b"), None)

    assert (found.auth_type, found.max_concurrent) == (None, 50)


def test_a_folder_is_one_of_layouts() -> None:
    found = registry_of(reference("oci:./mirror/static:latest"), None)

    assert (found.layout, found.registry) == (Path("mirror"), None)


@pytest.mark.parametrize("name", ["", "A/b", "host/", "x y", "oci:", "a@b", "a:b:c", "https://"])
def test_what_is_no_reference_is_a_configuration_error(name: str) -> None:
    with pytest.raises(ConfigError):
        reference(name)
