"""A fake of AWS: ECR and ECR Public, STS, SSO, the instance's metadata (IMDSv2) and a container's credentials."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from fakes.service import Answer, FakeService

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from fakes.service import Asked

_ECR = "AmazonEC2ContainerRegistry_V20150921."
_ECR_PUBLIC = "SpencerFrontendService."
_SIGNED = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/\d{8}/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request,"
)
ROLE = "arn:aws:iam::123456789012:role/mirror"


@dataclass(slots=True)
class AwsState:
    """What the fake knows and does; it can be changed while it runs."""

    password: str = "ecr-password-1"
    keys: set[str] = field(default_factory=lambda: {"AKIASTATIC"})
    """Access keys whose owners may log in."""
    life: timedelta = timedelta(hours=12)
    skew: timedelta = timedelta()
    """How far this cloud's clock is ahead."""
    denied: dict[str, str] = field(default_factory=dict)
    """Operations that are refused, and with which code."""
    failures: dict[str, int] = field(default_factory=dict)
    """Operations that fail with 500, and how often."""
    repositories: dict[str, dict[str, Any]] = field(default_factory=dict)
    policies: dict[str, str] = field(default_factory=dict)
    logins: list[tuple[str, str, str]] = field(default_factory=list)
    """Access key, region and service of each login."""
    created: list[str] = field(default_factory=list)
    """Each attempt to make a repository."""


