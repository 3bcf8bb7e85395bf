"""
Logging in to Azure's registry: a token of Entra ID is exchanged for a refresh token of the registry itself.

azure-identity reads the process's own environment, as Azure's tools do: a service principal, workload identity, a
managed identity, the az command. The registry's refresh token is then used as any identity token
(azure-docs, container-registry-authentication; Azure/acr, docs/AAD-OAuth.md).
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

import httpx

from ocync.lib.errors import AuthError, NetworkError, ProtocolError, RegistryError, ServerError
from ocync.lib.log import silence
from ocync.lib.redaction import excerpt
from ocync.lib.threads import run_detached
from ocync.oci.providers import acr_cloud
from ocync.registry.auth import token
from ocync.registry.auth.credential import IdentityToken
from ocync.registry.auth.refresh import Login, NoLoginError, life_of

if TYPE_CHECKING:
    from ocync.oci.reference import Registry
    from ocync.registry.auth.token import Send

EXTRA = "azure"
_SCOPE = "https://containerregistry.azure.net/.default"
_LIFE = 3 * 3600.0
_NOBODY = "00000000-0000-0000-0000-000000000000"
"""The user name that goes with the registry's tokens."""
_AUTHORITIES = {"cn": "login.chinacloudapi.cn", "us": "login.microsoftonline.us"}
_KNOWN_AUTHORITIES = frozenset({"login.microsoftonline.com", "login.windows.net", *_AUTHORITIES.values()})
_TOKEN = 65536
_FAILURES = range(500, 600)
_FAILED = re.compile(r"HTTP Error: 5[0-9][0-9]\b")
_HINT = (
    "run on AKS with workload identity, or with a managed identity, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and "
    "AZURE_CLIENT_SECRET, or run az login"
)


class AcrLogin:
    """Logs in to one registry."""

    def __init__(self, registry: Registry, send: Send, *, ca_file: str | None) -> None:
        self._registry = registry
        self._send = send
        self._ca_file = ca_file

    async def __call__(self) -> Login:
        """Return the registry's refresh token; raises NoLoginError, AuthError, or what is worth another try."""
        host = self._registry.host
        found, kind = await run_detached(lambda: _entra_token(host, self._ca_file), name="azure-identity")
        refresh = await self._exchange(found)
        origin = f"Azure credentials ({kind}), by {host}/oauth2/exchange"
        # Who knows no refresh tokens takes them as this user's password.
        credential = IdentityToken(token=refresh, username=_NOBODY, password=refresh, origin=origin)
        return Login(credential=credential, life=life_of(refresh, otherwise=_LIFE))

    async def _exchange(self, entra: str) -> str:
        host = self._registry.host
        form = {"grant_type": "access_token", "service": host, "access_token": entra}
        if tenant := os.environ.get("AZURE_TENANT_ID"):
            form["tenant"] = tenant
        request = httpx.Request("POST", f"{self._registry.api}/oauth2/exchange", headers=token.HEADERS, data=form)
        response = await self._send(request)
        if response.status_code != 200:
            words = token.said(response.content, (entra,))
            message = (
                f"{host} answered {response.status_code} to a token of Entra ID{': ' + words if words else ''}"
            )
            if response.status_code in (401, 403):
                hint = "give the identity a role at this registry: AcrPull or AcrPush"
                raise AuthError(message, host=host, status=response.status_code, hint=hint)
            raise ProtocolError(
                message, host=host, status=response.status_code, hint="is this a registry of Azure? set auth_type"
            )
        return _refresh_token(response.content, host)


def _refresh_token(body: bytes, host: str) -> str:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    value = answer.get("refresh_token") if isinstance(answer, dict) else None
    if not isinstance(value, str) or not value or len(value) > _TOKEN:
        # Not quoted: it may hold the token.
        raise ProtocolError(f"{host} answered to a token of Entra ID without a refresh token", host=host)
    return value


def _entra_token(host: str, ca_file: str | None) -> tuple[str, str]:
    """Return a token of Entra ID for registries, and whose it is. Blocks."""
    try:
        from azure.core.exceptions import AzureError
        from azure.identity import CredentialUnavailableError, DefaultAzureCredential
    except ImportError:
        raise NoLoginError(
            f"{host}: the Azure login needs azure-identity, which is not installed",
            host=host,
            hint=f"install it: pip install 'ocync[{EXTRA}]'",
        ) from None
    silence("azure", "msal", "urllib3", "requests")
    tried = []
    try:
        with DefaultAzureCredential(**_options(host, ca_file)) as chain:
            # One by one, as the chain does it: its own error tells neither what has failed nor why.
            for credential in chain.credentials:
                name = type(credential).__name__.removesuffix("Credential")
                try:
                    return credential.get_token(_SCOPE).token, name  # type: ignore[union-attr]
                except CredentialUnavailableError:
                    tried.append(name)
    except (AzureError, ValueError, OSError) as error:
        raise _ours(error, host) from None
    raise NoLoginError(f"{host}: there are no Azure credentials: tried {', '.join(tried)}", host=host, hint=_HINT)


def _options(host: str, ca_file: str | None) -> dict[str, Any]:
    options: dict[str, Any] = {
        f"exclude_{name}_credential": True
        for name in ("shared_token_cache", "visual_studio_code", "powershell", "developer_cli", "broker")
    }
    authority = os.environ.get("AZURE_AUTHORITY_HOST", "") or _AUTHORITIES.get(acr_cloud(host) or "", "")
    if authority:
        options["authority"] = authority
        name = authority.removeprefix("https://").partition("/")[0].partition(":")[0].lower()
        # A cloud of one's own is not known to Microsoft's, which would have to be reached to be asked.
        if name not in _KNOWN_AUTHORITIES:
            options["disable_instance_discovery"] = True
    if ca_file is not None and not (os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")):
        options["connection_verify"] = ca_file
    return options


def _ours(error: Exception, host: str) -> RegistryError:
    from azure.core.exceptions import ServiceRequestError, ServiceResponseError

    message = f"{host}: can't log in to Azure: {excerpt(str(error))}"
    # Whatever has failed comes as a failed authentication, with its cause.
    if isinstance(error.__cause__ or error, (ServiceRequestError, ServiceResponseError)):
        return NetworkError(message, host=host)
    # The status of an answer that says nothing else is left in the words alone (msal, throttled_http_client.py).
    if getattr(error, "status_code", None) in _FAILURES or _FAILED.search(str(error)):
        return ServerError(message, host=host)
    return AuthError(message, host=host, hint="check the Azure credentials, and the variables AZURE_*")
