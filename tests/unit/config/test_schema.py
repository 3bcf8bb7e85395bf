"""What is wrong with a file's keys and types, and the words for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ocync.config.schema import suggest

if TYPE_CHECKING:
    from collections.abc import Callable

BASE = """\
registries:
  src: {url: cgr.dev}
  dst: {url: registry.example.com}
defaults: {source: src, targets: dst}
mappings: [{from: a}]
"""
WITHOUT_MAPPINGS = BASE.replace("mappings: [{from: a}]\n", "")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("global: {max_concurent_transfers: 5}", "unknown key, did you mean max_concurrent_transfers?"),
        ("global: {maxConcurrentTransfers: 5}", "unknown key, did you mean max_concurrent_transfers?"),
        ("global: {cache-ttl: 5}", "6:10: global.cache-ttl: unknown key, did you mean cache_ttl?"),
        ("regsitries: {}", "6:1: regsitries: unknown key, did you mean registries?"),
        ("global: {zzz: 5}", "6:10: global.zzz: unknown key; known here: max_concurrent_transfers, cache_dir"),
        ("global: {idle: 5}", "6:10: global.idle: unknown key: it belongs into timeouts"),
        ("metrics: {url: 'http://p'}", "6:11: metrics.url: unknown key: it belongs into pushgateway"),
        ('"a.b": 1', '6:1: ["a.b"]: unknown key'),
        ('"a\\nb": 1', '6:1: ["a\\nb"]: unknown key'),
        (
            "global: {max_concurrent_transfers: five}",
            "6:36: global.max_concurrent_transfers: has to be a whole number, not 'five'",
        ),
        ("global: {max_concurrent_transfers: '5'}", "has to be a whole number, not '5'"),
        ("global: {max_concurrent_transfers: 5.0}", "has to be a whole number, not '5.0'"),
        ("global: {max_concurrent_transfers: true}", "has to be a whole number, not 'true'"),
        ("global: {max_concurrent_transfers: 0}", "has to be at least 1, not 0"),
        ("global: {max_concurrent_transfers: -1}", "has to be at least 1, not -1"),
        ("global: {max_concurrent_transfers: 99999999999999999999}", "has to be a whole number"),
        ("global: {max_concurrent_transfers: [5]}", "has to be a whole number, not a list"),
        ("global: []", "6:1: global: has to be a map of keys, not a list"),
        ("global: text", "6:9: global: has to be a map of keys, not 'text'"),
        ("global: {cache_ttl: 5 minutes}", "'5 minutes' can't be read: write it as 30m or 1d or 0"),
        ("global: {cache_ttl: -1}", "has to be at least 0, not -1"),
        ("global: {staging_size_limit: 2 GB}", "'2 GB' can't be read: write it as 2GB or 512MiB or 0"),
        ("global: {deadline: 0}", "has to be at least 1, not 0"),
        ("global: {retry: {attempts: 0}}", "6:28: global.retry.attempts: has to be at least 1"),
        ("global: {cache_dir: ''}", "6:21: global.cache_dir: is empty"),
        ("target_groups: {prod: dst}", "has to be a list, not 'dst'"),
        ("target_groups: {prod: }", "6:17: target_groups.prod: has to be a list, and nothing is there"),
        (
            "metrics: {pushgateway: {url: 'http://p', grouping: {a-b: c}}}",
            "6:53: metrics.pushgateway.grouping.a-b: 'a-b' can't be the name of a label",
        ),
    ],
    ids=lambda value: value[:50],
)
def test_a_problem_names_its_position(text: str, line: str, problems: Callable[..., list[str]]) -> None:
    [found] = problems(f"{BASE}{text}\n")

    assert line in found


@pytest.mark.parametrize(
    ("mapping", "line"),
    [
        ("{form: a}", "mappings[0].form: unknown key, did you mean from?"),
        ("{from: a, glob: '1.*'}", "mappings[0].glob: unknown key: it belongs into tags"),
        ("{from: a, tags: {semver_prerelease: include}}", "1:32: mappings[0].tags.semver_prerelease: was removed"),
        ("{from: a, tags: {semver_prerelease: include}}", 'include: ["*-rc*", "*-alpha*"'),
        ("{from: a, tags: {latest: 0, sort: semver}}", "1:40: mappings[0].tags.latest: has to be at least 1"),
        ("{from: a, tags: {sort: semvre}}", "'semvre' is not one of semver, alpha, did you mean semver?"),
        ("{from: a, tags: {glob: {a,b}}}", "has to be text or a list, not a map, so quote what begins with {"),
        ("{from: a, tags: {glob: []}}", "mappings[0].tags.glob: is empty: leave it out"),
        ("{from: a, tags: {glob: ''}}", "mappings[0].tags.glob: is empty"),
        ("{from: a, tags: {semver: [a]}}", "has to be text, not a list, so quote what begins with ["),
        ("{from: a, tags: {min_tags: -1}}", "has to be at least 0, not -1"),
        (
            "{from: a, artifacts: {enabled: yes}}",
            "has to be true or false, not 'yes' (yes, no, on and off are text",
        ),
        ("{from: a, platforms: []}", "mappings[0].platforms: is empty"),
        ("{from: a, platforms: linux/amd64}", "has to be a list, not 'linux/amd64'"),
        (
            "{from: a, platforms: [amd64]}",
            "mappings[0].platforms[0]: 'amd64' can't be read: write it as linux/amd64 or",
        ),
        ("{from: a, targets: []}", "mappings[0].targets: is empty"),
        ("{from: }", "mappings[0].from: is empty"),
        ("{to: a}", "1:15: mappings[0].from: is missing"),
        ("a", "1:15: mappings[0]: has to be a map of keys, not 'a'"),
        ("~", "mappings[0]: has to be a map of keys, not '~'"),
    ],
    ids=lambda value: value[:50],
)
def test_a_problem_of_a_mapping_names_its_position(
    mapping: str, line: str, problems: Callable[..., list[str]]
) -> None:
    [found] = problems(f"mappings: [   {mapping},  ]\n{WITHOUT_MAPPINGS}")

    assert line in found


@pytest.mark.parametrize(
    ("registry", "line"),
    [
        ("{}", "registries.x.url: is missing"),
        ("{url: }", "registries.x.url: is empty"),
        ("", "2:3: registries.x: has to be a map of keys, and nothing is there"),
        ("cgr.dev", "registries.x: has to be a map of keys"),
        ("{url: a.b, username: c}", "registries.x.username: unknown key: it belongs into credentials"),
        (
            "{url: a.b, auth_type: basics}",
            "'basics' is not one of ecr, gar, gcr, acr, ghcr, chainguard, basic, static_token, token",
        ),
        ("{url: a.b, head_first: 1}", "has to be true or false, not '1'"),
        ("{url: a.b, tls: {ca: /x}}", "registries.x.tls.ca: unknown key, did you mean ca_file?"),
    ],
    ids=lambda value: value[:50],
)
def test_a_problem_of_a_registry_names_its_path(
    registry: str, line: str, problems: Callable[..., list[str]]
) -> None:
    [found] = problems(BASE.replace("registries:\n", f"registries:\n  x: {registry}\n"))

    assert line in found


def test_all_problems_are_reported_at_once_in_the_order_of_the_file(problems: Callable[..., list[str]]) -> None:
    text = """\
