"""What can happen to the body of a request; see scripted.faults."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from scripted.named import Named
from scripted.problem import problem
from scripted.wire import DisconnectError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from scripted.named import Proceed
    from scripted.rules import Action
    from scripted.wire import Body, Request, Response


def refuse_upload(status: int, *, after: int) -> Action:
    """Read so many bytes of the request's body, then answer with the status and leave the rest unread."""

    async def action(request: Request, proceed: Proceed) -> Response:
        if request.body.length is not None and request.body.length <= after:
            return await proceed()
        await _read_some(request.body, after)
        return problem(status, "SIZE_INVALID", f"no more than {after} bytes")

    return Named(f"refuse upload after {after}", action)


def reset_upload(*, after: int, keep: bool = False) -> Action:
    """Reset the connection when so many bytes of the body have come; with `keep`, the server stores those."""

    async def action(request: Request, proceed: Proceed) -> Response:
        if not keep:
            await _read_some(request.body, after)
            raise DisconnectError
        request.body.pieces = _until(request.body, after)  # type: ignore[method-assign]
        return await proceed()

    return Named(f"reset upload after {after}", action)


def stall_upload(seconds: float, *, after: int) -> Action:
    """Stop reading the request's body for a time when so many bytes have come."""

    async def action(request: Request, proceed: Proceed) -> Response:
        request.body.pieces = _paused(request.body, after, seconds)  # type: ignore[method-assign]
        return await proceed()

    return Named(f"stall upload after {after}", action)


def drip_upload(rate: float, *, after: int = 0) -> Action:
    """Read the request's body no faster than so many bytes per second, when so many have come."""

    async def action(request: Request, proceed: Proceed) -> Response:
        request.body.pieces = _slowed(request.body, rate, after)  # type: ignore[method-assign]
        return await proceed()

    return Named(f"drip upload at {rate:g} B/s after {after}", action)


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


def _slowed(body: Body, rate: float, after: int) -> Callable[[], AsyncIterator[bytes]]:
    original = body.pieces

    async def pieces() -> AsyncIterator[bytes]:
        async for piece in original():
            yield piece
            if body.received >= after:
                await asyncio.sleep(len(piece) / rate)

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
