"""What is in the image, and what must not be."""

from __future__ import annotations

import json
import marshal
import re
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from image.bundle import Image
    from image.conftest import Build

ROOT = Path(__file__).parents[2]
SHELLS = {"sh", "bash", "dash", "ash", "zsh", "ksh", "busybox"}

pytestmark = pytest.mark.timeout(300)


def test_the_image_runs_ocync_sync_as_a_numeric_user(image: Image) -> None:
    assert image.config["User"] == "65532:65532"
    assert image.config["Entrypoint"] == ["/usr/local/bin/ocync"]
    assert image.config["Cmd"] == ["sync", "--config", "/etc/ocync/config.yaml"]
    assert {"HOME=/home/nonroot", "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1"} <= set(image.config["Env"])


def test_the_labels_tell_what_was_built_from_what(image: Image) -> None:
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in image.config["Labels"].items()}
    version = re.search(r'__version__ = "(.+)"', (ROOT / "app/ocync/__init__.py").read_text(encoding="utf-8"))
    assert version is not None
    assert labels["version"] == version[1]
    assert labels["licenses"] == "Apache-2.0"
    assert labels["source"].startswith("https://")


def test_the_revision_is_one_of_this_repository(image: Image) -> None:
    revision = image.config["Labels"]["org.opencontainers.image.revision"]
    git = ["git", "-C", str(ROOT)]
    if (
        not (ROOT / ".git").exists()
        or subprocess.run([*git, "log", "-1"], capture_output=True, check=False).returncode
    ):
        assert revision == "unknown"
        return
    subprocess.run([*git, "merge-base", "--is-ancestor", revision.removesuffix("-dirty"), "HEAD"], check=True)


def test_there_is_no_shell_and_no_installer(image: Image) -> None:
    names = {path.name for path in image.files()}
    assert not names & SHELLS
    assert not [path for path in image.files() if re.match(r"(pip|setuptools|ensurepip)([-.]|$)", path.name)]
    assert not [path for path in image.root.rglob("pip") if path.is_dir()]


def test_only_tmp_and_the_home_can_be_written_by_the_user_of_the_image(image: Image) -> None:
    open_to_all = [
        path for path in image.root.rglob("*") if not path.is_symlink() and path.stat().st_mode & stat.S_IWOTH
    ]
    assert [str(path.relative_to(image.root)) for path in open_to_all] == ["tmp"]


def test_nothing_gives_privileges(image: Image) -> None:
    privileged = stat.S_ISUID | stat.S_ISGID
    assert not [
        path for path in image.root.rglob("*") if not path.is_symlink() and path.stat().st_mode & privileged
    ]


def test_the_program_in_the_image_is_the_one_of_the_checkout(image: Image) -> None:
    def sources(folder: Path) -> dict[str, bytes]:
        paths = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return {str(path.relative_to(folder)): path.read_bytes() for path in paths}

    assert sources(image.root / "opt/ocync/app/ocync") == sources(ROOT / "app/ocync")


def test_every_module_is_compiled_to_bytecode_that_no_file_time_can_make_stale(image: Image) -> None:
    modules = [path for path in image.root.joinpath("opt/ocync").rglob("*.py") if path.parent.name != "bin"]
    assert len(modules) > 100
    for module in modules:
        (compiled,) = module.parent.joinpath("__pycache__").glob(f"{module.stem}.cpython-*.pyc")
        content = compiled.read_bytes()
        assert int.from_bytes(content[4:8], "little") == 1, f"{compiled} is checked against its source"
        assert marshal.loads(content[16:]).co_filename == f"/{module.relative_to(image.root)}"


def test_the_list_of_packages_names_what_is_installed_and_lies_beside_the_image_and_in_it(
    build: Build, image: Image
) -> None:
    listed = json.loads(build.sbom.read_text(encoding="utf-8"))
    installed = {path.name.removesuffix(".dist-info") for path in image.root.glob("opt/ocync/lib/*.dist-info")}
    assert {f"{c['name'].replace('-', '_')}-{c['version']}" for c in listed["components"]} == {
        name.lower() for name in installed
    }
    assert all(component["licenses"] for component in listed["components"])
    assert image.root.joinpath("usr/share/sbom/ocync.cdx.json").read_bytes() == build.sbom.read_bytes()


def test_the_packages_are_exactly_the_locked_ones(build: Build) -> None:
    listed = json.loads(build.sbom.read_text(encoding="utf-8"))["components"]
    lock = (ROOT / "app/requirements.lock").read_text(encoding="utf-8")
    assert {f"{c['name']}=={c['version']}" for c in listed} == set(
        re.findall(r"^\S+==[^\s;]+", lock, flags=re.MULTILINE)
    )


def test_of_the_apis_of_aws_only_those_of_ecr_and_of_logins_take_space(image: Image) -> None:
    data = image.root / "opt/ocync/lib/botocore/data"
    assert {path.name for path in data.iterdir() if path.is_dir()} == {
        *("ecr", "ecr-public", "sts", "sso", "sso-oidc", "signin"),
    }
    size = sum(path.stat().st_size for path in image.root.joinpath("opt/ocync/lib").rglob("*") if path.is_file())
    # A fourth of it verifies signatures: Sigstore's library, and what that needs.
    assert size < 84 * 1024 * 1024
