from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ocync.layout.files import storage_errors
from ocync.lib.errors import ErrorKind, StorageError


@pytest.mark.parametrize(
    ("number", "reason", "advice"),
    [
        pytest.param(errno.ENOSPC, "the disk is full", "free some space", id="ENOSPC"),
        pytest.param(errno.EDQUOT, "quota is used up", "free some space", id="EDQUOT"),
        pytest.param(errno.EACCES, "permission denied", f"user id {os.geteuid()} access", id="EACCES"),
        pytest.param(errno.EPERM, "permission denied", "fsGroup", id="EPERM"),
        pytest.param(errno.EROFS, "read-only", "writable volume", id="EROFS"),
        pytest.param(errno.EFBIG, "larger than allowed", "ulimit -f", id="EFBIG"),
        pytest.param(errno.EMFILE, "too many files", "ulimit -n", id="EMFILE"),
        pytest.param(errno.ENOTDIR, "a file, not a folder", "another folder", id="ENOTDIR"),
        pytest.param(errno.EIO, "input/output error", "look at the disk", id="EIO"),
    ],
)
def test_an_error_says_what_where_why_and_what_to_do(number: int, reason: str, advice: str) -> None:
    with pytest.raises(StorageError) as caught, storage_errors("write", Path("/mirror/x")):
        raise OSError(number, os.strerror(number))

    assert caught.value.message.startswith("can't write /mirror/x: ")
    assert reason in caught.value.message
    assert advice in (caught.value.hint or "")
    assert caught.value.kind is ErrorKind.STORAGE
    assert isinstance(caught.value.__cause__, OSError)


def test_an_unknown_error_is_told_in_the_words_of_the_system() -> None:
    with (
        pytest.raises(StorageError, match=r"^can't write /x: Stale file handle$"),
        storage_errors("write", Path("/x")),
    ):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))


def test_other_errors_pass_as_they_are() -> None:
    with pytest.raises(KeyError), storage_errors("write", Path("/x")):
        raise KeyError
