"""The rules for tags, artifacts and platforms of a mapping, merged with those of the defaults."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING

from ocync.config.model import ArtifactRules
from ocync.config.section import given
from ocync.oci.platform import Platform
from ocync.oci.reference import is_tag
from ocync.tags.glob import Pattern, check, is_literal
from ocync.tags.rules import SortOrder, TagRules
from ocync.tags.version_range import Range

if TYPE_CHECKING:
    from ocync.config.section import Layers, Section
    from ocync.config.yaml.findings import Findings
    from ocync.config.yaml.node import Path, Value


def check_rules(section: Section) -> None:
    """Record what is wrong in the rules of one section; those of the defaults are checked once, not per mapping."""
    tags, findings = section.section("tags"), section.findings
    for key in ("glob", "include", "exclude", "immutable_tags"):
        for path, value in tags.values(key):
            if not findings.affect(path):
                _check_pattern(value, path, findings)
    tags.parse("semver", Range.parse)
    for path, value in section.values("platforms"):
        findings.attempt(path, value, Platform.parse)
    artifacts = section.section("artifacts")
    if artifacts.flag("enabled") is False and artifacts.flag("require_artifacts"):
        artifacts.error("require_artifacts", "contradicts enabled: false")


def tag_rules(tags: Layers) -> TagRules:
    """Return the tag rules of a mapping."""
    latest, sort, semver = tags.of("latest"), tags.of("sort"), tags.of("semver")
    if latest.has("latest") and not sort.has("sort") and sort.is_sound("sort"):
        latest.error("latest", "needs a sort to know which tags are the latest: add sort: semver")
    if semver.has("semver") and not latest.has("latest"):
        message = "every tag in the range is copied; latest: N (with sort: semver) limits how many"
        semver.warn("semver", message)
    order = sort.text("sort")
    return TagRules(
        glob=tags.of("glob").texts("glob"),
        include=tags.of("include").texts("include"),
        semver=semver.text("semver"),
        exclude=tags.own.texts("exclude"),
        default_exclude=tags.default.texts("exclude"),
        sort=SortOrder(order) if order in tuple(SortOrder) else None,
        latest=latest.number("latest"),
        min_tags=tags.of("min_tags").number("min_tags"),
        immutable_tags=tags.of("immutable_tags").text("immutable_tags"),
    )


def artifact_rules(artifacts: Layers) -> ArtifactRules:
    """Return the artifact rules of a mapping."""
    enabled = artifacts.of("enabled").flag("enabled")
    section = artifacts.of("require_artifacts")
    required = not artifacts.waives_artifacts and section.flag("require_artifacts") is True
    if enabled is False and required and section.is_sound("require_artifacts"):
        section.error("require_artifacts", "contradicts enabled: false of the defaults: say enabled: true here too")
    return ArtifactRules(
        include=artifacts.of("include").texts("include"),
        exclude=artifacts.of("exclude").texts("exclude"),
        require_artifacts=required,
        **given(enabled=enabled),
    )


def platforms(layers: Layers) -> tuple[Platform, ...]:
    """Return the platforms of a mapping, each once, without those that `check_rules` refused."""
    found: dict[Platform, None] = {}
    for text in layers.of("platforms").texts("platforms"):
        with suppress(ValueError):
            found[Platform.parse(text)] = None
    return tuple(found)


def _check_pattern(value: Value, path: Path, findings: Findings) -> None:
    problem, can_match = _judge(str(value.content))
    if problem:
        findings.refuse(path, value, f"{value.shown} is no pattern" if value.source else problem)
    elif not can_match:
        findings.warn(f"{value.shown} can never match: it is neither a tag nor a pattern", path, value.position)


@lru_cache(maxsize=10_000)
def _judge(text: str) -> tuple[str, bool]:
    """Return what is wrong with a pattern, and whether any tag can match it; mappings share patterns."""
    try:
        check(text)
    except ValueError as error:
        return str(error), False
    return "", not is_literal(text) or all(map(is_tag, Pattern(text).literals or ()))
