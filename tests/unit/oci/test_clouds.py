"""What the names of registries' hosts tell of their clouds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.oci.clouds import Cloud, EcrHost, acr_cloud, cloud_of, ecr_host

ACCOUNT = "123456789012"


@pytest.mark.parametrize(
    ("host", "region", "fips", "dual_stack"),
    [
        ("dkr.ecr.eu-west-1.amazonaws.com", "eu-west-1", False, False),
        ("dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1", True, False),
        ("dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1", False, False),
        ("dkr.ecr.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1", False, False),
        ("dkr-ecr.us-east-2.on.aws", "us-east-2", False, True),
        ("dkr-ecr-fips.us-east-2.on.aws", "us-east-2", True, True),
        ("dkr-ecr.cn-northwest-1.on.amazonwebservices.com.cn", "cn-northwest-1", False, True),
        ("dkr.ecr.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1", False, False),
        ("dkr.ecr.us-iso-east-1.c2s.ic.gov", "us-iso-east-1", False, False),
        ("dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1", False, False),
        ("dkr.ecr.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1", False, False),
    ],
)
def test_each_form_of_a_private_host_of_ecr_tells_its_region(
    host: str, region: str, fips: bool, dual_stack: bool
) -> None:
    found = EcrHost(account=ACCOUNT, region=region, fips=fips, dual_stack=dual_stack)

    assert ecr_host(f"{ACCOUNT}.{host}") == found
    assert ecr_host(f"{ACCOUNT}.{host}".upper()) == found
    assert ecr_host(f"{ACCOUNT}.{host}:443") == found
    assert cloud_of(f"{ACCOUNT}.{host}") is Cloud.ECR


@pytest.mark.parametrize("host", ["public.ecr.aws", "ecr-public.aws.com"])
def test_ecr_public_is_logged_in_to_in_one_region(host: str) -> None:
    assert ecr_host(host) == EcrHost(region="us-east-1", public=True)


@pytest.mark.parametrize(
    ("host", "cloud"),
    [
        ("europe-docker.pkg.dev", Cloud.GAR),
        ("us-central1-docker.pkg.dev", Cloud.GAR),
        ("docker.europe-west1.rep.pkg.dev", Cloud.GAR),
        ("gcr.io", Cloud.GCR),
        ("eu.gcr.io", Cloud.GCR),
        ("marketplace.gcr.io", Cloud.GCR),
        ("team.azurecr.io", Cloud.ACR),
        ("team-a1b2c3d4.azurecr.io", Cloud.ACR),
        ("team.azurecr.cn", Cloud.ACR),
        ("team.azurecr.us", Cloud.ACR),
    ],
)
def test_the_other_clouds_are_known_by_their_names(host: str, cloud: Cloud) -> None:
    assert cloud_of(host) is cloud
    assert ecr_host(host) is None
    assert (acr_cloud(host) is not None) == (cloud is Cloud.ACR)


@pytest.mark.parametrize(
    "host",
    [
        "cgr.dev",
        "ghcr.io",
        "mirror.gcr.io",
        "k8s.gcr.io",
        "mygcr.io",
        "12345678901.dkr.ecr.eu-west-1.amazonaws.com",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example",
        "evil.example.azurecr.io.example",
        "a.b.azurecr.io",
        "docker.pkg.dev.example",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com:8443",
        "public.ecr.aws.example",
    ],
)
def test_a_host_that_only_looks_like_a_cloud_s_gets_no_login_of_it(host: str) -> None:
    assert cloud_of(host) is None


@given(
    st.text(alphabet="abcdkrz0129.-:", max_size=80),
    st.sampled_from(["", ".amazonaws.com", ".azurecr.io", ".on.aws"]),
)
def test_any_name_is_judged_without_an_error(start: str, end: str) -> None:
    found = ecr_host(start + end)

    assert (found is not None) == (cloud_of(start + end) is Cloud.ECR)
