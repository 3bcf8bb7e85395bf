from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ocync.config.expand import expand
from ocync.config.load import load
from ocync.lib.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ocync.config.model import Config

    Write = Callable[[str], Path]

ENVIRON = {
    "USERNAME": "pull-token-id",
    "PASSWORD": "hunter2: #'\"{}$ $$ ${USERNAME} é\n",
    "TOKEN": "ghp_hunter2",
    "ACCOUNT": "123456789012",
}
TEXT = """\
global: {max_concurrent_transfers: 5, cache_ttl: "012"}
registries:
  src:
    url: ${HOST:-cgr.dev}
    auth_type: basic
    credentials:
      username: ${USERNAME}
      password: ${PASSWORD}
  ghcr: {url: ghcr.io, auth_type: static_token, token: '${TOKEN}'}
  ecr: {url: '${ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com'}
target_groups: {prod: [ghcr, ecr]}
defaults:
  source: src
  targets: prod
  platforms: [linux/amd64]
  tags: {semver: ">=1", sort: semver, latest: 10, exclude: ['*-dev']}
  artifacts: {include: [a/b], require_artifacts: true}
mappings:
  - from: chainguard/static
    to: myorg/static
    tags: {latest: 3, include: 1.10, exclude: '*-debug'}
    artifacts: {enabled: false}
  - from: chainguard/python
    source: null
metrics:
  pushgateway: {url: 'http://me:hunter2@push:9091', grouping: {a: '${TOKEN}', b: 'x-${USERNAME}'}}
"""


def shown(path: Path, environ: Mapping[str, str] = ENVIRON, *, show_secrets: bool = False) -> Any:
    return yaml.safe_load(expand(path, environ, show_secrets=show_secrets))


def test_mappings_are_shown_with_the_defaults_merged_in(file: Write) -> None:
    static, python = shown(file(TEXT))["mappings"]

    assert static == {
        "from": "chainguard/static",
        "to": "myorg/static",
        "source": "src",
        "targets": "prod",
        "platforms": ["linux/amd64"],
        "tags": {"semver": ">=1", "sort": "semver", "latest": 3, "include": "1.10", "exclude": "*-debug"},
        "artifacts": {"enabled": False, "include": ["a/b"]},
    }
    assert python == {
        "from": "chainguard/python",
        "to": "chainguard/python",
        "source": "src",
        "targets": "prod",
        "platforms": ["linux/amd64"],
        "tags": {"semver": ">=1", "sort": "semver", "latest": 10},
        "artifacts": {"include": ["a/b"], "require_artifacts": True},
    }


def test_only_the_soft_excludes_stay_in_the_defaults(file: Write) -> None:
    assert shown(file(TEXT))["defaults"] == {"tags": {"exclude": ["*-dev"]}}


def test_no_secret_is_shown(file: Write) -> None:
    text = expand(file(TEXT), ENVIRON, show_secrets=False)
    document = yaml.safe_load(text)

    assert "hunter2" not in text
    assert "pull-token-id" not in text
    assert document["registries"]["src"]["credentials"] == {"username": "***", "password": "***"}
    assert document["registries"]["ghcr"]["token"] == "***"
    assert document["metrics"]["pushgateway"]["url"] == "http://***@push:9091"
    assert document["metrics"]["pushgateway"]["grouping"] == {"a": "***", "b": "x-***"}


def test_other_values_are_shown(file: Write) -> None:
    registries = shown(file(TEXT))["registries"]

    assert registries["src"]["url"] == "cgr.dev"
    assert registries["ecr"]["url"] == "123456789012.dkr.ecr.us-east-1.amazonaws.com"


@pytest.mark.parametrize(
    ("url", "hidden"),
    [
        ("https://me:hunter2@cgr.dev/x", "https://***@cgr.dev/x"),
        ("me:hunter2@cgr.dev", "***@cgr.dev"),
        ("https://me:hun/ter2:hunter2@cgr.dev", "https://***@cgr.dev"),
        ("https://me:hunter2@hunter2@cgr.dev", "https://***@cgr.dev"),
        ("HTTP://hunter2@cgr.dev", "HTTP://***@cgr.dev"),
        ("cgr.dev:443", "cgr.dev:443"),
    ],
)
def test_credentials_in_a_url_are_hidden_even_where_they_are_not_allowed(
    url: str, hidden: str, file: Write
) -> None:
    path = file(f"registries: {{a: {{url: '{url}'}}}}\nmappings: []\n")

    assert shown(path)["registries"]["a"]["url"] == hidden
    assert shown(path, show_secrets=True)["registries"]["a"]["url"] == url


def test_credentials_of_a_url_in_any_other_value_are_hidden(file: Write) -> None:
    path = file("registries: {}\nmappings: [{from: 'https://me:hunter2@cgr.dev/a and b'}]\n")

    assert shown(path)["mappings"][0]["from"] == "https://***@cgr.dev/a and b"


def test_a_literal_secret_and_the_default_of_a_secret_variable_are_hidden(file: Write) -> None:
    secret = "{url: 'x${T:-hunter2}.y', token: 'a${T:-hunter2}'}"
    text = f"registries: {{a: {secret}, b: {{url: b.c, token: hunter2}}}}\nmappings: []\n"

    registries = shown(file(text), {})["registries"]

    assert registries["a"] == {"url": "x***.y", "token": "***"}
    assert registries["b"]["token"] == "***"


