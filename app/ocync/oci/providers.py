"""
What is known of registries before their first response: one table, one row a provider.

A row says which hosts belong to the provider, how to log in there, and where it differs from the specification or
from others. Software that anyone may run has no hosts here; its responses identify it. What a host shows in a pass
takes precedence (`registry/upload_strategy.py`). The sources are code, documents and issues, not live registries.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from enum import Enum, StrEnum
from functools import cache
from typing import TYPE_CHECKING

from ocync.oci.reference import DOCKER_HUB_HOSTS

if TYPE_CHECKING:
    from collections.abc import Mapping

MIB = 1024 * 1024
READ = date(2026, 11, 25)
"""The day on which the sources below were read, unless a row names another."""


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
    """What is assumed of a host before its first response."""

    single_post: bool | None = None
    """Whether one POST uploads a blob; None if unknown."""
    chunks: bool = True
    """Whether an upload may be chunked."""
    chunk_least: int = 1
    """Least bytes of a chunk other than the last."""
    chunk_most: int = 16 * MIB
    breaks_before_chunks: int = 2
    """Consecutive broken uploads of large blobs after which large blobs are chunked."""
    mounts: MountPolicy = MountPolicy.AT_ONCE
    rates: Mapping[str, float] = field(default_factory=dict)
    """Requests a second that are known to be allowed, by kind: metadata, blob, upload, manifest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One row."""

    name: str
    hosts: str = ""
    """Pattern of a whole host in lower case, without a port; empty if only responses identify it."""
    source: str = ""
    """Where the hosts are documented, unless they are its name."""
    read: date = READ
    cloud: Cloud | None = None
    """The cloud whose login it takes; None: Docker's config, or no login."""
    serves_everybody: bool = True
    """Whether some of it can be read without credentials, so that a refused login is not final."""
    token_is_password: bool = False
    """Whether a token is only accepted as a password, never as a bearer token."""
    settings: Settings = Settings()
    quirks: str = ""
    """How it differs, a paragraph each: `name: what is seen`, `-> what is done about it`, `<- source`."""


