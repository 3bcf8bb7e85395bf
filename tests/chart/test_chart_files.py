"""The chart as a package: what is in it, and that what was generated is current."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

import helm_python
import pytest
import yaml

from chart.objects import violations
from chart.rendering import CHART, FIXTURES, ROOT, chart, render, values
from ocync import __version__

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("script", ["chart-schema", "chart-docs"])
def test_what_is_generated_is_current(script: str) -> None:
    result = subprocess.run(
        [sys.executable, ROOT / "scripts" / script, "--check"], capture_output=True, check=False
    )

    assert result.stderr.decode() == ""
    assert result.returncode == 0


@pytest.mark.parametrize(
    ("script", "edited", "of"),
    [
        ("chart-schema", "# -- Image repository.", "values.schema.json"),
        ("chart-docs", "# -- Image repository.", "README.md"),
    ],
)
def test_what_is_no_longer_current_is_noticed_and_can_be_renewed(
    script: str, edited: str, of: str, tmp_path: Path
) -> None:
    for part in ("chart", "scripts", "app/ocync/config"):
        shutil.copytree(ROOT / part, tmp_path / part)
    source = tmp_path / "chart" / "values.yaml"
    source.write_text(source.read_text().replace(edited, "# -- Where the image is."))

    def run(*arguments: str) -> int:
        command = [sys.executable, tmp_path / "scripts" / script, *arguments]
        return subprocess.run(command, stderr=subprocess.DEVNULL, check=False, env=os.environ).returncode

    assert run("--check") == 1
    assert run() == 0
    assert run("--check") == 0
    assert "Where the image is." in (tmp_path / "chart" / of).read_text()


def test_a_value_without_a_comment_is_noticed(tmp_path: Path) -> None:
    for part in ("chart", "scripts"):
        shutil.copytree(ROOT / part, tmp_path / part)
    with (tmp_path / "chart" / "values.yaml").open("a") as source:
        source.write("\nsurprise: 1\n")

    command = [sys.executable, tmp_path / "scripts" / "chart-docs", "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)

    assert result.returncode == 1
    assert "surprise" in result.stderr


def test_chart_and_program_have_one_version() -> None:
    metadata = chart().metadata

    assert metadata["version"] == metadata["appVersion"] == __version__
    (image,) = yaml.safe_load(metadata["annotations"]["artifacthub.io/images"])
    assert image["image"] == render(values()).container["image"]


def test_annotations_for_the_catalogue_can_be_read() -> None:
    annotations = chart().metadata["annotations"]

    assert annotations["artifacthub.io/license"] == "Apache-2.0"
    for change in yaml.safe_load(annotations["artifacthub.io/changes"]):
        assert change["kind"] in {"added", "changed", "deprecated", "removed", "fixed", "security"}
        assert change["description"]


def test_the_package_holds_what_users_need_and_nothing_else(tmp_path: Path) -> None:
    archive = helm_python.package(CHART, destination=tmp_path)

    with tarfile.open(archive) as package:
        names = {name.removeprefix("ocync/") for name in package.getnames()}

    assert {name for name in names if not name.startswith("templates/")} == {
        "Chart.yaml",
        "README.md",
        "values.schema.json",
        "values.yaml",
        ".helmignore",
    }


def test_the_schema_is_closed_wherever_it_names_properties() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())

    def open_places(tree: object, path: str) -> list[str]:
        if isinstance(tree, list):
            return [found for index, inner in enumerate(tree) for found in open_places(inner, f"{path}/{index}")]
        if not isinstance(tree, dict):
            return []
        inside = [found for key, inner in tree.items() for found in open_places(inner, f"{path}/{key}")]
        is_open = isinstance(tree.get("properties"), dict) and tree.get("additionalProperties") is not False
        return [path, *inside] if is_open and "type" in tree else inside

    assert open_places(schema, "") == []
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_value_is_described_in_the_schema_with_its_default() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())

    assert schema["properties"]["mode"]["default"] == "cronjob"
    assert schema["properties"]["job"]["properties"]["backoffLimit"]["description"].startswith("How often")
    assert schema["$defs"]["pushgateway"]["properties"]["url"]["description"].startswith("Pushgateway")


def test_the_chart_can_be_part_of_another(tmp_path: Path) -> None:
    shutil.copytree(CHART, tmp_path / "charts" / "ocync")
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: parent\nversion: 1.0.0\n")
    tree = {"global": {"imageRegistry": "x"}, "ocync": values()}

    with helm_python.Chart.load(tmp_path) as parent:
        files = parent.render(tree, name="mirror", namespace="images")

    assert any(path.endswith("cronjob.yaml") and text.strip() for path, text in files.items())


def test_the_pages_values_are_among_the_fixtures() -> None:
    names = {path.name for path in FIXTURES}

    assert {"page-envfrom-values.yaml", "page-docker-config-values.yaml"} <= names


def test_the_values_in_the_readme_are_those_of_the_page() -> None:
    block = (CHART / "README.md").read_text().split("```yaml\n# values.yaml\n")[1].partition("```")[0]

    assert yaml.safe_load(block) == yaml.safe_load((CHART / "ci" / "page-envfrom-values.yaml").read_text())


@pytest.mark.parametrize(
    ("change", "violation"),
    [
        ({"hostNetwork": True}, "hostNetwork"),
        ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, "volume v"),
        ({"securityContext": {"runAsNonRoot": True}}, "ocync: seccompProfile"),
        ({"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}}, "ocync: runAsNonRoot"),
        ({"securityContext": {"runAsUser": 0}}, "runAsUser"),
        ({"containers": [{"name": "c"}]}, "c: allowPrivilegeEscalation"),
        ({"containers": [{"name": "c"}]}, "c: capabilities.drop"),
        ({"containers": [{"name": "c", "securityContext": {"privileged": True}}]}, "c: privileged"),
        ({"containers": [{"name": "c", "ports": [{"hostPort": 80}]}]}, "c: hostPort"),
    ],
)
def test_the_judge_of_pod_security_notices_what_is_forbidden(change: dict[str, object], violation: str) -> None:
    spec = render(values()).template["spec"]

    assert violations(spec) == []
    assert violation in violations(spec | change)
