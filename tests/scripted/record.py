"""What was asked of a server, request by request."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEPT = (
    "accept",
    "accept-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "if-none-match",
    "range",
    "transfer-encoding",
    "user-agent",
)


@dataclass(slots=True, kw_only=True)
class Recorded:
    """One request and what became of it."""

    number: int
    method: str
    target: str
    host: str
    """The Host field."""
    server: str
    """Which of the servers it came to: `registry`, `tokens`, `store`."""
    connection: int
    scheme: str | None
    """The scheme of its Authorization: `Basic`, `Bearer`, or None."""
    fingerprint: str | None
    """Twelve hex digits that are equal for equal credentials; the credentials are not kept."""
    headers: dict[str, str]
    """Some of its header fields, with names in lower case."""
    started: float
    """Seconds of the loop's clock."""
    finished: float | None = None
    status: int | None = None
    """The status that was sent; None while it runs, and where none was sent."""
    received: int = 0
    """Bytes of its body that were read."""
    sent: int = 0
    """Bytes of the answer's body that were sent."""
    rules: list[str] = field(default_factory=list)
    """The scripted rules that met it."""

    @property
    def path(self) -> str:
        """The path, decoded."""
        return unquote(self.target.partition("?")[0])

    @property
    def query(self) -> str:
        """The query, as it came."""
        return self.target.partition("?")[2]

    def matches(self, method: str, pattern: str) -> bool:
        """Tell whether the method is one of `GET|HEAD` or `*`, and the pattern is found in the target."""
        return method_matches(method, self.method) and re.search(pattern, unquote(self.target)) is not None

    def __str__(self) -> str:
        return f"{self.method} {self.target} -> {self.status}"


class Record:
    """All requests to the servers of one registry, in the order of their arrival."""

    def __init__(self) -> None:
        self.requests: list[Recorded] = []
        self.active = 0
        self.peak = 0
        """The most requests that ran at one moment."""
        self.connections = 0
        """Connections accepted so far."""
        self.open: set[int] = set()
        """Of these, the numbers of those that are not closed."""

    def __iter__(self) -> Iterator[Recorded]:
        return iter(self.requests)

    def __len__(self) -> int:
        return len(self.requests)

    def __getitem__(self, index: int) -> Recorded:
        return self.requests[index]

    def matching(self, method: str = "*", pattern: str = "", *, status: int | None = None) -> list[Recorded]:
        """Return the requests of these methods (`GET|HEAD`, `*`), where the pattern is found in the target."""
        return [
            request
            for request in self.requests
            if request.matches(method, pattern) and (status is None or request.status == status)
        ]

    def count(self, method: str = "*", pattern: str = "", *, status: int | None = None) -> int:
        """Count what `matching` returns."""
        return len(self.matching(method, pattern, status=status))

    def peak_of(self, method: str = "*", pattern: str = "") -> int:
        """Return the most requests of this kind that ran at one moment, among those that are finished."""
        moments: list[tuple[float, int]] = []
        for request in self.matching(method, pattern):
            if request.finished is not None:
                moments += [(request.started, 1), (request.finished, -1)]
        running = peak = 0
        for _, change in sorted(moments):
            running += change
            peak = max(peak, running)
        return peak

    def clear(self) -> None:
        """Forget the finished past: for the second pass of a test."""
        self.requests = []
        self.peak = self.active

    def arrive(self, recorded: Recorded) -> None:
        """Take a request in."""
        self.requests.append(recorded)
        self.active += 1
        self.peak = max(self.peak, self.active)

    def depart(self, recorded: Recorded, now: float) -> None:
        """Note that a request is over."""
        recorded.finished = now
        self.active -= 1


def kept_headers(items: list[tuple[str, str]]) -> dict[str, str]:
    """Return the fields that a record keeps."""
    return {name.lower(): value for name, value in items if name.lower() in _KEPT}


def fingerprint(authorization: str | None) -> tuple[str | None, str | None]:
    """Return scheme and fingerprint of an Authorization field."""
    if authorization is None:
        return None, None
    scheme, _, rest = authorization.partition(" ")
    return scheme, hashlib.sha256(rest.strip().encode()).hexdigest()[:12]


def method_matches(wanted: str, method: str) -> bool:
    """Tell whether a method is one of `GET|HEAD`; `*` is all."""
    return wanted == "*" or method in wanted.split("|")
