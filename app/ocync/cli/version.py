"""`ocync version`."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from ocync import __version__
from ocync.cli import streams
from ocync.lib.errors import ExitCode

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping


def version(_options: argparse.Namespace | None = None, _environ: Mapping[str, str] | None = None) -> int:
    """Print the version of the program and of Python."""
    streams.write(f"ocync {__version__} (Python {platform.python_version()})\n")
    return ExitCode.OK
