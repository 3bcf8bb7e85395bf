"""The published schema: sound in itself, and neither more nor less than what the program knows."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from jsonschema import Draft202012Validator

import signing
from ocync.config import model
from ocync.config.schema import Shape, published, shape, strict
from ocync.lib.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocync.config.model import Config
    from unit.config.conftest import Load

ROOT = str(Path(__file__).parent / "trusted_root.json")
IDENTITIES = [
    {"identity": "x", "issuer": "i", "trusted_root": ROOT},
    {"identity_regexp": "x", "issuer": "i", "trusted_root": ROOT},
]
WHOLE: dict[str, Any] = {
    "global": {
        "max_concurrent_transfers": 7,
        "cache_dir": "/c",
        "cache_ttl": "1h",
        "audit": {"every": "1d"},
        "state": {"artifact": "disk/state:production"},
        "staging_size_limit": "1GB",
        "deadline": "55m",
        "timeouts": {"connect": "5s", "idle": "30s"},
        "retry": {"attempts": 2, "max_delay": "10s"},
    },
    "registries": {
        "src": {
            "url": "cgr.dev",
            "auth_type": "basic",
            "credentials": {"username": "u", "password": "p"},
            "max_concurrent": 5,
            "head_first": True,
            "tls": {"ca_file": "/ca", "cert_file": "/cert", "key_file": "/key", "insecure_skip_verify": True},
        },
        "filed": {"url": "a.example", "credentials": {"username_file": "/u", "password_file": "/p"}},
        "token": {"url": "b.example", "token": "t"},
        "tokenfile": {"url": "c.example", "token_file": "/t"},
        "ecr": {
            "url": "d.example",
            "auth_type": "ecr",
            "aws_profile": "x",
            "create_repository": {
                "scan_on_push": True,
                "tag_mutability": "immutable",
                "kms_key": "alias/k",
                "tags": {"team": "t"},
                "lifecycle_policy": '{"rules": [' + " " * 100 + "]}",
            },
        },
        "off": {
            "url": "f.example",
            "auth_type": "ecr",
            "create_repository": {"enabled": False, "scan_on_push": True},
        },
        "chainguard": {
            "url": "e.example",
            "auth_type": "chainguard",
            "identity": "a/b",
            "issuer": "https://i.example",
            "token_file": "/t",
        },
        "disk": {"url": "oci:/d"},
    },
    "target_groups": {"all": ["token", "ecr"]},
    "defaults": {
        "source": "src",
        "targets": "all",
        "platforms": ["linux/s390x"],
        "tags": {
            "glob": "2.*",
            "include": "edge",
            "semver": ">=2",
            "exclude": "*-dev",
            "sort": "alpha",
            "latest": 4,
            "min_tags": 2,
            "immutable_tags": "2.*",
        },
        "artifacts": {"include": ["g/h"], "exclude": ["a/b"], "require_artifacts": True},
        "verify": {
            "mode": "warn",
            "key": signing.pem_of(signing.new_key()),
            "keyless": IDENTITIES,
        },
    },
    "mappings": [
        {
            "from": "a",
            "to": "b",
            "source": "filed",
            "targets": "token",
            "platforms": ["linux/amd64"],
            "tags": {
                "glob": "1.*",
                "include": "latest",
                "semver": ">=1",
                "exclude": "*-x",
                "sort": "semver",
                "latest": 3,
                "min_tags": 1,
                "immutable_tags": "1.*",
            },
            "artifacts": {"enabled": True, "include": ["c/d"], "exclude": ["e/f"], "require_artifacts": False},
            "verify": {
                "mode": "enforce",
                "key": [signing.pem_of(signing.new_key())],
                "keyless": IDENTITIES[::-1],
            },
        },
        {"from": "c"},
    ],
    "metrics": {
        "pushgateway": {
            "url": "http://p:9091",
            "job": "j",
            "grouping": {"k": "v"},
            "username": "u",
            "password": "p",
            "tls": {"ca_file": "/ca", "cert_file": "/cert", "key_file": "/key", "insecure_skip_verify": True},
        },
        "textfile": "/t.prom",
    },
}
UNSIGNED: dict[str, Any] = {
    "registries": {"src": {"url": "cgr.dev"}, "dst": {"url": "b.example"}},
    "defaults": {"source": "src", "targets": "dst", "artifacts": {"enabled": False}},
    "mappings": [{"from": "a", "artifacts": {"enabled": True}}, {"from": "b"}],
}
DOCUMENTS = [WHOLE, UNSIGNED]
"""Configs that together set every key there is to something other than its default."""


def schemas(schema: Any, path: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema inside of a schema."""
    yield path, schema
    for key in ("properties", "$defs"):
        for name, inner in schema.get(key, {}).items():
            yield from schemas(inner, f"{path}/{key}/{name}")
    for key in ("items", "additionalProperties", "propertyNames"):
        if isinstance(schema.get(key), dict):
            yield from schemas(schema[key], f"{path}/{key}")


SCHEMAS = [pytest.param(schema, id=path) for path, schema in schemas(published()) if "$ref" not in schema]


