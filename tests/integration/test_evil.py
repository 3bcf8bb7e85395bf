"""Registries and images that mean harm: what they can't do. SECURITY.md names these tests."""

from __future__ import annotations

import base64
import json
import resource
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from clients import Side
from ocync.config.model import AuthType, MappingConfig, RegistryConfig, Secret
from ocync.lib.errors import ErrorKind
from ocync.oci.reference import Registry
from ocync.transfer.result import Status
from scripted import Basic, ScriptedRegistry, User, build, faults, media
from scripted.storage import StoredManifest

if TYPE_CHECKING:
    from pathlib import Path

    from ocync.transfer.result import ImageResult

MIB = 1024 * 1024
OF_SOURCE = User(name="reader", password="the source's own", push=())
OF_TARGET = User(name="writer", password="the target's own")


def registry_of(registry: ScriptedRegistry, user: User) -> RegistryConfig:
    return RegistryConfig(
        name=registry.host,
        registry=Registry.parse(registry.url),
        auth_type=AuthType.BASIC,
        username=Secret(user.name, origin="a test"),
        password=Secret(user.password, origin="a test"),
    )


async def mirror(source: ScriptedRegistry, *targets: RegistryConfig, within: float = 30.0) -> list[ImageResult]:
    config = registry_of(source, OF_SOURCE)
    mapping = MappingConfig(
        name="team/app",
        source=config,
        source_repository=config.repository("team/app"),
        targets=tuple((target, target.repository("team/app")) for target in targets),
    )
    async with Side(attempts=2) as side:
        return list((await side.sync(mapping, within=within)).values())


def headers_of(registry: ScriptedRegistry) -> list[tuple[str, str]]:
    """Note all header fields that a registry gets from now on."""
    seen: list[tuple[str, str]] = []

    async def note(request: object, proceed: object) -> object:
        seen.extend(request.headers.items)  # type: ignore[attr-defined]
        return await proceed()  # type: ignore[operator]

    registry.on("*", "", respond=note)  # type: ignore[arg-type]
    return seen


# An evil target and an evil source, each after the other's credentials.


async def test_a_target_that_leads_to_the_source_gets_nobody_s_credentials_sent_there() -> None:
    async with (
        ScriptedRegistry(auth=Basic(users=(OF_SOURCE,))) as source,
        ScriptedRegistry(auth=Basic(users=(OF_TARGET,)), single_post=False) as target,
    ):
        source.seed("team/app", "1", build.image())
        trap = f"{source.url}/v2/team/app/blobs/uploads/trap"
        target.on("POST", "/uploads/", authorized=True, respond=faults.headers({"Location": trap}))

        results = await mirror(source, registry_of(target, OF_TARGET))

        assert {result.status for result in results} == {Status.FAILED}
        led = source.requests.matching("PUT|PATCH")
        assert led
        assert {request.fingerprint for request in led} == {None}
        own = {request.fingerprint for request in source.requests} - {None}
        assert own.isdisjoint({request.fingerprint for request in target.requests})


async def test_a_source_that_leads_to_the_target_reads_nothing_with_the_target_s_credentials() -> None:
    async with (
        ScriptedRegistry(auth=Basic(users=(OF_SOURCE,))) as source,
        ScriptedRegistry(auth=Basic(users=(OF_TARGET,))) as target,
    ):
        source.seed("team/app", "1", build.image())
        target.seed("secret/app", "1", build.image(label="not for the source's eyes"))
        there = f"{target.url}/v2/secret/app/manifests/1"
        source.on("GET|HEAD", "/manifests/1$", authorized=True, respond=faults.redirect(there))

        results = await mirror(source, registry_of(target, OF_TARGET))

        assert {result.status for result in results} == {Status.FAILED}
        assert {request.scheme for request in target.requests.matching("*", "/secret/")} == {None}
        assert "team/app" not in target.repositories


# Malicious images.


async def test_urls_of_layers_are_never_asked_for() -> None:
    async with ScriptedRegistry() as source, ScriptedRegistry() as target, ScriptedRegistry() as elsewhere:
        layers = [
            replace(build.foreign_layer(), urls=(f"{elsewhere.url}/latest/meta-data",)),
            replace(build.layer(500), urls=(f"{elsewhere.url}/v2/x/blobs/y",)),
        ]
        source.seed("team/app", "1", build.image(layers))

        results = await mirror(source, registry_of(target, OF_TARGET))

        assert {result.status for result in results} == {Status.SYNCED}
        assert len(elsewhere.requests) == 0


CRAFTED = {
    "a digest that climbs": {"digest": "sha256:../../../../../../tmp/evil"},
    "a digest of an absolute path": {"digest": "sha256:/etc/passwd"},
    "an algorithm that climbs": {"digest": "../sha256:" + "a" * 64},
    "an algorithm of an absolute path": {"digest": "/tmp:" + "a" * 64},
    "a digest with a NUL": {"digest": "sha256:" + "a" * 63 + "\0"},
    "a digest with a line end": {"digest": "sha256:" + "a" * 64 + "\nX-Evil: 1"},
    "a size below nothing": {"size": -1},
    "a size that is no number": {"size": "12"},
    "a size beyond all disks": {"size": 1 << 70},
    "a size that is not finite": {"size": 1e300},
}


