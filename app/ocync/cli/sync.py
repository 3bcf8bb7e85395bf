"""`ocync sync`: one pass over all mappings of a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ocync.cli import passes
from ocync.config.load import load

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping


def sync(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Make one pass; returns its exit code."""
    with passes.logging_as_asked(options, environ) as redactor:
        config = load(Path(options.config), environ)
        passes.introduce(config, redactor)
        return passes.once(passes.job_of(config), options, environ, redactor)
