"""
The termination message of a pod: `kubectl describe pod`, `.status…terminated.message`.

Kubernetes reads at most 4096 bytes of the file named by `terminationMessagePath` (kubernetes.io, "Determine the
Reason for Pod Failure").
"""

from __future__ import annotations

import logging
import os
import stat
from typing import TYPE_CHECKING

from ocync.report import text

if TYPE_CHECKING:
    from pathlib import Path

    from ocync.report.summary import RunReport

LIMIT = 4096
_CUT = "\n[cut]\n"

log = logging.getLogger(__name__)


def summary(report: RunReport) -> str:
    """Return the report in a few lines, without the exit code, which Kubernetes keeps beside the message."""
    return fit(text.render(report, limits=text.Limits(moved=5, errors=3, names=2)))


def fit(message: str) -> str:
    """Return the message, cut after a whole character if it has more bytes than Kubernetes reads."""
    encoded = message.encode("utf-8", "replace")
    if len(encoded) <= LIMIT:
        return encoded.decode()
    return encoded[: LIMIT - len(_CUT)].decode("utf-8", "ignore") + _CUT


def write(path: Path, message: str) -> bool:
    """
    Write the message to an existing file; return whether that was possible. No error is raised.

    The file is not created: without it, this is not a container of Kubernetes.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "wb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return False
            file.truncate(0)
            file.write(fit(message).encode())
    except FileNotFoundError:
        return False
    except OSError as error:
        log.debug("no termination message: %s: %s", path, error.strerror)
        return False
    return True
