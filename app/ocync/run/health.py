"""
The endpoints of `ocync watch`: `/healthz` for liveness, `/readyz` for readiness, `/metrics` for Prometheus.

The server is our own: three small pages for a kubelet and a scraper need no framework. The size, the time and the
number of requests are bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from ocync.lib.errors import ConfigError
from ocync.report import metrics

if TYPE_CHECKING:
    from ocync.report.summary import RunReport

_HEAD = 8 * 1024
"""The most bytes of a request that are read."""
_SECONDS = 5.0
"""How long a connection may last."""
_CONNECTIONS = 64
"""The most connections at once; others are closed without an answer."""
_TEXT = "text/plain; charset=utf-8"


class HealthState:
    """The state that the endpoints show; the loop of passes calls `finished` after each pass."""

    def __init__(self, *, interval: float | None = None) -> None:
        self._interval = interval
        self._last_success: float | None = None
        self._metrics = metrics.render(None, interval=interval)

    def __repr__(self) -> str:
        return f"<HealthState {'ready' if self.is_ready else 'not ready'}>"

    @property
    def is_ready(self) -> bool:
        """Whether any pass has succeeded since the process began."""
        return self._last_success is not None

    @property
    def metrics(self) -> bytes:
        """The metrics of the last pass, in the text format."""
        return self._metrics

    def finished(self, report: RunReport) -> None:
        """Record the report of a pass that has ended."""
        if report.succeeded:
            self._last_success = report.ended_at.timestamp()
        self._metrics = metrics.render(report, interval=self._interval, last_success=self._last_success)


class HealthServer:
    """
    Serves a state while its context lasts: `async with HealthServer(bind, port, state) as server`.

    `bind` is an address of IPv4 or IPv6; `::` accepts both. With port 0, `port` is the free one that was chosen.
    Entering raises ConfigError if the address can't be used. Leaving ends all connections at once.
    """

    def __init__(self, bind: str, port: int, state: HealthState) -> None:
        self.port = port
        self._bind = bind
        self._state = state
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Self:
        try:
            self._server = await self._listen()
        except (OSError, UnicodeError, OverflowError) as error:
            errno = getattr(error, "errno", None) or 0
            # An error without a number, or with a negative one of the resolver's, has a message of its own.
            why = os.strerror(errno) if errno > 0 else getattr(error, "strerror", None) or str(error)
            raise ConfigError(
                f"can't listen on {self._bind} port {self.port}: {why}",
                hint="choose another --health-bind or --health-port",
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        # Not cancelled: before Python 3.12 asyncio logs that as a defect of the handler.
        for writer in self._connections.values():
            writer.transport.abort()
        if self._connections:
            await asyncio.wait(self._connections)
        await self._server.wait_closed()

    async def _listen(self) -> asyncio.Server:
        if self._bind == "::" and socket.has_dualstack_ipv6():
            # asyncio itself would accept IPv6 only, but the kubelet of a dual-stack cluster may use IPv4.
            both = socket.create_server(("::", self.port), family=socket.AF_INET6, dualstack_ipv6=True)
            return await asyncio.start_server(self._connected, sock=both, limit=_HEAD)
        return await asyncio.start_server(self._connected, self._bind, self.port, limit=_HEAD)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        try:
            if len(self._connections) <= _CONNECTIONS:
                # A client that is slow or gone gets no answer.
                with contextlib.suppress(TimeoutError, OSError):
                    async with asyncio.timeout(_SECONDS):
                        await self._answer(reader, writer)
        finally:
            del self._connections[task]
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return
        except asyncio.LimitOverrunError:
            answer = _Answer(status=HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        else:
            answer = respond(head, self._state)
        writer.write(answer.encode())
        await writer.drain()
        if answer.status is not HTTPStatus.OK:
            # A body must be read, or its sender sees a reset connection instead of the answer.
            writer.write_eof()
            while await reader.read(_HEAD):
                pass


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    status: HTTPStatus
    body: bytes = b""
    content_type: str = _TEXT
    with_body: bool = True

    def encode(self) -> bytes:
        body = self.body or f"{self.status.phrase}\n".encode()
        lines = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(body)}",
            "Cache-Control: no-store",
            "Connection: close",
        ]
        if self.status is HTTPStatus.METHOD_NOT_ALLOWED:
            lines.append("Allow: GET, HEAD")
        head = "\r\n".join(lines).encode("ascii") + b"\r\n\r\n"
        return head + body if self.with_body else head


def respond(head: bytes, state: HealthState) -> _Answer:
    """Return the answer to a request by its first line (RFC 9112, section 3)."""
    words = head.split(b"\r\n", 1)[0].split(b" ")
    if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
        return _Answer(status=HTTPStatus.BAD_REQUEST)
    method, target = words[0], words[1].decode("latin-1")
    try:
        page = _page(urlsplit(target).path, state)
    except ValueError:
        return _Answer(status=HTTPStatus.BAD_REQUEST)
    if page.status is not HTTPStatus.NOT_FOUND and method not in (b"GET", b"HEAD"):
        return _Answer(status=HTTPStatus.METHOD_NOT_ALLOWED)
    return _Answer(status=page.status, body=page.body, content_type=page.content_type, with_body=method != b"HEAD")


def _page(path: str, state: HealthState) -> _Answer:
    match path:
        case "/healthz":
            return _Answer(status=HTTPStatus.OK, body=b"ok\n")
        case "/readyz" if state.is_ready:
            return _Answer(status=HTTPStatus.OK, body=b"ready\n")
        case "/readyz":
            return _Answer(status=HTTPStatus.SERVICE_UNAVAILABLE, body=b"no pass has succeeded yet\n")
        case "/metrics":
            return _Answer(status=HTTPStatus.OK, body=state.metrics, content_type=metrics.CONTENT_TYPE)
        case _:
            return _Answer(status=HTTPStatus.NOT_FOUND, body=b"there are /healthz, /readyz and /metrics\n")
