"""What went over the line, read from the log of nginx."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_ROUTE = re.compile(r"/v2/.+/(?P<kind>manifests|blobs|tags|referrers)/(?P<rest>[^?]*)(?P<query>\?.*)?")
_SETTLED = 0.1
_PATIENCE = 15.0


@dataclass(frozen=True, slots=True)
class Line:
    """A request as nginx logged it."""

    port: int
    connection: str
    method: str
    target: str
    status: int
    received: int
    """Bytes of the request with its head."""
    sent: int
    """Bytes of the answer's body."""
    ended: float
    lasted: float

    @classmethod
    def parse(cls, text: str) -> Line:
        """Read a line of the log."""
        port, connection, method, target, status, received, sent, ended, lasted = text.split("\t")
        numbers = int(status), int(received), int(sent), float(ended), float(lasted)
        return cls(int(port), connection, method, target, *numbers)

    @property
    def kind(self) -> str:
        """What was asked for: `tags`, `manifest PUT`, `blob HEAD`, `upload POST`, `mount`, `referrers`, ..."""
        route = _ROUTE.fullmatch(self.target)
        if route is None:
            return {"/v2": "ping", "/token": "token"}.get(self.target.partition("?")[0].rstrip("/"), "other")
        if route["kind"] in ("tags", "referrers"):
            return route["kind"]
        if route["kind"] == "manifests":
            return f"manifest {self.method}"
        if not route["rest"].startswith("uploads"):
            return f"blob {self.method}"
        mounts = self.method == "POST" and "mount=" in (route["query"] or "")
        return "mount" if mounts else f"upload {self.method}"

    @property
    def sets_tag(self) -> bool:
        """Whether it has set a tag."""
        route = _ROUTE.fullmatch(self.target)
        return self.kind == "manifest PUT" and self.status == 201 and route is not None and ":" not in route["rest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What one registry was asked."""

    requests: int
    kinds: dict[str, int]
    statuses: dict[str, int]
    sent: int
    """Bytes of bodies that the registry sent."""
    received: int
    """Bytes that the registry received, heads included."""
    connections: int
    peak: int
    """Requests in flight at once, at the most."""
    tagged: float | None = None
    """When the last tag was set, in seconds since 1970; None where none was."""

    @classmethod
    def of(cls, lines: Sequence[Line]) -> Traffic:
        """Add up a registry's lines."""
        return cls(
            requests=len(lines),
            kinds=dict(Counter(line.kind for line in lines).most_common()),
            statuses=dict(Counter(str(line.status) for line in lines).most_common()),
            sent=sum(line.sent for line in lines),
            received=sum(line.received for line in lines),
            connections=len({line.connection for line in lines}),
            peak=_peak(lines),
            tagged=max((line.ended for line in lines if line.sets_tag), default=None),
        )

    def as_json(self) -> dict[str, Any]:
        """Return a document."""
        return asdict(self)


def _peak(lines: Sequence[Line]) -> int:
    moments = sorted([(line.ended - line.lasted, 1) for line in lines] + [(line.ended, -1) for line in lines])
    most = now = 0
    for _, change in moments:
        now += change
        most = max(most, now)
    return most


class Meter:
    """Reads what the log got since the last time."""

    def __init__(self, log: Path, pending: Callable[[], int]) -> None:
        self._log = log
        self._pending = pending
        self._at = 0

    def read(self) -> list[Line]:
        """Wait until nothing is in flight any more, and return the requests since the last call."""
        limit = time.monotonic() + _PATIENCE
        size = -1
        while time.monotonic() < limit and (self._pending() or size != self._log.stat().st_size):
            size = self._log.stat().st_size
            time.sleep(_SETTLED)
        with self._log.open("rb") as file:
            file.seek(self._at)
            data = file.read()
        self._at += len(data)
        return [Line.parse(line) for line in data.decode("utf-8", "replace").splitlines()]
