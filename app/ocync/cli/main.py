"""Runs a command and returns its exit code; an error is reported in one line."""

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
    """Return the exit code of the command line; raises only SystemExit, for --help and --version."""
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
        # The reader of stdout is gone, as in `ocync tags … | head`.
        return ExitCode.OK
    except KeyboardInterrupt:
        streams.say("ocync: interrupted")
        return ExitCode.INTERRUPTED
    except Exception as error:
        # Not 1, which is Python's code for an exception and ours for a partial failure.
        if verbose >= 2:
            import traceback

            streams.say(traceback.format_exc())
        streams.say(f"ocync: unexpected {type(error).__name__}; run with -vv for a traceback, and please report it")
        return ExitCode.FAILED


def _command(name: str) -> Callable[[argparse.Namespace, Mapping[str, str]], int]:
    """Return the function of a command; only its own module is imported."""
    match name:
        case "version":
            return _version
        case "completion":
            return _completion
        case "validate" | "expand":
            from ocync.cli.configuration import expand, validate

            return validate if name == "validate" else expand
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
        case _:
            from ocync.cli.watch import watch

            return watch


def _version(_options: argparse.Namespace, _environ: Mapping[str, str]) -> int:
    streams.write(f"{parser.version()}\n")
    return ExitCode.OK


def _completion(options: argparse.Namespace, _environ: Mapping[str, str]) -> int:
    import shtab

    streams.write(shtab.complete(parser.build(), shell=options.shell) + "\n")
    return ExitCode.OK


def _collect_garbage() -> None:
    """
    Turn the garbage collector on, and exempt the modules that are loaded by now.

    The default threshold of 700 objects is too low: a pass makes as many in a few requests, and hardly any cycles.
    """
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    gc.enable()
