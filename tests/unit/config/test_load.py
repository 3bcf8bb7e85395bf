"""Whole files, as people have them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocync.config.expand import expand
from ocync.config.load import load
from ocync.config.model import AuthType, Config
from ocync.config.schema import Shape, shape
from ocync.lib.errors import ConfigError, ExitCode
from ocync.oci.platform import Platform
from ocync.oci.reference import Registry
from ocync.tags.rules import SortOrder, TagRules

if TYPE_CHECKING:
    from collections.abc import Callable

    from unit.config.conftest import Load

PAGE = """\
registries:
  src:
    url: cgr.dev
    auth_type: basic
    credentials:
      username: ${CHAINGUARD_USERNAME}
      password: ${CHAINGUARD_PASSWORD}
  ghcr:
    url: ghcr.io
    auth_type: static_token
    token: ${GITHUB_TOKEN}
defaults:
  source: src
  targets: ghcr
mappings:
  - from: chainguard/static
    to: myorg/static
  - from: chainguard/python
    to: myorg/python
"""
SECRETS = {"CHAINGUARD_USERNAME": "id", "CHAINGUARD_PASSWORD": "hunter2", "GITHUB_TOKEN": "ghp_hunter2"}


def test_the_page_s_config_is_read(read: Load) -> None:
    config = read(PAGE, SECRETS)

    src, ghcr = config.registries["src"], config.registries["ghcr"]
    assert (src.registry, src.auth_type) == (Registry("cgr.dev"), AuthType.BASIC)
    assert src.username is not None
    assert src.password is not None
    assert (src.username.value, src.password.value) == ("id", "hunter2")
    assert (ghcr.registry, ghcr.auth_type) == (Registry("ghcr.io"), AuthType.STATIC_TOKEN)
    assert ghcr.token is not None
    assert ghcr.token.value == "ghp_hunter2"
    assert [(m.name, m.source.name, [(r.name, to.path) for r, to in m.targets]) for m in config.mappings] == [
        ("chainguard/static", "src", [("ghcr", "myorg/static")]),
        ("chainguard/python", "src", [("ghcr", "myorg/python")]),
    ]
    assert all(mapping.tags == TagRules() for mapping in config.mappings)
    assert config.warnings == ()


def test_the_page_s_config_with_a_docker_config_is_read(read: Load) -> None:
    text = """\
registries:
  src: { url: cgr.dev, auth_type: docker_config }
  # ... targets ...
  ghcr: { url: ghcr.io, auth_type: docker_config }
