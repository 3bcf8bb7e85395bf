"""
One registry: requests with credentials, redirects, limits of time and number, and retries.

Nothing here knows what a blob or a manifest is. It speaks to the connections directly, so there are no cookies
(Harbor answers 403 to those who send them back: goharbor/harbor#12676), no netrc and no redirects but those
followed here.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

import httpx

from ocync.lib.errors import (
    NetworkError,
    NotSentError,
    OcyncError,
    ProtocolError,
    RateLimitedError,
    ThrottledError,
)
from ocync.oci import media
from ocync.oci.providers import settings_of
from ocync.registry import error_response
from ocync.registry.authenticated_sender import AuthenticatedSender
from ocync.registry.call import MAX_ERROR, Answer
from ocync.registry.content_encoding import decoded
from ocync.registry.error_response import translated
from ocync.registry.http.origin import Url
from ocync.registry.limits.kinds import Kind
from ocync.registry.pull_quota import PullQuota
from ocync.registry.ratelimit_headers import date, read_allowance, tells_allowance
from ocync.registry.retry import GIVE_UP_AFTER, STALL
from ocync.registry.sender import RequestTally, Sender
from ocync.registry.upload_strategy import UploadStrategy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from ocync.config.model import Timeouts
    from ocync.lib.errors import RegistryError
    from ocync.oci.reference import Registry
    from ocync.registry.auth.authorizer import Authorizer
    from ocync.registry.call import Call
    from ocync.registry.http.message import Headers
    from ocync.registry.http.pool import Pool, Response
    from ocync.registry.limits.host import Asked, HostLimits
    from ocync.registry.retry import RetryPolicy

T = TypeVar("T")

ANSWER_TIME = 60.0
"""Seconds after which a blob's bytes have to begin: what is in a cache of another registry is fetched first."""
_TOKEN_TIME = 25.0
"""Seconds that a token service has for its answer: several tries fit into those of the request that needs it."""
_PING_TIME, _PING_EVERY = 5.0, 1.5
# What has a limit of its own within a request is to fail before the request does, and say what it was.
_LAST = 1.0
MAX_TOKEN_BODY = 1024 * 1024
"""Bytes of a token service's answer that are read at most."""
# What is sent may come from a source that is as slow as `transfer/resumable_read.py` lets it be.
_SLOWEST = 16 * 1024
_STREAM_GRACE = 300.0

# Part of a window after which some of what was used is given back.
_FREE_AGAIN = 0.1
# Statuses that may ask for patience, as the body tells.
_MAYBE_REFUSED = frozenset({403, 429, 503})


def stream_time(size: int) -> float:
    """Seconds that one attempt at a stream of so many bytes may take in all."""
    return _STREAM_GRACE + size / _SLOWEST


def _tell(asked: Asked | None, error: RegistryError, *, counted: bool) -> None:
    # A token service's requests have no limits here: it is asked once for many.
    if asked is not None:
        asked.refused(error.retry_after, said=error.message, counted=counted)


def _read(answer: Answer, read: Callable[[Answer], T]) -> T:
    """Return what is read of an answer; an error goes on without what would keep the answer alive with it."""
    try:
        return read(answer)
    except OcyncError as error:
        error.__cause__ = error.__context__ = None
        failure = error.with_traceback(None)
    del answer
    raise failure


