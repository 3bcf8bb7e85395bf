"""What can be installed beside the workload: identities, operators' objects, network policy, monitoring."""

from __future__ import annotations

from typing import Any

import pytest

from chart.rendering import at, merged, render, values

STORE = {"name": "vault", "kind": "ClusterSecretStore"}
DATA = [{"secretKey": "A", "remoteRef": {"key": "a"}}]
IDENTITIES: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"provider": "aws", "aws": {"roleArn": "arn:x"}}, {"eks.amazonaws.com/role-arn": "arn:x"}),
    ({"provider": "gcp", "gcp": {"serviceAccount": "a@b"}}, {"iam.gke.io/gcp-service-account": "a@b"}),
    ({"provider": "azure", "azure": {"clientId": "1"}}, {"azure.workload.identity/client-id": "1"}),
    (
        {"provider": "azure", "azure": {"clientId": "1", "tenantId": "2"}},
        {"azure.workload.identity/client-id": "1", "azure.workload.identity/tenant-id": "2"},
    ),
]


@pytest.mark.parametrize(("identity", "annotations"), IDENTITIES)
def test_a_workload_identity_annotates_the_service_account(
    identity: dict[str, Any], annotations: dict[str, str]
) -> None:
    release = render(values(workloadIdentity=identity))

    assert release.one("ServiceAccount")["metadata"]["annotations"] == annotations
    assert release.template["spec"]["automountServiceAccountToken"] is True


@pytest.mark.parametrize("mode", ["cronjob", "job", "watch"])
def test_only_azure_wants_a_label_on_pods(mode: str) -> None:
    label = "azure.workload.identity/use"

    for identity, _ in IDENTITIES:
        labels = render(values(mode=mode, workloadIdentity=identity)).template["metadata"]["labels"]
        assert labels.get(label) == ("true" if identity["provider"] == "azure" else None)


def test_the_users_annotation_wins_over_that_of_the_identity() -> None:
    account = {"annotations": {"eks.amazonaws.com/role-arn": "arn:mine", "owner": "me"}}
    release = render(values(workloadIdentity=IDENTITIES[0][0], serviceAccount=account))

    assert release.one("ServiceAccount")["metadata"]["annotations"] == account["annotations"]


def test_no_service_account_is_annotated_and_no_token_mounted_without_need() -> None:
    release = render(values(workloadIdentity={"provider": ""}))

    assert "annotations" not in release.one("ServiceAccount")["metadata"]
    assert release.template["spec"]["automountServiceAccountToken"] is False


@pytest.mark.parametrize(
    ("account", "name"),
    [
        ({}, "mirror-ocync"),
        ({"name": "mine"}, "mine"),
        ({"create": False}, "default"),
        ({"create": False, "name": "mine"}, "mine"),
    ],
)
def test_pods_use_the_service_account_that_was_chosen(account: dict[str, Any], name: str) -> None:
    release = render(values(serviceAccount=account))

    assert release.template["spec"]["serviceAccountName"] == name
    assert [each["metadata"]["name"] for each in release.all("ServiceAccount")] == (
        [name] if account.get("create", True) else []
    )


def test_vaults_injector_finds_the_token_that_it_needs_unless_it_is_refused() -> None:
    vault = {"podAnnotations": {"vault.hashicorp.com/agent-inject": "true"}}

    assert render(values(**vault)).template["spec"]["automountServiceAccountToken"] is True
    refused = values(**vault, serviceAccount={"automount": False})
    assert render(refused).template["spec"]["automountServiceAccountToken"] is False


def test_an_external_secret_writes_a_secret_of_the_releases_name_by_default() -> None:
    spec = render(values(externalSecrets={"enabled": True, "secretStoreRef": STORE, "data": DATA})).one(
        "ExternalSecret"
    )["spec"]

    assert spec == {
        "refreshInterval": "1h",
        "secretStoreRef": STORE,
        "target": {"name": "mirror-ocync", "creationPolicy": "Owner"},
        "data": DATA,
    }


def test_an_external_secret_keeps_all_that_its_target_was_told() -> None:
    target = {
        "name": "creds",
        "creationPolicy": "Merge",
        "deletionPolicy": "Delete",
        "immutable": True,
        "template": {
            "type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": "{{ .auth | toJson }}"},
        },
    }
    external = {"enabled": True, "secretStoreRef": STORE, "target": target, "dataFrom": [{"extract": {"key": "a"}}]}

    spec = render(values(externalSecrets=external)).one("ExternalSecret")["spec"]

    assert spec["target"] == target
    assert spec["dataFrom"] == [{"extract": {"key": "a"}}]
    assert "data" not in spec


