"""
The conformance tests of the distribution specification, a program in Go: built once, kept outside of the checkout.

https://github.com/opencontainers/distribution-spec/tree/main/conformance
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from servers.process import ServerFailedError

MODULE = "github.com/opencontainers/distribution-spec/conformance"
VERSION = "v0.0.0-20260831232431-97274622c111"
GO_NEEDED = "Go 1.24 or newer is needed to build the conformance tests: https://go.dev/dl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the program found."""

    exit_code: int
    counts: dict[str, int]
    """Tests by their outcome: `Pass`, `Skip`, `FAIL`, `Error`, ... and `Total`."""
    apis: dict[str, str]
    """The outcome for each API, in words of the program: `Pass`, `Skip`, `Disabled`, `FAIL`, ..."""
    said: str


def built() -> Path:
    """Return the program, built where it has not been yet; raises ServerFailedError that says what is missing."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ocync-tests"
    path = cache / f"conformance-{VERSION}"
    if path.exists():
        return path
    go = shutil.which("go", path=f"{os.environ.get('PATH', '')}:/usr/local/go/bin:/usr/lib/go/bin")
    if go is None:
        raise ServerFailedError(GO_NEEDED)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        done = subprocess.run(
            [go, "install", f"{MODULE}@{VERSION}"],
            env={**os.environ, "GOBIN": folder, "GOFLAGS": "-buildvcs=false", "CGO_ENABLED": "0"},
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        if done.returncode != 0:
            raise ServerFailedError(f"{MODULE} can't be built ({GO_NEEDED}): {done.stderr[-2000:]}")
        (Path(folder) / "conformance").replace(path)
    return path


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
