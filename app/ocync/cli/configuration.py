"""`ocync validate` and `ocync expand`: looking at a configuration without any network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ocync.cli import streams
from ocync.config.expand import expand as expanded
from ocync.config.load import load
from ocync.lib.errors import ExitCode

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping


def validate(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """
    Say that a configuration is valid, or raise ConfigError with everything that is wrong.

    Credentials that are not set here are a warning: they are where the configuration will run.
    """
    path = Path(options.config)
    config = load(path, environ, require_secrets=False)
    if not options.quiet:
        for warning in config.warnings:
            streams.say(f"warning: {warning}")
    mappings, registries = len(config.mappings), len(config.registries)
    streams.write(f"{path}: valid: {_count(mappings, 'mapping')}, {_count(registries, 'registry')}\n")
    return ExitCode.OK


def _count(number: int, noun: str) -> str:
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun.removesuffix('y')}ies" if noun.endswith("y") else f"{number} {noun}s"


def expand(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Print the effective configuration."""
    streams.write(expanded(Path(options.config), environ, show_secrets=options.show_secrets))
    return ExitCode.OK
