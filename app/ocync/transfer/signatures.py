"""The signatures that `verify` demands: read where an image comes from, and judged once for each manifest."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from ocync.config.model import VerifyMode
from ocync.lib.errors import NotFoundError, OcyncError, UnsignedError
from ocync.lib.singleflight import Memo
from ocync.oci import media
from ocync.oci.referrers import NO_TYPES
from ocync.transfer import outcome
from ocync.transfer.resumable_read import read_whole
from ocync.verification.evidence import (
    BUNDLE_PREFIX,
    PREDICATE,
    SIGN_PREDICATE,
    SIMPLE_SIGNING,
    Bundle,
    SimpleSignature,
    UntrustedError,
)
from ocync.verification.identity import Identity
from ocync.verification.key import KeySigner
from ocync.verification.keyless import IdentitySigner
from ocync.verification.trusted_root import load_root
from ocync.verification.verdict import Verdict, judge

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ocync.config.model import VerifyRules
    from ocync.oci.digest import Digest
    from ocync.oci.manifest import Descriptor, Manifest
    from ocync.oci.repository import Repository
    from ocync.plan.attachments import Attached
    from ocync.plan.budget import Budget
    from ocync.plan.model import ImagePlan
    from ocync.registry.retry import RetryPolicy
    from ocync.transfer.destination import Destination
    from ocync.verification.evidence import Evidence
    from ocync.verification.trusted_root import TrustedRoot
    from ocync.verification.verdict import Signer

log = logging.getLogger(__name__)

_MAX_SIZE = 1024 * 1024
"""Largest blob of a signature that is read, in bytes; a payload has hundreds, a bundle thousands."""
_MAX_SIGNATURES = 1000
"""Signatures of one image that are judged, latest first in each manifest; and manifests that are read."""
_MAX_TOTAL = 16 * 1024 * 1024
"""Bytes of signatures' blobs that are read for one image."""
# Artifact types of signatures. Where a list gives no type, the artifact has to be read.
_SIGNATURE_TYPES = ("application/vnd.dev.cosign.artifact.sig.v1+json", SIMPLE_SIGNING)