def test_the_schema_is_one_of_the_2020_12_draft() -> None:
    assert published()["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(published())


@pytest.mark.parametrize("schema", SCHEMAS)
def test_every_schema_has_a_title_a_description_and_examples(schema: dict[str, Any]) -> None:
    assert schema["title"]
    assert schema["description"].endswith(".")
    assert schema.get("examples") or "default" in schema


@pytest.mark.parametrize("schema", SCHEMAS)
def test_examples_and_defaults_fulfil_their_schema(schema: dict[str, Any]) -> None:
    checked = Draft202012Validator({**schema, "$defs": published()["$defs"]})
    for value in (*schema.get("examples", ()), *([schema["default"]] if "default" in schema else [])):
        assert not list(checked.iter_errors(value)), value


@pytest.mark.parametrize("schema", SCHEMAS)
def test_maps_are_closed_unless_users_choose_their_keys(schema: dict[str, Any]) -> None:
    if "object" in schema.get("type", ()):
        assert schema["additionalProperties"] is False or "properties" not in schema


@pytest.mark.parametrize("schema", [each for each in SCHEMAS if "propertyNames" not in str(each.id)])
def test_a_variable_may_stand_wherever_a_scalar_may(schema: dict[str, Any]) -> None:
    if "object" in schema.get("type", ()) or schema.get("type") in ("array", ["array", "null"]):
        return
    Draft202012Validator({**schema, "$defs": published()["$defs"]}).validate("x${VARIABLE}y")


@pytest.mark.parametrize("value", [1.1, True, {"a": 1}], ids=repr)
@pytest.mark.parametrize("key", ["glob", "include", "exclude"])
def test_a_tag_is_text_so_that_helm_refuses_what_it_read_as_a_number(key: str, value: object) -> None:
    document = {"registries": {}, "mappings": [{"from": "a", "tags": {key: value}}]}

    assert list(Draft202012Validator(published()).iter_errors(document))


def keys(here: Shape, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all keys that the schema knows; * for those that users choose and for list items."""
    for name, inner in here.fields.items():
        yield (*path, name)
        yield from keys(inner, (*path, name))
    for inner in filter(None, (here.other, here.items)):
        yield from keys(inner, (*path, "*"))


def spots(path: tuple[str, ...], data: Any) -> Iterator[tuple[Any, str | int]]:
    """The maps of a document in which a path of `keys` ends."""
    step, rest = path[0], path[1:]
    steps = (data if isinstance(data, dict) else range(len(data))) if step == "*" else [step]
    for each in steps:
        if isinstance(data, dict) and each not in data:
            continue
        if rest:
            yield from spots(rest, data[each])
        else:
            yield data, each


@pytest.mark.parametrize("path", [pytest.param(path, id=".".join(path)) for path in keys(shape())])
def test_every_key_of_the_schema_has_an_effect_on_the_config(path: tuple[str, ...], read: Load) -> None:
    effects = []
    for document in DOCUMENTS:
        for index in range(len(list(spots(path, document)))):
            without = copy.deepcopy(document)
            table, key = list(spots(path, without))[index]
            del table[key]
            try:
                effects.append(stripped(read(yaml.safe_dump(without))) != stripped(read(yaml.safe_dump(document))))
            except ConfigError:
                effects.append(True)

    assert any(effects)


CLASSES = [
    cls for cls in vars(model).values() if dataclasses.is_dataclass(cls) and cls.__module__ == model.__name__
]
NOT_FROM_KEYS = {("Config", "warnings"), ("Config", "path"), ("Secret", "origin")}


def values(value: Any) -> Iterator[Any]:
    """Everything in a config."""
    yield value
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from values(getattr(value, field.name))
    elif isinstance(value, dict):
        for inner in value.values():
            yield from values(inner)
    elif isinstance(value, tuple):
        for inner in value:
            yield from values(inner)


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        pytest.param(cls, field.name, id=f"{cls.__name__}.{field.name}")
        for cls in CLASSES
        for field in dataclasses.fields(cls)
        if (cls.__name__, field.name) not in NOT_FROM_KEYS
    ],
)
def test_every_field_of_the_model_can_be_set_by_a_key(cls: type, name: str, read: Load) -> None:
    configs = [read(yaml.safe_dump(document)) for document in DOCUMENTS]
    [field] = [field for field in dataclasses.fields(cls) if field.name == name]
    default = field.default
    if default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()

    found = [value for config in configs for value in values(config) if type(value) is cls]
    assert any(getattr(value, name) != default for value in found)


def test_the_defaults_of_the_schema_are_those_of_the_program(read: Load) -> None:
    bare = {"registries": {"src": {"url": "cgr.dev"}, "dst": {"url": "b.example"}}}
    bare |= {"mappings": [{"from": "a", "source": "src", "targets": "dst"}]}
    defaults = {name: inner.get("default") for name, inner in published()["$defs"].items()}
    said = copy.deepcopy(bare)
    said["registries"]["src"] |= properties("registry")
    said["mappings"][0] |= properties("mapping")
    said |= {"global": properties("global") | {"timeouts": defaults["timeouts"], "retry": defaults["retry"]}}

    assert stripped(read(yaml.safe_dump(said))) == stripped(read(yaml.safe_dump(bare)))
    for name in ("timeouts", "retry"):
        assert properties(name) == defaults[name]


def properties(name: str) -> dict[str, Any]:
    """What a part of the schema says that its keys are by default."""
    known = published()["$defs"]
    inner = {
        key: each if "$ref" not in each else known[each["$ref"][8:]]
        for key, each in known[name]["properties"].items()
    }
    return {key: each["default"] for key, each in inner.items() if each.get("default") is not None}


def stripped(config: Config) -> Config:
    return dataclasses.replace(
        config,
        warnings=(),
        mappings=tuple(dataclasses.replace(each, line=0) for each in config.mappings),
    )


def test_credentials_are_marked_as_what_is_never_shown() -> None:
    secret = {path for path in keys(shape()) if (inner := shape().at(path)) and inner.secret}

    assert secret == {
        ("registries", "*", "credentials", "username"),
        ("registries", "*", "credentials", "password"),
        ("registries", "*", "token"),
        ("metrics", "pushgateway", "username"),
        ("metrics", "pushgateway", "password"),
    }


def test_the_strict_schema_has_neither_references_nor_variables() -> None:
    text = str(strict())

    assert "$ref" not in text
    assert "anyOf" not in text