@pytest.mark.parametrize("crafted", CRAFTED.values(), ids=CRAFTED)
async def test_a_crafted_descriptor_fails_its_image_and_touches_nothing_else(
    crafted: dict[str, object], tmp_path: Path
) -> None:
    async with ScriptedRegistry() as source, ScriptedRegistry() as target:
        image = build.image()
        body = json.loads(image.root.raw)
        body["layers"][0] |= crafted
        root = StoredManifest.of(json.dumps(body).encode(), media.OCI_MANIFEST)
        source.seed("team/app", "evil", replace(image, manifests=(root,)))
        seen = headers_of(source) + headers_of(target)
        folder = RegistryConfig(name="folder", layout=tmp_path / "deep" / "layouts")

        results = await mirror(source, registry_of(target, OF_TARGET), folder)

        assert {result.status for result in results} == {Status.FAILED}
        assert {result.error.kind for result in results if result.error} <= {
            ErrorKind.PROTOCOL,
            ErrorKind.NOT_FOUND,
            ErrorKind.VERIFICATION,
        }
        assert not any(name.lower() == "x-evil" for name, _ in seen)
        assert not [repository for repository in target.repositories.values() if repository.tags]
        outside = {path for path in tmp_path.rglob("*") if path.is_file()} - set((tmp_path / "deep").rglob("*"))
        assert not outside


BOMBS = {
    "depth": b'{"schemaVersion": 2, "layers": ' + b"[" * 200_000,
    "depth of objects": b'{"a":' * 200_000,
    "a number of a million digits": b'{"schemaVersion": 2, "size": ' + b"9" * 1_000_000 + b"}",
    "a number that is infinite": b'{"schemaVersion": 1e999999999}',
    "a million keys": b'{"schemaVersion": 2, "layers": []' + b',"k":1' * 600_000 + b"}",
    "half a million layers": b'{"schemaVersion": 2, "config": {}, "layers": [' + b"{}," * 500_000 + b"{}]}",
    "surrogates": b'{"schemaVersion": 2, "mediaType": "\\ud800\\udfff\\ud800"}',
}


@pytest.mark.parametrize("where", ["/manifests/", "/tags/list", "/referrers/"])
@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
async def test_a_document_made_to_explode_is_an_error_in_bounded_time_and_memory(bomb: bytes, where: str) -> None:
    async with ScriptedRegistry() as source, ScriptedRegistry() as target:
        source.seed("team/app", "1", build.image())
        answer = faults.answer(200, bomb, headers={"Content-Type": media.OCI_INDEX})
        source.on("GET", where, respond=answer)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        results = await mirror(source, registry_of(target, OF_TARGET), within=20)

        # A tag list that is JSON and holds no tags is one of a repository without any.
        assert {result.status for result in results} == {Status.FAILED} or (not results and "tags" in where)
        assert {result.error.kind for result in results if result.error} <= {
            ErrorKind.PROTOCOL,
            ErrorKind.INCOMPLETE_ARTIFACTS,
        }
        assert not any(repository.tags for repository in target.repositories.values()) or "referrers" in where
        assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 256 * MIB


# Malicious configurations.

INJECTION = "x\r\nX-Evil: 1\r\n\r\nDELETE /v2/team/app/manifests/1 HTTP/1.1\r\n"


@pytest.mark.parametrize("field", ["username", "password", "token"])
async def test_a_line_end_in_a_credential_adds_no_header_and_no_request(field: str) -> None:
    async with ScriptedRegistry(auth=Basic(users=(OF_SOURCE,))) as source, ScriptedRegistry() as target:
        source.seed("team/app", "1", build.image())
        seen = headers_of(source)
        config = registry_of(source, OF_SOURCE)
        secret = Secret(INJECTION, origin="a test")
        if field == "token":
            config = replace(config, auth_type=AuthType.STATIC_TOKEN, username=None, password=None, token=secret)
        else:
            config = replace(config, **{field: secret})
        mapping = MappingConfig(
            name="team/app",
            source=config,
            source_repository=config.repository("team/app"),
            targets=((into := registry_of(target, OF_TARGET), into.repository("team/app")),),
        )
        async with Side(attempts=2) as side:
            results = await side.sync(mapping)

        assert {result.error.kind for result in results.values() if result.error} == {ErrorKind.AUTH}
        assert not any(name.lower() == "x-evil" for name, _ in seen)
        assert source.count("DELETE") == 0
        basic = [value.partition(" ")[2] for name, value in seen if name.lower() == "authorization"]
        assert all(base64.b64decode(value, validate=True) for value in basic)
