"""Runs a command and turns whatever comes of it into an exit code and, on failure, one line."""

from __future__ import annotations

import os
import traceback
from typing import TYPE_CHECKING

from ocync.cli import parser, streams
from ocync.errors import ConfigError, ExitCode, OcyncError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence


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
        return int(_dispatch(options, environ))
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
            streams.say(traceback.format_exc())
        streams.say(f"ocync: unexpected {type(error).__name__}; run with -vv for a traceback and report it")
        return ExitCode.FAILED


def _dispatch(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Call the command; each is imported only when it is called."""
    match options.command:
        case "version":
            from ocync.cli.information import version

            return version()
        case "completion":
            from ocync.cli.information import completion

            return completion(options)
        case "validate":
            from ocync.cli.configuration import validate

            return validate(options, environ)
        case "expand":
            from ocync.cli.configuration import expand

            return expand(options, environ)
        case "sync":
            from ocync.cli.sync import sync

            return sync(options, environ)
        case "copy":
            from ocync.cli.copy import copy

            return copy(options, environ)
        case "tags":
            from ocync.cli.tags import tags

            return tags(options, environ)
        case "auth":
            from ocync.cli.auth import check

            return check(options, environ)
        case "analyze":
            from ocync.cli.analyze import analyze

            return analyze(options, environ)
        case "watch":
            from ocync.cli.watch import watch

            return watch(options, environ)
        case _:
            raise ConfigError(f"there is no command {options.command!r}")
