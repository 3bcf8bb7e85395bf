"""Every value in values.yaml does something, and can be taken away without breaking what is left."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from helm_python import HelmRenderError, HelmValuesError

from chart.objects import faults
from chart.rendering import CHART, ROOT, at, merged, render, values

sys.path.insert(0, str(ROOT / "scripts"))
import chart_values

VALUES = chart_values.read((CHART / "values.yaml").read_text())

WATCH = {"mode": "watch"}
JOB = {"mode": "job"}
STORE = {"name": "store", "kind": "SecretStore"}
ESO = {
    "externalSecrets": {
        "enabled": True,
        "secretStoreRef": STORE,
        "data": [{"secretKey": "A", "remoteRef": {"key": "a"}}],
    }
}
CSI = {"secretProviderClass": {"enabled": True, "provider": "aws"}}
CHANGES: dict[str, tuple[dict[str, Any], object]] = {
    "mode": ({}, "job"),
    "image.repository": ({}, "r.example.com/ocync"),
    "image.tag": ({}, "1.2.3"),
    "image.digest": ({}, "sha256:ab"),
    "image.pullPolicy": ({}, "Always"),
    "imagePullSecrets": ({}, [{"name": "pull"}]),
    "nameOverride": ({}, "other"),
    "fullnameOverride": ({}, "other"),
    "commonLabels": ({}, {"a": "b"}),
    "serviceAccount.create": ({}, False),
    "serviceAccount.name": ({}, "other"),
    "serviceAccount.annotations": ({}, {"a": "b"}),
    "serviceAccount.labels": ({}, {"a": "b"}),
    "serviceAccount.automount": ({}, True),
    "config": ({}, {"registries": {"more": {"url": "r.example.com"}}}),
    "cronjob.schedule": ({}, "@daily"),
    "cronjob.timeZone": ({}, "Europe/Berlin"),
    "cronjob.concurrencyPolicy": ({}, "Replace"),
    "cronjob.startingDeadlineSeconds": ({}, 60),
    "cronjob.suspend": ({}, True),
    "cronjob.successfulJobsHistoryLimit": ({}, 0),
    "cronjob.failedJobsHistoryLimit": ({}, 0),
    "job.activeDeadlineSeconds": ({}, 600),
    "job.backoffLimit": ({}, 0),
    "job.podFailurePolicy": ({}, None),
    "job.ttlSecondsAfterFinished": (JOB, 0),
    "watch.interval": (WATCH, 60),
    "watch.healthPort": (WATCH, 9090),
    "watch.healthBind": (WATCH, "::"),
    "watch.progressDeadlineSeconds": (WATCH, 60),
    "terminationGracePeriodSeconds": ({}, 120),
    "logging.format": ({}, "json"),
    "extraArgs": ({}, ["-v"]),
    "env": ({}, [{"name": "A", "value": "b"}]),
    "envFrom": ({}, [{"secretRef": {"name": "a"}}]),
    "extraVolumes": ({}, [{"name": "a", "emptyDir": {}}]),
    "extraVolumeMounts": ({}, [{"name": "tmp", "mountPath": "/other"}]),
    "tmp.sizeLimit": ({}, "1Gi"),
    "tmp.medium": ({}, "Memory"),
    "podAnnotations": ({}, {"a": "b"}),
    "podLabels": ({}, {"a": "b"}),
    "deploymentAnnotations": (WATCH, {"a": "b"}),
    "cronJobAnnotations": ({}, {"a": "b"}),
    "jobAnnotations": (JOB, {"a": "b"}),
    "metrics.pushgateway.url": ({}, "http://push:9091"),
    "metrics.serviceMonitor.enabled": (WATCH, True),
    "metrics.serviceMonitor.interval": (WATCH | at("metrics.serviceMonitor.enabled", True), "5s"),
    "metrics.serviceMonitor.labels": (WATCH | at("metrics.serviceMonitor.enabled", True), {"a": "b"}),
    "networkPolicy.enabled": ({}, True),
    "networkPolicy.egressPorts": (at("networkPolicy.enabled", True), [3128]),
    "networkPolicy.extraEgress": (
        at("networkPolicy.enabled", True),
        [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}],
    ),
    "externalSecrets.enabled": (merged(ESO, at("externalSecrets.enabled", False)), True),
    "externalSecrets.refreshInterval": (ESO, "5m"),
    "externalSecrets.refreshPolicy": (ESO, "OnChange"),
    "externalSecrets.secretStoreRef": (ESO, {"name": "other"}),
    "externalSecrets.target": (ESO, {"name": "other"}),
    "externalSecrets.data": (ESO, [{"secretKey": "B", "remoteRef": {"key": "b"}}]),
    "externalSecrets.dataFrom": (ESO, [{"extract": {"key": "b"}}]),
    "secretProviderClass.enabled": (at("secretProviderClass.provider", "gcp"), True),
    "secretProviderClass.provider": (CSI, "gcp"),
    "secretProviderClass.parameters": (CSI, {"a": "b"}),
    "secretProviderClass.secretObjects": (CSI, [{"secretName": "a", "data": [{"objectName": "a", "key": "a"}]}]),
    "workloadIdentity.provider": (at("workloadIdentity.aws.roleArn", "arn:a"), "aws"),
    "workloadIdentity.aws.roleArn": (
        at("workloadIdentity", {"provider": "aws", "aws": {"roleArn": "arn:a"}}),
        "arn:b",
    ),
    "workloadIdentity.gcp.serviceAccount": (
        at("workloadIdentity", {"provider": "gcp", "gcp": {"serviceAccount": "a@b"}}),
        "c@d",
    ),
    "workloadIdentity.azure.clientId": (
        at("workloadIdentity", {"provider": "azure", "azure": {"clientId": "a"}}),
        "b",
    ),
    "workloadIdentity.azure.tenantId": (
        at("workloadIdentity", {"provider": "azure", "azure": {"clientId": "a"}}),
        "b",
    ),
    "resources": ({}, {"limits": {"memory": "1Gi"}}),
    "nodeSelector": ({}, {"a": "b"}),
    "tolerations": ({}, [{"operator": "Exists"}]),
    "affinity": ({}, {"nodeAffinity": {}}),
    "topologySpreadConstraints": (
        {},
        [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
    ),
    "priorityClassName": ({}, "low"),
    "dnsConfig": ({}, {"nameservers": ["10.0.0.1"]}),
    "hostAliases": ({}, [{"ip": "10.0.0.1", "hostnames": ["a"]}]),
    "podSecurityContext": ({}, {"fsGroup": 1}),
    "securityContext": ({}, {"runAsUser": 1000}),
    "extraObjects": ({}, [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}]),
}


def test_the_table_knows_every_value_that_users_can_set() -> None:
    assert sorted(CHANGES) == sorted(value.name for value in VALUES)


@pytest.mark.parametrize("name", CHANGES)
def test_a_value_changes_what_is_installed_and_that_stays_valid(name: str) -> None:
    needed, value = CHANGES[name]

    before = render(merged(values(), needed))
    after = render(merged(values(), needed, at(name, value)))

    assert after.objects != before.objects
    assert [fault for each in after.objects for fault in faults(each)] == []


@pytest.mark.parametrize("mode", ["cronjob", "watch"])
@pytest.mark.parametrize("name", sorted({".".join(value.path[:depth]) for value in VALUES for depth in (1, 2, 3)}))
def test_a_value_set_to_null_is_refused_or_left_out(name: str, mode: str) -> None:
    try:
        release = render(merged(values(mode=mode), at(name, None)))
    except HelmValuesError as refusal:
        assert "missing property" in str(refusal)
    except HelmRenderError as refusal:
        assert "config is empty" in str(refusal)
    else:
        assert [fault for each in release.objects for fault in faults(each)] == []
