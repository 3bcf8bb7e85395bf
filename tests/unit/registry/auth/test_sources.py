"""A host whose cloud is known by its name: the cloud's login if it works, else the Docker config."""

from __future__ import annotations

import asyncio

import pytest

from ocync.lib.errors import AuthError, NetworkError, OcyncError
from ocync.registry.auth.credential import Anonymous, Credential, UserPassword
from ocync.registry.auth.refresh import HungLoginError, NoLoginError
from ocync.registry.auth.sources import FallbackSource

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
        self.reasons: list[str] = []

    def __call__(self, reason: str) -> Source:
        self.reasons.append(reason)
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
async def test_the_login_is_used_if_it_works_else_the_docker_config(
    login: Credential | OcyncError, docker: Credential, used: Credential, public: bool
) -> None:
    other = Docker(docker)
    source = FallbackSource(Source(login), other, serves_everybody=public)

    assert await source.credential("team/app") is used
    assert other.reasons == ([] if used is CLOUD else [str(login)])


async def test_a_refused_login_is_an_error_without_a_fallback_at_private_hosts_only() -> None:
    refused = AuthError("refused", host="h")
    private = FallbackSource(Source(refused), Docker(NOTHING), serves_everybody=False)
    public = FallbackSource(Source(refused), Docker(NOTHING), serves_everybody=True)

    with pytest.raises(AuthError, match="refused"):
        await private.credential("")
    assert await public.credential("") is NOTHING


@pytest.mark.parametrize("public", [False, True])
async def test_a_hung_login_is_a_network_error_without_a_fallback(public: bool) -> None:
    login = Source(HungLoginError("it hangs", host="h"))
    source = FallbackSource(login, Docker(NOTHING), serves_everybody=public)

    with pytest.raises(NetworkError, match="it hangs") as caught:
        await source.credential("")
    assert caught.value.retryable
    login.given = CLOUD
    assert await source.credential("") is CLOUD


@pytest.mark.parametrize("passing", [NetworkError("down", host="h"), AuthError("late", host="h")])
async def test_nothing_is_chosen_while_the_login_fails_for_a_passing_reason(passing: OcyncError) -> None:
    passing.retryable = True
    login, other = Source(passing), Docker(DOCKER)
    source = FallbackSource(login, other, serves_everybody=True)
    with pytest.raises(type(passing)):
        await source.credential("")

    login.given = CLOUD
    assert await source.credential("") is CLOUD
    assert other.reasons == []


async def test_the_choice_is_made_once_for_all_callers() -> None:
    login, other = Source(NoLoginError("there is nothing", host="h")), Docker(DOCKER)
    source = FallbackSource(login, other, serves_everybody=False)
    await asyncio.gather(*(source.credential(f"team/{number}") for number in range(20)))

    login.given = CLOUD
    assert await source.credential("", refused=DOCKER) is DOCKER
    assert (login.asked, len(other.reasons)) == (1, 1)
