"""The lock of the container's packages, app/requirements.lock, against what the project asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "app" / "requirements.lock").read_text(encoding="utf-8")
ENTRIES = re.findall(r"^([a-z0-9][^ ]*==[^\\\n]+?) \\\n((?:    --hash=.*\n)+)", LOCK, flags=re.MULTILINE)
PINS = {canonicalize_name(Requirement(pin).name): Requirement(pin) for pin, _ in ENTRIES}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = [line for extra in ("aws", "gcp", "azure", "verify") for line in PROJECT["optional-dependencies"][extra]]
WANTED = [*PROJECT["dependencies"], *EXTRAS]


@pytest.mark.parametrize("wanted", WANTED, ids=lambda text: Requirement(text).name)
def test_each_package_the_project_asks_for_is_locked_within_its_range(wanted: str) -> None:
    requirement = Requirement(wanted)
    (pin,) = PINS[canonicalize_name(requirement.name)].specifier
    assert pin.operator == "=="
    assert requirement.specifier.contains(pin.version)


def test_each_line_of_the_lock_is_a_pin_with_sha256_hashes() -> None:
    lines = [line for line in LOCK.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    hashes = [line for line in lines if line.startswith("    --hash=sha256:")]
    assert len(lines) == len(hashes) + len(PINS)
    assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?", line) for line in hashes)


def test_the_lock_names_no_index_and_no_host() -> None:
    assert not re.search(r"://|--(?:extra-)?index-url|--find-links|--trusted-host|@ ", LOCK)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_no_package_is_left_out_on_a_platform_of_the_image(machine: str) -> None:
    environment = default_environment() | {"platform_machine": machine, "sys_platform": "linux"}
    environment |= {"python_version": "3.13", "python_full_version": "3.13.0"}
    assert all(pin.marker is None or pin.marker.evaluate(dict(environment)) for pin in PINS.values())
