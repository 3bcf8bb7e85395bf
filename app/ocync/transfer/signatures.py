"""Whether images are signed as `verify` demands: signatures are read here, and judged by `ocync.verification`."""

from __future__ import annotations

import json
import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from ocync.config.model import VerifyMode
from ocync.errors import NotFoundError, OcyncError, UnsignedError
from ocync.flights import Flights
from ocync.oci import media
from ocync.oci.digest import Verifier
from ocync.slots import reserve
from ocync.transfer import outcome
from ocync.verification.evidence import (
    BUNDLE_PREFIX,
    SIMPLE_SIGNING,
    Bundle,
    SimpleSignature,
    UntrustedError,
)
from ocync.verification.identity import Identity
from ocync.verification.key import KeySigner
from ocync.verification.keyless import IdentitySigner, load_root
from ocync.verification.verdict import Verdict, judge

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from ocync.config.model import VerifyRules
    from ocync.endpoint import Repository
    from ocync.oci.digest import Digest
    from ocync.oci.manifest import Descriptor, Manifest
    from ocync.plan.attachments import Attached
    from ocync.plan.model import ImagePlan
    from ocync.registry.waiting import RetryPolicy
    from ocync.transfer.destination import Destination
    from ocync.verification.evidence import Evidence
    from ocync.verification.keyless import TrustedRoot
    from ocync.verification.verdict import Signer

log = logging.getLogger(__name__)

MAX_SIZE = 4 * 1024 * 1024
"""Bytes of a signature's blob that are read at most; most have some hundred."""
MAX_SIGNATURES = 1000
"""Signatures of one image that are looked at, the latest of each manifest first; and manifests with signatures."""
MAX_TOTAL = 64 * 1024 * 1024
"""Bytes of signatures' blobs that are read for one image at most."""
# By reference, signatures have these types; where a list tells none, that has to be looked at.
_SIGNATURE_TYPES = ("application/vnd.dev.cosign.artifact.sig.v1+json", SIMPLE_SIGNING)
_NO_TYPES = ("", "application/vnd.oci.empty.v1+json", "application/vnd.oci.image.config.v1+json")