mappings: [{ from: chainguard/static, source: src, targets: ghcr }]
"""

    assert read(text).registries["src"].auth_type is AuthType.DOCKER_CONFIG


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(PAGE.replace("\n", "\r\n").encode(), id="Windows line ends"),
        pytest.param(b"\xef\xbb\xbf" + PAGE.encode(), id="a byte order mark"),
        pytest.param(b"---\n" + PAGE.encode() + b"...\n", id="markers"),
        pytest.param(PAGE.rstrip("\n").encode(), id="no line end at the end"),
        pytest.param(PAGE.replace("cgr.dev", "cgr.dev  # Chainguard").encode(), id="a comment"),
        pytest.param(PAGE.replace("${CHAINGUARD_PASSWORD}", '"${CHAINGUARD_PASSWORD}"').encode(), id="quotes"),
    ],
)
def test_encodings_and_line_ends_make_no_difference(content: bytes, read: Load) -> None:
    found, wanted = read(content, SECRETS), read(PAGE, SECRETS)

    assert found.registries == wanted.registries
    assert [mapping.targets for mapping in found.mappings] == [mapping.targets for mapping in wanted.mappings]


@pytest.mark.parametrize(
    "secret", [": # \" ' { } $ \n", "$", "${GITHUB_TOKEN}", "$$", "%", "- a\n- b", "a: b", "&a *a !x"]
)
def test_a_secret_is_what_the_environment_holds(secret: str, read: Load) -> None:
    password = read(PAGE, {**SECRETS, "CHAINGUARD_PASSWORD": secret}).registries["src"].password

    assert password is not None
    assert password.value == secret


def test_empty_credentials_name_their_variables(problems: Callable[..., list[str]]) -> None:
    assert problems(PAGE, {"CHAINGUARD_USERNAME": ""}) == [
        "6:17: registries.src.credentials.username: is empty: ${CHAINGUARD_USERNAME} is empty",
        "7:17: registries.src.credentials.password: is empty: ${CHAINGUARD_PASSWORD} is not set",
        "11:12: registries.ghcr.token: is empty: ${GITHUB_TOKEN} is not set",
    ]


def test_missing_secrets_are_warnings_where_they_are_not_required(warnings: Callable[..., list[str]]) -> None:
    assert warnings(PAGE, {"CHAINGUARD_USERNAME": ""}, require_secrets=False) == [
        "6:17: registries.src.credentials.username: ${CHAINGUARD_USERNAME} is empty",
        "7:17: registries.src.credentials.password: ${CHAINGUARD_PASSWORD} is not set",
        "11:12: registries.ghcr.token: ${GITHUB_TOKEN} is not set",
    ]


def test_a_file_is_checked_without_its_variables(problems: Callable[..., list[str]], read: Load) -> None:
    text = PAGE.replace("url: ghcr.io", "url: ${ACCOUNT_ID}.dkr.ecr.${REGION}.amazonaws.com")
    text += "global: {max_concurrent_transfers: '${N}', deadline: '${D}'}\n"

    assert len(read(text, require_secrets=False).mappings) == 2
    assert problems(f"{text}  # more\n".replace("myorg/python", "Myorg"), require_secrets=False) == [
        "19:9: mappings[1].to: 'Myorg' has upper-case letters, which repositories can't have"
    ]


def test_a_required_variable_is_required_for_validation_too(problems: Callable[..., list[str]]) -> None:
    text = PAGE.replace("${GITHUB_TOKEN}", "${GITHUB_TOKEN:?run gh auth token}")

    assert problems(text, require_secrets=False) == [
        "11:12: registries.ghcr.token: run gh auth token (${GITHUB_TOKEN} is not set)"
    ]


def test_a_file_that_can_not_be_read_says_why(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "none.yaml", "no such file"), (tmp_path, "is a directory")):
        with pytest.raises(ConfigError, match=f"{path}: can't be read: {why}") as caught:
            load(path, {})
        assert caught.value.exit_code is ExitCode.CONFIG


def test_a_pipe_is_read_like_a_file(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b"registries: {}\nmappings: []\n")
    os.close(write_end)

    assert load(Path(f"/dev/fd/{read_end}"), {}).registries == {}
    os.close(read_end)


def test_the_file_is_named_as_the_user_named_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ocync.yaml").write_text("registries: {}\nmapings: []\n")

    with pytest.raises(ConfigError) as caught:
        load(Path("ocync.yaml"), {})

    assert str(caught.value) == "ocync.yaml:2:1: mapings: unknown key, did you mean mappings?"


FAN_OUT = """\
global:
  max_concurrent_transfers: 50
  cache_ttl: "12h"
  staging_size_limit: "2GB"
