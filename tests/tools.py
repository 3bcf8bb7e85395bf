"""Clients of others, run to their end in an environment that holds nothing of the machine's."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class ToolFailedError(Exception):
    """A tool ended with another exit code than 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A program, the folder that it works in and has its home in, and variables of its environment."""

    program: Path
    folder: Path
    environ: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, **variables: str) -> str:
        """Run it; returns what it wrote to stdout, and raises ToolFailedError with all that it said."""
        done = subprocess.run(
            [self.program, *arguments],
            cwd=self.folder,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.folder), **self.environ, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            command = " ".join((self.program.name, *arguments))
            raise ToolFailedError(f"{command}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """Run it; returns the JSON document on its stdout."""
        return json.loads(self(*arguments))
