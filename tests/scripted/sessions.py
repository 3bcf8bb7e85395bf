"""Upload sessions: the bytes that have come, their hashes, and the Locations that lead to them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING, Any

from scripted.content import HASHES, Bytes, Discarded, FileContent

if TYPE_CHECKING:
    from pathlib import Path

    from scripted.behaviour import Behaviour
    from scripted.content import Content
    from scripted.wire import Request

_SECRET = secrets.token_bytes(32)


class Session:
    """One upload."""

    def __init__(self, repository: str, behaviour: Behaviour, folder: Path | None, algorithm: str) -> None:
        self.id = secrets.token_hex(16)
        self.repository = repository
        self.offset = 0
        self.first_chunk: int | None = None
        """The offset after the first PATCH."""
        self._behaviour = behaviour
        self._path = folder / f"upload-{self.id}" if folder else None
        self._memory: bytearray | None = bytearray()
        self._file: Any = None
        self._hashers = {algorithm: HASHES[algorithm]()}
        self._issued: list[tuple[str, int]] = []
        """Queries of Locations, each with the offset it was issued at."""
        self.busy = False
        """Whether a request writes to it at this moment."""
        self.forgotten = False
        """Whether the registry has given it up, while a request may still write to it."""

    def hash_with(self, algorithm: str) -> None:
        """Use another algorithm, where nothing has come yet."""
        if self.offset == 0:
            self._hashers = {algorithm: HASHES[algorithm]()}

    def write(self, piece: bytes) -> None:
        """Take the next bytes."""
        self.offset += len(piece)
        for hasher in self._hashers.values():
            hasher.update(piece)
        if self._behaviour.discard_over is not None and self.offset > self._behaviour.discard_over:
            self.drop()
        elif self._memory is not None:
            self._memory += piece
            if self._path is not None and self.offset > self._behaviour.spool_over:
                self._spool()
        elif self._file is not None:
            self._file.write(piece)

    def _spool(self) -> None:
        assert self._path is not None
        self._file = self._path.open("wb")
        self._file.write(self._memory)
        self._memory = None

    def digest(self, algorithm: str) -> str:
        """Return the digest of what has come."""
        if algorithm not in self._hashers:
            hasher = HASHES[algorithm]()
            content = self.content()
            for piece in content.pieces(0, content.size):
                hasher.update(piece)
            self._hashers[algorithm] = hasher
        return f"{algorithm}:{self._hashers[algorithm].hexdigest()}"

    def content(self) -> Content:
        """Return what has come, as content of a blob."""
        if self._memory is not None:
            return Bytes(self._memory)
        if self._file is not None and self._path is not None:
            self._file.flush()
            return FileContent(self._path)
        return Discarded(self.offset)

    def close(self) -> None:
        """Write nothing any more; the content stays."""
        if self._file is not None:
            self._file.close()

    def drop(self) -> None:
        """Forget the bytes."""
        self._memory = None
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def location(self, request: Request, other: str) -> str:
        """Issue the session's next Location, in the form that the behaviour tells."""
        behaviour = self._behaviour
        path = f"/v2/{self.repository}/blobs/uploads/{self.id}"
        if behaviour.location_outside:
            path = f"/artifacts-uploads/namespaces/{'x' * 3000}/{self.id}"
        query = self._query()
        self._issued.append((query, self.offset))
        tail = f"?{query}" if query else ""
        if behaviour.location == "path":
            return path + tail
        if behaviour.location == "relative" and not behaviour.location_outside:
            # Relative to .../uploads/ and to .../uploads/ID alike.
            return self.id + tail
        if behaviour.location == "no-scheme":
            return f"//{request.host}{path}{tail}"
        if behaviour.location == "other-host":
            return other + path + tail
        return request.base + path + tail

    def _query(self) -> str:
        if self._behaviour.location_query == "none":
            return ""
        text = f"{self.id}:{self.offset}:{len(self._issued)}"
        mark = hmac.new(_SECRET, text.encode(), hashlib.sha256).digest()
        state = base64.urlsafe_b64encode(mark).decode().rstrip("=")
        if self._behaviour.location_query == "exact":
            return f"X-Sig=a%2Fb+c%20d%2b==&empty=&~=%7E;{state}&_state={state}=&q=a/b:c@d"
        return f"_state={state}"

    def knows(self, request: Request) -> bool:
        """Tell whether the request came by a Location that was issued for this session."""
        every = not self._behaviour.location_latest_only
        issued = [query for query, offset in self._issued if every or offset == self.offset]
        if self._behaviour.location_query == "none":
            return True
        if self._behaviour.location_query == "exact":
            return re.sub(r"&digest=[^&]*$", "", request.raw_query) in issued
        return f"_state={request.parameter('_state')}" in issued
