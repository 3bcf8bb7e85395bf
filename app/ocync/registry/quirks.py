"""
Where registries differ from the specification or from each other, as one table: what is so, and what is done.

A row is about hosts (a pattern), or about whoever shows what it tells: then `hosts` is empty, and the code decides
by the answer. `settings` are what a host begins with; what it shows in a pass counts more (`registry/habits.py`).
Nothing here was tried against a live registry: it comes from code, documents and issues, as of the day in `read`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import date
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

MIB = 1024 * 1024


class Mounts(Enum):
    """When a blob can be mounted from another repository of the registry."""

    AT_ONCE = "as soon as it is stored"
    AFTER_COMMIT = "when a manifest that lists it is stored there too"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is known of a host before it has answered anything."""

    single_post: bool | None = None
    """Whether a blob is taken by one POST; None: find out."""
    chunks: bool = True
    """Whether an upload may go in parts at all."""
    chunk_least: int = 1
    """Bytes of a part, but for the last one, at least."""
    chunk_most: int = 16 * MIB
    """Bytes of a part at most."""
    breaks_before_chunks: int = 2
    """Large uploads that break in a row before such go in parts."""
    mounts: Mounts = Mounts.AT_ONCE
    rates: Mapping[str, float] = field(default_factory=dict)
    """Requests a second that are known to be allowed, by kind: metadata, blob, upload, manifest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirk:
    """One row."""

    registry: str
    key: str
    """Names the row, together with the registry."""
    seen: str
    then: str
    source: str
    read: date
    hosts: str = ""
    """Pattern of the whole host, without a port; empty where the answer tells."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What of Settings is different."""

    @property
    def name(self) -> str:
        """`Amazon ECR: page size`."""
        return f"{self.registry}: {self.key}"

    def is_about(self, host: str) -> bool:
        """Tell whether the row is about this host (`host` or `host:port`)."""
        return bool(self.hosts) and re.fullmatch(self.hosts, host.partition(":")[0].lower()) is not None


DOCKER_HUB = r"(.+\.)?docker\.(io|com)"
GHCR = r"ghcr\.io|docker\.pkg\.github\.com|containers\.pkg\.github\.com"
# The pattern of amazon-ecr-credential-helper, with the hosts of two address families.
ECR = (
    r"\d{12}\.dkr[.-]ecr(-fips)?\.[a-z0-9-]+\.(amazonaws\.(com(\.cn)?|eu)|on\.aws|on\.amazonwebservices\.com\.cn"
    r"|sc2s\.sgov\.gov|c2s\.ic\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)"
)
ECR_PUBLIC = r"(ecr-)?public\.ecr\.aws|ecr-public\.aws\.com"
GOOGLE = r"([a-z0-9-]+\.)?gcr\.io|[a-z0-9-]+-docker\.pkg\.dev|docker\.pkg\.dev"
ACR = r"[a-z0-9-]+(\.[a-z0-9-]+)*\.azurecr\.(io|cn|us)"
_READ = date(2026, 11, 25)


def _row(  # noqa: PLR0917 -- a table is read by its columns
    registry: str, key: str, seen: str, then: str, source: str, hosts: str = "", **settings: Any
) -> Quirk:
    return Quirk(
        registry=registry,
        key=key,
        seen=seen,
        then=then,
        source=source,
        read=_READ,
        hosts=hosts,
        settings=settings,
    )


