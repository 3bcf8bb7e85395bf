"""Single requests on the connections of a pool: counted, limited, answers read within bounds."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, defaultdict
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import httpx

from ocync import USER_AGENT
from ocync.lib.errors import OcyncError, ProtocolError
from ocync.registry.circuit_breaker import CircuitBreaker
from ocync.registry.content_encoding import decoded
from ocync.registry.error_response import clean
from ocync.registry.headers import content_length, warnings
from ocync.registry.http.pool import ConnectionLimits, Origin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ocync.config.model import Timeouts
    from ocync.registry.http.origin import Url
    from ocync.registry.http.pool import Pool, Response

log = logging.getLogger(__name__)

_FIELDS = (("User-Agent", USER_AGENT), ("Accept-Encoding", "identity"))
_MAX_DISCARDED = 64 * 1024
# Bodies of more bytes than this are read a few at a time, for fifty of the largest would fill the memory.
_LARGE, _LARGE_AT_ONCE = 1024 * 1024, 2
# Warnings of one registry that are told; what more there is would only fill the log.
_MAX_WARNINGS = 20


@dataclass(slots=True)
class RequestTally:
    """Counts what was asked of each host: by class of the answer (`2xx` … `5xx`, `none`), and the retries."""

    requests: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    retries: int = 0

    def answered(self, host: str, status: int | None) -> None:
        """Count one request, with its status or None for no answer."""
        self.requests[host]["none" if status is None else f"{status // 100}xx"] += 1


class Sender:
    """Sends requests on behalf of one registry, to its own origin and to those it leads to."""

    def __init__(self, *, host: str, pool: Pool, timeouts: Timeouts, tally: RequestTally) -> None:
        self._host = host
        self._pool = pool
        self._limits = ConnectionLimits(connect=timeouts.connect, idle=timeouts.idle)
        self._tally = tally
        self._large = asyncio.Semaphore(_LARGE_AT_ONCE)
        self._warned: set[str] = set()
        self._breakers: dict[Origin, CircuitBreaker] = {}

    async def send(
        self,
        url: Url,
        method: str,
        fields: list[tuple[str, str]],
        content: bytes | AsyncIterator[bytes] | None,
        *,
        until: float,
        patience: float = 0.0,
        is_timed: bool = False,
    ) -> Response:
        """
        Send one request and return its answer with the body unread; the head has to come `until` then.

        Raises errors of httpx, and UnreachableError for a host that has given no answer for long. Whoever reads the
        body (`read`, `read_some`, `discard`), or says that its head is `answered` enough, lets the host count as
        alive: one that never comes to an end is no better than none.
        """
        origin = url.origin
        own = [("Host", origin.authority), *_FIELDS]
        given = {name.lower() for name, _ in fields}
        fields = [*(field for field in own if field[0].lower() not in given), *fields]
        limits = replace(self._limits, patience=patience) if patience else self._limits
        breaker, probes, began = self._breakers.get(origin), False, time.monotonic()
        # A stream is let through: its outcome may be long in coming, and whoever opened it has had an answer.
        if breaker is not None and (content is None or isinstance(content, bytes)):
            probes = await breaker.admit(origin.authority)
        try:
            async with _in_time(until, "no answer came"):
                response = await self._pool.send(origin, method, url.target, fields, content, limits)
        except BaseException as error:
            self._tally.answered(self._host, None)
            if breaker is not None and probes:
                breaker.probed()
            if isinstance(error, httpx.TransportError) and not isinstance(error, httpx.LocalProtocolError):
                self._unanswered(origin, error, began)
            raise
        if breaker is not None and probes:
            response.when_closed = breaker.probed
        self._tally.answered(self._host, response.status)
        if is_timed:
            response.seconds = time.monotonic() - began
        if log.isEnabledFor(5):
            log.log(5, "%s %s -> %d", method, url.text.partition("?")[0], response.status)
        self._tell_warnings(response)
        return response

    async def ping(self, url: Url, *, seconds: float) -> bool:
        """Return whether a host answers within so many seconds, even where it is taken for dead."""
        origin = url.origin
        until = asyncio.get_running_loop().time() + seconds
        fields = [("Host", origin.authority), *_FIELDS]
        try:
            async with _in_time(until, "no answer came"):
                response = await self._pool.send(origin, "GET", url.target, fields, None, self._limits)
        except httpx.TransportError as error:
            self._tally.answered(self._host, None)
            log.debug("%s: %s", origin.authority, error)
            return False
        self._tally.answered(self._host, response.status)
        self.answered(response)
        response.close()
        return True

    async def wait_for(self, origin: Origin) -> None:
        """Wait a moment where a host has given no answer for long; raises UnreachableError if it still does not."""
        if self._breakers and (breaker := self._breakers.get(origin)) is not None:
            await breaker.wait(origin.authority)

    def _unanswered(self, origin: Origin, error: httpx.TransportError, began: float) -> None:
        breaker = self._breakers.setdefault(origin, CircuitBreaker(began))
        breaker.failed(clean(str(error)) or type(error).__name__)
        if breaker.is_long():
            # Said also to those who only wait for this request: who may come after it need not wait as long.
            raise breaker.error(origin.authority) from error

    def answered(self, response: Response) -> None:
        """Say that as much of an answer has come as was asked for: its host is alive."""
        breaker = self._breakers.pop(response.origin, None) if self._breakers else None
        if breaker is not None:
            breaker.end()

    def _tell_warnings(self, response: Response) -> None:
        """Tell people what the registry wants them to know, each text once."""
        for text in warnings(response.headers.get_list("warning")):
            if text not in self._warned and len(self._warned) < _MAX_WARNINGS:
                self._warned.add(text)
                log.warning("%s says: %s", self._host, clean(text))

    async def read(self, response: Response, limit: int, *, what: str, until: float) -> bytes:
        """
        Read a body of at most `limit` bytes, which has to be whole `until` then.

        A longer one is a ProtocolError. Raises errors of httpx too, and UnreachableError.
        """
        pieces = bytearray()
        try:
            await self._gather(response, pieces, limit, until)
            if len(pieces) > limit:
                raise ProtocolError(
                    f"can't {what}: {self._host} answered with more than {limit} bytes", host=self._host
                )
            return bytes(pieces)
        finally:
            # An error keeps what stands here.
            pieces.clear()

    async def read_some(self, response: Response, limit: int, *, until: float) -> bytes:
        """Read what can be had of an error's body: its status stands, whatever becomes of the body."""
        pieces = bytearray()
        with suppress(httpx.TransportError, OcyncError):
            await self._gather(response, pieces, limit, until)
        return bytes(pieces[:limit])

    async def discard(self, response: Response, *, until: float) -> None:
        """Read the little that a redirect or a challenge says, so that the connection can be used again."""
        length = content_length(response.headers)
        if length is not None and length <= _MAX_DISCARDED:
            await self.read_some(response, _MAX_DISCARDED, until=until)
        else:
            self.answered(response)
        response.close()

    async def _gather(self, response: Response, pieces: bytearray, limit: int, until: float) -> None:
        """Add a body to the pieces until it ends, or they are more than `limit` bytes."""
        began = time.monotonic()
        try:
            async with _in_time(until, "the answer did not end"), AsyncExitStack() as turn:
                is_large = False
                async for piece in decoded(response, host=self._host):
                    pieces += piece
                    if len(pieces) > limit:
                        break
                    if len(pieces) > _LARGE and not is_large:
                        is_large = True
                        await turn.enter_async_context(self._large)
        except httpx.TransportError as error:
            self._unanswered(response.origin, error, began)
            raise
        self.answered(response)


@asynccontextmanager
async def _in_time(until: float, what: str) -> AsyncIterator[None]:
    """Raise ReadTimeout where it is not done `until` then, by the loop's clock."""
    seconds = until - asyncio.get_running_loop().time()
    limit = asyncio.timeout_at(until)
    try:
        async with limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise httpx.ReadTimeout(f"{what} within {max(seconds, 0.0):.3g} s") from error
