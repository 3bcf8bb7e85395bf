"""A second origin, as object stores are: short-lived signed URLs, and no use for a registry's credentials."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from scripted.blobs import ranged
from scripted.problem import RefusedError
from scripted.record import Record, Recorded
from scripted.rules import Rules
from scripted.server import Server
from scripted.wire import Headers, respond

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

    from scripted.content import Content
    from scripted.rules import Action
    from scripted.wire import Request, Response


class BlobStore:
    """
    Serves what registries redirect to it.

        async with BlobStore(lifetime=60) as store, ScriptedRegistry() as registry:
            registry.on("GET", r"/blobs/sha256:", respond=store.redirect())

    Leaving the context fails where a request had an Authorization, or was for what was never signed.
    """

    def __init__(
        self, *, lifetime: float = 60, tls: ssl.SSLContext | None = None, bind: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.lifetime = lifetime
        """Seconds that a signed URL is good for."""
        self.requests = Record()
        self.rules = Rules()
        self.on = self.rules.on
        self.count = self.requests.count
        self.violations: list[str] = []
        """Requests that a client of an object store must not make."""
        self._bind, self._port = bind, port
        self._objects: dict[str, Content] = {}
        self._secret = secrets.token_bytes(32)
        self._server = Server(self._handle, name="store", record=self.requests, tls=tls)

    @property
    def host(self) -> str:
        """`127.0.0.1:port`"""
        return self._server.address

    @property
    def url(self) -> str:
        """`http://127.0.0.1:port`"""
        return self._server.url

    def redirect(self, status: int = 307) -> Action:
        """Return an action that redirects what a registry would have served to a signed URL here."""

        async def action(request: Request, proceed: Callable[[], Awaitable[Response]]) -> Response:
            response = await proceed()
            if response.status not in (200, 206):
                return response
            key = response.headers.get("docker-content-digest") or request.path
            return respond(status, headers=[("Location", self.url_for(key, response.body, method=request.method))])

        return action

    def url_for(self, key: str, content: Content, *, method: str = "GET") -> str:
        """Return a URL that gives the content to this method for `lifetime` seconds."""
        self._objects[key] = content
        expires = f"{time.time() + self.lifetime:.3f}"
        mark = self._sign(method, key, expires)
        # The characters are such that a client which encodes a query anew breaks the signature.
        return f"{self.url}/bucket/{quote(key, safe=':/')}?X-Expires={expires}&X-Sig={mark}%2b+/==&X-Id=~a%20b"

    async def start(self) -> None:
        """Listen."""
        await self._server.start(self._bind, self._port)

    async def stop(self) -> None:
        """Close everything."""
        await self._server.stop()

    def check(self) -> None:
        """Raise what went wrong, in the script or at the client."""
        if self._server.errors:
            raise self._server.errors[0]
        if self.violations:
            raise AssertionError("; ".join(self.violations))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await self.stop()
        if kind is None:
            self.check()

    def _sign(self, method: str, key: str, expires: str) -> str:
        return hmac.new(self._secret, f"{method} {key} {expires}".encode(), hashlib.sha256).hexdigest()

    async def _handle(self, request: Request, recorded: Recorded) -> Response:
        async def proceed() -> Response:
            return self._answer(request)

        if recorded.scheme is not None:
            self.violations.append(
                f"{request.method} {request.path} came with an Authorization ({recorded.scheme})"
            )
            return _error(400, "InvalidArgument", "Only one auth mechanism allowed")
        return await self.rules.apply(request, proceed, authorized=False, met=recorded.rules)

    def _answer(self, request: Request) -> Response:
        key = request.path.removeprefix("/bucket/")
        match = re.fullmatch(r"X-Expires=([0-9.]+)&X-Sig=([0-9a-f]+)%2b\+/==&X-Id=~a%20b", request.raw_query)
        if match is None or match[2] != self._sign(request.method, key, match[1]):
            if request.method != "HEAD":
                self.violations.append(f"{request.method} {request.target} is not as it was signed")
            return _error(403, "SignatureDoesNotMatch", "The signature does not match")
        if float(match[1]) < time.time():
            return _error(403, "AccessDenied", "Request has expired")
        try:
            return ranged(request, self._objects[key], Headers())
        except RefusedError as refused:
            return refused.response


def _error(status: int, code: str, message: str) -> Response:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return respond(status, body.encode(), [("Content-Type", "application/xml")])
