"""What is refused before anything is installed, and how."""

from __future__ import annotations

from typing import Any

import helm_python
import pytest

from chart.rendering import CHART, at, merged, render, values

PATHS_THAT_DO_NOT_EXIST = [
    "mod",
    "cronJob.schedule",
    "imagePullSecret",
    "image.tagg",
    "image.pullpolicy",
    "serviceAccount.annotation",
    "cronjob.timezone",
    "cronjob.concurencyPolicy",
    "job.activeDeadline",
    "job.shards",
    "job.podFailurePolicy.rule",
    "watch.port",
    "logging.level",
    "metrics.pushGateway.url",
    "metrics.pushgateway.uri",
    "metrics.prometheusRule.enabled",
    "metrics.dashboard.enabled",
    "metrics.serviceMonitor.enable",
    "networkPolicy.enable",
    "cache.persistence.enabled",
    "externalSecrets.secretStore",
    "externalSecrets.target.nam",
    "externalSecrets.target.template.engine",
    "secretProviderClass.parameter",
    "workloadIdentity.gcp.serviceaccount",
    "workloadIdentity.aws.role",
    "resources.limit",
    "affinity.nodeaffinity",
    "dnsConfig.nameserver",
    "config.mapping",
    "config.global.max_concurrent",
    "config.registries.src.auth",
    "config.registries.src.credentials.user",
    "config.registries.src.tls.insecure",
    "config.defaults.tag",
    "config.defaults.tags.min_tag",
    "config.metrics.pushgateway.uri",
]


@pytest.mark.parametrize("path", PATHS_THAT_DO_NOT_EXIST)
def test_a_misspelt_or_unknown_key_is_refused_by_its_name(path: str) -> None:
    unknown = next(part for part in path.split(".") if part not in KNOWN)

    with pytest.raises(helm_python.HelmValuesError, match=f"additional properties '{unknown}' not allowed"):
        render(merged(values(), at(path, "x")))


