"""Registries and groups by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from unit.config.conftest import Load

BASE = """\
registries:
  src: {url: cgr.dev}
  ecr-east: {url: east.example.com}
  ecr-west: {url: west.example.com}
  west-again: {url: west.example.com}
  west-team: {url: west.example.com/team}
  west-http: {url: http://west.example.com}
target_groups:
  prod: [ecr-east, ecr-west]
  src: [ecr-east]
  one: [ecr-west]
"""


def config_of(targets: str, source: str = "src") -> str:
    return f"{BASE}mappings:\n  - {{from: a, source: {source}, targets: {targets}}}\n"


@pytest.mark.parametrize(
    ("targets", "names"),
    [
        ("ecr-east", ["ecr-east"]),
        ("prod", ["ecr-east", "ecr-west"]),
        ("[ecr-west, ecr-east]", ["ecr-west", "ecr-east"]),
        ("[one, ecr-east]", ["ecr-west", "ecr-east"]),
        ("src", ["ecr-east"]),
        ("'${WHERE:-prod}'", ["ecr-east", "ecr-west"]),
        ("[ecr-west, west-team]", ["ecr-west", "west-team"]),
    ],
)
def test_targets_are_registries_or_the_members_of_groups(targets: str, names: list[str], read: Load) -> None:
    [mapping] = read(config_of(targets)).mappings

    assert [registry.name for registry, _ in mapping.targets] == names


def test_in_a_list_a_registry_goes_before_a_group_of_its_name(problems: Callable[..., list[str]]) -> None:
    [found] = problems(config_of("[src]"))

    assert "onto itself" in found


def test_a_name_with_two_meanings_is_a_warning(warnings: Callable[..., list[str]]) -> None:
    assert warnings(config_of("prod")) == [
        "10:3: target_groups.src: is the name of a registry too: as one name alone it means this group, "
        "in a list the registry"
    ]


@pytest.mark.parametrize(
    ("targets", "source", "line"),
    [
        ("ecr-esat", "src", "13:37: mappings[0].targets: ecr-esat is no registry or group, did you mean ecr-east?"),
        (
            "[ecr-east, prd]",
            "src",
            "13:48: mappings[0].targets[1]: prd is no registry or group, did you mean prod?",
        ),
        ("'${X}'", "src", "mappings[0].targets: what ${X} holds is no registry or group; known are ecr-east"),
        ("zzz", "src", "zzz is no registry or group; known are ecr-east, ecr-west, one, prod, src"),
        ("prod", "scr", "13:23: mappings[0].source: scr is no registry, did you mean src?"),
        ("ecr-east", "prod", "mappings[0].source: prod is a group of targets, and a source is one registry"),
        ("[ecr-east, ecr-east]", "src", "mappings[0].targets[1]: names ecr-east twice"),
        ("[prod, ecr-east]", "src", "mappings[0].targets[1]: names ecr-east twice"),
        ("[ecr-west, west-again]", "src", "mappings[0].targets: ecr-west and west-again are the same registry"),
        ("[ecr-west, west-http]", "src", "mappings[0].targets: ecr-west and west-http are the same registry"),
    ],
)
def test_unknown_and_repeated_names_are_refused(
    targets: str, source: str, line: str, problems: Callable[..., list[str]]
) -> None:
    [found] = problems(config_of(targets, source), {"X": "hunter2"})

    assert line in found
    assert "hunter2" not in found


@pytest.mark.parametrize(
    ("members", "line"),
    [
        ("[]", "target_groups.bad: is empty: a group names at least one registry"),
        ("[ecr-east, ecr-eats]", "target_groups.bad[1]: ecr-eats is no registry, did you mean ecr-east?"),
        ("[prod]", "target_groups.bad[0]: prod is no registry; known are"),
        ("[ecr-east, ecr-east]", "target_groups.bad[1]: names ecr-east twice"),
    ],
)
@pytest.mark.parametrize("used", ["bad", "prod"])
def test_a_bad_group_is_reported_once_however_often_it_is_used(
    members: str, line: str, used: str, problems: Callable[..., list[str]]
) -> None:
    text = config_of(used).replace("target_groups:\n", f"target_groups:\n  bad: {members}\n")
    text += f"  - {{from: b, source: src, targets: {used}}}\n"

    [found] = problems(text)

    assert line in found


def test_problems_of_the_defaults_are_reported_once(problems: Callable[..., list[str]]) -> None:
    text = f"{BASE}defaults: {{source: scr, targets: ecr-esat}}\nmappings: [{{from: a}}, {{from: b}}]\n"

    assert [line.split(": ")[1] for line in problems(text)] == ["defaults.source", "defaults.targets"]


def test_unknown_names_in_unused_defaults_are_reported(problems: Callable[..., list[str]]) -> None:
    assert len(problems(f"{BASE}defaults: {{source: scr, targets: ecr-esat}}\nmappings: []\n")) == 2


@pytest.mark.parametrize("key", ["source", "targets"])
def test_a_mapping_without_source_or_targets_is_refused(key: str, problems: Callable[..., list[str]]) -> None:
    settings = {"source": "src", "targets": "prod"}
    del settings[key]
    text = f"{BASE}mappings:\n  - {{from: a, {', '.join(f'{k}: {v}' for k, v in settings.items())}}}\n"

    assert problems(text) == [f"13:5: mappings[0].{key}: is missing, and defaults have none"]


def test_a_bad_registry_is_no_problem_of_its_mappings(problems: Callable[..., list[str]]) -> None:
    assert len(problems(config_of("prod").replace("cgr.dev", "a b"))) == 1


def test_null_inherits_the_defaults(read: Load) -> None:
    text = f"{BASE}defaults: {{source: src, targets: prod}}\nmappings: [{{from: a, source: null, targets: }}]\n"

    [mapping] = read(text).mappings

    assert mapping.source.name == "src"
    assert len(mapping.targets) == 2
