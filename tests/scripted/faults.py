"""
What a rule can do to a request.

    registry.on("GET", r"/blobs/", times=2, respond=faults.answer(503))
    registry.on("GET", r"/blobs/", times=1, respond=faults.cut(after=1000))

Each function returns an action; see rules.Action. `chain` puts several in a row.
"""

from __future__ import annotations

import asyncio
import gzip
import time
from email.utils import formatdate
from typing import TYPE_CHECKING

from scripted.content import Bytes
from scripted.list_faults import edit_json, endless_tags, tags_missing, tags_null, tags_with
from scripted.named import Named
from scripted.problem import problem
from scripted.upload_faults import drip_upload, refuse_upload, reset_upload, stall_upload
from scripted.wire import DisconnectError, Response, respond

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from scripted.named import Proceed
    from scripted.rules import Action
    from scripted.wire import Request

__all__ = [
    "afterwards",
    "answer",
    "chain",
    "chunked",
    "claim_length",
    "close",
    "cut",
    "drip",
    "drip_upload",
    "edit_json",
    "encode_gzip",
    "endless_tags",
    "error",
    "first",
    "flip_bit",
    "hang_up",
    "headers",
    "html",
    "in_turn",
    "lose_answer",
    "raw",
    "redirect",
    "redirect_in_a_circle",
    "refuse_upload",
    "reset",
    "reset_upload",
    "stall",
    "stall_upload",
    "tags_missing",
    "tags_null",
    "tags_with",
    "too_many",
    "without_length",
]


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

    return Named(f"answer {status}", action)


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
            headers["Retry-After"] = formatdate(time.time() + date_in, usegmt=True)
            headers["Date"] = formatdate(usegmt=True)
        return await error(429, "TOOMANYREQUESTS", message, headers=headers)(request, proceed)

    return Named("too many", action)


def html(status: int = 200, text: str = "<html><body>Sign in to the network</body></html>") -> Action:
    """Answer with a page for people, as captive portals and broken proxies do."""
    return answer(status, text, headers={"Content-Type": "text/html; charset=utf-8"})


def reset() -> Action:
    """Reset the connection before anything is answered or done."""

    async def action(request: Request, proceed: Proceed) -> Response:
        raise DisconnectError

    return Named("reset", action)


def close() -> Action:
    """Close the connection before anything is answered or done."""

    async def action(request: Request, proceed: Proceed) -> Response:
        raise DisconnectError(reset=False)

    return Named("close", action)


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

    return Named("stall", action)


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


def without_length() -> Action:
    """Answer without a Content-Length: for HEAD the size is unknown, for GET the body ends with the connection."""
    return _delivered("without length", until_close=True)


def raw(data: bytes) -> Action:
    """Send these bytes in the place of an answer, then close: what no HTTP server would send."""

    async def action(request: Request, proceed: Proceed) -> Response:
        async for _ in request.body.pieces():
            pass
        return respond(0).deliver(raw=data)

    return Named("raw", action)


def first(function: Callable[[], object]) -> Action:
    """Call a function before the request is handled: move a tag, forget the upload sessions, end the tokens."""

    async def action(request: Request, proceed: Proceed) -> Response:
        function()
        return await proceed()

    return Named("first", action)


def afterwards(function: Callable[[], object]) -> Action:
    """Call a function when the request has been handled and before it is answered."""

    async def action(request: Request, proceed: Proceed) -> Response:
        response = await proceed()
        function()
        return response

    return Named("afterwards", action)


def _delivered(name: str, **changes: object) -> Action:
    async def action(request: Request, proceed: Proceed) -> Response:
        return (await proceed()).deliver(**changes)

    return Named(name, action)


def redirect(to: str | Callable[[Request], str], status: int = 307) -> Action:
    """Send the client elsewhere: to a URL (which may be relative) or to what a function of the request gives."""

    async def action(request: Request, proceed: Proceed) -> Response:
        return respond(status, headers=[("Location", to if isinstance(to, str) else to(request))])

    return Named("redirect", action)


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

    return Named(f"headers {sorted(changes)}", action)


def encode_gzip(*, always: bool = True) -> Action:
    """Answer with Content-Encoding gzip, whatever the client accepts (or, not `always`, where it does)."""

    async def action(request: Request, proceed: Proceed) -> Response:
        response = await proceed()
        if response.status == 200 and (always or "gzip" in (request.headers.get("accept-encoding") or "")):
            response.body, response.start, response.stop = Bytes(gzip.compress(response.whole(), 1)), 0, None
            response.headers.set("Content-Encoding", "gzip")
        return response

    return Named("gzip", action)


def chain(*actions: Action) -> Action:
    """Apply several actions to one request, the first outermost."""

    async def action(request: Request, proceed: Proceed) -> Response:
        for inner in reversed(actions):
            proceed = _bind(inner, request, proceed)
        return await proceed()

    return Named(" + ".join(map(repr, actions)), action)


def in_turn(actions: Iterable[Action | None]) -> Action:
    """Give each matching request the next action of a list; None, and what comes after the end, is left alone."""
    rest = iter(list(actions))

    async def action(request: Request, proceed: Proceed) -> Response:
        chosen = next(rest, None)
        return await (proceed() if chosen is None else chosen(request, proceed))

    return Named("in turn", action)


def _bind(action: Action, request: Request, proceed: Proceed) -> Proceed:
    async def call() -> Response:
        return await action(request, proceed)

    return call
