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
class EcrEndpoint:
    """The API of one ECR registry."""

    host: str
    """`host[:port]` of the registry, for messages."""
    region: str
    public: bool = False
    fips: bool = False
    dual_stack: bool = False
    """Both choose among AWS's own endpoints; False where the user names one (AWS_ENDPOINT_URL_ECR)."""
    profile: str | None = None
    ca_file: str | None = None
    """Certificate authorities to trust instead of botocore's, where AWS_CA_BUNDLE names none."""

    @property
    def service(self) -> str:
        """The API's name in botocore."""
        return "ecr-public" if self.public else "ecr"


def log_in(endpoint: EcrEndpoint) -> Login:
    """Return a password of ECR; raises NoLoginError, AuthError, or errors that are worth another try."""
    with translated(endpoint, "log in"):
        api, method = client(endpoint)
        answer = api.get_authorization_token()
    data = answer["authorizationData"]
    entry = data if endpoint.public else next(iter(data), {})
    password = _password(entry, endpoint)
    profile = f" of profile {endpoint.profile}" if endpoint.profile else ""
    origin = (
        f"AWS credentials{profile} ({_METHODS.get(method, method)}), by {endpoint.service} in {endpoint.region}"
    )
    life = _life(entry.get("expiresAt"), answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}))
    return Login(credential=UserPassword(username="AWS", password=password, origin=origin), life=life)


def client(endpoint: EcrEndpoint) -> tuple[Any, str]:
    """
    Return botocore's client of the API, and the method by which it found its credentials.

    Raises errors of botocore, and NoLoginError if botocore is missing or finds none.
    """
    try:
        import botocore.session
        from botocore.config import Config
    except ImportError:
        raise NoLoginError(
            f"{endpoint.host}: the AWS login needs botocore, which is not installed",
            host=endpoint.host,
            hint=f"install it: pip install 'ocync[{EXTRA}]'",
        ) from None
    silence("botocore", "urllib3")
    session = botocore.session.Session(profile=endpoint.profile)
    if endpoint.ca_file is not None and session.get_config_variable("ca_bundle") is None:
        session.set_config_variable("ca_bundle", endpoint.ca_file)
    config = Config(
        connect_timeout=10,
        read_timeout=20,
        retries={"mode": "standard", "total_max_attempts": 3},
        user_agent_extra=USER_AGENT,
    )
    # For the clients that the credentials themselves need, too: STS, SSO.
    session.set_default_client_config(config)
    variant = Config(
        use_fips_endpoint=endpoint.fips or None,
        use_dualstack_endpoint=endpoint.dual_stack or None,
        # Calls of ECR go through the program's own retries.
        retries={"mode": "standard", "total_max_attempts": 1},
    )
    api = session.create_client(endpoint.service, region_name=endpoint.region, config=config.merge(variant))
    credentials = session.get_credentials()
    if credentials is None:
        raise NoLoginError(
            f"{endpoint.host}: there are no AWS credentials: neither in the environment or the AWS config, "
            f"nor from a web identity, a container or the instance",
            host=endpoint.host,
            hint=_HINT,
        )
    return api, credentials.method


def _password(entry: Mapping[str, Any], endpoint: EcrEndpoint) -> str:
    try:
        user, _, password = base64.b64decode(entry["authorizationToken"], validate=True).decode().partition(":")
    except (KeyError, TypeError, ValueError, binascii.Error):
        user, password = "", ""
    if user != "AWS" or not password:
        # The cause is left out: it holds the token.
        raise ProtocolError(
            f"{endpoint.host}: {endpoint.service} answered without a password", host=endpoint.host
        ) from None
    return password


def _life(expires: object, headers: Mapping[str, str]) -> float:
    """Return the seconds between the response and the password's end, both by AWS's clock."""
    if not isinstance(expires, datetime):
        return _LIFE
    try:
        now = parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError):
        now = datetime.now(UTC)
    # A date without a zone (-0000) is UTC, as all dates of HTTP are.
    return min((expires - (now if now.tzinfo else now.replace(tzinfo=UTC))).total_seconds(), _LIFE)


@contextmanager
def translated(endpoint: EcrEndpoint, what: str) -> Iterator[None]:
    """Raise errors of botocore as ours, without their causes, which may hold the output of a credential process."""
    try:
        yield
    except RegistryError:
        raise
    except Exception as error:
        ours = _ours(error, endpoint, what)
        if ours is None:
            raise
        raise ours from None


def _ours(error: Exception, endpoint: EcrEndpoint, what: str) -> RegistryError | None:
    from botocore import exceptions as aws

    message = f"{endpoint.host}: can't {what} at {endpoint.service} in {endpoint.region}: {excerpt(str(error))}"
    match error:
        case aws.ClientError():
            return _refusal(error, message, endpoint)
        case aws.NoCredentialsError():
            return NoLoginError(message, host=endpoint.host, hint=_HINT)
        case aws.ProfileNotFound():
            hint = "name a profile that AWS_CONFIG_FILE (~/.aws/config) or the shared credentials file holds"
            return AuthError(message, host=endpoint.host, hint=hint)
        case aws.SSOError() | aws.TokenRetrievalError() | aws.SSOTokenLoadError():
            return AuthError(
                message, host=endpoint.host, hint="run aws sso login, with --profile where there is one"
            )
        case aws.MetadataRetrievalError() | aws.CredentialRetrievalError():
            found = AuthError(
                message, host=endpoint.host, hint="check the service that provides the AWS credentials"
            )
            # The agent of Pod Identity starts with its node, and may be late.
            found.retryable = getattr(error, "kwargs", {}).get("provider") == "container-role"
            return found
        case aws.HTTPClientError() | aws.ConnectionError():
            return NetworkError(message, host=endpoint.host)
        case aws.BotoCoreError():
            return AuthError(message, host=endpoint.host, hint="check the AWS configuration")
        case _:
            return None


def _refusal(error: Any, message: str, endpoint: EcrEndpoint) -> RegistryError:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code in _THROTTLED or status == 429:
        return RateLimitedError(message, host=endpoint.host, status=status, code=code)
    if isinstance(status, int) and status >= 500:
        return ServerError(message, host=endpoint.host, status=status, code=code)
    hint = "check that the AWS credentials are valid, and that their policy allows this"
    return AuthError(message, host=endpoint.host, status=status, code=code, hint=hint)
