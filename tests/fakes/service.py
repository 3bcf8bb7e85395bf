"""An HTTP server in a thread that answers with a function and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request; names of header fields are in lower case."""

    method: str
    path: str
    target: str
    """Path and query, as they were sent."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        """The body as a form."""
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body or b"{}")


@dataclass(frozen=True, slots=True)
class Answer:
    """A response; `document` is text or bytes as they are, anything else as JSON."""

    status: int
    document: object = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        """What is sent."""
        if self.document is None:
            return b""
        if isinstance(self.document, bytes):
            return self.document
        return self.document.encode() if isinstance(self.document, str) else json.dumps(self.document).encode()


class FakeService:
    """
    A running service; `answer` raises AssertionError for a request that no client should make.

    What went wrong in it is raised when the context is left.
    """

    def __init__(self, answer: Callable[[Asked], Answer], *, tls: ssl.SSLContext | None = None) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.fake = self  # type: ignore[attr-defined]
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._scheme = "http" if tls is None else "https"
        self._thread = threading.Thread(target=self._server.serve_forever, name="fake", daemon=True)
        self.answer = answer
        self.asked: list[Asked] = []
        self.errors: list[BaseException] = []

    @property
    def host(self) -> str:
        """`127.0.0.1:PORT`."""
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return f"{self._scheme}://{self.host}"

    def count(self, method: str, path: str) -> int:
        """Return how often a path was asked for."""
        return sum(asked.method == method and asked.path == path for asked in self.asked)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
        if kind is None and self.errors:
            raise self.errors[0]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def do_POST(self) -> None:
        self._respond()

    def do_PUT(self) -> None:
        self._respond()

    def do_GET(self) -> None:
        self._respond()

    def _respond(self) -> None:
        fake: FakeService = self.server.fake  # type: ignore[attr-defined]
        url = urlsplit(self.path)
        asked = Asked(
            method=self.command,
            path=url.path,
            target=f"{url.path}?{url.query}" if url.query else url.path,
            query=dict(parse_qsl(url.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(int(self.headers.get("Content-Length") or 0)),
        )
        fake.asked.append(asked)
        try:
            answer = fake.answer(asked)
        except BaseException as error:
            fake.errors.append(error)
            answer = Answer(500, "the fake is surprised")
        self.send_response_only(answer.status)
        for name, value in {"Content-Type": "application/json", **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: what was asked is in the fake's list."""
