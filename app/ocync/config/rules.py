"""Which tags, artifacts and platforms of a mapping are copied: what the defaults and the mapping say together."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from ocync.config.merge import Layered, require_artifacts
from ocync.config.model import ArtifactRules
from ocync.config.section import given
from ocync.oci.platform import Platform
from ocync.oci.reference import is_tag
from ocync.tags.glob import Pattern, check, is_literal
from ocync.tags.rules import SortOrder, TagRules
from ocync.tags.version_range import Range

if TYPE_CHECKING:
    from ocync.config.section import Section
    from ocync.config.yaml.findings import Findings
    from ocync.config.yaml.node import Path, Value

_PATTERNS = ("glob", "include", "exclude", "immutable_tags")


def check_rules(section: Section, findings: Findings) -> None:
    """
    Check what one `tags`, `artifacts` and `platforms` say for themselves, of the defaults or of a mapping.

    So whatever is wrong in the defaults is said once, and not for each mapping.
    """
    tags = section.section("tags")
    for key in _PATTERNS:
        for path, value in tags.values(key):
            _check_pattern(value, path, findings)
    tags.read("semver", Range.parse, findings)
    for path, value in section.values("platforms"):
        if not findings.touch(path):
            _check_platform(value, path, findings)
    artifacts = section.section("artifacts")
    if artifacts.flag("enabled") is False and artifacts.flag("require_artifacts"):
        path = artifacts.at("require_artifacts")
        findings.error("contradicts enabled: false", path, artifacts.place("require_artifacts"))


def tag_rules(tags: Layered, findings: Findings) -> TagRules:
    """Return the tag rules of a mapping."""
    latest = tags.of("latest")
    if latest.has("latest") and not tags.of("sort").has("sort") and not findings.touch(tags.of("sort").at("sort")):
        message = "needs a sort to know which tags are the latest: add sort: semver"
        findings.error(message, latest.at("latest"), latest.place("latest"))
    semver = tags.of("semver")
    if semver.has("semver") and not latest.has("latest"):
        message = "every tag in the range is copied; latest: N (with sort: semver) limits how many"
        findings.warn(message, semver.at("semver"), semver.place("semver"))
    sort = tags.of("sort").text("sort")
    return TagRules(
        glob=tags.of("glob").texts("glob"),
        include=tags.of("include").texts("include"),
        semver=semver.text("semver"),
        exclude=tags.own.texts("exclude"),
        default_exclude=tags.default.texts("exclude"),
        sort=SortOrder(sort) if sort in tuple(SortOrder) else None,
        latest=latest.number("latest"),
        min_tags=tags.of("min_tags").number("min_tags"),
        immutable_tags=tags.of("immutable_tags").text("immutable_tags"),
    )


def artifact_rules(artifacts: Layered, findings: Findings) -> ArtifactRules:
    """Return the artifact rules of a mapping."""
    enabled = artifacts.of("enabled").flag("enabled")
    required = require_artifacts(artifacts)
    if enabled is False and required:
        section = artifacts.of("require_artifacts")
        message = "contradicts enabled: false of the defaults: say enabled: true here too"
        if not findings.touch(section.at("require_artifacts")):
            findings.error(message, section.at("require_artifacts"), section.place("require_artifacts"))
    return ArtifactRules(
        include=artifacts.of("include").texts("include"),
        exclude=artifacts.of("exclude").texts("exclude"),
        require_artifacts=required,
        **given(enabled=enabled),
    )


def platforms(layered: Layered) -> tuple[Platform, ...]:
    """Return the platforms of a mapping, each once; those that can't be read were noted by `check_rules`."""
    found: dict[Platform, None] = {}
    for text in layered.of("platforms").texts("platforms"):
        try:
            found[Platform.parse(text)] = None
        except ValueError:
            continue
    return tuple(found)


def _check_pattern(value: Value, path: Path, findings: Findings) -> None:
    if findings.touch(path):
        return
    problem, can_match = _judge(str(value.content))
    shown = f"what {value.source.named} made of it" if value.source else str(value.content)
    if problem:
        message = f"{shown} is no pattern" if value.source else problem
        findings.error(message, path, value.place, value.source)
    elif not can_match:
        findings.warn(f"{shown} can never match: it is neither a tag nor a pattern", path, value.place)


@lru_cache(maxsize=10_000)
def _judge(text: str) -> tuple[str, bool]:
    """Return what is wrong with a pattern, and whether any tag can match it; thousands of mappings share a few."""
    try:
        check(text)
    except ValueError as error:
        return str(error), False
    return "", not is_literal(text) or all(map(is_tag, Pattern(text).literals or ()))


def _check_platform(value: Value, path: Path, findings: Findings) -> None:
    try:
        Platform.parse(str(value.content))
    except ValueError as error:
        findings.error(_said(error, value, "platform"), path, value.place, value.source)


def _said(error: ValueError, value: Value, kind: str) -> str:
    """Return what is wrong, without the content of variables."""
    return f"what {value.source.named} made of it is no {kind}" if value.source else str(error)
