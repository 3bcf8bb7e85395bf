"""Credential helpers: `docker-credential-NAME get` (docker-credential-helpers, README.md)."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocync.lib.errors import AuthError
from ocync.lib.redaction import excerpt
from ocync.registry.auth.docker_config import from_user

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ocync.registry.auth.credential import Credential

TIME_LIMIT = 30.0
"""Seconds that a helper may take: one that waits for a person in a browser can't be waited for."""
MAX_OUTPUT = 1024 * 1024
# What helpers print, with exit code 1, when they hold nothing (docker-credential-helpers, credentials/error.go).
_NOT_FOUND = "credentials not found"


class HelperMissingError(AuthError):
    """The helper is not installed."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    code: int
    out: bytes
    err: bytes


async def ask(
    name: str, server: str, *, environ: Mapping[str, str], origin: str, limit: float = TIME_LIMIT
) -> Credential | None:
    """
    Return the helper's credential for a server; None when it has none.

    The server is written to its standard input, so that the list of processes does not show it. Raises
    HelperMissingError, and AuthError for a helper that fails or prints nonsense; both name it by `origin`.
    """
    program = f"docker-credential-{name}"
    path = shutil.which(program, path=environ.get("PATH", os.defpath))
    if path is None:
        raise HelperMissingError(
            f"{origin}: {program} is not installed (not found in PATH)",
            hint="install it, or put a user name and password into the docker config or the registry's credentials",
        )
    try:
        async with asyncio.timeout(limit):
            outcome = await _run(path, server, environ)
    except TimeoutError:
        raise AuthError(
            f"{origin}: {program} did not answer within {limit:g} s and was ended",
            hint="it may be waiting for a person; run it by hand, or use credentials that need nobody",
        ) from None
    except OSError as error:
        raise AuthError(f"{origin}: can't run {path}: {error.strerror or error}") from error
    return _read(outcome, program, origin)


def _read(outcome: _Outcome, program: str, origin: str) -> Credential | None:
    if len(outcome.out) > MAX_OUTPUT or len(outcome.err) > MAX_OUTPUT:
        raise AuthError(f"{origin}: {program} printed more than {MAX_OUTPUT} bytes and was ended")
    if outcome.code != 0:
        said = (outcome.out + b" " + outcome.err).decode("utf-8", "replace")
        if _NOT_FOUND in said.lower():
            return None
        how = f"exit code {outcome.code}" if outcome.code > 0 else f"signal {-outcome.code}"
        raise AuthError(f"{origin}: {program} failed with {how}: {excerpt(said)}".removesuffix(": "))
    try:
        answer = json.loads(outcome.out)
    except (ValueError, RecursionError):
        # The cause is left out: it holds the document.
        raise AuthError(f"{origin}: {program} printed no valid JSON") from None
    username, secret = _fields(answer)
    if not username and not secret:
        return None
    if not username or not secret:
        raise AuthError(f"{origin}: {program} gave no {'Secret' if username else 'Username'}")
    return from_user(username, secret, origin)


def _fields(answer: object) -> tuple[str, str]:
    fields = {str(key).lower(): value for key, value in answer.items()} if isinstance(answer, dict) else {}
    username, secret = fields.get("username"), fields.get("secret")
    return username if isinstance(username, str) else "", secret if isinstance(secret, str) else ""


async def _run(path: str, server: str, environ: Mapping[str, str]) -> _Outcome:
    """Run the helper to its end; when cancelled, it and all that it has started are killed."""
    # Own pipes: those of asyncio's subprocesses stay open as long as a remaining child holds them.
    async with _Reading() as out, _Reading() as err:
        stdin, feed = os.pipe()
        try:
            # A server's name fits into a pipe's buffer, so this does not block.
            os.write(feed, server.encode()[:4096])
        finally:
            os.close(feed)
        try:
            process = await asyncio.create_subprocess_exec(
                path, "get", stdin=stdin, stdout=out.end, stderr=err.end, env=dict(environ), start_new_session=True
            )
        finally:
            os.close(stdin)
            out.close_end()
            err.close_end()

        def kill() -> None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

        try:
            async with asyncio.TaskGroup() as group:
                texts = [group.create_task(each.read(MAX_OUTPUT, too_much=kill)) for each in (out, err)]
                code = await process.wait()
        except BaseException:
            # All that it has started is in its group, and may hold the pipes when the helper itself has ended.
            kill()
            await process.wait()
            raise
        return _Outcome(code, texts[0].result(), texts[1].result())


class _Reading:
    """The reading end of a pipe; `end` is the other one, for a child."""

    def __init__(self) -> None:
        self._own, self.end = os.pipe()
        self._reader = asyncio.StreamReader()
        self._transport: asyncio.BaseTransport | None = None

    async def __aenter__(self) -> _Reading:
        protocol = asyncio.StreamReaderProtocol(self._reader)
        pipe = os.fdopen(self._own, "rb", buffering=0)
        try:
            self._transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
        except BaseException:
            pipe.close()
            self.close_end()
            raise
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self.close_end()
        if self._transport is not None:
            self._transport.close()

    def close_end(self) -> None:
        """Close the child's end on our side, so that the pipe ends when the child does."""
        if self.end >= 0:
            os.close(self.end)
            self.end = -1

    async def read(self, limit: int, *, too_much: Callable[[], None]) -> bytes:
        """Return the bytes up to the end of the pipe; beyond the limit, call `too_much` and drop the rest."""
        pieces = bytearray()
        while piece := await self._reader.read(64 * 1024):
            if len(pieces) <= limit:
                pieces += piece
                if len(pieces) > limit:
                    too_much()
        return bytes(pieces[: limit + 1])
