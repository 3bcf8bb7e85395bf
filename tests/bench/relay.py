"""A narrow line to a registry: a TCP relay that hands on so many bytes in a second, of all connections together."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# So many bytes of one connection, then the next one has its turn: a head waits behind one piece of each other one.
_PIECE = 16 * 1024
# What the kernel takes beyond that before anybody has read it. Linux doubles it (socket(7), SO_RCVBUF).
_BUFFER = 32 * 1024
_BACKLOG = 1024


class Relay:
    """Relays connections to an address; what clients send passes at `rate` bytes per second, answers at once."""

    def __init__(self, rate: float, to: tuple[str, int]) -> None:
        self._rate = rate
        self._to = to
        self._loop = asyncio.new_event_loop()
        self._free_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    def serve(self, listener: socket.socket) -> None:
        """Take connections until `stop` is called; the thread's function."""
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._connected, sock=listener, limit=_PIECE))
        try:
            self._loop.run_forever()
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
            self._loop.close()

    def stop(self) -> None:
        """End `serve`; called from another thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A plain function, so that the tasks are ours to end.
        task = self._loop.create_task(self._relay(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there, onward = await asyncio.open_connection(*self._to)
            try:
                # Whichever side ends it, ends it for both: TLS tells apart what was cut.
                ways = [
                    self._loop.create_task(self._hand_on(reader, onward, self._rate)),
                    self._loop.create_task(self._hand_on(there, writer, None)),
                ]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)
            finally:
                onward.close()
        writer.close()

    async def _hand_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rate: float | None
    ) -> None:
        while data := await reader.read(_PIECE):
            if rate is not None:
                now = self._loop.time()
                self._free_at = max(self._free_at, now) + len(data) / rate
                await asyncio.sleep(self._free_at - now)
            writer.write(data)
            await writer.drain()


@contextmanager
def relaying(rate: float, to: tuple[str, int]) -> Iterator[int]:
    """Relay to an address while the context lasts; gives the port to connect to, on the same host."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        listener.bind((to[0], 0))
        listener.listen(_BACKLOG)
        relay = Relay(rate, to)
        thread = threading.Thread(target=relay.serve, args=(listener,), name="relay")
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            relay.stop()
            thread.join()