class FakeAws(FakeService):
    """All of it at one address. Credentials that it hands out are those of keys that it knows from then on."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(self._answer, tls=tls)
        self.state = AwsState()

    @property
    def variables(self) -> dict[str, str]:
        """What makes AWS's tools ask here, without any credentials; instance metadata is switched off."""
        names = ("ECR", "ECR_PUBLIC", "STS", "SSO", "SSO_OIDC")
        return {
            **{f"AWS_ENDPOINT_URL_{name}": self.url for name in names},
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_REGION": "eu-west-1",
            "AWS_CONFIG_FILE": "/nowhere/config",
            "AWS_SHARED_CREDENTIALS_FILE": "/nowhere/credentials",
        }

    @property
    def static(self) -> dict[str, str]:
        """The same with access keys."""
        keys = {"AWS_ACCESS_KEY_ID": "AKIASTATIC", "AWS_SECRET_ACCESS_KEY": "secret-of-AKIASTATIC"}
        return {**self.variables, **keys}

    def chain(self, name: str, folder: Path) -> tuple[dict[str, str], str]:
        """Return the variables for one link of AWS's chain of credentials, and the profile to use (or nothing)."""
        variables = self.variables
        config = folder / "aws-config"
        match name:
            case "static":
                return self.static, ""
            case "web identity":
                token = folder / "irsa-token"
                token.write_text("irsa.jwt.token")
                return {**variables, "AWS_ROLE_ARN": ROLE, "AWS_WEB_IDENTITY_TOKEN_FILE": str(token)}, ""
            case "container":
                token = folder / "pod-identity-token"
                token.write_text("pod-identity-token")
                return {
                    **variables,
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.url}/v1/credentials",
                    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
                }, ""
            case "instance":
                del variables["AWS_EC2_METADATA_DISABLED"]
                return {**variables, "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.url}, ""
            case "process":
                program = folder / "give-credentials"
                program.write_text(
                    "#!/bin/sh\necho '"
                    '{"Version": 1, "AccessKeyId": "AKIAPROCESS", "SecretAccessKey": "secret-of-AKIAPROCESS"}'
                    "'\n"
                )
                program.chmod(0o755)
                self.state.keys.add("AKIAPROCESS")
                config.write_text(f"[profile mirror]\ncredential_process = {program}\n")
                return {**variables, "AWS_CONFIG_FILE": str(config)}, "mirror"
            case "sso":
                return {**variables, **self._sso(config, folder / "home")}, "mirror"
        raise KeyError(name)

    def _sso(self, config: Path, home: Path) -> dict[str, str]:
        start = "https://example.awsapps.com/start"
        config.write_text(
            f"[profile mirror]\nsso_start_url = {start}\nsso_region = eu-west-1\n"
            "sso_account_id = 123456789012\nsso_role_name = Mirror\n"
        )
        import hashlib
        import json

        cache = home / ".aws" / "sso" / "cache"
        cache.mkdir(parents=True)
        ends = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        document = {"startUrl": start, "region": "eu-west-1", "accessToken": "sso-access-token", "expiresAt": ends}
        (cache / f"{hashlib.sha1(start.encode()).hexdigest()}.json").write_text(json.dumps(document))
        return {"AWS_CONFIG_FILE": str(config), "HOME": str(home)}

    def _answer(self, asked: Asked) -> Answer:
        target = asked.headers.get("x-amz-target", "")
        if target:
            return self._api(asked, target)
        if asked.path == "/v1/credentials":
            assert asked.headers["authorization"] == "pod-identity-token"
            return Answer(200, self._credentials("AKIACONTAINER"))
        if asked.path == "/federation/credentials":
            assert asked.headers["x-amz-sso_bearer_token"] == "sso-access-token"
            self.state.keys.add("AKIASSO")
            ends = int((datetime.now(UTC) + timedelta(hours=1)).timestamp() * 1000)
            keys = {"accessKeyId": "AKIASSO", "secretAccessKey": "secret-of-AKIASSO", "sessionToken": "s"}
            return Answer(200, {"roleCredentials": {**keys, "expiration": ends}})
        if asked.path.startswith("/latest/"):
            return self._metadata(asked)
        assert asked.form.get("Action") == "AssumeRoleWithWebIdentity", asked
        assert asked.form["RoleArn"] == ROLE
        if "AssumeRoleWithWebIdentity" in self.state.denied:
            return Answer(400, _xml_error(self.state.denied["AssumeRoleWithWebIdentity"]))
        assert asked.form["WebIdentityToken"] == "irsa.jwt.token"
        return Answer(200, _assumed(self._credentials("AKIAWEB")), {"Content-Type": "text/xml"})

    def _metadata(self, asked: Asked) -> Answer:
        """IMDSv2: a token first, and nothing without it."""
        if asked.method == "PUT":
            assert asked.path == "/latest/api/token"
            assert asked.headers["x-aws-ec2-metadata-token-ttl-seconds"]
            return Answer(200, "imds-token", {"Content-Type": "text/plain"})
        if asked.headers.get("x-aws-ec2-metadata-token") != "imds-token":
            return Answer(401, "")
        roles = "/latest/meta-data/iam/security-credentials"
        if asked.path.rstrip("/") == roles:
            return Answer(200, "mirror-role", {"Content-Type": "text/plain"})
        if asked.path == f"{roles}/mirror-role":
            return Answer(200, {"Code": "Success", "Type": "AWS-HMAC", **self._credentials("AKIAINSTANCE")})
        return Answer(404, "")

    def _credentials(self, key: str) -> dict[str, str]:
        self.state.keys.add(key)
        ends = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        secret = {"SecretAccessKey": f"secret-of-{key}", "Token": f"session-of-{key}"}
        return {"AccessKeyId": key, **secret, "Expiration": ends, "LastUpdated": "2020-01-01T00:00:00Z"}

    def _api(self, asked: Asked, target: str) -> Answer:
        state = self.state
        public = target.startswith(_ECR_PUBLIC)
        operation = target.rpartition(".")[2]
        signed = _SIGNED.match(asked.headers.get("authorization", ""))
        assert signed is not None, asked
        assert signed["service"] == ("ecr-public" if public else "ecr")
        if state.failures.get(operation, 0) > 0:
            state.failures[operation] -= 1
            return Answer(500, {"__type": "ServerException", "message": "something broke"})
        if signed["key"] not in state.keys:
            return Answer(400, {"__type": "UnrecognizedClientException", "message": "The token is invalid."})
        if operation in state.denied:
            said = f"User: {ROLE} is not authorized to perform: {operation}"
            return Answer(400, {"__type": state.denied[operation], "message": said})
        if operation == "GetAuthorizationToken":
            state.logins.append((signed["key"], signed["region"], signed["service"]))
            return self._password(public)
        if operation == "CreateRepository":
            return self._create(asked.json)
        assert operation == "PutLifecyclePolicy", operation
        state.policies[asked.json["repositoryName"]] = asked.json["lifecyclePolicyText"]
        return Answer(200, {})

    def _password(self, public: bool) -> Answer:
        now = datetime.now(UTC) + self.state.skew
        data = {
            "authorizationToken": base64.b64encode(f"AWS:{self.state.password}".encode()).decode(),
            "expiresAt": (now + self.state.life).timestamp(),
        }
        date = now.strftime("%a, %d %b %Y %H:%M:%S GMT")
        return Answer(200, {"authorizationData": data if public else [data]}, {"Date": date})

    def _create(self, request: dict[str, Any]) -> Answer:
        name = request["repositoryName"]
        self.state.created.append(name)
        if name in self.state.repositories:
            said = f"The repository with name '{name}' already exists"
            return Answer(400, {"__type": "RepositoryAlreadyExistsException", "message": said})
        self.state.repositories[name] = request
        return Answer(200, {"repository": {"repositoryName": name}})


def _assumed(credentials: dict[str, str]) -> str:
    return (
        '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
        f"<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{credentials['AccessKeyId']}</AccessKeyId>"
        f"<SecretAccessKey>{credentials['SecretAccessKey']}</SecretAccessKey>"
        f"<SessionToken>{credentials['Token']}</SessionToken><Expiration>{credentials['Expiration']}</Expiration>"
        "</Credentials><AssumedRoleUser><AssumedRoleId>A:s</AssumedRoleId><Arn>arn:aws:sts::123456789012:assumed-role/"
        "mirror/s</Arn></AssumedRoleUser></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    )


def _xml_error(code: str) -> str:
    return (
        '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>'
        f"<Code>{code}</Code><Message>the token has expired</Message></Error></ErrorResponse>"
    )
