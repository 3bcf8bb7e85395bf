"""Finding and reaching hosts: names, several addresses, dead ones, limits of time."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from dialogue import HASTY, LIMITS, Peer, answering, ask, fetch, playing, whole
from ocync.config.model import TlsSettings
from ocync.registry.http import connect
from ocync.registry.http.dns import Address, Resolver
from ocync.registry.http.pool import Origin, Pool
from ocync.registry.http.trust import context
from servers.process import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@asynccontextmanager
async def deaf() -> AsyncIterator[Address]:
    """Give an address where connections are neither taken nor refused: its queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        name = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(name)
        await asyncio.sleep(0.05)
        try:
            yield Address(socket.AF_INET, name)
        finally:
            for filler in fillers:
                filler.close()


def refusing() -> Address:
    return Address(socket.AF_INET, ("127.0.0.1", free_port()))


def address_of(port: int) -> Address:
    return Address(socket.AF_INET, ("127.0.0.1", port))


async def silent(peer: Peer) -> None:
    await peer.until_closed()


async def test_nobody_listens(pool: Pool) -> None:
    port = free_port()
    origin = Origin("http", "127.0.0.1", port)
    with pytest.raises(httpx.ConnectError, match=rf"^no connection to 127\.0\.0\.1:{port}: Connection refused$"):
        await pool.send(origin, "GET", b"/", [], None, LIMITS)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70 + ".example", "..", "a b"])
async def test_a_name_that_leads_nowhere(pool: Pool, host: str) -> None:
    with pytest.raises(httpx.ConnectError, match="no connection to"):
        await pool.send(Origin("http", host, 80), "GET", b"/", [], None, LIMITS)


async def test_a_connection_that_is_not_taken_is_a_timeout(pool: Pool) -> None:
    async with deaf() as address:
        with pytest.raises(httpx.ConnectTimeout, match=r"within 0\.3 s"):
            await pool.send(Origin("http", "127.0.0.1", address.sockaddr[1]), "GET", b"/", [], None, HASTY)


async def test_a_literal_of_ipv6_is_reached_and_named(pool: Pool) -> None:
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        heads.append(await peer.request())
        await peer.say(OK)

    async with playing(script, host="::1") as stage:
        assert await fetch(pool, stage, host="::1") == b"ok"
        assert heads == [f"GET / HTTP/1.1\r\nHost: [::1]:{stage.port}\r\n\r\n".encode()]


# Several addresses.


async def test_the_next_address_is_tried_at_once_after_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "HEAD_START", 1e6)
    async with playing(silent) as stage:
        sock, where = await connect.connect_first([refusing(), refusing(), address_of(stage.port)])
        sock.close()

        assert where == address_of(stage.port)


async def test_a_dead_address_costs_a_head_start() -> None:
    async with playing(silent) as stage, deaf() as dead:
        begun = time.monotonic()
        sock, where = await connect.connect_first([dead, address_of(stage.port)])
        sock.close()

        assert where == address_of(stage.port)
        assert time.monotonic() - begun > connect.HEAD_START * 0.9


async def test_all_refusals_are_told() -> None:
    one, other = refusing(), refusing()

    with pytest.raises(OSError, match=f"{one}: Connection refused; {other}: Connection refused"):
        await connect.connect_first([one, other])


@pytest.mark.parametrize("after", [0.0, 0.1, 0.3])
async def test_a_race_that_is_cancelled_leaves_nothing(after: float) -> None:
    async with deaf() as one, deaf() as other:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(after):
                await connect.connect_first([one, other])


async def test_a_connection_that_comes_second_is_closed() -> None:
    async with playing(silent) as stage:
        race = connect._Race()
        winner = await connect.connect_first([address_of(stage.port)])
        race.winner = winner
        await race._try(address_of(stage.port), asyncio.Event())

        assert race.winner == winner
        winner[0].close()


