"""What all requests about one repository have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ocync.registry.auth.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ocync.oci.reference import RepositoryName
    from ocync.registry.client import RegistryClient
    from ocync.registry.http.origin import Url
    from ocync.registry.repository_creation import RepositoryCreation

T = TypeVar("T")


class RepositoryApi:
    """The API of one repository: its URLs, and the scopes of its requests."""

    def __init__(
        self,
        client: RegistryClient,
        name: RepositoryName,
        *,
        writable: bool = False,
        creation: RepositoryCreation | None = None,
    ) -> None:
        self.client = client
        self.path = name.path
        self.name = f"{client.host}/{name.path}"
        self._root = client.url(f"/v2/{name.path}/")
        self.scopes = frozenset({Scope(name.path, ("pull", "push") if writable else ("pull",))})
        self.creation = creation
        """Makes the repository where a write finds that it is missing; without one, that is an error."""

    def __repr__(self) -> str:
        return f"<RepositoryApi of {self.name}>"

    def url(self, resource: str) -> Url:
        """Return the URL of what the repository has, such as `manifests/latest`."""
        return self._root.append(resource)

    def image(self, reference: str) -> str:
        """Return the name of what a tag or digest points to."""
        return f"{self.name}{'@' if ':' in reference else ':'}{reference}"

    async def write(self, write: Callable[[], Awaitable[T]]) -> T:
        """Return what `write` returns, after making the repository where that is wanted and needed."""
        return await (self.creation.writing(self.path, write) if self.creation else write())
