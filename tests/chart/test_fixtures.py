"""Every file in chart/ci is installed, as it is, and what comes out is sound."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import helm_python
import pytest
import yaml

from chart.objects import faults, violations
from chart.rendering import CHART, FIXTURES, render
from ocync.cli import parser
from ocync.config.load import load
from ocync.lib.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

VARIABLE = re.compile(r"[$][{]([^}:]+)")

pytestmark = pytest.mark.parametrize("fixture", FIXTURES, ids=lambda path: path.name.removesuffix("-values.yaml"))


def test_lint_finds_nothing_to_warn_of(fixture: Path) -> None:
    report = helm_python.lint(CHART, helm_python.values_from_yaml(fixture.read_text()), strict=True)

    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] > 1] == []


def test_kubernetes_and_operators_accept_every_object(fixture: Path) -> None:
    assert [fault for each in render(fixture.read_text()).objects for fault in faults(each)] == []


def test_every_pod_passes_pod_security_restricted(fixture: Path) -> None:
    release = render(fixture.read_text())
    pods = [release.template["spec"], *(each["spec"] for each in release.objects if each["kind"] == "Pod")]

    assert len(pods) == 2
    assert [violation for pod in pods for violation in violations(pod)] == []


def test_ocync_understands_the_arguments_of_every_pod(fixture: Path) -> None:
    release = render(fixture.read_text())
    pods = [release.template, *(each for each in release.objects if each["kind"] == "Pod")]

    commands = [parser.build().parse_args(pod["spec"]["containers"][0]["args"]).command for pod in pods]

    assert commands == ["watch" if release.workload["kind"] == "Deployment" else "sync", "auth"]


def test_every_object_is_labelled_as_part_of_the_release_and_placed_in_its_namespace(fixture: Path) -> None:
    own = [each for each in render(fixture.read_text()).objects if "labels" in each["metadata"]]

    assert len(own) >= 3
    for each in own:
        assert each["metadata"]["labels"]["app.kubernetes.io/instance"] == "mirror"
        assert each["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm"
        assert each["metadata"]["namespace"] == "images"


def test_what_the_user_configured_reaches_the_pod_unchanged(fixture: Path) -> None:
    given = yaml.safe_load(fixture.read_text())["config"]
    found = render(fixture.read_text()).config

    assert {key: found[key] for key in given if key not in {"global", "metrics"}} == {
        key: given[key] for key in given if key not in {"global", "metrics"}
    }
    assert found["global"] | given.get("global", {}) == found["global"]


def test_ocync_accepts_the_configuration_that_the_pod_finds(fixture: Path, tmp_path: Path) -> None:
    release = render(fixture.read_text())
    file = tmp_path / "config.yaml"
    file.write_text(release.config_text, encoding="utf-8")
    environment = dict.fromkeys(VARIABLE.findall(release.config_text), "text")
    environment |= {name: "registry.example.com" for name in environment if name.endswith("_HOST")}

    if "mappings" in release.config:
        assert load(file, environment | {"PUSHGATEWAY_URL": "http://push:9091"}).warnings == ()
    else:
        with pytest.raises(ConfigError, match="mappings: is missing"):
            load(file, environment)
        assert "config has no mappings" in release.notes


def test_nothing_secret_is_mounted_that_was_not_asked_for(fixture: Path) -> None:
    spec = render(fixture.read_text()).template["spec"]
    asked = yaml.safe_load(fixture.read_text())

    wanted = (
        asked.get("workloadIdentity", {}).get("provider", "none") != "none"
        or asked.get("serviceAccount", {}).get("automount", False)
        or "vault.hashicorp.com/agent-inject" in asked.get("podAnnotations", {})
    )
    assert spec["automountServiceAccountToken"] is wanted
    assert spec["enableServiceLinks"] is False
