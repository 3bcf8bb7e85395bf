"""`ocync completion`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocync.cli import parser, streams
from ocync.lib.errors import ExitCode

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping


def completion(options: argparse.Namespace, _environ: Mapping[str, str]) -> int:
    """Print a completion script for a shell."""
    import shtab

    streams.write(shtab.complete(parser.build(), shell=options.shell) + "\n")
    return ExitCode.OK