class SignatureCheck:
    """Requires signatures of images; made for one pass."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._signers: dict[VerifyRules, tuple[Signer, ...]] = {}
        self._roots: dict[str, TrustedRoot] = {}
        self._verdicts: Memo[tuple[str, Digest, VerifyRules], Verdict] = Memo()

    def __repr__(self) -> str:
        return f"<SignatureCheck: {len(self._verdicts)} manifests judged>"

    async def require(self, plan: ImagePlan, destination: Destination, budget: Budget) -> None:
        """
        Raise UnsignedError if the image is not signed as its mapping demands; with `mode: warn`, log a warning.

        An image whose signatures cannot be read counts as unsigned. With `platforms`, the source's own index has to
        be signed, since that lists what is kept of it.
        """
        rules = plan.candidate.mapping.verify
        if rules is None:
            return
        subject = plan.source_digest
        name = outcome.source_name(plan.candidate)
        key = (plan.candidate.source.name, subject, rules)
        error: OcyncError
        try:
            verdict = await self._verdicts.get(key, lambda: self._judge(plan, subject, rules, budget))
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

    async def _judge(self, plan: ImagePlan, subject: Digest, rules: VerifyRules, budget: Budget) -> Verdict:
        signers = self._signers_of(rules)
        attachments = plan.candidate.signatures
        manifest = plan.root.raw if plan.root is not None and plan.root.digest == subject else None
        problems: dict[str, None] = {}
        errors: list[OcyncError] = []
        attached = await attachments.of(subject, budget) if attachments is not None else None
        if attached is not None:
            count = 0
            async with aclosing(self._evidence(attached, plan.candidate.source)) as evidence:
                async for each in evidence:
                    count += 1
                    if count > _MAX_SIGNATURES:
                        problems[f"no more than {_MAX_SIGNATURES} signatures are looked at"] = None
                        break
                    if isinstance(each, OcyncError):
                        errors.append(each)
                        continue
                    if isinstance(each, str):
                        problems[each] = None
                        continue
                    verdict = judge(subject, [each], signers, manifest=manifest)
                    # Each verdict takes milliseconds of the event loop, and there may be a thousand.
                    await asyncio.sleep(0)
                    if verdict.signer is not None:
                        return verdict
                    problems |= dict.fromkeys(verdict.problems)
        if errors:
            # What could not be read may be the signature that is demanded.
            raise errors[0]
        return judge(subject, (), signers, problems=tuple(problems))

    def _signers_of(self, rules: VerifyRules) -> tuple[Signer, ...]:
        if rules not in self._signers:
            signers: list[Signer] = [KeySigner.of(key.pem, key.name) for key in rules.keys]
            for each in rules.keyless:
                text = each.trusted_root
                if text not in self._roots:
                    self._roots[text] = load_root(text, each.root_name)
                identity = Identity(name=each.identity, pattern=each.identity_regexp, issuer=each.issuer)
                signers.append(IdentitySigner(identity, self._roots[text]))
            self._signers[rules] = tuple(signers)
        return self._signers[rules]

    async def _evidence(
        self, attached: Attached, source: Repository
    ) -> AsyncGenerator[Evidence | str | OcyncError, None]:
        """
        Yield the signatures of a manifest one after the other, since the first trusted one is enough.

        In place of one that is no signature comes the reason, and of one that cannot be read now the error.
        """
        bundles = _signatures(attached)
        signatures = [each for each in bundles if not _is_attestation(each.annotation(PREDICATE))]
        left, attestations = _MAX_TOTAL, len(bundles) - len(signatures)
        blobs: dict[Digest, bytes] = {}
        for descriptor in signatures[:_MAX_SIGNATURES]:
            try:
                manifest = await source.manifest(str(descriptor.digest))
            except NotFoundError:
                yield f"the signature {descriptor.digest} is listed and is gone"
                continue
            except OcyncError as error:
                yield error
                continue
            layers = _layers(manifest)
            attestations += layers is None
            for layer, notes in layers or ():
                if layer.size > min(_MAX_SIZE, left):
                    yield f"a signature of {layer.size} bytes is not read: the limit is {_MAX_SIZE} bytes"
                    continue
                if layer.digest not in blobs:
                    left -= layer.size
                yield await self._read(layer, notes, blobs, source)
        if attestations:
            yield f"attestations are attached to it ({attestations}), which are no signatures"

    async def _read(
        self, layer: Descriptor, annotations: dict[str, Any], blobs: dict[Digest, bytes], source: Repository
    ) -> Evidence | str | OcyncError:
        try:
            if layer.digest not in blobs:
                data = await read_whole(layer, source, policy=self._policy)
                # An image that is signed again and again has one payload, with other annotations each time.
                blobs.clear()
                blobs[layer.digest] = data
            data = blobs[layer.digest]
            if layer.media_type == SIMPLE_SIGNING:
                return SimpleSignature.read(data, annotations)
            return Bundle.read(data)
        except NotFoundError:
            return f"the signature's blob {layer.digest} is gone"
        except OcyncError as error:
            return error
        except UntrustedError as error:
            return f"a signature can't be read: {error}"


def _signatures(attached: Attached) -> list[Descriptor]:
    """Return the manifests that may contain signatures of the subject itself, those by reference first."""
    found: dict[Digest, Descriptor] = {}
    for attachment in attached.attachments:
        if attachment.subject != attached.subject:
            continue
        for descriptor in attachment.referrers:
            kind = descriptor.artifact_type
            if kind in _SIGNATURE_TYPES or kind in NO_TYPES or kind.startswith(BUNDLE_PREFIX):
                found.setdefault(descriptor.digest, descriptor)
        for tag in attachment.tags:
            if tag.tag.endswith(".sig"):
                found.setdefault(tag.descriptor.digest, tag.descriptor)
    return list(found.values())


def _is_attestation(predicate: Any) -> bool:
    """
    Return whether a bundle's annotation says that it is an attestation, so that it need not be read.

    cosign writes that annotation (pkg/oci/remote, WriteAttestationNewBundleFormat). It proves nothing: a bundle
    without it, or with a wrong one, is judged by what it contains.
    """
    return isinstance(predicate, str) and predicate not in ("", SIGN_PREDICATE)


def _annotations(entry: dict[str, Any]) -> dict[str, Any]:
    annotations = entry.get("annotations")
    return annotations if isinstance(annotations, dict) else {}


def _layers(manifest: Manifest) -> list[tuple[Descriptor, dict[str, Any]]] | None:
    """Return the layers that are signatures, latest first, with their annotations; None for an attestation."""
    if manifest.media_type in media.INDEXES:
        return []
    body = json.loads(manifest.raw)
    if _is_attestation(_annotations(body).get(PREDICATE)):
        return None
    by_digest = {str(blob.digest): blob for blob in manifest.blobs}
    found = []
    for entry in body.get("layers") or []:
        kind, blob = entry.get("mediaType"), by_digest.get(entry.get("digest"))
        if blob is None or not isinstance(kind, str):
            continue
        if kind == SIMPLE_SIGNING or kind.startswith(BUNDLE_PREFIX):
            found.append((blob, _annotations(entry)))
    return found[::-1]
