"""The table of providers: whose a host is, with which login and settings; every quirk has its source and a test."""

from __future__ import annotations

import ast
import datetime
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocync.oci.providers import (
    MIB,
    PROVIDERS,
    Cloud,
    EcrHost,
    Provider,
    Settings,
    acr_cloud,
    cloud_of,
    ecr_host,
    provider_of,
    settings_of,
)

TESTS = Path(__file__).parents[2]
REGISTRY, PASS, EXCHANGE = (
    "integration/registry/",
    "integration/transfer/",
    "integration/registry/auth/test_exchange.py",
)
THROTTLING, PARTS = REGISTRY + "test_throttling.py", REGISTRY + "test_chunked_upload.py"
READING, WRITING = REGISTRY + "test_manifest_reading.py", REGISTRY + "test_manifest_writing.py"
IMMUTABLE = (WRITING, "test_an_immutable_tag_with_another_digest_is_a_conflict")
RATES = ("unit/oci/test_providers.py", "test_rates_that_are_known_are_where_a_host_begins")

PROOFS = {
    "Docker Hub: pull quota": (
        THROTTLING,
        "test_a_source_whose_quota_is_used_up_is_asked_for_no_more_manifests_in_the_pass",
    ),
    "Docker Hub: quota headers": (
        THROTTLING,
        "test_the_last_pulls_of_a_quota_are_not_used_and_what_is_done_is_kept",
    ),
    "Docker Hub: abuse limit": (THROTTLING, "test_an_answer_with_bare_line_feeds_is_read_as_any_other"),
    "Docker Hub: immutable tags": (
        PASS + "test_whole_pass.py",
        "test_a_tag_that_must_not_move_is_a_conflict_that_the_summary_explains",
    ),
    "GHCR: parts": (PARTS, "test_ghcr_is_never_sent_a_range_of_more_than_four_mib"),
    "GHCR: wait in the message": (THROTTLING, "test_we_wait_as_long_as_we_are_asked_to_and_not_for_ever"),
    "GHCR: rates": RATES,
    "GHCR: second limit": (THROTTLING, "test_we_wait_as_long_as_we_are_asked_to_and_not_for_ever"),
    "GHCR: no referrers API": (
        PASS + "test_artifacts.py",
        "test_a_target_without_the_api_gets_lists_that_describe_their_entries",
    ),
    "cgr.dev: entitlements": (
        PASS + "test_whole_pass.py",
        "test_a_tag_that_is_listed_and_not_given_fails_alone_with_the_registry_s_words",
    ),
    "cgr.dev: tokens of one repository": (EXCHANGE, "test_a_token_is_shown_to_no_other_repository"),
    "Amazon ECR: three calls for a layer": (
        REGISTRY + "test_single_post.py",
        "test_a_host_that_is_known_to_want_two_requests_is_not_tried",
    ),
    "Amazon ECR: parts": (PARTS, "test_ecr_gets_parts_of_five_mib_and_its_range_is_not_believed"),
    "Amazon ECR: Range stands still": (PARTS, "test_ecr_gets_parts_of_five_mib_and_its_range_is_not_believed"),
    "Amazon ECR: immutable tags": (WRITING, "test_an_immutable_tag_that_is_right_already_is_a_success"),
    "Amazon ECR: mounts after commit": (
        PASS + "test_mounts_after_commit.py",
        "test_blobs_are_mounted_from_images_that_are_there_and_sent_once",
    ),
    "Amazon ECR: page size": (
        REGISTRY + "test_tag_lists.py",
        "test_a_very_long_list_is_read_in_pages_of_a_thousand",
    ),
    "Amazon ECR: rates": RATES,
    "Amazon ECR Public: three calls for a layer": (
        REGISTRY + "test_single_post.py",
        "test_a_host_that_is_known_to_want_two_requests_is_not_tried",
    ),
    "Amazon ECR Public: rates": RATES,
    "Google Artifact Registry: no parts": (
        PARTS,
        "test_a_registry_of_google_gets_no_parts_and_the_reason_is_told",
    ),
    "Google Artifact Registry: Location outside of /v2/": (
        REGISTRY + "test_blob_writing.py",
        "test_a_location_may_lie_outside_of_v2_and_be_long",
    ),
    "Google Artifact Registry: immutable tags": IMMUTABLE,
    "Google Container Registry: 401 without a challenge": (
        EXCHANGE,
        "test_a_401_without_a_challenge_is_answered_with_that_of_the_ping",
    ),
    "Google Container Registry: no parts": (
        PARTS,
        "test_a_registry_of_google_gets_no_parts_and_the_reason_is_told",
    ),
    "Azure ACR: form of Content-Range": (PARTS, "test_parts_say_where_they_stand_and_follow_the_newest_location"),
    "Azure ACR: large uploads": (
        PARTS,
        "test_acr_gets_parts_after_the_first_large_upload_that_breaks_others_after_two",
    ),
    "Microsoft MCR: layers from elsewhere": (
        PASS + "test_docker_registry.py",
        "test_layers_from_elsewhere_that_the_target_refuses_are_told_with_what_to_do",
    ),
    "Quay: mount without `from`": (REGISTRY + "test_mounts.py", "test_a_mount_that_is_granted_needs_no_bytes"),
    "Quay: delete scope": (
        REGISTRY + "test_blob_writing.py",
        "test_a_session_that_can_t_be_given_back_is_no_error",
    ),
    "Quay: gateway errors": (THROTTLING, "test_patience_ends_after_the_attempts"),
    "Harbor: cookies": (REGISTRY + "test_headers.py", "test_no_cookie_is_ever_sent_back"),
    "Harbor: immutable tags": IMMUTABLE,
    "Harbor: storage quota": (
        "unit/transfer/test_shared_blobs.py",
        "test_a_place_that_is_full_for_good_is_not_sent_each_blob_to_learn_it",
    ),
    "Harbor: HEAD and GET differ": (READING, "test_a_head_is_believed_whatever_length_it_tells"),
    "GitLab: short tokens": (EXCHANGE, "test_a_token_is_renewed_between_the_requests_of_a_long_upload"),
    "GitLab: HEAD to a URL signed for GET": (
        REGISTRY + "test_redirects.py",
        "test_a_head_that_is_sent_to_a_url_signed_for_get_is_asked_by_get",
    ),
    "GitLab: rate headers": (THROTTLING, "test_a_window_that_ends_within_minutes_is_waited_for"),
    "Artifactory: digests among tags": (
        REGISTRY + "test_tag_lists.py",
        "test_entries_that_are_no_tags_are_left_out",
    ),
    "Artifactory: HEAD of what is not there": (READING, "test_where_head_tells_nothing_get_is_asked"),
    "Artifactory: PUT with the bytes": (
        PARTS,
        "test_a_host_that_refuses_the_whole_as_too_large_gets_parts_and_is_remembered",
    ),
    "Nexus: null among tags": (REGISTRY + "test_tag_lists.py", "test_entries_that_are_no_tags_are_left_out"),
    "Gitea and Forgejo: no Link": (
        REGISTRY + "test_tag_lists.py",
        "test_without_a_link_a_full_page_is_followed_by_last",
    ),
    "Gitea and Forgejo: no parts": (PARTS, "test_a_host_that_takes_no_parts_at_all_gets_the_whole_again"),
    "zot: length": (REGISTRY + "test_blob_writing.py", "test_one_put_has_the_length_and_the_type_and_no_range"),
    "zot: one POST": (
        REGISTRY + "test_single_post.py",
        "test_the_post_has_the_length_the_type_and_the_digest_and_no_range",
    ),
    "zot: types": (WRITING, "test_a_refusal_is_final_and_has_the_registry_s_words"),
    "distribution: one POST": (
        PASS + "test_docker_registry.py",
        "test_a_blob_takes_two_requests_there_and_finding_that_out_takes_none",
    ),
    "distribution: Range 0-0": (PARTS, "test_a_session_that_says_0_0_is_not_taken_for_one_that_holds_a_byte"),
    "distribution: state in the Location": (
        PASS + "test_docker_registry.py",
        "test_parts_are_put_together_there_too",
    ),
    "distribution: page size": (
        REGISTRY + "test_tag_lists.py",
        "test_a_registry_that_refuses_n_is_asked_without_it",
    ),
    "distribution: Accept decides": (READING, "test_all_types_are_accepted_in_one_header_line_on_head_too"),
    "registry.k8s.io: redirects": (
        PASS + "test_whole_pass.py",
        "test_a_front_end_leads_to_a_registry_that_wants_tokens_of_its_own",
    ),
    "lscr.io: realm of ghcr.io": ("unit/registry/auth/test_realm.py", "test_a_token_service_may_be_elsewhere"),
    "nvcr.io: scope in the realm": (EXCHANGE, "test_a_realm_may_have_a_query_and_be_relative"),
}
"""What shows that each row is done, by the name of the row."""


