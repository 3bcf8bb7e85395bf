"""Platforms (image-spec image-index.md): `os/architecture[/variant]`."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PART = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """A platform of an index entry, or one that a user selects."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Return the platform `linux/amd64` or `linux/arm/v7`, in any case; raises ValueError otherwise."""
        parts = text.lower().split("/")
        if len(parts) not in (2, 3) or not all(_PART.fullmatch(part) for part in parts):
            raise ValueError(f"{text!r} is not a platform: write os/arch or os/arch/variant, as linux/arm/v7")
        return cls(*parts)

    def selects(self, other: Platform) -> bool:
        """
        Return whether this platform selects an entry of platform `other`; case does not matter.

        Without a variant, it selects all variants. For arm64, a missing variant equals v8 on either side.
        """
        system, architecture, variant = self.os.lower(), self.architecture.lower(), self.variant.lower()
        if (system, architecture) != (other.os.lower(), other.architecture.lower()):
            return False
        if not variant or variant == other.variant.lower():
            return True
        return architecture == "arm64" and {variant, other.variant.lower()} <= {"", "v8"}

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)
