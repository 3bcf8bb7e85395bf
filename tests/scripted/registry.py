"""The scripted registry: correct by default, and whatever a test asks of it."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Self

from scripted import blobs, lists, manifests
from scripted.access import Bearer, NoAuth
from scripted.behaviour import Behaviour
from scripted.evidence import Evidence
from scripted.exchange import Exchange, State
from scripted.names import is_name
from scripted.problem import RefusedError, problem
from scripted.record import Record, Recorded
from scripted.rules import Rules
from scripted.server import Server
from scripted.storage import Repository, StoredManifest
from scripted.tokens import Scope
from scripted.uploads import Uploads
from scripted.wire import Response, respond

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from scripted.access import Auth
    from scripted.build import Image
    from scripted.content import Content
    from scripted.rules import Action
    from scripted.wire import Request

_ROUTE = re.compile(r"/v2/(?P<name>.+)/(?P<kind>manifests|blobs|tags|referrers)/(?P<rest>.*)")
_OUTSIDE = re.compile(r"/artifacts-uploads/.*/(?P<id>[0-9a-f]+)")


class ScriptedRegistry:
    """
    A registry on a real socket.

        async with ScriptedRegistry(auth=Basic(users=(User(name="u", password="p"),))) as registry:
            registry.seed("team/app", "1.0", build.image())
            registry.on("GET", r"/blobs/", times=1, respond=faults.answer(503))
            ...
            assert registry.count("PUT", r"/manifests/") == 1

    Options of `Behaviour` can be given by name. Leaving the context fails where the script itself was wrong, and
    (unless `watch` is off) where a tag was made to point at something incomplete at any depth, or where ocync has
    put a manifest with parts that it had not seen there in its pass (see `scripted.evidence`).
    """

    def __init__(
        self,
        *,
        auth: Auth | None = None,
        tls: ssl.SSLContext | None = None,
        folder: Path | None = None,
        bind: str = "127.0.0.1",
        port: int = 0,
        watch: bool = True,
        **options: Any,
    ) -> None:
        self.auth = auth or NoAuth()
        self.behaviour = Behaviour(**options)
        self.requests = Record()
        """Everything that was asked, of the token service too."""
        self.rules = Rules()
        self.evidence = Evidence(self.requests)
        """What has been shown to ocync in its pass."""
        self._state = State(self.behaviour, folder, evidence=self.evidence)
        self.repositories: dict[str, Repository] = self._state.repositories
        self.uploads = Uploads(self._state)
        self._bind, self._port, self._watch = bind, port, watch
        self._server = Server(self._handle, name="registry", record=self.requests, tls=tls)
        self._other = Server(self._handle_other, name="other", record=self.requests, tls=tls)
        self._tokens = Server(self._handle, name="tokens", record=self.requests, tls=tls)
        self.control: Action | None = None
        """What answers requests under /_scripted/."""
        self.on = self.rules.on
        self.count = self.requests.count

    @property
    def host(self) -> str:
        """`127.0.0.1:port`"""
        return self._server.address

    @property
    def url(self) -> str:
        """`http://127.0.0.1:port`"""
        return self._server.url

    @property
    def violations(self) -> list[str]:
        """Moments when a tag was made to point at something incomplete."""
        return self._state.violations

    @property
    def unseen(self) -> list[str]:
        """Manifests that ocync has put with parts that had not been seen there in its pass."""
        return self.evidence.lacks

    async def start(self) -> None:
        """Listen."""
        await self._server.start(self._bind, self._port)
        await self._other.start(self._bind)
        self._state.other = self._other.url
        if isinstance(self.auth, Bearer) and self.auth.own_port:
            await self._tokens.start(self._bind)
            self.auth.tokens.listen_at(self._tokens.url)

    async def stop(self) -> None:
        """Close everything; what was recorded and stored stays."""
        for server in (self._server, self._other, self._tokens):
            await server.stop()

    async def be_away(self, seconds: float) -> None:
        """
        Take no connections for so many seconds, as a pod that is moved, and come back at the same address.

        What is stored stays, and upload sessions are lost.
        """
        self._port = int(self.host.rpartition(":")[2])
        await self.stop()
        self.uploads.forget_all()
        await asyncio.sleep(seconds)
        await self.start()

    def check(self) -> None:
        """Raise what went wrong in the script, and AssertionError for what `watch` looks at."""
        errors = [*self._server.errors, *self._other.errors, *self._tokens.errors]
        if errors:
            raise errors[0]
        if self._watch and (self.violations or self.unseen):
            raise AssertionError("; ".join([*self.violations, *self.unseen]))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await self.stop()
        if kind is None:
            self.check()

    # What is in it

    def seed(self, repository: str, tag: str | None, image: Image) -> str:
        """Put an image there without a request, and return its digest."""
        target = self.repository(repository)
        target.blobs.update(image.blobs)
        target.manifests.update({manifest.digest: manifest for manifest in image.manifests})
        if tag is not None:
            target.tags[tag] = image.digest
        return image.digest

    def seed_blob(self, repository: str, digest: str, content: Content) -> None:
        """Put a blob there without a request."""
        self.repository(repository).blobs[digest] = content

    def repository(self, name: str) -> Repository:
        """Return the repository, made anew where there is none."""
        return self.repositories.setdefault(name, Repository(name))

    def resolve(self, repository: str, tag: str) -> str | None:
        """Return the digest that a tag points at."""
        found = self.repositories.get(repository)
        return found.tags.get(tag) if found else None

    def manifest(self, repository: str, reference: str) -> StoredManifest:
        """Return the manifest of a tag or digest; raises KeyError."""
        found = self.repositories[repository].find(reference)
        if found is None:
            raise KeyError(f"{repository}:{reference}")
        return found

    def content_of(self, repository: str, reference: str) -> dict[str, bytes | int]:
        """Return all there is under a tag or digest, for comparison: see Repository.content_of."""
        found = self.repositories.get(repository)
        return found.content_of(reference) if found else {}

    def incomplete_tags(self) -> list[str]:
        """Return `repository:tag: missing` for every tag under which something is missing now."""
        return [
            f"{name}:{tag}: {', '.join(missing)}"
            for name, repository in self.repositories.items()
            for tag, digest in repository.tags.items()
            if (missing := repository.missing_below(digest))
        ]

    # What it does

    async def _handle(self, request: Request, recorded: Recorded) -> Response:
        async def proceed() -> Response:
            return await self._answer(request, recorded)

        if self.control is not None and request.target.startswith("/_scripted/"):
            return await self.control(request, proceed)
        response = await self._through_rules(request, proceed, recorded)
        if self.behaviour.docker_headers and recorded.server == "registry":
            response.headers.set("Docker-Distribution-API-Version", "registry/2.0")
        for text in self.behaviour.warnings:
            response.headers.add("Warning", f'299 - "{text}"')
        return response

    async def _handle_other(self, request: Request, recorded: Recorded) -> Response:
        """Serve the second origin: it knows only upload sessions, and has no use for credentials."""
        if recorded.scheme is not None:
            raise AssertionError(f"an Authorization came to another host: {request.method} {request.target}")

        async def proceed() -> Response:
            return await self._answer(request, recorded, authorize=False)

        return await self._through_rules(request, proceed, recorded)

    async def _through_rules(
        self, request: Request, proceed: Callable[[], Awaitable[Response]], recorded: Recorded
    ) -> Response:
        # Before an upload is committed: its session tells the repository where its path does not.
        name, kind, rest = self._resource(request)
        self.evidence.arrive(request, name, kind)
        response = await self.rules.apply(request, proceed, authorized=False, met=recorded.rules)
        self.evidence.answered(request, name, kind, rest, response)
        return response

    async def _answer(self, request: Request, recorded: Recorded, *, authorize: bool = True) -> Response:
        try:
            if isinstance(self.auth, Bearer) and request.path == "/token":
                return await self.auth.tokens.handle(request)
            return await self._route(request, recorded, authorize=authorize)
        except RefusedError as refusal:
            return refusal.response

    async def _route(self, request: Request, recorded: Recorded, *, authorize: bool) -> Response:
        name, kind, rest = self._resource(request)
        auth = self.auth if authorize else NoAuth()
        grant = auth.authorize(request, scopes_of(request, name, kind) if name else [])

        async def proceed() -> Response:
            if name is None:
                return self._rootless(request, kind)
            if not is_name(name):
                raise RefusedError(400, "NAME_INVALID", f"{name[:300]!r} is not a repository name")
            tag = rest if kind == "manifests" and ":" not in rest else None
            if tag is not None and request.method in ("GET", "HEAD") and not grant.sees(tag):
                raise RefusedError(auth.hidden_tag_status, "DENIED", f"{name}:{tag} is not for you")
            exchange = Exchange(request=request, grant=grant, name=name, rest=rest, state=self._state)
            return await self._dispatch(exchange, kind)

        return await self.rules.apply(request, proceed, authorized=True, met=recorded.rules)

    def _resource(self, request: Request) -> tuple[str | None, str, str]:
        """Return the repository, the kind and the rest of what the request is about."""
        outside = _OUTSIDE.fullmatch(request.path)
        if outside is not None:
            return self.uploads.name_of(outside["id"]), "blobs", f"uploads/{outside['id']}"
        match = _ROUTE.fullmatch(request.path)
        if match is None:
            return None, request.path, ""
        return match["name"], match["kind"], match["rest"]

    def _rootless(self, request: Request, path: str) -> Response:
        if path in ("/v2/", "/v2"):
            return respond(200, b"{}", [("Content-Type", "application/json")])
        return problem(404, "UNSUPPORTED", f"nothing at {path}")

    async def _dispatch(self, exchange: Exchange, kind: str) -> Response:
        if kind == "manifests":
            return await manifests.handle(exchange)
        if kind == "blobs" and exchange.rest.startswith("uploads/"):
            return await self.uploads.handle(exchange)
        if kind == "blobs":
            return await blobs.handle(exchange)
        if kind == "referrers":
            return await lists.referrers(exchange)
        if exchange.rest == "list":
            return await lists.tags(exchange)
        raise RefusedError(404, "UNSUPPORTED")


def scopes_of(request: Request, name: str, kind: str) -> list[Scope]:
    """Return what a request needs to be allowed."""
    upload = "/uploads/" in request.path or "/artifacts-uploads/" in request.path
    if request.method in ("GET", "HEAD") and not upload:
        return [Scope(name, frozenset({"pull"}))]
    if request.method == "DELETE" and not upload:
        return [Scope(name, frozenset({"delete"}))]
    scopes = [Scope(name, frozenset({"pull", "push"}))]
    source = request.parameter("from") if request.parameter("mount") is not None else None
    if source is not None and source != name:
        scopes.append(Scope(source, frozenset({"pull"})))
    return scopes