@cache
def functions_in(file: str) -> frozenset[str]:
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


class Quirk(NamedTuple):
    key: str
    seen: str
    then: str
    source: str


def quirks_of(provider: Provider) -> list[Quirk]:
    text = " ".join(line if line[8:9] == " " else f"\n{line}" for line in provider.quirks.splitlines())
    return [
        Quirk(*(re.sub(r"\s+", " ", part).strip() for part in re.split(": | -> | <- ", line, maxsplit=3)))
        for line in text.splitlines()
        if line.strip()
    ]


ROWS = [(provider, quirk) for provider in PROVIDERS for quirk in quirks_of(provider)]
ACCOUNT = "123456789012"
ECR = {"single_post": False, "chunk_least": 5 * MIB}
GOOGLE = {"chunks": False}
ACR = {"breaks_before_chunks": 1, "chunk_least": 4 * MIB}
HOSTS: dict[str, tuple[Cloud | None, dict[str, object]]] = {
    "ghcr.io": (None, {"chunk_most": 4 * MIB}),
    "GHCR.io:443": (None, {"chunk_most": 4 * MIB}),
    "docker.pkg.github.com": (None, {"chunk_most": 4 * MIB}),
    "public.ecr.aws": (Cloud.ECR, ECR),
    "ecr-public.aws.com": (Cloud.ECR, ECR),
    **{
        f"{ACCOUNT}.{each}": (Cloud.ECR, ECR)
        for each in (
            "dkr.ecr.eu-west-1.amazonaws.com",
            "dkr.ecr.eu-central-1.amazonaws.com",
            "dkr.ecr.us-east-1.amazonaws.com",
            "dkr.ecr.us-east-2.amazonaws.com",
            "dkr.ecr-fips.us-east-1.amazonaws.com",
            "dkr.ecr-fips.us-gov-west-1.amazonaws.com",
            "dkr.ecr.cn-north-1.amazonaws.com.cn",
            "dkr.ecr.eusc-de-east-1.amazonaws.eu",
            "dkr-ecr.eusc-de-east-1.on.amazonwebservices.eu",
            "dkr-ecr.cn-northwest-1.on.amazonwebservices.com.cn",
            "dkr-ecr.eu-west-1.on.aws",
            "dkr-ecr.us-east-2.on.aws",
            "dkr-ecr-fips.us-east-2.on.aws",
            "dkr.ecr.us-iso-east-1.c2s.ic.gov",
        )
    },
    "europe-docker.pkg.dev": (Cloud.GAR, GOOGLE),
    "europe-west3-docker.pkg.dev": (Cloud.GAR, GOOGLE),
    "us-central1-docker.pkg.dev": (Cloud.GAR, GOOGLE),
    "docker.europe-west1.rep.pkg.dev": (Cloud.GAR, GOOGLE),
    "docker.pkg.dev": (Cloud.GAR, GOOGLE),
    "gcr.io": (Cloud.GCR, GOOGLE),
    "eu.gcr.io": (Cloud.GCR, GOOGLE),
    "marketplace.gcr.io": (Cloud.GCR, GOOGLE),
    "staging-k8s.gcr.io": (Cloud.GCR, GOOGLE),
    "team.azurecr.io": (Cloud.ACR, ACR),
    "my-registry.azurecr.io": (Cloud.ACR, ACR),
    "team-a1b2c3d4.azurecr.io": (Cloud.ACR, ACR),
    "team.azurecr.cn": (Cloud.ACR, ACR),
    "team.azurecr.us": (Cloud.ACR, ACR),
    "name-abc123.eastus.geo.azurecr.cn": (Cloud.ACR, ACR),
}
"""Every host that a test knows, with the login and some of the settings that it has to get."""


