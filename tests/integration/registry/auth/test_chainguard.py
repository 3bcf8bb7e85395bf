"""Chainguard's assumable identities: a projected token is exchanged for one that the registry takes."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from fakes.chainguard import IDENTITY, FakeChainguard
from fakes.service import Answer
from logins import Conversation, registry
from ocync.config.model import AuthType, RegistryConfig, Secret, Timeouts
from ocync.lib.errors import AuthError, NetworkError, OcyncError, ProtocolError, ServerError, StorageError
from ocync.registry.auth.chainguard import TOKEN_FILE
from ocync.registry.auth.credential import UserPassword
from ocync.registry.auth.keychain import source_for
from ocync.registry.retry import RetryPolicy
from ocync.registry.sender import RequestTally
from ocync.run.repositories import RepositoryFactory
from scripted import Bearer, ScriptedRegistry, User, build

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture
def chainguard() -> Iterator[FakeChainguard]:
    with FakeChainguard() as fake:
        yield fake


@pytest.fixture
def file(tmp_path: Path, chainguard: FakeChainguard) -> Path:
    """The projected token."""
    path = tmp_path / "oidc-token"
    path.write_text(chainguard.subject + "\n")
    return path


def config(url: str, fake: FakeChainguard, file: Path | None, identity: str = IDENTITY) -> RegistryConfig:
    token = Secret(file=file, origin="registries.src.token_file") if file else None
    return registry(url, AuthType.CHAINGUARD, identity=identity, issuer=fake.url, token=token)


@asynccontextmanager
async def client(config: RegistryConfig) -> AsyncIterator[Conversation]:
    repositories = RepositoryFactory(
        timeouts=Timeouts(connect=2.0, idle=5.0), policy=RetryPolicy(attempts=1), tally=RequestTally(), environ={}
    )
    async with repositories:
        made = repositories.client(config)
        assert made._authenticated.authorizer is not None
        yield Conversation(client=made, authorizer=made._authenticated.authorizer)


async def test_the_projected_token_is_exchanged_and_the_registry_takes_what_comes(
    chainguard: FakeChainguard, file: Path
) -> None:
    auth = Bearer(anonymous=None)
    async with ScriptedRegistry(auth=auth) as source, client(config(source.url, chainguard, file)) as talk:
        source.seed("team/app", "latest", build.image())
        chainguard.audience = source.host

        async def known(_request: Any, proceed: Any) -> Any:
            auth.users = tuple(User(name="_token", password=token) for token in chainguard.given)
            return await proceed()

        source.on("GET", r"^/token", respond=known)
        assert await talk.ask() == 200
        assert await talk.ask() == 200

        # The cluster's token goes to the token service alone.
        sent = {request.headers.get("authorization") for request in source.requests}
    assert not any(chainguard.subject in (value or "") for value in sent)
    assert len(chainguard.given) == 1


async def test_a_token_that_is_rotated_is_read_for_the_next_exchange(
    chainguard: FakeChainguard, file: Path
) -> None:
    async with client(config("http://127.0.0.1:1", chainguard, file)) as talk:
        first = await talk.authorizer.credential()
        chainguard.subject = "cluster.jwt.token-2"
        file.write_text(chainguard.subject)
        source = talk.authorizer._source

        second = await source.credential("", refused=first)

    assert isinstance(first, UserPassword)
    assert isinstance(second, UserPassword)
    assert [first.password, second.password] == chainguard.given
    assert first.username == "_token"
    assert first.origin == f"the Chainguard identity {IDENTITY}, with registries.src.token_file ({file})"


async def test_without_a_token_file_the_projected_one_of_the_documentation_is_read(
    chainguard: FakeChainguard,
) -> None:
    assert str(TOKEN_FILE) == "/var/run/chainguard/oidc/oidc-token"
    async with client(config("http://127.0.0.1:1", chainguard, None)) as talk:
        with pytest.raises(
            StorageError, match=f"can't read the projected service account token \\({TOKEN_FILE}\\)"
        ):
            await talk.authorizer.credential()


async def test_a_token_that_may_not_assume_the_identity_is_an_auth_error_that_shows_no_token(
    chainguard: FakeChainguard, file: Path
) -> None:
    file.write_text("cluster.jwt.token-of-another")
    async with client(config("http://127.0.0.1:1", chainguard, file)) as talk:
        with pytest.raises(AuthError, match="answered 401: token subject does not match") as caught:
            await talk.authorizer.credential()

    assert "audience issuer.enforce.dev" in str(caught.value)
    assert "token-of-another" not in str(caught.value)


async def test_an_identity_that_is_not_there_is_an_auth_error(chainguard: FakeChainguard, file: Path) -> None:
    async with client(config("http://127.0.0.1:1", chainguard, file, identity="a/b")) as talk:
        with pytest.raises(AuthError, match="assume the identity a/b: it answered 404: no such identity"):
            await talk.authorizer.credential()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(503, "later"), ServerError),
        (Answer(200, "<html>"), ProtocolError),
        (Answer(200, {"token": ""}), ProtocolError),
        (Answer(200, {"token": "two\nlines"}), ProtocolError),
        (Answer(200, ["token"]), ProtocolError),
        (Answer(302, None, {"Location": "http://127.0.0.1:1/elsewhere"}), ProtocolError),
    ],
)
async def test_another_answer_is_an_error_that_quotes_no_token(
    answer: Answer, kind: type[OcyncError], chainguard: FakeChainguard, file: Path
) -> None:
    chainguard.answer = lambda _asked: answer
    async with client(config("http://127.0.0.1:1", chainguard, file)) as talk:
        with pytest.raises(kind) as caught:
            await talk.authorizer.credential()

    assert chainguard.subject not in str(caught.value)
    assert len(chainguard.asked) == 1  # the token is not taken to where a redirect leads


async def test_a_token_service_that_is_not_there_is_worth_another_try(
    file: Path, chainguard: FakeChainguard
) -> None:
    gone = registry(
        "http://127.0.0.1:1",
        AuthType.CHAINGUARD,
        identity=IDENTITY,
        issuer="http://127.0.0.1:1",
        token=Secret(file=file),
    )
    async with client(gone) as talk:
        with pytest.raises(NetworkError) as caught:
            await talk.authorizer.credential()

    assert caught.value.retryable


async def test_a_file_without_a_token_is_said(chainguard: FakeChainguard, file: Path) -> None:
    file.write_text("two words")
    async with client(config("http://127.0.0.1:1", chainguard, file)) as talk:
        with pytest.raises(AuthError, match="holds no token"):
            await talk.authorizer.credential()

    assert chainguard.asked == []


def test_nothing_is_read_before_it_is_asked_for(chainguard: FakeChainguard, tmp_path: Path) -> None:
    async def nobody(_request: Any) -> Any:
        raise AssertionError("asked")

    source_for(config("http://127.0.0.1:1", chainguard, tmp_path / "missing"), {}, nobody)
