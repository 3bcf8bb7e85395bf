"""
Logging in to Artifact Registry and gcr.io, with whatever credentials google-auth finds.

google-auth reads the process's own environment and files, as all of Google's tools do: a service account's file, an
external account, the user of gcloud, the metadata server (and with it GKE's workload identity). This blocks.
"""

from __future__ import annotations

import os
import warnings
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ocync.lib.errors import AuthError, NetworkError, ProtocolError, RegistryError, ServerError
from ocync.lib.log import silence
from ocync.lib.redaction import excerpt
from ocync.registry.auth.credential import UserPassword
from ocync.registry.auth.refresh import Login, NoLoginError

if TYPE_CHECKING:
    from collections.abc import Iterator

EXTRA = "gcp"
_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
_LIFE = 3600.0
_FILE = "GOOGLE_APPLICATION_CREDENTIALS"
_HINT = (
    f"run on GKE with workload identity, or name a service account's or an external account's file in {_FILE}, or "
    "run gcloud auth application-default login"
)
# By the names of google-auth's modules: google.auth.compute_engine.credentials and so on.
_KINDS = {
    "compute_engine": "metadata server",
    "service_account": "service account",
    "aws": "external account",
    "identity_pool": "external account",
    "pluggable": "external account",
    "impersonated_credentials": "impersonated service account",
    "external_account_authorized_user": "user",
    "credentials": "user",
}


def log_in(host: str, *, ca_file: str | None) -> Login:
    """
    Fetch an access token; raises NoLoginError, AuthError, or errors that are worth another try.

    `ca_file` names authorities to trust, where REQUESTS_CA_BUNDLE names none.
    """
    try:
        import google.auth
        import google.auth.credentials
        import requests
        from google.auth.transport.requests import Request
    except ImportError:
        raise NoLoginError(
            f"{host}: the Google login needs google-auth and requests, which are not installed",
            host=host,
            hint=f"install them: pip install 'ocync[{EXTRA}]'",
        ) from None
    silence("google", "urllib3", "requests")
    # What it thinks of users' credentials and of Python's version is for developers.
    warnings.filterwarnings("ignore", module=r"google\.")
    with _translated(host), requests.Session() as session:
        if ca_file is not None:
            session.verify = ca_file
        # The metadata server is a neighbour, and must not be asked for through a proxy.
        metadata = os.environ.get("GCE_METADATA_HOST") or "metadata.google.internal"
        address = os.environ.get("GCE_METADATA_IP") or "169.254.169.254"
        session.proxies = {f"http://{name.partition(':')[0]}": "" for name in (metadata, address)}
        request = Request(session)
        # Scopes are added afterwards: with them, the project's name would be asked for, which nobody here needs.
        found, _ = google.auth.default(request=request)
        credentials = google.auth.credentials.with_scopes_if_required(found, _SCOPES)  # type: ignore[no-untyped-call]
        credentials.refresh(request)
    return Login(credential=_credential(credentials, host), life=_life(credentials.expiry))


def _credential(credentials: Any, host: str) -> UserPassword:
    if not isinstance(credentials.token, str) or not credentials.token:
        raise ProtocolError(f"{host}: the Google login gave no token", host=host)
    module = type(credentials).__module__.split(".")
    kind = next((_KINDS[part] for part in reversed(module) if part in _KINDS and part != "credentials"), "user")
    account = getattr(credentials, "service_account_email", None)
    whose = f" {account}" if isinstance(account, str) and account and account != "default" else ""
    return UserPassword(
        username="oauth2accesstoken", password=credentials.token, origin=f"Google credentials ({kind}{whose})"
    )


def _life(expiry: datetime | None) -> float:
    """Return the seconds up to an end that google-auth has computed by this machine's clock, in naive UTC."""
    if expiry is None:
        return _LIFE
    return (expiry - datetime.now(UTC).replace(tzinfo=None)).total_seconds()


@contextmanager
def _translated(host: str) -> Iterator[None]:
    """Raise errors of google-auth as ours; their causes are left out, as they hold answers."""
    import requests
    from google.auth import exceptions as google

    try:
        yield
    except (google.GoogleAuthError, requests.RequestException, OSError, ValueError) as error:
        raise _ours(error, host) from None


def _ours(error: Exception, host: str) -> RegistryError:
    from google.auth import exceptions as google

    said = excerpt(str(error.args[0] if error.args else error))
    message = f"{host}: can't log in to Google: {said}"
    if isinstance(error, google.DefaultCredentialsError) and not os.environ.get(_FILE):
        return NoLoginError(f"{host}: there are no Google credentials: {said}", host=host, hint=_HINT)
    if isinstance(error, google.RefreshError) and error.retryable:
        return ServerError(message, host=host)
    if isinstance(error, google.TransportError) or (
        isinstance(error, OSError) and not isinstance(error, (FileNotFoundError, PermissionError))
    ):
        return NetworkError(message, host=host)
    return AuthError(message, host=host, hint="check the Google credentials, and what they are allowed to do")
