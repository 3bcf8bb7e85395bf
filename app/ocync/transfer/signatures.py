"""Whether images are signed as `verify` demands: judged by `ocync.verification`, one image once."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from typing import TYPE_CHECKING

from ocync.config.model import VerifyMode
from ocync.lib.errors import OcyncError, UnsignedError
from ocync.lib.singleflight import Memo
from ocync.transfer import outcome
from ocync.transfer.signature_reader import MAX_SIGNATURES, EvidenceReader
from ocync.verification.identity import Identity
from ocync.verification.key import KeySigner
from ocync.verification.keyless import IdentitySigner
from ocync.verification.trusted_root import load_root
from ocync.verification.verdict import Verdict, judge

if TYPE_CHECKING:
    from ocync.config.model import TrustedIdentity, VerifyRules
    from ocync.oci.digest import Digest
    from ocync.plan.budget import Budget
    from ocync.plan.model import ImagePlan
    from ocync.registry.retry import RetryPolicy
    from ocync.transfer.destination import Destination
    from ocync.verification.trusted_root import TrustedRoot
    from ocync.verification.verdict import Signer

log = logging.getLogger(__name__)


class Signatures:
    """Demands signatures of images; made for one pass."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._reader = EvidenceReader(policy)
        self._signers: dict[VerifyRules, tuple[Signer, ...]] = {}
        self._roots: dict[str, TrustedRoot] = {}
        self._verdicts: Memo[tuple[str, Digest, VerifyRules], Verdict] = Memo()

    def __repr__(self) -> str:
        return f"<Signatures: {len(self._verdicts)} manifests judged>"

    async def demand(self, plan: ImagePlan, destination: Destination, budget: Budget) -> None:
        """
        Raise UnsignedError where the image is not signed as its mapping demands; with `mode: warn`, say so.

        Where that can't be known, the image is as good as not signed. With `platforms` the signature has to be that
        of the source's own index, which lists what is kept of it.
        """
        rules = plan.candidate.mapping.verify
        if rules is None:
            return
        subject = plan.original or plan.resolved.digest
        name = outcome.source_name(plan.candidate)
        error: OcyncError
        try:
            verdict = await self._verdict(plan, subject, rules, budget)
        except Exception as caught:
            cause = outcome.as_ocync_error(caught, name)
            error = UnsignedError.because(cause, f"{name}: who has signed it can't be known")
        else:
            if verdict.signer is not None:
                log.debug("%s: %s", name, verdict)
                return
            error = UnsignedError(
                f"{name} ({subject}) is not signed as verify demands: {verdict}",
                host=plan.candidate.source.host,
                hint="have it signed by one of these, correct verify, or exclude the tag",
            )
        if rules.mode is VerifyMode.ENFORCE:
            raise error
        destination.unverified = True
        log.warning("%s; it is copied all the same (verify.mode: warn)", error.message)

    async def _verdict(self, plan: ImagePlan, subject: Digest, rules: VerifyRules, budget: Budget) -> Verdict:
        """Return the verdict; that on one manifest is found once, however many tags lead to it."""
        key = (plan.candidate.source.name, subject, rules)
        return await self._verdicts.get(key, lambda: self._judge(plan, subject, rules, budget))

    async def _judge(self, plan: ImagePlan, subject: Digest, rules: VerifyRules, budget: Budget) -> Verdict:
        signers = self._signers_of(rules)
        attachments = plan.candidate.signatures
        manifest = plan.root.raw if plan.root is not None and plan.root.digest == subject else None
        problems: dict[str, None] = {}
        errors: list[OcyncError] = []
        count = 0
        attached = await attachments.of(subject, budget) if attachments is not None else None
        if attached is not None:
            # One after the other, since the first that is right is enough.
            async with aclosing(self._reader.read(attached, plan.candidate.source)) as evidence:
                async for each in evidence:
                    count += 1
                    if count > MAX_SIGNATURES:
                        problems[f"no more than {MAX_SIGNATURES} signatures are looked at"] = None
                        break
                    if isinstance(each, OcyncError):
                        errors.append(each)
                        continue
                    if isinstance(each, str):
                        problems[each] = None
                        continue
                    verdict = judge(subject, [each], signers, manifest=manifest)
                    # To judge one takes some milliseconds, and others are not to wait for a thousand.
                    await asyncio.sleep(0)
                    if verdict.signer is not None:
                        return verdict
                    problems |= dict.fromkeys(verdict.problems)
        if errors:
            # What could not be read may be what is asked for; what could be read is not.
            raise errors[0]
        return judge(subject, (), signers, problems=tuple(problems))

    def _signers_of(self, rules: VerifyRules) -> tuple[Signer, ...]:
        if rules not in self._signers:
            self._signers[rules] = (
                *(KeySigner.of(key.pem, key.name) for key in rules.keys),
                *(
                    IdentitySigner(
                        Identity(name=each.identity, pattern=each.identity_regexp, issuer=each.issuer),
                        self._root(each),
                    )
                    for each in rules.keyless
                ),
            )
        return self._signers[rules]

    def _root(self, identity: TrustedIdentity) -> TrustedRoot:
        text = identity.trusted_root
        if text not in self._roots:
            self._roots[text] = load_root(text, identity.root_name)
        return self._roots[text]