# Names.


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """List what the system's resolver is asked, and answer that all names are loopback."""
    asked: list[str] = []
    system = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, **options: Any) -> object:
        asked.append(host)
        time.sleep(0.05)
        if host == "missing.example":
            raise socket.gaierror(-2, "Name or service not known")
        addresses = {"rebound.example": ["169.254.169.254"], "both.example": ["169.254.169.254", "127.0.0.1"]}
        found = addresses.get(host, ["127.0.0.1"])
        return [entry for address in found for entry in system(address, port, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


async def test_a_host_is_looked_up_once(pool: Pool, questions: list[str]) -> None:
    async with playing(answering(OK)) as stage:
        responses = await asyncio.gather(*(ask(pool, stage, host="registry.example") for _ in range(20)))
        assert [await whole(response) for response in responses] == [b"ok"] * 20
        assert stage.connections == 20

        assert questions == ["registry.example"]


async def test_a_name_that_its_owner_lets_lead_to_a_metadata_service_leads_nowhere(
    pool: Pool, questions: list[str]
) -> None:
    with pytest.raises(httpx.ConnectError, match=r"rebound\.example leads to 169\.254\.169\.254"):
        await pool.send(Origin("http", "rebound.example", 80), "GET", b"/", [], None, LIMITS)

    assert questions == ["rebound.example"]


async def test_of_several_addresses_those_that_are_never_meant_are_left_out(questions: list[str]) -> None:
    found = await Resolver().addresses("both.example", 80)

    assert questions == ["both.example"]
    assert [str(address) for address in found] == ["127.0.0.1:80"]


async def test_a_host_that_could_not_be_reached_is_looked_up_again(pool: Pool, questions: list[str]) -> None:
    origin = Origin("http", "registry.example", free_port())
    for _ in range(2):
        with pytest.raises(httpx.ConnectError):
            await pool.send(origin, "GET", b"/", [], None, LIMITS)

    assert questions == ["registry.example"] * 2


async def test_a_name_that_is_missing_is_told_to_all_and_asked_for_again(questions: list[str]) -> None:
    resolver = Resolver()
    for _ in range(2):
        answers = await asyncio.gather(
            *(resolver.addresses("missing.example", 80) for _ in range(3)), return_exceptions=True
        )
        assert [type(answer) for answer in answers] == [socket.gaierror] * 3

    assert questions == ["missing.example"] * 2


async def test_one_who_waits_for_an_answer_may_give_up(questions: list[str]) -> None:
    resolver = Resolver()
    first = asyncio.ensure_future(resolver.addresses("registry.example", 80))
    second = asyncio.ensure_future(resolver.addresses("registry.example", 80))
    await asyncio.sleep(0.01)
    first.cancel()

    assert await second == [address_of(80)]
    assert questions == ["registry.example"]


async def test_a_failure_that_nobody_waits_for_is_not_reported(questions: list[str]) -> None:
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, what: reported.append(what))
    resolver = Resolver()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await resolver.addresses("missing.example", 80)
    await asyncio.sleep(0.1)

    assert questions == ["missing.example"]
    assert reported == []


async def test_a_connection_made_while_the_pool_closes_is_not_kept(pool: Pool, questions: list[str]) -> None:
    async with playing(answering(OK)) as stage, asyncio.TaskGroup() as group:
        fetching = group.create_task(fetch(pool, stage, host="registry.example"))
        await asyncio.sleep(0.01)
        await pool.close()

        assert await fetching == b"ok"
        assert repr(pool) == "<Pool: 0 busy, 0 idle>"
        assert questions == ["registry.example"]


async def test_the_limit_of_time_holds_for_the_name_too(questions: list[str]) -> None:
    pool = Pool(trust=lambda: context(TlsSettings()))
    with pytest.raises(httpx.ConnectTimeout):
        limits = type(HASTY)(connect=0.01, idle=1)
        await pool.send(Origin("http", "registry.example", 80), "GET", b"/", [], None, limits)
    await pool.close()
    await asyncio.sleep(0.1)
