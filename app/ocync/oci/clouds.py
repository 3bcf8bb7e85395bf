"""What the name of a registry's host tells of the cloud that it belongs to. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

# <account>.dkr.ecr.<region>.<suffix>; dkr-ecr for those with IPv4 and IPv6; one suffix for each partition
# (awslabs/amazon-ecr-credential-helper, ecr-login/api/client.go).
_ECR = re.compile(
    r"(?P<account>[0-9]{12})\.dkr(?P<dual>[.-])ecr(?P<fips>-fips)?\.(?P<region>[a-z0-9][a-z0-9_-]*)\."
    r"(amazonaws\.com(\.cn)?|amazonaws\.eu|on\.aws|on\.amazonwebservices\.(com\.cn|eu)"
    r"|sc2s\.sgov\.gov|c2s\.ic\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)",
    re.IGNORECASE,
)
_ECR_PUBLIC = frozenset({"public.ecr.aws", "ecr-public.aws.com"})
ECR_PUBLIC_REGION = "us-east-1"
"""Where ECR Public is logged in to, wherever one is (AWS general reference, "Amazon ECR Public endpoints")."""
# europe-docker.pkg.dev, docker.europe-west1.rep.pkg.dev (Artifact Registry, "Regional endpoints").
_ARTIFACT_REGISTRY = re.compile(r"([a-z0-9-]+-)?docker(\.[a-z0-9-]+\.rep)?\.pkg\.dev", re.IGNORECASE)
# Those that docker-credential-gcr knows; k8s.gcr.io and mirror.gcr.io are for everybody.
_CONTAINER_REGISTRY = re.compile(r"((us|eu|asia|marketplace)\.)?gcr\.io", re.IGNORECASE)
# Names that carry a hash of their tenant have hyphens; .cn is run by 21Vianet, .us is for the government.
_ACR = re.compile(r"(?P<name>[a-z0-9-]+)\.azurecr\.(?P<cloud>io|cn|us)", re.IGNORECASE)


class Cloud(StrEnum):
    """A cloud's registry; the values are those of `auth_type`."""

    ECR = "ecr"
    GAR = "gar"
    GCR = "gcr"
    ACR = "acr"


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


def ecr_host(host: str) -> EcrHost | None:
    """Return what the name of a host of ECR tells; None for others."""
    name = _name(host)
    if name.lower() in _ECR_PUBLIC:
        return EcrHost(region=ECR_PUBLIC_REGION, public=True)
    match = _ECR.fullmatch(name)
    if match is None:
        return None
    return EcrHost(
        account=match["account"],
        region=match["region"].lower(),
        fips=match["fips"] is not None,
        dual_stack=match["dual"] == "-",
    )


def acr_cloud(host: str) -> str | None:
    """Return the last part of the name of a host of ACR: io, cn or us; None for others."""
    match = _ACR.fullmatch(_name(host))
    return match["cloud"].lower() if match else None


def cloud_of(host: str) -> Cloud | None:
    """Return whose registry a host is, by its name."""
    if ecr_host(host) is not None:
        return Cloud.ECR
    if _ARTIFACT_REGISTRY.fullmatch(_name(host)):
        return Cloud.GAR
    if _CONTAINER_REGISTRY.fullmatch(_name(host)):
        return Cloud.GCR
    return Cloud.ACR if acr_cloud(host) else None


def _name(host: str) -> str:
    """Return a host without the port that says nothing."""
    return host.removesuffix(":443")
