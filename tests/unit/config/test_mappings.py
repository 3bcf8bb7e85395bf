from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ocync.config.model import ArtifactRules, MappingConfig
from ocync.oci.platform import Platform
from ocync.tags.rules import SortOrder, TagRules

if TYPE_CHECKING:
    from collections.abc import Callable

    from unit.config.conftest import Load

BASE = """\
registries:
  src: {url: cgr.dev}
  dst: {url: registry.example.com}
  hub: {url: docker.io}
  team: {url: ghcr.io/acme/mirror}
  disk: {url: 'oci:./mirror'}
"""


def config_of(mapping: str, defaults: str = "") -> str:
    return f"{BASE}defaults: {{source: src, targets: dst, {defaults}}}\nmappings:\n  - {{{mapping}}}\n"


@pytest.fixture
def mapping(read: Load) -> Callable[..., MappingConfig]:
    return lambda text, defaults="": read(config_of(text, defaults)).mappings[0]


def test_a_mapping_goes_by_default_to_where_it_comes_from(mapping: Callable[..., MappingConfig]) -> None:
    built = mapping("from: chainguard/static")

    assert built.name == built.source_repository.path == "chainguard/static"
    assert [(registry.name, repository.path) for registry, repository in built.targets] == [
        ("dst", "chainguard/static")
    ]
    assert built.line == 9


@pytest.mark.parametrize(
    ("text", "source", "target"),
    [
        ("from: a, to: b", "a", "b"),
        ("from: nginx, source: hub", "library/nginx", "nginx"),
        ("from: bitnami/nginx, source: hub", "bitnami/nginx", "bitnami/nginx"),
        ("from: a, targets: hub", "a", "library/a"),
        ("from: a, to: b, targets: team", "a", "acme/mirror/b"),
        ("from: a, source: team", "acme/mirror/a", "a"),
        ("from: a/b, targets: disk", "a/b", "a/b"),
        ("from: 012, to: 1.10", "012", "1.10"),
    ],
)
def test_repositories_have_what_their_registry_adds(
    text: str, source: str, target: str, mapping: Callable[..., MappingConfig]
) -> None:
    built = mapping(text)

    assert built.source_repository.path == source
    assert [repository.path for _, repository in built.targets] == [target]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("from: A/b", "mappings[0].from: 'A/b' has upper-case letters"),
        ("from: a/b:1.2", "mappings[0].from: 'a/b:1.2' has a tag or digest: write the repository alone"),
        ("from: 'a@sha256:00'", "mappings[0].from: 'a@sha256:00' has a tag or digest"),
        ("from: cgr.dev/a/b", "mappings[0].from: 'cgr.dev/a/b' begins with the registry: write it without"),
        ("from: a, to: registry.example.com/a", "mappings[0].to: 'registry.example.com/a' begins with"),
        ("from: 'https://me:HUNTER@cgr.dev/a'", "mappings[0].from: this is a URL: write the repository alone"),
        ("from: /a", "mappings[0].from: '/a' is not the name of a repository"),
        ("from: a//b", "mappings[0].from: 'a//b' is not the name of a repository"),
        ("from: a, to: a b", "mappings[0].to: 'a b' is not the name of a repository"),
        ("from: a, to: A, targets: [dst, hub]", "mappings[0].to: 'A' has upper-case letters"),
        ("from: a, to: 'x${U}'", "mappings[0].to: what ${U} made of it has upper-case letters"),
        ("from: a, to: 'x/${NO}'", "mappings[0].to: what ${NO} made of it is not the name"),
        ("from: a, to: 'x/${NO}'", "${NO} is not set"),
        ("from: a, targets: [dst, src]", "9:6: mappings[0]: copies cgr.dev/a onto itself"),
        ("from: nginx, to: library/nginx, source: hub, targets: hub", "copies docker.io/library/nginx onto itself"),
        ("from: acme/mirror/a, to: a, source: team, targets: team", ""),
    ],
)
def test_bad_repositories_are_refused(text: str, line: str, problems: Callable[..., list[str]], read: Load) -> None:
    if not line:
        assert read(config_of(text)).mappings
        return
    [found] = problems(config_of(text), {"U": "HUNTER"})

    assert line in found
    assert "HUNTER" not in found


def test_the_fields_of_a_mapping_win_over_the_defaults_one_by_one(
    mapping: Callable[..., MappingConfig],
) -> None:
    built = mapping(
        "from: a, tags: {latest: 3, exclude: '*-debug', include: [latest]}",
        "tags: {semver: '>=1', sort: semver, latest: 10, exclude: ['*-dev', '*-rc*'], include: edge, min_tags: 1}",
    )

    assert built.tags == TagRules(
        include=("latest",),
        semver=">=1",
        exclude=("*-debug",),
        default_exclude=("*-dev", "*-rc*"),
        sort=SortOrder.SEMVER,
        latest=3,
        min_tags=1,
    )


def test_without_rules_of_its_own_a_mapping_has_those_of_the_defaults(
    mapping: Callable[..., MappingConfig],
) -> None:
    assert mapping("from: a", "tags: {glob: '1.*', exclude: x, immutable_tags: '1.*'}").tags == TagRules(
        glob=("1.*",), default_exclude=("x",), immutable_tags="1.*"
    )


