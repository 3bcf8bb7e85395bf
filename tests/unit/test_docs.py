"""What the documents show works: configurations load, commands parse, tables agree with the code."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

import signing
from ocync import __version__
from ocync.cli import parser
from ocync.config.load import load
from ocync.lib.errors import ExitCode

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SECRETS = {
    "CHAINGUARD_USERNAME": "u",
    "CHAINGUARD_PASSWORD": "p",
    "GITHUB_TOKEN": "t",
    "COSIGN_PUBLIC_KEY": signing.pem_of(signing.new_key()),
    "CATALOG_SYNCER": "a/b",
    "APKO_BUILDER": "a/c",
}
SIGNATURES = (ROOT / "docs" / "signatures.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
VERIFYING = re.findall(r"```yaml\n(.*?)```", SIGNATURES, re.DOTALL)


def configuration_in(block: str) -> str:
    """Return the configuration of a block: itself, or what stands under `config` in values of the chart."""
    body = yaml.safe_load(block)
    return yaml.safe_dump(body["config"]) if "config" in body else block


@pytest.mark.parametrize("block", BLOCKS, ids=[block.splitlines()[0].strip("# ") for block in BLOCKS])
def test_every_configuration_of_the_readme_is_valid(block: str, tmp_path: Path) -> None:
    file = tmp_path / "ocync.yaml"
    file.write_text(configuration_in(block))

    config = load(file, SECRETS)

    assert config.mappings


@pytest.mark.parametrize("block", VERIFYING, ids=["key", "public catalog", "organization"])
def test_every_configuration_about_signatures_is_valid_and_verifies(block: str, tmp_path: Path) -> None:
    file = tmp_path / "ocync.yaml"
    file.write_text(block)

    verify = load(file, SECRETS).mappings[0].verify

    assert verify is not None
    assert verify.keys or {each.issuer for each in verify.keyless} < {
        "https://token.actions.githubusercontent.com",
        "https://issuer.enforce.dev",
    }


@pytest.mark.parametrize(("text", "least"), [(README, 7), (SIGNATURES, 2)], ids=["README", "signatures"])
def test_every_ocync_command_that_is_shown_is_one(text: str, least: int) -> None:
    lines = [line.strip() for line in text.splitlines() if re.match(r"\s+ocync ", line)]
    for line in lines:
        parser.build().parse_args(shlex.split(line.partition(" #")[0])[1:])

    assert len(lines) >= least


def test_the_readme_s_exit_codes_are_the_program_s() -> None:
    rows = re.findall(r"^\| (\d) \| (.+?) \|$", README, re.MULTILINE)

    assert [int(code) for code, _ in rows] == [code.value for code in ExitCode]
    for code, meaning in rows:
        assert f"{code}  {meaning.partition(':')[0].rstrip('.')}" in parser.EXIT_CODES


def test_the_files_that_the_documents_name_are_there() -> None:
    for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        named = set(re.findall(r"`((?:app|chart|scripts|tests)/[\w./-]+)`", text))
        named |= set(re.findall(r"\]\(([\w./-]+)\)", text))
        assert not [path for path in named if not (ROOT / path).exists()]


def test_the_packages_of_the_architecture_are_those_of_the_code() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    packages = {path.parent.name for path in (ROOT / "app" / "ocync").glob("*/__init__.py")}

    assert not [package for package in packages if f"`{package}/`" not in text]


def test_the_modules_that_the_architecture_names_are_there() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = {path for path in re.findall(r"`([a-z_]+/[\w./]*)`", text) if not path.startswith("docs/")}

    assert not [
        path for path in named if not any((base / path).exists() for base in (ROOT, ROOT / "app" / "ocync"))
    ]
    assert len(named) > 40


def test_the_version_is_that_of_the_changelog_and_the_chart() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    chart = yaml.safe_load((ROOT / "chart" / "Chart.yaml").read_text(encoding="utf-8"))

    assert re.search(r"^## \[(.+?)\]", changelog, re.MULTILINE)[1] == __version__  # type: ignore[index]
    assert chart["version"] == chart["appVersion"] == __version__
