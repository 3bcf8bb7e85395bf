"""Manifests and indexes: what is read of them, and what is refused."""

from __future__ import annotations

import json
import traceback
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ocync.lib.errors import ProtocolError
from ocync.oci import media
from ocync.oci.digest import Digest
from ocync.oci.manifest import (
    MAX_BLOBS,
    MAX_CHILDREN,
    MAX_PLATFORM,
    REFERENCE_DIGEST,
    Descriptor,
    Manifest,
    parse,
)
from ocync.oci.platform import Platform
from ocync.oci.referrers import type_of
from ocync.verification.evidence import PREDICATE


def digest_of(name: str) -> Digest:
    return Digest.of(name.encode())


def descriptor(name: str, **fields: Any) -> dict[str, Any]:
    return {"mediaType": media.OCTET_STREAM, "digest": str(digest_of(name)), "size": len(name), **fields}


def image(**fields: Any) -> dict[str, Any]:
    body = {"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "config": descriptor("config"), "layers": []}
    return {**body, **fields}


def old_artifact(**fields: Any) -> dict[str, Any]:
    media_type = "application/vnd.oci.artifact.manifest.v1+json"
    return {"mediaType": media_type, "artifactType": "application/x.signature", "blobs": [], **fields}


def read(body: Any, content_type: str | None = None) -> Manifest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse(raw, content_type=content_type, digest=Digest.of(raw), where="cgr.dev/a:1", host="cgr.dev")


def refusal(body: Any, content_type: str | None = None) -> str:
    with pytest.raises(ProtocolError) as caught:
        read(body, content_type)
    assert caught.value.host == "cgr.dev"
    assert caught.value.message.encode()
    return caught.value.message


def test_a_manifest_lists_config_and_layers_once_and_in_order() -> None:
    layers = [descriptor(name) for name in ("b", "a", "b", "config", "c")]

    manifest = read(image(layers=layers))

    assert not manifest.is_index
    assert manifest.children == ()
    assert [blob.digest for blob in manifest.blobs] == [digest_of(name) for name in ("config", "b", "a", "c")]


@pytest.mark.parametrize("media_type", sorted(media.ARTIFACTS))
def test_an_artifact_of_before_oci_1_1_has_blobs_and_no_config(media_type: str) -> None:
    body = old_artifact(mediaType=media_type, blobs=[descriptor(name) for name in ("b", "a", "b")])
    body["subject"] = descriptor("image")

    manifest = read(body, media.OCI_MANIFEST)

    assert (manifest.media_type, manifest.is_index, manifest.children) == (media_type, False, ())
    assert [blob.digest for blob in manifest.blobs] == [digest_of("b"), digest_of("a")]
    assert manifest.subject is not None
    assert manifest.subject.digest == digest_of("image")
    # It has no config whose type could stand for one that it lacks.
    assert (type_of(manifest), type_of(read(body | {"artifactType": ""}))) == ("application/x.signature", "")


def test_the_exact_bytes_are_kept() -> None:
    raw = b" " + json.dumps(image(), indent=7).encode() + b"\n"

    manifest = read(raw)

    assert manifest.raw == raw
    assert manifest.size == len(raw)
    assert manifest.descriptor == Descriptor(media_type=media.OCI_MANIFEST, digest=Digest.of(raw), size=len(raw))
    assert "schemaVersion" not in repr(manifest)


def test_an_index_lists_its_children() -> None:
    index = read(
        {
            "mediaType": media.OCI_INDEX,
            "artifactType": "application/x",
            "subject": descriptor("subject"),
            "manifests": [
                descriptor("amd64", platform={"os": "linux", "architecture": "amd64", "os.version": "10"}),
                descriptor("signature", artifactType="application/sig", annotations={PREDICATE: "v", "n": "1"}),
                descriptor("amd64"),
            ],
        }
    )

    assert index.is_index
    assert index.blobs == ()
    assert [child.digest for child in index.children] == [digest_of(n) for n in ("amd64", "signature", "amd64")]
    assert index.children[0].platform == Platform("linux", "amd64")
    assert index.children[1].artifact_type == "application/sig"
    assert index.children[1].annotation(PREDICATE) == "v"
    assert index.children[1].annotation(REFERENCE_DIGEST) is None
    assert index.children[1].annotations == ((PREDICATE, "v"),)
    assert index.artifact_type == "application/x"
    assert index.subject is not None
    assert index.subject.digest == digest_of("subject")


FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"


@pytest.mark.parametrize("value", [1, None, ["v"], {}])
def test_an_annotation_that_is_no_text_is_none(value: Any) -> None:
    manifest = read(image(layers=[descriptor("layer", annotations={PREDICATE: value})]))

    assert manifest.blobs[1].annotation(PREDICATE) is None


def test_of_a_long_annotation_only_so_much_is_kept_that_it_equals_no_other() -> None:
    manifest = read(image(layers=[descriptor("layer", annotations={PREDICATE: "x" * 1_000_000})]))

    assert manifest.blobs[1].annotation(PREDICATE) == "x" * 255


def test_foreign_layers_are_marked() -> None:
    manifest = read(image(layers=[descriptor("layer", mediaType=FOREIGN, urls=["https://x/y", 1])]))

    assert [blob.is_foreign for blob in manifest.blobs] == [False, True]


def test_a_config_is_not_foreign_whatever_its_type_says() -> None:
    assert not read(image(config=descriptor("config", mediaType=FOREIGN))).blobs[0].is_foreign


def test_what_an_index_lists_is_not_foreign() -> None:
    index = read({"mediaType": media.OCI_INDEX, "manifests": [descriptor("a", mediaType=FOREIGN)]})

    assert not index.children[0].is_foreign


LISTED = st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=8)


