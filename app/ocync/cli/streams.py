"""Standard output and error, which may be closed, full, without a reader, or of another encoding."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

from ocync.lib.errors import ExitCode, StorageError

if TYPE_CHECKING:
    from typing import TextIO


def prepare() -> None:
    """Prepare both streams for writing; text for a closed one is dropped."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 -- for good
        elif isinstance(stream, io.TextIOWrapper):
            # A character that the encoding lacks must not fail a pass that is done.
            stream.reconfigure(errors="backslashreplace")


def say(line: str) -> None:
    """Write a line to standard error."""
    try:
        sys.stderr.write(f"{line}\n")
    except OSError:
        _abandon(sys.stderr)


def write(text: str) -> None:
    """Write to standard output; raises StorageError, or BrokenPipeError if the reader is gone."""
    try:
        sys.stdout.write(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        _abandon(sys.stdout)
        raise StorageError(_unwritable(error)) from error


def show(text: str) -> None:
    """
    Write to standard output at once; an error is reported but not raised.

    This is for results of completed work, whose exit code does not depend on the output. Nothing is reported if the
    reader is gone, as in `ocync sync | head`.
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
    Flush both streams and return the exit code: 2 in place of 0 if the output can't be written.

    Python itself would flush later, and exit with a code of its own on an error.
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
    """Drop what is in the buffer, and all that is written later."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, stream.fileno())
    os.close(sink)