PROVIDERS: tuple[Provider, ...] = (
    Provider(
        name="Docker Hub",
        hosts="|".join(map(re.escape, sorted(DOCKER_HUB_HOSTS))),
        source="moby/moby, registry/config.go",
        quirks="""
        pull quota: 429 whose text names the pull rate limit; manifest GETs count, HEADs and blobs do not
          -> no more manifests are requested from this source in the pass; the error says when the quota renews
          <- docs.docker.com, docker-hub/usage/pulls
        quota headers: ratelimit-limit and ratelimit-remaining as `100;w=21600`; none where nothing is limited
          -> a fiftieth of a quota of hours is left to others; a window of minutes is waited for; a number that
             never changes is ignored after two waits
          <- docs.docker.com, docker-hub/usage/pulls
        abuse limit: 429 `Too Many Requests (HAP429)` in plain text with Retry-After, at times with bare LF
          -> waited for, like any 429
          <- docs.docker.com, docker-hub/usage; docker/hub-feedback#1907
        immutable tags: a changed tag is refused; with what status is not documented
          -> a refused tag is looked up: with the same digest it is a success, with another one an immutable tag
          <- docs.docker.com, docker-hub/repos/manage/hub-images/immutable-tags
        """,
    ),
    Provider(
        name="GHCR",
        hosts=r"ghcr\.io|docker\.pkg\.github\.com|containers\.pkg\.github\.com",
        source="docs.github.com, working-with-the-container-registry; getwud/wud#143",
        token_is_password=True,
        settings=Settings(
            chunk_most=4 * MIB, rates={"metadata": 700.0, "blob": 700.0, "upload": 33.0, "manifest": 33.0}
        ),
        quirks="""
        parts: 416 for a request with Content-Range of more than 4 MiB; without one there is no such limit
          -> blobs go by one PUT without Content-Range; parts, where they are needed, have 4 MiB at most
          <- openai/tart#179; ocx-sh/ocx#237; dotnet/sdk-container-builds#258
        wait in the message: `TOOMANYREQUESTS: retry-after: 10.305464ms, allowed: 2000/minute`, a Go duration
          -> the message is read where there is no Retry-After
          <- chainguard-images/images#173; dependabot/cli#380; falcosecurity/plugins#1069
        rates: 44000 pulls and 2000 pushes a minute
          -> writing starts at no more than that
          <- dependabot/cli#380; chainguard-images/images#173
        second limit: 403 `You have exceeded a secondary rate limit`
          -> throttling, waited for, one minute if no time is given
          <- docs.github.com, rest/using-the-rest-api/rate-limits-for-the-rest-api; werf/werf#3665
        no referrers API: 404 for /referrers/
          -> the fallback tag `sha256-HEX` is read and maintained
          <- distribution-spec 1.1, Referrers Tag Schema
        """,
    ),
    Provider(
        name="cgr.dev",
        hosts=r"cgr\.dev",
        quirks="""
        entitlements: 403 or 404 for tags that are listed: only some are free
          -> the tag fails alone, with the registry's words
          <- chainguard-dev/edu, chainguard-images/troubleshooting
        tokens of one repository: 403 for a token that was made for another repository
          -> tokens are kept by scope; one 403 to a token that is not fresh is answered by a new one
          <- chainguard-dev/edu, chainguard-registry/authenticating
        """,
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
        settings=Settings(
            single_post=False,
            chunk_least=5 * MIB,
            chunk_most=10 * MIB,
            mounts=MountPolicy.AFTER_COMMIT,
            rates={"upload": 100.0, "manifest": 10.0},
        ),
        quirks="""
        three calls for a layer: an upload is InitiateLayerUpload, UploadLayerPart, CompleteLayerUpload
          -> one POST with the bytes is not tried
          <- docs.aws.amazon.com, AmazonECR/latest/APIReference
        parts: parts of 5 to 10 MiB, 4200 at most
          -> parts, where they are needed, have that size
          <- docs.aws.amazon.com, AmazonECR/latest/userguide/service-quotas
        Range stands still: the Range of a PATCH response stays at the first part though all are stored
          -> after a 2xx response our own count is used
          <- aws/containers-roadmap#2831; crashappsec/chalk#682
        immutable tags: 400 TAG_INVALID, for the same digest too
          -> the tag is looked up: with the same digest it is a success
          <- aws/containers-roadmap#862; osscontainertools/kaniko#204
        mounts after commit: a blob is mounted only when an image in its repository holds it, and only where the
            account allows mounts
          -> repositories that need it too wait for that image; refused mounts are not requested again
          <- docs.aws.amazon.com, AmazonECR/latest/userguide/blob-mounting
        page size: `n` above 1000 is an error
          -> pages of 1000 are requested
          <- google/go-containerregistry#1091
        rates: PutImage 10, InitiateLayerUpload 100 a second, for an account and region
          -> writing starts at no more than that
          <- docs.aws.amazon.com, AmazonECR/latest/userguide/service-quotas
        """,
    ),
    Provider(
        name="Amazon ECR Public",
        hosts=r"public\.ecr\.aws|ecr-public\.aws\.com",
        source="docs.aws.amazon.com, AmazonECR/latest/public/public-ecr-requests",
        cloud=Cloud.ECR,
        settings=Settings(
            single_post=False, chunk_least=5 * MIB, chunk_most=10 * MIB, rates={"upload": 10.0, "manifest": 1.0}
        ),
        quirks="""
        three calls for a layer: as ECR; parts of 5 to 10 MiB, 1000 at most
          -> as ECR
          <- docs.aws.amazon.com, AmazonECR/latest/public/public-service-quotas
        rates: a tenth of ECR's rates for writing
          -> writing starts at no more than that
          <- docs.aws.amazon.com, AmazonECR/latest/public/public-service-quotas
        """,
    ),
    Provider(
        name="Google Artifact Registry",
        # europe-docker.pkg.dev, and docker.europe-west1.rep.pkg.dev for one region's endpoint.
        hosts=r"([a-z0-9-]+-)?docker(\.[a-z0-9-]+\.rep)?\.pkg\.dev",
        source="docs.cloud.google.com, artifact-registry/docs/docker; GoogleCloudPlatform/docker-credential-gcr, "
        "config/const.go",
        read=date(2026, 12, 1),
        cloud=Cloud.GAR,
        settings=Settings(chunks=False),
        quirks="""
        no parts: uploads in parts are not supported
          -> blobs go in one request, streamed
          <- dotnet/sdk-container-builds#287; kitops-ml/kitops#777; containers/skopeo#1101
        Location outside of /v2/: uploads lie under /artifacts-uploads/namespaces/, with URLs of thousands of
            bytes
          -> a Location is followed wherever it leads
          <- containers/skopeo#1101
        immutable tags: `The repository has enabled tag immutability`
          -> an immutable tag
          <- cloud.google.com, artifact-registry/docs/docker/troubleshoot
        """,
    ),
    Provider(
        name="Google Container Registry",
        hosts=r"((us|eu|asia|marketplace|staging-k8s)\.)?gcr\.io",
        source="GoogleCloudPlatform/docker-credential-gcr, config/const.go; k8s.gcr.io and mirror.gcr.io are for "
        "everybody",
        read=date(2026, 12, 1),
        cloud=Cloud.GCR,
        settings=Settings(chunks=False),
        quirks="""
        no parts: as Artifact Registry, which serves these hosts now
          -> blobs go in one request, streamed
          <- docs.cloud.google.com, artifact-registry/docs/transition
        401 without a challenge: the real request is refused without WWW-Authenticate
          -> the challenge of /v2/ is used
          <- containers/image, docker_client.go, setupRequestAuth
        """,
    ),
    Provider(
        name="Azure ACR",
        # The login servers: global and regional. Data endpoints (NAME.REGION.data) serve layers to redirects alone.
        # Names that carry a hash of their tenant have hyphens; .cn is run by 21Vianet, .us is for the government.
        hosts=r"[a-z0-9-]+(\.[a-z0-9]+\.geo)?\.azurecr\.(io|cn|us)",
        source="learn.microsoft.com, container-registry/container-registry-endpoint-reference",
        read=date(2026, 12, 1),
        cloud=Cloud.ACR,
        settings=Settings(chunk_least=4 * MIB, breaks_before_chunks=1),
        quirks="""
        form of Content-Range: `bytes 0-84521/*` is refused
          -> parts say `0-84521`
          <- dotnet/sdk-container-builds#258
        large uploads: large bodies are said to be cut off after some 20 MB
          -> the first large upload that breaks, or a 413, makes others go in parts of 4 to 16 MiB
          <- ocync 0.5.2, registry client; not confirmed elsewhere
        """,
    ),
    Provider(
        name="Microsoft MCR",
        hosts=r"mcr\.microsoft\.com",
        quirks="""
        layers from elsewhere: Windows images list layers that have URLs and are not at the registry
          -> they are not copied
          <- oci image-spec, layer.md, Non-Distributable Layers
        """,
    ),
    Provider(
        name="Quay",
        hosts=r"quay\.io",
        quirks="""
        mount without `from`: is an error
          -> every mount names `from`
          <- google/go-containerregistry, remote/write.go
        delete scope: a token request with `delete` fails, and uploads can't be cancelled
          -> only pull and push are requested; a refused cancel is no error
          <- containers/image, docker_image_src.go
        gateway errors: 502, 503 and 504 in HTML are common
          -> retried; pages are not shown
          <- containers/common#2299; GoogleContainerTools/jib#698
        """,
    ),
    Provider(
        name="Harbor",
        quirks="""
        cookies: a client that returns its cookies gets 403 `CSRF token invalid`
          -> no cookies are kept
          <- goharbor/harbor#12676
        immutable tags: 412 `configured as immutable`
          -> an immutable tag
          <- goharbor/harbor, src/controller ErrImmutable
        storage quota: `will exceed the configured upper limit`, after all bytes of a blob have been sent
          -> not retried; after some blobs in a row no others are sent
          <- goharbor/harbor#17390
        HEAD and GET differ: a HEAD response has the Content-Length of a compressed body
          -> no encoding is accepted; the length of an encoded body is ignored
          <- oras-project/oras-go#1177
        """,
    ),
    Provider(
        name="GitLab",
        quirks="""
        short tokens: tokens expire after five minutes, within an upload
          -> a token is renewed between the requests of an upload, and after a 401
          <- gitlab-org/gitlab-foss#17890
        HEAD to a URL signed for GET: 403 after a redirect
          -> a GET is sent instead
          <- moby/moby#50065
        rate headers: RateLimit-Remaining and RateLimit-Reset, windows of a minute
          -> no requests are sent until the window ends
          <- docs.gitlab.com, administration/settings/user_and_ip_rate_limits
        """,
    ),
    Provider(
        name="Artifactory",
        quirks="""
        digests among tags: tag lists hold `sha256:…`
          -> entries that are not tags are left out
          <- containers/skopeo#2346
        HEAD of what is not there: 403 instead of 404
          -> a GET is sent, which decides
          <- google/go-containerregistry; RTFACT-13797
        PUT with the bytes: some versions want PATCH
          -> a PUT that is refused as too large switches to chunked uploads; other refusals are errors
          <- containerd/containerd#3533
        """,
    ),
    Provider(
        name="Nexus",
        quirks="""
        null among tags: tag lists hold null
          -> entries that are not tags are left out
          <- containers/skopeo#2409
        """,
    ),
    Provider(
        name="Gitea and Forgejo",
        quirks="""
        no Link: `n` and `last` are honoured without a Link to the next page
          -> after a full page without a Link, the next one is requested by `last`
          <- go-gitea/gitea, routers/api/packages/container
        no parts: a second PATCH is refused; Range is ignored
          -> a refused PATCH switches back to one PUT; a full response to Range is skipped to the offset
          <- go-gitea/gitea, routers/api/packages/container
        """,
    ),
    Provider(
        name="zot",
        quirks="""
        length: a PUT without Content-Length stores nothing
          -> every body has its length
          <- project-zot/zot, pkg/api/routes.go, UpdateBlobUpload
        one POST: wants application/octet-stream and a length, else 415
          -> it has both
          <- project-zot/zot, pkg/api/routes.go, CreateBlobUpload
        types: 415 for Docker's types unless configured to accept them
          -> an error, since bytes are not changed
          <- project-zot/zot, IsSupportedMediaType
        """,
    ),
    Provider(
        name="distribution",
        quirks="""
        one POST: 202 to a POST with the bytes, which are lost
          -> the session is used, and no other blob is sent by POST
          <- distribution/distribution, registry/handlers/blobupload.go
        Range 0-0: for a session of no bytes and for one of one byte
          -> ignored: an upload continues at our own count, or starts again
          <- distribution/distribution, registry/handlers/blobupload.go
        state in the Location: an old Location is 416, one of another node 400 BLOB_UPLOAD_INVALID
          -> the newest Location is used; a lost session is opened again
          <- distribution/distribution, registry/handlers/blobupload.go
        page size: older versions refuse `n` above their limit with PAGINATION_NUMBER_INVALID
          -> requested again without `n`
          <- distribution/distribution, registry/handlers/tags.go
        Accept decides: 404 or a converted manifest where Accept lacks a type
          -> all types are accepted, in one header line
          <- distribution/distribution, registry/handlers/manifests.go
        """,
    ),
    Provider(
        name="registry.k8s.io",
        hosts=r"registry\.k8s\.io",
        quirks="""
        redirects: manifests and blobs are at other hosts, which require their own tokens
          -> followed; each host's challenge is answered separately, without the first host's credentials
          <- kubernetes/registry.k8s.io, cmd/archeio
        """,
    ),
    Provider(
        name="lscr.io",
        hosts=r"lscr\.io",
        quirks="""
        realm of ghcr.io: the challenge names another host's token service
          -> a realm may be on another host, over HTTPS
          <- getwud/wud#143; linuxserver.io
        """,
    ),
    Provider(
        name="nvcr.io",
        hosts=r"nvcr\.io",
        quirks="""
        scope in the realm: the realm's URL holds a query, and there is no service
          -> the query is kept and added to
          <- apache/mesos, MESOS-9968
        """,
    ),
)

