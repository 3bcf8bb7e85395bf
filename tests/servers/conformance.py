"""
The conformance tests of the distribution specification, a program in Go.

https://github.com/opencontainers/distribution-spec/tree/main/conformance
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from servers.process import ServerFailedError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the program found."""

    exit_code: int
    counts: dict[str, int]
    """Tests by their outcome: `Pass`, `Skip`, `FAIL`, `Error`, ... and `Total`."""
    apis: dict[str, str]
    """The outcome for each API, in words of the program: `Pass`, `Skip`, `Disabled`, `FAIL`, ..."""
    said: str


def run(program: Path, host: str, *, folder: Path, **settings: object) -> Verdict:
    """Let the program test the registry at `host:port` by plain HTTP; `settings` are keys of its configuration."""
    configuration = {
        "resultsDir": str(folder / "results"),
        "registry": host,
        "tls": "disabled",
        "repo1": "conformance/one",
        "repo2": "conformance/two",
        **settings,
    }
    file = folder / "oci-conformance.yaml"
    file.write_text(json.dumps(configuration))
    done = subprocess.run(
        [program],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "OCI_CONFIGURATION": str(file)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = done.stdout + done.stderr
    results = folder / "results" / "results.yaml"
    if not results.exists():
        raise ServerFailedError(f"{program.name} ended with {done.returncode} and no results: {said[-2000:]}")
    body = yaml.safe_load(results.read_text())
    counts = {name: int(count) for name, count in re.findall(r"^ +(\w+)\.+: +(\d+)$", said, re.MULTILINE)}
    return Verdict(exit_code=done.returncode, counts=counts, apis=body["apis"], said=said)
