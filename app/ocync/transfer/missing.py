"""An artifact that targets lack, and what is said of one that they do not take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocync.errors import ImmutableTagError, ProtocolError
from ocync.oci import referrers

if TYPE_CHECKING:
    from ocync.endpoint import Repository
    from ocync.errors import OcyncError
    from ocync.oci.digest import Digest
    from ocync.oci.manifest import Descriptor, Manifest
    from ocync.transfer.destination import Destination

_REFUSED_AS_A_MANIFEST = ("MANIFEST_INVALID", "UNSUPPORTED")


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """An artifact that some targets lack."""

    source: Repository
    subject: Digest
    descriptor: Descriptor
    tag: str | None = None
    """The tag that attaches it; None where it refers to the subject."""
    manifest: Manifest | None = None
    """The artifact itself, where it had to be read to find it."""
    destinations: tuple[Destination, ...]


async def leave(_missing: Missing) -> None:
    """Do nothing about it: a dry run only counts."""


def explain(error: OcyncError | None, manifest: Manifest, missing: Missing) -> None:
    """Say of a refused artifact what it is, and how it is left out: by its type as the source tells that."""
    if missing.tag is None:
        kind = missing.descriptor.artifact_type
    else:
        kind = next(iter(referrers.types_of_tag(missing.tag)), "")
    if isinstance(error, ImmutableTagError) and missing.tag is not None:
        error.hint = (
            "who signs anew appends to this tag: let the target move tags like sha256-*.sig, or leave such "
            f"artifacts out with artifacts.exclude: ['{kind}']"
        )
    if not isinstance(error, ProtocolError) or error.hint is not None:
        return
    if error.status == 415 or error.code in _REFUSED_AS_A_MANIFEST:
        out = f"leave it out with artifacts.exclude: ['{kind}']" if kind else "set artifacts.enabled: false"
        error.hint = (
            f"it is an artifact of type {kind or 'unknown'}, in a manifest of type {manifest.media_type}: "
            f"if the target takes no such, {out}"
        )
