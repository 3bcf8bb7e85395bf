"""
One registry: requests with credentials, redirects, limits of time and number, and retries.

Nothing here knows what a blob or a manifest is. It speaks to the connections directly, so there are no cookies
(Harbor answers 403 to those who send them back: goharbor/harbor#12676), no netrc and no redirects but those
followed here.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import httpx

from ocync import __version__
from ocync.errors import AuthError, NetworkError, OcyncError, ProtocolError
from ocync.http.pool import Limits, Origin
from ocync.registry import links, problem
from ocync.registry.encoding import decoded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from ocync.auth.authorizer import Authorizer
    from ocync.auth.scope import Scope
    from ocync.config.model import Timeouts
    from ocync.http.message import Headers
    from ocync.http.pool import Pool, Response
    from ocync.oci.reference import Registry
    from ocync.registry.waiting import RetryPolicy
    from ocync.slots import Slots

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_REDIRECTS = 5
REQUEST_TIME = 300.0
"""Seconds that one attempt at a request with a small answer may take in all."""
MAX_TOKEN_BODY = 1024 * 1024
"""Bytes of a token service's answer that are read at most."""
# A stream that drips a byte a minute would never stand still; this is slower than any use is worth waiting for.
_SLOWEST = 32 * 1024
_FIELDS = (("User-Agent", f"ocync/{__version__}"), ("Accept-Encoding", "identity"))
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


def stream_time(size: int) -> float:
    """Seconds that one attempt at a stream of so many bytes may take in all."""
    return REQUEST_TIME + size / _SLOWEST


@dataclass(slots=True)
class RequestTally:
    """Counts what was asked of each host: by class of the answer (`2xx` … `5xx`, `none`), and the retries."""

    requests: dict[str, Counter[str]] = field(default_factory=dict)
    retries: int = 0

    def answered(self, host: str, status: int | None) -> None:
        """Count one request, with its status or None for no answer."""
        self.requests.setdefault(host, Counter())["none" if status is None else f"{status // 100}xx"] += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer: its body has been read."""

    status: int
    headers: Headers
    reason: str
    body: bytes
    url: str
    """The URL that answered, after redirects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """What one attempt asks for, wherever redirects lead."""

    method: str
    what: str
    scopes: frozenset[Scope]
    headers: Mapping[str, str]
    content: bytes | AsyncIterator[bytes] | None

    @property
    def is_replayable(self) -> bool:
        """Whether the body can be sent again: a stream can't."""
        return self.content is None or isinstance(self.content, bytes)


