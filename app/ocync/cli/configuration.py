"""`ocync validate` and `ocync expand`, which do not use the network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ocync.cli import streams
from ocync.config.expand import expand as expanded
from ocync.config.load import load
from ocync.lib.errors import ExitCode
from ocync.report.humanize import counted

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping


def validate(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """
    Print that a configuration is valid, or raise ConfigError with all mistakes.

    Credentials that are not set are only a warning, since they may be set where the configuration is used.
    """
    path = Path(options.config)
    config = load(path, environ, require_secrets=False)
    if not options.quiet:
        for warning in config.warnings:
            streams.say(f"warning: {warning}")
    mappings = counted(len(config.mappings), "mapping")
    registries = counted(len(config.registries), "registry", "registries")
    streams.write(f"{path}: valid: {mappings}, {registries}\n")
    return ExitCode.OK


def expand(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Print the effective configuration."""
    streams.write(expanded(Path(options.config), environ, show_secrets=options.show_secrets))
    return ExitCode.OK