KNOWN = {
    *(
        "image",
        "serviceAccount",
        "cronjob",
        "job",
        "watch",
        "logging",
        "metrics",
        "networkPolicy",
        "externalSecrets",
    ),
    *("secretProviderClass", "workloadIdentity", "resources", "affinity", "dnsConfig", "config"),
    *(
        "podFailurePolicy",
        "pushgateway",
        "serviceMonitor",
        "target",
        "template",
        "gcp",
        "aws",
        "global",
        "registries",
    ),
    *("src", "credentials", "tls", "defaults", "tags"),
}


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("envFrom", [{"secretReff": {"name": "x"}}], "additional properties 'secretReff' not allowed"),
        ("envFrom", [{"secretRef": {}}], "missing property 'name'"),
        ("env", [{"name": "A", "valeu": "x"}], "additional properties 'valeu' not allowed"),
        ("env", [{"name": "A", "value": 1}], "got number, want string"),
        ("extraVolumes", [{"secret": {"secretName": "x"}}], "missing property 'name'"),
        ("extraVolumeMounts", [{"name": "x"}], "missing property 'mountPath'"),
        ("extraVolumeMounts", [{"name": "x", "mountPath": "/x", "readonly": True}], "'readonly' not allowed"),
        ("imagePullSecrets", ["pull"], "got string, want object"),
        ("tolerations", [{"keys": "x"}], "additional properties 'keys' not allowed"),
        ("hostAliases", [{"ip": "10.0.0.1"}], "missing property 'hostnames'"),
        ("mode", "cron", "value must be one of 'cronjob', 'job', 'watch'"),
        ("cronjob.concurrencyPolicy", "forbid", "value must be one of"),
        ("cronjob.schedule", "0 0 6 * * *", "does not match pattern"),
        ("cronjob.schedule", "TZ=UTC 0 6 * * *", "does not match pattern"),
        ("cronjob.schedule", "", "does not match pattern"),
        ("cronjob.suspend", "false", "got string, want boolean"),
        ("cronjob.startingDeadlineSeconds", 5, "minimum: got 5, want 10"),
        ("cronjob.failedJobsHistoryLimit", -1, "minimum: got -1, want 0"),
        ("job.backoffLimit", "1", "got string, want integer"),
        ("job.backoffLimit", 1.5, "got number, want integer"),
        ("job.podFailurePolicy.rules", [{"action": "Fail"}], "value must be one of"),
        ("terminationGracePeriodSeconds", 0, "minimum: got 0, want 1"),
        ("watch.healthPort", 70000, "maximum: got 70,000, want 65,535"),
        ("logging.format", "plain", "value must be one of 'text', 'json'"),
        ("image.tag", 1.1, "got number, want string"),
        ("image.digest", "abc", "does not match pattern"),
        ("image.repository", "ghcr.io/ocync/ocync:1", "does not match pattern"),
        ("image.pullPolicy", "always", "value must be one of"),
        ("fullnameOverride", "Not_A_Name", "does not match pattern"),
        ("podLabels", {"a": True}, "got boolean, want string"),
        ("nodeSelector", {"a": 1}, "got number, want string"),
        ("workloadIdentity.provider", "eks", "value must be one of"),
        ("externalSecrets.secretStoreRef.kind", "Store", "value must be one of"),
        ("externalSecrets.data", [{"secretKey": "A", "remoteRef": {"path": "x"}}], "missing property 'key'"),
        ("secretProviderClass.parameters", {"a": 1}, "got number, want string"),
        ("config", "registries: {}", "got string, want object"),
        ("config.mappings", {"from": "x"}, "got object, want array"),
        ("config.mappings", [{"to": "x"}], "missing property 'from'"),
        ("config.mappings", [{"from": "x", "tags": {"include": [1.1]}}], "got number, want string"),
        ("config.registries.other", {"auth_type": "basic"}, "missing property 'url'"),
        ("config.registries.src.auth_type", "password", "value must be one of"),
        ("config.global.max_concurrent_transfers", 0, "minimum: got 0, want 1"),
        ("config.defaults.tags.sort", "date", "value must be one of 'semver', 'alpha'"),
    ],
)
def test_a_wrong_value_is_refused_and_the_message_says_why(path: str, value: object, complaint: str) -> None:
    with pytest.raises(helm_python.HelmValuesError) as refusal:
        render(merged(values(), at(path, value)))

    assert complaint in str(refusal.value)
    assert "/" + path.replace(".", "/") in str(refusal.value)


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"config": {}}, "config is empty"),
        (at("workloadIdentity.provider", "aws"), "workloadIdentity.aws.roleArn is required"),
        (at("workloadIdentity.provider", "gcp"), "workloadIdentity.gcp.serviceAccount is required"),
        (at("workloadIdentity.provider", "azure"), "workloadIdentity.azure.clientId is required"),
        (at("secretProviderClass.enabled", True), "secretProviderClass.provider is required"),
        (at("externalSecrets.enabled", True), "externalSecrets.data or externalSecrets.dataFrom is required"),
        (
            at("externalSecrets", {"enabled": True, "dataFrom": [{"extract": {"key": "x"}}]}),
            "externalSecrets.secretStoreRef is required",
        ),
        (at("metrics.serviceMonitor.enabled", True), "metrics.serviceMonitor.enabled needs mode watch"),
        (at("metrics.pushgateway.job", "mirror"), "set metrics.pushgateway.url"),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_what_would_do_nothing_or_fail_later_is_refused_with_a_sentence(
    more: dict[str, Any], complaint: str
) -> None:
    given = more if "config" in more else merged(values(), more)

    with pytest.raises(helm_python.HelmRenderError, match=complaint):
        render(given)


def test_lint_reports_what_the_schema_refuses() -> None:
    report = helm_python.lint(CHART, merged(values(), at("cronjob.timezone", "UTC")), strict=True)

    assert any("additional properties 'timezone' not allowed" in error for error in report["errors"])


def test_the_chart_alone_passes_lint() -> None:
    assert helm_python.lint(CHART, {}, strict=True)["errors"] == []


def test_values_of_a_parent_chart_are_let_through() -> None:
    assert render(values(**{"global": {"imageRegistry": "x", "anything": [1]}})).objects == render(values()).objects
