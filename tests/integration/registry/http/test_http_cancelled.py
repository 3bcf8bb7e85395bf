"""Whatever is cancelled at whatever moment: no socket, task or timer stays behind, and the pool goes on working."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING

import httpx
import pytest

from dialogue import Peer, ask, fetch, playing, whole
from ocync.config.model import TlsSettings
from ocync.registry.http.pool import Pool
from ocync.registry.http.trust import context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from dialogue import Stage
    from scripted.certificates import Authority

SIZE = 40_000


async def store(peer: Peer) -> None:
    """Take a body and give it back, now and then slowly."""
    chance = random.Random(peer.number)
    while True:
        await peer.request()
        body = await peer.body(SIZE)
        if chance.random() < 0.3:
            await asyncio.sleep(0.002)
        await peer.say(f"HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n".encode(), body[: SIZE // 2])
        await peer.say(body[SIZE // 2 :])


async def body() -> AsyncIterator[bytes]:
    for _ in range(4):
        await asyncio.sleep(0)
        yield bytes(SIZE // 4)


async def exchange(pool: Pool, stage: Stage, scheme: str) -> None:
    fields = [("Content-Length", str(SIZE))]
    response = await ask(pool, stage, "PUT", body=body(), fields=fields, scheme=scheme)
    try:
        assert len(await whole(response)) == SIZE
    finally:
        response.close()


@pytest.mark.parametrize("is_kept", [False, True], ids=["new connection", "kept connection"])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_cancellation_at_any_step_leaves_nothing(authority: Authority, scheme: str, is_kept: bool) -> None:
    trusted = context(TlsSettings(ca_file=authority.ca_file))
    async with playing(store, tls=authority.server_context() if scheme == "https" else None) as stage:
        steps, done = 0, False
        while not done:
            steps += 1 + steps // 20
            pool = Pool(trust=lambda: trusted)
            if is_kept:
                await exchange(pool, stage, scheme)
            task = asyncio.ensure_future(exchange(pool, stage, scheme))
            # Some turns of the loop more each time, until it is over before it is cancelled.
            for _ in range(steps):
                await asyncio.sleep(0)
            done = task.done()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            assert "0 busy" in repr(pool)

            await exchange(pool, stage, scheme)
            await pool.close()
        assert steps > 10
    assert [task for task in asyncio.all_tasks() if "ocync" in repr(task)] == []


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_many_exchanges_cancelled_at_random(
    pool: Pool, tls_pool: Pool, authority: Authority, scheme: str
) -> None:
    chance = random.Random(7)
    tls = authority.server_context() if scheme == "https" else None
    ours = tls_pool if tls else pool
    finished = 0

    async def worker() -> None:
        nonlocal finished
        for _ in range(15):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(chance.random() * 0.05):
                    await exchange(ours, stage, scheme)
                    finished += 1

    async with playing(store, tls=tls) as stage:
        await asyncio.gather(*(worker() for _ in range(10)))
        assert "0 busy" in repr(ours)

        await exchange(ours, stage, scheme)
        assert finished < 150


async def test_a_response_may_be_dropped_by_cancellation_between_pieces(pool: Pool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx")
        await peer.until_closed()

    async def read() -> None:
        response = await ask(pool, stage)
        try:
            await whole(response)
        finally:
            response.close()

    async with playing(script) as stage:
        task = asyncio.ensure_future(read())
        await asyncio.sleep(0.05)
        assert repr(pool) == "<Pool: 1 busy, 0 idle>"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert repr(pool) == "<Pool: 0 busy, 0 idle>"


async def test_no_timer_is_left_by_an_exchange(pool: Pool) -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.answer(b"ok")

    async with playing(script) as stage:
        for _ in range(5):
            await fetch(pool, stage)
        loop = asyncio.get_running_loop()
        timers = [timer for timer in loop._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]

        assert [timer for timer in timers if "ocync" in repr(timer)] == []


async def test_closing_the_pool_ends_those_who_connect(pool: Pool) -> None:
    async def script(peer: Peer) -> None:
        await peer.until_closed()

    async with playing(script) as stage:
        asking = [asyncio.ensure_future(ask(pool, stage)) for _ in range(5)]
        await asyncio.sleep(0.05)
        await pool.close()

        ends = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(end) for end in ends] == [httpx.ReadError] * 5
