"""Runs a command and turns whatever comes of it into an exit code and, on failure, one line."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

from ocync.cli import parser, streams
from ocync.lib.errors import ConfigError, ExitCode, OcyncError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence


def run(arguments: Sequence[str], environ: Mapping[str, str] | None = None) -> int:
    """Run the command line; returns the exit code and raises nothing but SystemExit for --help and --version."""
    streams.prepare()
    try:
        code = _run(arguments, os.environ if environ is None else environ)
    except SystemExit as ended:
        raise SystemExit(streams.finish(int(ended.code or ExitCode.OK))) from None
    return streams.finish(code)


def _run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    verbose = 0
    try:
        options = parser.build().parse_args(arguments)
        verbose = options.verbose
        command = _command(options.command)
        _collect_garbage()
        return int(command(options, environ))
    except ConfigError as error:
        for line in str(error).splitlines():
            streams.say(line if error.problems else f"ocync: {line}")
        return ExitCode.CONFIG
    except OcyncError as error:
        streams.say(f"ocync: {error}")
        return error.exit_code
    except BrokenPipeError:
        # The reader of stdout has gone (ocync tags … | head): nobody is left to tell, and nothing is wrong.
        return ExitCode.OK
    except KeyboardInterrupt:
        streams.say("ocync: interrupted")
        return ExitCode.INTERRUPTED
    except Exception as error:
        # A defect must not look like a partial failure (1) because Python says so.
        if verbose >= 2:
            import traceback

            streams.say(traceback.format_exc())
        streams.say(f"ocync: unexpected {type(error).__name__}; run with -vv for a traceback and report it")
        return ExitCode.FAILED


def _command(name: str) -> Callable[[argparse.Namespace, Mapping[str, str]], int]:
    """Return what a command does; each is imported only when it is asked for."""
    match name:
        case "version":
            from ocync.cli.version import version

            return version
        case "completion":
            from ocync.cli.completion import completion

            return completion
        case "validate":
            from ocync.cli.configuration import validate

            return validate
        case "expand":
            from ocync.cli.configuration import expand

            return expand
        case "sync":
            from ocync.cli.sync import sync

            return sync
        case "copy":
            from ocync.cli.copy import copy

            return copy
        case "tags":
            from ocync.cli.tags import tags

            return tags
        case "auth":
            from ocync.cli.auth import check

            return check
        case "analyze":
            from ocync.cli.analyze import analyze

            return analyze
        case "watch":
            from ocync.cli.watch import watch

            return watch
        case _:
            raise ConfigError(f"there is no command {name!r}")


def _collect_garbage() -> None:
    """
    Turn the collector of cycles on, now that the modules are there; it never looks at those.

    By default it looks after each 700 objects more: a pass makes as many for a few requests, and hardly a cycle.
    """
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    gc.enable()
