"""Small files with secrets in them: read whole, bounded, away from the event loop."""

from __future__ import annotations

import asyncio
import os
import stat
from typing import TYPE_CHECKING

from ocync.lib.errors import AuthError, StorageError

if TYPE_CHECKING:
    from pathlib import Path

    from ocync.config.model import Secret

MAX_SECRET = 64 * 1024


def read_bounded(path: Path, limit: int) -> bytes:
    """Return a file's content; raises OSError, also for a file that is not regular or larger than the limit."""
    # Without O_NONBLOCK, opening a FIFO waits for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("it is not a file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(limit + 1)
    finally:
        os.close(descriptor)
    if len(content) > limit:
        raise OSError(f"it is larger than {limit} bytes")
    return content


def why(error: OSError) -> str:
    """Return the reason of an OSError without its path, which messages show themselves."""
    return error.strerror or str(error)


async def reveal(secret: Secret) -> str:
    """
    Return a secret's value, from its file if it has one, without the final line end that editors add.

    Raises StorageError for a file that can't be read, AuthError for an empty one.
    """
    if secret.file is None:
        value = secret.value or ""
    else:
        try:
            content = await asyncio.to_thread(read_bounded, secret.file, MAX_SECRET)
            value = content.decode().removesuffix("\n").removesuffix("\r")
        except OSError as error:
            raise StorageError(f"can't read {described(secret)}: {why(error)}") from error
        except UnicodeDecodeError:
            # The cause is left out: it holds the bytes.
            raise StorageError(f"can't read {described(secret)}: it is not UTF-8") from None
    if not value:
        raise AuthError(f"{described(secret)} is empty")
    return value


def described(secret: Secret) -> str:
    """Return where a secret comes from, as messages name it."""
    if secret.file is None:
        return secret.origin or "the configured secret"
    return f"{secret.origin} ({secret.file})" if secret.origin else str(secret.file)