class RegistryClient:
    """Requests to one registry."""

    def __init__(
        self,
        *,
        registry: Registry,
        pool: Pool,
        slots: Slots,
        policy: RetryPolicy,
        timeouts: Timeouts,
        tally: RequestTally,
    ) -> None:
        self.registry = registry
        self.host = registry.host
        self.slots = slots
        self.policy = policy
        self._authorizer: Authorizer | None = None
        self._pool = pool
        self._tally = tally
        self._home = Origin(*links.origin(registry.api))
        self._limits = Limits(connect=timeouts.connect, idle=timeouts.idle)

    def authorize(self, authorizer: Authorizer) -> None:
        """Set who makes the credentials; without one, requests go out without any."""
        self._authorizer = authorizer

    async def send_to_token_service(self, request: httpx.Request) -> httpx.Response:
        """
        Send a request of the authorizer, with the retries of any other; the answer has been read.

        No credentials are added and no redirects followed. Raises NetworkError, and the errors of statuses that
        are worth another try until there is none.
        """
        what = f"ask {request.url.host} for a token"
        url = str(request.url)
        fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]
        async for attempt in self.policy.retrying():
            with attempt, _network_errors(what, self.host):
                async with asyncio.timeout(REQUEST_TIME):
                    response = await self._tallied(url, request.method, fields, await request.aread() or None)
                    try:
                        body = await self._read(response, MAX_TOKEN_BODY, strict=False, what=what)
                    finally:
                        response.close()
                if response.status == 429 or response.status >= 500:
                    raise self._problem(response, body, what=what)
                return httpx.Response(
                    response.status, headers=response.headers.items(), content=body, request=request
                )
        raise AssertionError("a retry loop ends by returning or raising")

    async def request(
        self,
        method: str,
        path: str,
        *,
        what: str,
        scopes: frozenset[Scope],
        expect: frozenset[int],
        read: Callable[[Answer], T],
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        limit: int = problem.MAX_BODY,
    ) -> T:
        """
        Ask until an expected answer comes or the policy gives up; `read` turns the answer into the result.

        `path` begins with `/v2/` or is a whole URL. What `read` raises counts as a failure of the attempt. Answers
        with a body longer than `limit` bytes are a ProtocolError.
        """
        async for attempt in self.policy.retrying():
            with attempt:
                async with self.slots.hold():
                    answer = await self.once(
                        method, path, what=what, scopes=scopes, headers=headers, content=content, limit=limit
                    )
                if answer.status not in expect:
                    raise self.refusal(answer, what=what)
                return read(answer)
        raise AssertionError("a retry loop ends by returning or raising")

    async def once(
        self,
        method: str,
        path: str,
        *,
        what: str,
        scopes: frozenset[Scope],
        headers: Mapping[str, str] | None = None,
        content: bytes | AsyncIterator[bytes] | None = None,
        limit: int = problem.MAX_BODY,
        seconds: float = REQUEST_TIME,
    ) -> Answer:
        """
        Make one attempt and read the whole answer, whatever its status.

        A caller that does not come from `request` holds a slot.
        """
        exchange = self.exchange(
            method, path, what=what, scopes=scopes, headers=headers, content=content, seconds=seconds
        )
        async with exchange as response:
            # The body of an error is shown, not used: what is cut off it is no loss.
            strict = response.status < 400
            body = await self._read(response, limit if strict else problem.MAX_BODY, strict=strict, what=what)
            return Answer(
                status=response.status,
                headers=response.headers,
                reason=response.reason,
                body=body,
                url=response.url,
            )

    @asynccontextmanager
    async def exchange(
        self,
        method: str,
        path: str,
        *,
        what: str,
        scopes: frozenset[Scope],
        headers: Mapping[str, str] | None = None,
        content: bytes | AsyncIterator[bytes] | None = None,
        seconds: float = REQUEST_TIME,
    ) -> AsyncIterator[Response]:
        """
        Make one attempt and give the response with its body unread.

        Redirects of GET and HEAD are followed; the Authorization goes to the registry's own scheme, host and port
        and nowhere else. A 401, and a 403 to a token that was not fresh, are answered once with new credentials.
        Errors of the transport and of time are raised as NetworkError, also those that come while the body is
        read inside of the context.
        """
        call = _Call(method=method, what=what, scopes=scopes, headers=headers or {}, content=content)
        with _network_errors(what, self.host):
            async with asyncio.timeout(seconds):
                response = await self._converse(call, self._absolute(path))
                try:
                    yield response
                finally:
                    response.close()

    async def _converse(self, call: _Call, url: str) -> Response:
        renewed: str | None = None
        elsewhere: str | None = None
        renewals, redirects = set[int](), 0
        while True:
            at_home = Origin(*links.origin(url)) == self._home
            used = renewed if at_home else elsewhere
            if at_home and used is None and self._authorizer is not None:
                used = await self._authorizer.header(call.scopes)
            response = await self._send(call, url, used)
            try:
                if response.status in (401, 403) and at_home and response.status not in renewals:
                    renewals.add(response.status)
                    renewed = await self._renew(response, url, call.scopes, used)
                    if renewed is not None:
                        response.close()
                        if not call.is_replayable:
                            raise self._sent_in_vain(call.what)
                        continue
                if response.status == 401 and not at_home and elsewhere is None and self._authorizer is not None:
                    # Front ends such as registry.k8s.io lead to hosts that want tokens of their own.
                    elsewhere = await self._authorizer.elsewhere(httpx.Headers(response.headers.items()), url)
                    if elsewhere is not None:
                        response.close()
                        continue
                if response.status in _REDIRECTS and call.method in ("GET", "HEAD"):
                    response.close()
                    redirects, elsewhere = redirects + 1, None
                    if redirects > MAX_REDIRECTS:
                        raise ProtocolError(f"can't {call.what}: {self.host} redirects in a circle", host=self.host)
                    url = links.resolve(response.headers.get("location"), url, what=call.what, host=self.host)
                    continue
            except BaseException:
                response.close()
                raise
            response.url = url
            return response

    async def _renew(self, response: Response, url: str, scopes: frozenset[Scope], used: str | None) -> str | None:
        if self._authorizer is None:
            return None
        if response.status == 401:
            return await self._authorizer.rejected(httpx.Headers(response.headers.items()), url, scopes, used)
        return await self._authorizer.forbidden(scopes, used)

    def _sent_in_vain(self, what: str) -> AuthError:
        error = AuthError(
            f"can't {what}: {self.host} wanted new credentials after the bytes were sent", host=self.host
        )
        error.retryable = True
        return error

    async def _send(self, call: _Call, url: str, authorization: str | None) -> Response:
        fields = [*_FIELDS, *call.headers.items()]
        if isinstance(call.content, bytes):
            fields.append(("Content-Length", str(len(call.content))))
        if authorization is not None:
            fields.append(("Authorization", authorization))
        response = await self._tallied(url, call.method, fields, call.content)
        log.log(5, "%s %s -> %d", call.method, url.partition("?")[0], response.status)
        return response

    async def _tallied(
        self, url: str, method: str, fields: list[tuple[str, str]], content: bytes | AsyncIterator[bytes] | None
    ) -> Response:
        origin = Origin(*links.origin(url))
        if not any(name.lower() == "host" for name, _ in fields):
            fields = [("Host", origin.authority), *fields]
        try:
            response = await self._pool.send(origin, method, links.target(url), fields, content, self._limits)
        except BaseException:
            self._tally.answered(self.host, None)
            raise
        self._tally.answered(self.host, response.status)
        return response

    def _absolute(self, path: str) -> str:
        return self.registry.api + path if path.startswith("/") else path

    async def _read(self, response: Response, limit: int, *, strict: bool, what: str) -> bytes:
        pieces = bytearray()
        async for piece in decoded(response, host=self.host):
            pieces += piece
            if len(pieces) > limit:
                if strict:
                    raise ProtocolError(
                        f"can't {what}: {self.host} answered with more than {limit} bytes", host=self.host
                    )
                break
        return bytes(pieces[:limit])

    async def body(self, response: Response, *, what: str) -> AsyncIterator[bytes]:
        """Give the pieces of a response's body as they are stored at the registry; raises NetworkError."""
        with _network_errors(what, self.host):
            async for piece in decoded(response, host=self.host):
                yield piece

    async def refusal_of(self, response: Response, *, what: str) -> OcyncError:
        """Read the body of an unexpected response and return the error that it is."""
        return self._problem(
            response, await self._read(response, problem.MAX_BODY, strict=False, what=what), what=what
        )

    def refusal(self, answer: Answer, *, what: str) -> OcyncError:
        """Return the error that an unexpected answer is."""
        return self._problem(answer, answer.body, what=what)

    def _problem(self, answer: Response | Answer, body: bytes, *, what: str) -> OcyncError:
        refusal = problem.Refusal(answer.status, answer.reason, answer.headers.get("retry-after"), body)
        return problem.from_answer(refusal, what=what, host=self.host, now=datetime.now(UTC))


class _network_errors:  # noqa: N801 -- used as a with statement, read as a verb
    """Turns errors of httpx, and of time, into NetworkError with what was tried."""

    def __init__(self, what: str, host: str) -> None:
        self._what = what
        self._host = host

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, httpx.TransportError):
            raise problem.from_transport(error, what=self._what, host=self._host) from error
        if isinstance(error, TimeoutError):
            raise NetworkError(f"can't {self._what}: {self._host} took too long", host=self._host) from error
        if isinstance(error, httpx.InvalidURL):
            raise ProtocolError(
                f"can't {self._what}: {self._host} points to no valid URL", host=self._host
            ) from error
