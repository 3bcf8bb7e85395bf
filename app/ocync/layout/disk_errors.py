"""From what the operating system says about a file to an error of ours."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ocync.lib.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SPACE = "free some space there, or use another folder"
_ACCESS = "give user id {uid} access to it (in Kubernetes: securityContext.fsGroup), or use another folder"

# What happened, and what to do about it.
_KNOWN: dict[int, tuple[str, str | None]] = {
    errno.ENOSPC: ("the disk is full", _SPACE),
    errno.EDQUOT: ("the disk quota is used up", _SPACE),
    errno.EFBIG: (
        "the file would be larger than allowed",
        "raise the limit (ulimit -f), or use a filesystem that takes large files",
    ),
    errno.EROFS: ("the filesystem is read-only", "mount a writable volume there, or use another folder"),
    errno.EACCES: ("permission denied", _ACCESS),
    errno.EPERM: ("permission denied", _ACCESS),
    errno.ENOTDIR: ("a part of this path is a file, not a folder", "use another folder"),
    errno.EEXIST: ("a file is where a folder should be", "use another folder"),
    errno.EISDIR: ("it is a folder where a file should be", "remove it, or use another folder"),
    errno.ENAMETOOLONG: ("the path is too long for the filesystem", "use another folder"),
    errno.ELOOP: ("its symbolic links lead in a circle", "remove them"),
    errno.EMFILE: ("too many files are open", "raise the limit (ulimit -n)"),
    errno.EIO: ("the disk does not work (input/output error)", "look at the disk, or use another folder"),
}


def storage_error(action: str, path: Path | str, error: OSError) -> StorageError:
    """Make the error that says what could not be done (`action` is an infinitive), where, why, and what to do."""
    reason, hint = _KNOWN.get(error.errno or 0, (error.strerror or type(error).__name__, None))
    if hint is not None:
        hint = hint.format(uid=os.geteuid())
    return StorageError(f"can't {action} {path}: {reason}", hint=hint)


@contextmanager
def told(action: str, path: Path | str) -> Iterator[None]:
    """Raise an OSError of the block again as the StorageError that `storage_error` makes."""
    try:
        yield
    except OSError as error:
        raise storage_error(action, path, error) from error
