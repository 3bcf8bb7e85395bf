"""ACR's login, by azure-identity's own code against a fake of Entra ID, and ACR's two exchanges."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from clients import Side
from fakes.azure import TENANT, AcrExchange, FakeEntra
from fakes.service import Answer
from logins import docker_config, nobody, registry
from ocync.config.model import AuthType, RegistryConfig
from ocync.lib.errors import AuthError, NetworkError, ProtocolError, ServerError
from ocync.oci.reference import Registry
from ocync.registry.auth.credential import Anonymous, IdentityToken
from ocync.registry.auth.keychain import source_for
from ocync.transfer.result import Status
from scripted import Bearer, ScriptedRegistry, User, build, faults
from scripted.certificates import make_authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from ocync.config.model import MappingConfig


@pytest.fixture
def entra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEntra]:
    """Entra ID, whose certificate is trusted as one of the machine's own would be."""
    authority = make_authority(tmp_path / "ca")
    monkeypatch.delenv("AZURE_TOKEN_CREDENTIALS")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.ca_file))
    with FakeEntra(tls=authority.server_context()) as fake:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1")
        yield fake


@dataclass(frozen=True)
class Acr:
    registry: ScriptedRegistry
    exchange: AcrExchange
    auth: Bearer

    @property
    def config(self) -> RegistryConfig:
        return RegistryConfig(name="acr", registry=Registry.parse(self.registry.url), auth_type=AuthType.ACR)


@asynccontextmanager
async def acr(entra: FakeEntra, **options: Any) -> AsyncIterator[Acr]:
    """A registry as ACR is."""
    auth = Bearer(anonymous=None, **options)
    user = User(name="00000000-0000-0000-0000-000000000000", password="never")
    async with ScriptedRegistry(auth=auth) as made:
        yield Acr(made, AcrExchange(made, auth, user, entra=entra.token), auth)