class RegistryClient:
    """Requests to one registry."""

    def __init__(
        self,
        *,
        registry: Registry,
        pool: Pool,
        limits: HostLimits,
        policy: RetryPolicy,
        timeouts: Timeouts,
        tally: RequestTally,
    ) -> None:
        self.registry = registry
        self.host = registry.host
        self.limits = limits
        self.slots = limits.slots
        self.policy = policy
        self.ignores_ranges = False
        """Whether the registry was seen to give no parts of blobs, or wrong ones."""
        self.upload_strategy = UploadStrategy(settings_of(registry.host), host=registry.host)
        self.quota = PullQuota(registry.host)
        self._sender = Sender(host=registry.host, pool=pool, timeouts=timeouts, tally=tally)
        self._authenticated = AuthenticatedSender(registry, self._sender)

    def authorize(self, authorizer: Authorizer) -> None:
        """Set who makes the credentials; without one, requests go out without any."""
        self._authenticated.authorizer = authorizer

    def url(self, path: str) -> Url:
        """Return the URL of a path, `/v2/…`, at the registry."""
        return self._authenticated.home.append(path)

    async def send_to_token_service(self, request: httpx.Request) -> httpx.Response:
        """
        Send a request of the authorizer once; the answer has been read.

        No credentials are added and no redirects followed. Raises NetworkError, and the errors of statuses that
        are worth another try (408, 429, 5xx): the request that the token is for is tried again then, and waits
        without a slot.
        """
        url = Url.parse(str(request.url))
        is_ping = url == self.url("/v2/")
        what = f"reach {self.host}" if is_ping else f"log in at {request.url.netloc.decode('ascii')}"
        fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]
        until = asyncio.get_running_loop().time() + _TOKEN_TIME
        with translated(what, self.host):
            content = await request.aread() or None
            response = await self._sender.send(url, request.method, fields, content, until=until)
            body = await self._read(response, MAX_TOKEN_BODY, what=what, until=until)
        if response.status in (408, 429) or response.status >= 500:
            raise self._problem(response, body, what=what)
        # The body is decoded already; and fields are bytes here, which httpx takes even where they are not ASCII.
        fields_of_answer = [
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in response.headers.items()
            if name != "content-encoding"
        ]
        return httpx.Response(response.status, headers=fields_of_answer, content=body, request=request)

    async def request(self, call: Call, read: Callable[[Answer], T]) -> T:
        """
        Ask until an expected answer comes or the policy gives up; `read` turns the answer into the result.

        What `read` raises counts as a failure of the attempt. An answer longer than the call's limit is a
        ProtocolError.
        """
        bucket = self.limits.bucket(call.kind)
        attempts = self.policy.retrying()
        async for attempt in attempts:
            with attempt:
                async with bucket.hold():
                    answer = await self.once(call, seconds=attempts.begin())
                try:
                    if answer.status not in call.expect:
                        raise self.refusal(answer)
                    return _read(answer, read)
                finally:
                    # An error that a pass keeps until its end keeps what stands here.
                    del answer
        raise AssertionError("a retry loop ends by returning or raising")

    async def once(self, call: Call, *, seconds: float = GIVE_UP_AFTER) -> Answer:
        """
        Make one attempt and read the whole answer, whatever its status.

        A caller that does not come from `request` holds a slot.
        """
        clock = asyncio.get_running_loop().time
        began = clock()
        until = began + seconds
        # Whoever sends a blob knows how long that stood still.
        bucket = self.limits.bucket(call.kind) if call.content is None or call.kind is not Kind.UPLOAD else None
        try:
            with translated(call.what, self.host):
                async with asyncio.timeout_at(until + _LAST):
                    response = await self._answered(call, until)
                    body = await self._read(response, call.limit, what=call.what, until=until)
        except NetworkError:
            if bucket is not None and clock() - began >= STALL:
                bucket.stood_still()
            raise
        if bucket is not None and call.kind is not Kind.UPLOAD:
            bucket.moved()
        assert response.url is not None
        return Answer(
            status=response.status,
            headers=response.headers,
            reason=response.reason,
            body=body,
            url=response.url,
            what=call.what,
            asked=response.note,
            seconds=clock() - began,
        )

    @asynccontextmanager
    async def exchange(self, call: Call) -> AsyncIterator[Response]:
        """
        Make one attempt to GET and give the response with its body unread, which has to begin within ANSWER_TIME.

        Errors of the transport and of time are raised as NetworkError, also those that come while the body is read
        inside of the context, which has no limit of its own but that nothing stands still.
        """
        until = asyncio.get_running_loop().time() + ANSWER_TIME
        with translated(call.what, self.host):
            async with asyncio.timeout_at(until + _LAST):
                response = await self._answered(call, until)
            self._sender.answered(response)
            try:
                yield response
            finally:
                response.close()

    async def _answered(self, call: Call, until: float) -> Response:
        """Make an attempt, and let the limits take note of what came of it."""
        bucket = self.limits.bucket(call.kind)
        if bucket.stands_still:
            raise NotSentError(
                f"can't {call.what}: several requests of this kind to {self.host} were waited for in vain, and "
                "this one was not sent",
                host=self.host,
            )
        if bucket.turns_away():
            raise ThrottledError(
                f"can't {call.what}: {self.host} has refused all requests of this kind, or asked for a pause, for "
                "longer than is waited, and gets few more until it takes one again",
                host=self.host,
            )
        asked = self.limits.asked(call.kind)
        response = await self._authenticated.send(call, until=until)
        response.note = asked
        if response.status not in _MAYBE_REFUSED:
            asked.answered(seconds=response.seconds)
            self._note_allowance(response.headers, asked)
        return response

    def _note_allowance(self, headers: Headers, asked: Asked) -> None:
        if not tells_allowance(headers):
            return
        allowance = read_allowance(headers, datetime.now(UTC).timestamp())
        if allowance is not None and allowance.renewed_in is not None:
            # Of a window whose end is not told, some are free again before long; the next answer tells.
            is_told = allowance.resets_in is not None
            asked.left(allowance.remaining, allowance.renewed_in * (1.0 if is_told else _FREE_AGAIN))

    async def _read(self, response: Response, limit: int, *, what: str, until: float) -> bytes:
        """Read the whole body of a success, or what there is of an error's, and close the response."""
        try:
            if response.status >= 400:
                return await self._sender.read_some(response, MAX_ERROR, until=until)
            return await self._sender.read(response, limit, what=what, until=until)
        finally:
            response.close()

    async def body(
        self, response: Response, *, what: str, is_as_stored: bool, is_packed: bool
    ) -> AsyncGenerator[bytes, None]:
        """
        Yield the pieces of a response's body as they are stored at the registry; raises NetworkError.

        `is_as_stored` and `is_packed` are as in `content_encoding.decoded`.
        """
        with translated(what, self.host):
            async for piece in decoded(response, host=self.host, is_as_stored=is_as_stored, is_packed=is_packed):
                yield piece

    async def answers(self, within: float) -> bool:
        """
        Wait for a host that is away: tell whether it gives any answer, whatever that is, within so many seconds.

        It is asked without credentials, every other second and beside all limits; a pass that is ending waits no
        longer. Raises nothing.
        """
        clock = asyncio.get_running_loop().time
        end = clock() + within
        while not self.policy.stopping() and (left := end - clock()) > 0:
            if await self._sender.ping(self.url("/v2/"), seconds=min(left, _PING_TIME)):
                for kind in Kind:
                    self.limits.bucket(kind).give_another_chance()
                return True
            await asyncio.sleep(min(max(end - clock(), 0.0), _PING_EVERY))
        return False

    async def refusal_of(self, response: Response, *, what: str) -> OcyncError:
        """Read the body of an unexpected response and return the error that it is."""
        until = asyncio.get_running_loop().time() + _TOKEN_TIME
        body = await self._sender.read_some(response, MAX_ERROR, until=until)
        return self._problem(response, body, what=what)

    def refusal(self, answer: Answer) -> OcyncError:
        """Return the error that an unexpected answer is."""
        return self._problem(answer, answer.body, what=answer.what)

    def refuse_page(self, answer: Answer, *, wanted: bool = False) -> None:
        """
        Raise ProtocolError where a success is a page for people: who sent it is no registry.

        `wanted` says that a document in JSON was asked for: those have the type of a page here and there.
        """
        if media.is_markup(answer.body) if wanted else answer.is_page:
            raise ProtocolError.of_page(self.host, answer.status, what=answer.what)

    def redirected_to(self, answer: Answer) -> str | None:
        """Return the host that has answered, where the registry had redirected to another one."""
        return self._authenticated.redirected_to(answer.url)

    def _problem(self, answer: Response | Answer, body: bytes, *, what: str) -> OcyncError:
        refusal = error_response.Refusal(
            answer.status,
            answer.reason,
            answer.headers.get("retry-after"),
            self._authenticated.without_credentials(body),
            self._authenticated.redirected_to(answer.url),
            read_allowance(answer.headers, datetime.now(UTC).timestamp()),
        )
        # By the registry's clock, which its dates are told by: ours may be wrong, or have jumped.
        now = date(answer.headers.get("date")) or datetime.now(UTC)
        error = error_response.from_answer(refusal, what=what, host=self.host, now=now)
        asked = answer.asked if isinstance(answer, Answer) else answer.note
        if isinstance(error, RateLimitedError):
            _tell(asked, error, counted=True)
        elif answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
            _tell(asked, error, counted=error.retry_after is not None)
        return error
