"""The verdict on one image: whether any of those who may has signed it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ocync.verification.evidence import UntrustedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocync.oci.digest import Digest
    from ocync.verification.evidence import Evidence

_SHOWN = 3


class Signer(Protocol):
    """One of those whose signature is enough."""

    @property
    def name(self) -> str:
        """How messages name them."""

    def check(self, evidence: Evidence, subject: Digest, manifest: bytes | None) -> None:
        """Hold that the evidence is their signature of the image; raises UntrustedError otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Who has signed, or why that can't be said of anybody."""

    signer: str | None = None
    problems: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.signer is not None:
            return f"signed by {self.signer}"
        shown = "; ".join(self.problems[:_SHOWN])
        others = len(self.problems) - _SHOWN
        return shown + (f"; and {others} reasons more" if others > 0 else "")


def judge(
    subject: Digest,
    evidence: Sequence[Evidence],
    signers: Sequence[Signer],
    *,
    manifest: bytes | None = None,
    problems: Sequence[str] = (),
) -> Verdict:
    """
    Return the verdict on the image with this digest.

    `manifest` is the image's own where it is at hand: some bundles sign that. `problems` tells of signatures that
    were found and could not be read.
    """
    reasons = dict.fromkeys(problems)
    for each in evidence:
        for signer in signers:
            try:
                signer.check(each, subject, manifest)
            except UntrustedError as error:
                reasons[f"one signature is not of {signer.name}: {error}"] = None
                continue
            return Verdict(signer=signer.name)
    if not reasons:
        return Verdict(problems=("no signature is attached to it",))
    return Verdict(problems=tuple(reasons))
