"""What `ocync auth check` finds out about one registry."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import httpx

from ocync.lib.errors import AuthError, OcyncError, ProtocolError
from ocync.oci import media
from ocync.registry.auth import token
from ocync.registry.auth.authorizer import Authorizer
from ocync.registry.auth.credential import Anonymous
from ocync.registry.auth.keychain import source_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocync.config.model import RegistryConfig
    from ocync.oci.reference import Registry
    from ocync.registry.auth.credential import Credential
    from ocync.registry.auth.scope import Scope
    from ocync.registry.auth.token import Send


class CheckOutcome(StrEnum):
    """What a registry said; the values are part of the contract with readers of `--json`."""

    ACCEPTED = "accepted"
    """The credentials were shown and the registry takes them."""
    ANONYMOUS = "anonymous"
    """There are no credentials, and the registry answers all the same."""
    NOT_ASKED = "not_asked"
    """The registry never asked for credentials, so those that there are were not shown."""
    REFUSED = "refused"
    """Credentials are missing, refused or do not suffice."""
    FAILED = "failed"
    """Nothing could be found out: the configuration is broken, or the registry not to be reached."""
    FOLDER = "folder"
    """It is a folder of OCI layouts, which has no credentials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found out; nothing in it is secret."""

    registry: str
    """Its name in the config."""
    host: str
    kind: str = ""
    """What the credentials are: `user name and password`, `anonymous`; empty when they could not be read."""
    origin: str = ""
    """Where they come from, or where they were looked for."""
    verdict: CheckOutcome
    message: str
    error: OcyncError | None = None
    """Why, where the verdict is a failure; its exit code counts."""


async def check(
    config: RegistryConfig, environ: Mapping[str, str], *, send: Send, scope: Scope | None = None
) -> Finding:
    """
    Find the credentials of a registry and show them to it; raises nothing but cancellation.

    With a scope, that repository's tag list is asked for, so that the answer is about a repository that is used;
    without one, `/v2/` is. `send` is the registry's, as for an Authorizer.
    """
    if config.registry is None:
        folder = f"folder {config.layout}"
        return Finding(
            registry=config.name, host="", verdict=CheckOutcome.FOLDER, message=f"{folder} needs no credentials"
        )
    host = config.registry.host
    scopes = frozenset({scope}) if scope is not None else frozenset()
    credential: Credential | None = None
    try:
        authorizer = Authorizer(registry=config.registry, source=source_for(config, environ, send), send=send)
        credential = await authorizer.credential(scopes)
        response, shown = await _ask(config.registry, authorizer, send, scopes)
        credential = await authorizer.credential(scopes)
        verdict, message = _judge(response, credential, host, shown=shown)
        error: OcyncError | None = None
    except OcyncError as raised:
        error, message = raised, str(raised)
        verdict = CheckOutcome.REFUSED if isinstance(raised, AuthError) else CheckOutcome.FAILED
    return Finding(
        registry=config.name,
        host=host,
        kind=credential.kind if credential else "",
        origin=credential.origin if credential else "",
        verdict=verdict,
        message=message,
        error=error,
    )


async def _ask(
    registry: Registry, authorizer: Authorizer, send: Send, scopes: frozenset[Scope]
) -> tuple[httpx.Response, bool]:
    """Make the request as a pass would; returns the answer, and whether credentials were shown."""
    path = next((f"{scope.repository}/tags/list?n=1" for scope in scopes), "")
    url = f"{registry.api}/v2/{path}"

    async def attempt(header: str | None) -> httpx.Response:
        headers = token.HEADERS if header is None else {**token.HEADERS, "Authorization": header}
        return await send(httpx.Request("GET", url, headers=headers))

    header = await authorizer.header(scopes)
    response = await attempt(header)
    other = None
    if response.status_code == 401:
        other = await authorizer.rejected(response.headers, url, scopes, header)
    elif response.status_code == 403:
        other = await authorizer.forbidden(scopes, header)
    if other is not None:
        header = other
        response = await attempt(header)
    return response, header is not None


def _judge(response: httpx.Response, credential: Credential, host: str, *, shown: bool) -> tuple[CheckOutcome, str]:
    """Return the verdict on a registry's answer; raises the error that a bad one is."""
    status = response.status_code
    words = token.said(response.content, token.secrets_of(credential))
    answered = f"{host} answered {status}{': ' + words if words else ''}"
    if status in (401, 403):
        what = f"the {credential.kind} from {credential.origin}"
        if isinstance(credential, Anonymous):
            what = f"no credentials, since there was {credential.origin}"
        hint = getattr(credential, "hint", "") or "check them, and what they are allowed to do"
        raise AuthError(f"{answered} to {what}", host=host, status=status, hint=hint)
    # 404: the repository of a target need not be there yet; who is not allowed in is not told so much.
    if status != 404 and not 200 <= status < 400:
        raise ProtocolError(answered, host=host, status=status)
    if status < 300 and media.is_markup(response.content):
        # A list of tags, and what stands at /v2/, is JSON or nothing.
        raise ProtocolError.of_page(host, status)
    if isinstance(credential, Anonymous):
        return CheckOutcome.ANONYMOUS, f"{host} answers without credentials"
    if not shown:
        return CheckOutcome.NOT_ASKED, f"{host} asks for no credentials, so those there are were not shown"
    return CheckOutcome.ACCEPTED, f"{host} accepts the {credential.kind}"