@pytest.mark.parametrize("way", ["principal", "workload", "managed", "command"])
async def test_each_way_to_log_in_ends_with_an_image_at_the_registry(
    way: str, entra: FakeEntra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeEntra() as plain:
        plain.token = entra.token
        variables = {
            "principal": entra.principal,
            "workload": lambda: entra.workload(tmp_path),
            "managed": plain.managed,
            "command": lambda: entra.command(tmp_path / "bin"),
        }[way]()
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        async with ScriptedRegistry() as source, acr(entra) as target, Side() as side:
            for number in range(3):
                source.seed(f"team/app{number}", "1", build.image(label=str(number)))
            mappings = [side.mapping(source.url, source.url, repository=f"team/app{number}") for number in range(3)]
            results = await side.sync(*(replaced(mapping, target.config) for mapping in mappings), at_once=3)

            assert {result.status for result in results.values()} == {Status.SYNCED}
            [form] = target.exchange.forms
            assert form["service"] == target.registry.host
            assert form.get("tenant") == (TENANT if way in ("principal", "workload") else None)
            # The token of Entra ID is shown to the exchange and to nobody else.
            shown = {request.headers.get("authorization") for request in target.registry.requests}
            assert not any(entra.token in (value or "") for value in shown)


def replaced(mapping: MappingConfig, target: RegistryConfig) -> MappingConfig:
    return replace(mapping, targets=((target, target.repository(mapping.source_repository.path)),))


async def test_a_refresh_token_that_is_refused_is_fetched_anew_and_the_pass_goes_on(
    entra: FakeEntra, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in entra.principal().items():
        monkeypatch.setenv(name, value)
    async with acr(entra) as target, Side() as side:
        target.registry.seed("team/app", "1", build.image())
        repository = side.repositories.source(target.config, target.config.repository("team/app"))
        assert await repository.head("1") is not None
        target.auth.tokens.revoke_all()
        target.auth.tokens._refresh.clear()

        assert await repository.head("1") is not None
        assert len(target.exchange.given) == 2


async def test_a_registry_that_does_not_know_refresh_tokens_takes_them_as_a_password(
    entra: FakeEntra, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in entra.principal().items():
        monkeypatch.setenv(name, value)
    async with acr(entra, post_status=400) as target, Side() as side:
        target.registry.seed("team/app", "1", build.image())

        async def known(_request: Any, proceed: Any) -> Any:
            nobody_ = "00000000-0000-0000-0000-000000000000"
            target.auth.users = tuple(User(name=nobody_, password=token) for token in target.exchange.given)
            return await proceed()

        target.registry.on("GET", r"^/token", respond=known)
        assert (
            await side.repositories.source(target.config, target.config.repository("team/app")).head("1")
            is not None
        )


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ((401, b'{"errors":[{"code":"UNAUTHORIZED","message":"no role"}]}'), AuthError, "AcrPull or AcrPush"),
        ((404, b"404 page not found"), ProtocolError, "is this a registry of Azure"),
        ((200, b'{"access_token": "x"}'), ProtocolError, "without a refresh token"),
        ((200, b"<html>"), ProtocolError, "without a refresh token"),
    ],
)
async def test_an_exchange_that_fails_says_what_to_look_at(
    answer: tuple[int, bytes], kind: type[Exception], words: str, entra: FakeEntra, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in entra.principal().items():
        monkeypatch.setenv(name, value)
    async with ScriptedRegistry() as target, Side() as side:
        target.on("POST", r"^/oauth2/exchange", respond=faults.answer(answer[0], answer[1]))
        config = RegistryConfig(name="acr", registry=Registry.parse(target.url), auth_type=AuthType.ACR)
        send = side.repositories.token_sender(config)
        with pytest.raises(kind) as caught:
            await source_for(config, {}, send).credential("")

    assert words in str(caught.value)
    assert entra.token not in str(caught.value)


async def test_what_entra_id_refuses_is_an_auth_error_that_says_why_and_shows_no_secret(
    entra: FakeEntra, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (entra.principal() | {"AZURE_CLIENT_SECRET": "wrong-secret-of-the-principal"}).items():
        monkeypatch.setenv(name, value)

    with pytest.raises(AuthError, match="AADSTS7000215: Invalid client secret") as caught:
        await source_for(registry("team.azurecr.io", AuthType.ACR), {}, nobody).credential("")

    assert "wrong-secret" not in str(caught.value)


async def test_an_identity_that_is_not_assigned_is_no_login_at_all(
    entra: FakeEntra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeEntra() as plain:
        plain.refusal = Answer(400, {"error": "invalid_request", "error_description": "Identity not found"})
        for name, value in plain.managed().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PATH", "/nowhere")

        credential = await source_for(registry("team.azurecr.io"), docker_config(tmp_path, {}), nobody).credential(
            ""
        )

    assert isinstance(credential, Anonymous)
    assert "there are no Azure credentials" in credential.origin


async def test_entra_id_that_is_broken_is_worth_another_try(
    entra: FakeEntra, monkeypatch: pytest.MonkeyPatch
) -> None:
    entra.refusal = Answer(503, {"error": "temporarily_unavailable", "error_description": "AADSTS90033: later"})
    for name, value in entra.principal().items():
        monkeypatch.setenv(name, value)

    with pytest.raises(ServerError):
        await source_for(registry("team.azurecr.io", AuthType.ACR), {}, nobody).credential("")


async def test_entra_id_that_is_not_there_is_worth_another_try(
    entra: FakeEntra, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (entra.principal() | {"AZURE_AUTHORITY_HOST": "https://127.0.0.1:1"}).items():
        monkeypatch.setenv(name, value)

    with pytest.raises(NetworkError):
        await source_for(registry("team.azurecr.io", AuthType.ACR), {}, nobody).credential("")


async def test_the_authorities_that_the_environment_names_are_trusted_for_entra_id_too(
    entra: FakeEntra, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted = {"SSL_CERT_FILE": os.environ["REQUESTS_CA_BUNDLE"]}
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in entra.principal().items():
        monkeypatch.setenv(name, value)
    async with acr(entra) as target, Side() as side:
        send = side.repositories.token_sender(target.config)
        assert isinstance(await source_for(target.config, trusted, send).credential(""), IdentityToken)
        with pytest.raises(NetworkError, match="certificate verify failed"):
            await source_for(target.config, {}, send).credential("")


async def test_a_refresh_token_is_renewed_before_it_ends(entra: FakeEntra, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in entra.principal().items():
        monkeypatch.setenv(name, value)
    async with acr(entra) as target, Side() as side:
        target.exchange.life = 4
        repository = side.repositories.source(target.config, target.config.repository("team/app"))
        await repository.head("1")
        await asyncio.sleep(3.2)
        await repository.head("1")

        assert len(target.exchange.given) == 2
