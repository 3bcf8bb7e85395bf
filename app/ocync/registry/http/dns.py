"""Where a host is: DNS answers, kept for a minute, in the order in which they are tried."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

from ocync.lib.ssrf import is_forbidden_address

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEPT = 60.0
"""Seconds for which an answer is used again. The system's resolver does not tell how long it may be."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect to, as a socket takes it."""

    family: int
    place: tuple[Any, ...]

    def __str__(self) -> str:
        host, port = self.place[:2]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


@dataclass(slots=True)
class _Known:
    until: float
    addresses: Sequence[Address]
    turn: int = 0
    reached: int | None = None
    """The family over which the host was reached last."""


class Resolver:
    """
    Asks the system's resolver, once at a time for each host, and remembers what it said.

    Each question has a thread of its own. Those of the loop's executor are few, and needed for files; and the
    program could not end before the last of them does, which takes minutes where no name server answers.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], _Known] = {}
        self._asked: dict[tuple[str, int], asyncio.Future[list[Any]]] = {}

    async def addresses(self, host: str, port: int) -> list[Address]:
        """
        Return the addresses of a host, at least one; raises OSError (socket.gaierror) and UnicodeError.

        A name whose owner lets it lead to a metadata service, or to this link, leads nowhere: those are only
        reached by their addresses, where somebody has written them down.
        """
        literal = _literal(host, port)
        if literal is not None:
            return [literal]
        loop = asyncio.get_running_loop()
        known = self._known.get((host, port))
        if known is None or known.until < loop.time():
            found = await self._ask(host, port)
            if "%" not in host:
                found = _meant(host, found)
            reached = known.reached if known is not None else None
            known = _Known(loop.time() + _KEPT, found, reached=reached)
            self._known[host, port] = known
        known.turn += 1
        return in_order(known.addresses, turn=known.turn - 1, first=known.reached)

    def reached(self, host: str, port: int, family: int) -> None:
        """Note over which family a host was reached: the next connection begins with it."""
        known = self._known.get((host, port))
        if known is not None:
            known.reached = family

    def forget(self, host: str, port: int) -> None:
        """Ask again the next time: no address could be reached."""
        self._known.pop((host, port), None)

    async def _ask(self, host: str, port: int) -> list[Address]:
        key = (host, port)
        question = self._asked.get(key)
        if question is None:
            loop = asyncio.get_running_loop()
            question = self._asked[key] = loop.create_future()
            question.add_done_callback(lambda done: self._answered(key, done))
            threading.Thread(target=_look_up, args=(host, port, question), name=f"DNS {host}", daemon=True).start()
        # Shielded: many wait for the same answer, and one that is cancelled must not take it from the others.
        answer = await asyncio.shield(question)
        return [Address(family, place) for family, _, _, _, place in answer]

    def _answered(self, key: tuple[str, int], question: asyncio.Future[list[Any]]) -> None:
        del self._asked[key]
        if not question.cancelled():
            # Taken, so that nobody is told of a failure which nobody waits for any more.
            question.exception()


def _look_up(host: str, port: int, question: asyncio.Future[list[Any]]) -> None:
    found: list[Any] | Exception
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except Exception as error:
        # Raised again by who asked.
        found = error
    # Where the loop has ended, nobody waits for the answer any more.
    with suppress(RuntimeError):
        question.get_loop().call_soon_threadsafe(_tell, question, found)


def _tell(question: asyncio.Future[list[Any]], found: list[Any] | Exception) -> None:
    if question.done():
        return
    if isinstance(found, Exception):
        question.set_exception(found)
    else:
        question.set_result(found)


def _meant(host: str, found: list[Address]) -> list[Address]:
    meant = [address for address in found if not is_forbidden_address(str(address.place[0]))]
    if found and not meant:
        raise OSError(f"the name {host} leads to {found[0].place[0]}, where no registry is; it is not followed")
    return meant


def _literal(host: str, port: int) -> Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if address.version == 4:
        return Address(socket.AF_INET, (str(address), port))
    # Of a zone (fe80::1%eth0) only the resolver knows the number.
    return None if "%" in host else Address(socket.AF_INET6, (str(address), port, 0, 0))


def in_order(addresses: Sequence[Address], *, turn: int, first: int | None) -> list[Address]:
    """
    Return the addresses in the order to try: families by turns (RFC 8305 section 4), `first` at the front.

    `turn` counts connections: each begins with another address of the family, so that they are spread.
    """
    by_family: dict[int, list[Address]] = {} if first is None else {first: []}
    for address in addresses:
        by_family.setdefault(address.family, []).append(address)
    turned = [[*group[turn % len(group) :], *group[: turn % len(group)]] for group in by_family.values() if group]
    return [address for address in chain.from_iterable(zip_longest(*turned)) if address is not None]
