"""
What is known of registries before they have answered anything: one table, one row for each provider. Pure.

A row says which hosts are the provider's, how to log in there, and where it differs from the specification or from
others. Software that anybody may run has no hosts here and is known by its answers. What a host shows in a pass
counts more (`registry/upload_strategy.py`). All of it comes from code, documents and issues, none from a live
registry.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import date
from enum import Enum, StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any

from ocync.oci.reference import DOCKER_HUB_HOSTS

if TYPE_CHECKING:
    from collections.abc import Mapping

MIB = 1024 * 1024
READ = date(2026, 11, 25)
"""The day on which the sources below were read, where a row names no other."""


class Cloud(StrEnum):
    """A cloud's registry; the values are those of `auth_type`."""

    ECR = "ecr"
    GAR = "gar"
    GCR = "gcr"
    ACR = "acr"


class MountPolicy(Enum):
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
    mounts: MountPolicy = MountPolicy.AT_ONCE
    rates: Mapping[str, float] = field(default_factory=dict)
    """Requests a second that are known to be allowed, by kind: metadata, blob, upload, manifest."""


@dataclass(frozen=True, slots=True)
class Quirk:
    """One way in which a provider differs: what is so, what is done about it, and who says so."""

    key: str
    seen: str
    then: str
    source: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What of Settings is different."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One row."""

    name: str
    hosts: str = ""
    """Pattern of the whole host in lower case, without a port; empty where only the answers tell."""
    source: str = ""
    """Who says that these are its hosts, where they are not its name."""
    read: date = READ
    cloud: Cloud | None = None
    """The cloud whose login it takes; None: Docker's config, or nothing."""
    serves_everybody: bool = True
    """Whether some of it can be read without credentials, so that a refused login is no reason to give up."""
    token_is_password: bool = False
    """Whether a token is taken as a password only, never as it is."""
    quirks: tuple[Quirk, ...] = ()

    @property
    def settings(self) -> Settings:
        """What its hosts begin with."""
        changes: dict[str, Any] = {}
        for quirk in self.quirks:
            changes.update(quirk.settings)
        return replace(Settings(), **changes)