class Signatures:
    """Demands signatures of images; made for one pass."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._signers: dict[VerifyRules, tuple[Signer, ...]] = {}
        self._roots: dict[str, TrustedRoot] = {}
        self._flights: Flights[tuple[str, Digest, VerifyRules], Verdict] = Flights()
        self._done: dict[tuple[str, Digest, VerifyRules], Verdict] = {}

    def __repr__(self) -> str:
        return f"<Signatures: {len(self._done)} manifests judged>"

    async def demand(self, plan: ImagePlan, destinations: Sequence[Destination]) -> None:
        """
        Fail the destinations where the image is not signed as its mapping demands; with `mode: warn`, say so.

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
            verdict = await self._verdict(plan, subject, rules)
        except Exception as caught:
            cause = outcome.as_ocync_error(caught, name)
            error = UnsignedError.because(cause, f"{name}: who has signed it can't be known")
        else:
            if verdict.signer is not None:
                log.debug("%s: %s", name, verdict)
                return
            error = UnsignedError(
                f"{name} ({subject}) is not signed as verify demands: {verdict}",
                host=plan.candidate.source.place,
                hint="have it signed by one of these, correct verify, or exclude the tag",
            )
        for destination in destinations:
            if rules.mode is VerifyMode.ENFORCE:
                destination.fail(error)
            else:
                destination.unverified = True
        if rules.mode is VerifyMode.WARN:
            log.warning("%s; it is copied all the same (verify.mode: warn)", error.message)

    async def _verdict(self, plan: ImagePlan, subject: Digest, rules: VerifyRules) -> Verdict:
        """Return the verdict; that on one manifest is found once, however many tags lead to it."""
        key = (plan.candidate.source.name, subject, rules)
        if key not in self._done:
            self._done[key] = await self._flights.run(key, lambda: self._judge(plan, subject, rules))
        return self._done[key]

    async def _judge(self, plan: ImagePlan, subject: Digest, rules: VerifyRules) -> Verdict:
        signers = self._signers_of(rules)
        attachments = plan.candidate.signatures
        manifest = plan.root.raw if plan.root is not None and plan.root.digest == subject else None
        problems: dict[str, None] = {}
        errors: list[OcyncError] = []
        count = 0
        attached = await attachments.of(subject) if attachments is not None else None
        if attached is not None:
            # One after the other, since the first that is right is enough.
            async with aclosing(self._evidence(attached, plan.candidate.source)) as evidence:
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
                        self._root(each.trusted_root),
                    )
                    for each in rules.keyless
                ),
            )
        return self._signers[rules]

    def _root(self, text: str) -> TrustedRoot:
        if text not in self._roots:
            self._roots[text] = load_root(text, "a trusted root")
        return self._roots[text]

    async def _evidence(
        self, attached: Attached, source: Repository
    ) -> AsyncGenerator[Evidence | str | OcyncError, None]:
        """Give what stands for signatures of a manifest, or why one of them is none, or can't be read now."""
        blobs: dict[Digest, bytes] = {}
        left = MAX_TOTAL
        for descriptor in _signatures(attached)[:MAX_SIGNATURES]:
            try:
                manifest = await source.manifest(str(descriptor.digest))
            except NotFoundError:
                yield f"the signature {descriptor.digest} is listed and is gone"
                continue
            except OcyncError as error:
                yield error
                continue
            for layer, notes in _layers(manifest):
                if layer.size > min(MAX_SIZE, left):
                    yield f"a signature of {layer.size} bytes is not read: {MAX_SIZE} are the most at once"
                    continue
                try:
                    if layer.digest not in blobs:
                        left -= layer.size
                        # Each time it is signed anew the payload is the same, and the annotations are not.
                        blobs = {layer.digest: await self._read(layer, source)}
                    data = blobs[layer.digest]
                    if layer.media_type == SIMPLE_SIGNING:
                        yield SimpleSignature.read(data, notes)
                    else:
                        yield Bundle.read(data)
                except NotFoundError:
                    yield f"the signature's blob {layer.digest} is gone"
                except OcyncError as error:
                    yield error
                except UntrustedError as error:
                    yield f"a signature can't be read: {error}"

    async def _read(self, blob: Descriptor, source: Repository) -> bytes:
        async for attempt in self._policy.retrying():
            with attempt:
                verifier = Verifier(blob.digest, blob.size, what=f"blob {blob.digest}", host=source.place)
                data = bytearray()
                async with reserve([source.blob_slots]), source.blob(blob) as pieces:
                    async for piece in pieces:
                        verifier.update(piece)
                        data += piece
                verifier.finish()
                return bytes(data)
        raise AssertionError("a retry loop ends by returning or raising")


def _signatures(attached: Attached) -> list[Descriptor]:
    """Return the manifests that may hold signatures of the subject itself, those by reference first."""
    found: dict[Digest, Descriptor] = {}
    for attachment in attached.attachments:
        if attachment.subject != attached.subject:
            continue
        for descriptor in attachment.referrers:
            kind = descriptor.artifact_type
            if kind in _SIGNATURE_TYPES or kind in _NO_TYPES or kind.startswith(BUNDLE_PREFIX):
                found.setdefault(descriptor.digest, descriptor)
        for tag in attachment.tags:
            if tag.tag.endswith(".sig"):
                found.setdefault(tag.descriptor.digest, tag.descriptor)
    return list(found.values())


def _layers(manifest: Manifest) -> list[tuple[Descriptor, dict[str, Any]]]:
    """Return the layers that are signatures, the latest first, with their annotations."""
    if manifest.media_type in media.INDEXES:
        return []
    by_digest = {blob.digest: blob for blob in manifest.blobs}
    found = []
    for entry in json.loads(manifest.raw).get("layers") or []:
        kind = entry.get("mediaType")
        blob = next((blob for digest, blob in by_digest.items() if str(digest) == entry.get("digest")), None)
        if blob is None or not isinstance(kind, str):
            continue
        if kind == SIMPLE_SIGNING or kind.startswith(BUNDLE_PREFIX):
            annotations = entry.get("annotations")
            found.append((blob, annotations if isinstance(annotations, dict) else {}))
    return found[::-1]
