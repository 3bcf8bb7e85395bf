"""The check of one registry's credentials, for `ocync auth check`."""

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
    """The result of a check; the values are part of the documented `--json` output."""

    ACCEPTED = "accepted"
    """The registry accepts the credentials."""
    ANONYMOUS = "anonymous"
    """There are no credentials, and the registry answers without."""
    NOT_ASKED = "not_asked"
    """The registry asks for no credentials, so they were not sent."""
    REFUSED = "refused"
    """Credentials are missing, refused or insufficient."""
    FAILED = "failed"
    """The check failed: the configuration is broken, or the registry is out of reach."""
    FOLDER = "folder"
    """A folder of OCI layouts, which has no credentials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result for one registry; nothing in it is secret."""

    registry: str
    """Its name in the config."""
    host: str
    kind: str = ""
    """The kind of credential, such as `user name and password`; empty if it could not be read."""
    origin: str = ""
    """Where they come from, or where they were looked for."""
    verdict: CheckOutcome
    message: str
    error: OcyncError | None = None
    """The error behind a verdict of REFUSED or FAILED; its exit code counts."""


async def check(
    config: RegistryConfig, environ: Mapping[str, str], *, send: Send, scope: Scope | None = None
) -> Finding:
    """
    Return what a registry says to its credentials; raises nothing but cancellation.

    With a scope it requests that repository's tag list, so that the answer is about a repository that is used;
    otherwise `/v2/`. `send` is the registry's, as for an Authorizer.
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
    """Make the request as a pass does, and return the response and whether credentials were sent."""
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
    # 404: the repository of a target may not exist yet, and only authorized clients learn that.
    if status != 404 and not 200 <= status < 400:
        raise ProtocolError(answered, host=host, status=status)
    if status < 300 and media.is_markup(response.content):
        # A tag list, and the body of /v2/, is JSON or empty.
        raise ProtocolError.of_page(host, status)
    if isinstance(credential, Anonymous):
        return CheckOutcome.ANONYMOUS, f"{host} answers without credentials"
    if not shown:
        return CheckOutcome.NOT_ASKED, f"{host} asks for no credentials, so those there are were not shown"
    return CheckOutcome.ACCEPTED, f"{host} accepts the {credential.kind}"
