"""Who may do what: users, and callers without credentials."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """
    An account. `pull` and `push` are beginnings of repository names: `("",)` is all, `()` is none.

    Who may push may also delete. `tags` limits the tags that can be pulled and are listed; None is no limit.
    """

    name: str
    password: str
    pull: tuple[str, ...] = ("",)
    push: tuple[str, ...] = ("",)
    tags: frozenset[str] | None = None

    def may(self, action: str, repository: str) -> bool:
        """Tell whether the action (`pull`, `push`, `delete`) is allowed."""
        return repository.startswith(self.pull if action == "pull" else self.push)


@dataclass(frozen=True, slots=True, kw_only=True)
class Anonymous:
    """Callers without credentials, as cgr.dev has them: they pull by digest, and these tags."""

    pull: tuple[str, ...] = ("",)
    tags: frozenset[str] | None = frozenset({"latest", "latest-dev"})
    name: str = ""

    def may(self, action: str, repository: str) -> bool:
        """Tell whether the action is allowed."""
        return action == "pull" and repository.startswith(self.pull)


Caller = User | Anonymous


def find_user(users: tuple[User, ...], authorization: str) -> User | None:
    """Return the user whose name and password an Authorization field of scheme Basic holds."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return next((user for user in users if (user.name, user.password) == (name, password)), None)
