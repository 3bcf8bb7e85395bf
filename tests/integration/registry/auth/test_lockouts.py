"""Wrong credentials are shown a few times and not once for each image: registries lock accounts for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from clients import Side
from ocync.lib.errors import ErrorKind
from ocync.transfer.result import Status
from scripted import Basic, Bearer, ScriptedRegistry, User, build

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripted.access import Auth

ROBOT = User(name="robot", password="secret")
GUARDS = {
    "Basic": lambda: Basic(users=(ROBOT,)),
    "tokens": lambda: Bearer(users=(ROBOT,), anonymous=None),
}


@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)
async def test_wrong_credentials_are_shown_a_few_times_however_many_images_there_are(
    guard: Callable[[], Auth],
) -> None:
    names = [f"team/app{number}" for number in range(20)]
    async with (
        ScriptedRegistry() as source,
        ScriptedRegistry(auth=guard()) as target,
        Side(account=("robot", "wrong"), slots=3) as side,
    ):
        for name in names:
            for tag in ("1", "2", "3"):
                source.seed(name, tag, build.image([]))
        results = await side.sync(*(side.mapping(source.url, target.url, repository=name) for name in names))

    assert len(results) == 60
    assert {result.error.kind for result in results.values() if result.error} == {ErrorKind.AUTH}
    assert len({result.error.message for result in results.values() if result.error}) == 1
    assert sum(request.scheme == "Basic" for request in target.requests) <= 10


@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)
async def test_credentials_that_are_good_for_something_are_never_given_up(guard: Callable[[], Auth]) -> None:
    auth = guard()
    async with ScriptedRegistry(auth=auth) as registry, Side(account=("robot", "secret"), attempts=1) as side:
        registry.seed("team/app", "1", build.image())
        repository = side.repository(registry.url)
        assert await repository.head("1") is not None
        auth.users = ()  # type: ignore[attr-defined]
        for number in range(10):
            with pytest.raises(Exception, match="refuses"):
                await side.repository(registry.url, f"team/other{number}").head("1")
        auth.users = (ROBOT,)  # type: ignore[attr-defined]

        assert await side.repository(registry.url, "team/last").head("1") is None


async def test_nobody_is_locked_out_who_shows_nothing() -> None:
    async with ScriptedRegistry() as target, ScriptedRegistry(auth=Bearer()) as source, Side() as side:
        for number in range(10):
            source.seed(f"team/hidden{number}", "1", build.image([]))
        source.seed("team/app", "latest", build.image([]))
        names = [*(f"team/hidden{number}" for number in range(10)), "team/app"]

        results = await side.sync(*(side.mapping(source.url, target.url, repository=name) for name in names))

    assert {result.status for result in results.values() if result.mapping == "team/app"} == {Status.SYNCED}
