"""
Variables in text: `${V}`, `${V:-default}`, `${V:?message}`, and `$$` for a dollar sign.

Applied to text that was parsed already, once, and never to what it put in: a variable may hold any character. The
environment is an argument. What came from where is kept, so that errors name variables and never show them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_LENGTH = 1 << 20
"""Characters that one value may have once its variables are filled in."""

_SIGN = re.compile(r"\$\$|\$\{([^}]*)\}|\$\{")
_OPERATOR = re.compile(r":[-?]")
# Kubernetes takes any printable ASCII but = for the name of a variable (validation.IsEnvVarName, relaxed, 1.34 on).
_NAME = re.compile(r"[ -<>-~]+", re.ASCII)
_SURROGATE = re.compile(r"[\ud800-\udfff]")


class SubstitutionError(ValueError):
    """A value's variables can't be filled in; the message never holds what a variable holds."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a value."""

    text: str = field(repr=False)
    variable: str = ""
    """The variable whose place it takes, be it with its value or its default; empty for what stood there."""


@dataclass(frozen=True)
class Substituted:
    """A value with its variables filled in."""

    template: str
    """The text as it was written."""
    parts: tuple[Part, ...] = field(repr=False)
    missing: tuple[str, ...] = ()
    """Variables that gave nothing, because they are not set or empty and have no default."""
    unset: tuple[str, ...] = ()
    """Those of them that are not set at all."""

    @cached_property
    def value(self) -> str:
        """The text that the program works with."""
        return "".join(part.text for part in self.parts)

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables in the order of their first use."""
        return tuple(dict.fromkeys(part.variable for part in self.parts if part.variable))

    @property
    def whole(self) -> bool:
        """Whether the value is one variable and nothing else."""
        return len(self.parts) == 1 and bool(self.parts[0].variable)

    @property
    def named(self) -> str:
        """The variables as a message names them: `${A} and ${B}`."""
        return _listed(self.variables)

    @property
    def reason(self) -> str:
        """Why variables gave nothing: `${A} is not set`; empty where all gave something."""
        empty = tuple(name for name in self.missing if name not in self.unset)
        states = ((self.unset, "not set"), (empty, "empty"))
        return " and ".join(f"{_listed(names)} {_be(names)} {state}" for names, state in states if names)


def has_signs(text: str) -> bool:
    """Return whether there is anything to do in the text; a dollar sign alone is only that."""
    return "${" in text or "$$" in text


def substitute(text: str, environ: Mapping[str, str], *, stand_ins: bool = False) -> Substituted:
    """
    Fill in the variables; raises SubstitutionError.

    With `stand_ins`, a variable that is not set gives a word made of its name, which looks like part of a host or
    repository: so the rest can be checked without it. It is among the `missing` all the same.

    It is an error when `${` has no end, when `${V:?message}` finds V unset or empty (the error is the message),
    and when a variable can't be named so or holds bytes that are no text.
    """
    parts: list[Part] = []
    missing: list[str] = []
    end = length = 0
    for sign in _SIGN.finditer(text):
        if sign.start() > end:
            parts.append(Part(text[end : sign.start()]))
        end = sign.end()
        if sign[0] == "$$":
            parts.append(Part("$"))
            continue
        part, given = _fill(sign[1], environ)
        length += len(part.text)
        if not given:
            missing.append(part.variable)
            part = Part(_stand_in(part.variable) if stand_ins else "", part.variable)
        parts.append(part)
        if length > MAX_LENGTH:
            raise SubstitutionError(f"grows beyond {MAX_LENGTH} characters with ${{{part.variable}}}")
    if end < len(text):
        parts.append(Part(text[end:]))
    gone = tuple(dict.fromkeys(missing))
    return Substituted(text, tuple(parts), gone, tuple(name for name in gone if name not in environ))


def escape(text: str) -> str:
    """Return text that `substitute` turns into the given one."""
    return text.replace("$", "$$") if has_signs(text) else text


def _fill(expression: str | None, environ: Mapping[str, str]) -> tuple[Part, bool]:
    """Return the part for what stands between `${` and `}`, and whether there was a value or a default."""
    if expression is None:
        raise SubstitutionError("a ${ has no } behind it; write $$ for a dollar sign that begins no variable")
    name, operator, rest = _split(expression)
    value = environ.get(name, "")
    if _SURROGATE.search(value):
        raise SubstitutionError(f"${{{name}}} holds bytes that are not UTF-8")
    if value:
        return Part(value, name), True
    if operator == ":?":
        state = f"${{{name}}} is {'empty' if name in environ else 'not set'}"
        said = " ".join(rest.split())
        raise SubstitutionError(f"{said} ({state})" if said else state)
    return Part(rest, name), operator == ":-"


def _stand_in(name: str) -> str:
    return re.sub("[^a-z0-9]+", "-", name.lower()).strip("-") or "x"


def _split(expression: str) -> tuple[str, str, str]:
    if "${" in expression:
        raise SubstitutionError("a ${ stands inside another one; variables can't be nested")
    found = _OPERATOR.search(expression)
    name = expression[: found.start()] if found else expression
    if not name:
        raise SubstitutionError("${} names no variable; write $$ for a dollar sign that begins none")
    if ":+" in name or ":=" in name or not _NAME.fullmatch(name):
        # What stands there is not shown: it may be part of a password that nobody meant to hold a variable.
        raise SubstitutionError(
            "a ${ begins no variable: write ${NAME}, ${NAME:-default} or ${NAME:?message}, or $$ for a dollar sign"
        )
    return (name, found[0], expression[found.end() :]) if found else (name, "", "")


def _be(names: tuple[str, ...]) -> str:
    return "is" if len(names) == 1 else "are"


def _listed(names: tuple[str, ...]) -> str:
    shown = [f"${{{name}}}" for name in names]
    return " and ".join(filter(None, (", ".join(shown[:-1]), *shown[-1:])))