registries:
  hub:
    url: docker.io
    auth_type: basic
    credentials:
      username: ${HUB_USER}
      password: ${HUB_TOKEN}
  east:
    url: ${ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com
  west:
    url: ${ACCOUNT}.dkr.ecr.us-west-2.amazonaws.com
    auth_type: ecr
    max_concurrent: 10
    head_first: true
    aws_profile: mirror
target_groups:
  prod:
    - east
    - west
defaults:
  source: hub
  targets: prod
  artifacts:
    enabled: true
    include:
      - application/spdx+json
    exclude: []
    require_artifacts: false
  platforms:
    - linux/amd64
    - linux/arm64
  tags:
    glob: "*"
    exclude:
      - "*-debug"
      - "*-rc*"
    sort: semver
    latest: 10
    min_tags: 1
    immutable_tags: "v?[0-9]*.[0-9]*.[0-9]*"
mappings:
  - from: library/redis
    to: redis
  - from: library/postgres
    to: postgres
    tags:
      semver: ">=15"
      latest: 3
      include: ["latest", "*-alpine"]
  - from: library/nginx
    targets: null
    platforms:
      - linux/amd64
    tags:
      glob: ["1.25", "1.26"]
      exclude: "*-alpha"
"""
"""Every key of ocync 0.5.2, used as its documentation uses them."""


def test_a_config_of_ocync_0_5_2_is_read_unchanged(read: Load) -> None:
    config = read(FAN_OUT, {"HUB_USER": "u", "HUB_TOKEN": "t", "ACCOUNT": "123456789012"})

    redis, postgres, nginx = config.mappings
    assert config.settings.staging_size_limit == 2_000_000_000
    assert [registry.name for registry, _ in redis.targets] == ["east", "west"]
    assert redis.source_repository.path == "library/redis"
    assert redis.platforms == (Platform("linux", "amd64"), Platform("linux", "arm64"))
    assert redis.tags.default_exclude == ("*-debug", "*-rc*")
    assert postgres.tags == TagRules(
        glob=("*",),
        include=("latest", "*-alpine"),
        semver=">=15",
        default_exclude=("*-debug", "*-rc*"),
        sort=SortOrder.SEMVER,
        latest=3,
        min_tags=1,
        immutable_tags="v?[0-9]*.[0-9]*.[0-9]*",
    )
    assert nginx.tags.glob == ("1.25", "1.26")
    assert nginx.tags.exclude == ("*-alpha",)
    assert [to.path for _, to in nginx.targets] == ["library/nginx"] * 2


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            "registries: {s: {url: ghcr.io}, q: {url: quay.io}, e: {url: '${A}.dkr.ecr.us-east-1.amazonaws.com'}}\n"
            "defaults: {targets: e}\n"
            "mappings:\n"
            "  - {from: argoproj/argo-helm/argo-cd, source: s, to: argo/argo-cd, tags: {glob: ['7.6.0']}}\n"
            "  - {from: argoproj/argocd, source: q, to: argo/argocd, tags: {glob: ['v2.13.0']}}\n",
            id="a chart and its image",
        ),
        pytest.param(
            "registries: {s: {url: cgr.dev}, e: {url: '${A}.dkr.ecr.us-east-1.amazonaws.com'}}\n"
            "defaults: {source: s, targets: e, artifacts: {enabled: false}, tags: {glob: ['latest']}}\n"
            "mappings: [{from: chainguard/curl, to: curl}]\n",
            id="as few bytes as possible",
        ),
        pytest.param(
            "registries: {s: {url: ghcr.io}, e: {url: registry.example.com}}\n"
            "defaults: {source: s, targets: e}\n"
            "mappings:\n"
            "  - {from: o/app, to: app, tags: {glob: [stable, v2.13.0]}}\n"
            "  - {from: o/app, to: app, tags: {semver: '>=2.0', sort: semver, latest: 5}}\n",
            id="pins and a range for one repository",
        ),
        pytest.param(
            "registries: {src: {url: cgr.dev}, dst: {url: ghcr.io/example/mirror}}\n"
            "defaults: {source: src, targets: [dst]}\n"
            "mappings: [{from: chainguard/static, to: example/static}]\n",
            id="a registry with a path",
        ),
    ],
)
def test_typical_configs_of_ocync_0_5_2_are_read(text: str, read: Load) -> None:
    assert read(text, {"A": "123456789012"}).mappings


def test_five_thousand_mappings_are_read(read: Load) -> None:
    count = 5000
    mappings = "".join(
        f"  - from: team-{n % 50}/app-{n}\n    to: mirror/{n}\n    tags: {{glob: '{n}.*', exclude: ['*-dev']}}\n"
        for n in range(count)
    )
    head = "registries: {src: {url: cgr.dev}, dst: {url: b.example}}\ndefaults: {source: src, targets: dst}\n"

    config = read(f"{head}mappings:\n{mappings}")

    assert len(config.mappings) == count
    assert config.mappings[-1].tags.glob == (f"{count - 1}.*",)
    assert config.mappings[-1].line == 4 + 3 * (count - 1)
    assert config.warnings == ()


SECRET = "hunter2-[]{}"
TEXTS = [
    *(
        "a",
        "b",
        "g",
        "a/b",
        "A",
        "cgr.dev",
        "http://c.d:5000",
        "oci:./x",
        "u:p@h.i",
        "1.*",
        "*-dev",
        "[",
        ">=1, <2",
        "latest",
    ),
    *(
        "0",
        "5",
        "5m",
        "1GB",
        "linux/amd64",
        "true",
        "null",
        "",
        " ",
        "basic",
        "static_token",
        "ecr",
        "semver",
        "http://p:9",
    ),
    *(
        "${SECRET}",
        "x${SECRET}",
        "${UNSET}",
        "x/${UNSET}",
        "${UNSET:-a}",
        "${UNSET:?say so}",
        "${",
        "$$",
        "$${SECRET}",
    ),
]
SCALARS = st.one_of(st.sampled_from(TEXTS), st.integers(-1, 10), st.booleans(), st.none())
JUNK = st.one_of(
    SCALARS, st.lists(SCALARS, max_size=2), st.dictionaries(st.sampled_from(TEXTS), SCALARS, max_size=2)
)


def documents(here: Shape) -> st.SearchStrategy[Any]:
    """Values that are mostly of the shape that is wanted."""
    choices: list[st.SearchStrategy[Any]] = []
    if "object" in here.types:
        fields = {name: documents(inner) for name, inner in here.fields.items()}
        choices.append(st.fixed_dictionaries({}, optional=fields))
        if here.other:
            choices = [st.dictionaries(st.sampled_from(["a", "b", "g"]), documents(here.other), max_size=2)]
    if "array" in here.types and here.items:
        choices.append(st.lists(documents(here.items), max_size=3))
    if here.types & {"string", "integer", "boolean"}:
        choices.append(SCALARS)
    return st.one_of(*choices, *choices, *choices, JUNK)


WELL_MEANT = st.fixed_dictionaries(
    {
        "registries": st.fixed_dictionaries(
            {
                "a": st.just({"url": "cgr.dev", "token": "${SECRET}"}),
                "b": st.just({"url": "b.example/x"}),
            },
            optional={"c": documents(shape().fields["registries"].other)},
        ),
        "mappings": st.lists(
            st.fixed_dictionaries(
                {"from": st.sampled_from(["a", "b", "x/${UNSET:-y}"])},
                optional={
                    name: documents(inner)
                    for name, inner in shape().fields["mappings"].items.fields.items()
                    if name != "from"
                },
            ),
            max_size=3,
        ),
        "defaults": st.fixed_dictionaries(
            {"source": st.just("a"), "targets": st.sampled_from(["b", ["b"], "g"])},
            optional={"tags": documents(shape().fields["defaults"].fields["tags"])},
        ),
        "target_groups": st.just({"g": ["b"]}),
    },
    optional={name: documents(shape().fields[name]) for name in ("global", "metrics")},
)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], max_examples=300)
@given(document=st.one_of(WELL_MEANT, documents(shape())), require_secrets=st.booleans())
def test_any_file_is_a_config_or_has_problems_and_no_message_shows_a_secret(
    document: Any, require_secrets: bool, tmp_path: Path, comparable: Callable[[Config], object]
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(document))
    environ = {"SECRET": SECRET}
    said = []
    try:
        config = load(path, environ, require_secrets=require_secrets)
    except ConfigError as error:
        assert all(len(problem.render("f").splitlines()) == 1 for problem in error.problems)
        said.append(str(error))
    else:
        said += config.warnings
        if require_secrets:
            assert comparable(load(expanded(path, config, environ), {})) == comparable(config)
    assert SECRET not in "".join(said)


def expanded(path: Path, config: Config, environ: dict[str, str]) -> Path:
    """Expand a file, once without its secrets, and return the one that has them."""
    if any(registry.token and registry.token.value == SECRET for registry in config.registries.values()):
        assert SECRET not in expand(path, environ, show_secrets=False)
    again = path.with_name("again.yaml")
    again.write_text(expand(path, environ, show_secrets=True))
    return again
