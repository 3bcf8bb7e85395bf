"""Metrics in a file, as node_exporter's textfile collector reads them."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ocync.lib.errors import StorageError
from ocync.report import metrics

if TYPE_CHECKING:
    from ocync.report.summary import RunReport

_LARGEST = 4 * 1024 * 1024


def write(path: Path, report: RunReport, *, interval: float | None = None) -> None:
    """
    Replace the file by the metrics of a pass, so that a reader finds the old file or the new one, whole.

    After a pass that did not succeed the time of the last success is kept from the old file: nothing else
    remembers it. Raises StorageError.
    """
    last_success = None if report.succeeded else last_success_in(path)
    payload = metrics.render(report, interval=interval, last_success=last_success)
    # Where the file is a link, the file behind it is replaced.
    place = Path(os.path.realpath(path))
    try:
        _replace(place, payload)
    except OSError as error:
        raise StorageError(
            f"can't write metrics to {path}: {error.strerror or error}",
            hint="metrics.textfile has to be in a folder that exists and may be written to",
        ) from error


def last_success_in(path: Path) -> float | None:
    """Return when a pass last succeeded by what the file says; None where it says nothing that can be used."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST).decode("utf-8", "replace")
    except OSError:
        return None
    match = re.search(rf"^{metrics.LAST_SUCCESS}\s+([0-9.eE+]+)\s*$", content, re.MULTILINE)
    try:
        return float(match.group(1)) if match else None
    except ValueError:
        return None


def _replace(place: Path, payload: bytes) -> None:
    # The collector reads what ends in .prom: this name does not.
    descriptor, name = tempfile.mkstemp(prefix=f".{place.name}.", suffix=".tmp", dir=place.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(payload)
            file.flush()
            # node_exporter runs as somebody else.
            os.fchmod(descriptor, 0o644)
            os.fsync(descriptor)
        Path(name).replace(place)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
