"""The images that tests are made of."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zlib

import pytest

from scripted import build, media

LAYER = "sha256:9f159adbb0d62393a24a809f911d8805af9d530f90ca3b7eeae4d7e81cf1dab9"
IMAGE = "sha256:156b881e7f2d4efcae1293123c7ee52eda271b09d67d826da859da7c14a546ce"


def test_equal_arguments_give_equal_bytes_on_every_machine() -> None:
    assert build.multi_arch(seed=1).digest == build.multi_arch(seed=1).digest
    assert build.layer(1000, seed=5).digest == LAYER
    assert build.image().digest == IMAGE


@pytest.mark.parametrize("size", [0, 1, 500, 65535, 200_000])
def test_a_layer_is_a_real_archive_with_its_diff_id(size: int) -> None:
    layer = build.layer(size, seed=3)
    data = b"".join(layer.content.pieces(0, layer.size))
    archive = zlib.decompress(data, wbits=31)
    assert layer.digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert layer.diff_id == f"sha256:{hashlib.sha256(archive).hexdigest()}"
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        assert [(entry.name, entry.size) for entry in files] == [("opt/3", size)]


def test_an_image_is_complete_and_its_descriptors_are_right() -> None:
    made = build.image([build.layer(100, 1), build.layer(200, 2)], platform="linux/arm/v7")
    body = made.root.body
    for entry in (body["config"], *body["layers"]):
        content = made.blobs[entry["digest"]]
        data = b"".join(content.pieces(0, content.size))
        assert entry["digest"] == f"sha256:{hashlib.sha256(data).hexdigest()}"
        assert entry["size"] == len(data)
    content = made.blobs[body["config"]["digest"]]
    config = json.loads(b"".join(content.pieces(0, content.size)))
    assert (config["os"], config["architecture"], config["variant"]) == ("linux", "arm", "v7")
    assert len(config["rootfs"]["diff_ids"]) == 2


def test_a_docker_image_has_dockers_types_throughout() -> None:
    body = build.image([build.layer()], docker=True).root.body
    assert body["mediaType"] == media.DOCKER_MANIFEST
    assert body["config"]["mediaType"] == media.DOCKER_CONFIG
    assert body["layers"][0]["mediaType"] == media.DOCKER_LAYER
    assert build.multi_arch(docker=True).root.body["mediaType"] == media.DOCKER_LIST


def test_an_index_lists_its_children_with_their_platforms_and_holds_all_below() -> None:
    nested = build.index([build.multi_arch(seed=1), build.multi_arch(("linux/s390x",), seed=2)])
    assert len(nested.manifests) == 6
    assert nested.root is nested.manifests[-1]
    child = build.multi_arch(("linux/arm/v7",)).root.body["manifests"][0]
    assert child["platform"] == {"os": "linux", "architecture": "arm", "variant": "v7"}


def test_shared_layers_are_one_blob() -> None:
    base = build.layer(5000, 77)
    made = build.multi_arch(shared=[base])
    assert len(made.blobs) == 1 + 2 + 2  # the base, two layers, two configs
    assert all(base.descriptor in manifest.blobs for manifest in made.manifests[:-1])


def test_attestations_stand_beside_their_image() -> None:
    entries = build.multi_arch(attestations=True).root.body["manifests"]
    assert len(entries) == 4
    for image, attestation in zip(entries[:2], entries[2:], strict=True):
        assert attestation["platform"] == {"os": "unknown", "architecture": "unknown"}
        assert attestation["annotations"]["vnd.docker.reference.digest"] == image["digest"]


def test_an_artifact_names_its_type_and_subject() -> None:
    subject = build.image()
    body = build.artifact("application/spdx+json", [b"{}", b"more"], subject=subject).root.body
    assert body["artifactType"] == "application/spdx+json"
    assert body["subject"] == subject.descriptor
    assert body["config"]["mediaType"] == media.OCI_EMPTY
    assert len(body["layers"]) == 2


def test_a_foreign_layer_is_named_and_not_held() -> None:
    foreign = build.foreign_layer()
    made = build.image([build.layer(), foreign])
    assert foreign.digest not in made.blobs
    assert made.root.body["layers"][1]["urls"] == list(foreign.urls)
    assert foreign.digest not in [entry["digest"] for entry in made.root.blobs]


def test_the_type_can_be_left_out_of_the_body() -> None:
    made = build.image(media_type_in_body=False)
    assert "mediaType" not in made.root.body
    assert made.root.media_type == media.OCI_MANIFEST


def test_everything_can_have_sha512_digests() -> None:
    made = build.image([build.layer(10, algorithm="sha512")], algorithm="sha512")
    assert made.digest.startswith("sha512:")
    assert all(digest.startswith("sha512:") for digest in made.blobs)


def test_tags_for_what_is_attached_follow_cosign_and_the_specification() -> None:
    digest = "sha256:" + "ab" * 32
    assert build.cosign_tag(digest, "att") == f"sha256-{'ab' * 32}.att"
    assert build.fallback_tag(digest) == f"sha256-{'ab' * 32}"
    assert build.fallback_tag("sha512:" + "cd" * 64) == f"sha512-{'cd' * 32}"


def test_a_big_layer_is_held_nowhere() -> None:
    layer = build.big_layer(5_000_000, seed=4)
    assert layer.size == 5_000_000
    assert layer.digest == layer.content.digest()
