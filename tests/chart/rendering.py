"""Renders the chart with real Helm, and finds its way in what comes out."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import helm_python
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "chart"
FIXTURES = sorted((CHART / "ci").glob("*-values.yaml"))

Tree = dict[str, Any]

CONFIG: Tree = {
    "registries": {"src": {"url": "cgr.dev"}, "dst": {"url": "ghcr.io"}},
    "defaults": {"source": "src", "targets": "dst"},
    "mappings": [{"from": "chainguard/static", "to": "myorg/static"}],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What an installation would create, and what it would say."""

    objects: list[Tree]
    notes: str

    def one(self, kind: str) -> Tree:
        """The only object of a kind that is part of the release itself, hooks aside."""
        (found,) = self.all(kind)
        return found

    def all(self, kind: str) -> list[Tree]:
        """All objects of a kind, without the test pod."""
        return [each for each in self.objects if each["kind"] == kind and not is_test(each)]

    @property
    def workload(self) -> Tree:
        """The CronJob, Job or Deployment."""
        (found,) = [each for each in self.objects if each["kind"] in {"CronJob", "Job", "Deployment"}]
        return found

    @property
    def job(self) -> Tree:
        """The spec of the Job, on its own or within a CronJob."""
        spec = self.workload["spec"]
        return spec["jobTemplate"]["spec"] if self.workload["kind"] == "CronJob" else spec

    @property
    def template(self) -> Tree:
        """Metadata and spec of the workload's pods."""
        return self.job["template"]

    @property
    def container(self) -> Tree:
        """The workload's container."""
        (found,) = self.template["spec"]["containers"]
        return found

    @property
    def config_text(self) -> str:
        """The config file as the pod finds it."""
        (found,) = [each["data"] for each in self.all("ConfigMap") if "config.yaml" in each["data"]]
        return found["config.yaml"]

    @property
    def config(self) -> Tree:
        """The config file, parsed."""
        return yaml.safe_load(self.config_text)


def is_test(each: Tree) -> bool:
    """Whether an object is made by `helm test` alone."""
    return each["metadata"].get("annotations", {}).get("helm.sh/hook") == "test"


@functools.cache
def chart() -> helm_python.Chart:
    """The chart, loaded once."""
    return helm_python.Chart.load(CHART)


def render(values: Tree | str, *, name: str = "mirror", namespace: str = "images") -> Release:
    """
    The release that `helm install NAME chart --namespace NAMESPACE` would make of values, a tree or a file's text.

    Raises HelmValuesError for what the schema refuses and HelmRenderError for what a template refuses.
    """
    tree = helm_python.values_from_yaml(values) if isinstance(values, str) else values
    return _render(json.dumps(tree), name, namespace)


@functools.cache
def _render(values: str, name: str, namespace: str) -> Release:
    files = chart().render(json.loads(values), name=name, namespace=namespace)
    notes = next(text for path, text in files.items() if path.endswith("NOTES.txt"))
    objects = [
        each
        for path, text in sorted(files.items())
        if not path.endswith("NOTES.txt")
        for each in yaml.safe_load_all(text)
        if each is not None
    ]
    return Release(objects=objects, notes=notes)


def values(**more: Any) -> Tree:
    """Values with a configuration that copies one image, and more beside or instead of it."""
    return {"config": CONFIG} | more


def at(path: str, value: object) -> Tree:
    """The tree that `--set-json PATH=VALUE` makes, as `at("job.backoffLimit", 3)`."""
    for name in reversed(path.split(".")):
        value = {name: value}
    assert isinstance(value, dict)
    return value


def merged(*trees: Tree) -> Tree:
    """Trees laid over each other; the last wins."""
    result: Tree = {}
    for tree in trees:
        for key, value in tree.items():
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if both else value
    return result
