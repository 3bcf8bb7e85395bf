"""Programs of others that come as source in Go: built once for each version, and kept outside of the checkout."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import machine
from servers.process import ServerFailedError

GO_NEEDED = "Go 1.24 or newer is needed to build it: https://go.dev/dl"


@dataclass(frozen=True, slots=True, kw_only=True)
class GoProgram:
    """A program of a Go module, at a version."""

    module: str
    version: str
    name: str
    """The name it is kept under."""
    within: float = 500
    """Seconds that building may take."""

    def built(self) -> Path:
        """Return the program, built where it has not been yet; raises ServerFailedError saying what is missing."""
        cache = Path(machine.GIVEN.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ocync-tests"
        path = cache / f"{self.name}-{self.version}"
        if path.exists():
            return path
        go = shutil.which("go", path=f"{machine.GIVEN.get('PATH', '')}:/usr/local/go/bin:/usr/lib/go/bin")
        if go is None:
            raise ServerFailedError(f"{self.module} is missing: {GO_NEEDED}")
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            done = subprocess.run(
                [go, "install", f"{self.module}@{self.version}"],
                env={**machine.GIVEN, "GOBIN": folder, "GOFLAGS": "-buildvcs=false", "CGO_ENABLED": "0"},
                capture_output=True,
                text=True,
                timeout=self.within,
                check=False,
            )
            if done.returncode != 0:
                raise ServerFailedError(f"{self.module} can't be built ({GO_NEEDED}): {done.stderr[-2000:]}")
            (program,) = Path(folder).iterdir()
            program.replace(path)
        return path


CONFORMANCE = GoProgram(
    module="github.com/opencontainers/distribution-spec/conformance",
    version="v0.0.0-20260831232431-97274622c111",
    name="conformance",
)
"""https://github.com/opencontainers/distribution-spec/tree/main/conformance"""
ORAS = GoProgram(module="oras.land/oras/cmd/oras", version="v1.3.6", name="oras")
REGCTL = GoProgram(module="github.com/regclient/regclient/cmd/regctl", version="v0.11.7", name="regctl")
DISTRIBUTION = GoProgram(
    module="github.com/distribution/distribution/v3/cmd/registry",
    version="v3.1.2",
    name="distribution",
    within=1500,
)
COSIGN = GoProgram(module="github.com/sigstore/cosign/v2/cmd/cosign", version="v2.6.5", name="cosign", within=3000)
"""It takes minutes."""
COSIGN_3 = GoProgram(
    module="github.com/sigstore/cosign/v3/cmd/cosign", version="v3.1.3", name="cosign", within=3000
)
"""It signs by bundles, where nothing else is asked for."""