@pytest.mark.parametrize(("provider", "quirk"), ROWS, ids=[f"{p.name}: {q.key}" for p, q in ROWS])
def test_every_quirk_has_its_source_and_a_test_that_exists(provider, quirk) -> None:  # type: ignore[no-untyped-def]
    assert provider.name
    assert quirk.key
    assert quirk.seen
    assert quirk.then
    assert len(quirk.source) > 5
    file, test = PROOFS[f"{provider.name}: {quirk.key}"]
    assert test in functions_in(file)


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
def test_every_provider_has_its_day_and_a_source_of_hosts_that_decide_something(provider) -> None:  # type: ignore[no-untyped-def]
    decides = provider.cloud or provider.token_is_password or provider.settings != Settings()

    assert datetime.date(2026, 1, 1) <= provider.read <= datetime.date.today()  # noqa: DTZ011 -- a day, not a moment
    assert provider.hosts or not decides
    assert provider.source or not decides


def test_every_proof_is_of_a_quirk_and_none_stands_twice() -> None:
    names = [f"{provider.name}: {quirk.key}" for provider, quirk in ROWS]

    assert len(names) == len(set(names))
    assert set(PROOFS) == set(names)


def test_all_registries_that_people_use_are_in_the_table() -> None:
    registries = {provider.name for provider in PROVIDERS}

    assert registries >= {
        "Docker Hub",
        "GHCR",
        "cgr.dev",
        "Amazon ECR",
        "Amazon ECR Public",
        "Google Artifact Registry",
        "Google Container Registry",
        "Azure ACR",
        "Microsoft MCR",
        "Quay",
        "Harbor",
        "GitLab",
        "Artifactory",
        "Nexus",
        "Gitea and Forgejo",
        "zot",
        "distribution",
        "registry.k8s.io",
        "lscr.io",
        "nvcr.io",
    }


