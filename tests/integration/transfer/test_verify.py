"""`verify`: images that are signed as demanded are copied, the others are not, or with a warning."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import signing
from clients import Side
from ocync.config.model import ArtifactRules, TrustedIdentity, TrustedKey, VerifyMode, VerifyRules
from ocync.lib.errors import ErrorKind
from ocync.oci.platform import Platform
from ocync.transfer import signatures
from ocync.transfer.result import ImageResult, Status
from scripted import ScriptedRegistry, build, faults, media
from scripted.storage import StoredManifest
from signing import ISSUER, WORKFLOW, Sigstore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from ocync.oci.digest import Digest
    from ocync.verification.evidence import Evidence
    from ocync.verification.verdict import Verdict

IMAGE = build.multi_arch(seed=3)
KEY, OTHER = signing.new_key(), signing.new_key()
SIGSTORE = Sigstore()
RULES = VerifyRules(keys=(TrustedKey(name="cosign.pub", pem=signing.pem_of(KEY)),))
KEYLESS = VerifyRules(
    keyless=(
        TrustedIdentity(identity=WORKFLOW, issuer=ISSUER, root_name="root", trusted_root=SIGSTORE.trusted_root()),
    )
)


@pytest.fixture
async def source() -> AsyncIterator[ScriptedRegistry]:
    async with ScriptedRegistry() as registry:
        registry.seed("team/app", "v1", IMAGE)
        yield registry


@pytest.fixture
async def target() -> AsyncIterator[ScriptedRegistry]:
    async with ScriptedRegistry() as registry:
        yield registry


def simple(key: signing.PrivateKey, digest: str = IMAGE.digest) -> build.Blob:
    payload = signing.payload_of(digest)
    return signing.simple_layer(payload, signing.sign(key, payload))


async def sync(
    source: ScriptedRegistry, target: ScriptedRegistry, rules: VerifyRules | None = RULES, **changes: Any
) -> ImageResult:
    async with Side() as side:
        mapping = replace(side.mapping(source.url, target.url), verify=rules, **changes)
        (result,) = (await side.sync(mapping)).values()
    return result


def by_tag(registry: ScriptedRegistry) -> None:
    signing.under_tag(registry, "team/app", IMAGE.digest, simple(KEY))


def by_reference(registry: ScriptedRegistry) -> None:
    signing.referring(registry, "team/app", IMAGE, simple(KEY))


def in_a_bundle(registry: ScriptedRegistry) -> None:
    bundle = signing.key_bundle(KEY, signing.statement_of(IMAGE.digest))
    signing.bundled(registry, "team/app", IMAGE, bundle)


def keyless_by_tag(registry: ScriptedRegistry) -> None:
    signing.under_tag(registry, "team/app", IMAGE.digest, SIGSTORE.simple(IMAGE.digest))


def keyless_in_a_bundle(registry: ScriptedRegistry) -> None:
    signing.bundled(registry, "team/app", IMAGE, SIGSTORE.bundle(IMAGE.digest))


@pytest.mark.parametrize(
    ("attach", "rules"),
    [
        (by_tag, RULES),
        (by_reference, RULES),
        (in_a_bundle, RULES),
        (keyless_by_tag, KEYLESS),
        (keyless_in_a_bundle, KEYLESS),
        (keyless_in_a_bundle, VerifyRules(keys=RULES.keys, keyless=KEYLESS.keyless)),
    ],
)
async def test_an_image_that_is_signed_as_demanded_is_copied(
    attach: Callable[[ScriptedRegistry], None],
    rules: VerifyRules,
    source: ScriptedRegistry,
    target: ScriptedRegistry,
) -> None:
    attach(source)

    result = await sync(source, target, rules)

    assert result.status is Status.SYNCED, result.error
    assert not result.unverified
    assert target.content_of("team/app", "v1") == source.content_of("team/app", "v1") != {}


@pytest.mark.parametrize("rules", [RULES, KEYLESS])
async def test_an_image_that_nobody_has_signed_fails_before_a_byte_of_it_is_read(
    rules: VerifyRules, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    result = await sync(source, target, rules)

    assert result.status is Status.FAILED
    assert result.error is not None
    assert result.error.kind is ErrorKind.VERIFICATION
    assert "team/app:v1" in result.error.message
    assert IMAGE.digest in result.error.message
    assert "no signature is attached" in result.error.message
    assert not result.error.retryable
    assert source.count("GET", "/blobs/") == 0
    assert target.count("POST|PUT|PATCH") == 0


@pytest.mark.parametrize(
    ("key", "digest", "why"),
    [
        pytest.param(OTHER, IMAGE.digest, "not signed by that key", id="another key"),
        pytest.param(KEY, build.image().digest, "another image", id="another image"),
    ],
)
async def test_the_message_says_what_is_wrong_with_the_signature(
    key: signing.PrivateKey, digest: str, why: str, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    signing.under_tag(source, "team/app", IMAGE.digest, simple(key, digest))

    result = await sync(source, target)

    assert result.error is not None
    assert why in result.error.message
    assert "cosign.pub" in result.error.message
    assert target.repositories.get("team/app") is None or not target.repository("team/app").tags


async def test_with_warn_it_is_copied_and_counted(
    source: ScriptedRegistry, target: ScriptedRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    result = await sync(source, target, replace(RULES, mode=VerifyMode.WARN))

    assert result.status is Status.SYNCED
    assert result.unverified
    assert target.content_of("team/app", "v1") == source.content_of("team/app", "v1")
    (warning,) = [record.getMessage() for record in caplog.records if "verify" in record.getMessage()]
    assert "copied all the same" in warning


async def test_the_latest_of_many_signatures_is_looked_at_first(
    source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    layers = [simple(OTHER) for _ in range(20)] + [simple(KEY)]
    signing.under_tag(source, "team/app", IMAGE.digest, *layers)

    assert (await sync(source, target)).status is Status.SYNCED


@pytest.mark.parametrize("attach", [by_tag, by_reference, in_a_bundle])
async def test_signatures_are_found_where_there_is_no_referrers_api(
    attach: Callable[[ScriptedRegistry], None], target: ScriptedRegistry
) -> None:
    async with ScriptedRegistry(referrers=False) as source:
        source.seed("team/app", "v1", IMAGE)
        attach(source)
        plain_list(source)

        result = await sync(source, target)

    assert result.status is Status.SYNCED, result.error


async def test_signatures_that_are_not_to_be_copied_verify_all_the_same(
    source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    by_tag(source)

    for rules in (ArtifactRules(enabled=False), ArtifactRules(exclude=("*",))):
        async with ScriptedRegistry() as other:
            result = await sync(source, other, artifacts=rules)
            assert result.status is Status.SYNCED, result.error
            assert set(other.repository("team/app").tags) == {"v1"}


async def test_with_platforms_the_signature_of_the_whole_index_counts(
    source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    kept = (Platform.parse("linux/amd64"),)
    refused = await sync(source, target, platforms=kept)
    by_tag(source)
    copied = await sync(source, target, platforms=kept)

    assert refused.status is Status.FAILED
    assert copied.status is Status.SYNCED, copied.error


async def test_what_is_up_to_date_is_not_verified_again(source: ScriptedRegistry, target: ScriptedRegistry) -> None:
    await sync(source, target, None)

    result = await sync(source, target)

    assert result.status is Status.SKIPPED


async def test_a_signature_that_can_not_be_read_fails_the_image_and_is_tried_again(
    source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    by_tag(source)
    source.on("GET", "/blobs/", respond=faults.answer(500))

    result = await sync(source, target)

    assert result.status is Status.FAILED
    assert result.error is not None
    assert "who has signed it can't be known" in result.error.message
    assert target.count("POST|PUT|PATCH") == 0


async def test_a_signature_that_can_not_be_read_hides_no_other(
    source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    broken = signing.key_bundle(OTHER, signing.statement_of(IMAGE.digest))
    signing.bundled(source, "team/app", IMAGE, broken)
    by_tag(source)
    lost = [each for each in source.repository("team/app").manifests.values() if "bundle" in each.raw.decode()]
    blobs = [layer["digest"] for each in lost for layer in json.loads(each.raw)["layers"]]
    assert blobs
    source.on("GET", f"/blobs/({'|'.join(blobs)})", respond=faults.answer(500))

    result = await sync(source, target, artifacts=ArtifactRules(enabled=False))

    assert result.status is Status.SYNCED, result.error


async def test_a_signature_that_is_not_what_its_digest_says_is_not_believed(
    source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    by_tag(source)
    source.on("GET", "/blobs/", respond=faults.answer(200, body=b"x" * len(signing.payload_of(IMAGE.digest))))

    assert (await sync(source, target)).status is Status.FAILED


async def test_many_signatures_of_somebody_else_keep_nothing_else_waiting(
    source: ScriptedRegistry, target: ScriptedRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = [SIGSTORE.simple(IMAGE.digest, identity="other@example.com") for _ in range(20)] * 40
    signing.under_tag(source, "team/app", IMAGE.digest, *layers)
    judge, judged, ended = signatures.judge, 0, asyncio.Event()

    def counted(subject: Digest, evidence: Sequence[Evidence], *rest: Any, **options: Any) -> Verdict:
        nonlocal judged
        judged += len(evidence)
        return judge(subject, evidence, *rest, **options)

    async def beat() -> int:
        """Return how many were judged at most between two turns of another task."""
        most, before = 0, judged
        while not ended.is_set():
            await asyncio.sleep(0)
            most, before = max(most, judged - before), judged
        return most

    monkeypatch.setattr(signatures, "judge", counted)
    beating = asyncio.create_task(beat())
    result = await sync(source, target, KEYLESS)
    ended.set()

    assert result.status is Status.FAILED
    assert result.error is not None
    assert "other@example.com" in result.error.message
    assert judged > 100
    assert await beating == 1


async def test_a_huge_signature_is_not_read(source: ScriptedRegistry, target: ScriptedRegistry) -> None:
    big = build.big_layer(5_000_000, 1)
    notes = (("dev.cosignproject.cosign/signature", "AAAA"),)
    layer = build.Blob(content=big.content, digest=big.digest, media_type=signing.SIMPLE, annotations=notes)
    signing.under_tag(source, "team/app", IMAGE.digest, layer)

    result = await sync(source, target)

    assert result.error is not None
    assert "5000000 bytes is not read" in result.error.message
    assert source.count("GET", "/blobs/") == 0


SLSA = "https://slsa.dev/provenance/v1"


@pytest.mark.parametrize("told", [SLSA, None, signing.SIGN], ids=["told", "not told", "told otherwise"])
@pytest.mark.parametrize("rules", [RULES, KEYLESS], ids=["key", "keyless"])
async def test_an_attestation_alone_approves_of_nothing_whatever_is_written_beside_it(
    told: str | None, rules: VerifyRules, source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    bundle = (
        signing.key_bundle(KEY, signing.statement_of(IMAGE.digest, SLSA))
        if rules is RULES
        else SIGSTORE.bundle(IMAGE.digest, predicate=SLSA)
    )
    signing.bundled(source, "team/app", IMAGE, bundle, predicate=told)

    result = await sync(source, target, rules)

    assert result.status is Status.FAILED
    assert result.error is not None
    assert result.error.kind is ErrorKind.VERIFICATION
    assert "attestation" in result.error.message
    assert source.count("GET", "/blobs/") == (0 if told == SLSA else 1)


@pytest.mark.parametrize("referrers", [True, False], ids=["api", "a list without annotations"])
async def test_attestations_are_not_read_to_find_the_signature_among_them(
    referrers: bool, target: ScriptedRegistry
) -> None:
    async with ScriptedRegistry(referrers=referrers) as source:
        source.seed("team/app", "v1", IMAGE)
        for number in range(5):
            statement = signing.statement_of(IMAGE.digest, f"{SLSA}#{number}")
            bundle = signing.key_bundle(KEY, statement)
            signing.bundled(source, "team/app", IMAGE, bundle, predicate=f"{SLSA}#{number}")
        good = signing.key_bundle(KEY, signing.statement_of(IMAGE.digest))
        signing.bundled(source, "team/app", IMAGE, good, predicate=signing.SIGN)
        if not referrers:
            plain_list(source)

        result = await sync(source, target, artifacts=ArtifactRules(enabled=False))

        assert result.status is Status.SYNCED, result.error
        bundles = [each for each in source.requests if "/blobs/" in each.path and each.method == "GET"]
        own = {str(blob["digest"]) for one in IMAGE.manifests for blob in blobs_of(one.raw)}
        assert len([each for each in bundles if each.path.rpartition("/")[2] not in own]) == 1


def blobs_of(raw: bytes) -> list[dict[str, Any]]:
    body = json.loads(raw)
    return [*body.get("layers", ()), *([body["config"]] if "config" in body else ())]


def plain_list(registry: ScriptedRegistry) -> None:
    """Put the referrers of the image into a list under its tag, as GHCR writes these: with digests alone."""
    entries = [
        {"mediaType": each.media_type, "digest": digest, "size": len(each.raw)}
        for digest, each in registry.repository("team/app").manifests.items()
        if "subject" in json.loads(each.raw)
    ]
    body = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": entries}
    index = StoredManifest.of(json.dumps(body).encode(), media.OCI_INDEX)
    registry.seed("team/app", build.fallback_tag(IMAGE.digest), build.Image(manifests=(index,), blobs={}))


async def test_a_tag_that_holds_something_else_is_no_signature(
    source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    source.seed("team/app", build.cosign_tag(IMAGE.digest), build.multi_arch(seed=8))
    signing.bundled(source, "team/app", IMAGE, json.loads('{"mediaType": "x"}'))

    result = await sync(source, target)

    assert result.status is Status.FAILED
    assert result.error is not None
    assert result.error.kind is ErrorKind.VERIFICATION


async def test_one_refused_tag_keeps_no_other_from_being_copied(
    source: ScriptedRegistry, target: ScriptedRegistry
) -> None:
    by_tag(source)
    # The same layers, in an image that nobody has signed.
    source.seed("team/app", "v2", build.index([build.multi_arch(seed=3)]))

    async with Side() as side:
        mapping = replace(side.mapping(source.url, target.url), verify=RULES)
        results = await side.sync(mapping)

    assert {name[-2:]: result.status for name, result in results.items()} == {
        "v1": Status.SYNCED,
        "v2": Status.FAILED,
    }
    assert set(target.repository("team/app").tags) == {"v1", build.cosign_tag(IMAGE.digest)}
