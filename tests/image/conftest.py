"""The image, built once for all the tests here, from this machine's Python and with no registry to pull from."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from image.bundle import Image, Runner, unpack
from machine import GIVEN

ROOT = Path(__file__).parents[2]
PROGRAMS = ("buildah", "runc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What `scripts/image` left: the archive and the list of packages beside it."""

    archive: Path
    sbom: Path


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        pytest.fail(f"the tests of the image need {' and '.join(missing)}: apt-get install {' '.join(missing)}")
    # Workers of one run share the build, hence the folder that is common to them, and the lock.
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "image"
    folder.mkdir(exist_ok=True)
    made = Build(archive=folder / "ocync.tar", sbom=folder / "ocync.cdx.json")
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.sbom.exists():
            run_build(folder, made)
    return made


def run_build(folder: Path, made: Build) -> None:
    """Build with a container storage of this run's own, so that nothing of the user's is touched."""
    storage = folder / "storage.conf"
    storage.write_text(f'[storage]\ndriver = ""\ngraphroot = "{folder}/storage"\nrunroot = "{folder}/run"\n')
    env = GIVEN | {
        "BASE": "local", "ENGINE": "buildah", "PYTHON": sys.executable, "OUT": str(made.archive),
        "IMAGE": "localhost/ocync:test", "CONTAINERS_STORAGE_CONF": str(storage),
    }  # fmt: skip
    try:
        done = subprocess.run([ROOT / "scripts" / "image"], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"scripts/image failed\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    finally:
        # Hundreds of megabytes that pytest would keep for three runs; without root, they belong to subordinate ids.
        unshare = [] if os.geteuid() == 0 else ["buildah", "unshare"]
        subprocess.run([*unshare, "rm", "-rf", folder / "storage", folder / "run"], env=env, check=False)


@pytest.fixture(scope="session")
def image(build: Build, tmp_path_factory: pytest.TempPathFactory) -> Image:
    return unpack(build.archive, tmp_path_factory.mktemp("unpacked") / "root")


@pytest.fixture
def runner(image: Image, tmp_path: Path) -> Runner:
    state = tmp_path / "containers"
    state.mkdir()
    return Runner(image=image, state=state)
