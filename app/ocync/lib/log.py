"""
The program's log: on stderr, one line per record, as text or as JSON, without secrets.

The level is error with -q, debug with -v, trace with -vv, otherwise that of `OCYNC_LOG`, or info. Other libraries
log warnings and errors, and everything at trace. Tracebacks are shown only at trace.
"""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from ocync.lib.redaction import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType
    from typing import TextIO

    from ocync.lib.redaction import Redactor

    ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]

TRACE = 5
_LEVELS = {
    "trace": TRACE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "off": logging.CRITICAL,
    "critical": logging.CRITICAL,
}

log = logging.getLogger(__name__)


def level_of(verbose: int, quiet: bool, environ: Mapping[str, str]) -> int:
    """
    Return the level by the flags, or else by OCYNC_LOG; `quiet` wins over `verbose`.

    An unknown level in OCYNC_LOG counts as `info`, and `configured` warns about it.
    """
    if quiet:
        return logging.ERROR
    if verbose:
        return TRACE if verbose > 1 else logging.DEBUG
    return _LEVELS.get(environ.get("OCYNC_LOG", "").strip().lower(), logging.INFO)


@contextmanager
def configured(
    *,
    level: int,
    form: Literal["text", "json"],
    redactor: Redactor,
    environ: Mapping[str, str],
    stream: TextIO | None = None,
) -> Iterator[None]:
    """
    Write all log records to `stream` while the context lasts.

    The default is `sys.stderr` at the time of the record: a progress display replaces it to write above its bars.
    """
    logging.addLevelName(TRACE, "TRACE")
    handler = _Handler(stream)
    handler.setFormatter(_json(level, redactor) if form == "json" else _TextFormatter(level, redactor))
    root, ours = logging.getLogger(), logging.getLogger("ocync")
    before = (root.level, ours.level, root.handlers[:])
    root.handlers[:] = [handler]
    # Other libraries: httpx, httpcore and asyncio log each request at info and debug.
    root.setLevel(level if level <= TRACE else max(level, logging.WARNING))
    ours.setLevel(level)
    try:
        wanted = environ.get("OCYNC_LOG", "").strip().lower()
        if wanted and wanted not in _LEVELS:
            known = ", ".join(sorted(set(_LEVELS) - {"warn", "critical"}, key=lambda name: _LEVELS[name]))
            log.warning("OCYNC_LOG=%s is not a level and is ignored; use one of %s", wanted, known)
        yield
    finally:
        root.setLevel(before[0])
        ours.setLevel(before[1])
        root.handlers[:] = before[2]


class _Handler(logging.StreamHandler[Any]):
    """Writes to a stream, or to the present `sys.stderr`; ignores one that is closed or full."""

    def __init__(self, stream: TextIO | None) -> None:
        logging.Handler.__init__(self)
        self._fixed = stream

    @property
    def stream(self) -> Any:
        return self._fixed if self._fixed is not None else sys.stderr

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 -- the name is logging's
        # logging itself would print a traceback with the record's arguments, which are not redacted.
        error = sys.exc_info()[1]
        if isinstance(error, (OSError, ValueError)) and not isinstance(error, UnicodeError):
            return  # stderr is closed or full
        try:
            where = f"{record.name}:{record.lineno}"
            self.stream.write(f"can't write a log record of {where}: {type(error).__name__}\n")
        except (OSError, ValueError):
            return


def _timestamp(record: logging.LogRecord) -> str:
    """Return the time as `2026-11-23T20:51:41.869Z`."""
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _TextFormatter(logging.Formatter):
    """`TIME LEVEL message`, with the logger's name at debug and trace."""

    def __init__(self, level: int, redactor: Redactor) -> None:
        super().__init__()
        self._level = level
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.exc_info:
            message += f": {_exception(record.exc_info, self._level)}"
        if record.stack_info and self._level <= TRACE:
            message += f"\n{record.stack_info}"
        name = f"{record.name}: " if self._level <= logging.DEBUG else ""
        # Redacted first: once its line ends are escaped, a secret of several lines is not found.
        return f"{_timestamp(record)} {record.levelname:<7} {name}{printable(self._redactor(message))}"


def _json(level: int, redactor: Redactor) -> logging.Formatter:
    # Imported only if needed: it takes longer than this whole module.
    from pythonjsonlogger.json import JsonFormatter  # noqa: PLC0415

    class JsonLines(JsonFormatter):
        """One JSON object per record: timestamp, level, logger, message, and the fields of `extra`."""

        def formatException(self, ei: Any) -> str:  # noqa: N802 -- the name is logging's
            return _exception(ei, level)

        def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
            # Not on the finished line: in JSON a secret may be escaped.
            return {redactor(str(key)): _redacted(value, redactor) for key, value in log_data.items()}

        def add_fields(
            self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
        ) -> None:
            log_data["timestamp"] = _timestamp(record)
            super().add_fields(log_data, record, message_dict)

    names = {"levelname": "level", "name": "logger", "exc_info": "exception", "stack_info": "stack"}
    return JsonLines("%(levelname)s %(name)s %(message)s", rename_fields=names)


def _redacted(value: Any, redactor: Redactor) -> Any:
    match value:
        case None | bool() | int() | float():
            return value
        case dict():
            return {redactor(str(key)): _redacted(each, redactor) for key, each in value.items()}
        case list() | tuple():
            return [_redacted(each, redactor) for each in value]
        case _:
            return redactor(str(value))


def _exception(info: ExcInfo, level: int) -> str:
    """Return the traceback at trace, otherwise the type and message of the exception."""
    if level <= TRACE:
        return logging.Formatter().formatException(info)
    error = info[1]
    return f"{type(error).__name__}: {error}" if error is not None else "no exception"


def silence(*loggers: str) -> None:
    """
    Have libraries log nothing, also at trace.

    They write down what they were answered, which are secrets, before anybody can tell which. What is wrong they
    raise as well.
    """
    for name in loggers:
        logging.getLogger(name).setLevel(logging.CRITICAL)