def test_an_external_secret_whose_entries_name_their_stores_needs_no_other() -> None:
    data = [DATA[0] | {"sourceRef": {"storeRef": STORE}}]

    spec = render(values(externalSecrets={"enabled": True, "data": data})).one("ExternalSecret")["spec"]

    assert "secretStoreRef" not in spec


def test_a_secret_provider_class_is_passed_on_as_it_is() -> None:
    objects = [{"secretName": "creds", "type": "Opaque", "data": [{"objectName": "a", "key": "A"}]}]
    given = {"provider": "vault", "parameters": {"roleName": "ocync", "objects": "- a\n"}, "secretObjects": objects}

    release = render(values(secretProviderClass=given | {"enabled": True}))

    assert release.one("SecretProviderClass")["spec"] == given
    assert release.one("SecretProviderClass")["metadata"]["name"] == "mirror-ocync"


def test_operators_objects_are_not_made_unless_asked_for() -> None:
    kinds = {each["kind"] for each in render(values(mode="watch")).objects}

    assert not kinds & {"ExternalSecret", "SecretProviderClass", "ServiceMonitor", "NetworkPolicy"}


def ports(rule: dict[str, Any]) -> list[int]:
    return [port["port"] for port in rule["ports"]]


def test_a_network_policy_lets_out_to_name_servers_and_https_and_nothing_in() -> None:
    spec = render(values(networkPolicy={"enabled": True})).one("NetworkPolicy")["spec"]

    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["ingress"] == []
    assert [ports(rule) for rule in spec["egress"]] == [[53, 53], [443]]


@pytest.mark.parametrize(
    ("url", "more"),
    [
        ("registry.internal:5000", [5000]),
        ("https://registry.internal:8443/team", [8443]),
        ("http://registry.internal", [80]),
        ("http://registry.internal:8080/", [8080]),
        ("[2001:db8::1]:5000", [5000]),
        ("${REGISTRY_HOST}:5001", [5001]),
        ("cgr.dev:443", []),
        ("cgr.dev/team:5000", []),
        ("oci:/mirror:5000", []),
    ],
)
def test_a_network_policy_lets_out_to_the_ports_of_registries(url: str, more: list[int]) -> None:
    given = merged(values(networkPolicy={"enabled": True}), at("config.registries.more.url", url))

    assert ports(render(given).one("NetworkPolicy")["spec"]["egress"][1]) == [443, *more]


def test_a_network_policy_lets_out_to_the_pushgateway_and_where_the_user_says() -> None:
    policy = {
        "enabled": True,
        "egressPorts": [3128],
        "extraEgress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}],
    }
    given = merged(values(networkPolicy=policy), at("metrics.pushgateway.url", "http://push:9091"))

    egress = render(given).one("NetworkPolicy")["spec"]["egress"]

    assert ports(egress[1]) == [443, 9091, 3128]
    assert egress[2:] == policy["extraEgress"]


@pytest.mark.parametrize(("identity", "reached"), [(IDENTITIES[0][0], True), (IDENTITIES[1][0], True), ({}, False)])
def test_a_network_policy_lets_out_to_the_metadata_service_only_for_an_identity(
    identity: dict[str, Any], reached: bool
) -> None:
    policy = render(values(networkPolicy={"enabled": True}, workloadIdentity=identity)).one("NetworkPolicy")

    assert ("169.254.169.254/32" in str(policy)) is reached


def test_a_watcher_lets_in_to_its_health_port_alone() -> None:
    release = render(values(mode="watch", networkPolicy={"enabled": True}))

    assert release.one("NetworkPolicy")["spec"]["ingress"] == [{"ports": [{"port": "health", "protocol": "TCP"}]}]


def test_a_network_policy_is_for_the_pods_of_the_release() -> None:
    release = render(values(networkPolicy={"enabled": True}))
    selector = release.one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"]

    assert selector.items() <= release.template["metadata"]["labels"].items()


def test_a_service_monitor_scrapes_the_service_of_the_watcher() -> None:
    monitoring = {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}}
    release = render(values(mode="watch", metrics=monitoring))
    monitor = release.one("ServiceMonitor")
    service = release.one("Service")

    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]


def test_objects_of_the_user_are_rendered_as_templates() -> None:
    objects = [
        "kind: A\nmetadata: {name: '{{ .Release.Name }}-a'}",
        {"kind": "B", "metadata": {"name": "{{ .Values.mode }}"}},
    ]
    release = render(values(extraObjects=objects))

    assert release.one("A")["metadata"]["name"] == "mirror-a"
    assert release.one("B")["metadata"]["name"] == "cronjob"


def test_security_contexts_of_the_user_are_laid_over_the_defaults() -> None:
    spec = render(values(podSecurityContext={"runAsUser": 1000, "runAsGroup": None})).template["spec"]

    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
