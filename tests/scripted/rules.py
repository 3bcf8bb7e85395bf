"""Rules: which requests get something else than they should."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote

from scripted.record import method_matches

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from scripted.wire import Request, Response


class Action(Protocol):
    """
    What a rule does with a request: answers itself, or changes what `proceed` gives.

    It may raise wire.DisconnectError. scripted.faults has the usual ones; any async function of this form will do.
    """

    async def __call__(self, request: Request, proceed: Callable[[], Awaitable[Response]], /) -> Response: ...


@dataclass(slots=True, kw_only=True)
class Rule:
    """One rule, and how often it met a request."""

    method: str
    pattern: str
    respond: Action
    times: int | None
    """How many requests it is for; None for all."""
    after: int
    """How many requests it lets pass first."""
    every: int
    """Of those that come then, it takes one in so many."""
    authorized: bool
    """Whether only requests that passed the authorization count."""
    when: Callable[[Request], bool] | None
    seen: int = field(default=0)
    met: int = field(default=0)
    """How many requests it was applied to."""
    active: bool = True

    def take(self, request: Request) -> bool:
        """Tell whether the rule is for this request, and count it."""
        if not self.active or not method_matches(self.method, request.method):
            return False
        if re.search(self.pattern, unquote(request.target)) is None:
            return False
        if self.when is not None and not self.when(request):
            return False
        self.seen += 1
        if self.seen <= self.after or (self.seen - self.after - 1) % self.every:
            return False
        if self.times is not None and self.met >= self.times:
            return False
        self.met += 1
        return True

    def end(self) -> None:
        """Let everything pass from now on."""
        self.active = False

    def __str__(self) -> str:
        return f"{self.method} {self.pattern}: {self.respond}"


class Rules:
    """The rules of one server; the first that was made is the outermost."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []

    def on(
        self,
        method: str,
        pattern: str,
        *,
        respond: Action,
        times: int | None = None,
        after: int = 0,
        every: int = 1,
        authorized: bool = False,
        when: Callable[[Request], bool] | None = None,
    ) -> Rule:
        """
        Make a rule: for `GET|HEAD` (or `*`) and targets (path and query, decoded) where the pattern is found.

        It lets `after` matching requests pass, then takes one in `every`, `times` times (None: for ever). With
        `authorized`, requests that are refused for their credentials do not count.
        """
        rule = Rule(
            method=method,
            pattern=pattern,
            respond=respond,
            times=times,
            after=after,
            every=every,
            authorized=authorized,
            when=when,
        )
        self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Remove all rules: the server is as it should be."""
        self._rules.clear()

    async def apply(
        self,
        request: Request,
        proceed: Callable[[], Awaitable[Response]],
        *,
        authorized: bool,
        met: list[str],
    ) -> Response:
        """Send the request through the rules of this stage that take it, then to `proceed`."""
        return await self._from(0, request, proceed, authorized=authorized, met=met)

    async def _from(
        self,
        start: int,
        request: Request,
        proceed: Callable[[], Awaitable[Response]],
        *,
        authorized: bool,
        met: list[str],
    ) -> Response:
        # A rule counts only requests that get as far as to it: an outer one that answers leaves it alone.
        for number in range(start, len(self._rules)):
            rule = self._rules[number]
            if rule.authorized == authorized and rule.take(request):
                met.append(str(rule))

                async def inner(after: int = number + 1) -> Response:
                    return await self._from(after, request, proceed, authorized=authorized, met=met)

                return await rule.respond(request, inner)
        return await proceed()
