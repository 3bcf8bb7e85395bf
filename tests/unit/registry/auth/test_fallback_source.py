"""A host that is known by its name: its cloud's login where there is one, else what the Docker config holds."""

from __future__ import annotations

import asyncio

import pytest

from ocync.lib.errors import AuthError, NetworkError, OcyncError
from ocync.registry.auth.credential import Anonymous, Credential, UserPassword
from ocync.registry.auth.fallback_source import EitherSource
from ocync.registry.auth.refresh import HungLoginError, NoLoginError

CLOUD = UserPassword(username="cloud", password="p", origin="the cloud")
DOCKER = UserPassword(username="docker", password="p", origin="docker config")
NOTHING = Anonymous(origin="no entry")


class Source:
    """Gives one credential, or raises."""

    def __init__(self, given: Credential | OcyncError) -> None:
        self.given = given
        self.asked = 0

    async def credential(self, repository: str, *, refused: Credential | None = None) -> Credential:
        del repository, refused
        self.asked += 1
        await asyncio.sleep(0)
        if isinstance(self.given, OcyncError):
            raise self.given
        return self.given


class Docker:
    """The Docker config."""

    def __init__(self, given: Credential) -> None:
        self.source = Source(given)
        self.told: list[str] = []

    def __call__(self, why: str) -> Source:
        self.told.append(why)
        return self.source


@pytest.mark.parametrize("public", [False, True])
@pytest.mark.parametrize(
    ("login", "docker", "used"),
    [
        (CLOUD, DOCKER, CLOUD),
        (CLOUD, NOTHING, CLOUD),
        (NoLoginError("there is nothing", host="h"), DOCKER, DOCKER),
        (NoLoginError("there is nothing", host="h"), NOTHING, NOTHING),
        (AuthError("refused", host="h"), DOCKER, DOCKER),
        (HungLoginError("it hangs", host="h"), DOCKER, DOCKER),
    ],
)
async def test_what_is_used(
    login: Credential | OcyncError, docker: Credential, used: Credential, public: bool
) -> None:
    other = Docker(docker)
    source = EitherSource("h", Source(login), other, serves_everybody=public)

    assert await source.credential("team/app") is used
    assert other.told == ([] if used is CLOUD else [str(login)])


async def test_a_refusal_stands_where_there_is_nothing_else_and_the_host_is_private() -> None:
    refused = AuthError("refused", host="h")
    private = EitherSource("h", Source(refused), Docker(NOTHING), serves_everybody=False)
    public = EitherSource("h", Source(refused), Docker(NOTHING), serves_everybody=True)

    with pytest.raises(AuthError, match="refused"):
        await private.credential("")
    assert await public.credential("") is NOTHING


@pytest.mark.parametrize("public", [False, True])
async def test_a_login_that_hangs_is_the_network_s_where_there_is_nothing_else(public: bool) -> None:
    login = Source(HungLoginError("it hangs", host="h"))
    source = EitherSource("h", login, Docker(NOTHING), serves_everybody=public)

    with pytest.raises(NetworkError, match="it hangs") as caught:
        await source.credential("")
    assert caught.value.retryable
    login.given = CLOUD
    assert await source.credential("") is CLOUD


@pytest.mark.parametrize("passing", [NetworkError("down", host="h"), AuthError("late", host="h")])
async def test_nothing_is_decided_while_the_login_can_not_be_tried(passing: OcyncError) -> None:
    passing.retryable = True
    login, other = Source(passing), Docker(DOCKER)
    source = EitherSource("h", login, other, serves_everybody=True)
    with pytest.raises(type(passing)):
        await source.credential("")

    login.given = CLOUD
    assert await source.credential("") is CLOUD
    assert other.told == []


async def test_it_is_decided_once_for_all_who_ask_and_stays_so() -> None:
    login, other = Source(NoLoginError("there is nothing", host="h")), Docker(DOCKER)
    source = EitherSource("h", login, other, serves_everybody=False)
    await asyncio.gather(*(source.credential(f"team/{number}") for number in range(20)))

    login.given = CLOUD
    assert await source.credential("", refused=DOCKER) is DOCKER
    assert (login.asked, len(other.told)) == (1, 1)
