"""The verdict on an image: whether a trusted signer has signed it."""

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
    """A signer who is trusted."""

    @property
    def name(self) -> str:
        """The name in messages."""

    def check(self, evidence: Evidence, subject: Digest, manifest: bytes | None) -> None:
        """Raise UntrustedError unless the evidence is this signer's signature of the image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The signer, or the reasons why none was found."""

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

    `manifest` is the image's own, if available: some bundles sign it. `problems` are about signatures that could
    not be read.
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