@given(config=st.tuples(st.sampled_from("abcd"), st.booleans()), layers=LISTED)
@example(config=("c", False), layers=[("x", True), ("x", False)])
def test_a_blob_is_foreign_only_where_everything_that_lists_it_says_so(
    config: tuple[str, bool], layers: list[tuple[str, bool]]
) -> None:
    def listed(name: str, is_foreign: bool) -> dict[str, Any]:
        return descriptor(name, mediaType=FOREIGN if is_foreign else media.OCTET_STREAM)

    manifest = read(image(config=listed(*config), layers=[listed(*layer) for layer in layers]))

    every = [config[0], *(name for name, _ in layers)]
    expected = {digest_of(name): (config[0] != name and (name, False) not in layers) for name in every}
    assert {blob.digest: blob.is_foreign for blob in manifest.blobs} == expected
    assert [blob.digest for blob in manifest.blobs] == [digest_of(name) for name in dict.fromkeys(every)]


@given(blobs=LISTED)
def test_the_same_holds_for_the_blobs_of_an_artifact(blobs: list[tuple[str, bool]]) -> None:
    listed = [descriptor(name, mediaType=FOREIGN if foreign else "") for name, foreign in blobs]

    manifest = read(old_artifact(blobs=listed))

    assert all(
        blob.is_foreign == ((name, False) not in blobs)
        for blob in manifest.blobs
        for name in "abcd"
        if blob.digest == digest_of(name)
    )


def test_as_much_as_the_bounds_allow_is_read() -> None:
    kind = "a/" + "x" * (media.MAX_TYPE - 2)
    platform = dict.fromkeys(("os", "architecture", "variant"), "x" * MAX_PLATFORM)
    child = descriptor("child", mediaType=kind, artifactType=kind, platform=platform)

    index = read({"mediaType": media.OCI_INDEX, "artifactType": kind, "manifests": [child] * MAX_CHILDREN})
    manifest = read(image(layers=[descriptor(str(number)) for number in range(MAX_BLOBS - 1)]))
    artifact = read(old_artifact(blobs=[descriptor(str(number)) for number in range(MAX_BLOBS)]))

    assert (len(index.children), len(manifest.blobs), len(artifact.blobs)) == (MAX_CHILDREN, MAX_BLOBS, MAX_BLOBS)
    assert index.children[0].media_type == index.children[0].artifact_type == index.artifact_type == kind
    assert index.children[0].platform == Platform(*platform.values())


TOO_LONG = "a/" + "x" * (media.MAX_TYPE - 1)
ODD = "\U000e0001" * 100_000