global:
  cache_ttl: soon
registries:
  src: {url: cgr.dev, auth_typ: basic}
defaults: {source: srk, targets: src}
mappings:
  - from: a
    tags: {latest: 5}
  - form: b
  - from: C
    to: ${UNCLOSED
"""

    found = [line.split(": ")[:2] for line in problems(text)]

    assert found == [
        ["2:14", "global.cache_ttl"],
        ["4:23", "registries.src.auth_typ"],
        ["5:20", "defaults.source"],
        ["8:12", "mappings[0].tags.latest"],
        ["9:5", "mappings[1].form"],
        ["11:9", "mappings[2].to"],
    ]


def test_both_required_sections_are_reported_if_missing(problems: Callable[..., list[str]]) -> None:
    assert problems("global: {}\n") == ["1:1: mappings: is missing", "1:1: registries: is missing"]


def test_problems_beyond_a_thousand_are_counted(
    problems: Callable[..., list[str]], read: Callable[..., object]
) -> None:
    text = BASE.replace("[{from: a}]", f"[{'{from: A}, ' * 1500}]")

    assert len(problems(text)) == 1500
    with pytest.raises(Exception, match="and 500 problems more") as caught:
        read(text)
    assert len(str(caught.value).splitlines()) == 1001


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("credentials", "{username: [hunter2]}"),
        ("credentials", "{username: u, password: {hunter2: x}}"),
        ("credentials", "{username: u, password: '${hunter2'}"),
        ("credentials", "{username: u, password: '${hunter2=}'}"),
        ("token", "[hunter2]"),
        ("credentials", "hunter2"),
    ],
)
def test_a_problem_never_shows_a_secret(key: str, text: str, problems: Callable[..., list[str]]) -> None:
    found = problems(BASE.replace("src: {url: cgr.dev}", f"src: {{url: cgr.dev, {key}: {text}}}"))

    assert found
    assert "hunter2" not in "".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "global: {max_concurrent_transfers: '${X}'}",
        "global: {cache_ttl: '${X}'}",
        "global: {staging_size_limit: 'a${X}'}",
        "global: {deadline: '${X}'}",
        "metrics: {pushgateway: {url: '${X}'}}",
        "metrics: {pushgateway: {url: 'http://${X}:x'}}",
        "target_groups: {g: ['${X}']}",
    ],
)
def test_a_problem_never_shows_the_value_of_a_variable(text: str, problems: Callable[..., list[str]]) -> None:
    found = problems(f"{BASE}{text}\n", {"X": "hunter2 {}"})

    assert found
    assert "hunter2" not in "".join(found)
    assert "${X}" in "".join(found) or "is not a URL" in "".join(found)


def test_a_problem_names_the_variable_that_is_not_set(
    problems: Callable[..., list[str]],
) -> None:
    assert problems(f"{BASE}global: {{deadline: '${{DEADLINE}}'}}\n") == [
        "6:20: global.deadline: is empty: ${DEADLINE} is not set"
    ]


@pytest.mark.parametrize(
    ("word", "close"),
    [("sources", "source"), ("Source", "source"), ("tragets", "targets"), ("zzz", ""), ("", "")],
)
def test_a_similar_word_is_suggested(word: str, close: str) -> None:
    assert suggest(word, ["source", "targets"]) == (f", did you mean {close}?" if close else "")
