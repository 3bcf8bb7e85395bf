"""`WWW-Authenticate` (RFC 9110 section 11.6.1), read as servers write it. Pure; never raises on what it reads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_LENGTH = 16 * 1024
"""Characters of one header that are read at most."""
MAX_CHALLENGES = 16
_MAX_PARAMETERS = 32

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TOKEN68 = re.compile(r"[ \t]+([A-Za-z0-9._~+/-]+=*)[ \t]*(?=,|$)")
_EQUALS = re.compile(r"[ \t]*=[ \t]*")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)(?:"|\\?$)', re.DOTALL)
# More than the RFC allows without quotes: some servers leave them out around URLs.
_BARE = re.compile(r'[^\s,"]*')
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_GAP = re.compile(r"[\s,]*")
_GARBAGE = re.compile(r'(?:"(?:[^"\\]|\\.)*"?|[^",])*', re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """One challenge; `scheme` and the names of the parameters are in lower case."""

    scheme: str
    parameters: tuple[tuple[str, str], ...] = ()
    token68: str = ""

    def get(self, name: str) -> str | None:
        """Return the value of a parameter, the first if there are several; None when there is none."""
        return next((value for key, value in self.parameters if key == name), None)


def parse(headers: Sequence[str]) -> tuple[Challenge, ...]:
    """Read all challenges of all `WWW-Authenticate` headers of a response, in their order."""
    found: list[Challenge] = []
    for header in headers:
        _read(header[:MAX_LENGTH], found)
    return tuple(found[:MAX_CHALLENGES])


def choose(challenges: Sequence[Challenge]) -> Challenge | None:
    """Return the challenge to answer: the first Bearer that names a realm, else the first Basic, else None."""
    bearer = (each for each in challenges if each.scheme == "bearer" and each.get("realm"))
    basic = (each for each in challenges if each.scheme == "basic")
    return next(bearer, None) or next(basic, None)


def _read(text: str, found: list[Challenge]) -> None:
    """Add the challenges of one header; a comma may end a parameter or a challenge, so what follows decides."""
    scheme, parameters, token68 = "", list[tuple[str, str]](), ""

    def finish() -> None:
        if scheme:
            found.append(Challenge(scheme=scheme, parameters=tuple(parameters), token68=token68))

    position = _GAP.match(text).end()  # type: ignore[union-attr] # it matches nothing too
    while position < len(text) and len(found) < MAX_CHALLENGES:
        name = _TOKEN.match(text, position)
        if name is None:
            position = _skip(text, position)
            continue
        position = name.end()
        if equals := _EQUALS.match(text, position):
            value, position = _value(text, equals.end())
            if len(parameters) < _MAX_PARAMETERS:
                parameters.append((name.group().lower(), value))
        else:
            finish()
            scheme, parameters, token68 = name.group().lower(), [], ""
            if credentials := _TOKEN68.match(text, position):
                token68, position = credentials.group(1), credentials.end()
        position = _GAP.match(text, position).end()  # type: ignore[union-attr] # as above
    finish()


def _value(text: str, position: int) -> tuple[str, int]:
    if quoted := _QUOTED.match(text, position):
        return _ESCAPE.sub(r"\1", quoted.group(1)), quoted.end()
    bare = _BARE.match(text, position)
    assert bare is not None
    return bare.group(), bare.end()


def _skip(text: str, position: int) -> int:
    """Return where reading can go on behind what is neither a scheme nor a parameter: at least one further."""
    garbage = _GARBAGE.match(text, position)
    end = garbage.end() if garbage else position
    gap = _GAP.match(text, end)
    return max(gap.end() if gap else end, position + 1)