@pytest.mark.parametrize(
    ("body", "why"),
    [
        pytest.param(
            {"mediaType": media.OCI_INDEX, "manifests": [{}] * (MAX_CHILDREN + 1)},
            "manifests lists 2001 entries, more than 2000",
            id="children",
        ),
        pytest.param(image(layers=[{}] * MAX_BLOBS), "layers lists 2000 entries, more than 1999", id="layers"),
        pytest.param(
            old_artifact(blobs=[{}] * (MAX_BLOBS + 1)), "blobs lists 2001 entries, more than 2000", id="blobs"
        ),
        pytest.param(image(annotations={"k": [0] * 200_001}), "it has more than 200000 values", id="numbers"),
        pytest.param(image(annotations={"k": [[]] * 100_001}), "it has more than 200000 values", id="lists"),
        pytest.param(image(annotations={"k": [{}] * 100_001}), "it has more than 200000 values", id="objects"),
        pytest.param(
            image(config=descriptor("x", mediaType=TOO_LONG)),
            "mediaType has 256 characters, more than 255",
            id="type",
        ),
        pytest.param(image(artifactType=TOO_LONG), "artifactType has 256 characters", id="an artifact's type"),
        pytest.param(
            image(subject=descriptor("x", artifactType=TOO_LONG)),
            "artifactType has 256 characters",
            id="a subject's",
        ),
        *(
            pytest.param(
                {"mediaType": media.OCI_INDEX, "manifests": [descriptor("x", platform={key: "x" * 129})]},
                f"{key} has 129 characters, more than 128",
                id=key,
            )
            for key in ("os", "architecture", "variant")
        ),
        pytest.param(image(mediaType=ODD), "unknown media type", id="a long media type of odd characters"),
        pytest.param(image(config=descriptor("x", digest=ODD)), "is not a digest", id="a long digest"),
        pytest.param(image(config=descriptor("x", digest=f"sha256:{ODD}")), "is not a digest", id="long hex"),
        pytest.param(image(config=descriptor("x", size=ODD)), "a descriptor has the size", id="a long size"),
    ],
)
def test_more_than_the_bounds_allow_is_refused_in_few_words(body: Any, why: str) -> None:
    message = refusal(body)

    assert why in message
    assert len(message) < 300


def test_what_an_attestation_is_known_by_is_kept() -> None:
    # They are read where signatures are looked for, and where an index is cut down to its platforms.
    manifest = read(image(config=descriptor("x", annotations={PREDICATE: "p", REFERENCE_DIGEST: "d", "x": "y"})))

    assert manifest.blobs[0].annotation(PREDICATE) == "p"
    assert manifest.blobs[0].annotation(REFERENCE_DIGEST) == "d"
    assert len(manifest.blobs[0].annotations) == 2


@pytest.mark.parametrize(
    ("declared", "header", "body", "read_as"),
    [
        (media.DOCKER_MANIFEST, media.OCI_MANIFEST, image(), media.DOCKER_MANIFEST),
        (None, f"{media.DOCKER_MANIFEST}; charset=utf-8", image(), media.DOCKER_MANIFEST),
        (None, "text/plain", image(), media.OCI_MANIFEST),
        (None, None, {"manifests": []}, media.OCI_INDEX),
        (None, "application/json", {"manifests": []}, media.OCI_INDEX),
        (None, media.DOCKER_LIST, {"manifests": []}, media.DOCKER_LIST),
        (17, None, image(), media.OCI_MANIFEST),
        ("", None, image(), media.OCI_MANIFEST),
    ],
)
def test_the_body_names_its_type_then_the_header_then_its_shape(
    declared: Any, header: str | None, body: dict[str, Any], read_as: str
) -> None:
    body = {key: value for key, value in body.items() if key != "mediaType"}

    manifest = read(body if declared is None else {**body, "mediaType": declared}, header)

    assert manifest.media_type == read_as


@pytest.mark.parametrize("layers", [{}, {"layers": None}, {"layers": []}])
def test_a_manifest_may_have_no_layers(layers: dict[str, Any]) -> None:
    body = {key: value for key, value in image().items() if key != "layers"}

    assert [blob.digest for blob in read({**body, **layers}).blobs] == [digest_of("config")]


