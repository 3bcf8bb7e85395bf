"""A fake of Google: the metadata server, the token endpoint of service accounts, and the token service (STS)."""

from __future__ import annotations

import base64
import json
import subprocess
from typing import TYPE_CHECKING, Any

from fakes.service import Answer, FakeService

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from fakes.service import Asked

ACCOUNT = "mirror@project.iam.gserviceaccount.com"
POOL = "//iam.googleapis.com/projects/123456/locations/global/workloadIdentityPools/pool/providers/cluster"
_FLAVOR = {"Metadata-Flavor": "Google"}


class FakeGoogle(FakeService):
    """All of it at one address. `token` is what is handed out, for `life` seconds."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(self._answer, tls=tls)
        self.token = "ya29.google-token-1"
        self.life = 3600
        self.refusal: Answer | None = None
        """What is answered instead of a token."""

    @property
    def metadata(self) -> dict[str, str]:
        """The variables of a machine, or a pod with workload identity, that has this metadata server."""
        return {"GCE_METADATA_HOST": self.host, "GCE_METADATA_IP": self.host, "CLOUDSDK_CONFIG": "/nowhere"}

    def service_account(self, folder: Path) -> dict[str, str]:
        """Write a service account's key file; returns the variables that name it."""
        made = subprocess.run(
            ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
            check=True,
            capture_output=True,
            text=True,
        )
        document = {
            "type": "service_account",
            "project_id": "project",
            "private_key_id": "k1",
            "private_key": made.stdout,
            "client_email": ACCOUNT,
            "client_id": "1",
            "token_uri": f"{self.url}/token",
        }
        return _file(folder, document)

    def external_account(self, folder: Path) -> dict[str, str]:
        """Write the file of an external account whose subject token lies in a file; returns the variables."""
        (folder / "subject-token").write_text("subject.jwt.token")
        document = {
            "type": "external_account",
            "audience": POOL,
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": f"{self.url}/v1/token",
            "credential_source": {"file": str(folder / "subject-token")},
        }
        return _file(folder, document)

    def _answer(self, asked: Asked) -> Answer:
        if asked.path in ("/", "") or asked.path.startswith("/computeMetadata/"):
            assert asked.headers["metadata-flavor"] == "Google"
            return self._metadata(asked)
        assert asked.method == "POST", asked
        if asked.path == "/token":
            assert asked.form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
            claims = json.loads(base64.urlsafe_b64decode(asked.form["assertion"].split(".")[1] + "=="))
            assert claims["iss"] == ACCOUNT
            assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
        else:
            assert asked.path == "/v1/token", asked
            assert asked.form["subject_token"] == "subject.jwt.token"
            assert asked.form["audience"] == POOL
            assert asked.form["scope"] == "https://www.googleapis.com/auth/cloud-platform"
        return self._given({"issued_token_type": "urn:ietf:params:oauth:token-type:access_token"})

    def _metadata(self, asked: Asked) -> Answer:
        account = "/computeMetadata/v1/instance/service-accounts"
        if asked.path in ("/", ""):
            return Answer(200, "computeMetadata/\n", {**_FLAVOR, "Content-Type": "text/plain"})
        if asked.path == "/computeMetadata/v1/project/project-id":
            return Answer(200, "project", {**_FLAVOR, "Content-Type": "text/plain"})
        if asked.path in (f"{account}/default/", f"{account}/{ACCOUNT}/"):
            return Answer(200, {"aliases": ["default"], "email": ACCOUNT, "scopes": ["s"]}, _FLAVOR)
        assert asked.path.startswith(account), asked
        assert asked.path.endswith("/token"), asked
        return self._given({}, _FLAVOR)

    def _given(self, more: dict[str, Any], headers: dict[str, str] | None = None) -> Answer:
        if self.refusal is not None:
            return self.refusal
        document = {"access_token": self.token, "expires_in": self.life, "token_type": "Bearer", **more}
        return Answer(200, document, headers or {})


def _file(folder: Path, document: dict[str, object]) -> dict[str, str]:
    path = folder / "google.json"
    path.write_text(json.dumps(document))
    return {"GOOGLE_APPLICATION_CREDENTIALS": str(path), "CLOUDSDK_CONFIG": "/nowhere"}
