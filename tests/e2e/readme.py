"""The YAML of the README, with other hosts."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

README = Path(__file__).parents[2] / "README.md"
CONFIG, MORE, VALUES = re.findall(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
"""The page's ocync.yaml, the other keys of a configuration, the page's values.yaml."""


def at(text: str, *, source: str, target: str) -> str:
    """Return the text with these registries instead of Chainguard's and GitHub's."""
    assert "cgr.dev" in text
    assert "ghcr.io" in text
    return text.replace("cgr.dev", source).replace("ghcr.io", target)


def configuration(source: str, target: str) -> str:
    """Return the README's ocync.yaml for these registries."""
    return at(CONFIG, source=source, target=target)


def configuration_of_values(source: str, target: str) -> str:
    """Return the configuration that the README's values.yaml holds, for these registries."""
    return yaml.safe_dump(yaml.safe_load(at(VALUES, source=source, target=target))["config"])