def test_the_pushgateway_of_the_environment_is_shown(file: Write) -> None:
    path = file("registries: {}\nmappings: []\nmetrics: {pushgateway: {job: j, url: 'http://file'}}\n")
    environ = {"OCYNC_PUSHGATEWAY_URL": "http://u:hunter2@env:9091"}

    assert shown(path, environ)["metrics"] == {"pushgateway": {"job": "j", "url": "http://***@env:9091"}}
    assert shown(file("registries: {}\nmappings: []\n"), environ)["metrics"]["pushgateway"] == {
        "url": "http://***@env:9091"
    }


def test_the_output_with_secrets_is_the_same_config(file: Write, comparable: Callable[[Config], object]) -> None:
    before = load(file(TEXT), ENVIRON)

    after = load(file(expand(file(TEXT), ENVIRON, show_secrets=True)), {})

    assert after.registries["src"].password is not None
    assert after.registries["src"].password.value == ENVIRON["PASSWORD"]
    assert comparable(after) == comparable(before)


def test_the_output_without_secrets_is_a_config_too(file: Write) -> None:
    config = load(file(expand(file(TEXT), ENVIRON, show_secrets=False)), {})

    assert config.registries["ghcr"].token is not None
    assert config.registries["ghcr"].token.value == "***"


def test_a_variable_that_is_not_set_is_empty(file: Write) -> None:
    document = shown(file(TEXT), {}, show_secrets=True)

    assert document["registries"]["src"]["credentials"] == {"username": "", "password": ""}
    assert document["registries"]["ecr"]["url"] == ".dkr.ecr.us-east-1.amazonaws.com"


def test_a_file_that_the_schema_refuses_is_not_expanded(file: Write) -> None:
    with pytest.raises(ConfigError, match="did you mean mappings"):
        expand(file("registries: {}\nmapings: []\n"), {}, show_secrets=True)


def test_aliases_and_merges_are_expanded_in_the_order_of_the_file(file: Write) -> None:
    text = (
        "mappings: [{from: b, tags: &t {glob: [x]}}, {from: a, tags: *t}]\nregistries: {}\nglobal: {}\nmetrics: ~\n"
    )

    assert expand(file(text), {}, show_secrets=False) == (
        "mappings:\n"
        "- from: b\n  to: b\n  tags:\n    glob:\n    - x\n"
        "- from: a\n  to: a\n  tags:\n    glob:\n    - x\n"
        "registries: {}\n"
    )


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


def sorted_too(tags: dict[str, Any]) -> dict[str, Any]:
    return {**tags, "sort": "semver"}


LISTS = st.lists(st.sampled_from(["1.10", "no", "latest", "*-dev", "${TOKEN}", "$${x}", "${UNSET:-~}"]), min_size=1)
TAGS = some(
    glob=st.one_of(LISTS, st.none()),
    include=LISTS,
    exclude=LISTS,
    semver=st.sampled_from([">=1", "^1.2 || 3"]),
    latest=st.sampled_from([3, "${N}", None]),
    min_tags=st.just(1),
    immutable_tags=st.just("1.*"),
)
ARTIFACTS = some(enabled=st.sampled_from([True, "${YES}"]), include=LISTS, require_artifacts=st.booleans())
RULES = {"tags": TAGS, "artifacts": ARTIFACTS, "platforms": st.sampled_from([None, ["linux/amd64"]])}
MAPPING = st.fixed_dictionaries(
    {"from": st.sampled_from(["a", "b", "team/${N}"])},
    optional={"to": st.sampled_from(["012", None]), "targets": st.sampled_from(["two", ["one"], None]), **RULES},
)
SOUND = st.fixed_dictionaries(
    {
        "registries": st.just(
            {"src": {"url": "a.b", "token": "${TOKEN}"}, "one": {"url": "c.d"}, "x": {"url": "e.f"}}
        ),
        "target_groups": st.just({"two": ["one", "x"]}),
        "defaults": st.fixed_dictionaries(
            {"source": st.just("src"), "targets": st.sampled_from(["one", "two"]), "tags": TAGS.map(sorted_too)},
            optional={name: rule for name, rule in RULES.items() if name != "tags"},
        ),
        "mappings": st.lists(MAPPING, max_size=2, unique_by=lambda mapping: (mapping["from"], mapping.get("to"))),
    },
    optional={
        "global": some(
            audit=st.sampled_from(["off", False, {"every": "${N}d"}]),
            deadline=st.just("${N}m"),
            cache_ttl=st.just("012"),
            retry=some(attempts=st.just("${N}")),
        ),
        "metrics": some(
            pushgateway=st.just({"url": "http://u:p@push", "grouping": {"a": "${TOKEN}", "b": "no"}}),
            textfile=st.just("${N}.prom"),
        ),
    },
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=SOUND)
def test_an_expanded_config_means_the_same(
    document: Any, file: Write, comparable: Callable[[Config], object]
) -> None:
    environ = {"TOKEN": "hunter2", "N": "7", "YES": "true"}
    path = file(yaml.safe_dump(document))
    try:
        before = load(path, environ)
    except ConfigError as error:
        assume(all("writes" in problem.message for problem in error.problems))
        return
    hidden, plain = (expand(path, environ, show_secrets=show) for show in (False, True))

    assert "hunter2" not in hidden
    assert comparable(load(file(plain), {})) == comparable(before)
