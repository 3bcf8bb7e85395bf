"""
One registry: requests with credentials, redirects, limits of time and number, and retries.

Nothing here knows what a blob or a manifest is. It speaks to the transport directly, so there are no cookies
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
from urllib.parse import quote, urlsplit

import httpx

from ocync import __version__
from ocync.errors import AuthError, NetworkError, OcyncError, ProtocolError
from ocync.registry import links, problem
from ocync.registry.encoding import decoded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from ocync.auth.authorizer import Authorizer
    from ocync.auth.scope import Scope
    from ocync.config.model import Timeouts
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
_HEADERS = {"User-Agent": f"ocync/{__version__}", "Accept-Encoding": "identity"}


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
    headers: httpx.Headers
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


class RegistryClient:
    """Requests to one registry."""

    def __init__(
        self,
        *,
        registry: Registry,
        transport: httpx.AsyncBaseTransport,
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
        self._transport = transport
        self._tally = tally
        self._home = links.origin(registry.api)
        # `read` is the time until the next byte, so it is the limit on standing still in either direction.
        self._timeout = {
            "connect": timeouts.connect,
            "read": timeouts.idle,
            "write": timeouts.idle,
            "pool": timeouts.idle,
        }

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
        request.extensions = {"timeout": self._timeout}
        async for attempt in self.policy.retrying():
            with attempt, _network_errors(what, self.host):
                async with asyncio.timeout(REQUEST_TIME):
                    response = await self._tallied(request)
                    try:
                        body = await self._read(response, MAX_TOKEN_BODY, strict=False, what=what)
                    finally:
                        await response.aclose()
                if response.status_code == 429 or response.status_code >= 500:
                    raise problem.from_response(response, body, what=what, host=self.host, now=datetime.now(UTC))
                return httpx.Response(response.status_code, headers=response.headers, content=body, request=request)
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
            strict = response.status_code < 400
            body = await self._read(response, limit if strict else problem.MAX_BODY, strict=strict, what=what)
            return Answer(
                status=response.status_code,
                headers=response.headers,
                body=body,
                url=response.extensions["ocync.url"],
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
    ) -> AsyncIterator[httpx.Response]:
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
                    await response.aclose()

    async def _converse(self, call: _Call, url: str) -> httpx.Response:
        replayable = call.content is None or isinstance(call.content, bytes)
        renewed: str | None = None
        renewals, redirects = set[int](), 0
        while True:
            at_home = links.origin(url) == self._home
            used = renewed if at_home else None
            if at_home and used is None and self._authorizer is not None:
                used = await self._authorizer.header(call.scopes)
            response = await self._send(call, url, used)
            status = response.status_code
            if status in (401, 403) and at_home and status not in renewals:
                renewals.add(status)
                try:
                    renewed = await self._renew(response, url, call.scopes, used)
                except BaseException:
                    await response.aclose()
                    raise
                if renewed is not None:
                    await response.aclose()
                    if not replayable:
                        raise self._sent_in_vain(call.what)
                    continue
            if status in (301, 302, 303, 307, 308) and call.method in ("GET", "HEAD"):
                await response.aclose()
                redirects += 1
                if redirects > MAX_REDIRECTS:
                    raise ProtocolError(f"can't {call.what}: {self.host} redirects in a circle", host=self.host)
                url = links.resolve(response.headers.get("location"), url, what=call.what, host=self.host)
                continue
            response.extensions["ocync.url"] = url
            return response

    async def _renew(
        self, response: httpx.Response, url: str, scopes: frozenset[Scope], used: str | None
    ) -> str | None:
        if self._authorizer is None:
            return None
        if response.status_code == 401:
            return await self._authorizer.rejected(response.headers, url, scopes, used)
        return await self._authorizer.forbidden(scopes, used)

    def _sent_in_vain(self, what: str) -> AuthError:
        error = AuthError(
            f"can't {what}: {self.host} wanted new credentials after the bytes were sent", host=self.host
        )
        error.retryable = True
        return error

    async def _send(self, call: _Call, url: str, authorization: str | None) -> httpx.Response:
        headers = {**_HEADERS, **call.headers}
        if authorization is not None:
            headers["Authorization"] = authorization
        request = httpx.Request(
            call.method,
            url,
            headers=headers,
            content=call.content,
            # The target goes out as it came in: signed queries do not survive being encoded anew.
            extensions={"timeout": self._timeout, "target": _target(url)},
        )
        response = await self._tallied(request)
        shown = request.url.copy_with(query=None)
        log.log(5, "%s %s -> %s", call.method, shown, response.status_code)
        return response

    async def _tallied(self, request: httpx.Request) -> httpx.Response:
        try:
            response = await self._transport.handle_async_request(request)
        except BaseException:
            self._tally.answered(self.host, None)
            raise
        self._tally.answered(self.host, response.status_code)
        response.request = request
        return response

    def _absolute(self, path: str) -> str:
        return self.registry.api + path if path.startswith("/") else path

    async def _read(self, response: httpx.Response, limit: int, *, strict: bool, what: str) -> bytes:
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

    async def body(self, response: httpx.Response, *, what: str) -> AsyncIterator[bytes]:
        """Give the pieces of a response's body as they are stored at the registry; raises NetworkError."""
        with _network_errors(what, self.host):
            async for piece in decoded(response, host=self.host):
                yield piece

    async def refusal_of(self, response: httpx.Response, *, what: str) -> OcyncError:
        """Read the body of an unexpected response and return the error that it is."""
        body = await self._read(response, problem.MAX_BODY, strict=False, what=what)
        return problem.from_response(response, body, what=what, host=self.host, now=datetime.now(UTC))

    def refusal(self, answer: Answer, *, what: str) -> OcyncError:
        """Return the error that an unexpected answer is."""
        response = httpx.Response(answer.status, headers=answer.headers)
        return problem.from_response(response, answer.body, what=what, host=self.host, now=datetime.now(UTC))


def _target(url: str) -> bytes:
    parts = urlsplit(url)
    text = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    # Only what can't stand in a request line at all is encoded.
    return quote(text, safe="!\"#$%&'()*+,/:;<=>?@[\\]^_`{|}~-.").encode("ascii")


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
