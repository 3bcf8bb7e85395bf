"""Writing blobs (distribution-spec 1.1, "Pushing blobs"): POST, PATCH, PUT, GET, DELETE, and mounts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scripted.content import HASHES
from scripted.names import check_digest
from scripted.problem import RefusedError
from scripted.sessions import Session
from scripted.storage import Repository
from scripted.wire import Response, respond

if TYPE_CHECKING:
    from scripted.content import Content
    from scripted.exchange import Exchange, State


class Uploads:
    """The upload sessions of a registry."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.sessions: dict[str, Session] = {}
        self.opened = 0
        self.cancelled = 0

    def forget_all(self) -> None:
        """Lose every session, as a restart would."""
        for session in self.sessions.values():
            session.forgotten = True
            session.drop()
        self.sessions.clear()

    async def handle(self, exchange: Exchange) -> Response:
        """Answer a request to /v2/NAME/blobs/uploads/ or to a session's Location."""
        identifier = exchange.rest.removeprefix("uploads/")
        if not identifier:
            if exchange.request.method != "POST":
                raise RefusedError(405, "UNSUPPORTED")
            return await self._open(exchange)
        session = self.sessions.get(identifier)
        if session is None or session.repository != exchange.name:
            raise RefusedError(404, "BLOB_UPLOAD_UNKNOWN", f"no upload {identifier}")
        if not session.knows(exchange.request):
            if exchange.behaviour.location_latest_only:
                raise self._out_of_step(exchange, session)
            raise RefusedError(400, "BLOB_UPLOAD_INVALID", "this is not a Location that was issued")
        if exchange.request.method == "PATCH":
            return await self._patch(exchange, session)
        if exchange.request.method == "PUT":
            return await self._put(exchange, session)
        if exchange.request.method == "GET":
            return respond(204, headers=self._progress(exchange, session))
        if exchange.request.method == "DELETE":
            return self._cancel(exchange, session)
        raise RefusedError(405, "UNSUPPORTED")

    def name_of(self, identifier: str) -> str | None:
        """Return the repository of a session."""
        session = self.sessions.get(identifier)
        return session.repository if session else None

    async def _open(self, exchange: Exchange) -> Response:
        behaviour, request = exchange.behaviour, exchange.request
        if exchange.repository is None and not behaviour.create_repositories:
            raise RefusedError(404, "NAME_UNKNOWN", f"no repository {exchange.name}")
        mount = request.parameter("mount")
        if mount is not None and self._mount(exchange, check_digest(mount)):
            return self._stored(exchange, mount)
        digest = request.parameter("digest")
        algorithm = request.parameter("digest-algorithm") or "sha256"
        if digest is not None:
            algorithm = check_digest(digest).partition(":")[0]
        if algorithm not in HASHES:
            raise RefusedError(400, "DIGEST_INVALID", f"unknown algorithm {algorithm!r}")
        session = Session(exchange.name, behaviour, self._state.folder, algorithm)
        self.opened += 1
        if digest is not None and mount is None and behaviour.single_post:
            await self._receive(exchange, session)
            return self._commit(exchange, session, digest)
        self.sessions[session.id] = session
        headers = self._progress(exchange, session)
        if behaviour.chunk_minimum is not None:
            headers.append(("OCI-Chunk-Min-Length", str(behaviour.chunk_minimum)))
        return respond(202, headers=headers)

    def _mount(self, exchange: Exchange, digest: str) -> bool:
        """Put a blob of another repository into this one, if it is there and mounts are on."""
        behaviour = exchange.behaviour
        source = exchange.request.parameter("from")
        found: Content | None = None
        if source is not None and behaviour.mount:
            repository = self._state.repositories.get(source)
            found = repository.blobs.get(digest) if repository else None
        elif source is None and behaviour.anonymous_mount:
            every = (repository.blobs.get(digest) for repository in self._state.repositories.values())
            found = next((content for content in every if content is not None), None)
        elif source is None and behaviour.mount_without_from_status != 202:
            raise RefusedError(behaviour.mount_without_from_status, "UNSUPPORTED", "mount needs from")
        if found is None:
            return False
        self._repository(exchange).blobs[digest] = found
        return True

    async def _patch(self, exchange: Exchange, session: Session) -> Response:
        self._check_range(exchange, session)
        minimum = exchange.behaviour.chunk_minimum
        length = exchange.request.body.length
        if minimum and "content-range" in exchange.request.headers and length is not None and length < minimum:
            raise RefusedError(400, "SIZE_INVALID", f"a chunk has {minimum} bytes at least")
        await self._receive(exchange, session)
        if session.first_chunk is None:
            session.first_chunk = session.offset
        return respond(202, headers=self._progress(exchange, session))

    async def _put(self, exchange: Exchange, session: Session) -> Response:
        digest = check_digest(exchange.request.parameter("digest"))
        self._check_range(exchange, session)
        session.hash_with(digest.partition(":")[0])
        await self._receive(exchange, session)
        return self._commit(exchange, session, digest)

    async def _receive(self, exchange: Exchange, session: Session) -> None:
        behaviour, body = exchange.behaviour, exchange.request.body
        if body.chunked and not behaviour.chunked_encoding:
            raise RefusedError(411, "SIZE_INVALID", "Content-Length is needed")
        limit = behaviour.body_limit
        if limit is not None and (body.length or 0) > limit:
            raise RefusedError(413, "SIZE_INVALID", f"a body has {limit} bytes at most")
        if session.busy:
            raise RefusedError(409, "BLOB_UPLOAD_INVALID", "another request writes to this upload")
        session.busy = True
        try:
            async for piece in body.pieces():
                session.write(piece)
                if limit is not None and body.received > limit:
                    raise RefusedError(413, "SIZE_INVALID", f"a body has {limit} bytes at most")
        finally:
            session.busy = False

    def _check_range(self, exchange: Exchange, session: Session) -> None:
        text, length = exchange.request.headers.get("content-range"), exchange.request.body.length
        if text is None:
            return
        limit = exchange.behaviour.content_range_limit
        if limit is not None and (length or 0) > limit:
            raise RefusedError(416, "RANGE_INVALID", f"the request body is too large: {limit} bytes at most")
        match = re.fullmatch(r"(\d+)-(\d+)", text)
        if match is None:
            raise RefusedError(400, "BLOB_UPLOAD_INVALID", "the Content-Range header format is invalid")
        first, last = int(match[1]), int(match[2])
        if first != session.offset:
            raise self._out_of_step(exchange, session)
        if length is not None and last - first + 1 != length:
            raise RefusedError(400, "SIZE_INVALID", f"Content-Range {text} with a Content-Length of {length}")

    def _out_of_step(self, exchange: Exchange, session: Session) -> RefusedError:
        return RefusedError(416, "RANGE_INVALID", "not the next byte", self._progress(exchange, session))

    def _commit(self, exchange: Exchange, session: Session, digest: str) -> Response:
        self.sessions.pop(session.id, None)
        if session.forgotten:
            raise RefusedError(404, "BLOB_UPLOAD_UNKNOWN", f"upload {session.id} was lost on its way")
        actual = session.digest(digest.partition(":")[0])
        if actual != digest:
            session.drop()
            raise RefusedError(400, "DIGEST_INVALID", f"the bytes are {actual}")
        content = session.content()
        session.close()
        self._repository(exchange).blobs[digest] = content
        return self._stored(exchange, digest)

    def _cancel(self, exchange: Exchange, session: Session) -> Response:
        if exchange.behaviour.cancel_status >= 400:
            raise RefusedError(exchange.behaviour.cancel_status, "UNSUPPORTED")
        self.cancelled += 1
        session.forgotten = True
        session.drop()
        del self.sessions[session.id]
        return respond(exchange.behaviour.cancel_status)

    def _repository(self, exchange: Exchange) -> Repository:
        return self._state.repositories.setdefault(exchange.name, Repository(exchange.name))

    def _stored(self, exchange: Exchange, digest: str) -> Response:
        location = f"/v2/{exchange.name}/blobs/{digest}"
        return respond(201, headers=[("Location", location), ("Docker-Content-Digest", digest)])

    def _progress(self, exchange: Exchange, session: Session) -> list[tuple[str, str]]:
        stuck = exchange.behaviour.stuck_range and session.first_chunk
        last = max((stuck or session.offset) - 1, 0)
        headers = [("Location", session.location(exchange.request, self._state.other)), ("Range", f"0-{last}")]
        if exchange.behaviour.docker_headers:
            headers.append(("Docker-Upload-UUID", session.id))
        return headers