def hosts_in_tests() -> set[str]:
    """Return all that looks like the name of a host in a string of a test."""
    found = set[str]()
    for path in TESTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= set(
                    re.findall(r"(?<![\w.-])[a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)+(?::\d+)?(?![\w.-])", node.value)
                )
    return found


@pytest.mark.parametrize("host", sorted(HOSTS))
def test_a_host_has_the_login_and_the_settings_of_its_provider(host: str) -> None:
    cloud, expected = HOSTS[host]
    settings = settings_of(host)

    assert cloud_of(host) is cloud
    assert (ecr_host(host) is not None) == (cloud is Cloud.ECR)
    assert acr_cloud(host) == (host.rpartition(".")[2] if cloud is Cloud.ACR else None)
    assert {name: getattr(settings, name) for name in expected} == expected


def test_every_host_of_any_test_is_nobody_s_or_is_known_with_login_and_settings() -> None:
    known = {host.lower().removesuffix(":443") for host in HOSTS}
    for host in hosts_in_tests():
        if host.lower().removesuffix(":443") in known:
            continue
        assert (cloud_of(host), settings_of(host)) == (None, Settings()), f"{host}: add it to HOSTS"


@pytest.mark.parametrize("host", sorted(HOSTS))
def test_no_host_is_that_of_two_providers(host: str) -> None:
    name = host.lower().removesuffix(":443")

    assert [each for each in PROVIDERS if each.hosts and re.fullmatch(each.hosts, name)] == [provider_of(host)]


@pytest.mark.parametrize(
    ("host", "region", "fips", "dual_stack"),
    [
        ("dkr.ecr.eu-west-1.amazonaws.com", "eu-west-1", False, False),
        ("dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1", True, False),
        ("dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1", False, False),
        ("dkr.ecr.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1", False, False),
        ("dkr-ecr.eusc-de-east-1.on.amazonwebservices.eu", "eusc-de-east-1", False, True),
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
    "host",
    [
        "cgr.dev",
        "docker.io",
        "ghcr.io",
        "mirror.gcr.io",
        "k8s.gcr.io",
        "mygcr.io",
        "12345678901.dkr.ecr.eu-west-1.amazonaws.com",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example",
        "evil.example.azurecr.io.example",
        "a.b.azurecr.io",
        "team.eastus.data.azurecr.io",
        "a.b.c.geo.azurecr.io",
        "azurecr.io",
        "docker.europe-west1.pkg.dev",
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


@pytest.mark.parametrize(
    "host",
    [
        "r.example",
        "127.0.0.1:5000",
        "ghcr.io.example",
        "notghcr.io",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com.example",
        "azurecr.io",
        "a.b.azurecr.io",
        "name-abc123.eastus.data.azurecr.cn",
        "docker.io",
        "[::1]:5000",
        "",
    ],
)
def test_other_hosts_begin_with_what_the_specification_says(host: str) -> None:
    assert settings_of(host) == Settings()


def test_rates_that_are_known_are_where_a_host_begins() -> None:
    assert settings_of("ghcr.io").rates["manifest"] == pytest.approx(2000 / 60, rel=0.02)
    assert settings_of("123456789012.dkr.ecr.eu-west-1.amazonaws.com").rates == {"upload": 100.0, "manifest": 10.0}
    assert settings_of("public.ecr.aws").rates == {"upload": 10.0, "manifest": 1.0}
    assert settings_of("r.example").rates == {}
