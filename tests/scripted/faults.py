"""
What a rule can do to a request.

    registry.on("GET", r"/blobs/", times=2, respond=faults.answer(503))
    registry.on("GET", r"/blobs/", times=1, respond=faults.cut(after=1000))

Each function returns an action; see rules.Action. `chain` puts several in a row.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from email.utils import formatdate
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from scripted.content import Bytes
from scripted.problem import problem
from scripted.wire import Body, DisconnectError, Response, respond

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping

    from scripted.rules import Action
    from scripted.wire import Request

    Proceed = Callable[[], Awaitable[Response]]


class _Named:
    """An action that can be recognised in a record."""

    def __init__(self, name: str, action: Action) -> None:
        self._name = name
        self._action = action

    async def __call__(self, request: Request, proceed: Proceed) -> Response:
        return await self._action(request, proceed)

    def __repr__(self) -> str:
        return self._name


def answer(
    status: int, body: bytes | str = b"", *, headers: Mapping[str, str] | None = None, read_body: bool = True
) -> Action:
    """Answer with this and do nothing; without `read_body`, an upload's bytes are left unread."""
    data = body.encode() if isinstance(body, str) else body

    async def action(request: Request, proceed: Proceed) -> Response:
        if read_body:
            async for _ in request.body.pieces():
                pass
        return respond(status, data, (headers or {}).items())

    return _Named(f"answer {status}", action)


def error(
    status: int, code: str, message: str = "", *, headers: Mapping[str, str] | None = None, read_body: bool = True
) -> Action:
    """Answer with an error document of the distribution specification."""
    made = problem(status, code, message)
    return answer(
        status, made.whole(), headers={**dict(made.headers.items), **(headers or {})}, read_body=read_body
    )


def too_many(*, seconds: float | None = None, date_in: float | None = None, message: str = "slow down") -> Action:
    """Answer 429, with Retry-After in seconds, or as a date so many seconds from now, or with none."""

    async def action(request: Request, proceed: Proceed) -> Response:
        headers = {}
        if seconds is not None:
            headers["Retry-After"] = f"{seconds:g}"
        if date_in is not None:
            headers["Retry-After"] = formatdate(_now() + date_in, usegmt=True)
        return await error(429, "TOOMANYREQUESTS", message, headers=headers)(request, proceed)

    return _Named("too many", action)


def html(status: int = 200, text: str = "<html><body>Sign in to the network</body></html>") -> Action:
    """Answer with a page for people, as captive portals and broken proxies do."""
    return answer(status, text, headers={"Content-Type": "text/html; charset=utf-8"})


def reset() -> Action:
    """Reset the connection before anything is answered or done."""

    async def action(request: Request, proceed: Proceed) -> Response:
        raise DisconnectError

    return _Named("reset", action)


def close() -> Action:
    """Close the connection before anything is answered or done."""

    async def action(request: Request, proceed: Proceed) -> Response:
        raise DisconnectError(reset=False)

    return _Named("close", action)


def cut(*, after: int = 0, reset: bool = False) -> Action:
    """Send the headers and so many bytes of the body, then close or reset."""
    return _delivered(f"cut after {after}", cut_after=after, reset=reset)


def stall(seconds: float, *, after: int | None = None) -> Action:
    """Stand still: before doing anything, or after so many bytes of the answer's body (0: after its headers)."""
    if after is not None:
        return _delivered(f"stall after {after}", stall_after=after, stall=seconds)

    async def action(request: Request, proceed: Proceed) -> Response:
        await asyncio.sleep(seconds)
        return await proceed()

    return _Named("stall", action)


def drip(*, size: int = 1, pause: float = 0.05) -> Action:
    """Send the body in small pieces with pauses."""
    return _delivered("drip", drip=size, pause=pause)


def flip_bit(*, at: int = 0) -> Action:
    """Send the right number of bytes, one of which is wrong."""
    return _delivered(f"flip at {at}", flip_at=at)


def claim_length(difference: int) -> Action:
    """Send a Content-Length that is so much too high (or, negative, too low), then close."""
    return _delivered(f"claim {difference:+}", claim=difference)


def lose_answer() -> Action:
    """Do what was asked and reset the connection instead of answering."""
    return _delivered("lose the answer", lose=True)


def hang_up() -> Action:
    """Answer, then close the connection without having announced it."""
    return _delivered("hang up", hang_up=True)


def chunked() -> Action:
    """Answer in chunks, without a Content-Length."""
    return _delivered("chunked", chunked=True)


def _delivered(name: str, **changes: object) -> Action:
    async def action(request: Request, proceed: Proceed) -> Response:
        return (await proceed()).deliver(**changes)

    return _Named(name, action)


def redirect(to: str | Callable[[Request], str], status: int = 307) -> Action:
    """Send the client elsewhere: to a URL (which may be relative) or to what a function of the request gives."""

    async def action(request: Request, proceed: Proceed) -> Response:
        return respond(status, headers=[("Location", to if isinstance(to, str) else to(request))])

    return _Named("redirect", action)


def redirect_in_a_circle() -> Action:
    """Send the client to the same place again, each time."""
    return redirect(lambda request: request.target)


def headers(changes: Mapping[str, str | None]) -> Action:
    """Set header fields of the answer; None removes one."""

    async def action(request: Request, proceed: Proceed) -> Response:
        response = await proceed()
        for name, value in changes.items():
            # Without it, the body is framed by Content-Length as ever: the length can be wrong, not absent.
            response.headers.set(name, value)
        return response

    return _Named(f"headers {sorted(changes)}", action)


