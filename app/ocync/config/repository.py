"""Where a mapping reads or writes, in a form that two mappings can be compared by."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ocync.config.model import RegistryConfig


class Repository(NamedTuple):
    """A repository, whatever names the file has for its registry."""

    registry: str
    """`host[:port]` without the scheme's own port, or `oci:FOLDER`."""
    name: str
    """With the registry's prefix and Docker Hub's library/."""

    @classmethod
    def of(cls, registry: RegistryConfig, name: str) -> Repository:
        """Return the repository that users call so in a registry."""
        return cls.whole(registry, registry.registry.repository(name) if registry.registry else name)

    @classmethod
    def whole(cls, registry: RegistryConfig, name: str) -> Repository:
        """Return the repository that has the name with all that the registry adds to it."""
        if registry.registry is not None:
            return cls(registry.registry.canonical, name)
        return cls(f"oci:{os.path.normpath(registry.layout or '.')}", name)

    def __str__(self) -> str:
        return f"{self.registry}/{self.name}"
