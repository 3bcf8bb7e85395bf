"""What `scripts/image` refuses before it builds anything."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "image"
DIGEST = f"registry.example/python@sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        pytest.param({}, "BUILDER_IMAGE is not set: name it by digest", id="no bases"),
        pytest.param({"BUILDER_IMAGE": DIGEST}, "BASE_IMAGE is not set", id="no base"),
        pytest.param(
            {"BUILDER_IMAGE": DIGEST, "BASE_IMAGE": "registry.example/python:latest"},
            "BASE_IMAGE=registry.example/python:latest is not named by digest",
            id="a base by tag",
        ),
        pytest.param(
            {"BUILDER_IMAGE": "python@sha256:0", "BASE_IMAGE": DIGEST},
            "is not named by digest",
            id="a short digest",
        ),
        pytest.param({"BASE": "debian"}, "the only value is local", id="an unknown base"),
    ],
)
def test_bases_that_are_not_settled_are_refused(given: dict[str, str], says: str) -> None:
    env = {"PATH": os.environ["PATH"], **given}
    done = subprocess.run([SCRIPT], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert says in done.stderr
    assert done.stdout == ""
