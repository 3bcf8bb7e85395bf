"""Against distribution's own registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from logins import PULL, PUSH, Clock, Given, docker_config, encoded, nobody, registry, talking
from ocync.lib.errors import AuthError
from ocync.registry.auth.credential import Anonymous, UserPassword
from ocync.registry.auth.keychain import source_for
from ocync.registry.auth.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from integration.auth.conftest import Guarded

    Opened = Callable[[], AbstractAsyncContextManager[Guarded]]

UPLOADS = "/v2/team/app/blobs/uploads/"
TAGS = "/v2/team/app/tags/list"
USER = UserPassword(username="robot", password="pass:word", origin="a test")


async def test_a_password_file_is_satisfied_by_the_docker_config(password_registry: str, tmp_path: Path) -> None:
    host = password_registry.removeprefix("http://")
    environ = docker_config(tmp_path, {"auths": {f"https://{host}/v1/": {"auth": encoded("robot", "pass:word")}}})
    source = source_for(registry(password_registry), environ, nobody)

    async with talking(password_registry, source) as talk:
        assert await talk.ask(UPLOADS, PUSH, "POST") == 202
        assert await talk.ask(TAGS) == 404


async def test_a_password_that_is_wrong_or_missing_is_told(password_registry: str) -> None:
    wrong = UserPassword(username="robot", password="other", origin="there")
    async with talking(password_registry, Given(wrong)) as talk:
        with pytest.raises(AuthError, match="refuses the user name and password from there"):
            await talk.ask(TAGS)
    async with talking(password_registry, Given(Anonymous(origin="nowhere"))) as talk:
        with pytest.raises(AuthError, match="wants credentials and there are none: nowhere"):
            await talk.ask(TAGS)


async def test_tokens_open_what_they_are_for(token_registry: Opened) -> None:
    async with token_registry() as made, talking(made.url, Given(USER)) as talk:
        assert await talk.ask(UPLOADS, PUSH, "POST") == 202
        assert await talk.ask(UPLOADS, PUSH, "POST") == 202
        both = PUSH | {Scope("team/base", ("pull",))}
        assert await talk.ask(f"{UPLOADS}?mount=sha256:{'0' * 64}&from=team/base", both, "POST") == 202

    assert [[value for name, value in each.query if name == "scope"] for each in made.issuer.asked] == [
        ["repository:team/app:pull,push"],
        ["repository:team/app:pull,push", "repository:team/base:pull"],
    ]
    assert {each.parameter("tenant") for each in made.issuer.asked} == {"1"}
    assert {each.parameter("service") for each in made.issuer.asked} == {"distribution"}


async def test_a_scope_that_was_too_small_is_widened_by_the_registry_s_challenge(token_registry: Opened) -> None:
    async with token_registry() as made, talking(made.url, Given(USER)) as talk:
        assert await talk.ask(UPLOADS, PULL, "POST") == 202

    assert [each.parameter("scope") for each in made.issuer.asked] == [
        "repository:team/app:pull",
        "repository:team/app:pull,push",
    ]


async def test_a_token_that_grants_too_little_is_refused_without_a_loop(token_registry: Opened) -> None:
    async with token_registry() as made, talking(made.url, Given(USER)) as talk:
        made.issuer.allowed = frozenset({"pull"})
        with pytest.raises(AuthError, match="insufficient_scope"):
            await talk.ask(UPLOADS, PUSH, "POST")

    assert len(made.issuer.asked) == 1


async def test_a_token_is_renewed_when_the_registry_finds_it_too_old(token_registry: Opened) -> None:
    clock = Clock()
    async with token_registry() as made, talking(made.url, Given(USER), clock=clock) as talk:
        # Older than the minute of grace that this registry gives.
        made.issuer.life = -120
        with pytest.raises(AuthError):
            await talk.ask(UPLOADS, PUSH, "POST")
        made.issuer.life = 300
        clock.now += 20
        assert await talk.ask(UPLOADS, PUSH, "POST") == 202

    assert len(made.issuer.asked) == 2


async def test_an_unknown_user_is_told_in_the_words_of_the_token_service(token_registry: Opened) -> None:
    wrong = UserPassword(username="robot", password="other", origin="there")
    async with token_registry() as made, talking(made.url, Given(wrong)) as talk:
        with pytest.raises(AuthError, match=r"from there: .* answered 401: UNAUTHORIZED: unknown user"):
            await talk.ask(TAGS)

    assert len(made.issuer.asked) == 1