def test_patterns_are_text_as_written_alone_or_in_a_list(mapping: Callable[..., MappingConfig]) -> None:
    tags = mapping(
        "from: a, tags: {glob: 1.10, include: [012, no, 1e3], exclude: null}", "tags: {exclude: on}"
    ).tags

    assert tags.glob == ("1.10",)
    assert tags.include == ("012", "no", "1e3")
    assert tags.default_exclude == ("on",)


def test_platforms_are_replaced_as_a_whole_and_kept_once(mapping: Callable[..., MappingConfig]) -> None:
    defaults = "platforms: [linux/s390x]"

    assert mapping("from: a", defaults).platforms == (Platform("linux", "s390x"),)
    assert mapping("from: a, platforms: [linux/arm/v7, linux/amd64, linux/arm/v7]", defaults).platforms == (
        Platform("linux", "arm", "v7"),
        Platform("linux", "amd64"),
    )


@pytest.mark.parametrize(
    ("own", "default", "rules"),
    [
        ("", "", ArtifactRules()),
        ("include: [a/b]", "exclude: [c/d]", ArtifactRules(include=("a/b",), exclude=("c/d",))),
        ("enabled: true", "enabled: false", ArtifactRules()),
        ("", "enabled: false", ArtifactRules(enabled=False)),
        ("", "require_artifacts: true", ArtifactRules(require_artifacts=True)),
        ("enabled: false", "require_artifacts: true", ArtifactRules(enabled=False)),
    ],
)
def test_artifacts_are_merged_too(
    own: str, default: str, rules: ArtifactRules, mapping: Callable[..., MappingConfig]
) -> None:
    assert mapping(f"from: a, artifacts: {{{own}}}", f"artifacts: {{{default}}}").artifacts == rules


@pytest.mark.parametrize(
    ("own", "default", "line"),
    [
        ("tags: {latest: 5}", "", "9:22: mappings[0].tags.latest: needs a sort to know which tags are the latest"),
        ("", "tags: {latest: 5}", "defaults.tags.latest: needs a sort"),
        ("tags: {semver: 'newest'}", "", "mappings[0].tags.semver: the version range 'newest'"),
        (
            "tags: {semver: '${X}', latest: 1, sort: semver}",
            "",
            "mappings[0].tags.semver: what ${X} holds can't",
        ),
        ("tags: {glob: '[a'}", "", "mappings[0].tags.glob: the pattern '[a' can't be read"),
        ("tags: {include: [a, '{b']}", "", "mappings[0].tags.include[1]: the pattern '{b'"),
        ("tags: {exclude: 'a\\'}", "", "mappings[0].tags.exclude: the pattern"),
        ("tags: {immutable_tags: '[z-a]'}", "", "mappings[0].tags.immutable_tags: the pattern"),
        ("tags: {glob: '[${X}'}", "", "mappings[0].tags.glob: what ${X} made of it is no pattern"),
        ("", "tags: {glob: '[a'}", "defaults.tags.glob: the pattern '[a'"),
        ('platforms: ["linux/amd64\\n"]', "", "mappings[0].platforms[0]: 'linux/amd64\\n' is not a platform"),
        ("", "platforms: [amd64]", "defaults.platforms[0]: 'amd64' can't be read"),
        ("platforms: ['${X}']", "", "mappings[0].platforms[0]: what ${X} holds can't be read"),
        (
            "artifacts: {enabled: false, require_artifacts: true}",
            "",
            "artifacts.require_artifacts: contradicts enabled",
        ),
        (
            "",
            "artifacts: {enabled: false, require_artifacts: true}",
            "defaults.artifacts.require_artifacts: contradicts",
        ),
        ("artifacts: {require_artifacts: true}", "artifacts: {enabled: false}", "say enabled: true here too"),
    ],
)
def test_rules_that_can_not_be_applied_are_refused(
    own: str, default: str, line: str, problems: Callable[..., list[str]]
) -> None:
    [found] = problems(config_of(f"from: a, {own}", default), {"X": "hunter2 ["})

    assert line in found
    assert "hunter2" not in found


def test_a_sort_may_be_inherited(mapping: Callable[..., MappingConfig]) -> None:
    assert mapping("from: a, tags: {latest: 5}", "tags: {sort: alpha}").tags.sort is SortOrder.ALPHA


@pytest.mark.parametrize(
    ("own", "line"),
    [
        ("tags: {semver: '>=1'}", "9:22: mappings[0].tags.semver: every tag in the range is copied"),
        (
            "tags: {include: 'a b'}",
            "mappings[0].tags.include: a b can never match: it is neither a tag",
        ),
        ("tags: {glob: [a:1, ok]}", "mappings[0].tags.glob[0]: a:1 can never match"),
        ("to: 'x${UNSET}'", "mappings[0].to: ${UNSET} is not set and read as empty"),
    ],
)
def test_a_likely_mistake_is_a_warning(own: str, line: str, warnings: Callable[..., list[str]]) -> None:
    [found] = warnings(config_of(f"from: a, {own}"))

    assert line in found


def test_a_range_in_the_defaults_without_limit_is_warned_of_once(warnings: Callable[..., list[str]]) -> None:
    text = config_of("from: a", "tags: {semver: '>=1'}") + "  - from: b\n  - from: c\n"

    [found] = warnings(text)

    assert "defaults.tags.semver: every tag in the range is copied" in found


def test_no_mappings_at_all_is_a_warning(warnings: Callable[..., list[str]]) -> None:
    assert warnings(f"{BASE}mappings: []\n") == ["7:1: mappings: names none, so nothing is copied"]
