"""A missing repository is made once, and the write that found it missing goes on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from clients import Waits
from ocync.lib.errors import AuthError, NetworkError, NotFoundError, OcyncError
from ocync.registry.repository_creation import RepositoryCreation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Registry:
    """Takes writes to repositories that are there."""

    def __init__(self, *, known_after: int = 0, error: OcyncError | None = None) -> None:
        self.there: set[str] = set()
        self.created: list[str] = []
        self.writes = 0
        self.known_after = known_after
        """Writes after its making that still find a repository missing."""
        self.error = error
        self.waits = Waits()
        self.creation = RepositoryCreation(self.create, sleep=self.waits)

    async def create(self, repository: str) -> None:
        self.created.append(repository)
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.there.add(repository)

    async def write(self, repository: str, code: str = "NAME_UNKNOWN") -> str:
        async def write() -> str:
            self.writes += 1
            if repository not in self.there or self.known_after > 0:
                self.known_after -= repository in self.there
                raise NotFoundError("there is none", host="h", status=404, code=code)
            return "written"

        return await self.creation.writing(repository, write)


async def test_writers_that_find_it_missing_together_have_it_made_once() -> None:
    registry = Registry()

    assert set(await asyncio.gather(*(registry.write("team/app") for _ in range(20)))) == {"written"}
    assert registry.created == ["team/app"]


async def test_each_repository_is_made_for_itself() -> None:
    registry = Registry()
    await asyncio.gather(registry.write("a"), registry.write("b"))
    await registry.write("a")

    assert sorted(registry.created) == ["a", "b"]


async def test_one_that_is_there_is_not_made() -> None:
    registry = Registry()
    registry.there.add("a")
    await registry.write("a")

    assert (registry.created, registry.writes) == ([], 1)


async def test_a_write_waits_a_little_for_the_registry_to_know_what_was_made() -> None:
    registry = Registry(known_after=3)

    assert await registry.write("a") == "written"
    assert registry.waits.seconds == [0.5, 1.0, 2.0]


async def test_a_repository_that_stays_missing_is_an_error_in_the_end_and_is_made_no_second_time() -> None:
    registry = Registry(known_after=1000)
    for _ in range(2):
        with pytest.raises(NotFoundError):
            await registry.write("a")

    assert registry.created == ["a"]
    assert registry.writes == 12


async def test_another_404_makes_nothing() -> None:
    registry = Registry()
    with pytest.raises(NotFoundError):
        await registry.write("a", code="BLOB_UPLOAD_UNKNOWN")

    assert registry.created == []


async def test_who_may_not_make_it_is_told_once_and_for_all() -> None:
    registry = Registry(error=AuthError("you may not", host="h"))
    for _ in range(3):
        with pytest.raises(AuthError, match="you may not"):
            await registry.write("a")

    assert registry.created == ["a"]


async def test_a_failure_that_passes_is_tried_again_by_the_next_write() -> None:
    registry = Registry(error=NetworkError("down", host="h"))
    with pytest.raises(NetworkError):
        await registry.write("a")
    registry.error = None

    assert await registry.write("a") == "written"


class Upload:
    """Finds its repository missing when the bytes are sent."""

    def __init__(self, code: str = "NAME_UNKNOWN") -> None:
        self.error = NotFoundError("there is none", host="h", status=404, code=code)
        self.abandoned = False

    async def send(self, pieces: AsyncIterator[bytes]) -> None:
        raise self.error

    async def abandon(self) -> None:
        self.abandoned = True


async def nothing() -> AsyncIterator[bytes]:
    return
    yield b""


async def test_bytes_that_find_it_missing_are_worth_another_try_once_it_is_made() -> None:
    registry = Registry()
    upload = registry.creation.guarded("a", Upload())

    with pytest.raises(NotFoundError) as caught:
        await upload.send(nothing())

    assert caught.value.retryable
    assert registry.created == ["a"]


async def test_bytes_that_find_it_missing_are_not_worth_another_try_where_it_can_not_be_made() -> None:
    registry = Registry(error=AuthError("you may not", host="h"))

    with pytest.raises(AuthError, match="you may not"):
        await registry.creation.guarded("a", Upload()).send(nothing())


async def test_bytes_that_are_refused_for_another_reason_make_nothing() -> None:
    registry = Registry()
    inner = Upload("BLOB_UNKNOWN")
    upload = registry.creation.guarded("a", inner)

    with pytest.raises(NotFoundError) as caught:
        await upload.send(nothing())
    await upload.abandon()

    assert not caught.value.retryable
    assert registry.created == []
    assert inner.abandoned
