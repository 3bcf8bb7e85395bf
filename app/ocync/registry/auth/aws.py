"""
Logging in to ECR, private and public, with whatever credentials botocore finds.

botocore reads the process's own environment and files, as all AWS tools do: access keys, IRSA, Pod Identity, SSO,
processes, profiles, instance metadata. All functions here block.
"""

from __future__ import annotations

import base64
import binascii
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from ocync import USER_AGENT
from ocync.lib.errors import AuthError, NetworkError, ProtocolError, RateLimitedError, RegistryError, ServerError
from ocync.lib.log import silence
from ocync.lib.redaction import excerpt
from ocync.registry.auth.credential import UserPassword
from ocync.registry.auth.refresh import Login, NoLoginError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

EXTRA = "aws"
_LIFE = 12 * 3600.0
"""Seconds that a password lasts (ECR API, GetAuthorizationToken), where the answer does not say it."""
# botocore's names for where credentials come from (credentials.py, METHOD).
_METHODS = {
    "env": "environment variables",
    "assume-role": "a role that the profile names",
    "assume-role-with-web-identity": "web identity",
    "sso": "SSO",
    "login": "aws login",
    "shared-credentials-file": "the shared credentials file",
    "config-file": "the AWS config file",
    "custom-process": "credential_process",
    "container-role": "the container credentials endpoint",
    "iam-role": "instance metadata",
}
_THROTTLED = frozenset({"Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException"})
_HINT = (
    "give the process credentials (IRSA, EKS Pod Identity, an instance role, AWS_ACCESS_KEY_ID, aws sso login), or "
    "name a profile with aws_profile"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EcrPlace:
    """A registry of ECR, and how to get there."""

    host: str
    """`host[:port]` of the registry, for messages."""
    region: str
    public: bool = False
    fips: bool = False
    dual_stack: bool = False
    """Both choose an endpoint of the API, and stand aside for one that the user names (AWS_ENDPOINT_URL_ECR)."""
    profile: str | None = None
    ca_file: str | None = None
    """Authorities to trust instead of those that botocore brings, where AWS_CA_BUNDLE names none."""

    @property
    def service(self) -> str:
        """The API's name."""
        return "ecr-public" if self.public else "ecr"


def log_in(place: EcrPlace) -> Login:
    """Ask ECR for a password; raises NoLoginError, AuthError, or errors that are worth another try."""
    with translated(place, "log in"):
        api, method = client(place)
        answer = api.get_authorization_token()
    data = answer["authorizationData"]
    entry = data if place.public else next(iter(data), {})
    password = _password(entry, place)
    profile = f" of profile {place.profile}" if place.profile else ""
    origin = f"AWS credentials{profile} ({_METHODS.get(method, method)}), by {place.service} in {place.region}"
    life = _life(entry.get("expiresAt"), answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}))
    return Login(credential=UserPassword(username="AWS", password=password, origin=origin), life=life)


def client(place: EcrPlace) -> tuple[Any, str]:
    """
    Return botocore's client of the API, and where its credentials come from.

    Raises errors of botocore, and NoLoginError where botocore is missing or finds nothing.
    """
    try:
        import botocore.session
        from botocore.config import Config
    except ImportError:
        raise NoLoginError(
            f"{place.host}: the AWS login needs botocore, which is not installed",
            host=place.host,
            hint=f"install it: pip install 'ocync[{EXTRA}]'",
        ) from None
    silence("botocore", "urllib3")
    session = botocore.session.Session(profile=place.profile)
    if place.ca_file is not None and session.get_config_variable("ca_bundle") is None:
        session.set_config_variable("ca_bundle", place.ca_file)
    config = Config(
        connect_timeout=10,
        read_timeout=20,
        retries={"mode": "standard", "total_max_attempts": 3},
        user_agent_extra=USER_AGENT,
    )
    # For the clients that the credentials themselves need, too: STS, SSO.
    session.set_default_client_config(config)
    variant = Config(
        use_fips_endpoint=place.fips or None,
        use_dualstack_endpoint=place.dual_stack or None,
        # What asks ECR has the program's own retries.
        retries={"mode": "standard", "total_max_attempts": 1},
    )
    api = session.create_client(place.service, region_name=place.region, config=config.merge(variant))
    credentials = session.get_credentials()
    if credentials is None:
        raise NoLoginError(
            f"{place.host}: there are no AWS credentials: neither in the environment or the AWS config, nor from a "
            f"web identity, a container or the instance",
            host=place.host,
            hint=_HINT,
        )
    return api, credentials.method


def _password(entry: Mapping[str, Any], place: EcrPlace) -> str:
    """Return the password in base64 of `AWS:password`."""
    try:
        user, _, password = base64.b64decode(entry["authorizationToken"], validate=True).decode().partition(":")
    except (KeyError, TypeError, ValueError, binascii.Error):
        user, password = "", ""
    if user != "AWS" or not password:
        # The cause is left out: it holds the token.
        raise ProtocolError(f"{place.host}: {place.service} answered without a password", host=place.host) from None
    return password


def _life(expires: object, headers: Mapping[str, str]) -> float:
    """Return the seconds between the answer and the password's end, by the clock of who gave both."""
    if not isinstance(expires, datetime):
        return _LIFE
    try:
        now = parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError):
        now = datetime.now(UTC)
    # A date whose zone is not told (-0000) is UTC, as all dates of HTTP are.
    return min((expires - (now if now.tzinfo else now.replace(tzinfo=UTC))).total_seconds(), _LIFE)


@contextmanager
def translated(place: EcrPlace, what: str) -> Iterator[None]:
    """Raise errors of botocore as ours; their causes are left out, as they may hold what a process has printed."""
    try:
        yield
    except RegistryError:
        raise
    except Exception as error:
        ours = _ours(error, place, what)
        if ours is None:
            raise
        raise ours from None


def _ours(error: Exception, place: EcrPlace, what: str) -> RegistryError | None:
    from botocore import exceptions as aws

    message = f"{place.host}: can't {what} at {place.service} in {place.region}: {excerpt(str(error))}"
    match error:
        case aws.ClientError():
            return _refusal(error, message, place)
        case aws.NoCredentialsError():
            return NoLoginError(message, host=place.host, hint=_HINT)
        case aws.ProfileNotFound():
            hint = "name a profile that AWS_CONFIG_FILE (~/.aws/config) or the shared credentials file holds"
            return AuthError(message, host=place.host, hint=hint)
        case aws.SSOError() | aws.TokenRetrievalError() | aws.SSOTokenLoadError():
            return AuthError(message, host=place.host, hint="run aws sso login, with --profile where there is one")
        case aws.MetadataRetrievalError() | aws.CredentialRetrievalError():
            found = AuthError(message, host=place.host, hint="look at what hands out the AWS credentials")
            # Pod Identity's agent starts with its node, and may be late.
            found.retryable = getattr(error, "kwargs", {}).get("provider") == "container-role"
            return found
        case aws.HTTPClientError() | aws.ConnectionError():
            return NetworkError(message, host=place.host)
        case aws.BotoCoreError():
            return AuthError(message, host=place.host, hint="check the AWS configuration")
        case _:
            return None


def _refusal(error: Any, message: str, place: EcrPlace) -> RegistryError:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code in _THROTTLED or status == 429:
        return RateLimitedError(message, host=place.host, status=status, code=code)
    if isinstance(status, int) and status >= 500:
        return ServerError(message, host=place.host, status=status, code=code)
    hint = "check that the AWS credentials are valid, and that their policy allows this"
    return AuthError(message, host=place.host, status=status, code=code, hint=hint)