NO_SIZE = {"digest": str(digest_of("x"))}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        pytest.param(b"", "not JSON (line 1 column 1)", id="no bytes"),
        pytest.param(b"<html>", "not JSON (line 1 column 1)", id="HTML"),
        pytest.param(json.dumps(image()).encode()[:-1], "not JSON", id="cut short"),
        pytest.param(b"\xff\xfe", "not UTF-8", id="not UTF-8"),
        pytest.param(json.dumps(image()).encode("utf-16"), "not UTF-8", id="UTF-16"),
        pytest.param(b"\xef\xbb\xbf{}", "not JSON", id="a byte order mark"),
        pytest.param(b"[" * 200_000, "nested too deeply", id="nothing but brackets"),
        pytest.param(b'{"a":' * 200_000 + b"1" + b"}" * 200_000, "nested too deeply", id="deep objects"),
        pytest.param(b'{"a": 1' + b"0" * 100_000 + b"}", "a number is too large", id="a huge number"),
        pytest.param(b'{"a": 1e999}', "a number is too large", id="an infinite number"),
        pytest.param(b'{"a": NaN}', "NaN is not JSON", id="NaN"),
        pytest.param(b'{"a": -Infinity}', "-Infinity is not JSON", id="infinity"),
        pytest.param(b'{"layers": [], "layers": []}', "a key stands twice", id="a key twice"),
        pytest.param(b"null", "not a JSON object", id="null"),
        pytest.param(b"[]", "not a JSON object", id="a list"),
        pytest.param({}, "unknown media type ''", id="an empty object"),
        pytest.param({"mediaType": "\ud800" * 500}, "unknown media type", id="a lone surrogate"),
        pytest.param({"mediaType": "application/x"}, "unknown media type 'application/x'", id="another type"),
        pytest.param({"mediaType": media.OCI_MANIFEST}, "field 'config' is missing", id="no config"),
        pytest.param(image(config=None), "a descriptor is not an object", id="null for config"),
        pytest.param(image(layers={}), "layers is not a list", id="an object for layers"),
        pytest.param(image(layers=[7]), "a descriptor is not an object", id="a number for a layer"),
        pytest.param(image(layers=[NO_SIZE]), "field 'size' is missing", id="no size"),
        pytest.param(image(layers=[{"size": 1}]), "field 'digest' is missing", id="no digest"),
        pytest.param(image(layers=[descriptor("x", size=-1)]), "has the size -1", id="a negative size"),
        pytest.param(image(layers=[descriptor("x", size=1 << 63)]), "has the size 9", id="a size beyond 63 bits"),
        pytest.param(image(layers=[descriptor("x", size=1.0)]), "has the size 1.0", id="a broken size"),
        pytest.param(image(layers=[descriptor("x", size=True)]), "has the size True", id="true for a size"),
        pytest.param(image(layers=[descriptor("x", size="1")]), "has the size '1'", id="a text for a size"),
        pytest.param(image(layers=[descriptor("x", digest=1)]), "digest is not a string", id="a number"),
        pytest.param(image(layers=[descriptor("x", digest="md5:a")]), "is not a digest", id="another digest"),
        pytest.param(image(layers=[descriptor("x", urls="u")]), "have the wrong type", id="a text for urls"),
        pytest.param(image(layers=[descriptor("x", annotations=[1])]), "have the wrong type", id="annotations"),
        pytest.param(image(subject=[]), "a descriptor is not an object", id="a list for subject"),
        pytest.param(image(manifests=[descriptor("x")]), "two kinds of manifest at once", id="both"),
        pytest.param(
            image(mediaType=media.OCI_INDEX), "two kinds of manifest at once", id="an index with a config"
        ),
        pytest.param(old_artifact(config={"x": 1}), "two kinds of manifest at once", id="an artifact's config"),
        pytest.param(old_artifact(blobs="x"), "blobs is not a list", id="a text for blobs"),
        pytest.param({"mediaType": media.OCI_INDEX, "manifests": "x"}, "manifests is not a list", id="index"),
    ],
)
def test_what_cant_be_mirrored_is_refused_with_the_reason(body: Any, why: str) -> None:
    message = refusal(body)

    assert message.startswith("the manifest of cgr.dev/a:1 can't be read: ")
    assert why in message
    assert len(message) < 300


