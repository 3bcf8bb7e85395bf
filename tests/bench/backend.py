"""The registries' side of nginx: answers come one round trip after their requests, as from far away."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from bench.answers import Answer, Request, problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from bench.answers import Registry

HANDSHAKES = 2
"""Round trips that a new connection costs before its first request: one for TCP, one for TLS 1.3."""


class Distance:
    """How far away the registries are. A connection is known by the number that nginx gives it."""

    def __init__(self) -> None:
        self._round_trip = 0.0
        self._ready: dict[str, float] = {}

    def set(self, round_trip: float) -> None:
        """Let a round trip last so many seconds; every connection is new again."""
        self._round_trip = round_trip
        self._ready.clear()

    def delay(self, connection: str, now: float) -> float:
        """Return the seconds after which a request that has come now is answered."""
        ready = self._ready.setdefault(connection, now + HANDSHAKES * self._round_trip)
        return max(ready - now, 0.0) + self._round_trip


class Backend:
    """Serves registries on sockets in a folder, in a thread of its own."""

    def __init__(self) -> None:
        self.distance = Distance()
        self.errors: list[Exception] = []
        """What went wrong here, each answered with 500."""
        self.pending = 0
        """Requests that wait for their answers."""
        self._loop = asyncio.new_event_loop()

    def serve(self, registries: Mapping[Path, Registry]) -> None:
        """Listen on these sockets until `stop` is called; the thread's function."""
        asyncio.set_event_loop(self._loop)
        servers = [
            self._loop.run_until_complete(self._loop.create_unix_server(partial(_Connection, self, registry), path))
            for path, registry in registries.items()
        ]
        try:
            self._loop.run_forever()
        finally:
            for server in servers:
                server.close()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def stop(self) -> None:
        """End `serve`; called from another thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)

    def answer(self, registry: Registry, request: Request) -> Answer:
        """Answer, whatever happens."""
        try:
            return registry.answer(request)
        except Exception as error:
            self.errors.append(error)
            return problem(500, "UNKNOWN")


@contextmanager
def serving(registries: Mapping[Path, Registry]) -> Iterator[Backend]:
    """Serve registries on sockets while the context lasts."""
    backend = Backend()
    thread = threading.Thread(target=backend.serve, args=(registries,), name="registries")
    thread.start()
    try:
        yield backend
    finally:
        backend.stop()
        thread.join()


class _Connection(asyncio.Protocol):
    """One connection of nginx: a request after the other (RFC 9112, with Content-Length only)."""

    def __init__(self, backend: Backend, registry: Registry) -> None:
        self._backend = backend
        self._registry = registry
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        """Forget the transport: nobody waits for the answer any more."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Take a request, and answer it when its time has come."""
        self._buffer += data
        request = self._request()
        if request is not None:
            delay = self._backend.distance.delay(request.headers.get("x-connection", ""), self._loop.time())
            self._backend.pending += 1
            self._loop.call_later(delay, self._answer, request)

    def _request(self) -> Request | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        line, *fields = self._buffer[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        stop = end + 4 + int(headers.get("content-length", 0))
        if len(self._buffer) < stop:
            return None
        method, target, _ = line.split(" ")
        body = bytes(self._buffer[end + 4 : stop])
        del self._buffer[:stop]
        return Request(method=method, target=target, headers=headers, body=body)

    def _answer(self, request: Request) -> None:
        self._backend.pending -= 1
        answer = self._backend.answer(self._registry, request)
        if self._transport is not None:
            self._transport.write(_encoded(answer))


def _encoded(answer: Answer) -> bytes:
    length = len(answer.body) if answer.length is None else answer.length
    fields = [("Docker-Distribution-API-Version", "registry/2.0"), *answer.headers]
    if answer.status != HTTPStatus.NO_CONTENT:
        fields.append(("Content-Length", str(length)))
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return (
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\n{lines}\r\n".encode("latin-1")
        + answer.body
    )
