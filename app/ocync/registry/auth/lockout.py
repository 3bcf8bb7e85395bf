"""Credentials that were refused whenever they were shown: to show them for each image would lock the account."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ocync.lib.errors import AuthError
from ocync.registry.auth.credential import Anonymous

if TYPE_CHECKING:
    from ocync.lib.errors import RegistryError
    from ocync.registry.auth.credential import Credential

LIMIT = 3
"""Refusals after which credentials that nobody has ever taken are not shown any more."""


class Refusals:
    """What became of credentials at one registry. Those that were taken once are good: it is a right that lacks."""

    def __init__(self) -> None:
        self._taken: set[Credential] = set()
        self._counts: Counter[Credential] = Counter()
        self._errors: dict[Credential, RegistryError] = {}

    def __repr__(self) -> str:
        return f"<Refusals: {sum(self._counts.values())}, {len(self._taken)} credentials taken>"

    def refused(self, credential: Credential, error: RegistryError) -> None:
        """Count a 401 to credentials; there is nothing to lock where there are none."""
        if error.status == 401 and not isinstance(credential, Anonymous):
            self._counts[credential] += 1
            self._errors[credential] = error

    def taken(self, credential: Credential) -> None:
        """Record that the registry, or its token service, has taken the credentials for something."""
        self._taken.add(credential)

    def check(self, credential: Credential) -> None:
        """Raise the AuthError of the last refusal, where there is no use in showing the credentials once more."""
        if self._counts[credential] >= LIMIT and credential not in self._taken:
            last = self._errors[credential]
            raise AuthError(last.message, host=last.host, status=last.status, hint=last.hint)