QUIRKS: tuple[Quirk, ...] = (
    _row(
        "Docker Hub",
        "pull quota",
        "429 whose text names the pull rate limit; manifest GETs count, HEADs and blobs do not",
        "no more manifests are asked of this source in the pass; the error says when the quota is renewed",
        "docs.docker.com, docker-hub/usage/pulls",
    ),
    _row(
        "Docker Hub",
        "quota headers",
        "ratelimit-limit and ratelimit-remaining as `100;w=21600`; none where nothing is limited",
        "a fiftieth of a quota of hours is left for others; a window of minutes is waited for; a number that never "
        "moves, whatever is taken, is no more heeded after two waits",
        "docs.docker.com, docker-hub/usage/pulls",
    ),
    _row(
        "Docker Hub",
        "abuse limit",
        "429 `Too Many Requests (HAP429)` in plain text with Retry-After, at times with bare line feeds",
        "waited for, as any 429",
        "docs.docker.com, docker-hub/usage; docker/hub-feedback#1907",
    ),
    _row(
        "Docker Hub",
        "immutable tags",
        "a changed tag is refused; with what status is not documented",
        "a refused tag is looked up: with the same digest it is a success, with another one an immutable tag",
        "docs.docker.com, docker-hub/repos/manage/hub-images/immutable-tags",
    ),
    _row(
        "GHCR",
        "parts",
        "416 for a request with Content-Range of more than 4 MiB; without one there is no such limit",
        "blobs go by one PUT without Content-Range; parts, where they are needed, have 4 MiB at most",
        "openai/tart#179; ocx-sh/ocx#237; dotnet/sdk-container-builds#258",
        GHCR,
        chunk_most=4 * MIB,
    ),
    _row(
        "GHCR",
        "wait in the message",
        "`TOOMANYREQUESTS: retry-after: 10.305464ms, allowed: 2000/minute`, durations as Go writes them",
        "the message is read where there is no Retry-After",
        "chainguard-images/images#173; dependabot/cli#380; falcosecurity/plugins#1069",
    ),
    _row(
        "GHCR",
        "rates",
        "44000 pulls and 2000 pushes a minute",
        "writing begins at no more than that",
        "dependabot/cli#380; chainguard-images/images#173",
        GHCR,
        rates={"metadata": 700.0, "blob": 700.0, "upload": 33.0, "manifest": 33.0},
    ),
    _row(
        "GHCR",
        "second limit",
        "403 `You have exceeded a secondary rate limit`",
        "throttling: waited for, a minute where no time is told",
        "docs.github.com, rest/using-the-rest-api/rate-limits-for-the-rest-api; werf/werf#3665",
    ),
    _row(
        "GHCR",
        "no referrers API",
        "404 for /referrers/",
        "the fallback tag `sha256-HEX` is read and kept",
        "distribution-spec 1.1, Referrers Tag Schema",
    ),
    _row(
        "cgr.dev",
        "entitlements",
        "403 or 404 for tags that are listed: only some are free",
        "the tag fails alone, with the registry's words",
        "chainguard-dev/edu, chainguard-images/troubleshooting",
    ),
    _row(
        "cgr.dev",
        "tokens of one repository",
        "403 for a token that was made for another repository",
        "tokens are kept by scope; one 403 to a token that is not fresh is answered by a new one",
        "chainguard-dev/edu, chainguard-registry/authenticating",
    ),
    _row(
        "Amazon ECR",
        "three calls for a layer",
        "an upload is InitiateLayerUpload, UploadLayerPart, CompleteLayerUpload",
        "one POST with the bytes is not tried",
        "docs.aws.amazon.com, AmazonECR/latest/APIReference",
        ECR,
        single_post=False,
    ),
    _row(
        "Amazon ECR",
        "parts",
        "parts of 5 to 10 MiB, 4200 at most",
        "parts, where they are needed, have that size",
        "docs.aws.amazon.com, AmazonECR/latest/userguide/service-quotas",
        ECR,
        chunk_least=5 * MIB,
        chunk_most=10 * MIB,
    ),
    _row(
        "Amazon ECR",
        "Range stands still",
        "the Range of a PATCH's answer stays at the first part though all are stored",
        "after an answer of 2xx our own count is what holds",
        "aws/containers-roadmap#2831; crashappsec/chalk#682",
    ),
    _row(
        "Amazon ECR",
        "immutable tags",
        "400 TAG_INVALID, for the same digest too",
        "the tag is looked up: with the same digest it is a success",
        "aws/containers-roadmap#862; osscontainertools/kaniko#204",
    ),
    _row(
        "Amazon ECR",
        "mounts after commit",
        "a blob is mounted only when an image in its repository holds it, and only where the account allows mounts",
        "repositories that need it too wait for that image; refused mounts are not asked for again",
        "docs.aws.amazon.com, AmazonECR/latest/userguide/blob-mounting",
        ECR,
        mounts=Mounts.AFTER_COMMIT,
    ),
    _row(
        "Amazon ECR",
        "page size",
        "`n` above 1000 is an error",
        "1000 are asked for",
        "google/go-containerregistry#1091",
    ),
    _row(
        "Amazon ECR",
        "rates",
        "PutImage 10, InitiateLayerUpload 100 a second, for an account and region",
        "writing begins at no more than that",
        "docs.aws.amazon.com, AmazonECR/latest/userguide/service-quotas",
        ECR,
        rates={"upload": 100.0, "manifest": 10.0},
    ),
    _row(
        "Amazon ECR Public",
        "three calls for a layer",
        "as ECR; parts of 5 to 10 MiB, 1000 at most",
        "as ECR",
        "docs.aws.amazon.com, AmazonECR/latest/public/public-service-quotas",
        ECR_PUBLIC,
        single_post=False,
        chunk_least=5 * MIB,
        chunk_most=10 * MIB,
    ),
    _row(
        "Amazon ECR Public",
        "rates",
        "a tenth of ECR's rates for writing",
        "writing begins at no more than that",
        "docs.aws.amazon.com, AmazonECR/latest/public/public-service-quotas",
        ECR_PUBLIC,
        rates={"upload": 10.0, "manifest": 1.0},
    ),
    _row(
        "Google Artifact Registry",
        "no parts",
        "uploads in parts are not supported",
        "blobs go in one request, streamed",
        "dotnet/sdk-container-builds#287; kitops-ml/kitops#777; containers/skopeo#1101",
        GOOGLE,
        chunks=False,
    ),
    _row(
        "Google Artifact Registry",
        "Location outside of /v2/",
        "uploads lie under /artifacts-uploads/namespaces/, with URLs of thousands of bytes",
        "a Location is followed wherever it leads",
        "containers/skopeo#1101",
    ),
    _row(
        "Google Artifact Registry",
        "immutable tags",
        "`The repository has enabled tag immutability`",
        "an immutable tag",
        "cloud.google.com, artifact-registry/docs/docker/troubleshoot",
    ),
    _row(
        "Google Container Registry",
        "401 without a challenge",
        "the real request is refused without WWW-Authenticate",
        "the challenge of /v2/ is used",
        "containers/image, docker_client.go, setupRequestAuth",
    ),
    _row(
        "Azure ACR",
        "form of Content-Range",
        "`bytes 0-84521/*` is refused",
        "parts say `0-84521`",
        "dotnet/sdk-container-builds#258",
    ),
    _row(
        "Azure ACR",
        "large uploads",
        "large bodies are said to be cut off after some 20 MB",
        "the first large upload that breaks, or a 413, makes such go in parts of 4 to 16 MiB",
        "ocync 0.5.2, registry client; not confirmed elsewhere",
        ACR,
        chunk_least=4 * MIB,
        chunk_most=16 * MIB,
        breaks_before_chunks=1,
    ),
    _row(
        "Microsoft MCR",
        "layers from elsewhere",
        "Windows images list layers that have URLs and are not at the registry",
        "they are not copied",
        "oci image-spec, layer.md, Non-Distributable Layers",
    ),
    _row(
        "Quay",
        "mount without `from`",
        "is an error",
        "no mount is asked for without `from`, anywhere",
        "google/go-containerregistry, remote/write.go",
    ),
    _row(
        "Quay",
        "delete scope",
        "a token request with `delete` fails, and uploads can't be cancelled",
        "only pull and push are asked for; a refused cancel is no error",
        "containers/image, docker_image_src.go",
    ),
    _row(
        "Quay",
        "gateway errors",
        "502, 503 and 504 in HTML are common",
        "tried again; pages are not shown",
        "containers/common#2299; GoogleContainerTools/jib#698",
    ),
    _row(
        "Harbor",
        "cookies",
        "a client that sends its cookies back gets 403 `CSRF token invalid`",
        "no cookies are kept",
        "goharbor/harbor#12676",
    ),
    _row(
        "Harbor",
        "immutable tags",
        "412 `configured as immutable`",
        "an immutable tag",
        "goharbor/harbor, src/controller ErrImmutable",
    ),
    _row(
        "Harbor",
        "storage quota",
        "`will exceed the configured upper limit`, when all bytes of a blob have been sent",
        "not tried again; after some blobs in a row no others are sent",
        "goharbor/harbor#17390",
    ),
    _row(
        "Harbor",
        "HEAD and GET differ",
        "Content-Length of a compressed answer to HEAD",
        "answers are asked for as they are stored; a length of an encoding is none",
        "oras-project/oras-go#1177",
    ),
    _row(
        "GitLab",
        "short tokens",
        "tokens of five minutes end within an upload",
        "each request has a token of its own making; a 401 within an upload is answered by a new one",
        "gitlab-org/gitlab-foss#17890",
    ),
    _row(
        "GitLab",
        "HEAD to a URL signed for GET",
        "403 after a redirect",
        "a GET is asked instead",
        "moby/moby#50065",
    ),
    _row(
        "GitLab",
        "rate headers",
        "RateLimit-Remaining and RateLimit-Reset, windows of a minute",
        "no more is asked for until the window ends",
        "docs.gitlab.com, administration/settings/user_and_ip_rate_limits",
    ),
    _row(
        "Artifactory",
        "digests among tags",
        "tag lists hold `sha256:…`",
        "what is no tag is left out",
        "containers/skopeo#2346",
    ),
    _row(
        "Artifactory",
        "HEAD of what is not there",
        "403 instead of 404",
        "a GET is asked, which tells",
        "google/go-containerregistry; RTFACT-13797",
    ),
    _row(
        "Artifactory",
        "PUT with the bytes",
        "some versions want PATCH",
        "a PUT that is refused as too large makes uploads go in parts; other refusals are told",
        "containerd/containerd#3533",
    ),
    _row("Nexus", "null among tags", "tag lists hold null", "what is no tag is left out", "containers/skopeo#2409"),
    _row(
        "Gitea and Forgejo",
        "no Link",
        "`n` and `last` are honoured without a Link to the next page",
        "after a full page without a Link, the next one is asked for by `last`",
        "go-gitea/gitea, routers/api/packages/container",
    ),
    _row(
        "Gitea and Forgejo",
        "no parts",
        "a second PATCH is refused; Range is ignored",
        "a refused PATCH makes uploads go by one PUT again; a whole answer to Range is skipped to where it goes on",
        "go-gitea/gitea, routers/api/packages/container",
    ),
    _row(
        "zot",
        "length",
        "a PUT without Content-Length stores nothing",
        "every body has its length",
        "project-zot/zot, pkg/api/routes.go, UpdateBlobUpload",
    ),
    _row(
        "zot",
        "one POST",
        "wants application/octet-stream and a length, else 415",
        "it has both",
        "project-zot/zot, pkg/api/routes.go, CreateBlobUpload",
    ),
    _row(
        "zot",
        "types",
        "415 for docker's types unless told to take them",
        "told, since bytes are not changed",
        "project-zot/zot, IsSupportedMediaType",
    ),
    _row(
        "distribution",
        "one POST",
        "202 to a POST with the bytes, which are lost",
        "the session is used, and no other blob is sent so",
        "distribution/distribution, registry/handlers/blobupload.go",
    ),
    _row(
        "distribution",
        "Range 0-0",
        "for a session of no bytes and of one alike",
        "not believed: what is sent is sent from our own count, or anew",
        "distribution/distribution, registry/handlers/blobupload.go",
    ),
    _row(
        "distribution",
        "state in the Location",
        "an old Location is 416, one of another node 400 BLOB_UPLOAD_INVALID",
        "the newest Location is used; a lost session is opened anew",
        "distribution/distribution, registry/handlers/blobupload.go",
    ),
    _row(
        "distribution",
        "page size",
        "older versions refuse `n` above their limit with PAGINATION_NUMBER_INVALID",
        "asked again without `n`",
        "distribution/distribution, registry/handlers/tags.go",
    ),
    _row(
        "distribution",
        "Accept decides",
        "404 or a converted manifest where Accept lacks a type",
        "all types are accepted, in one line",
        "distribution/distribution, registry/handlers/manifests.go",
    ),
    _row(
        "registry.k8s.io",
        "redirects",
        "manifests and blobs are at other hosts, which want tokens of their own",
        "followed; each host's challenge is answered for itself, without the first one's credentials",
        "kubernetes/registry.k8s.io, cmd/archeio",
    ),
    _row(
        "lscr.io",
        "realm of ghcr.io",
        "the challenge names another host's token service",
        "a realm may be elsewhere, by https",
        "getwud/wud#143; linuxserver.io",
    ),
    _row(
        "nvcr.io",
        "scope in the realm",
        "the realm's URL holds a query, and there is no service",
        "the query is kept and added to",
        "apache/mesos, MESOS-9968",
    ),
)


@cache
def settings_of(host: str) -> Settings:
    """Return what is known of a host (`host` or `host:port`) before it has answered; later rows count more."""
    changes: dict[str, Any] = {}
    for row in QUIRKS:
        if row.is_about(host):
            changes.update(row.settings)
    return replace(Settings(), **changes)