PROVIDERS: tuple[Provider, ...] = (
    Provider(
        name="Docker Hub",
        hosts="|".join(map(re.escape, sorted(DOCKER_HUB_HOSTS))),
        source="moby/moby, registry/config.go",
        quirks=(
            Quirk(
                "pull quota",
                "429 whose text names the pull rate limit; manifest GETs count, HEADs and blobs do not",
                "no more manifests are asked of this source in the pass; the error says when the quota is renewed",
                "docs.docker.com, docker-hub/usage/pulls",
            ),
            Quirk(
                "quota headers",
                "ratelimit-limit and ratelimit-remaining as `100;w=21600`; none where nothing is limited",
                "a fiftieth of a quota of hours is left for others; a window of minutes is waited for; a number "
                "that never moves, whatever is taken, is no more heeded after two waits",
                "docs.docker.com, docker-hub/usage/pulls",
            ),
            Quirk(
                "abuse limit",
                "429 `Too Many Requests (HAP429)` in plain text with Retry-After, at times with bare line feeds",
                "waited for, as any 429",
                "docs.docker.com, docker-hub/usage; docker/hub-feedback#1907",
            ),
            Quirk(
                "immutable tags",
                "a changed tag is refused; with what status is not documented",
                "a refused tag is looked up: with the same digest it is a success, with another one an immutable "
                "tag",
                "docs.docker.com, docker-hub/repos/manage/hub-images/immutable-tags",
            ),
        ),
    ),
    Provider(
        name="GHCR",
        hosts=r"ghcr\.io|docker\.pkg\.github\.com|containers\.pkg\.github\.com",
        source="docs.github.com, working-with-the-container-registry; getwud/wud#143",
        token_is_password=True,
        quirks=(
            Quirk(
                "parts",
                "416 for a request with Content-Range of more than 4 MiB; without one there is no such limit",
                "blobs go by one PUT without Content-Range; parts, where they are needed, have 4 MiB at most",
                "openai/tart#179; ocx-sh/ocx#237; dotnet/sdk-container-builds#258",
                {"chunk_most": 4 * MIB},
            ),
            Quirk(
                "wait in the message",
                "`TOOMANYREQUESTS: retry-after: 10.305464ms, allowed: 2000/minute`, durations as Go writes them",
                "the message is read where there is no Retry-After",
                "chainguard-images/images#173; dependabot/cli#380; falcosecurity/plugins#1069",
            ),
            Quirk(
                "rates",
                "44000 pulls and 2000 pushes a minute",
                "writing begins at no more than that",
                "dependabot/cli#380; chainguard-images/images#173",
                {"rates": {"metadata": 700.0, "blob": 700.0, "upload": 33.0, "manifest": 33.0}},
            ),
            Quirk(
                "second limit",
                "403 `You have exceeded a secondary rate limit`",
                "throttling: waited for, a minute where no time is told",
                "docs.github.com, rest/using-the-rest-api/rate-limits-for-the-rest-api; werf/werf#3665",
            ),
            Quirk(
                "no referrers API",
                "404 for /referrers/",
                "the fallback tag `sha256-HEX` is read and kept",
                "distribution-spec 1.1, Referrers Tag Schema",
            ),
        ),
    ),
    Provider(
        name="cgr.dev",
        hosts=r"cgr\.dev",
        quirks=(
            Quirk(
                "entitlements",
                "403 or 404 for tags that are listed: only some are free",
                "the tag fails alone, with the registry's words",
                "chainguard-dev/edu, chainguard-images/troubleshooting",
            ),
            Quirk(
                "tokens of one repository",
                "403 for a token that was made for another repository",
                "tokens are kept by scope; one 403 to a token that is not fresh is answered by a new one",
                "chainguard-dev/edu, chainguard-registry/authenticating",
            ),
        ),
    ),
    Provider(
        name="Amazon ECR",
        # dkr-ecr for those with IPv4 and IPv6; one suffix for each partition.
        hosts=(
            r"(?P<account>[0-9]{12})\.dkr(?P<dual>[.-])ecr(?P<fips>-fips)?\.(?P<region>[a-z0-9][a-z0-9_-]*)\."
            r"(amazonaws\.com(\.cn)?|amazonaws\.eu|on\.aws|on\.amazonwebservices\.(com\.cn|eu)"
            r"|sc2s\.sgov\.gov|c2s\.ic\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)"
        ),
        source="docs.aws.amazon.com, general/latest/gr/ecr; awslabs/amazon-ecr-credential-helper; botocore, "
        "partitions.json; renovatebot/renovate, ecr.ts",
        read=date(2026, 12, 1),
        cloud=Cloud.ECR,
        serves_everybody=False,
        quirks=(
            Quirk(
                "three calls for a layer",
                "an upload is InitiateLayerUpload, UploadLayerPart, CompleteLayerUpload",
                "one POST with the bytes is not tried",
                "docs.aws.amazon.com, AmazonECR/latest/APIReference",
                {"single_post": False},
            ),
            Quirk(
                "parts",
                "parts of 5 to 10 MiB, 4200 at most",
                "parts, where they are needed, have that size",
                "docs.aws.amazon.com, AmazonECR/latest/userguide/service-quotas",
                {"chunk_least": 5 * MIB, "chunk_most": 10 * MIB},
            ),
            Quirk(
                "Range stands still",
                "the Range of a PATCH's answer stays at the first part though all are stored",
                "after an answer of 2xx our own count is what holds",
                "aws/containers-roadmap#2831; crashappsec/chalk#682",
            ),
            Quirk(
                "immutable tags",
                "400 TAG_INVALID, for the same digest too",
                "the tag is looked up: with the same digest it is a success",
                "aws/containers-roadmap#862; osscontainertools/kaniko#204",
            ),
            Quirk(
                "mounts after commit",
                "a blob is mounted only when an image in its repository holds it, and only where the account "
                "allows mounts",
                "repositories that need it too wait for that image; refused mounts are not asked for again",
                "docs.aws.amazon.com, AmazonECR/latest/userguide/blob-mounting",
                {"mounts": MountPolicy.AFTER_COMMIT},
            ),
            Quirk(
                "page size",
                "`n` above 1000 is an error",
                "1000 are asked for",
                "google/go-containerregistry#1091",
            ),
            Quirk(
                "rates",
                "PutImage 10, InitiateLayerUpload 100 a second, for an account and region",
                "writing begins at no more than that",
                "docs.aws.amazon.com, AmazonECR/latest/userguide/service-quotas",
                {"rates": {"upload": 100.0, "manifest": 10.0}},
            ),
        ),
    ),
    Provider(
        name="Amazon ECR Public",
        hosts=r"public\.ecr\.aws|ecr-public\.aws\.com",
        source="docs.aws.amazon.com, AmazonECR/latest/public/public-ecr-requests",
        cloud=Cloud.ECR,
        quirks=(
            Quirk(
                "three calls for a layer",
                "as ECR; parts of 5 to 10 MiB, 1000 at most",
                "as ECR",
                "docs.aws.amazon.com, AmazonECR/latest/public/public-service-quotas",
                {"single_post": False, "chunk_least": 5 * MIB, "chunk_most": 10 * MIB},
            ),
            Quirk(
                "rates",
                "a tenth of ECR's rates for writing",
                "writing begins at no more than that",
                "docs.aws.amazon.com, AmazonECR/latest/public/public-service-quotas",
                {"rates": {"upload": 10.0, "manifest": 1.0}},
            ),
        ),
    ),
    Provider(
        name="Google Artifact Registry",
        # europe-docker.pkg.dev, and docker.europe-west1.rep.pkg.dev for one region's endpoint.
        hosts=r"([a-z0-9-]+-)?docker(\.[a-z0-9-]+\.rep)?\.pkg\.dev",
        source="docs.cloud.google.com, artifact-registry/docs/docker; GoogleCloudPlatform/docker-credential-gcr, "
        "config/const.go",
        read=date(2026, 12, 1),
        cloud=Cloud.GAR,
        quirks=(
            Quirk(
                "no parts",
                "uploads in parts are not supported",
                "blobs go in one request, streamed",
                "dotnet/sdk-container-builds#287; kitops-ml/kitops#777; containers/skopeo#1101",
                {"chunks": False},
            ),
            Quirk(
                "Location outside of /v2/",
                "uploads lie under /artifacts-uploads/namespaces/, with URLs of thousands of bytes",
                "a Location is followed wherever it leads",
                "containers/skopeo#1101",
            ),
            Quirk(
                "immutable tags",
                "`The repository has enabled tag immutability`",
                "an immutable tag",
                "cloud.google.com, artifact-registry/docs/docker/troubleshoot",
            ),
        ),
    ),
    Provider(
        name="Google Container Registry",
        hosts=r"((us|eu|asia|marketplace|staging-k8s)\.)?gcr\.io",
        source="GoogleCloudPlatform/docker-credential-gcr, config/const.go; k8s.gcr.io and mirror.gcr.io are for "
        "everybody",
        read=date(2026, 12, 1),
        cloud=Cloud.GCR,
        quirks=(
            Quirk(
                "no parts",
                "as Artifact Registry, which serves these hosts now",
                "blobs go in one request, streamed",
                "docs.cloud.google.com, artifact-registry/docs/transition",
                {"chunks": False},
            ),
            Quirk(
                "401 without a challenge",
                "the real request is refused without WWW-Authenticate",
                "the challenge of /v2/ is used",
                "containers/image, docker_client.go, setupRequestAuth",
            ),
        ),
    ),
    Provider(
        name="Azure ACR",
        # The login servers: global and regional. Data endpoints (NAME.REGION.data) serve layers to redirects alone.
        # Names that carry a hash of their tenant have hyphens; .cn is run by 21Vianet, .us is for the government.
        hosts=r"[a-z0-9-]+(\.[a-z0-9]+\.geo)?\.azurecr\.(io|cn|us)",
        source="learn.microsoft.com, container-registry/container-registry-endpoint-reference",
        read=date(2026, 12, 1),
        cloud=Cloud.ACR,
        quirks=(
            Quirk(
                "form of Content-Range",
                "`bytes 0-84521/*` is refused",
                "parts say `0-84521`",
                "dotnet/sdk-container-builds#258",
            ),
            Quirk(
                "large uploads",
                "large bodies are said to be cut off after some 20 MB",
                "the first large upload that breaks, or a 413, makes such go in parts of 4 to 16 MiB",
                "ocync 0.5.2, registry client; not confirmed elsewhere",
                {"chunk_least": 4 * MIB, "chunk_most": 16 * MIB, "breaks_before_chunks": 1},
            ),
        ),
    ),
    Provider(
        name="Microsoft MCR",
        hosts=r"mcr\.microsoft\.com",
        quirks=(
            Quirk(
                "layers from elsewhere",
                "Windows images list layers that have URLs and are not at the registry",
                "they are not copied",
                "oci image-spec, layer.md, Non-Distributable Layers",
            ),
        ),
    ),
    Provider(
        name="Quay",
        hosts=r"quay\.io",
        quirks=(
            Quirk(
                "mount without `from`",
                "is an error",
                "no mount is asked for without `from`, anywhere",
                "google/go-containerregistry, remote/write.go",
            ),
            Quirk(
                "delete scope",
                "a token request with `delete` fails, and uploads can't be cancelled",
                "only pull and push are asked for; a refused cancel is no error",
                "containers/image, docker_image_src.go",
            ),
            Quirk(
                "gateway errors",
                "502, 503 and 504 in HTML are common",
                "tried again; pages are not shown",
                "containers/common#2299; GoogleContainerTools/jib#698",
            ),
        ),
    ),
    Provider(
        name="Harbor",
        quirks=(
            Quirk(
                "cookies",
                "a client that sends its cookies back gets 403 `CSRF token invalid`",
                "no cookies are kept",
                "goharbor/harbor#12676",
            ),
            Quirk(
                "immutable tags",
                "412 `configured as immutable`",
                "an immutable tag",
                "goharbor/harbor, src/controller ErrImmutable",
            ),
            Quirk(
                "storage quota",
                "`will exceed the configured upper limit`, when all bytes of a blob have been sent",
                "not tried again; after some blobs in a row no others are sent",
                "goharbor/harbor#17390",
            ),
            Quirk(
                "HEAD and GET differ",
                "Content-Length of a compressed answer to HEAD",
                "answers are asked for as they are stored; a length of an encoding is none",
                "oras-project/oras-go#1177",
            ),
        ),
    ),
    Provider(
        name="GitLab",
        quirks=(
            Quirk(
                "short tokens",
                "tokens of five minutes end within an upload",
                "each request has a token of its own making; a 401 within an upload is answered by a new one",
                "gitlab-org/gitlab-foss#17890",
            ),
            Quirk(
                "HEAD to a URL signed for GET",
                "403 after a redirect",
                "a GET is asked instead",
                "moby/moby#50065",
            ),
            Quirk(
                "rate headers",
                "RateLimit-Remaining and RateLimit-Reset, windows of a minute",
                "no more is asked for until the window ends",
                "docs.gitlab.com, administration/settings/user_and_ip_rate_limits",
            ),
        ),
    ),
    Provider(
        name="Artifactory",
        quirks=(
            Quirk(
                "digests among tags",
                "tag lists hold `sha256:…`",
                "what is no tag is left out",
                "containers/skopeo#2346",
            ),
            Quirk(
                "HEAD of what is not there",
                "403 instead of 404",
                "a GET is asked, which tells",
                "google/go-containerregistry; RTFACT-13797",
            ),
            Quirk(
                "PUT with the bytes",
                "some versions want PATCH",
                "a PUT that is refused as too large makes uploads go in parts; other refusals are told",
                "containerd/containerd#3533",
            ),
        ),
    ),
    Provider(
        name="Nexus",
        quirks=(
            Quirk(
                "null among tags",
                "tag lists hold null",
                "what is no tag is left out",
                "containers/skopeo#2409",
            ),
        ),
    ),
    Provider(
        name="Gitea and Forgejo",
        quirks=(
            Quirk(
                "no Link",
                "`n` and `last` are honoured without a Link to the next page",
                "after a full page without a Link, the next one is asked for by `last`",
                "go-gitea/gitea, routers/api/packages/container",
            ),
            Quirk(
                "no parts",
                "a second PATCH is refused; Range is ignored",
                "a refused PATCH makes uploads go by one PUT again; a whole answer to Range is skipped to where "
                "it goes on",
                "go-gitea/gitea, routers/api/packages/container",
            ),
        ),
    ),
    Provider(
        name="zot",
        quirks=(
            Quirk(
                "length",
                "a PUT without Content-Length stores nothing",
                "every body has its length",
                "project-zot/zot, pkg/api/routes.go, UpdateBlobUpload",
            ),
            Quirk(
                "one POST",
                "wants application/octet-stream and a length, else 415",
                "it has both",
                "project-zot/zot, pkg/api/routes.go, CreateBlobUpload",
            ),
            Quirk(
                "types",
                "415 for docker's types unless told to take them",
                "told, since bytes are not changed",
                "project-zot/zot, IsSupportedMediaType",
            ),
        ),
    ),
    Provider(
        name="distribution",
        quirks=(
            Quirk(
                "one POST",
                "202 to a POST with the bytes, which are lost",
                "the session is used, and no other blob is sent so",
                "distribution/distribution, registry/handlers/blobupload.go",
            ),
            Quirk(
                "Range 0-0",
                "for a session of no bytes and of one alike",
                "not believed: what is sent is sent from our own count, or anew",
                "distribution/distribution, registry/handlers/blobupload.go",
            ),
            Quirk(
                "state in the Location",
                "an old Location is 416, one of another node 400 BLOB_UPLOAD_INVALID",
                "the newest Location is used; a lost session is opened anew",
                "distribution/distribution, registry/handlers/blobupload.go",
            ),
            Quirk(
                "page size",
                "older versions refuse `n` above their limit with PAGINATION_NUMBER_INVALID",
                "asked again without `n`",
                "distribution/distribution, registry/handlers/tags.go",
            ),
            Quirk(
                "Accept decides",
                "404 or a converted manifest where Accept lacks a type",
                "all types are accepted, in one line",
                "distribution/distribution, registry/handlers/manifests.go",
            ),
        ),
    ),
    Provider(
        name="registry.k8s.io",
        hosts=r"registry\.k8s\.io",
        quirks=(
            Quirk(
                "redirects",
                "manifests and blobs are at other hosts, which want tokens of their own",
                "followed; each host's challenge is answered for itself, without the first one's credentials",
                "kubernetes/registry.k8s.io, cmd/archeio",
            ),
        ),
    ),
    Provider(
        name="lscr.io",
        hosts=r"lscr\.io",
        quirks=(
            Quirk(
                "realm of ghcr.io",
                "the challenge names another host's token service",
                "a realm may be elsewhere, by https",
                "getwud/wud#143; linuxserver.io",
            ),
        ),
    ),
    Provider(
        name="nvcr.io",
        hosts=r"nvcr\.io",
        quirks=(
            Quirk(
                "scope in the realm",
                "the realm's URL holds a query, and there is no service",
                "the query is kept and added to",
                "apache/mesos, MESOS-9968",
            ),
        ),
    ),
)

