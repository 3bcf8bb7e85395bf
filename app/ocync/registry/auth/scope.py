"""The scopes of tokens: `repository:<name>:pull,push` (distribution's token scope documentation). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_SCOPES = 16
"""Scopes of one challenge; the rest is ignored."""


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """
    Actions on one resource, usually a repository.

    `repository` has no host part, and on Docker Hub it has `library/`. The actions are kept sorted, each once.
    """

    repository: str
    actions: tuple[str, ...]
    kind: str = "repository"

    def __post_init__(self) -> None:
        object.__setattr__(self, "actions", tuple(sorted(set(self.actions))))

    def __str__(self) -> str:
        return f"{self.kind}:{self.repository}:{','.join(self.actions)}"


def parse(text: str) -> frozenset[Scope]:
    """Return the scopes of a challenge's `scope`, which are separated by spaces; invalid ones are left out."""
    found = set()
    for word in text.split()[:_MAX_SCOPES]:
        kind, _, rest = word.partition(":")
        # A resource's name may contain a colon (host:port/name): the actions follow the last one.
        name, _, actions = rest.rpartition(":")
        named = tuple(action for action in actions.split(",") if action)
        if kind and name and named:
            found.add(Scope(name, named, kind))
    return merge(found)


def merge(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """Return one scope for each resource, with all of its actions."""
    actions: dict[tuple[str, str], set[str]] = {}
    for scope in scopes:
        actions.setdefault((scope.repository, scope.kind), set()).update(scope.actions)
    return frozenset(Scope(name, tuple(every), kind) for (name, kind), every in actions.items())


def ordered(scopes: Iterable[Scope]) -> tuple[Scope, ...]:
    """
    Return the scopes in the order of the request: those with push first.

    Some token services read nothing but the first scope (google/go-containerregistry, transport/bearer.go).
    """
    return tuple(sorted(scopes, key=lambda scope: ("push" not in scope.actions, scope)))


def allowed_by(wanted: Iterable[Scope], granted: Iterable[Scope]) -> bool:
    """Return whether all actions that are wanted are among those granted."""
    have = {(s.kind, s.repository, action) for s in granted for action in s.actions}
    return all((s.kind, s.repository, action) in have for s in wanted for action in s.actions)
