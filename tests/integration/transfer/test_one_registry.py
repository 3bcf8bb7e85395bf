"""One registry in several roles: source and target at once, or under two names with different credentials."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from clients import Side
from ocync.config.model import AuthType, Secret
from ocync.transfer.result import BlobStats, Status
from scripted import Basic, Bearer, ScriptedRegistry, User, build

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from ocync.config.model import MappingConfig, RegistryConfig
    from scripted.access import Auth

SHARED = build.layer(50_000, 1)
READER = User(name="reader", password="reads", push=())
WRITER = User(name="writer", password="writes", pull=("prod/",), push=("prod/",))
GUARDS = {
    "Basic": lambda: Basic(users=(READER, WRITER)),
    "tokens": lambda: Bearer(users=(READER, WRITER), anonymous=None),
    "tokens that are refused with 403": lambda: Bearer(users=(READER, WRITER), anonymous=None, denied_status=403),
}


@pytest.fixture
async def registry() -> AsyncIterator[ScriptedRegistry]:
    async with ScriptedRegistry() as registry:
        yield registry


def promotion(side: Side, registry: ScriptedRegistry, name: str, to: str) -> MappingConfig:
    """Map one repository of a registry to another one there."""
    config = side.config(registry.url)
    return replace(
        side.mapping(registry.url, registry.url, repository=name), targets=((config, config.repository(to)),)
    )


def has_all(registry: ScriptedRegistry, name: str, to: str) -> bool:
    return all(
        registry.content_of(to, tag) == registry.content_of(name, tag) != {}
        for tag in registry.repository(name).tags
    )


@pytest.mark.parametrize("slots", [1, 2, 8])
@pytest.mark.parametrize("mounts", [True, False], ids=["mounts", "does not mount"])
async def test_within_one_registry_images_are_promoted_by_mounts(
    registry: ScriptedRegistry, mounts: bool, slots: int
) -> None:
    registry.behaviour.mount = mounts
    for tag in ("1", "2"):
        registry.seed("staging/app", tag, build.multi_arch(seed=int(tag), shared=[SHARED]))
    blobs = len(registry.repository("staging/app").blobs)

    async with Side(slots=slots) as side:
        results = await side.sync(promotion(side, registry, "staging/app", "prod/app"))

    assert {result.status for result in results.values()} == {Status.SYNCED}
    assert has_all(registry, "staging/app", "prod/app")
    assert registry.count("GET", "/blobs/sha") == (0 if mounts else blobs)
    moved = sum((result.blobs for result in results.values()), BlobStats())
    assert (moved.mounted, moved.transferred) == ((blobs, 0) if mounts else (0, blobs))


def entry(side: Side, registry: ScriptedRegistry, user: User) -> RegistryConfig:
    """Name the registry once more, for one of its users."""
    return replace(
        side.config(registry.url),
        name=user.name,
        auth_type=AuthType.BASIC,
        username=Secret(user.name, origin="a test"),
        password=Secret(user.password, origin="a test"),
    )


@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)
async def test_two_entries_for_one_host_each_use_their_own_credentials(guard: Callable[[], Auth]) -> None:
    """The writer may not read where the reader does: nothing can be mounted, and all is copied."""
    async with ScriptedRegistry(auth=guard()) as registry, Side() as side:
        registry.seed("staging/app", "1", build.multi_arch(shared=[SHARED]))
        registry.seed("staging/db", "1", build.image([SHARED]))
        reader, writer = entry(side, registry, READER), entry(side, registry, WRITER)
        work = [
            replace(
                promotion(side, registry, f"staging/{name}", ""),
                source=reader,
                targets=((writer, writer.repository(f"prod/{name}")),),
            )
            for name in ("app", "db")
        ]

        results = await side.sync(*work)

        assert {result.status for result in results.values()} == {Status.SYNCED}, results
        assert has_all(registry, "staging/app", "prod/app")
        assert has_all(registry, "staging/db", "prod/db")
