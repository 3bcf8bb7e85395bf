"""
Images of all kinds with real digests: equal arguments give equal bytes, on every machine.

    build.image(layers=[build.layer(20_000, seed=1)])
    build.multi_arch(seed=3)
    build.index([build.image(), build.multi_arch(), build.attestation(image)])
    build.artifact("application/spdx+json", [b"{}"], subject=image)
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from scripted import media
from scripted.archive import stored_gzip, tar_of
from scripted.content import Bytes, GeneratedBlob, digest_of
from scripted.storage import StoredManifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scripted.content import Content

EPOCH = "2024-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A blob and what a descriptor says of it."""

    content: Content
    digest: str
    media_type: str
    diff_id: str = ""
    """For layers: the digest of the tar inside."""
    urls: tuple[str, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()

    @property
    def size(self) -> int:
        """Its bytes."""
        return self.content.size

    @property
    def descriptor(self) -> dict[str, Any]:
        """Its descriptor."""
        entry: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.urls:
            entry["urls"] = list(self.urls)
        if self.annotations:
            entry["annotations"] = dict(self.annotations)
        return entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image, index or artifact with everything below it; `subject` itself is not part of it."""

    manifests: tuple[StoredManifest, ...]
    """Children first, the root last."""
    blobs: dict[str, Content] = field(repr=False)
    platform: str | None = None
    """`os/architecture[/variant]`, for the entry in an index."""
    annotations: tuple[tuple[str, str], ...] = ()
    """Annotations of the entry in an index."""

    @property
    def root(self) -> StoredManifest:
        """The manifest that a tag points at."""
        return self.manifests[-1]

    @property
    def digest(self) -> str:
        """The root's digest."""
        return self.root.digest

    @property
    def descriptor(self) -> dict[str, Any]:
        """The descriptor of the root, without platform."""
        return {"mediaType": self.root.media_type, "digest": self.digest, "size": len(self.root.raw)}

    @property
    def entry(self) -> dict[str, Any]:
        """The descriptor of the root as an index lists it."""
        entry = self.descriptor
        if self.platform is not None:
            names = ("os", "architecture", "variant")
            entry["platform"] = dict(zip(names, self.platform.split("/"), strict=False))
        if self.annotations:
            entry["annotations"] = dict(self.annotations)
        return entry


def blob(data: bytes, media_type: str = "application/octet-stream", *, algorithm: str = "sha256") -> Blob:
    """Make a blob of bytes."""
    return Blob(content=Bytes(data), digest=digest_of(data, algorithm), media_type=media_type)


def layer(size: int = 4096, seed: int = 0, *, docker: bool = False, algorithm: str = "sha256") -> Blob:
    """Make a real layer: a tar.gz that holds one incompressible file of so many bytes."""
    content = GeneratedBlob(size, seed)
    archive = tar_of(f"opt/{seed}", b"".join(bytes(piece) for piece in content.pieces(0, size)))
    made = blob(stored_gzip(archive), media.DOCKER_LAYER if docker else media.OCI_LAYER, algorithm=algorithm)
    return replace(made, diff_id=digest_of(archive))


def empty_layer(*, docker: bool = False) -> Blob:
    """Make a layer whose tar holds nothing."""
    archive = bytes(1024)
    made = blob(stored_gzip(archive), media.DOCKER_LAYER if docker else media.OCI_LAYER)
    return replace(made, diff_id=digest_of(archive))


def big_layer(size: int, seed: int = 0) -> Blob:
    """Make a layer of any size that is held nowhere; its bytes are no archive."""
    content = GeneratedBlob(size, seed)
    return Blob(
        content=content, digest=content.digest(), media_type=media.OCI_LAYER, diff_id=digest_of(b"%d" % seed)
    )


def foreign_layer(size: int = 4096, seed: int = 99, *, docker: bool = False) -> Blob:
    """Make a layer that registries do not hold: it is to be fetched from its `urls`."""
    made = layer(size, seed)
    media_type = media.DOCKER_FOREIGN_LAYER if docker else media.OCI_FOREIGN_LAYER
    return replace(made, media_type=media_type, urls=(f"https://example.com/layers/{made.digest}",))


def image(
    layers: Sequence[Blob] | None = None,
    *,
    platform: str = "linux/amd64",
    docker: bool = False,
    config: Blob | None = None,
    artifact_type: str | None = None,
    subject: Image | None = None,
    annotations: Mapping[str, str] | None = None,
    algorithm: str = "sha256",
    media_type_in_body: bool = True,
    label: str = "",
) -> Image:
    """
    Make an image of one platform; without layers given, of one small layer. `label` alone makes another image.

    Layers of the other kind (Docker, OCI) get the media type that belongs to the manifest.
    """
    layers = [layer(docker=docker)] if layers is None else [_of_kind(entry, docker=docker) for entry in layers]
    if config is None:
        data = _config(layers, platform, label)
        config = blob(data, media.DOCKER_CONFIG if docker else media.OCI_CONFIG, algorithm=algorithm)
    body: dict[str, Any] = {"schemaVersion": 2}
    media_type = media.DOCKER_MANIFEST if docker else media.OCI_MANIFEST
    if media_type_in_body:
        body["mediaType"] = media_type
    if artifact_type is not None:
        body["artifactType"] = artifact_type
    body |= {"config": config.descriptor, "layers": [entry.descriptor for entry in layers]}
    _attach(body, subject, annotations)
    held = [entry for entry in (config, *layers) if not media.is_foreign(entry.descriptor)]
    return Image(
        manifests=(StoredManifest.of(_json(body), media_type, algorithm),),
        blobs={entry.digest: entry.content for entry in held},
        platform=platform,
    )


def index(
    children: Iterable[Image],
    *,
    docker: bool = False,
    artifact_type: str | None = None,
    subject: Image | None = None,
    annotations: Mapping[str, str] | None = None,
    algorithm: str = "sha256",
    media_type_in_body: bool = True,
) -> Image:
    """Make an index of images, other indexes, artifacts and attestations."""
    children = list(children)
    media_type = media.DOCKER_LIST if docker else media.OCI_INDEX
    body: dict[str, Any] = {"schemaVersion": 2}
    if media_type_in_body:
        body["mediaType"] = media_type
    if artifact_type is not None:
        body["artifactType"] = artifact_type
    body["manifests"] = [child.entry for child in children]
    _attach(body, subject, annotations)
    below = {manifest.digest: manifest for child in children for manifest in child.manifests}
    return Image(
        manifests=(*below.values(), StoredManifest.of(_json(body), media_type, algorithm)),
        blobs={digest: content for child in children for digest, content in child.blobs.items()},
    )


def multi_arch(
    platforms: Sequence[str] = ("linux/amd64", "linux/arm64"),
    *,
    seed: int = 0,
    shared: Sequence[Blob] = (),
    size: int = 4096,
    docker: bool = False,
    attestations: bool = False,
    annotations: Mapping[str, str] | None = None,
) -> Image:
    """Make an index with an image for each platform: the shared layers, and one of its own."""
    children = []
    for number, platform in enumerate(platforms):
        own = layer(size, seed * 100 + number, docker=docker)
        children.append(image([*shared, own], platform=platform, docker=docker))
    if attestations:
        children += [attestation(child) for child in children]
    return index(children, docker=docker, annotations=annotations)


def attestation(of: Image) -> Image:
    """Make an attestation as BuildKit puts it beside an image in its index (platform unknown/unknown)."""
    statement = blob(_json({"subject": [{"digest": of.digest}]}), "application/vnd.in-toto+json")
    made = image([statement], platform="unknown/unknown", label=of.digest)
    marks = {"vnd.docker.reference.digest": of.digest, "vnd.docker.reference.type": "attestation-manifest"}
    return replace(made, annotations=tuple(marks.items()))


def artifact(
    artifact_type: str,
    contents: Iterable[bytes] = (b"{}",),
    *,
    subject: Image | None = None,
    config: Blob | None = None,
    annotations: Mapping[str, str] | None = None,
    algorithm: str = "sha256",
) -> Image:
    """Make an artifact: any blobs, the empty config unless one is given, and what it is attached to."""
    made = image(
        [blob(data, artifact_type, algorithm=algorithm) for data in contents],
        config=config or blob(b"{}", media.OCI_EMPTY),
        artifact_type=artifact_type,
        subject=subject,
        annotations=annotations,
        algorithm=algorithm,
    )
    return replace(made, platform=None)


def old_artifact(artifact_type: str, contents: Iterable[bytes], *, subject: Image | None = None) -> Image:
    """Make an artifact in the form of clients from before OCI 1.1, which registries may refuse by now."""
    blobs = [blob(data, artifact_type) for data in contents]
    body: dict[str, Any] = {"mediaType": media.OCI_ARTIFACT, "artifactType": artifact_type}
    body["blobs"] = [entry.descriptor for entry in blobs]
    _attach(body, subject, {"made": "by ORAS 0.16"})
    return Image(
        manifests=(StoredManifest.of(_json(body), media.OCI_ARTIFACT),),
        blobs={entry.digest: entry.content for entry in blobs},
    )


def chart(name: str = "app", version: str = "1.0.0") -> Image:
    """Make a Helm chart as `helm push` stores it."""
    made = json.dumps({"name": name, "version": version, "apiVersion": "v2"}).encode()
    data = stored_gzip(tar_of(f"{name}/Chart.yaml", made))
    return replace(
        image(
            [blob(data, "application/vnd.cncf.helm.chart.content.v1.tar+gzip")],
            config=blob(made, "application/vnd.cncf.helm.config.v1+json"),
        ),
        platform=None,
    )


def cosign_tag(digest: str, suffix: str = "sig") -> str:
    """Return the tag under which cosign puts signatures (`sig`), attestations (`att`) and SBOMs (`sbom`)."""
    return f"{digest.replace(':', '-')}.{suffix}"


def cosign_signature(of: Image, *, text: str = "signature") -> Image:
    """Make a signature in cosign's old layout; it belongs under `cosign_tag(of.digest)`."""
    payload = _json({"critical": {"image": {"docker-manifest-digest": of.digest}, "type": text}})
    simple = blob(payload, "application/vnd.dev.cosign.simplesigning.v1+json")
    return image([replace(simple, annotations=(("dev.cosignproject.cosign/signature", text),))], label=text)


def fallback_tag(digest: str) -> str:
    """Return the tag that lists referrers where there is no API (distribution-spec 1.1, "Referrers Tag Schema")."""
    algorithm, _, encoded = digest.partition(":")
    return f"{algorithm[:32]}-{encoded[:64]}"


def _of_kind(entry: Blob, *, docker: bool) -> Blob:
    twins = {media.OCI_LAYER: media.DOCKER_LAYER, media.OCI_FOREIGN_LAYER: media.DOCKER_FOREIGN_LAYER}
    if not docker:
        twins = {there: here for here, there in twins.items()}
    return replace(entry, media_type=twins.get(entry.media_type, entry.media_type))


def _config(layers: Sequence[Blob], platform: str, label: str) -> bytes:
    system, architecture, *variant = platform.split("/")
    body: dict[str, Any] = {"created": EPOCH, "architecture": architecture, "os": system}
    if variant:
        body["variant"] = variant[0]
    body["config"] = {"Entrypoint": ["/opt/run"], "Labels": {"label": label} if label else {}}
    body["rootfs"] = {"type": "layers", "diff_ids": [entry.diff_id or entry.digest for entry in layers]}
    body["history"] = [{"created": EPOCH, "created_by": "scripted"} for _ in layers]
    return _json(body)


def _attach(body: dict[str, Any], subject: Image | None, annotations: Mapping[str, str] | None) -> None:
    if subject is not None:
        body["subject"] = subject.descriptor
    if annotations:
        body["annotations"] = dict(annotations)


def _json(body: dict[str, Any]) -> bytes:
    return json.dumps(body, indent=2).encode()