def encode_gzip(*, always: bool = True) -> Action:
    """Answer with Content-Encoding gzip, whatever the client accepts (or, not `always`, where it does)."""

    async def action(request: Request, proceed: Proceed) -> Response:
        response = await proceed()
        if response.status == 200 and (always or "gzip" in (request.headers.get("accept-encoding") or "")):
            response.body, response.start, response.stop = Bytes(gzip.compress(response.whole(), 1)), 0, None
            response.headers.set("Content-Encoding", "gzip")
        return response

    return _Named("gzip", action)


def edit_json(change: Callable[[Any], Any]) -> Action:
    """Change the JSON document of an answer."""

    async def action(request: Request, proceed: Proceed) -> Response:
        response = await proceed()
        if response.status == 200:
            response.body = Bytes(json.dumps(change(json.loads(response.whole()))).encode())
        return response

    return _Named("edit JSON", action)


def tags_null() -> Action:
    """Answer a tag list whose `tags` is null."""
    return edit_json(lambda body: {**body, "tags": None})


def tags_missing() -> Action:
    """Answer a tag list without `tags`."""
    return edit_json(lambda body: {key: value for key, value in body.items() if key != "tags"})


def tags_with(*entries: object) -> Action:
    """Add entries to a tag list: null, "", a digest, as Nexus and Artifactory do."""
    return edit_json(lambda body: {**body, "tags": [*entries, *body["tags"]]})


def endless_tags(kind: str = "same") -> Action:
    """
    Page for ever: `same` (one next URL again and again), `fresh` (another URL each time, nothing new in it), `grow`
    (a tag that never was before on every page).
    """
    if kind not in ("same", "fresh", "grow"):
        raise ValueError(kind)
    pages = 0

    async def action(request: Request, proceed: Proceed) -> Response:
        nonlocal pages
        pages += 1
        response = await proceed()
        body = json.loads(response.whole())
        if kind == "grow":
            body["tags"] = [f"page-{pages}"]
        mark = "again" if kind == "same" else f"page-{pages}"
        response.body = Bytes(json.dumps(body).encode())
        response.headers.set("Link", f'<{quote(request.path)}?n=10&last={mark}>; rel="next"')
        return response

    return _Named(f"endless tags ({kind})", action)


def refuse_upload(status: int, *, after: int) -> Action:
    """Read so many bytes of the request's body, then answer with the status and leave the rest unread."""

    async def action(request: Request, proceed: Proceed) -> Response:
        if request.body.length is not None and request.body.length <= after:
            return await proceed()
        await _read_some(request.body, after)
        return problem(status, "SIZE_INVALID", f"no more than {after} bytes")

    return _Named(f"refuse upload after {after}", action)


def reset_upload(*, after: int, keep: bool = False) -> Action:
    """Reset the connection when so many bytes of the body have come; with `keep`, the server stores those."""

    async def action(request: Request, proceed: Proceed) -> Response:
        if not keep:
            await _read_some(request.body, after)
            raise DisconnectError
        request.body.pieces = _until(request.body, after)  # type: ignore[method-assign]
        return await proceed()

    return _Named(f"reset upload after {after}", action)


def stall_upload(seconds: float, *, after: int) -> Action:
    """Stop reading the request's body for a time when so many bytes have come."""

    async def action(request: Request, proceed: Proceed) -> Response:
        request.body.pieces = _paused(request.body, after, seconds)  # type: ignore[method-assign]
        return await proceed()

    return _Named(f"stall upload after {after}", action)


def chain(*actions: Action) -> Action:
    """Apply several actions to one request, the first outermost."""

    async def action(request: Request, proceed: Proceed) -> Response:
        for inner in reversed(actions):
            proceed = _bind(inner, request, proceed)
        return await proceed()

    return _Named(" + ".join(map(repr, actions)), action)


def in_turn(actions: Iterable[Action | None]) -> Action:
    """Give each matching request the next action of a list; None, and what comes after the end, is left alone."""
    rest = iter(list(actions))

    async def action(request: Request, proceed: Proceed) -> Response:
        chosen = next(rest, None)
        return await (proceed() if chosen is None else chosen(request, proceed))

    return _Named("in turn", action)


def _bind(action: Action, request: Request, proceed: Proceed) -> Proceed:
    async def call() -> Response:
        return await action(request, proceed)

    return call


async def _read_some(body: Body, size: int) -> None:
    if size > 0:
        async for _ in body.pieces():
            if body.received >= size:
                return


def _until(body: Body, size: int) -> Callable[[], AsyncIterator[bytes]]:
    original = body.pieces

    async def pieces() -> AsyncIterator[bytes]:
        left = size
        async for piece in original():
            yield piece[:left]
            left -= len(piece)
            if left <= 0:
                raise DisconnectError

    return pieces


def _paused(body: Body, size: int, seconds: float) -> Callable[[], AsyncIterator[bytes]]:
    original = body.pieces

    async def pieces() -> AsyncIterator[bytes]:
        paused = False
        async for piece in original():
            yield piece
            if not paused and body.received >= size:
                paused = True
                await asyncio.sleep(seconds)

    return pieces


def _now() -> float:
    import time

    return time.time()
