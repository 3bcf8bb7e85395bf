"""Judges rendered objects: by the schemas of Kubernetes and of three operators, and by Pod Security."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import yaml
from kubernetes_validate.utils import schema_contents
from referencing import Registry, Resource

if TYPE_CHECKING:
    from collections.abc import Iterator

Tree = dict[str, Any]

KUBERNETES = ("1.29.0", "1.30.0", "1.37.0")
"""The oldest that the chart admits, one between, the newest."""

_SCHEMAS = Path(__file__).parent / "schemas"
_OPERATORS = {
    ("external-secrets.io/v1", "ExternalSecret"),
    ("secrets-store.csi.x-k8s.io/v1", "SecretProviderClass"),
    ("monitoring.coreos.com/v1", "ServiceMonitor"),
}
_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def faults(each: Tree) -> list[str]:
    """What schemas say against an object, each with the version of Kubernetes; unknown fields are faults too."""
    if (each["apiVersion"], each["kind"]) in _OPERATORS:
        return [fault.message for fault in _operator(each["kind"]).iter_errors(each)]
    return [
        f"Kubernetes {version}: {each['kind']}: {fault.json_path}: {fault.message}"
        for version in KUBERNETES
        for fault in _kubernetes(each["kind"], each["apiVersion"], version).iter_errors(each)
    ]


@functools.cache
def _operator(kind: str) -> jsonschema.Draft202012Validator:
    schema = yaml.safe_load((_SCHEMAS / f"{kind.lower()}.yaml").read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator(schema)


@functools.cache
def _kubernetes(kind: str, api_version: str, version: str) -> jsonschema.Draft202012Validator:
    group, _, number = api_version.rpartition("/")
    name = "-".join(part for part in (kind.lower(), group.partition(".")[0], number) if part)
    folder = f"kubernetes-json-schema/v{version}-local-strict"
    schema = schema_contents(f"{folder}/{name}.json", version)
    return jsonschema.Draft202012Validator(schema, registry=Resource.from_contents(schema) @ _definitions(version))


@functools.cache
def _definitions(version: str) -> Registry:
    contents = schema_contents(f"kubernetes-json-schema/v{version}-local-strict/_definitions.json", version)
    registry: Registry = Registry()
    return Resource.from_contents(contents) @ registry


def violations(spec: Tree) -> list[str]:
    """
    What Pod Security "restricted" would refuse in a pod's spec.

    The controls are those of https://kubernetes.io/docs/concepts/security/pod-security-standards/ for Linux.
    """
    pod = spec.get("securityContext", {})
    containers = [*spec.get("initContainers", []), *spec["containers"]]
    return [
        *(key for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)),
        *_pod_context(pod),
        *(f"volume {volume['name']}" for volume in spec.get("volumes", []) if not _VOLUMES & volume.keys()),
        *(f"{each['name']}: {fault}" for each in containers for fault in _container(each, pod)),
    ]


def _pod_context(pod: Tree) -> Iterator[str]:
    if pod.get("runAsUser") == 0:
        yield "runAsUser"
    if pod.get("seccompProfile", {}).get("type") == "Unconfined":
        yield "seccompProfile"
    if pod.get("sysctls"):
        yield "sysctls"


def _container(container: Tree, pod: Tree) -> Iterator[str]:
    own = container.get("securityContext", {})
    if own.get("privileged"):
        yield "privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation"
    if "ALL" not in own.get("capabilities", {}).get("drop", []):
        yield "capabilities.drop"
    if set(own.get("capabilities", {}).get("add", [])) - {"NET_BIND_SERVICE"}:
        yield "capabilities.add"
    if own.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True:
        yield "runAsNonRoot"
    if own.get("runAsUser") == 0:
        yield "runAsUser"
    if own.get("procMount", "Default") != "Default":
        yield "procMount"
    seccomp = own.get("seccompProfile", pod.get("seccompProfile", {}))
    if seccomp.get("type") not in {"RuntimeDefault", "Localhost"}:
        yield "seccompProfile"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield "hostPort"
