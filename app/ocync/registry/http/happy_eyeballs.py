"""TCP connections: one address after the other, without waiting long for a dead one (RFC 8305)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

from ocync.registry.http.socket_errors import reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocync.registry.http.dns import Address

HEAD_START = 0.25
"""Seconds after which the next address is tried beside the one before it."""


async def connect(addresses: Sequence[Address]) -> tuple[socket.socket, Address]:
    """Return a connected socket and where it leads; raises OSError when no address can be reached."""
    if len(addresses) == 1:
        return await _connect(addresses[0]), addresses[0]
    race = _Race()
    try:
        await race.run(addresses)
    except BaseException:
        if race.winner is not None:
            race.winner[0].close()
        raise
    if race.winner is None:
        raise OSError("; ".join(dict.fromkeys(race.failures)))
    return race.winner


class _Race:
    def __init__(self) -> None:
        self.winner: tuple[socket.socket, Address] | None = None
        self.failures: list[str] = []
        self._runners: list[asyncio.Task[None]] = []

    async def run(self, addresses: Sequence[Address]) -> None:
        async with asyncio.TaskGroup() as group:
            for address in addresses:
                over = asyncio.Event()
                self._runners.append(group.create_task(self._try(address, over)))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(HEAD_START):
                        await over.wait()
                if self.winner is not None:
                    return

    async def _try(self, address: Address, over: asyncio.Event) -> None:
        try:
            sock = await _connect(address)
        except OSError as error:
            self.failures.append(f"{address}: {reason(error)}")
            return
        finally:
            over.set()
        if self.winner is not None:
            sock.close()
            return
        self.winner = sock, address
        for runner in self._runners:
            if runner is not asyncio.current_task():
                runner.cancel()


async def _connect(address: Address) -> socket.socket:
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        # Requests are written whole; nothing is won by waiting for more.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, address.place)
    except BaseException:
        sock.close()
        raise
    return sock