@pytest.mark.parametrize(
    ("body", "header"),
    [
        ({"schemaVersion": 1, "fsLayers": []}, None),
        ({"schemaVersion": 1, "fsLayers": []}, "application/vnd.docker.distribution.manifest.v1+prettyjws"),
        ({"schemaVersion": 1}, "application/vnd.docker.distribution.manifest.v1+json"),
    ],
)
def test_schema_1_is_refused_with_what_to_do(body: dict[str, Any], header: str | None) -> None:
    assert refusal(body, header) == "cgr.dev/a:1 is a Docker schema 1 manifest"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("\udc00"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["mediaType", "schemaVersion", "fsLayers", "config", "layers", "manifests", "subject", "artifactType"]
)
DESCRIPTORS = st.fixed_dictionaries(
    {"digest": st.just(str(digest_of("x"))) | JSON, "size": st.integers(-1, 9) | JSON},
    optional={"platform": JSON, "urls": JSON, "annotations": JSON, "mediaType": JSON},
)
TYPES = st.sampled_from([*sorted(media.MANIFESTS | media.INDEXES | media.SCHEMA1), "application/x"])
BODIES = st.dictionaries(FIELDS, st.one_of(JSON, DESCRIPTORS, st.lists(DESCRIPTORS, max_size=3), TYPES))


@pytest.mark.parametrize("header", sorted(media.INDEXES))
def test_an_index_that_lists_nothing_has_to_say_so(header: str) -> None:
    with pytest.raises(ProtocolError, match="field 'manifests' is missing"):
        read(b"{}", header)

    assert read(b'{"manifests": null}', header).children == ()


@given(raw=st.binary(max_size=200), header=st.none() | TYPES)
@example(raw=b"{}", header=media.OCI_INDEX)
def test_no_bytes_make_reading_fail_otherwise(raw: bytes, header: str | None) -> None:
    with pytest.raises(ProtocolError):
        read(raw, header)


@given(body=BODIES | JSON, header=st.none() | TYPES)
def test_no_json_makes_reading_fail_otherwise(body: Any, header: str | None) -> None:
    try:
        manifest = read(body, header)
    except ProtocolError as error:
        assert error.message.startswith(("the manifest of cgr.dev/a:1", "cgr.dev/a:1 is"))
    else:
        assert manifest.media_type in media.MANIFESTS | media.INDEXES
        assert bool(manifest.blobs) != manifest.is_index
        assert all(0 <= each.size < 1 << 63 for each in manifest.blobs + manifest.children)


@given(cut=st.integers(0, 400), data=st.binary(max_size=3))
def test_a_damaged_manifest_is_read_or_refused(cut: int, data: bytes) -> None:
    raw = json.dumps(image(layers=[descriptor("a", annotations={"k": "v"})])).encode()
    damaged = raw[:cut] + data + raw[cut + len(data) :]

    try:
        assert read(damaged).raw == damaged
    except ProtocolError as error:
        assert "can't be read" in error.message


@pytest.mark.parametrize(
    "raw",
    [
        b"not JSON",
        b"not \xff UTF-8",
        b"[" * 100_000,
        b"[]",
        json.dumps({"fsLayers": [], "schemaVersion": 1}).encode(),
    ],
    ids=["not JSON", "not UTF-8", "deep", "no object", "schema 1"],
)
def test_an_error_keeps_nothing_of_the_document(raw: bytes) -> None:
    try:
        parse(raw, content_type=media.OCI_MANIFEST, digest=Digest.of(raw), where="here")
    except ProtocolError as error:
        failure = error

    assert failure.__cause__ is failure.__context__ is None
    # The first frame is this one.
    frames = list(traceback.walk_tb(failure.__traceback__))[1:]
    assert frames
    assert not [name for frame, _ in frames for name, value in frame.f_locals.items() if isinstance(value, bytes)]