ECR_PUBLIC_REGION = "us-east-1"
"""The region of the login to ECR Public (AWS general reference, "Amazon ECR Public endpoints")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EcrHost:
    """A host of Amazon's registry."""

    region: str
    """The region of its API."""
    account: str = ""
    """Empty for ECR Public."""
    fips: bool = False
    """Whether its endpoints use FIPS 140 cryptography."""
    dual_stack: bool = False
    """Whether it has IPv6 addresses too."""
    public: bool = False
    """Whether it is ECR Public, which anyone may read."""


@cache
def provider_of(host: str) -> Provider | None:
    """Return the provider of a host (`host` or `host:443`) by its name alone."""
    return next((each for each in PROVIDERS if each.hosts and re.fullmatch(each.hosts, _name(host))), None)


def settings_of(host: str) -> Settings:
    """Return what is assumed of a host before its first response."""
    provider = provider_of(host)
    return provider.settings if provider else Settings()


def cloud_of(host: str) -> Cloud | None:
    """Return the cloud whose login a host takes."""
    provider = provider_of(host)
    return provider.cloud if provider else None


def ecr_host(host: str) -> EcrHost | None:
    """Return what the name of an ECR host says; None for other hosts."""
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
    """Return the last part of the name of an ACR host: io, cn or us; None for other hosts."""
    return _name(host).rpartition(".")[2] if cloud_of(host) is Cloud.ACR else None


def _name(host: str) -> str:
    return host.lower().removesuffix(":443")
