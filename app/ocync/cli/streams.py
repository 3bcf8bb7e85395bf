"""Standard output and error as they may be: closed, full, without a reader, of another encoding."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

from ocync.lib.errors import ExitCode, StorageError

if TYPE_CHECKING:
    from typing import TextIO


def prepare() -> None:
    """Make both streams fit to be written to; what is said to a closed one is lost."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 -- for good
        elif isinstance(stream, io.TextIOWrapper):
            # A name that the terminal's encoding lacks is no reason to fail after the work was done.
            stream.reconfigure(errors="backslashreplace")


def say(line: str) -> None:
    """Write a line to standard error."""
    try:
        sys.stderr.write(f"{line}\n")
    except OSError:
        _abandon(sys.stderr)


def write(text: str) -> None:
    """Write to standard output; raises StorageError, or BrokenPipeError for a reader that has gone."""
    try:
        sys.stdout.write(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        _abandon(sys.stdout)
        raise StorageError(_unwritable(error)) from error


def show(text: str) -> None:
    """
    Write to standard output at once, where that is possible; raises nothing.

    For results of work that was done: it stays done, and has its exit code, whether they can be shown or not. A
    reader that has gone (`ocync sync | head`) is not worth a word.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        _abandon(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            say(f"ocync: {_unwritable(error)}")


def finish(code: int) -> int:
    """
    Write what is left in the buffers and return the exit code: 2 for a result that could not be written.

    Python itself would write it later, and make another exit code of it that nobody knows.
    """
    try:
        sys.stderr.flush()
    except OSError:
        _abandon(sys.stderr)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _abandon(sys.stdout)
    except OSError as error:
        _abandon(sys.stdout)
        say(f"ocync: {_unwritable(error)}")
        return code or ExitCode.FAILED
    return code


def _unwritable(error: OSError) -> str:
    return f"can't write to standard output: {(error.strerror or str(error)).lower()}"


def _abandon(stream: TextIO) -> None:
    """Let all that comes, and what is in the buffer, go nowhere."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, stream.fileno())
    os.close(sink)
