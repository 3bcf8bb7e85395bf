"""
Variables in texts: `${V}`, `${V:-default}`, `${V:?message}`, and `$$` for a dollar sign.

Substitution follows parsing, and is not repeated on its own results: a variable may hold any character. The origin
of each part is kept, so that errors name variables and never show their values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_LENGTH = 1 << 20
"""Characters of one value with its variables filled in."""

_EXPRESSION = re.compile(r"\$\$|\$\{([^}]*)\}|\$\{")
_OPERATOR = re.compile(r":[-?]")
# Kubernetes allows any printable ASCII but = in a variable's name (validation.IsEnvVarName, relaxed, from 1.34 on).
_NAME = re.compile(r"[ -<>-~]+", re.ASCII)
_SURROGATE = re.compile(r"[\ud800-\udfff]")


class SubstitutionError(ValueError):
    """A value's variables can't be filled in; the message never shows a variable's value."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a value."""

    text: str = field(repr=False)
    variable: str = ""
    """The variable that it replaces, by its value or its default; empty for literal text."""


@dataclass(frozen=True)
class Substituted:
    """A value with its variables filled in."""

    template: str
    """The text as written."""
    parts: tuple[Part, ...] = field(repr=False)
    missing: tuple[str, ...] = ()
    """Variables that are not set or empty, and have no default."""
    unset: tuple[str, ...] = ()
    """The variables of `missing` that are not set."""

    @cached_property
    def value(self) -> str:
        """The resulting text."""
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
        """The variables for a message: `${A} and ${B}`."""
        return _listed(self.variables)

    @property
    def reason(self) -> str:
        """Why variables are missing: `${A} is not set`; empty if none is."""
        empty = tuple(name for name in self.missing if name not in self.unset)
        states = ((self.unset, "not set"), (empty, "empty"))
        return " and ".join(
            f"{_listed(names)} {'is' if len(names) == 1 else 'are'} {state}" for names, state in states if names
        )


def has_dollars(text: str) -> bool:
    """Return whether `substitute` would change the text; a lone dollar sign is literal."""
    return "${" in text or "$$" in text


def substitute(text: str, environ: Mapping[str, str], *, stand_ins: bool = False) -> Substituted:
    """
    Return the text with its variables filled in.

    With `stand_ins`, a variable that is not set becomes a word made of its name, which is valid in a host or
    repository: so the rest can be checked without it. It is in `missing` all the same.

    Raises SubstitutionError for an unclosed `${`, for a bad name, for a value that is not UTF-8, and with the
    message of `${V:?message}` if V is not set or empty.
    """
    parts: list[Part] = []
    missing: list[str] = []
    end = length = 0
    for found in _EXPRESSION.finditer(text):
        if found.start() > end:
            parts.append(Part(text[end : found.start()]))
        end = found.end()
        if found[0] == "$$":
            parts.append(Part("$"))
            continue
        part, given = _fill(found[1], environ)
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
    """Return a text that `substitute` turns into the given one."""
    return text.replace("$", "$$") if has_dollars(text) else text


def _fill(expression: str | None, environ: Mapping[str, str]) -> tuple[Part, bool]:
    """Return the part for an expression between `${` and `}`, and whether it has a value or a default."""
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
        message = " ".join(rest.split())
        raise SubstitutionError(f"{message} ({state})" if message else state)
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
        # The expression is not shown: it may be part of a password that was not meant to contain a variable.
        raise SubstitutionError(
            "a ${ begins no variable: write ${NAME}, ${NAME:-default} or ${NAME:?message}, or $$ for a dollar sign"
        )
    return (name, found[0], expression[found.end() :]) if found else (name, "", "")


def _listed(names: tuple[str, ...]) -> str:
    shown = [f"${{{name}}}" for name in names]
    return " and ".join(filter(None, (", ".join(shown[:-1]), *shown[-1:])))
