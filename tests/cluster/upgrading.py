"""Releases that the chart of ocync 0.5 has made, and values that were written for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from cluster.kubernetes import CommandError, eventually
from cluster.stage import SECRET

if TYPE_CHECKING:
    from cluster.kubernetes import Document
    from cluster.stage import Stage

NAME = "brought"
# What matters of a release of 0.5 to an upgrade: a Deployment with the API server's default strategy, of the same
# name and selector, in whose pods anything runs.
CHART = """
apiVersion: v2
name: ocync
version: 0.5.2
appVersion: 0.5.2
"""
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}-ocync
  labels: &labels
    helm.sh/chart: ocync-0.5.2
    app.kubernetes.io/name: ocync
    app.kubernetes.io/instance: {{ .Release.Name }}
spec:
  replicas: 1
  selector:
    matchLabels: &selector
      app.kubernetes.io/name: ocync
      app.kubernetes.io/instance: {{ .Release.Name }}
  template:
    metadata:
      labels: *selector
    spec:
      securityContext:
        runAsNonRoot: true
        seccompProfile: { type: RuntimeDefault }
      containers:
        - name: ocync
          image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
          args: [version]
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: { drop: [ALL] }
"""


async def brought(stage: Stage) -> str:
    """A release of 0.5's chart is upgraded with its values unchanged, and rolled back."""
    chart = stage.folder / "old" / "ocync"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text(CHART, encoding="utf-8")
    (chart / "templates" / "deployment.yaml").write_text(DEPLOYMENT, encoding="utf-8")
    values = values_of(stage)
    namespace = stage.namespace
    stage.seed("chainguard/static", "7.0.0", 70)
    await namespace.install(NAME, chart, {"image": values["image"]})
    try:
        how = await upgraded(stage, values)

        async def copied() -> bool:
            return stage.outside.target.resolve("myorg/static", "7.0.0") is not None

        await eventually("the upgraded release to copy", copied, within=60)

        async def ready() -> bool:
            (deployment,) = await namespace.items("deployments", f"app.kubernetes.io/instance={NAME}")
            return bool(deployment["status"].get("readyReplicas") == 1)

        await eventually("the upgraded release to be ready", ready, within=60)
        await namespace.rollback(NAME, 1)
        (deployment,) = await namespace.items("deployments", f"app.kubernetes.io/instance={NAME}")
        assert deployment["metadata"]["labels"]["helm.sh/chart"] == "ocync-0.5.2", deployment["metadata"]
    finally:
        await namespace.uninstall(NAME)
    return f"{how}, ready, and back again"


async def upgraded(stage: Stage, values: Document) -> str:
    """Upgrade as the chart's README says, and tell whether the option was needed that it names."""
    try:
        await stage.namespace.install(NAME, stage.chart, values)
    except CommandError as error:
        # Helm 4 applies at the server what it has installed there, and a field that the server filled in stays.
        assert "spec.strategy.rollingUpdate: Forbidden" in str(error), error
        await stage.namespace.install(NAME, stage.chart, values, "--server-side=false")
        return "upgraded with --server-side=false"
    return "upgraded"


def values_of(stage: Stage) -> Document:
    """Return the values with all that 0.5 knew, as the chart's folder has them, with our registries."""
    text = (stage.chart / "ci" / "ocync-0.5-all-values.yaml").read_text(encoding="utf-8")
    values: Document = yaml.safe_load(text)
    page = stage.values("envfrom")
    values["config"]["registries"] = {
        "chainguard": page["config"]["registries"]["src"],
        "ecr": page["config"]["registries"]["ghcr"],
    }
    values["config"]["mappings"] = page["config"]["mappings"]
    return values | {"image": page["image"], "envFrom": [{"secretRef": {"name": SECRET}}]}


ALL = (brought,)
