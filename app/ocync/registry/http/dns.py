"""The addresses of a host: DNS answers, kept for a minute, in the order in which they are tried."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass
from functools import partial
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

from ocync.lib.ssrf import is_forbidden_address
from ocync.lib.threads import run_detached

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEPT = 60.0
"""Seconds for which an answer is kept: the system's resolver does not report its TTL."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address family and an address, as `socket.connect` takes them."""

    family: int
    sockaddr: tuple[Any, ...]

    def __str__(self) -> str:
        host, port = self.sockaddr[:2]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


@dataclass(slots=True)
class _Known:
    until: float
    addresses: Sequence[Address]
    turn: int = 0
    reached: int | None = None
    """The address family of the last connection."""


class Resolver:
    """
    Asks the system's resolver, once at a time for each host, and keeps its answers.

    Each look-up has a thread of its own. The threads of the loop's executor are few, and files need them. The
    program could not end before them either, which takes minutes if no name server answers.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], _Known] = {}
        self._asked: dict[tuple[str, int], asyncio.Future[list[Any]]] = {}

    async def addresses(self, host: str, port: int) -> list[Address]:
        """
        Return the addresses of a host, at least one; raises OSError (socket.gaierror) and UnicodeError.

        A name that resolves to a metadata service or a link-local address is an error: those are reached only by an
        address that a user has written down.
        """
        literal = _literal(host, port)
        if literal is not None:
            return [literal]
        loop = asyncio.get_running_loop()
        known = self._known.get((host, port))
        if known is None or known.until < loop.time():
            found = await self._ask(host, port)
            if "%" not in host:
                found = _without_metadata(host, found)
            reached = known.reached if known is not None else None
            known = _Known(loop.time() + _KEPT, found, reached=reached)
            self._known[host, port] = known
        known.turn += 1
        return in_order(known.addresses, turn=known.turn - 1, first=known.reached)

    def reached(self, host: str, port: int, family: int) -> None:
        """Record the address family of a connection: the next one begins with it."""
        known = self._known.get((host, port))
        if known is not None:
            known.reached = family

    def forget(self, host: str, port: int) -> None:
        """Drop the answer, because no address could be reached."""
        self._known.pop((host, port), None)

    async def _ask(self, host: str, port: int) -> list[Address]:
        key = (host, port)
        question = self._asked.get(key)
        if question is None:
            look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
            question = self._asked[key] = run_detached(look_up, name=f"DNS {host}")
            question.add_done_callback(lambda done: self._answered(key, done))
        # Shielded: other tasks wait for the same answer, and the cancellation of one must not reach them.
        answer = await asyncio.shield(question)
        return [Address(family, sockaddr) for family, _, _, _, sockaddr in answer]

    def _answered(self, key: tuple[str, int], question: asyncio.Future[list[Any]]) -> None:
        del self._asked[key]
        if not question.cancelled():
            # Retrieved, so that the loop does not log an error that no task waits for any more.
            question.exception()


def _without_metadata(host: str, found: list[Address]) -> list[Address]:
    meant = [address for address in found if not is_forbidden_address(str(address.sockaddr[0]))]
    if found and not meant:
        raise OSError(f"the name {host} leads to {found[0].sockaddr[0]}, where no registry is; it is not followed")
    return meant


def _literal(host: str, port: int) -> Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if address.version == 4:
        return Address(socket.AF_INET, (str(address), port))
    # Only the resolver knows the number of a zone (fe80::1%eth0).
    return None if "%" in host else Address(socket.AF_INET6, (str(address), port, 0, 0))


def in_order(addresses: Sequence[Address], *, turn: int, first: int | None) -> list[Address]:
    """
    Return the addresses in the order to try: families by turns (RFC 8305 section 4), `first` at the front.

    `turn` counts connections: each begins with another address of the family, which spreads the load.
    """
    by_family: dict[int, list[Address]] = {} if first is None else {first: []}
    for address in addresses:
        by_family.setdefault(address.family, []).append(address)
    turned = [[*group[turn % len(group) :], *group[: turn % len(group)]] for group in by_family.values() if group]
    return [address for address in chain.from_iterable(zip_longest(*turned)) if address is not None]