ECR_PUBLIC_REGION = "us-east-1"
"""Where ECR Public is logged in to, wherever one is (AWS general reference, "Amazon ECR Public endpoints")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EcrHost:
    """A host of Amazon's registry."""

    region: str
    """The region of its API."""
    account: str = ""
    """Empty for ECR Public."""
    fips: bool = False
    """By the endpoints with FIPS 140 cryptography."""
    dual_stack: bool = False
    """By IPv4 and IPv6."""
    public: bool = False
    """ECR Public, which anybody may read."""


@cache
def provider_of(host: str) -> Provider | None:
    """Return whose registry a host is (`host` or `host:443`), by its name alone."""
    return next((each for each in PROVIDERS if each.hosts and re.fullmatch(each.hosts, _name(host))), None)


@cache
def settings_of(host: str) -> Settings:
    """Return what is known of a host before it has answered."""
    provider = provider_of(host)
    return provider.settings if provider else Settings()


def cloud_of(host: str) -> Cloud | None:
    """Return the cloud whose login a host takes."""
    provider = provider_of(host)
    return provider.cloud if provider else None


def ecr_host(host: str) -> EcrHost | None:
    """Return what the name of a host of ECR tells; None for others."""
    provider = provider_of(host)
    if provider is None or provider.cloud is not Cloud.ECR:
        return None
    if provider.serves_everybody:
        return EcrHost(region=ECR_PUBLIC_REGION, public=True)
    match = re.fullmatch(provider.hosts, _name(host))
    assert match is not None
    return EcrHost(
        account=match["account"],
        region=match["region"],
        fips=match["fips"] is not None,
        dual_stack=match["dual"] == "-",
    )


def acr_cloud(host: str) -> str | None:
    """Return the last part of the name of a host of ACR: io, cn or us; None for others."""
    return _name(host).rpartition(".")[2] if cloud_of(host) is Cloud.ACR else None


def _name(host: str) -> str:
    """Return a host in lower case, without the port that says nothing."""
    return host.lower().removesuffix(":443")
